"""Makes the golden values of the self-supervised methods: three steps of each from the same weights and views.

Losses, heads and the moving average are lightly's (`pip install lightly`) where it has the authors' form. The rest is
PyTorch, written from the paper's equations. The network is torchvision's ResNet-18 with 2 channels instead of 64. SGD
with momentum moves it.

`make()` returns the tensors of ssl.safetensors. `param/<name>` are the backbone's parameters, which all methods share.
For each method there are:
- `<method>/param/<name>`: the parameters of its heads;
- `<method>/view<i>/<step>`: the views;
- `<method>/loss` [3]: the loss of each step;
- `<method>/after/<name>`: the weights and running statistics after the last step, computed in f64;
- `<method>/input/<name>/<step>`: what the method draws on the host.
The same steps in f32 serve only as a yardstick, which is printed.
"""

import copy
import itertools
import math

import torch
import torch.nn.functional as F
from lightly.loss import DINOLoss, NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from lightly.models.modules.heads import (
    DINOProjectionHead, MoCoProjectionHead, SimCLRProjectionHead, SimSiamPredictionHead, SimSiamProjectionHead)
from lightly.models.utils import update_momentum
from torch import nn

BATCH, SIZE, STEPS, FEATURES = 8, 16, 3, 16
LR, MOMENTUM, DECAY = 0.002, 0.9, 1e-4
CONSTANT_LR = 0.005
# networks that follow the one that is trained
FOLLOWERS = ("key.", "target.", "teacher.")


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

    def draw(self):
        """What is drawn on the host, by name, for each step."""
        return {}

    def each(self, views, f):
        """Applies f to each view in a pass of its own.

        The running statistics become the mean over both orders of the passes, because the order of two views has no
        meaning."""
        if len(views) == 1:
            return [f(self, views[0])]
        other = copy.deepcopy(self)
        with torch.no_grad():
            [f(other, v) for v in reversed(views)]
        self.other = [other]
        return [f(self, v) for v in views]

    def mean_of_orders(self):
        """Runs after the gradient is known, because the gradient is taken with the buffers as they were."""
        for other in self.__dict__.pop("other", []):
            for (name, mine), (_, theirs) in zip(self.named_buffers(), other.named_buffers()):
                if "running" in name and not name.startswith(FOLLOWERS):
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
        # lightly's head has batch norm; the head of the studied paper has none
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
        """Normalizes each part of the batch by itself, as the authors' SplitBatchNorm does.

        Two things differ from theirs: which samples make a part, and the running statistics. Here those are of the
        whole batch; theirs are the mean of the parts' statistics."""
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
        order = self.draws["shuffled_indices"][step]
        with torch.no_grad():
            k = F.normalize(self.key.projection(self.key.backbone(views[1][order])))[order.argsort()]
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.clone().T], dim=1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.long))
        for row in k:
            self.queue[self.at] = row
            self.at = (self.at + 1) % self.QUEUE
        return loss

    def draw(self):
        orders = [torch.randperm(BATCH) for _ in range(STEPS)]
        return {"shuffled_indices": orders, "unshuffle": [o.argsort() for o in orders]}

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
        # the authors' code standardises each view by itself; lightly standardises both together
        c = F.batch_norm(a, None, None, training=True).T @ F.batch_norm(b, None, None, training=True) / BATCH
        diagonal = (torch.diagonal(c) - 1).pow(2).sum()
        return diagonal + 0.0051 * (c - torch.diag(torch.diagonal(c))).pow(2).sum()


def byol_head(d, hidden, out):
    # as in the authors' code, the hidden layer has a bias and the last layer has none
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


class DinoNetwork(Method):
    """A backbone and lightly's head, whose parts have the program's names."""

    def __init__(self, backbone, freeze_last_layer=-1):
        super().__init__(backbone)
        head = DINOProjectionHead(FEATURES, 12, 6, 10, freeze_last_layer=freeze_last_layer)
        self.projection, self.last_layer = head.layers, head.last_layer
        self.__dict__["head"] = head
        self.settle()

    def settle(self):
        """Only a tensor without a history can be copied. A forward pass makes this one anew."""
        self.last_layer.weight = self.last_layer.weight.detach()

    def outputs(self, x):
        return self.head(self.backbone(x))


class Dino(DinoNetwork):
    """With lightly's loss, frozen last layer and moving average. An epoch is one step."""

    def __init__(self, backbone):
        super().__init__(backbone, freeze_last_layer=1)
        # from the authors' first values the output is so short that its direction turns round in a step
        for layer in self.projection[::2]:
            nn.init.normal_(layer.weight, std=0.3)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
        self.teacher = DinoNetwork(backbone)
        self.teacher.head.load_state_dict(self.head.state_dict())
        self.criterion = DINOLoss(
            10, warmup_teacher_temp=0.04, teacher_temp=0.07, warmup_teacher_temp_epochs=3, student_temp=0.1, center_momentum=0.8)
        self.register_buffer("center", torch.zeros(1, 10))

    def loss(self, views, step):
        self.settle()
        student = self.each(views, DinoNetwork.outputs)
        with torch.no_grad():
            teacher = self.teacher.each(views, DinoNetwork.outputs)
        return self.criterion(teacher, student, epoch=step)

    def before_update(self, step):
        self.head.cancel_last_layer_gradients(step)

    def after(self, step):
        keep = 1 - (1 - 0.9) * (math.cos(math.pi * step / STEPS) + 1) / 2
        update_momentum(self.backbone, self.teacher.backbone, keep)
        update_momentum(self.head, self.teacher.head, keep)
        self.center.copy_(self.criterion.center[0])


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


class Puzzle(Method):
    """Predicts the order of an image's pieces: one head sees each piece, one sees all pieces in their order."""

    def solve(self, pieces, step):
        """The loss for pieces [M, B, C, h, w]."""
        features = torch.stack([self.piece(f) for f in self.backbone(pieces.flatten(0, 1)).chunk(len(pieces))])
        labels, orders = self.draws["puzzle_labels"][step], self.orders
        in_order = torch.stack([features[orders[label], b].flatten() for b, label in enumerate(labels.tolist())])
        return F.cross_entropy(self.puzzle(in_order), labels)

    def draw(self):
        labels = [torch.randint(0, len(self.orders), (BATCH,)) for _ in range(STEPS)]
        rows = [torch.cat([self.orders[l] * BATCH + b for b, l in enumerate(step.tolist())]) for step in labels]
        return {"puzzle_rows": rows, "puzzle_labels": labels}


class JigMag(Puzzle):
    MAGNIFICATIONS = [1.0, 2.0, 4.0]

    def __init__(self, backbone):
        super().__init__(backbone)
        self.orders = torch.tensor(list(itertools.permutations(range(3))))
        self.piece, self.puzzle = nn.Identity(), mlp(nn.Linear(3 * FEATURES, 6))

    def loss(self, views, step):
        def seen(m):
            side, first = int(SIZE / m), (SIZE - int(SIZE / m)) // 2
            centre = views[0][:, :, first:first + side, first:first + side]
            return F.interpolate(centre, (SIZE, SIZE), mode="bilinear", antialias=True)
        return self.solve(torch.stack([seen(m) for m in self.MAGNIFICATIONS]), step)


class Jigsaw(Puzzle):
    TILE = 4

    def __init__(self, backbone):
        super().__init__(backbone)
        self.orders = torch.stack([torch.randperm(9) for _ in range(5)])
        self.piece = mlp(nn.Linear(FEATURES, 7), nn.ReLU())
        self.puzzle = mlp(nn.Linear(9 * 7, 11), nn.ReLU(), nn.Linear(11, 5))

    def draw(self):
        return super().draw() | {"tile_places": [torch.rand(9 * BATCH, 2) for _ in range(STEPS)]}

    def loss(self, views, step):
        cell, tiles = SIZE // 3, []
        begin = (self.draws["tile_places"][step] * (cell - self.TILE + 1)).long().view(9, BATCH, 2)
        for i in range(9):
            top, left = (SIZE - 3 * cell) // 2 + i // 3 * cell, (SIZE - 3 * cell) // 2 + i % 3 * cell
            row = []
            for b in range(BATCH):
                y, x = top + begin[i, b, 0], left + begin[i, b, 1]
                tile = views[0][b, :, y:y + self.TILE, x:x + self.TILE]
                variance, mean = torch.var_mean(tile, dim=(1, 2), keepdim=True, unbiased=False)
                row.append((tile - mean) / (variance + 1e-5).sqrt())
            tiles.append(torch.stack(row))
        return self.solve(torch.stack(tiles), step)


class Up(nn.Module):
    def __init__(self, c, k):
        super().__init__()
        self.weight, self.bn = nn.ConvTranspose2d(c, k, 3, stride=2, bias=False).weight, nn.BatchNorm2d(k)

    def forward(self, x):
        return self.bn(F.conv_transpose2d(x, self.weight, stride=2))


class Decoder(nn.Module):
    def __init__(self, latent, hidden):
        super().__init__()
        layers = [nn.Linear(latent, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
                  nn.Linear(hidden, 64 * 16, bias=False), nn.BatchNorm1d(64 * 16), nn.ReLU()]
        for i, layer in enumerate(layers):
            self.add_module(str(i), layer)
        self.up0, self.up1, self.up2 = Up(64, 32), Up(32, 8), Up(8, 1)

    def forward(self, z):
        for i in range(6):
            z = getattr(self, str(i))(z)
        x = self.up2(F.relu(self.up1(F.relu(self.up0(z.view(-1, 64, 4, 4))))))
        return F.interpolate(x, (SIZE, SIZE), mode="bilinear")


class Vae(Method):
    LATENT, BETA = 5, 0.1

    def __init__(self, backbone):
        super().__init__(backbone)
        h = 9
        self.encoder = mlp(nn.Linear(FEATURES, h, bias=False), nn.BatchNorm1d(h), nn.ReLU(),
                           nn.Linear(h, h, bias=False), nn.BatchNorm1d(h), nn.ReLU())
        self.mean, self.log_variance = mlp(nn.Linear(h, self.LATENT)), mlp(nn.Linear(h, self.LATENT))
        self.decoder = Decoder(self.LATENT, h)

    def draw(self):
        return {"noise": [torch.randn(BATCH, self.LATENT) for _ in range(STEPS)]}

    def loss(self, views, step):
        h = self.encoder(self.backbone(views[0]))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + (log_variance / 2).exp() * self.draws["noise"][step].to(mean.dtype)
        kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).mean()
        return F.mse_loss(self.decoder(z), views[0]) + self.BETA * kl


METHODS = {
    "rotation": Rotation, "jigsaw": Jigsaw, "jigmag": JigMag, "simclr": SimClr, "moco": Moco, "barlow_twins": BarlowTwins,
    "byol": Byol, "simsiam": SimSiam, "vicreg": VicReg, "vae": Vae, "dino": Dino,
}
# methods that see only one view of an image
OF_ONE_VIEW = (Rotation, Puzzle, Vae)


def weights(model):
    # what the program does not have: counts of batches, lengths that stay 1, and a copy of the center
    left_out = ("num_batches", "weight_g", "criterion.")
    return {k: v.detach().clone() for k, v in model.state_dict().items() if not any(part in k for part in left_out)}


def run(model, views, lr=LR):
    """Trains the steps. Returns the losses and the weights after each step."""
    trained = [p for k, p in model.named_parameters() if not k.startswith(FOLLOWERS)]
    # the authors' --fix-pred-lr: a rate of its own, which does not follow the others'
    apart = [p for k, p in model.named_parameters() if isinstance(model, SimSiam) and k.startswith("prediction.")]
    rest = [p for p in trained if not any(p is q for q in apart)]
    groups = [{"params": rest}] + ([{"params": apart, "lr": CONSTANT_LR}] if apart else [])
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, weight_decay=DECAY)
    model.train()
    losses, after = [], []
    for step in range(STEPS):
        loss = model.loss(views[step], step)
        optimizer.zero_grad()
        loss.backward()
        if hasattr(model, "before_update"):
            model.before_update(step)
        optimizer.step()
        with torch.no_grad():
            model.mean_of_orders()
        model.after(step)
        losses.append(loss.detach())
        after.append(weights(model))
    return torch.stack(losses), after


def stir(model):
    """Makes scales and shifts differ from 1 and 0, so that a test sees one that is swapped or forgotten."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)


def update_error(start, exact, other):
    """The worst distance between two runs' updates of a tensor, and the name of that tensor.

    The distance is a share of the update. What f32 rounds is taken off first."""
    worst = (0.0, "")
    for key, before in start.items():
        update = (exact[key] - before.double()).norm().clamp(min=1e-12)
        rounding = 2e-7 * max(before.norm().item(), before.numel() ** 0.5)
        worst = max(worst, (((other[key] - exact[key]).norm().item() - rounding) / update.item(), key))
    return worst


def drawn(name, model):
    """Draws the views, and the queue and the orders where a method has them.

    When rounding moves an activation across the kink of a ReLU, the gradient changes by far more than rounding. So
    views are drawn until weights that differ by 3e-7 change no update by more than 5e-4."""
    for _ in range(400):
        views = [[torch.randn(BATCH, 1, SIZE, SIZE) for _ in range(1 if isinstance(model, OF_ONE_VIEW) else 2)] for _ in range(STEPS)]
        model.draws = model.draw()
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
            if errors[-1] > 5e-4:
                break
        else:
            return views, doubles, exact
    raise RuntimeError(f"{name}: found no views that keep clear of the kink of every ReLU")


def make(resnet18):
    torch.manual_seed(12)
    backbone = resnet18(2, 1, 1, "3x3")
    backbone.fc = nn.Identity()
    stir(backbone)
    out = {f"param/backbone.{k}": v for k, v in weights(backbone).items()}
    for seed, (name, method) in enumerate(METHODS.items()):
        torch.manual_seed(20 + seed)  # one more method leaves the others' numbers as they are
        model = method(backbone)
        for head in ("projection", "prediction", "encoder", "decoder"):
            stir(getattr(model, head, nn.Identity()))
        for copied in ("key", "target"):
            if hasattr(model, copied):
                getattr(model, copied).projection.load_state_dict(model.projection.state_dict())
        views, _, (exact, exact_after) = drawn(name, model)
        start = weights(model)
        out |= {f"{name}/input/{k}/{s}": v for k, steps in model.draws.items() for s, v in enumerate(steps)}
        heads = {k: v for k, v in start.items() if not k.startswith(("backbone.", *FOLLOWERS))}
        out |= {f"{name}/param/{k}": v for k, v in heads.items()}
        out |= {f"{name}/view{i}/{s}": v for s, step in enumerate(views) for i, v in enumerate(step)}
        losses, after = run(model, views)
        out[f"{name}/loss"] = exact.float()
        out |= {f"{name}/after/{k}": v.float() for k, v in exact_after[-1].items()}
        loss_error = ((losses - exact) / exact).abs().max()
        print(f"  {name}: f32 against f64, loss {loss_error:.1e}, update %.1e (%s)" % update_error(start, exact_after[-1], after[-1]))
    return out
