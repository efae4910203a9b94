"""Golden values of poolings, resize, rotate, mixup and of optimizers over parameter blocks; make_golden.py writes them.

Keys of ops are `<op>/<case>/<tensor>` with x, y, a random cotangent grad_y and grad_x. Keys of optimizers are
`<name>/<tensor>/<step>`: w and b are the parameters (step 0 is the start), grad_w and grad_b their given gradients.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def with_gradient(out, key, x, f):
    """Stores x, y = f(x), a random cotangent and the gradient of x."""
    x = x.requires_grad_()
    y = f(x)
    cotangent = torch.randn_like(y)
    (grad,) = torch.autograd.grad(y, x, cotangent)
    out |= {f"{key}/x": x, f"{key}/y": y, f"{key}/grad_y": cotangent, f"{key}/grad_x": grad}


def pooling(out):
    x = lambda *shape: torch.randn(*shape)
    with_gradient(out, "avg_pool2d/padded", x(2, 3, 9, 7), lambda x: F.avg_pool2d(x, 3, 2, 1))
    with_gradient(out, "avg_pool2d/oblong", x(2, 2, 8, 9), lambda x: F.avg_pool2d(x, (2, 3), (1, 2), (1, 0)))
    with_gradient(out, "max_pool2d/overlap", x(2, 2, 9, 8), lambda x: F.max_pool2d(x, 5, 1, 2))
    with_gradient(out, "max_pool2d/gaps", x(1, 2, 11, 13), lambda x: F.max_pool2d(x, 2, 5, 0))
    for case, shape, size in [("shared", (2, 3, 7, 11), (3, 4)), ("larger", (1, 2, 3, 5), (7, 6)), ("global", (3, 4, 6, 5), (1, 1))]:
        with_gradient(out, f"adaptive_avg_pool2d/{case}", x(*shape), lambda x: F.adaptive_avg_pool2d(x, size))
        with_gradient(out, f"adaptive_max_pool2d/{case}", x(*shape), lambda x: F.adaptive_max_pool2d(x, size))


def resize(out):
    for case, shape, size in [("larger", (2, 2, 5, 7), (13, 11)), ("smaller", (2, 2, 13, 11), (5, 7)), ("mixed", (1, 2, 9, 4), (4, 17))]:
        for mode in ("bilinear", "nearest"):
            options = {"align_corners": False} if mode == "bilinear" else {}
            f = lambda x: F.interpolate(x, size=size, mode=mode, **options)
            with_gradient(out, f"resize/{mode}_{case}", torch.randn(*shape), f)


def rotate(out):
    """Samples with grid_sample over a grid that is rotated in pixels; degrees are counter-clockwise."""
    for case, border, (n, c, h, w) in [("zeros", "zeros", (3, 3, 9, 12)), ("reflection", "reflection", (3, 1, 12, 7))]:
        x, degrees = torch.rand(n, c, h, w), torch.tensor([30.0, -75.5, 200.0])
        cos, sin = torch.cos(degrees * math.pi / 180), torch.sin(degrees * math.pi / 180)
        zero = torch.zeros(n)
        theta = torch.stack([cos, -sin * h / w, zero, sin * w / h, cos, zero], 1).view(n, 2, 3)
        grid = F.affine_grid(theta, [n, c, h, w], align_corners=False)
        y = F.grid_sample(x, grid, mode="bilinear", padding_mode=border, align_corners=False)
        out |= {f"rotate/{case}/x": x, f"rotate/{case}/degrees": degrees, f"rotate/{case}/y": y}


def mixup(out):
    pair, mix, labels = torch.tensor([2, 0, 0, 3, 1]), torch.rand(5), torch.tensor([0, 2, 1, 2, 3])
    mixed = lambda x: mix.view(-1, *[1] * (x.dim() - 1)) * x + (1 - mix).view(-1, *[1] * (x.dim() - 1)) * x[pair]
    with_gradient(out, "mixup/images", torch.randn(5, 2, 3, 3), mixed)
    out |= {"mixup/images/pair": pair, "mixup/images/lambda": mix}
    out |= {"mixup/targets/labels": labels, "mixup/targets/pair": pair, "mixup/targets/lambda": mix}
    out["mixup/targets/y"] = mixed(F.one_hot(labels, 4).float())


class LARS(torch.optim.Optimizer):
    """LARS of facebookresearch/barlowtwins, main.py, with its filters; `clip` as solo-learn and Bolts have it."""

    def __init__(self, params, lr, weight_decay, momentum, eta, excluded, clip=False):
        kept = dict(lr=lr, weight_decay=weight_decay, momentum=momentum, eta=eta, excluded=excluded, clip=clip)
        super().__init__(params, kept)

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                dp = p.grad
                if not g["excluded"](p):
                    dp = dp.add(p, alpha=g["weight_decay"])
                    norms = torch.norm(p), torch.norm(dp)
                    if norms[0] > 0 and norms[1] > 0:
                        q = g["eta"] * norms[0] / norms[1]
                        dp = dp.mul(min(q / g["lr"], 1.0) if g["clip"] else q)
                mu = self.state[p].setdefault("mu", torch.zeros_like(p))
                mu.mul_(g["momentum"]).add_(dp)
                p.add_(mu, alpha=-g["lr"])


def exclude_bias_and_norm(p):
    return p.ndim == 1


def groups(params, others, vectors):
    """Two groups of parameters, as PyTorch excludes some: vectors have keys of their own."""
    of = lambda wanted: [p for p in params if exclude_bias_and_norm(p) == wanted]
    return [{"params": of(False), **others}, {"params": of(True), **vectors}]


def optimizers(out):
    start = torch.randn(5, 3), torch.randn(7)
    gradients = [(torch.randn(5, 3), torch.randn(7)) for _ in range(6)]
    lars = dict(lr=0.2, weight_decay=1e-2, momentum=0.9, excluded=exclude_bias_and_norm)
    decay = dict(weight_decay=0.1), dict(weight_decay=0.0)
    makes = {
        "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
        "adamw_excluded": lambda p: torch.optim.AdamW(groups(p, *decay), lr=1e-2, betas=(0.9, 0.999), eps=1e-8),
        "sgd_excluded": lambda p: torch.optim.SGD(groups(p, *decay), lr=0.1, momentum=0.9),
        "lars": lambda p: LARS(p, **lars, eta=0.02),
        # as Barlow Twins: biases and norms at a learning rate of their own
        "lars_biases": lambda p: LARS(groups(p, {}, dict(lr=0.0048)), **lars, eta=0.02),
        "lars_clip": lambda p: LARS(p, **lars, eta=0.5, clip=True),
        "lars_included": lambda p: LARS(p, **lars | dict(excluded=lambda _: False), eta=0.02),
        # clipped to a norm of 1, the loss scaled; the third step overflows and is skipped
        "amp": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    }
    for name, make in makes.items():
        params = [nn.Parameter(p.clone()) for p in start]
        optimizer, scaler = make(params), torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        out |= {f"{name}/w/0": start[0], f"{name}/b/0": start[1]}
        for i, grads in enumerate(gradients):
            optimizer.zero_grad()
            if name == "amp":
                factor = 1e38 if i == 2 else 1.0
                scaler.scale(sum((p * g * factor).sum() for p, g in zip(params, grads))).backward()
                scaler.unscale_(optimizer)
                norm = torch.nn.utils.clip_grad_norm_(params, 1.0)
                scaler.step(optimizer)
                scaler.update()
                out[f"{name}/scale/{i + 1}"] = torch.tensor([scaler.get_scale()])
                if i != 2:
                    out[f"{name}/norm/{i + 1}"] = norm.reshape(1)
                grads = [g * factor for g in grads]
            else:
                for p, g in zip(params, grads):
                    p.grad = g.clone()
                optimizer.step()
            out |= {f"{name}/grad_w/{i}": grads[0], f"{name}/grad_b/{i}": grads[1]}
            out |= {f"{name}/w/{i + 1}": params[0].detach().clone(), f"{name}/b/{i + 1}": params[1].detach().clone()}


def make():
    torch.manual_seed(5)
    out = {}
    for part in (pooling, resize, rotate, mixup, optimizers):
        part(out)
    return out
