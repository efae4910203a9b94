"""The ops of a case set in PyTorch.

For each op: the inputs that its fields describe (as src/lab/case_builders.rs makes them), what is timed, and the flops
and bytes that wgslab counts for it. So GFLOP/s of two reports mean the same. An op that PyTorch has as one function is
timed as that function; `composed` marks an op that takes several.
"""

import math
from dataclasses import dataclass, field
from typing import Callable

import torch
import torch.nn.functional as F

SCALARS = 64  # the named scalars of a step, src/tape/record.rs


class Unsupported(Exception):
    """Raised for a case that PyTorch has no function for, with the reason."""


@dataclass
class Entry:
    """A row: forward, or the gradient of the inputs `of`."""

    direction: str
    flops: int
    bytes: int
    of: tuple = ()


@dataclass
class Form:
    """A case: inputs (name, shape, dtype, fill), the function of them, its rows."""

    inputs: list
    run: Callable
    rows: list
    composed: bool = False
    # For an optimizer, which has a state: it is called once with the tensors and gives the function that is timed.
    prepare: Callable | None = None


@dataclass
class Fields:
    """The fields of a case, with PyTorch's defaults."""

    op: str
    table: dict
    asked: set = field(default_factory=lambda: {"name"})

    def get(self, name, default=None):
        """Gives a field or its default. A field without a default must be there."""
        self.asked.add(name)
        value = self.table.get(name, default)
        if value is None:
            raise KeyError(f"{self.op} {self.table['name']} has no {name}")
        return value

    def shape(self, name):
        """Gives a shape. A single number is a vector."""
        value = self.get(name)
        return list(value) if isinstance(value, list) else [value]

    def pair(self, name, default):
        """Gives two numbers. A single number stands for both."""
        value = self.get(name, default)
        return list(value) if isinstance(value, list) else [value, value]

    def finish(self):
        """Raises an error for a field that this form does not know."""
        unknown = set(self.table) - self.asked
        if unknown:
            raise KeyError(f"{self.op} {self.table['name']} has fields unknown here: {', '.join(sorted(unknown))}")


def numel(shape):
    """The number of elements of a shape."""
    return math.prod(shape)


def size(*shapes):
    """The bytes of f32 or u32 tensors."""
    return 4 * sum(numel(s) for s in shapes)


def half_size(*shapes):
    """The bytes of f16 tensors."""
    return size(*shapes) // 2


def normal(name, shape, dtype="f32"):
    """An input of standard normal values."""
    return (name, shape, dtype, ("normal",))


def uniform(name, shape, low, high):
    """An input of uniform values."""
    return (name, shape, "f32", ("uniform", low, high))


def below(name, shape, limit):
    """An input of whole numbers."""
    return (name, shape, "u32", ("below", limit))


def value(name, shape, x):
    """An input of one value."""
    return (name, shape, "f32", ("value", x))


# Products. For halves, wgslab gives f32 and rounds the output's gradient to halves. PyTorch's output is f16.


def operands(f):
    """The dtype of a product's operands, and a function that gives the bytes of tensors of it."""
    dtype = f.get("dtype", "f32")
    if dtype not in ("f32", "f16"):
        raise KeyError(f"dtype of {f.op} must be f32 or f16")
    return dtype, half_size if dtype == "f16" else size


def conv2d(f):
    """y[n, k, p, q] = Σ x · weight."""
    x, weight = f.shape("x"), f.shape("weight")
    (n, _, h, w), (k, cg, r, s) = x, weight
    stride, padding, dilation = f.get("stride", 1), f.get("padding", 0), f.get("dilation", 1)
    groups = f.get("groups", 1)
    p, q = ((size_ + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for size_, kernel in ((h, r), (w, s)))
    y = [n, k, p, q]
    dtype, own_size = operands(f)
    flops, bytes_ = 2 * numel(y) * cg * r * s, own_size(x, weight, y)
    rows = [
        Entry("forward", flops, own_size(x, weight) + size(y)),
        Entry("grad_input", flops, bytes_, ("x",)),
        Entry("grad_weight", flops, bytes_, ("weight",)),
    ]
    run = lambda t: F.conv2d(t["x"], t["weight"], None, stride, padding, dilation, groups)
    return Form([normal("x", x, dtype), normal("weight", weight, dtype)], run, rows)


def matmul(f):
    """op(a) · op(b). Its gradients are products too."""
    a, b = f.shape("a"), f.shape("b")
    trans_a, trans_b = f.get("trans_a", False), f.get("trans_b", False)
    *z, m, k = a[:-2] + a[-2:][::-1] if trans_a else a
    n = b[-2] if trans_b else b[-1]
    y = [*z, m, n]
    run = lambda t: torch.matmul(t["a"].mT if trans_a else t["a"], t["b"].mT if trans_b else t["b"])
    dtype, own_size = operands(f)
    rows = [Entry("forward", 2 * numel(y) * k, own_size(a, b) + size(y))]
    return Form([normal("a", a, dtype), normal("b", b, dtype)], run, rows)


def add_bias(f):
    """x + bias in each row."""
    m, n = x = f.shape("x")
    rows = [Entry("forward", m * n, size(x, x, [n])), Entry("grad_bias", m * n, size(x, [n]), ("bias",))]
    return Form([normal("x", x), normal("bias", [n])], lambda t: t["x"] + t["bias"], rows)


def attention(f):
    """softmax(q · kᵀ / √E) · v."""
    q, k = f.shape("q"), f.shape("k")
    causal = f.get("causal", False)
    (b, h, t, e), s = q, k[2]
    pairs = b * h * (sum(min(i, s) for i in range(1, t + 1)) if causal else t * s)
    lse = [b, h, t]
    rows = [
        Entry("forward", 4 * pairs * e, size(q, k, k, q, lse)),
        Entry("grad", 10 * pairs * e, size(q, k, k, q, lse, q, q, k, k), ("q", "k", "v")),
    ]
    run = lambda t: F.scaled_dot_product_attention(t["q"], t["k"], t["v"], is_causal=causal)
    return Form([normal("q", q), normal("k", k), normal("v", k)], run, rows)


# Norms and softmax


def affine(x, n):
    """x with a weight and a bias."""
    return [normal("x", x), uniform("weight", [n], 0.5, 1.5), normal("bias", [n])]


def batch_norm(f):
    """Batch norm with the statistics of the batch."""
    x, eps = f.shape("x"), f.get("eps", 1e-5)
    if f.get("splits", 1) != 1:
        raise Unsupported("PyTorch's batch_norm has no splits")
    rows = [
        Entry("forward", 8 * numel(x), 3 * size(x)),
        Entry("grad", 9 * numel(x), 5 * size(x), ("x", "weight", "bias")),
    ]
    run = lambda t: F.batch_norm(t["x"], None, None, t["weight"], t["bias"], True, 0.1, eps)
    return Form(affine(x, x[1]), run, rows)


def group_norm(f):
    """Group norm: statistics of groups of channels of one sample."""
    x, groups, eps = f.shape("x"), f.get("groups"), f.get("eps", 1e-5)
    rows = [
        Entry("forward", 8 * numel(x), 3 * size(x)),
        Entry("grad", 9 * numel(x), 5 * size(x), ("x", "weight", "bias")),
    ]
    return Form(affine(x, x[1]), lambda t: F.group_norm(t["x"], groups, t["weight"], t["bias"], eps), rows)


def layer_norm(f):
    """Layer norm: statistics of a row."""
    n, d = x = f.shape("x")
    eps = f.get("eps", 1e-5)
    rows = [
        Entry("forward", 8 * n * d, size(x, [d], [d], x, [n], [n])),
        Entry("grad", 14 * n * d, size(x, [d], [n], [n], x, x, [d], [d]), ("x", "weight", "bias")),
    ]
    return Form(affine(x, d), lambda t: F.layer_norm(t["x"], [d], t["weight"], t["bias"], eps), rows)


def l2_normalize(f):
    """x / ‖x‖ of each row."""
    n, d = x = f.shape("x")
    eps = f.get("eps", 1e-12)
    rows = [
        Entry("forward", 3 * n * d, size(x, x, [n])),
        Entry("grad", 5 * n * d, size(x, [n], x, x), ("x",)),
    ]
    return Form([normal("x", x)], lambda t: F.normalize(t["x"], eps=eps), rows)


def softmax(f):
    """The softmax of each row of x / temperature."""
    x, temperature, log = f.shape("x"), f.get("temperature", 1.0), f.get("log", False)
    function = F.log_softmax if log else F.softmax
    scaled = lambda x: x if temperature == 1.0 else x / temperature
    rows = [Entry("forward", 7 * numel(x), size(x, x)), Entry("grad", 5 * numel(x), size(x, x, x), ("x",))]
    return Form([normal("x", x)], lambda t: function(scaled(t["x"]), -1), rows, temperature != 1.0)


# Losses


def row_loss(inputs, of, flops, keeps, run, composed=False):
    """A loss over rows: the mean of the rows' losses under weights, which are the last input. The inputs `of` have
    gradients."""
    shapes = {name: shape for name, shape, _, _ in inputs}
    x = inputs[0][1]
    n = x[0]
    stats = [[n, 4]] if keeps else []
    forward = size(*shapes.values(), [1], [n], [n], *stats)
    own = [shape for name, shape in shapes.items() if name != "weights"]
    grad = size(*own, *stats, [1], [n], *[shapes[name] for name in of])
    return Form(inputs, run, [Entry("forward", flops * numel(x), forward), Entry("grad", flops * numel(x), grad, of)], composed)


def labelled(f):
    """Logits, labels and weights."""
    n, k = f.shape("logits")
    return [normal("logits", [n, k]), below("labels", [n], k), value("weights", [n], 1.0)]


def cross_entropy(f):
    """A loss of logits and labels. All weights of rows are 1 in the sets, which is the mean in PyTorch."""
    smoothing = f.get("label_smoothing", 0.0)
    run = lambda t: F.cross_entropy(t["logits"], t["labels"], label_smoothing=smoothing)
    return row_loss(labelled(f), ("logits",), 4 if smoothing == 0.0 else 9, True, run)


def bce_with_logits(f):
    """A loss of logits and soft targets."""
    n, k = f.shape("logits")
    inputs = [normal("logits", [n, k]), uniform("targets", [n, k], 0.0, 1.0), value("weights", [n], 1.0)]
    run = lambda t: F.binary_cross_entropy_with_logits(t["logits"], t["targets"])
    return row_loss(inputs, ("logits",), 12, False, run)


def pair(f):
    """Two matrices and weights."""
    n, d = f.shape("x")
    return [normal("x", [n, d]), normal("target", [n, d]), value("weights", [n], 1.0)]


def mse(f):
    """A loss of two matrices, with both gradients."""
    return row_loss(pair(f), ("x", "target"), 3, False, lambda t: F.mse_loss(t["x"], t["target"]))


def negative_cosine(f):
    """The negative mean cosine of rows, with both gradients."""
    eps = f.get("eps", 1e-8)
    run = lambda t: -F.cosine_similarity(t["x"], t["target"], eps=eps).mean()
    return row_loss(pair(f), ("x", "target"), 6, True, run, composed=True)


def nt_xent(f):
    """SimCLR's loss as it is usually written in PyTorch: similarities, no self-pairs, cross-entropy."""
    n, d = z = f.shape("z")
    temperature, reach = f.get("temperature", 0.5), math.sqrt(3.0 / d)
    made = {}

    def run(t):
        device = t["z"].device
        if not made:
            made["partner"] = torch.arange(n, device=device).roll(n // 2)
            made["self"] = torch.eye(n, dtype=torch.bool, device=device)
        logits = (t["z"] @ t["z"].mT / temperature).masked_fill(made["self"], -math.inf)
        return F.cross_entropy(logits, made["partner"])

    rows = [
        Entry("forward", n * (2 * n * d + 4 * n), size(z, [n])),
        Entry("grad", n * (4 * n * d + 6 * n), size(z, [n], z), ("z",)),
    ]
    return Form([uniform("z", z, -reach, reach)], run, rows, composed=True)


def info_nce(f):
    """MoCo's loss: finds the key among a queue of negatives."""
    (n, d), (k, _) = query, queue = f.shape("query"), f.shape("queue")
    temperature, reach = f.get("temperature", 0.07), math.sqrt(3.0 / d)
    names = {"query": query, "key": query, "queue": queue}
    inputs = [uniform(name, shape, -reach, reach) for name, shape in names.items()] + [value("weights", [n], 1.0)]
    made = {}

    def run(t):
        if not made:
            made["first"] = torch.zeros(n, dtype=torch.long, device=t["query"].device)
        positive = (t["query"] * t["key"]).sum(1, keepdim=True)
        logits = torch.cat([positive, t["query"] @ t["queue"].mT], 1) / temperature
        return F.cross_entropy(logits, made["first"])

    # The outputs are also the shares and the rows' log-sum-exp.
    rows = [
        Entry("forward", n * (2 * k * d + 4 * k), size(query, query, queue, [n], [1], [n], [n], [n])),
        Entry("grad", n * (4 * k * d + 3 * k), size(query, queue, query, [n], [n], [1], [n], query), ("query",)),
        Entry("grad_key", 3 * n * d, size(query, [n], [1], [n], query), ("key",)),
    ]
    return Form(inputs, run, rows, composed=True)


# Elementwise

# The function and the flops of its forward pass. The gradient takes one flop more.
UNARY = {
    "abs": (lambda f: torch.abs, 1),
    "clamp": (lambda f: lambda x, a=f.get("min", -1.0), b=f.get("max", 1.0): torch.clamp(x, a, b), 2),
    "exp": (lambda f: torch.exp, 1),
    "gelu": (lambda f: lambda x, a=f.get("approximate", "none"): F.gelu(x, approximate=a), 28),
    "leaky_relu": (lambda f: lambda x, a=f.get("negative_slope", 0.01): F.leaky_relu(x, a), 2),
    "log": (lambda f: torch.log, 1),
    "neg": (lambda f: torch.neg, 1),
    "pow": (lambda f: lambda x, a=f.get("exponent", 2.0): torch.pow(x, a), 1),
    "reciprocal": (lambda f: torch.reciprocal, 1),
    "relu": (lambda f: F.relu, 1),
    "sigmoid": (lambda f: torch.sigmoid, 4),
    "silu": (lambda f: F.silu, 5),
    "sqrt": (lambda f: torch.sqrt, 1),
    "tanh": (lambda f: torch.tanh, 17),
}


def unary(f):
    """A function of each element."""
    x, (make, flops) = f.shape("x"), UNARY[f.op]
    function = make(f)
    # Gradients that wgslab names after another function (gelu_tanh, pow_whole) are not rows of this op.
    tanh = f.op == "gelu" and f.get("approximate", "none") == "tanh"
    own = f.op != "neg" and not tanh and not (f.op == "pow" and f.get("exponent", 2.0) % 1 == 0)
    flops = 9 if tanh else flops
    rows = [Entry("forward", flops * numel(x), size(x, x))]
    rows += [Entry("grad", (flops + 1) * numel(x), size(x, x, x), ("x",))] if own else []
    positive = f.op in ("log", "sqrt", "pow", "reciprocal")
    inputs = [uniform("x", x, 0.05, 4.0) if positive else normal("x", x)]
    return Form(inputs, lambda t: function(t["x"]), rows)


BINARY = {
    "add": torch.add,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mul": torch.mul,
    "sub": torch.sub,
}


def binary(f):
    """A function of two elements."""
    x, function = f.shape("x"), BINARY[f.op]
    rows = [Entry("forward", numel(x), size(x, x, x))]
    # The row is a gradient that is an op of its own: of the divisor for div, of one side for maximum.
    if f.op == "div":
        rows.append(Entry("grad", 3 * numel(x), 4 * size(x), ("other",)))
    if f.op == "maximum":
        rows.append(Entry("grad", 2 * numel(x), 4 * size(x), ("x",)))
    inputs = [normal("x", x), ("other", x, "f32", ("away",))]
    return Form(inputs, lambda t: function(t["x"], t["other"]), rows)


def dropout(f):
    """Draws a new mask each time."""
    x, p = f.shape("x"), f.get("p", 0.5)
    inputs = [normal("x", x), value("scalars", [SCALARS], 1.0)]
    return Form(inputs, lambda t: F.dropout(t["x"], p), [Entry("forward", 27 * numel(x), size(x, x))])


# Shapes, sums and selection


def broadcast(f):
    """A copy, not a view."""
    x, y = f.shape("x"), f.shape("shape")
    rows = [Entry("forward", 0, size(x, y)), Entry("grad", numel(y), size(y, x), ("x",))]
    return Form([normal("x", x)], lambda t: t["x"].expand(y).contiguous(), rows)


def permute(f):
    """A copy, not a view."""
    x, axes = f.shape("x"), f.shape("axes")
    return Form([normal("x", x)], lambda t: t["x"].permute(axes).contiguous(), [Entry("forward", 0, 2 * size(x))])


def reduce(f):
    """sum, mean, var, max or argmax over axes."""
    x, axes, keepdim = f.shape("x"), f.shape("axes"), f.get("keepdim", False)
    kind = f.get("kind", "sum")
    y = [n for i, n in enumerate(x) if i not in axes] or [1]
    inputs = [normal("x", x)]
    if kind in ("sum", "mean"):
        run = lambda t: getattr(torch, kind)(t["x"], axes, keepdim=keepdim)
        rows = [Entry("forward", numel(x), size(x, y)), Entry("grad", 2 * numel(x), size(y, x), ("x",))]
    elif kind == "var":
        run = lambda t: torch.var_mean(t["x"], axes, keepdim=keepdim)[0]
        rows = [Entry("forward", 4 * numel(x), size(x, x, y, y)), Entry("grad", 2 * numel(x), size(y, x, y, x), ("x",))]
    elif len(axes) != 1:
        raise Unsupported(f"PyTorch has {kind} with indices over one axis only")
    elif kind == "max":
        run = lambda t: torch.max(t["x"], axes[0], keepdim=keepdim)[0]
        rows = [Entry("forward", numel(x), size(x, y, y)), Entry("grad", 2 * numel(x), size(y, y, x), ("x",))]
    else:
        run = lambda t: torch.argmax(t["x"], axes[0], keepdim=keepdim)
        rows = [Entry("forward", numel(x), size(x, y))]
    return Form(inputs, run, rows)


def gather(f):
    """Rows of a table."""
    table, n = f.shape("table"), f.get("indices")
    y = [n, *table[1:]]
    inputs = [normal("table", table), below("indices", [n], table[0])]
    rows = [Entry("forward", 0, size(y, y, [n]))]
    return Form(inputs, lambda t: torch.index_select(t["table"], 0, t["indices"]), rows)


def top_k(f):
    """The k largest of each row."""
    x, k = f.shape("x"), f.get("k")
    y = [*x[:-1], k]
    rows = [Entry("forward", 0, size(x, y, y)), Entry("grad", 0, size(y, y, x), ("x",))]
    return Form([normal("x", x)], lambda t: torch.topk(t["x"], k)[0], rows)


def pool(x, out, area, indices, run):
    """The rows of a pool. The gradient of a maximum reads its indices."""
    y = [*x[:2], *out]
    rows = [
        Entry("forward", numel(y) * area, size(x, y, *indices * [y])),
        Entry("grad", numel(x), size(*indices * [y], y, x), ("x",)),
    ]
    return Form([normal("x", x)], run, rows)


def out_of(x, kernel, stride, padding):
    """The height and width of a pool's output."""
    return [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x[2:], kernel, stride, padding)]


def max_pool2d(f):
    """The largest element of a window."""
    x, kernel = f.shape("x"), f.get("kernel")
    stride, padding = f.get("stride", kernel), f.get("padding", 0)
    out = out_of(x, [kernel] * 2, [stride] * 2, [padding] * 2)
    return pool(x, out, kernel * kernel, 1, lambda t: F.max_pool2d(t["x"], kernel, stride, padding))


def avg_pool2d(f):
    """The mean of a window."""
    x, kernel = f.shape("x"), f.pair("kernel", [2, 2])
    stride, padding = f.pair("stride", kernel), f.pair("padding", [0, 0])
    out = out_of(x, kernel, stride, padding)
    return pool(x, out, kernel[0] * kernel[1], 0, lambda t: F.avg_pool2d(t["x"], kernel, stride, padding))


def adaptive_avg_pool2d(f):
    """The means of the requested number of windows."""
    x, out = f.shape("x"), f.pair("out", [1, 1])
    # The longest window of an axis. Windows may overlap.
    longest = [max(-(-(i + 1) * n // o) - i * n // o for i in range(o)) for n, o in zip(x[2:], out)]
    return pool(x, out, longest[0] * longest[1], 0, lambda t: F.adaptive_avg_pool2d(t["x"], out))


# Optimizers: torch.optim's fused ones on a single tensor


def optimizer(f, make, names, flops, bytes_):
    """One parameter of n elements."""
    n = f.get("param")
    fills = {"square": uniform("square", [n], 0.1, 2.0), "step": value("step", [1], 100.0)}
    inputs = [fills.get(name, normal(name, [n])) for name in ("param", "grad", *names)]
    inputs.append(value("scalars", [SCALARS], 1e-6))

    def prepare(t):
        param = torch.nn.Parameter(t["param"])
        param.grad = t["grad"]
        return make(param).step

    return Form(inputs, None, [Entry("forward", flops * n, bytes_ * 4 * n)], prepare=prepare)


def sgd(f):
    """torch.optim.SGD."""
    momentum, decay, nesterov = f.get("momentum", 0.9), f.get("weight_decay", 1e-4), f.get("nesterov", False)
    make = lambda p: torch.optim.SGD([p], 1e-6, momentum, weight_decay=decay, nesterov=nesterov, fused=True)
    return optimizer(f, make, ("velocity",), 6, 5)


def adam(f):
    """torch.optim.Adam, or AdamW where the weight decay is decoupled."""
    decay, decoupled = f.get("weight_decay", 0.0), f.get("decoupled", False)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    make = lambda p: kind([p], 1e-6, weight_decay=decay, fused=True)
    return optimizer(f, make, ("mean", "square", "step"), 13, 7)


# Images


def normalize(f):
    """(x − mean) / std of each channel."""
    x = f.shape("x")
    made = {}

    def run(t):
        if not made:
            view = lambda v: torch.tensor(v, device=t["x"].device)[: x[1]].view(1, -1, 1, 1)
            made["mean"], made["std"] = view([0.49, 0.48, 0.44]), view([0.25, 0.24, 0.26])
        return (t["x"] - made["mean"]) / made["std"]

    return Form([uniform("x", x, 0.0, 1.0)], run, [Entry("forward", 2 * numel(x), 2 * size(x))], composed=True)


def without(reason):
    """An op that PyTorch does not have."""

    def form(_):
        raise Unsupported(reason)

    return form


TORCHVISION = without("augmentation is torchvision's, not PyTorch's; torch_step.py times a SimCLR epoch with it")

FORMS = {
    "adam": adam,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "add_bias": add_bias,
    "attention": attention,
    "avg_pool2d": avg_pool2d,
    "barlow_twins": without("PyTorch has no Barlow Twins loss"),
    "batch_norm": batch_norm,
    "bce_with_logits": bce_with_logits,
    "broadcast": broadcast,
    "color_jitter": TORCHVISION,
    "conv2d": conv2d,
    "crop_resize": TORCHVISION,
    "cross_entropy": cross_entropy,
    "dropout": dropout,
    "gather": gather,
    "gaussian_blur": TORCHVISION,
    "gce": without("PyTorch has no generalized cross-entropy"),
    "group_norm": group_norm,
    "info_nce": info_nce,
    "l2_normalize": l2_normalize,
    "lars": without("PyTorch has no LARS"),
    "layer_norm": layer_norm,
    "matmul": matmul,
    "max_pool2d": max_pool2d,
    "mse": mse,
    "negative_cosine": negative_cosine,
    "normalize": normalize,
    "nt_xent": nt_xent,
    "permute": permute,
    "reduce": reduce,
    "sgd": sgd,
    "softmax": softmax,
    "top_k": top_k,
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BINARY, binary),
}


def form(op, table):
    """The form of a case. Raises Unsupported where PyTorch has none, and KeyError where the case is malformed."""
    if op not in FORMS:
        raise Unsupported(f"no form of {op} is written in torch_forms.py")
    f = Fields(op, table)
    made = FORMS[op](f)
    f.finish()
    return made


def shown(inputs):
    """Shows inputs as a report does: x [16, 64, 56, 56] f32, weight [64, 64, 3, 3] f32."""
    return ", ".join(f"{name} {shape} {dtype}" for name, shape, dtype, _ in inputs)
