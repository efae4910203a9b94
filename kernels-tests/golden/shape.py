"""Golden values of the ops that move, reduce and order elements.

A case's name holds the op's arguments; kernels-tests/golden_shape.rs reads them from there."""

import torch
import torch.nn.functional as F


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def keep(out, prefix, y, inputs):
    """Stores y, a random cotangent and the gradient of every input."""
    cotangent = torch.randn_like(y)
    found = torch.autograd.grad(y, list(inputs.values()), cotangent)
    out[f"{prefix}/y"], out[f"{prefix}/grad_y"] = y, cotangent
    for (name, value), grad in zip(inputs.items(), found):
        out[f"{prefix}/{name}"], out[f"{prefix}/grad_{name}"] = value, grad


def reduce(out):
    # (case, shape, axes, keepdim): kind, then the axes, then "keep"
    for kind, shape, axes, kept in [
        ("sum", (3, 5, 4, 2), (0, 2), False),
        ("sum", (7, 13), (1,), True),
        ("mean", (3, 5, 4, 2), (1, 3), False),
        ("mean", (3, 5, 4, 2), (0, 1, 2, 3), False),
        ("var0", (6, 11), (1,), False),
        ("var1", (3, 5, 4, 2), (0, 2, 3), True),
        ("max", (7, 13), (1,), False),
        ("max", (5, 3, 4), (1,), True),
    ]:
        x = leaf(*shape)
        if kind.startswith("var"):
            y = x.var(axes, correction=int(kind[3:]), keepdim=kept)
        elif kind == "max":
            y = x.max(axes[0], keepdim=kept).values
        else:
            y = getattr(x, kind)(axes, keepdim=kept)
        keep(out, f"reduce/{kind}_{''.join(map(str, axes))}{'_keep' if kept else ''}_{len(shape)}d", y, {"x": x})
    x = (torch.randn(9, 21) * 1.5).round()  # several equal maxima; the first one counts
    first = torch.stack([(row == row.max()).nonzero()[0, 0] for row in x])
    out["reduce/argmax_1_2d/x"], out["reduce/argmax_1_2d/y"] = x, first


def softmax(out):
    for op, name in [(F.softmax, "softmax"), (F.log_softmax, "log_softmax")]:
        for shape, scale, temperature in [((7, 13), 1.0, 1.0), ((2, 3, 8), 1.0, 0.1), ((4, 5), 200.0, 2.0)]:
            x = (torch.randn(*shape) * scale).requires_grad_()
            keep(out, f"{name}/n{len(shape)}d{shape[-1]}t{temperature}", op(x / temperature, dim=-1), {"x": x})


def moves(out):
    for shape, axes in [((5, 7), (1, 0)), ((2, 3, 4, 5), (0, 2, 3, 1)), ((3, 4, 5), (2, 0, 1))]:
        x = leaf(*shape)
        keep(out, f"permute/{''.join(map(str, axes))}", x.permute(axes), {"x": x})
    for axis, shapes in [(0, [(2, 3), (1, 3)]), (1, [(2, 3, 2), (2, 1, 2), (2, 4, 2)]), (2, [(2, 3, 4), (2, 3, 8)])]:
        parts = {name: leaf(*shape) for name, shape in zip("abc", shapes)}
        keep(out, f"concat/{axis}", torch.cat(list(parts.values()), axis), parts)
    for axis, start, length in [(0, 1, 3), (1, 2, 1), (2, 0, 2)]:
        x = leaf(5, 4, 3)
        keep(out, f"slice/{axis}_{start}_{length}", x.narrow(axis, start, length), {"x": x})


def indexed(out):
    for rows, d, n in [(7, 5, 11), (4, 8, 3)]:
        table, indices = leaf(rows, d), torch.randint(0, rows, (n,))
        keep(out, f"gather/r{rows}", table.index_select(0, indices), {"table": table})
        x = leaf(n, d)
        keep(out, f"scatter_add/r{rows}", torch.zeros(rows, d).index_add(0, indices, x), {"x": x})
        for op in ("gather", "scatter_add"):
            out[f"{op}/r{rows}/indices"] = indices


def ordered(out):
    for shape, k in [((6, 17), 5), ((2, 3, 300), 256)]:
        x = leaf(*shape)
        values, indices = x.topk(k)
        keep(out, f"top_k/k{k}", values, {"x": x})
        out[f"top_k/k{k}/indices"] = indices
    x = (torch.randn(5, 33) * 2).round()  # ties keep their order
    out["rank/ties/x"], out["rank/ties/y"] = x, x.argsort(dim=-1, stable=True)


def casts(out):
    x = torch.rand(5, 7) * 1e6
    out["cast/u32/x"], out["cast/u32/y"] = x, x.long()
    words = torch.randint(0, 2**32, (9,))
    out["cast/f32/x"], out["cast/f32/y"] = words, words.float()
    # from below the smallest half to just below the largest
    x = torch.randn(64) * 10 ** torch.linspace(-9, 4, 64)
    halves = x.half().view(torch.int16).long() & 0xFFFF
    out["pack_f16/64/x"], out["pack_f16/64/y"] = x, halves[0::2] | halves[1::2] << 16
    out["unpack_f16/64/x"], out["unpack_f16/64/y"] = out["pack_f16/64/y"], x.half().float()


def make():
    torch.manual_seed(6)
    out = {}
    for write in (reduce, softmax, moves, indexed, ordered, casts):
        write(out)
    return out
