"""Three steps of each self-supervised method from the same weights and views: losses and weights.

Losses, heads and the moving average are lightly's (`pip install lightly`) where it has the authors' form; the rest is
PyTorch from the paper's equations. The network is torchvision's ResNet-18 with 2 channels for 64, SGD with momentum moves it.

`make()` returns the tensors of ssl.safetensors: `param/<name>` (the backbone's, shared by all methods), and for each
method `<method>/param/<name>` (its heads), `<method>/view<i>/<step>`, `<method>/loss` [3], and `<method>/after/<step>/<name>`,
the weights and running statistics after step 0 and after step 2, computed in f64. The same in f32 is only the yardstick, which
is printed. What a method draws (MoCo's shuffle) is `<method>/order/<step>`.
"""

import copy
import math

import torch
import torch.nn.functional as F
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from lightly.models.modules.heads import MoCoProjectionHead, SimCLRProjectionHead, SimSiamPredictionHead, SimSiamProjectionHead
from lightly.models.utils import update_momentum
from torch import nn

BATCH, SIZE, STEPS, FEATURES = 8, 16, 3, 16
LR, MOMENTUM, DECAY = 0.002, 0.9, 1e-4


def mlp(*layers):
    return nn.Sequential(*layers)


class Method(nn.Module):
    """What is trained, under the names that the program uses."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        self.backbone.fc = nn.Identity()

    def after(self, step):
        pass

    def each(self, views, f):
        """f of each view by a pass of its own. The running statistics are the mean of both orders of the passes: which of
        two views comes first means nothing."""
        if len(views) == 1:
            return [f(self, views[0])]
        other = copy.deepcopy(self)
        with torch.no_grad():
            [f(other, v) for v in reversed(views)]
        self.other = [other]
        return [f(self, v) for v in views]

    def mean_of_orders(self):
        """Once the gradient is known: it is taken with the buffers as they were."""
        for other in self.__dict__.pop("other", []):
            for (name, mine), (_, theirs) in zip(self.named_buffers(), other.named_buffers()):
                if "running" in name and not name.startswith("target."):
                    mine.copy_((mine + theirs) / 2)
        for child in self.children():
            if isinstance(child, Method):
                child.mean_of_orders()


class Rotation(Method):
    def __init__(self, backbone):
        super().__init__(backbone)
        self.rotation = mlp(nn.Linear(FEATURES, 4))

    def loss(self, views, step):
        x = torch.cat([torch.rot90(views[0], k, dims=(2, 3)) for k in range(4)])
        return F.cross_entropy(self.rotation(self.backbone(x)), torch.arange(4).repeat_interleave(BATCH))


class SimClr(Method):
    def __init__(self, backbone):
        super().__init__(backbone)
        # lightly's has batch norm in it; the studied paper's has none
        self.projection = mlp(nn.Linear(FEATURES, 12), nn.ReLU(), nn.Linear(12, 6))

    def loss(self, views, step):
        z = self.projection(self.backbone(torch.cat(views)))
        return NTXentLoss(temperature=0.2)(z[:BATCH], z[BATCH:])


class Moco(Method):
    SPLITS, QUEUE, KEEP = 2, 20, 0.9

    def __init__(self, backbone):
        super().__init__(backbone)
        self.projection = MoCoProjectionHead(FEATURES, 12, 6).layers
        self.key = nn.Module()
        self.key.backbone, self.key.projection = copy.deepcopy(self.backbone), copy.deepcopy(self.projection)
        self.register_buffer("queue", F.normalize(torch.randn(self.QUEUE, 6)))
        self.at = 0

    @staticmethod
    def split(model, splits):
        """Batch norm of each part of the batch, and running statistics of the whole: the authors' SplitBatchNorm, but for
        which samples make a part."""
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                def forward(x, m=module):
                    F.batch_norm(x.detach(), m.running_mean, m.running_var, None, None, True, m.momentum, m.eps)
                    parts = [F.batch_norm(p, None, None, m.weight, m.bias, True, 0, m.eps) for p in x.chunk(splits)]
                    return torch.cat(parts)
                module.forward = forward

    def loss(self, views, step):
        if step == 0:
            self.split(self, self.SPLITS)
        q = F.normalize(self.projection(self.backbone(views[0])))
        order = self.orders[step]
        with torch.no_grad():
            k = F.normalize(self.key.projection(self.key.backbone(views[1][order])))[order.argsort()]
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.clone().T], dim=1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.long))
        for row in k:
            self.queue[self.at] = row
            self.at = (self.at + 1) % self.QUEUE
        return loss

    def after(self, step):
        update_momentum(self.backbone, self.key.backbone, self.KEEP)
        update_momentum(self.projection, self.key.projection, self.KEEP)


class BarlowTwins(Method):
    def __init__(self, backbone):
        super().__init__(backbone)
        d = 12
        self.projection = mlp(
            nn.Linear(FEATURES, d, bias=False), nn.BatchNorm1d(d), nn.ReLU(),
            nn.Linear(d, d, bias=False), nn.BatchNorm1d(d), nn.ReLU(), nn.Linear(d, d, bias=False))

    def loss(self, views, step):
        a, b = self.each(views, lambda m, x: m.projection(m.backbone(x)))
        # the authors' code; lightly's standardises both views together
        c = F.batch_norm(a, None, None, training=True).T @ F.batch_norm(b, None, None, training=True) / BATCH
        diagonal = (torch.diagonal(c) - 1).pow(2).sum()
        return diagonal + 0.0051 * (c - torch.diag(torch.diagonal(c))).pow(2).sum()


def byol_head(d, hidden, out):
    # the authors' code: the hidden layer has a bias, the last one none
    return mlp(nn.Linear(d, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out, bias=False))


class Byol(Method):
    def __init__(self, backbone):
        super().__init__(backbone)
        self.projection, self.prediction = byol_head(FEATURES, 12, 6), byol_head(6, 10, 6)
        self.target = Method(backbone)
        self.target.projection = copy.deepcopy(self.projection)

    def loss(self, views, step):
        p = self.each(views, lambda m, x: m.prediction(m.projection(m.backbone(x))))
        with torch.no_grad():
            z = self.target.each(views, lambda m, x: m.projection(m.backbone(x)))
        cosine = NegativeCosineSimilarity()
        return 2 + 2 * cosine(p[0], z[1]) + 2 + 2 * cosine(p[1], z[0])

    def after(self, step):
        keep = 1 - (1 - 0.9) * (math.cos(math.pi * step / STEPS) + 1) / 2
        update_momentum(self.backbone, self.target.backbone, keep)
        update_momentum(self.projection, self.target.projection, keep)


class SimSiam(Method):
    def __init__(self, backbone):
        super().__init__(backbone)
        self.projection = SimSiamProjectionHead(FEATURES, 12, 12).layers
        self.prediction = SimSiamPredictionHead(12, 6, 12).layers

    def loss(self, views, step):
        def both(m, x):
            z = m.projection(m.backbone(x))
            return z, m.prediction(z)
        (z0, p0), (z1, p1) = self.each(views, both)
        cosine = NegativeCosineSimilarity()
        return (cosine(p0, z1.detach()) + cosine(p1, z0.detach())) / 2


class VicReg(Method):
    def __init__(self, backbone):
        super().__init__(backbone)
        d = 12
        self.projection = mlp(
            nn.Linear(FEATURES, d), nn.BatchNorm1d(d), nn.ReLU(),
            nn.Linear(d, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Linear(d, d, bias=False))

    def loss(self, views, step):
        a, b = self.each(views, lambda m, x: m.projection(m.backbone(x)))
        return VICRegLoss(lambda_param=25.0, mu_param=25.0, nu_param=1.0)(a, b)


METHODS = {
    "rotation": Rotation, "simclr": SimClr, "moco": Moco, "barlow_twins": BarlowTwins, "byol": Byol, "simsiam": SimSiam,
    "vicreg": VicReg,
}


def weights(model):
    return {k: v.detach().clone() for k, v in model.state_dict().items() if "num_batches" not in k}


def run(model, views):
    """Losses and the weights after each step."""
    trained = [p for k, p in model.named_parameters() if not k.startswith(("key.", "target."))]
    optimizer = torch.optim.SGD(trained, lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    model.train()
    losses, after = [], []
    for step in range(STEPS):
        loss = model.loss(views[step], step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.mean_of_orders()
        model.after(step)
        losses.append(loss.detach())
        after.append(weights(model))
    return torch.stack(losses), after


def stir(model):
    """Makes scales and shifts differ from 1 and 0: a test must see a swapped or forgotten one."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)


def update_error(start, exact, other):
    """The worst distance of two runs' updates of a tensor, over the update, beyond what f32 rounds, and whose it is."""
    worst = (0.0, "")
    for key, before in start.items():
        update = (exact[key] - before.double()).norm().clamp(min=1e-12)
        rounding = 2e-7 * max(before.norm().item(), before.numel() ** 0.5)
        worst = max(worst, (((other[key] - exact[key]).norm().item() - rounding) / update.item(), key))
    return worst


def drawn(name, model):
    """Views, and a queue and orders where there are some. An activation that rounding moves across the kink of a ReLU
    changes a gradient by far more than rounding, so views are drawn until weights that differ by 3e-7 change no update by
    more than 3e-4."""
    for _ in range(200):
        views = [[torch.randn(BATCH, 1, SIZE, SIZE) for _ in range(1 if name == "rotation" else 2)] for _ in range(STEPS)]
        model.orders = [torch.randperm(BATCH) for _ in range(STEPS)]
        doubles, start = [[v.double() for v in step] for step in views], weights(model)
        exact = run(copy.deepcopy(model).double(), doubles)
        errors = []
        for _ in range(3):
            nudged = copy.deepcopy(model).double()
            with torch.no_grad():
                for p in nudged.parameters():
                    p.mul_(1 + 3e-7 * torch.randn_like(p))
            begun, (_, after) = weights(nudged), run(nudged, doubles)
            as_if = {k: start[k].double() + after[-1][k] - begun[k] for k in start}
            errors.append(update_error(start, exact[1][-1], as_if)[0])
        if max(errors) < 3e-4:
            return views, doubles, exact
    raise RuntimeError(f"{name}: no views without a kink")


def make(resnet18):
    torch.manual_seed(12)
    backbone = resnet18(2, 1, 1, "3x3")
    backbone.fc = nn.Identity()
    stir(backbone)
    out = {f"param/backbone.{k}": v for k, v in weights(backbone).items()}
    for name, method in METHODS.items():
        model = method(backbone)
        for head in ("projection", "prediction"):
            stir(getattr(model, head, nn.Identity()))
        for copied in ("key", "target"):
            if hasattr(model, copied):
                getattr(model, copied).projection.load_state_dict(model.projection.state_dict())
        views, _, (exact, exact_after) = drawn(name, model)
        start = weights(model)
        if name == "moco":
            out |= {f"{name}/order/{s}": o for s, o in enumerate(model.orders)}
        heads = {k: v for k, v in start.items() if not k.startswith(("backbone.", "key.", "target."))}
        out |= {f"{name}/param/{k}": v for k, v in heads.items()}
        out |= {f"{name}/view{i}/{s}": v for s, step in enumerate(views) for i, v in enumerate(step)}
        losses, after = run(model, views)
        out[f"{name}/loss"] = exact.float()
        for step in (0, STEPS - 1):
            out |= {f"{name}/after/{step}/{k}": v.float() for k, v in exact_after[step].items()}
        loss_error = ((losses - exact) / exact).abs().max()
        print(f"  {name}: f32 against f64, loss {loss_error:.1e}, update %.1e (%s)" % update_error(start, exact_after[-1], after[-1]))
    return out
