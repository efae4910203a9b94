"""What PyTorch makes of NaN and infinities, in values and in gradients, for every op that has a gradient.

Keys are `<op>/<case>/<tensor>`. x0, x1, … are the inputs in the order of the op's arguments, grad_y the cotangent of y,
`parameters` the op's numbers, grad_x<i> the gradient of each input that has one.

A case of an elementwise op is one run: every special value of an input meets every special value of the others and of the
cotangent. Any other case is several runs over the same finite inputs. Line r of `runs` says what is put in for run r:
(which tensor, where, what). A tensor that is one past the last input is the cotangent. y and the gradients have one more
dimension in front, the runs. The kinds of `what` are the constants below.
"""

import itertools
import math

import elementwise
import losses
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as parametrize

NAN, INF = float("nan"), float("inf")
# Without −0: WGSL leaves open which sign an infinity of 1/−0 has.
ANY = [NAN, INF, -INF, 0.0, 1.5, -1.5, 0.25]
POSITIVE = [NAN, INF, 0.0, 1.5, 0.25]
# The slope of gelu's tanh form: here its limit at an infinity, in PyTorch NaN.
FINITE = [NAN, 0.0, 1.5, -1.5, 0.25]
COTANGENTS = [NAN, INF, -INF, 0.0, 1.0, -2.0]

# What a run puts in: one value, +inf with −inf behind it, NaN everywhere, or −inf in a whole row.
IS_NAN, IS_INF, IS_MINUS_INF, BOTH_INF, ALL_NAN, MINUS_INF_ROW = range(6)


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


def runs_of(tensors, wrt, rows):
    """The runs over these tensors: each special value in each of them, at its first, a middle and its last place. What has no
    gradient is a weight, a count or a share: it is not below 0."""
    runs = []
    for t, tensor in enumerate(tensors):
        if not tensor.is_floating_point():
            continue
        n = tensor.numel()
        middle, third, last = n // 2, n // 3, n - 1
        runs += [(t, 0, IS_NAN), (t, middle, IS_NAN), (t, last, IS_NAN), (t, 0, ALL_NAN), (t, third, IS_INF)]
        if t in wrt or t == len(tensors) - 1:
            runs += [(t, middle, IS_MINUS_INF)] + ([(t, third, BOTH_INF)] if n > 1 else [])
        runs += [(t, n // 2, MINUS_INF_ROW)] if rows and t == 0 else []
    return list(dict.fromkeys(runs))


def put(tensor, at, what):
    tensor = tensor.clone(memory_format=torch.contiguous_format)
    flat = tensor.view(-1)
    if what == ALL_NAN:
        flat[:] = NAN
    elif what == MINUS_INF_ROW:
        tensor.view(-1, tensor.shape[-1])[at // tensor.shape[-1]] = -INF
    else:
        flat[at] = {IS_NAN: NAN, IS_INF: INF, IS_MINUS_INF: -INF, BOTH_INF: INF}[what]
        if what == BOTH_INF:
            flat[(at + 1) % flat.numel()] = -INF
    return tensor


def several(out, key, function, inputs, wrt, parameters=(), rows=False):
    """Records a case of several runs of y = function(*inputs). Also puts special values in inputs that have no gradient,
    unless they are whole numbers."""
    finite = function(*inputs).detach()
    dy = torch.randn_like(finite)
    tensors = [x.detach() for x in inputs] + [dy]
    runs, results = runs_of(tensors, wrt, rows), {f"grad_x{i}": [] for i in wrt} | {"y": []}
    for t, at, what in runs:
        changed = [put(x, at, what) if i == t else x.clone() for i, x in enumerate(tensors)]
        leaves = [changed[i].requires_grad_() for i in wrt]
        y = function(*changed[:-1])
        results["y"].append(y.detach())
        for i, grad in zip(wrt, torch.autograd.grad(y, leaves, changed[-1])):
            results[f"grad_x{i}"].append(grad)
    assert any(not torch.isfinite(torch.stack(r)).all() for r in results.values()), key
    out[f"{key}/runs"], out[f"{key}/grad_y"] = torch.tensor(runs), dy
    if parameters:
        out[f"{key}/parameters"] = torch.tensor(parameters, dtype=torch.float32)
    for i, x in enumerate(tensors[:-1]):
        out[f"{key}/x{i}"] = x
    for name, values in results.items():
        out[f"{key}/{name}"] = torch.stack(values)


# ---------------------------------------------------------------- elementwise


def pointwise(out):
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
    for name in ["eq", "ne", "lt", "le", "gt", "ge"]:
        a, b = grid(ANY, ANY)
        key = f"{name}/pairs"
        out[f"{key}/x0"], out[f"{key}/x1"], out[f"{key}/y"] = a, b, elementwise.BINARY[name](a, b).float()
    mask, a, b, dy = grid([0.0, 1.0], ANY, ANY, COTANGENTS)
    record(out, "select/f32", lambda m, a, b: torch.where(m.bool(), a, b), [mask, a, b], dy, [1, 2])
    for factor in [-0.5, 0.0]:
        x, dy = grid(ANY, COTANGENTS)
        out[f"scale/by{factor}/parameters"] = torch.tensor([factor])
        record(out, f"scale/by{factor}", lambda x: x * factor, [x], dy, [0])
    x, dy = grid([*ANY, 65519.9, 65520.0, -1e30], COTANGENTS)
    record(out, "cast/to_half_and_back", lambda x: x.half().float(), [x], dy, [0])


# ---------------------------------------------------------------- shape


def shape(out):
    for kind, axes, f in [
        ("sum", (1,), lambda x: x.sum((1,))),
        ("sum", (0, 2), lambda x: x.sum((0, 2))),
        ("mean", (0, 1), lambda x: x.mean((0, 1))),
        ("max", (2,), lambda x: x.max(2).values),
        ("max", (1,), lambda x: x.max(1).values),
        ("var1", (0, 2), lambda x: x.var((0, 2), correction=1)),
    ]:
        several(out, f"reduce/{kind}_{''.join(map(str, axes))}", f, [torch.randn(3, 4, 5)], [0])
    several(out, "permute/201", lambda x: x.permute(2, 0, 1), [torch.randn(3, 4, 5)], [0])
    several(out, "permute/10", lambda x: x.mT, [torch.randn(7, 9)], [0])
    parts = [torch.randn(2, 3, 2), torch.randn(2, 1, 2), torch.randn(2, 4, 2)]
    several(out, "concat/1", lambda a, b, c: torch.cat([a, b, c], 1), parts, [0, 1, 2])
    several(out, "slice/1_2_1", lambda x: x.narrow(1, 2, 1), [torch.randn(3, 4, 5)], [0])
    several(out, "slice/0_1_2", lambda x: x.narrow(0, 1, 2), [torch.randn(4, 8)], [0])
    for case, shape, to in [("rows", (7,), (4, 7)), ("columns", (4, 1), (4, 8)), ("middle", (3, 1, 4), (3, 5, 4))]:
        several(out, f"broadcast/{case}", lambda x: x.expand(to), [torch.randn(*shape)], [0])
    indices = torch.tensor([3, 0, 3, 6, 1])
    for d in (4, 5):
        several(out, f"gather/d{d}", lambda t, i: t.index_select(0, i), [torch.randn(7, d), indices], [0])
        add = lambda x, i: torch.zeros(7, x.shape[1]).index_add(0, i, x)
        several(out, f"scatter_add/d{d}", add, [torch.randn(5, d), indices], [0], [7.0])
    several(out, "top_k/k3", lambda x: x.topk(3).values, [torch.randn(4, 9)], [0], [3.0])
    several(out, "top_k/all", lambda x: x.topk(4).values, [torch.randn(5, 4)], [0], [4.0])


# ---------------------------------------------------------------- layers


def softmaxes(out):
    for op, name in [(F.softmax, "softmax"), (F.log_softmax, "log_softmax")]:
        for d, temperature in [(8, 1.0), (5, 0.5)]:
            f = lambda x: op(x / temperature, dim=-1)
            several(out, f"{name}/d{d}", f, [torch.randn(3, d)], [0], [temperature], rows=True)


def norms(out):
    affine = lambda c: [torch.rand(c) + 0.5, torch.randn(c)]
    for d in (5, 8):
        f = lambda x, w, b: F.layer_norm(x, (d,), w, b)
        several(out, f"layer_norm/d{d}", f, [torch.randn(4, d), *affine(d)], [0, 1, 2])
        several(out, f"l2_normalize/d{d}", lambda x: F.normalize(x, dim=1), [torch.randn(4, d)], [0])
    for case, shape, groups in [("planes", (2, 4, 3, 2), 2), ("vectors", (3, 6), 2)]:
        f = lambda x, w, b: F.group_norm(x, groups, w, b)
        several(out, f"group_norm/{case}", f, [torch.randn(*shape), *affine(shape[1])], [0, 1, 2], [float(groups)])
    for case, shape in [("planes", (4, 2, 2, 3)), ("fours", (2, 3, 2, 4)), ("vectors", (5, 3))]:
        f = lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)
        several(out, f"batch_norm/{case}", f, [torch.randn(*shape), *affine(shape[1])], [0, 1, 2])
    f = lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b, training=False)
    given = [torch.randn(3), torch.rand(3) + 0.5]
    several(out, "batch_norm_eval/planes", f, [torch.randn(2, 3, 2, 3), *affine(3), *given], [0, 1, 2])

    def split(x, w, b):
        return torch.cat([F.batch_norm(part, None, None, w, b, training=True) for part in x.chunk(2)])

    several(out, "batch_norm_split/s2", split, [torch.randn(4, 2, 2, 3), *affine(2)], [0, 1, 2], [2.0])

    def weighted(x, w, b, counts):
        share = (counts / (counts.sum() * 6))[:, None, None, None]
        mean = (share * x).sum((0, 2, 3))
        centered = x - mean[:, None, None]
        var = (share * centered**2).sum((0, 2, 3))
        return centered / (var + 1e-5).sqrt()[:, None, None] * w[:, None, None] + b[:, None, None]

    counts = torch.tensor([1.0, 2.0, 0.5, 1.5])
    several(out, "batch_norm_weighted/w4", weighted, [torch.randn(4, 2, 2, 3), *affine(2), counts], [0, 1, 2])

    def merged(means, variances, counts):
        n = counts.sum()
        mean = (counts[:, None] * means).sum(0) / n
        return torch.stack([mean, (counts[:, None] * (variances + (means - mean) ** 2)).sum(0) / n])

    several(out, "merge_statistics/s3", merged, [torch.randn(3, 4), torch.rand(3, 4), torch.tensor([4.0, 2.0, 6.0])], [0, 1])

    # One round for each forward pass, from the same u and v every time.
    layer = parametrize(nn.Linear(6, 4, bias=False), n_power_iterations=1)
    norm = layer.parametrizations.weight[0]
    u, v = norm._u.clone(), norm._v.clone()

    def spectral(weight, u, v):
        norm._u, norm._v = u.clone(), v.clone()
        return norm(weight)

    start = layer.parametrizations.weight.original.detach().clone()
    several(out, "spectral_norm/linear", spectral, [start, u, v], [0])


def pools(out):
    for shape, case in [((1, 2, 5, 6), "odd"), ((2, 1, 6, 8), "fours")]:
        x = lambda: [torch.randn(*shape)]
        several(out, f"avg_pool2d/{case}", lambda x: F.avg_pool2d(x, 3, 2, 1), x(), [0], [3.0, 2.0, 1.0])
        several(out, f"avg_pool2d/{case}_apart", lambda x: F.avg_pool2d(x, 2, 2, 0), x(), [0], [2.0, 2.0, 0.0])
        several(out, f"max_pool2d/{case}", lambda x: F.max_pool2d(x, 3, 2, 1), x(), [0], [3.0, 2.0, 1.0])
        several(out, f"max_pool2d/{case}_overlap", lambda x: F.max_pool2d(x, 3, 1, 1), x(), [0], [3.0, 1.0, 1.0])
        several(out, f"adaptive_avg_pool2d/{case}", lambda x: F.adaptive_avg_pool2d(x, (3, 4)), x(), [0], [3.0, 4.0])
        several(out, f"adaptive_avg_pool2d/{case}_all", lambda x: F.adaptive_avg_pool2d(x, 1), x(), [0], [1.0, 1.0])
        several(out, f"adaptive_max_pool2d/{case}", lambda x: F.adaptive_max_pool2d(x, (3, 4)), x(), [0], [3.0, 4.0])
        several(out, f"adaptive_max_pool2d/{case}_all", lambda x: F.adaptive_max_pool2d(x, 1), x(), [0], [1.0, 1.0])


def products(out):
    several(out, "add_bias/n3d6", torch.add, [torch.randn(3, 6), torch.randn(6)], [0, 1])
    for case, (m, n, k), ta, tb in [
        ("odd", (3, 5, 7), 0, 0),
        ("fours", (4, 8, 4), 0, 0),
        ("a_transposed", (5, 6, 3), 1, 0),
        ("b_transposed", (3, 7, 8), 0, 1),
        ("both_transposed", (4, 5, 6), 1, 1),
    ]:
        f = lambda a, b: (a.mT if ta else a) @ (b.mT if tb else b)
        a, b = torch.randn(*((k, m) if ta else (m, k))), torch.randn(*((n, k) if tb else (k, n)))
        several(out, f"matmul/{case}", f, [a, b], [0, 1], [float(ta), float(tb)])
    several(out, "matmul/batch", torch.bmm, [torch.randn(2, 3, 4), torch.randn(2, 4, 5)], [0, 1], [0.0, 0.0])
    # (case, x, weight, stride, padding, dilation, groups)
    for case, x, w, s, p, d, g in [
        ("plain", (1, 2, 5, 6), (3, 2, 3, 3), 1, 0, 1, 1),
        ("padded", (2, 2, 4, 3), (2, 2, 3, 3), 1, 1, 1, 1),
        ("strided", (1, 2, 5, 6), (3, 2, 3, 3), 2, 1, 1, 1),
        ("one_by_one", (2, 4, 3, 2), (3, 4, 1, 1), 1, 0, 1, 1),
        ("matrices", (1, 3, 8, 8), (2, 3, 1, 1), 1, 0, 1, 1),
        ("groups", (1, 4, 4, 5), (6, 2, 3, 3), 1, 1, 1, 2),
        ("depthwise", (1, 3, 5, 4), (3, 1, 3, 3), 1, 1, 1, 3),
        ("dilated", (1, 2, 6, 5), (2, 2, 2, 2), 1, 1, 2, 1),
    ]:
        f = lambda x, w: exact_conv2d(x, w, s, p, d, g)
        several(out, f"conv2d/{case}", f, [torch.randn(*x), torch.randn(*w)], [0, 1], [float(v) for v in (s, p, d, g)])
    for case, x, w, s, p, o in [("doubling", (1, 3, 3, 2), (3, 2, 4, 4), 2, 1, 0), ("padded", (1, 2, 3, 3), (2, 3, 3, 3), 2, 1, 1)]:
        f = lambda x, w: exact_conv_transpose2d(x, w, s, p, o)
        several(out, f"conv_transpose2d/{case}", f, [torch.randn(*x), torch.randn(*w)], [0, 1], [float(v) for v in (s, p, o)])


def inside(size, weight, padding, stride, dilation=1):
    """Which taps of each window lie inside a plane: [taps, windows]."""
    return F.unfold(torch.ones(1, 1, *size), weight.shape[2:], dilation, padding, stride)[0] > 0


def real_products(w, x, there):
    """w * x where the tap is there, else 0, in values and gradients: what lies outside does not exist, even beside a NaN."""
    zero = torch.zeros(())
    return torch.where(there, w, zero) * torch.where(there, x, zero)


def exact_conv2d(x, w, stride, padding, dilation, groups):
    """F.conv2d as its documentation's sum over the taps inside the plane. PyTorch's own convolutions are of several libraries,
    some of which multiply the border's zeros by a weight that may be NaN."""
    (n, _, high, wide), (k, c) = x.shape, w.shape[:2]
    columns = F.unfold(x, w.shape[2:], dilation, padding, stride).view(n, groups, 1, c, w[0, 0].numel(), -1)
    there = inside((high, wide), w, padding, stride, dilation)
    y = real_products(w.view(1, groups, k // groups, c, -1, 1), columns, there).sum((3, 4))
    size = [(x.shape[i] + 2 * padding - dilation * (w.shape[i] - 1) - 1) // stride + 1 for i in (2, 3)]
    return y.reshape(n, k, *size)


def exact_conv_transpose2d(x, w, stride, padding, more):
    """F.conv_transpose2d, for the same reason."""
    size = [(x.shape[i] - 1) * stride - 2 * padding + w.shape[i] + more for i in (2, 3)]
    n, k = x.shape[0], w.shape[1]
    there = inside(size, w, padding, stride)
    columns = real_products(w.view(1, *w.shape[:2], -1, 1), x.view(n, -1, 1, 1, x[0, 0].numel()), there).sum(1)
    return F.fold(columns.reshape(n, -1, x[0, 0].numel()), size, w.shape[2:], padding=padding, stride=stride)


def attention(out):
    for case, t, s, e, causal in [("plain", 5, 6, 4, False), ("odd", 3, 5, 3, False), ("causal", 4, 4, 4, True)]:
        inputs = [torch.randn(1, 2, t, e), torch.randn(1, 2, s, e), torch.randn(1, 2, s, e)]
        several(out, f"attention/{case}", lambda q, k, v: attend(q, k, v, causal), inputs, [0, 1, 2], [float(causal)])


def attend(q, k, v, causal):
    """F.scaled_dot_product_attention by its documentation's formula. A key that is masked for a query does not exist for it;
    PyTorch's kernels multiply its value by 0, in blocks of keys that differ."""
    rows = []
    for i in range(q.shape[2]):
        seen = i + 1 if causal else k.shape[2]
        scores = q[:, :, i : i + 1] @ k[:, :, :seen].mT / math.sqrt(q.shape[3])
        rows.append(torch.softmax(scores, -1) @ v[:, :, :seen])
    return torch.cat(rows, 2)


# ---------------------------------------------------------------- images


def images(out):
    for case, shape, size in [("larger", (1, 2, 3, 4), (7, 6)), ("smaller", (1, 1, 8, 6), (3, 4))]:
        for mode, options in [("bilinear", {"align_corners": False}), ("nearest", {})]:
            f = lambda x: F.interpolate(x, size=size, mode=mode, **options)
            nearest = float(mode == "nearest")
            several(out, f"resize/{mode}_{case}", f, [torch.randn(*shape)], [0], [float(size[0]), float(size[1]), nearest])
    pair, share = torch.tensor([2, 0, 0, 3, 1]), torch.rand(5)

    def mixed(x, pair, share):
        share = share.view(-1, *[1] * (x.dim() - 1))
        return share * x + (1 - share) * x[pair]

    for case, shape in [("fours", (5, 2, 2)), ("odd", (5, 3))]:
        several(out, f"mixup/{case}", mixed, [torch.randn(*shape), pair, share], [0])


# ---------------------------------------------------------------- losses


def of_rows(out):
    """Losses over rows: y is the mean under weights that are all above 0."""
    mean = lambda rows, w: ((w * rows).sum() / w.sum()).reshape(1)
    weights = lambda n: torch.rand(n) + 0.5
    for n, k in [(4, 3), (3, 8)]:
        labels, key = torch.randint(0, k, (n,)), f"k{k}"
        logits = lambda: torch.randn(n, k)
        w, c = weights(n), torch.rand(k) + 0.5

        def labelled(op, rows, parameters=()):
            f = lambda x, y, w: mean(rows(x, y), w)
            several(out, f"{op}/{key}", f, [logits(), labels, w], [0], parameters, rows=True)

        labelled("cross_entropy", lambda x, y: F.cross_entropy(x, y, reduction="none"), [0.0])
        smoothed = lambda x, y, c, w: mean_of_classes(F.cross_entropy(x, y, c, reduction="none", label_smoothing=0.2), c[y], w)
        several(out, f"cross_entropy/both_{key}", smoothed, [logits(), labels, c, w], [0], [0.2])
        soft = lambda x, t, w: mean(F.cross_entropy(x, t, reduction="none"), w)
        several(out, f"cross_entropy/soft_{key}", soft, [logits(), torch.softmax(logits(), 1), w], [0], [0.0], rows=True)
        at = lambda x, y: F.softmax(x, dim=1).gather(1, y[:, None])[:, 0]
        labelled("gce", lambda x, y: (1 - at(x, y) ** 0.7) / 0.7, [0.7])
        log_zero = math.log(1e-4)
        rce = lambda x, y: losses.reverse_cross_entropy(x, y, log_zero)
        labelled("sce", lambda x, y: 0.1 * F.cross_entropy(x, y, reduction="none") + rce(x, y), [0.1, 1.0, log_zero])

        def nce(x, y):
            log_p = F.log_softmax(x, dim=1)
            return -log_p.gather(1, y[:, None])[:, 0] / (-log_p.sum(dim=1))

        labelled("nce_rce", lambda x, y: nce(x, y) + rce(x, y), [1.0, 1.0, log_zero])

        def regular(x, y, index, w):
            p = torch.clamp(F.softmax(x, dim=1), 1e-4, 1.0 - 1e-4)
            fixed = p.detach()
            targets = 0.3 * fixed / fixed.sum(dim=1, keepdim=True)
            return mean(F.cross_entropy(x, y, reduction="none") + 3.0 * (1 - (targets * p).sum(dim=1)).log(), w)

        several(out, f"elr/{key}", regular, [logits(), labels, torch.arange(n), w], [0], [0.7, 3.0], rows=True)

        def divergence(s, t, w):
            return mean(F.kl_div(F.log_softmax(s / 2, 1), F.log_softmax(t / 2, 1), reduction="none", log_target=True).sum(1), w)

        several(out, f"kl_div/{key}", divergence, [logits(), logits(), w], [0, 1], [2.0])
        squares = lambda x, y, w: mean(F.mse_loss(x, y, reduction="none").mean(1), w)
        several(out, f"mse/{key}", squares, [logits(), logits(), w], [0, 1])
        binary = lambda x, t, w: mean(F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1), w)
        several(out, f"bce_with_logits/{key}", binary, [logits(), torch.rand(n, k) * 0.8 + 0.1, w], [0])
        positive = lambda x, t, c, w: mean(F.binary_cross_entropy_with_logits(x, t, reduction="none", pos_weight=c).mean(1), w)
        several(out, f"bce_with_logits/positives_{key}", positive, [logits(), torch.rand(n, k) * 0.8 + 0.1, c, w], [0])
        gaussian = lambda m, v, w: mean(-0.5 * (1 + v - m.pow(2) - v.exp()).sum(1), w)
        several(out, f"kl_gaussian/{key}", gaussian, [logits(), logits(), w], [0, 1])
        for which, f in enumerate([lambda x: F.relu(1 - x), lambda x: F.relu(1 + x), lambda x: -x]):
            hinged = lambda x, w: mean(f(x).mean(1), w)
            several(out, f"hinge/w{which}_{key}", hinged, [logits(), w], [0], [float(which)])
        cosine = lambda a, b, w: mean(-nn.CosineSimilarity(dim=1, eps=1e-8)(a, b), w)
        several(out, f"negative_cosine/{key}", cosine, [logits(), logits(), w], [0, 1], [1e-8])


def mean_of_classes(rows, of_label, w):
    """PyTorch's mean under class weights, here also under weights of rows: the divisor is Σ w·c of the labels."""
    return ((w * rows).sum() / (w * of_label).sum()).reshape(1)


def contrastive(out):
    for d in (4, 3):
        unit = lambda n: F.normalize(torch.randn(n, d), dim=1)

        def moco(query, key, queue, w):
            logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.mT], 1) / 0.2
            rows = F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long), reduction="none")
            return ((w * rows).sum() / w.sum()).reshape(1)

        several(out, f"info_nce/d{d}", moco, [unit(3), unit(3), unit(5), torch.rand(3) + 0.5], [0, 1], [0.2])

        def simclr(z):
            scores = (z @ z.mT / 0.5).masked_fill(torch.eye(6, dtype=torch.bool), -INF)
            return F.cross_entropy(scores, (torch.arange(6) + 3) % 6).reshape(1)

        several(out, f"nt_xent/d{d}", simclr, [unit(6)], [0], [0.5])

        def barlow(z1, z2):
            bn = nn.BatchNorm1d(d, affine=False)
            c = bn(z1).mT @ bn(z2) / len(z1)
            return (torch.diagonal(c).add(-1).pow(2).sum() + 0.1 * losses.off_diagonal(c).pow(2).sum()).reshape(1)

        several(out, f"barlow_twins/d{d}", barlow, [torch.randn(5, d), torch.randn(5, d)], [0, 1], [0.1])

        def vicreg(x, y):
            a, b = x - x.mean(0), y - y.mean(0)
            spread = sum(torch.mean(F.relu(1 - torch.sqrt(v.var(0) + 0.0001))) / 2 for v in (a, b))
            joint = sum(losses.off_diagonal(v.mT @ v / (len(v) - 1)).pow(2).sum() / d for v in (a, b))
            return (25.0 * F.mse_loss(x, y) + 25.0 * spread + joint).reshape(1)

        several(out, f"vicreg/d{d}", vicreg, [torch.randn(5, d), torch.randn(5, d)], [0, 1], [25.0, 25.0, 1.0])
        several(out, f"center/d{d}", lambda x: x - x.mean(0), [torch.randn(5, d)], [0])


def make():
    torch.manual_seed(17)
    out = {}
    for part in (pointwise, shape, softmaxes, norms, pools, products, attention, images, of_rows, contrastive):
        part(out)
    return out
