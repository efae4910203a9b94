"""Golden values of attention and the normalizations: `<op>/<case>/<tensor>`, see README.md."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as parametrize


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def grads(out, prefix, y, inputs):
    """Stores y, a random cotangent, the inputs and their gradients."""
    cotangent = torch.randn_like(y)
    found = torch.autograd.grad(y, list(inputs.values()), cotangent)
    out[f"{prefix}/y"], out[f"{prefix}/grad_y"] = y, cotangent
    for (name, value), grad in zip(inputs.items(), found):
        out[f"{prefix}/{name}"], out[f"{prefix}/grad_{name}"] = value, grad


def attention(out):
    for case, b, h, t, s, e, causal, lengths in [
        ("plain", 2, 2, 7, 11, 8, False, None),
        ("odd", 1, 2, 9, 5, 13, False, None),
        ("causal", 1, 2, 12, 12, 6, True, None),
        ("causal_wide", 1, 1, 6, 10, 4, True, None),
        ("lengths", 3, 2, 5, 9, 8, False, [9, 4, 1]),
        ("lengths_causal", 2, 1, 10, 10, 4, True, [10, 6]),
    ]:
        q, k, v = leaf(b, h, t, e), leaf(b, h, s, e), leaf(b, h, s, e)
        prefix = f"attention/{case}"
        if lengths is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:
            lengths = torch.tensor(lengths)
            out[f"{prefix}/lengths"] = lengths
            mask = (torch.arange(s) < lengths[:, None])[:, None, None, :].expand(b, h, t, s)
            if causal:
                mask = mask & torch.ones(t, s, dtype=torch.bool).tril()
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        grads(out, prefix, y, {"q": q, "k": k, "v": v})


def affine(c):
    return torch.empty(c).uniform_(0.5, 1.5).requires_grad_(), leaf(c)


def layer_norm(out):
    for n, d in [(5, 16), (3, 7)]:
        x, (weight, bias) = leaf(n, d), affine(d)
        grads(out, f"layer_norm/n{n}d{d}", F.layer_norm(x, (d,), weight, bias), {"x": x, "weight": weight, "bias": bias})


def group_norm(out):
    for shape, g in [((2, 6, 3, 5), 3), ((3, 4, 4, 2), 1), ((5, 6), 2)]:
        x, (weight, bias) = leaf(*shape), affine(shape[1])
        y = F.group_norm(x, g, weight, bias)
        grads(out, f"group_norm/rank{len(shape)}g{g}", y, {"x": x, "weight": weight, "bias": bias})


def batch_norm(out):
    x, (weight, bias) = leaf(6, 3, 4, 3), affine(3)
    inputs = {"x": x, "weight": weight, "bias": bias}
    # Groups of neighbouring samples, each with its own statistics, as in a ghost batch norm or on several devices.
    parts = [F.batch_norm(part, None, None, weight, bias, training=True) for part in x.chunk(3)]
    grads(out, "batch_norm_split/s3", torch.cat(parts), inputs)
    # The whole batch; parts of 4 and 2 samples must give the same together.
    whole = F.batch_norm(x, None, None, weight, bias, training=True)
    out["batch_norm_parts/p4/counts"] = torch.tensor([4.0 * 12, 2.0 * 12])
    grads(out, "batch_norm_parts/p4", whole, inputs)
    # Integer weights stand for repeated samples. Fractional weights follow the formula.
    for case, w in [("repeated", [2.0, 0.0, 1.0, 1.0, 3.0, 0.0]), ("fractions", [0.5, 0.0, 1.25, 1.0, 0.75, 2.0])]:
        w = torch.tensor(w)
        share = (w / (w.sum() * 12))[:, None, None, None]
        mean = (share * x).sum((0, 2, 3))
        centered = x - mean[:, None, None]
        var = (share * centered**2).sum((0, 2, 3))
        y = centered / (var + 1e-5).sqrt()[:, None, None] * weight[:, None, None] + bias[:, None, None]
        if case == "repeated":
            again = F.batch_norm(x.repeat_interleave(w.long(), 0), None, None, weight, bias, training=True)
            assert torch.allclose(again, y.repeat_interleave(w.long(), 0), atol=1e-5)
        out[f"batch_norm_weighted/{case}/sample_weights"] = w
        out[f"batch_norm_weighted/{case}/mean"], out[f"batch_norm_weighted/{case}/var"] = mean, var
        grads(out, f"batch_norm_weighted/{case}", y, inputs)
    # Frozen: the statistics stay, and weight and bias have no gradient.
    mean, var = torch.randn(3), torch.empty(3).uniform_(0.5, 1.5)
    prefix = "batch_norm_frozen/plain"
    out[f"{prefix}/mean"], out[f"{prefix}/var"] = mean, var
    out[f"{prefix}/weight"], out[f"{prefix}/bias"] = weight, bias
    grads(out, prefix, F.batch_norm(x, mean, var, weight, bias, training=False), {"x": x})


def spectral_norm(out):
    """Three training steps: u and v before and after each, y of each, and the gradient for the last y."""
    for case, layer in [("linear", nn.Linear(7, 5, bias=False)), ("conv", nn.Conv2d(2, 4, 3, bias=False))]:
        layer = parametrize(layer, n_power_iterations=1)
        state, original = layer.parametrizations.weight[0], layer.parametrizations.weight.original
        prefix = f"spectral_norm/{case}"
        for step in range(3):
            out[f"{prefix}/u{step}"], out[f"{prefix}/v{step}"] = state._u.clone(), state._v.clone()
            y = layer.weight
            out[f"{prefix}/y{step}"] = y
        out[f"{prefix}/u3"], out[f"{prefix}/v3"] = state._u.clone(), state._v.clone()
        cotangent = torch.randn_like(y)
        out[f"{prefix}/weight"], out[f"{prefix}/grad_y"] = original, cotangent
        out[f"{prefix}/grad_weight"] = torch.autograd.grad(y, original, cotangent)[0]


def make():
    torch.manual_seed(5)
    out = {}
    for family in (attention, layer_norm, group_norm, batch_norm, spectral_norm):
        family(out)
    return out
