"""Golden values of ops that are one line of PyTorch, and of what a training step updates in place.

make_golden.py writes them. Keys are `<op>/<case>/<tensor>`: the inputs under the op's names, the result as `y`, a
random cotangent `grad_y` and the gradient `grad_<name>` of each input that has one.
"""

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn


def with_gradient(out, key, y, inputs):
    """Stores inputs, y, a random cotangent and the gradient of each input."""
    cotangent = torch.randn_like(y)
    found = torch.autograd.grad(y, list(inputs.values()), cotangent)
    out |= {f"{key}/y": y, f"{key}/grad_y": cotangent}
    for (name, value), grad in zip(inputs.items(), found):
        out |= {f"{key}/{name}": value, f"{key}/grad_{name}": grad}


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def lines(out):
    x = leaf(5, 7)
    with_gradient(out, "scale/n35", torch.mul(x, -0.3), {"x": x})
    out["fill/n6/y"] = torch.full((2, 3), 0.1)
    out |= {"increment/one/x": torch.tensor([41.0]), "increment/one/y": torch.tensor([41.0]).add(1)}
    x, bias = leaf(9, 6), leaf(6)
    with_gradient(out, "add_bias/n9d6", torch.add(x, bias), {"x": x, "bias": bias})
    x = leaf(11, 5)
    with_gradient(out, "center/n11d5", x - x.mean(0), {"x": x})
    logits, labels, weights = torch.randn(13, 4).round(), torch.randint(0, 4, (13,)), torch.rand(13)
    first = torch.stack([(row == row.max()).nonzero()[0, 0] for row in logits])  # the first of equal maxima
    out |= {"correct/n13k4/logits": logits, "correct/n13k4/labels": labels, "correct/n13k4/weights": weights}
    out["correct/n13k4/y"] = weights[first == labels].sum().reshape(1)


def conv_transpose2d(out):
    # (case, x, weight, stride, padding, output_padding, groups, dilation)
    for case, x, weight, s, p, o, g, d in [
        ("doubling", (2, 6, 5, 4), (6, 5, 4, 4), 2, 1, 0, 1, 1),
        ("padded", (2, 5, 4, 3), (5, 7, 3, 3), 2, 1, 1, 1, 1),
        ("groups", (1, 6, 4, 5), (6, 2, 3, 3), 2, 1, 1, 3, 1),
        ("dilated", (1, 3, 5, 4), (3, 4, 2, 3), 1, 0, 0, 1, 2),
    ]:
        x, weight = leaf(*x), leaf(*weight)
        y = F.conv_transpose2d(x, weight, None, s, p, o, g, d)
        with_gradient(out, f"conv_transpose2d/{case}", y, {"x": x, "weight": weight})


def ema(out):
    """PyTorch's average of parameters, and the running variance of its batch norm, unbiased, over 24 elements."""
    target, x = torch.randn(5, 3), torch.randn(5, 3)
    moved = target.clone()
    get_ema_multi_avg_fn(0.97)([moved], [x], 1)
    out |= {"ema/teacher/target": target, "ema/teacher/x": x, "ema/teacher/y": moved}
    batch, mean, var = torch.randn(6, 3, 2, 2), torch.zeros(3), torch.rand(3)
    moved = var.clone()
    F.batch_norm(batch, mean, moved, training=True, momentum=0.1)
    biased = batch.var((0, 2, 3), correction=0)
    out |= {"ema/running/target": var, "ema/running/x": biased, "ema/running/y": moved}


def enqueue(out):
    """As facebookresearch/moco's _dequeue_and_enqueue, but with keys as rows, not columns. The second write wraps
    around."""
    for case, pointer in [("inside", 1), ("round", 5)]:
        queue, keys = torch.randn(6, 4), torch.randn(2, 4)
        moved = queue.clone()
        moved[(pointer + torch.arange(2)) % 6] = keys
        out |= {f"enqueue/{case}/queue": queue, f"enqueue/{case}/pointer": torch.tensor([pointer])}
        out |= {f"enqueue/{case}/rows": keys, f"enqueue/{case}/y": moved}


def ring(out):
    ring, values = torch.randn(4, 2), torch.randn(2)
    moved = ring.index_copy(0, torch.tensor([2]), values[None])
    out |= {"ring/row2/ring": ring, "ring/row2/a": values[:1], "ring/row2/b": values[1:], "ring/row2/y": moved}


def make():
    torch.manual_seed(9)
    out = {}
    for part in (lines, conv_transpose2d, ema, enqueue, ring):
        part(out)
    return out
