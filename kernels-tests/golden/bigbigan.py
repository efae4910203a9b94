"""Three steps of BigBiGAN (Donahue & Simonyan 2019, arXiv 1907.02544), written from the equations of its section 2 with torch's own
spectral norm: of each, two turns of the discriminators and one of encoder and generator.

`make()` returns the tensors of ssl_bigbigan.safetensors, whose keys are those of ssl.safetensors (see ssl_methods.py) with these
differences: `bigbigan/param/` holds the backbone too; `bigbigan/input/<name>/<step>.<repeat>` is what a turn draws, the
generator's turn what the discriminators' first drew; `bigbigan/loss` and `bigbigan/loss/<score>` have a number for each turn,
nine in all; `bigbigan/planted/<what>` holds the same losses of a method with that error, which must be told from the right ones.
"""

import copy

import torch
import torch.nn.functional as F
from ssl_methods import BATCH, DECAY, FEATURES, LR, MOMENTUM, SIZE, STEPS, stir, update_error
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

TURNS = [("discriminators", 0), ("discriminators", 1), ("generator", 0)]
LATENT, DROPOUT, SLOPE = 8, 0.25, 0.3
ENCODER, GENERATOR, IMAGE, CODE, JOINT = [7, 6], [5, 4], [4, 5], [7, 6], [6, 5]
PLANTED = [
    "no hinge", "hinge at 0.99", "no s_x", "no s_z", "no s_xz", "pairs the other way round",
    "no spectral norm in the discriminators", "no spectral norm in the generator", "two rounds of power iteration", "no noise in the code", "exp for softplus",
    "no dropout", "encoder is not trained", "generator is not trained", "one turn of the discriminators",
]


class Residual(nn.Module):
    def __init__(self, d, k, normed):
        super().__init__()
        self.shortcut, self.linear1, self.linear2 = (normed(nn.Linear(i, k)) for i in (d, d, k))

    def forward(self, x, masks):
        y = x
        for layer in (self.linear1, self.linear2):
            y = F.leaky_relu(masks(layer(y)), SLOPE)
        return y + F.leaky_relu(self.shortcut(x), SLOPE)


class Mlp(nn.Module):
    def __init__(self, d, dims, normed):
        super().__init__()
        for i, k in enumerate(dims):
            self.add_module(f"block{i}", Residual(d, k, normed))
            d = k
        self.blocks = len(dims)

    def forward(self, x, masks):
        for i in range(self.blocks):
            x = getattr(self, f"block{i}")(x, masks)
        return x


class Encoder(Mlp):
    def __init__(self):
        super().__init__(FEATURES, ENCODER, lambda layer: layer)
        self.mean, self.deviation = nn.Linear(ENCODER[-1], LATENT), nn.Linear(ENCODER[-1], LATENT)


class Conditional(nn.Module):
    def __init__(self, c, d, normed):
        super().__init__()
        self.bn = nn.BatchNorm2d(c, affine=False)
        self.gain, self.bias = normed(nn.Linear(d, c, bias=False)), normed(nn.Linear(d, c, bias=False))

    def forward(self, x, condition):
        return self.bn(x) * (1 + self.gain(condition))[:, :, None, None] + self.bias(condition)[:, :, None, None]


class Up(nn.Module):
    def __init__(self, c, k, d, normed):
        super().__init__()
        self.shortcut = normed(nn.Conv2d(c, k, 1, bias=False))
        self.bn1, self.bn2 = Conditional(c, d, normed), Conditional(k, d, normed)
        self.conv1 = normed(nn.Conv2d(c, k, 3, padding=1, bias=False))
        self.conv2 = normed(nn.Conv2d(k, k, 3, padding=1, bias=False))

    def forward(self, x, condition):
        y = F.interpolate(F.relu(self.bn1(x, condition)), scale_factor=2, mode="nearest")
        y = self.conv2(F.relu(self.bn2(self.conv1(y), condition)))
        return y + self.shortcut(F.interpolate(x, scale_factor=2, mode="nearest"))


class Generator(nn.Module):
    def __init__(self, normed):
        super().__init__()
        parts = len(GENERATOR) + 1
        self.ends = [LATENT * i // parts for i in range(parts + 1)]
        lengths = [b - a for a, b in zip(self.ends, self.ends[1:])]
        self.side = SIZE // 2 ** len(GENERATOR)
        self.linear = normed(nn.Linear(lengths[0], GENERATOR[0] * self.side ** 2))
        c = GENERATOR[0]
        for i, k in enumerate(GENERATOR):
            self.add_module(f"block{i}", Up(c, k, lengths[i + 1], normed))
            c = k
        self.bn = nn.BatchNorm2d(c)
        self.conv = normed(nn.Conv2d(c, 1, 3, padding=1, bias=False))

    def forward(self, z):
        parts = [z[:, a:b] for a, b in zip(self.ends, self.ends[1:])]
        x = self.linear(parts[0]).view(-1, GENERATOR[0], self.side, self.side)
        for i, part in enumerate(parts[1:]):
            x = getattr(self, f"block{i}")(x, part)
        return self.conv(F.relu(self.bn(x)))


class Down(nn.Module):
    def __init__(self, c, k, normed, first=False, last=False):
        super().__init__()
        self.first, self.last = first, last
        self.conv1 = normed(nn.Conv2d(c, k, 3, padding=1, bias=False))
        self.conv2 = normed(nn.Conv2d(k, k, 3, padding=1, bias=False))
        if not last:
            self.shortcut = normed(nn.Conv2d(c, k, 1, bias=False))

    def forward(self, x):
        y = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.last:
            return x + y
        return F.avg_pool2d(y, 3, 2, 1) + F.avg_pool2d(self.shortcut(x), 3, 2, 1)


class Image(nn.Module):
    def __init__(self, normed):
        super().__init__()
        c = 1
        for i, k in enumerate(IMAGE):
            self.add_module(f"block{i}", Down(c, k, normed, first=i == 0))
            c = k
        self.last, self.score = Down(c, c, normed, last=True), normed(nn.Linear(c, 1))

    def forward(self, x):
        for i in range(len(IMAGE)):
            x = getattr(self, f"block{i}")(x)
        return F.relu(self.last(x)).sum(dim=(2, 3))


class Discriminators(nn.Module):
    def __init__(self, normed):
        super().__init__()
        self.image, self.latent = Image(normed), Mlp(LATENT, CODE, normed)
        self.joint = Mlp(IMAGE[-1] + CODE[-1], JOINT, normed)
        self.latent.score, self.joint.score = normed(nn.Linear(CODE[-1], 1)), normed(nn.Linear(JOINT[-1], 1))

    def forward(self, x, z, masks):
        seen = self.image(x)
        read = self.latent(z, masks)
        both = self.joint(torch.cat([seen, read], dim=1), masks)
        return [self.image.score(seen), self.latent.score(read), self.joint.score(both)]


class Masks:
    def __init__(self, numbers):
        self.numbers, self.taken = numbers, 0

    def __call__(self, x):
        if self.numbers is None:
            return x
        mask = self.numbers[self.taken:self.taken + x.numel()].view_as(x)
        self.taken += x.numel()
        return x * mask.to(x.dtype)


class BigBiGan(nn.Module):
    """What is trained, under the names that the program uses."""

    def __init__(self, backbone):
        super().__init__()
        self.plant = ""
        self.backbone, self.encoder = copy.deepcopy(backbone), Encoder()
        self.generator, self.discriminators = Generator(spectral_norm), Discriminators(spectral_norm)

    def planted(self, what):
        other = copy.deepcopy(self)
        other.plant = what
        without = {"no spectral norm in the generator": other.generator,
                   "no spectral norm in the discriminators": other.discriminators}.get(what, nn.Identity())
        for module in without.modules():
            if hasattr(module, "n_power_iterations"):
                module.forward = lambda weight: weight
        for module in other.modules():
            if what == "two rounds of power iteration" and hasattr(module, "n_power_iterations"):
                module.n_power_iterations = 2
        return other

    def loss(self, turn, x, draws):
        masks = Masks(None if self.plant == "no dropout" else draws["dropout"])
        z, noise = draws["latent"].to(x.dtype), draws["noise"].to(x.dtype)
        h = self.encoder(self.backbone(x), masks)
        deviation = self.encoder.deviation(h)
        deviation = deviation.exp() if self.plant == "exp for softplus" else F.softplus(deviation)
        code = self.encoder.mean(h) + (0 if self.plant == "no noise in the code" else deviation * noise)
        pairs = torch.cat([x, self.generator(z)]), torch.cat([code, z])
        if turn == "discriminators":
            pairs = [p.detach() for p in pairs]
        scores = self.discriminators(*pairs, masks)
        terms = {}
        for name, score in zip(("s_x", "s_z", "s_xz"), scores):
            real, fake = score[:BATCH], score[BATCH:]
            if self.plant == "pairs the other way round":
                real, fake = fake, real
            if self.plant == f"no {name}":
                real, fake = 0 * real, 0 * fake
            if turn == "generator":
                terms[name] = real.mean() - fake.mean()
            elif self.plant == "no hinge":
                terms[name] = (1 - real).mean() + (1 + fake).mean()
            else:
                margin = 0.99 if self.plant == "hinge at 0.99" else 1
                terms[name] = F.relu(margin - real).mean() + F.relu(margin + fake).mean()
        return sum(terms.values()), terms


def named(key):
    return key.replace("parametrizations.weight.original", "weight").replace("parametrizations.weight.0._", "weight_") \
        .replace("bn1.bn.", "bn1.").replace("bn2.bn.", "bn2.")


def weights(model):
    return {named(k): v.detach().clone() for k, v in model.state_dict().items() if "num_batches" not in k}


def run(model, views, draws):
    """The losses of each turn, [turns, 4], and the weights after the last."""
    of = {"discriminators": [model.discriminators], "generator": [model.backbone, model.encoder, model.generator]}
    if model.plant == "encoder is not trained":
        of["generator"] = [model.generator]
    if model.plant == "generator is not trained":
        of["generator"] = [model.backbone, model.encoder]
    optimizers = {
        turn: torch.optim.SGD([p for part in parts for p in part.parameters()], lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
        for turn, parts in of.items()
    }
    model.train()
    losses = []
    for step in range(STEPS):
        for turn, repeat in TURNS:
            loss, terms = model.loss(turn, views[step], draws[step][repeat])
            model.zero_grad()
            loss.backward()
            if not (model.plant == "one turn of the discriminators" and repeat == 1):
                optimizers[turn].step()
            losses.append(torch.stack([loss, *terms.values()]).detach())
    return torch.stack(losses), weights(model)


def draw():
    rows = 2 * BATCH * sum(ENCODER) + 4 * BATCH * (sum(CODE) + sum(JOINT))
    keep = (torch.rand(rows) >= DROPOUT).float() / (1 - DROPOUT)
    return {"latent": torch.randn(BATCH, LATENT), "noise": torch.randn(BATCH, LATENT), "dropout": keep}


def drawn(model):
    """Views and draws without a kink, as in ssl_methods.py: weights that differ by 3e-7 change no update by more than 5e-4."""
    for _ in range(400):
        views = [torch.randn(BATCH, 1, SIZE, SIZE) for _ in range(STEPS)]
        draws = [[draw() for _ in range(2)] for _ in range(STEPS)]
        doubles, start = [v.double() for v in views], weights(model)
        exact = run(copy.deepcopy(model).double(), doubles, draws)
        for _ in range(3):
            nudged = copy.deepcopy(model).double()
            with torch.no_grad():
                for p in nudged.parameters():
                    p.mul_(1 + 3e-7 * torch.randn_like(p))
            begun, (_, after) = weights(nudged), run(nudged, doubles, draws)
            as_if = {k: start[k].double() + after[k] - begun[k] for k in start}
            if update_error(start, exact[1], as_if)[0] > 5e-4:
                break
        else:
            return views, draws, exact
    raise RuntimeError("bigbigan: no views without a kink")


def make(resnet18):
    torch.manual_seed(60)
    backbone = resnet18(2, 1, 1, "3x3")
    backbone.fc = nn.Identity()
    model = BigBiGan(backbone)
    stir(model)
    with torch.no_grad():
        # scores on both sides of the hinge's edge, for encoded pairs and for generated ones
        for name, bias in (("image", -0.8), ("latent", 0.9), ("joint", -0.9)):
            getattr(model.discriminators, name).score.bias.fill_(bias)
        # an encoder whose updates are far above what f32 rounds
        for name, p in model.encoder.named_parameters():
            p.mul_(2 if name.endswith("weight") else 1)
    views, draws, (losses, after) = drawn(model)
    out = {f"bigbigan/param/{k}": v for k, v in weights(model).items()}
    out |= {f"bigbigan/view0/{s}": v for s, v in enumerate(views)}
    for step, repeats in enumerate(draws):
        out |= {f"bigbigan/input/{k}/{step}.{r}": v for r, one in enumerate(repeats) for k, v in one.items()}
    out |= {f"bigbigan/loss{name}": losses[:, i].float() for i, name in enumerate(["", "/s_x", "/s_z", "/s_xz"])}
    out |= {f"bigbigan/after/{k}": v.float() for k, v in after.items()}
    doubles = [v.double() for v in views]
    for what in PLANTED:
        wrong, _ = run(model.planted(what).double(), doubles, draws)
        out[f"bigbigan/planted/{what}"] = wrong[:, 0].float()
        share = ((wrong[:, 0] - losses[:, 0]).abs() / losses[:, 0].abs().clamp(min=0.1)).max()
        print(f"  bigbigan, {what}: {share:.1e} apart")
    singles, single = run(copy.deepcopy(model), views, draws)
    error = ((singles - losses).abs() / losses.abs().clamp(min=0.1)).max()
    print(f"  bigbigan: f32 against f64, loss {error:.1e}, update %.1e (%s)" % update_error(weights(model), after, single))
    return out
