#!/usr/bin/env python3
"""Times a step of each pretraining method in PyTorch, beside `wgslab profile benches/peers/methods.toml --method M`.

    python3 benches/peers/torch_methods.py [METHOD …] [--size 32] [--batch 32] [--channels 3] [--device cpu] [--json FILE]

The network is torchvision's ResNet-18 with the 3x3 stem, the heads and losses are those that configs/ssl/METHOD.toml
describes, the optimizer is Adam. Images are random numbers that are on the device before the clock starts: nothing is loaded
and nothing is augmented. MAE's ViT-Ti and its decoder are of torch.nn's encoder layers.
BigBiGAN's step is two turns of the discriminators and one of encoder and generator.
"""

import argparse
import copy
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import lab
from torch_device import Device
from torch_step import nt_xent, peak_bytes, resnet18


def mlp(*sizes, norm=False, last=False):
    """Linear layers with ReLU between them; with batch norm before each ReLU (norm) and behind the last layer (last)."""
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        end = i + 2 == len(sizes)
        layers.append(nn.Linear(a, b, bias=not norm))
        if (norm and not end) or (last and end):
            layers.append(nn.BatchNorm1d(b))
        if not end:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class Network(nn.Module):
    """A backbone of 512 features and a head."""

    def __init__(self, head, channels):
        super().__init__()
        self.backbone = resnet18(10)
        self.backbone.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        self.backbone.fc = nn.Identity()
        self.head = head

    def forward(self, x):
        return self.head(self.backbone(x))


def follow(key, query, keep):
    """Moves each parameter of a slow network towards the fast one's."""
    with torch.no_grad():
        torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 1 - keep)


def off_diagonal(m):
    """The sum of squares of what is not on the diagonal."""
    return m.square().sum() - m.diagonal().square().sum()


def simclr(a, images):
    net = Network(mlp(512, 512, 128), a.channels)
    return [net], lambda: nt_xent(F.normalize(net(torch.cat(images()))), 0.2)


def moco(a, images):
    net = Network(mlp(512, 512, 128), a.channels)
    key = copy.deepcopy(net).requires_grad_(False)
    queue = F.normalize(torch.randn(4096, 128, device=a.on))

    def loss():
        one, two = images()
        q = F.normalize(net(one))
        with torch.no_grad():
            follow(key, net, 0.99)
            k = F.normalize(key(two))
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.clone().T], 1) / 0.2
        queue.copy_(torch.cat([k, queue[: -len(k)]]))
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=a.on))

    return [net], loss, [key]


def barlow_twins(a, images):
    net = Network(mlp(512, 2048, 2048, 2048, norm=True), a.channels)

    def loss():
        z = [F.batch_norm(net(x), None, None, training=True) for x in images()]
        c = z[0].T @ z[1] / a.batch
        return (c.diagonal() - 1).square().sum() + 0.0051 * off_diagonal(c)

    return [net], loss


def byol(a, images):
    head = lambda i, o: nn.Sequential(nn.Linear(i, 4096), nn.BatchNorm1d(4096), nn.ReLU(), nn.Linear(4096, o, bias=False))
    net, predict = Network(head(512, 256), a.channels), head(256, 256)
    target = copy.deepcopy(net).requires_grad_(False)

    def loss():
        one, two = images()
        with torch.no_grad():
            goals = target(two), target(one)
        total = sum(2 - 2 * F.cosine_similarity(predict(net(x)), g).mean() for x, g in zip((one, two), goals))
        follow(target, net, 0.99)
        return total

    return [net, predict], loss, [target]


def simsiam(a, images):
    net, predict = Network(mlp(512, 2048, 2048, 2048, norm=True, last=True), a.channels), mlp(2048, 512, 2048, norm=True)

    def loss():
        z = [net(x) for x in images()]
        p = [predict(x) for x in z]
        return -sum(F.cosine_similarity(p[i], z[1 - i].detach()).mean() for i in range(2)) / 2

    return [net, predict], loss


def dino(a, images):
    class Head(nn.Module):
        """Three layers with GELU, unit length, and 4096 outputs of directions of unit length."""

        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(512, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU(), nn.Linear(2048, 256))
            self.last = nn.Parameter(torch.randn(4096, 256))

        def forward(self, x):
            return F.linear(F.normalize(self.layers(x)), F.normalize(self.last))

    student = Network(Head(), a.channels)
    teacher = copy.deepcopy(student).requires_grad_(False)
    center = torch.zeros(4096, device=a.on)

    def loss():
        out = [student(x) for x in images()]
        with torch.no_grad():
            goals = [teacher(x) for x in images()]
            told = [F.softmax((goal - center) / 0.04, 1) for goal in goals]
            center.lerp_(torch.cat(goals).mean(0), 0.1)
        follow(teacher, student, 0.9995)
        return -sum((told[1 - i] * F.log_softmax(out[i] / 0.1, 1)).sum(1).mean() for i in range(2)) / 2

    return [student], loss, [teacher]


def vicreg(a, images):
    net = Network(mlp(512, 2048, 2048, 2048, norm=True), a.channels)

    def loss():
        z = [net(x) for x in images()]
        total = 25 * F.mse_loss(*z)
        for x in z:
            x = x - x.mean(0)
            total = total + 12.5 * F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean()
            total = total + off_diagonal(x.T @ x / (a.batch - 1)) / x.shape[1]
        return total

    return [net], loss


def rotation(a, images):
    net = Network(nn.Linear(512, 4), a.channels)
    labels = torch.arange(4, device=a.on).repeat_interleave(a.batch)
    return [net], lambda: F.cross_entropy(net(torch.cat([images()[0].rot90(k, (2, 3)) for k in range(4)])), labels)


def puzzle(a, images, pieces, size, each, all_):
    """One network on each piece, a head on all pieces of an image."""
    net = Network(each, a.channels)
    labels = torch.randint(all_[-1].out_features, (a.batch,), device=a.on)

    def loss():
        x = F.interpolate(images()[0], size, mode="bilinear").repeat(pieces, 1, 1, 1)
        return F.cross_entropy(all_(net(x).reshape(a.batch, -1)), labels)

    return [net, all_], loss


def jigsaw(a, images):
    side = round(a.size // 3 * 0.85)
    return puzzle(a, images, 9, side, nn.Sequential(nn.Linear(512, 512), nn.ReLU()), mlp(9 * 512, 1024, 100))


def jigmag(a, images):
    return puzzle(a, images, 3, a.size, nn.Identity(), nn.Sequential(nn.Linear(3 * 512, 6)))


def vae(a, images):
    hidden = nn.Sequential(*mlp(512, 1024, 1024, norm=True, last=True), nn.ReLU())
    net, mean, log_variance = Network(hidden, a.channels), nn.Linear(1024, 256), nn.Linear(1024, 256)
    grow = [nn.Sequential(*mlp(256, 1024, 1024, norm=True, last=True), nn.ReLU(), nn.Unflatten(1, (64, 4, 4)))]
    for c, k in [(64, 32), (32, 8), (8, a.channels)]:
        grow += [nn.ConvTranspose2d(c, k, 3, 2, bias=False), nn.BatchNorm2d(k), nn.ReLU()]
    decoder = nn.Sequential(*grow[:-1], nn.Upsample(a.size, mode="bilinear"))

    def loss():
        x = images()[0]
        h = net(x)
        m, v = mean(h), log_variance(h)
        drawn = decoder(m + torch.exp(v / 2) * torch.randn_like(m))
        return F.mse_loss(drawn, x) + 0.1 * 0.5 * (m.square() + v.exp() - 1 - v).mean()

    return [net, mean, log_variance, decoder], loss


class Mae(nn.Module):
    """ViT-Ti on a quarter of the patches, eight blocks of 512 on all."""

    def __init__(self, a):
        super().__init__()
        self.side, self.count = 4, (a.size // 4) ** 2
        pixels = a.channels * 16
        block = lambda d, heads: nn.TransformerEncoderLayer(d, heads, 4 * d, 0.0, "gelu", batch_first=True, norm_first=True)
        self.patch, self.widen = nn.Linear(pixels, 192), nn.Linear(192, 512)
        self.encoder = nn.Sequential(*[block(192, 3) for _ in range(12)], nn.LayerNorm(192))
        self.decoder = nn.Sequential(*[block(512, 16) for _ in range(8)], nn.LayerNorm(512), nn.Linear(512, pixels))
        self.token, self.mask = nn.Parameter(torch.zeros(1, 1, 192)), nn.Parameter(torch.zeros(1, 1, 512))
        self.places = nn.Parameter(torch.zeros(1, self.count, 192), requires_grad=False)
        self.decoder_places = nn.Parameter(torch.zeros(1, self.count + 1, 512), requires_grad=False)

    def forward(self, x):
        n, patches = len(x), F.unfold(x, self.side, stride=self.side).mT
        keep = self.count // 4
        order = torch.rand(n, self.count, device=x.device).argsort(1)
        rows = lambda t, i: t.gather(1, i[..., None].expand(-1, -1, t.shape[2]))
        seen = rows(self.patch(patches) + self.places, order[:, :keep])
        seen = self.widen(self.encoder(torch.cat([self.token.expand(n, -1, -1), seen], 1)))
        every = torch.cat([seen[:, 1:], self.mask.expand(n, self.count - keep, -1)], 1)
        every = torch.cat([seen[:, :1], rows(every, order.argsort(1))], 1)
        told = self.decoder(every + self.decoder_places)[:, 1:]
        wanted = F.layer_norm(patches, patches.shape[-1:])
        hidden = order.argsort(1) >= keep
        return (told - wanted).square().mean(2)[hidden].mean()


def mae(a, images):
    net = Mae(a)
    return [net], lambda: net(images()[0])


class Residual(nn.Module):
    def __init__(self, d, k, normed):
        super().__init__()
        self.shortcut, self.one, self.two = (normed(nn.Linear(i, k)) for i in (d, d, k))

    def forward(self, x):
        y = F.dropout(self.two(F.leaky_relu(F.dropout(self.one(x), 0.2), 0.3)), 0.2)
        return F.leaky_relu(y, 0.3) + F.leaky_relu(self.shortcut(x), 0.3)


class Up(nn.Module):
    """A block of the generator, whose norms are conditioned on a part of the code."""

    def __init__(self, c, k, d):
        super().__init__()
        conv = lambda i, size: spectral_norm(nn.Conv2d(i, k, size, padding=size // 2, bias=False))
        self.shortcut, self.conv1, self.conv2 = conv(c, 1), conv(c, 3), conv(k, 3)
        self.norms = nn.ModuleList(nn.BatchNorm2d(i, affine=False) for i in (c, k))
        scales = [spectral_norm(nn.Linear(d, i, bias=False)) for i in (c, c, k, k)]
        self.scales = nn.ModuleList(scales)

    def normed(self, x, part, i):
        gain, bias = (scale(part)[:, :, None, None] for scale in self.scales[2 * i : 2 * i + 2])
        return F.relu(self.norms[i](x) * (1 + gain) + bias)

    def forward(self, x, part):
        y = self.conv1(F.interpolate(self.normed(x, part, 0), scale_factor=2))
        return self.conv2(self.normed(y, part, 1)) + F.interpolate(self.shortcut(x), scale_factor=2)


class Generator(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.linear, self.side = spectral_norm(nn.Linear(25, 256 * (a.size // 8) ** 2)), a.size // 8
        self.blocks = nn.ModuleList(Up(c, k, 25) for c, k in [(256, 256), (256, 128), (128, 64)])
        self.last = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(), spectral_norm(nn.Conv2d(64, a.channels, 3, padding=1, bias=False)))

    def forward(self, z):
        first, *parts = z.split(25, 1)
        x = self.linear(first).view(-1, 256, self.side, self.side)
        for block, part in zip(self.blocks, parts):
            x = block(x, part)
        return self.last(x)


class Down(nn.Module):
    """A block of the discriminator of images."""

    def __init__(self, c, k, first=False, last=False):
        super().__init__()
        conv = lambda i, size: spectral_norm(nn.Conv2d(i, k, size, padding=size // 2, bias=False))
        self.conv1, self.conv2, self.first = conv(c, 3), conv(k, 3), first
        self.shortcut = None if last else conv(c, 1)

    def forward(self, x):
        y = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        return x + y if self.shortcut is None else F.avg_pool2d(y + self.shortcut(x), 3, 2, 1)


class Discriminators(nn.Module):
    def __init__(self, a):
        super().__init__()
        sides = [a.channels, 64, 128, 256]
        downs = [Down(c, k, first=i == 0) for i, (c, k) in enumerate(zip(sides, sides[1:]))]
        self.image = nn.Sequential(*downs, Down(256, 256, last=True), nn.ReLU())
        code = lambda *dims: nn.Sequential(*[Residual(d, k, spectral_norm) for d, k in zip(dims, dims[1:])])
        self.code, self.pair = code(100, 64, 64, 64), code(256 + 64, 64, 64, 64)
        self.scores = nn.ModuleList(spectral_norm(nn.Linear(d, 1)) for d in (256, 64, 64))

    def forward(self, x, z):
        seen, read = self.image(x).sum((2, 3)), self.code(z)
        return [score(t) for score, t in zip(self.scores, (seen, read, self.pair(torch.cat([seen, read], 1))))]


def bigbigan(a, images):
    plain = lambda layer: layer
    net = Network(nn.Sequential(Residual(512, 256, plain), Residual(256, 256, plain), nn.Linear(256, 200)), a.channels)
    generator, discriminators = Generator(a).to(a.on).train(), Discriminators(a).to(a.on).train()
    theirs = torch.optim.Adam(discriminators.parameters(), 2e-4, (0.5, 0.999), fused=True)

    def scores():
        x = images()[0]
        mean, deviation = net(x).chunk(2, 1)
        code = mean + F.softplus(deviation) * torch.randn_like(mean)
        z = torch.randn(a.batch, 100, device=a.on)
        return torch.cat([x, generator(z)]), torch.cat([code, z])

    def loss():
        for _ in range(2):
            theirs.zero_grad(set_to_none=True)
            with torch.no_grad():
                pairs = scores()
            halves = [score.split(a.batch) for score in discriminators(*pairs)]
            sum(F.relu(1 - real).mean() + F.relu(1 + fake).mean() for real, fake in halves).backward()
            theirs.step()
        discriminators.requires_grad_(False)
        halves = [score.split(a.batch) for score in discriminators(*scores())]
        discriminators.requires_grad_(True)
        return sum(real.mean() - fake.mean() for real, fake in halves)

    return [net, generator], loss


METHODS = [rotation, jigsaw, jigmag, simclr, moco, barlow_twins, vae, bigbigan, byol, simsiam, vicreg, mae, dino]


def measured(method, a, device):
    """Times the steps of a method after two that warm up: a row of the report."""
    torch.manual_seed(0)
    pair = [torch.randn(a.batch, a.channels, a.size, a.size, device=a.on) for _ in range(2)]
    modules, loss, *slow = method(a, lambda: pair)
    for module in modules + sum(slow, []):
        module.to(a.on).train()
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, 1e-3, weight_decay=1e-4, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    for _ in range(2):
        step()
    times = [device.timed(step)[1] for _ in range(a.steps)]
    return {"method": method.__name__, "step_ms": lab.spread(times), "samples_ms": times}


def main():
    names = [method.__name__ for method in METHODS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", choices=[[], *names], help="[all]")
    Device.add_arguments(parser)
    parser.add_argument("--size", type=int, default=32, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=32, help="images in each step")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--json", help="write the report there")
    a = parser.parse_args()
    device = Device.of(a)
    a.on = device.device
    rows = []
    for method in METHODS:
        if a.methods and method.__name__ not in a.methods:
            continue
        start = time.perf_counter()
        row = measured(method, a, device)
        # Of the process so far: the peak of one method alone needs a process of its own.
        row["peak_process_bytes"] = peak_bytes(resource.RUSAGE_SELF)
        rows.append(row)
        s = row["step_ms"]
        print(f"{row['method']:14} step {s['median']:8.1f} ms ({s['q1']:.1f} to {s['q3']:.1f}), peak "
              f"{row['peak_process_bytes'] / 1e6:.0f} MB, {time.perf_counter() - start:.1f} s", flush=True)
    if a.json:
        lab.save({"environment": device.environment(), "size": a.size, "batch": a.batch, "rows": rows}, a.json)


if __name__ == "__main__":
    main()
