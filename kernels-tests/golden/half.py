"""Golden values of half floats.

Casts are exact to the last bit. Products of f16 matrices are summed in f32; their gradients are products of f16
cotangents, rounded to f16. Everything is stored as f32, but what enters a product is rounded to f16 first."""

import torch


def rounded(*shape):
    return torch.randn(*shape).half().float()


def make():
    torch.manual_seed(11)
    out = {}
    edges = [1.0, 1.0004883, 1.0014648, 65504.0, 65519.9, -65504.0, 6.1e-5, 6.0e-5, -3e-8, 2.9e-8, 1e-30, 5.9604645e-8]
    for name, x in {"edges": torch.tensor(edges), "normal": torch.randn(67), "small": torch.randn(67) * 1e-6}.items():
        out[f"cast/{name}/x"], out[f"cast/{name}/y"] = x, x.half().float()
    # (M, N, K): odd sizes, rows of whole vec4, and transposes
    for name, (m, n, k), ta, tb in [
        ("5x7x3", (5, 7, 3), False, False),
        ("9x5x11_ta", (9, 5, 11), True, False),
        ("8x12x20_tb", (8, 12, 20), False, True),
        ("4x8x36_ta_tb", (4, 8, 36), True, True),
        ("3x5x300", (3, 5, 300), False, False),
    ]:
        a, b = rounded(k, m) if ta else rounded(m, k), rounded(n, k) if tb else rounded(k, n)
        left, right = a.mT if ta else a, b.mT if tb else b
        dy = rounded(m, n)
        da, db = (dy @ right.mT).half().float(), (left.mT @ dy).half().float()
        key = f"matmul/{name}"
        out[f"{key}/a"], out[f"{key}/b"], out[f"{key}/y"], out[f"{key}/grad_y"] = a, b, left @ right, dy
        out[f"{key}/grad_a"], out[f"{key}/grad_b"] = da.mT if ta else da, db.mT if tb else db
    return out
