"""Three steps of each way to learn from noisy labels, from the same weights, images and labels: losses and weights.

Everything is plain PyTorch, written from the papers' equations; the mixture over losses is scikit-learn's (`pip install
scikit-learn`). The network is torchvision's ResNet-18 with 2 channels for 64, SGD with momentum moves it. The 24 images are one
epoch, so that the methods with two networks go through a whole epoch with its selection.

`make()` returns the tensors of learners.safetensors: `labels/clean` and `labels/given` [24], `param/<name>` (the first and the
second network's, shared by all methods), and for each method `<method>/view<i>` [24, 1, 16, 16], `<method>/indices/<step>`,
`<method>/loss` [3] and `<method>/loss.<turn>`, and `<method>/after/<name>`, the weights, running statistics and targets after the
last step, computed in f64. What a method draws on the host is `<method>/input/<name>/<step>`, the losses that it divides images
by `<method>/sample_loss`. `mixture/<case>/values` [N] and `…/clean` [10, N] are losses and scikit-learn's probabilities from ten seeds of
its k-means: where two kinds overlap, they differ from seed to seed.
"""

import copy
import math

import numpy
import torch
import torch.nn.functional as F
from sklearn.mixture import GaussianMixture
from ssl_methods import stir, update_error, weights
from torch import nn

IMAGES, BATCH, SIZE, STEPS, CLASSES = 24, 8, 16, 3, 3
LR, MOMENTUM, DECAY = 0.002, 0.9, 1e-4
FLIPS = {(0, 0): 9, (0, 1): 2, (0, 2): 1, (1, 0): 1, (1, 1): 7, (2, 0): 1, (2, 2): 3}  # (clean, given): images


def labels():
    pairs = torch.tensor([pair for pair, n in FLIPS.items() for _ in range(n)])
    return pairs[torch.randperm(IMAGES)].unbind(1)


class Learner(nn.Module):
    """What is trained, under the names that the program uses; `loss(step, turn)` is what a turn minimizes."""

    VIEWS, TURNS = 1, {"": [""]}
    ORDER = [list(range(k * BATCH, (k + 1) * BATCH)) for k in range(STEPS)]

    def __init__(self, networks, clean, given):
        super().__init__()
        self.backbone = copy.deepcopy(networks[0])
        self.clean, self.given = clean, given
        if any("second" in trained for trained in self.TURNS.values()):
            self.second = nn.Module()
            self.second.backbone = copy.deepcopy(networks[1])

    def draw(self):
        """What is drawn on the host, by name, for each step."""
        return {}

    def after_update(self, step):
        """What follows the updates of a step."""

    def begin_copies(self):
        """Makes what begins as a copy one."""

    def batch(self, step):
        rows = self.ORDER[step]
        return self.views[0][rows], self.given[rows]


class CrossEntropy(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        return F.cross_entropy(self.backbone(x), y)


class Balanced(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        counts = torch.bincount(self.given, minlength=CLASSES)
        return F.cross_entropy(self.backbone(x), y, weight=(IMAGES / (CLASSES * counts)).to(x.dtype))


class LabelSmoothing(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        return F.cross_entropy(self.backbone(x), y, label_smoothing=0.1)


def at_label(p, y):
    return p.gather(1, y[:, None])[:, 0]


class Gce(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        return ((1 - at_label(self.backbone(x).softmax(1), y) ** 0.7) / 0.7).mean()


def reverse(p, y, log_zero):
    return (-(p.clamp(min=1e-7) * (1 - F.one_hot(y, CLASSES)) * log_zero).sum(1)).mean()


class Sce(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        z = self.backbone(x)
        return 0.3 * F.cross_entropy(z, y) + 0.8 * reverse(z.softmax(1), y, -4.0)


class NceRce(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        z = self.backbone(x)
        log = z.log_softmax(1)
        return 2.0 * (at_label(log, y) / log.sum(1)).mean() + 0.5 * reverse(z.softmax(1), y, -4.0)


def transition(clean, given):
    t = torch.zeros(CLASSES, CLASSES, dtype=torch.double)
    for c, g in zip(clean.tolist(), given.tolist()):
        t[c, g] += 1
    return t / t.sum(1, keepdim=True)


class Forward(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        noisy = self.backbone(x).softmax(1) @ transition(self.clean, self.given).to(x.dtype)
        return -at_label(noisy, y).log().mean()


class Backward(Learner):
    def loss(self, step, turn):
        x, y = self.batch(step)
        rows = torch.linalg.inv(transition(self.clean, self.given))[y].to(x.dtype)
        return -(rows * self.backbone(x).softmax(1).clamp(min=1e-7).log()).sum(1).mean()


class Mixup(Learner):
    def draw(self):
        lambdas = [torch.full((BATCH,), numpy.random.beta(1.0, 1.0)) for _ in range(STEPS)]
        return {"mixup_pair": [torch.randperm(BATCH) for _ in range(STEPS)], "mixup_lambda": [l.float() for l in lambdas]}

    def loss(self, step, turn):
        x, y = self.batch(step)
        pair, l = self.draws["mixup_pair"][step], self.draws["mixup_lambda"][step][0].to(x.dtype)
        z = self.backbone(l * x + (1 - l) * x[pair])
        return l * F.cross_entropy(z, y) + (1 - l) * F.cross_entropy(z, y[pair])


class Elr(Learner):
    ORDER = [Learner.ORDER[0], Learner.ORDER[1], Learner.ORDER[0]]  # some images twice: their targets move

    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("elr_targets", torch.zeros(IMAGES, CLASSES))

    def loss(self, step, turn):
        x, y = self.batch(step)
        z, rows = self.backbone(x), self.ORDER[step]
        p = z.softmax(1).clamp(1e-4, 1 - 1e-4)
        q = p.detach()
        self.elr_targets[rows] = 0.7 * self.elr_targets[rows] + 0.3 * q / q.sum(1, keepdim=True)
        return F.cross_entropy(z, y) + 3.0 * (1 - (self.elr_targets[rows].clone() * p).sum(1)).log().mean()


class CoTeaching(Learner):
    TURNS = {"": ["", "second"]}
    KEPT = 6  # of 8: τ = 0.5, half of it left out in epoch 2 of 4

    def loss(self, step, turn):
        x, y = self.batch(step)
        first, second = self.backbone(x), self.second.backbone(x)
        easy = [F.cross_entropy(z, y, reduction="none").argsort()[: self.KEPT] for z in (first, second)]
        return F.cross_entropy(first[easy[1]], y[easy[1]]) + F.cross_entropy(second[easy[0]], y[easy[0]])


class JoCor(CoTeaching):
    def loss(self, step, turn):
        x, y = self.batch(step)
        first, second = self.backbone(x), self.second.backbone(x)

        def kl(a, b):
            return (a.softmax(1) * (a.log_softmax(1) - b.log_softmax(1))).sum(1)

        both = F.cross_entropy(first, y, reduction="none") + F.cross_entropy(second, y, reduction="none")
        joint = 0.7 * both + 0.3 * (kl(first, second) + kl(second, first))
        return joint[joint.argsort()[: self.KEPT]].mean()


def clean_probability(losses, seed=0):
    """The authors' mixture, scikit-learn's."""
    values = losses.double().numpy()
    values = ((values - values.min()) / (values.max() - values.min())).reshape(-1, 1)
    mixture = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed).fit(values)
    return torch.from_numpy(mixture.predict_proba(values)[:, mixture.means_.argmin()]), torch.from_numpy(values[:, 0])


class DivideMix(Learner):
    VIEWS, TURNS = 4, {"": [""], "second": ["second"]}
    THRESHOLD, TEMPERATURE, ALPHA, LAMBDA_U, RAMPUP = 0.5, 0.5, 4.0, 25.0, 16
    SINCE = 4  # epochs since the warm-up

    def draw(self):
        def losses():
            while True:
                losses = (torch.where(self.given != self.clean, 1.2, 0.4) + 0.25 * torch.randn(IMAGES)).abs()
                ways = torch.stack([clean_probability(losses, seed)[0] for seed in range(10)])
                # of few losses there may be more than one mixture
                if (ways - ways[0]).abs().max() < 1e-9 and ((ways[0] > 0.1) & (ways[0] < 0.9)).any():
                    return losses
        self.sample_losses = {"sample_loss": losses(), "sample_loss.second": losses()}
        draws = {}
        for end in ("", ".second"):
            l = [numpy.random.beta(self.ALPHA, self.ALPHA) for _ in range(STEPS)]
            draws["mixup_pair" + end] = [torch.randperm(2 * BATCH) for _ in range(STEPS)]
            draws["mixup_lambda" + end] = [torch.full((2 * BATCH,), max(v, 1 - v)).float() for v in l]
        return draws

    def own(self, net, views):
        """The logits of both views without a gradient, in training mode. The running statistics are the mean of both orders of
        the passes: which of two views comes first means nothing."""
        with torch.no_grad():
            other = copy.deepcopy(net)
            [other(v) for v in reversed(views)]
            logits = [net(v) for v in views]
            for (name, mine), (_, theirs) in zip(net.named_buffers(), other.named_buffers()):
                if "running" in name:
                    mine.copy_((mine + theirs) / 2)
        return logits

    def loss(self, step, turn):
        second, end = turn == "second", ".second" if turn else ""
        net, other = (self.second.backbone, self.backbone) if second else (self.backbone, self.second.backbone)
        rows = self.ORDER[step]
        views = [v[rows] for v in self.views[2 * second : 2 * second + 2]]
        y = F.one_hot(self.given[rows], CLASSES).to(views[0].dtype)
        # co-divide: by the other network's losses
        w = clean_probability(self.sample_losses["sample_loss" if second else "sample_loss.second"])[0][rows]
        w = w.to(y.dtype)[:, None]
        labelled = (w > self.THRESHOLD)[:, 0]
        own = sum(z.softmax(1) for z in self.own(net, views)) / 2
        with torch.no_grad():
            other.eval()
            others = sum(other(v).softmax(1) for v in views) / 2
            other.train()
        p = torch.where(labelled[:, None], w * y + (1 - w) * own, (own + others) / 2)
        p = p ** (1 / self.TEMPERATURE)
        p = p / p.sum(1, keepdim=True)
        x, p, labelled = torch.cat(views), torch.cat([p, p]), torch.cat([labelled, labelled])
        pair, l = self.draws["mixup_pair" + end][step], self.draws["mixup_lambda" + end][step][0].to(x.dtype)
        z, t = net(l * x + (1 - l) * x[pair]), l * p + (1 - l) * p[pair]
        of_labelled = -(t[labelled] * z[labelled].log_softmax(1)).sum(1).mean()
        of_rest = ((z[~labelled].softmax(1) - t[~labelled]) ** 2).mean() if (~labelled).any() else 0.0
        rise = min(max((self.SINCE + step / STEPS) / self.RAMPUP, 0.0), 1.0)
        penalty = (torch.log(1 / CLASSES / z.softmax(1).mean(0)) / CLASSES).sum()
        return of_labelled + self.LAMBDA_U * rise * of_rest + penalty


def rampup(step, length):
    return math.exp(-5 * (1 - min(step / length, 1)) ** 2)


class ElrPlus(Learner):
    """Each network with the targets of the other's weight average; step 0 is the first of the second epoch."""

    VIEWS, TURNS = 2, {"": ["", "second"]}
    ORDER = Elr.ORDER
    BETA, LAMBDA, COEF_STEP, EMA_ALPHA, EMA_STEP = 0.7, 3.0, 10, 0.9, 8
    BEFORE = STEPS  # steps of the first epoch

    def __init__(self, *args):
        super().__init__(*args)
        self.average, self.second_average = nn.Module(), nn.Module()
        self.average.backbone = copy.deepcopy(self.backbone).requires_grad_(False)
        self.second_average.backbone = copy.deepcopy(self.second.backbone).requires_grad_(False)
        self.register_buffer("elr_targets", torch.zeros(IMAGES, CLASSES))
        self.second.register_buffer("elr_targets", torch.zeros(IMAGES, CLASSES))

    def begin_copies(self):
        self.average.backbone.load_state_dict(self.backbone.state_dict())
        self.second_average.backbone.load_state_dict(self.second.backbone.state_dict())

    def draw(self):
        draws = {}
        for end in ("", ".second"):
            l = [numpy.random.beta(1.0, 1.0) for _ in range(STEPS)]
            draws["mixup_pair" + end] = [torch.randperm(BATCH) for _ in range(STEPS)]
            draws["mixup_lambda" + end] = [torch.full((BATCH,), max(v, 1 - v)).float() for v in l]
        return draws

    def of(self, step, view, net, average, holder, end):
        rows = self.ORDER[step]
        x, y = view[rows], F.one_hot(self.given[rows], CLASSES).to(view.dtype)
        pair, l = self.draws["mixup_pair" + end][step], self.draws["mixup_lambda" + end][step][0].to(x.dtype)
        with torch.no_grad():
            said = average(x).softmax(1)
        holder.elr_targets[rows] = self.BETA * holder.elr_targets[rows] + (1 - self.BETA) * said
        t = holder.elr_targets[rows].clone()
        q = l * t + (1 - l) * t[pair]
        z = net(l * x + (1 - l) * x[pair])
        y = l * y + (1 - l) * y[pair]
        held = (1 - (q * z.softmax(1).clamp(1e-4, 1 - 1e-4)).sum(1)).log().mean()
        rise = rampup(self.BEFORE + step + 1, self.COEF_STEP)
        return -(y * z.log_softmax(1)).sum(1).mean() + rise * self.LAMBDA * held

    def loss(self, step, turn):
        first = self.of(step, self.views[0], self.backbone, self.second_average.backbone, self, "")
        return first + self.of(step, self.views[1], self.second.backbone, self.average.backbone, self.second, ".second")

    def after_update(self, step):
        keep = self.EMA_ALPHA * rampup(self.BEFORE + step + 2, self.EMA_STEP)
        for average, net in [(self.average, self.backbone), (self.second_average, self.second.backbone)]:
            with torch.no_grad():
                for a, p in zip(average.backbone.parameters(), net.parameters()):
                    a.mul_(keep).add_(p, alpha=1 - keep)


METHODS = {
    "cross_entropy": CrossEntropy, "balanced": Balanced, "label_smoothing": LabelSmoothing, "gce": Gce, "sce": Sce,
    "nce_rce": NceRce, "forward": Forward, "backward": Backward, "mixup": Mixup, "elr": Elr, "co_teaching": CoTeaching,
    "jocor": JoCor, "dividemix": DivideMix, "elr_plus": ElrPlus,
}


def run(model, views):
    """The losses of each turn, and the weights after each step."""
    def of(players):
        return [p for k, p in model.named_parameters() if ("second" if k.startswith("second.") else "") in players]
    optimizers = {
        turn: torch.optim.SGD(of(players), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
        for turn, players in model.TURNS.items()
    }
    model.train()
    model.views = views
    losses, after = {turn: [] for turn in model.TURNS}, []
    for step in range(STEPS):
        for turn, optimizer in optimizers.items():
            loss = model.loss(step, turn)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[turn].append(loss.detach())
        model.after_update(step)
        after.append(weights(model))
    return {turn: torch.stack(l) for turn, l in losses.items()}, after


def drawn(name, model):
    """Views and what else is drawn, such that weights that differ by 3e-7 change no update by more than 5e-4: neither an
    activation at the kink of a ReLU nor two losses that are nearly alike (`ssl_methods.py`)."""
    for _ in range(400):
        views = [torch.randn(IMAGES, 1, SIZE, SIZE) for _ in range(model.VIEWS)]
        model.draws = model.draw()
        doubles, start = [v.double() for v in views], weights(model)
        exact = run(copy.deepcopy(model).double(), doubles)
        for _ in range(3):
            nudged = copy.deepcopy(model).double()
            with torch.no_grad():
                for p in nudged.parameters():
                    p.mul_(1 + 3e-7 * torch.randn_like(p))
            nudged.begin_copies()
            begun, (_, after) = weights(nudged), run(nudged, doubles)
            as_if = {k: start[k].double() + after[-1][k] - begun[k] for k in start}
            if update_error(start, exact[1][-1], as_if)[0] > 5e-4:
                break
        else:
            return views, exact
    raise RuntimeError(f"{name}: no views without a kink")


def mixtures(out):
    """Losses of clean and wrong labels: far apart, overlapping, few wrong, and of one kind alone."""
    for name, sizes, gap, spread in [
        ("apart", (60, 40), 2.0, 0.2), ("overlapping", (80, 60), 0.8, 0.4), ("few", (140, 9), 1.5, 0.2), ("one", (90, 0), 0.0, 0.3),
    ]:
        losses = torch.cat([0.5 + spread * torch.randn(sizes[0]), 0.5 + gap + spread * torch.randn(sizes[1])]).abs()
        values = clean_probability(losses)[1].float()
        out[f"mixture/{name}/values"] = values
        out[f"mixture/{name}/clean"] = torch.stack([clean_probability(values, seed)[0].float() for seed in range(10)])


def make(resnet18):
    torch.manual_seed(52)
    clean, given = labels()
    networks = [resnet18(2, 1, CLASSES, "3x3") for _ in range(2)]
    for net in networks:
        stir(net)
        net.fc.weight.data.mul_(4)  # predictions that differ
    out = {"labels/clean": clean, "labels/given": given}
    both = DivideMix(networks, clean, given)
    out |= {f"param/{k}": v for k, v in weights(both).items()}
    for seed, (name, method) in enumerate(METHODS.items()):
        torch.manual_seed(60 + seed)  # a method more leaves the others' numbers alone
        numpy.random.seed(60 + seed)
        model = method(networks, clean, given)
        views, (exact, exact_after) = drawn(name, model)
        out |= {f"{name}/view{i}": v for i, v in enumerate(views)}
        out |= {f"{name}/indices/{k}": torch.tensor(rows) for k, rows in enumerate(model.ORDER)}
        out |= {f"{name}/input/{k}/{s}": v for k, steps in model.draws.items() for s, v in enumerate(steps)}
        out |= {f"{name}/{k}": v for k, v in getattr(model, "sample_losses", {}).items()}
        start = weights(model)
        losses, after = run(copy.deepcopy(model), views)
        for turn, values in exact.items():
            out[".".join(filter(None, [f"{name}/loss", turn]))] = values.float()
        out |= {f"{name}/after/{k}": v.float() for k, v in exact_after[-1].items()}
        loss_error = max(((losses[t] - exact[t]) / exact[t]).abs().max().item() for t in exact)
        print(f"  {name}: f32 against f64, loss {loss_error:.1e}, update %.1e (%s)" % update_error(start, exact_after[-1], after[-1]))
    torch.manual_seed(90)
    mixtures(out)
    return out
