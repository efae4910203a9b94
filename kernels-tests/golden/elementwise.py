"""Golden values of the elementwise families and of select and broadcast. Keys are "<op>/<case>/<tensor>".

Inputs are x0, x1, ... in the order of the op's arguments. `parameters` holds the op's numbers. grad_x<i> is there for
each input that has a gradient. Kinks and ties are among the inputs; the program must choose there as PyTorch does.
"""

import torch
import torch.nn.functional as F

EXTREMES = [-100.0, -20.0, -9.1, -6.0, -4.0, -1.0, -0.625, -1e-3, -1e-20, 0.0, 1e-20, 2e-3, 0.625, 1.0, 5.0, 9.1, 20.0]

# name -> (function of (x, *parameters), list of parameters, kind of input)
UNARY = {
    "abs": (torch.abs, [[]], "kinks"),
    "clamp": (torch.clamp, [[-0.5, 0.5], [0.0, float("inf")]], "kinks"),
    "exp": (torch.exp, [[]], "normal"),
    "gelu": (lambda x, k: F.gelu(x, approximate=["none", "tanh"][int(k)]), [[0.0], [1.0]], "extremes"),
    "leaky_relu": (F.leaky_relu, [[0.01], [-0.5]], "kinks"),
    "log": (torch.log, [[]], "positive"),
    "neg": (torch.neg, [[]], "normal"),
    "pow": (torch.pow, [[3.0], [2.0], [0.0], [-2.0], [1.0]], "nonzero"),
    "pow_fraction": (torch.pow, [[0.5], [2.7], [-1.5]], "positive"),
    "reciprocal": (torch.reciprocal, [[]], "nonzero"),
    "relu": (F.relu, [[]], "kinks"),
    "sigmoid": (torch.sigmoid, [[]], "extremes"),
    "silu": (F.silu, [[]], "extremes"),
    "sqrt": (torch.sqrt, [[]], "positive"),
    "tanh": (torch.tanh, [[]], "extremes"),
}

BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
    "minimum": torch.minimum, "maximum": torch.maximum,
    "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge,
}

BROADCAST = [((5, 1, 1), (3, 5, 2, 3)), ((3, 1, 5, 1), (3, 2, 5, 4)), ((7,), (4, 7)), ((4, 1), (4, 8)), ((1, 8), (3, 8))]


def values(kind):
    if kind == "extremes":
        return torch.cat([torch.tensor(EXTREMES), torch.randn(14)])
    if kind == "kinks":
        return torch.cat([torch.tensor([0.0, -0.0, 0.5, -0.5]), torch.randn(29)])
    if kind == "positive":
        return torch.rand(33) * 4 + 0.05
    x = torch.randn(33)
    return x + 0.1 * x.sign() if kind == "nonzero" else x


def record(out, key, y, inputs, wrt):
    """Gives y, the inputs, a cotangent and the gradients."""
    out[f"{key}/y"] = y.float()
    for i, x in enumerate(inputs):
        out[f"{key}/x{i}"] = x
    if wrt:
        out[f"{key}/grad_y"] = torch.randn_like(y)
        for i, grad in zip(wrt, torch.autograd.grad(y, [inputs[i] for i in wrt], out[f"{key}/grad_y"])):
            out[f"{key}/grad_x{i}"] = grad


def make():
    torch.manual_seed(5)
    out = {}
    for name, (function, choices, kind) in UNARY.items():
        for n, parameters in enumerate(choices):
            x = values(kind).requires_grad_()
            key = f"{name.split('_fraction')[0]}/{kind}{n}"
            if parameters:
                # the reader of the format accepts only finite numbers, so 3e38 stands for no bound
                out[f"{key}/parameters"] = torch.tensor([min(v, 3e38) for v in parameters])
            record(out, key, function(x, *parameters), [x], [0])
    for name, function in BINARY.items():
        # a coarse grid makes ties likely
        coarse = name in ("minimum", "maximum", "eq", "ne", "lt", "le", "gt", "ge")
        a, b = values("nonzero"), values("nonzero")
        a, b = [(v * 2).round() / 2 if coarse else v for v in (a, b)]
        y = function(a.requires_grad_(), b.requires_grad_())
        record(out, f"{name}/n33", y, [a, b], [0, 1] if y.is_floating_point() else [])
    mask, a, b = torch.tensor([0.0, -0.0, 1.0, -3.0, 0.5] * 7), torch.randn(35), torch.randn(35)
    y = torch.where(mask.bool(), a.requires_grad_(), b.requires_grad_())
    record(out, "select/f32", y, [mask, a, b], [1, 2])
    mask = torch.randint(0, 3, (35,))
    record(out, "select/u32", torch.where(mask.bool(), a, b), [mask, a, b], [1, 2])
    for n, (small, large) in enumerate(BROADCAST):
        x = torch.randn(small).requires_grad_()
        record(out, f"broadcast/n{n}", x.expand(large), [x], [0])
    return out
