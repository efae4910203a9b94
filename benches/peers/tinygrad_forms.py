"""The ops of a case set in tinygrad: what is computed of the inputs that torch_forms.py describes.

A function here takes the inputs by name and the fields of the case. Inputs, rows, flops and bytes are those of
torch_forms.py, so that the rows of all peers mean the same. `COMPOSED` names what tinygrad has no one method for.
"""

import math

from tinygrad import Tensor, dtypes

from torch_forms import Unsupported


def conv2d(t, f):
    """Tensor.conv2d."""
    stride, padding, dilation, groups = f.get("stride", 1), f.get("padding", 0), f.get("dilation", 1), f.get("groups", 1)
    return t["x"].conv2d(t["weight"], None, groups, stride, dilation, padding)


def matmul(t, f):
    """Tensor.matmul, of transposed operands where the case asks."""
    a = t["a"].transpose(-1, -2) if f.get("trans_a", False) else t["a"]
    b = t["b"].transpose(-1, -2) if f.get("trans_b", False) else t["b"]
    return a.matmul(b)


def attention(t, f):
    """Tensor.scaled_dot_product_attention."""
    return t["q"].scaled_dot_product_attention(t["k"], t["v"], is_causal=f.get("causal", False))


def batch_norm(t, f):
    """Batch norm with the statistics of the batch, as tinygrad.nn.BatchNorm takes them in training."""
    x = t["x"]
    mean = x.mean((0, 2, 3))
    var = (x - mean.detach().reshape(1, -1, 1, 1)).square().mean((0, 2, 3))
    return x.batchnorm(t["weight"], t["bias"], mean, (var + f.get("eps", 1e-5)).rsqrt())


def group_norm(t, f):
    """Group norm, as tinygrad.nn.GroupNorm has it."""
    x, channels = t["x"], (1, -1, 1, 1)
    y = x.reshape(x.shape[0], f["groups"], -1).layernorm(eps=f.get("eps", 1e-5)).reshape(x.shape)
    return y * t["weight"].reshape(*channels) + t["bias"].reshape(*channels)


def layer_norm(t, f):
    """Layer norm of rows."""
    return t["x"].layernorm(-1, f.get("eps", 1e-5)) * t["weight"] + t["bias"]


def l2_normalize(t, f):
    """x / ‖x‖ of each row."""
    return t["x"] / t["x"].square().sum(-1, keepdim=True).sqrt().maximum(f.get("eps", 1e-12))


def softmax(t, f):
    """The softmax of each row of x / temperature."""
    temperature = f.get("temperature", 1.0)
    x = t["x"] if temperature == 1.0 else t["x"] / temperature
    return x.log_softmax(-1) if f.get("log", False) else x.softmax(-1)


def cross_entropy(t, f):
    """Tensor.cross_entropy."""
    return t["logits"].cross_entropy(t["labels"], label_smoothing=f.get("label_smoothing", 0.0))


def negative_cosine(t, f):
    """The negative mean cosine of rows."""
    x, target, eps = t["x"], t["target"], f.get("eps", 1e-8)
    length = lambda v: v.square().sum(-1).sqrt().maximum(eps)
    return -((x * target).sum(-1) / (length(x) * length(target))).mean()


def nt_xent(t, f):
    """SimCLR's loss: similarities, no self-pairs, cross-entropy."""
    z = t["z"]
    n = z.shape[0]
    own = Tensor.eye(n, dtype=dtypes.bool)
    logits = own.where(-math.inf, z.matmul(z.transpose()) / f.get("temperature", 0.5))
    return logits.cross_entropy((Tensor.arange(n) + n // 2) % n)


def info_nce(t, f):
    """MoCo's loss: finds the key among a queue of negatives."""
    positive = (t["query"] * t["key"]).sum(1, keepdim=True)
    logits = positive.cat(t["query"].matmul(t["queue"].transpose()), dim=1) / f.get("temperature", 0.07)
    return logits.cross_entropy(Tensor.zeros(logits.shape[0], dtype=dtypes.int))


def gelu(t, f):
    """Tensor.gelu, which is the approximation by tanh."""
    if f.get("approximate", "none") != "tanh":
        raise Unsupported("tinygrad's gelu is the approximation by tanh alone")
    return t["x"].gelu()


def reduce(t, f):
    """sum, mean, var, max or argmax over axes."""
    kind, axes, keepdim = f.get("kind", "sum"), f["axes"], f.get("keepdim", False)
    if kind == "argmax":
        return t["x"].argmax(axes[0] if isinstance(axes, list) else axes, keepdim=keepdim)
    axes = tuple(axes) if isinstance(axes, list) else axes
    return getattr(t["x"], kind)(axes, keepdim=keepdim)


def pool(method):
    """A pool with a kernel, a stride and a padding."""

    def run(t, f):
        kernel = f.get("kernel", 2)
        both = tuple(kernel) if isinstance(kernel, list) else (kernel, kernel)
        stride = f.get("stride", kernel)
        stride, padding = (tuple(v) if isinstance(v, list) else v for v in (stride, f.get("padding", 0)))
        return getattr(t["x"], method)(both, stride, padding=padding)

    return run


def adaptive_avg_pool2d(t, f):
    """The mean of windows that divide the image."""
    out = f.get("out", 1)
    out = out if isinstance(out, list) else [out, out]
    size = t["x"].shape[2:]
    if any(n % o for n, o in zip(size, out)):
        raise Unsupported("tinygrad has no adaptive pool, and the windows do not divide the image")
    return t["x"].avg_pool2d(tuple(n // o for n, o in zip(size, out)))


def normalize(t, f):
    """(x − mean) / std of each channel."""
    channel = lambda v: Tensor(v[: t["x"].shape[1]]).reshape(1, -1, 1, 1)
    return (t["x"] - channel([0.49, 0.48, 0.44])) / channel([0.25, 0.24, 0.26])


UNARY = ("abs", "exp", "log", "neg", "reciprocal", "relu", "sigmoid", "silu", "sqrt", "tanh")
BINARY = ("add", "div", "maximum", "minimum", "mul", "sub")

RUN = {
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "add_bias": lambda t, f: t["x"] + t["bias"],
    "attention": attention,
    "avg_pool2d": pool("avg_pool2d"),
    "batch_norm": batch_norm,
    "bce_with_logits": lambda t, f: t["logits"].binary_crossentropy_logits(t["targets"]),
    "broadcast": lambda t, f: t["x"].expand(*f["shape"]).contiguous(),
    "clamp": lambda t, f: t["x"].clamp(f.get("min", -1.0), f.get("max", 1.0)),
    "conv2d": conv2d,
    "cross_entropy": cross_entropy,
    "dropout": lambda t, f: t["x"].dropout(f.get("p", 0.5)),
    "gather": lambda t, f: t["table"][t["indices"]],
    "gelu": gelu,
    "group_norm": group_norm,
    "info_nce": info_nce,
    "l2_normalize": l2_normalize,
    "layer_norm": layer_norm,
    "leaky_relu": lambda t, f: t["x"].leaky_relu(f.get("negative_slope", 0.01)),
    "matmul": matmul,
    "max_pool2d": pool("max_pool2d"),
    "mse": lambda t, f: (t["x"] - t["target"]).square().mean(),
    "negative_cosine": negative_cosine,
    "normalize": normalize,
    "nt_xent": nt_xent,
    "permute": lambda t, f: t["x"].permute(*f["axes"]).contiguous(),
    "pow": lambda t, f: t["x"].pow(f.get("exponent", 2.0)),
    "reduce": reduce,
    "softmax": softmax,
    "top_k": lambda t, f: t["x"].topk(f["k"])[0],
    **{op: lambda t, f, op=op: getattr(t["x"], op)() for op in UNARY},
    **{op: lambda t, f, op=op: getattr(t["x"], op)(t["other"]) for op in BINARY},
}

COMPOSED = {
    "adaptive_avg_pool2d", "batch_norm", "group_norm", "info_nce", "l2_normalize", "layer_norm", "mse", "negative_cosine", "normalize", "nt_xent",
}


def run_of(op):
    """The function of an op. Raises Unsupported where none is written."""
    if op not in RUN:
        raise Unsupported(f"no form of {op} is written in tinygrad_forms.py")
    return RUN[op]
