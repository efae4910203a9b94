"""What the elementwise families and select make of NaN and infinities, in values and in gradients. Keys and arguments are
those of elementwise.py. Every special value of an input meets every special value of the others and of the cotangent.
"""

import itertools

import elementwise
import torch

NAN, INF = float("nan"), float("inf")
# Without −0: WGSL leaves open which sign an infinity of 1/−0 has.
ANY = [NAN, INF, -INF, 0.0, 1.5, -1.5, 0.25]
POSITIVE = [NAN, INF, 0.0, 1.5, 0.25]
# The slope of gelu's tanh form: here its limit at an infinity, in PyTorch NaN.
FINITE = [NAN, 0.0, 1.5, -1.5, 0.25]
COTANGENTS = [NAN, INF, -INF, 0.0, 1.0, -2.0]


def grid(*lists):
    """Every combination, as one tensor for each list."""
    return [torch.tensor(column) for column in zip(*itertools.product(*lists))]


def record(out, key, function, inputs, dy, wrt):
    for i in wrt:
        inputs[i].requires_grad_()
    y = function(*inputs)
    out[f"{key}/y"], out[f"{key}/grad_y"] = y.detach(), dy
    for i, x in enumerate(inputs):
        out[f"{key}/x{i}"] = x.detach()
    for i, grad in zip(wrt, torch.autograd.grad(y, [inputs[i] for i in wrt], dy)):
        out[f"{key}/grad_x{i}"] = grad


def make():
    out = {}
    for name, (function, choices, kind) in elementwise.UNARY.items():
        for n, parameters in enumerate(choices):
            tanh_form = name == "gelu" and parameters == [1.0]
            x, dy = grid(FINITE if tanh_form else POSITIVE if kind == "positive" else ANY, COTANGENTS)
            key = f"{name.split('_fraction')[0]}/{kind}{n}"
            if parameters:
                out[f"{key}/parameters"] = torch.tensor([min(v, 3e38) for v in parameters])
            record(out, key, lambda x: function(x, *parameters), [x], dy, [0])
    for name in ["add", "sub", "mul", "div", "minimum", "maximum"]:
        a, b, dy = grid(ANY, ANY, COTANGENTS)
        record(out, f"{name}/pairs", elementwise.BINARY[name], [a, b], dy, [0, 1])
    mask, a, b, dy = grid([0.0, 1.0], ANY, ANY, COTANGENTS)
    record(out, "select/f32", lambda m, a, b: torch.where(m.bool(), a, b), [mask, a, b], dy, [1, 2])
    return out
