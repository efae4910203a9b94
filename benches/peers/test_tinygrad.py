"""python3 -m unittest discover benches/peers: tinygrad's forms give the values and gradients of PyTorch's."""

import unittest

import torch

try:
    import tinygrad_bench
    from tinygrad import Context, Tensor
except ModuleNotFoundError as e:
    raise unittest.SkipTest(f"{e}; `pip install tinygrad` for these tests") from e

import torch_bench
from tinygrad_forms import RUN
from torch_forms import Unsupported, form

X = {"x": [4, 6]}
IMAGES = {"x": [2, 4, 6, 6]}
CASES = {
    "adaptive_avg_pool2d": {**IMAGES, "out": [2, 2]},
    "add_bias": X,
    "attention": {"q": [2, 2, 5, 4], "k": [2, 2, 5, 4], "causal": True},
    "avg_pool2d": {**IMAGES, "kernel": [2, 2]},
    "batch_norm": IMAGES,
    "bce_with_logits": {"logits": [4, 6]},
    "broadcast": {"x": [4, 1], "shape": [4, 6]},
    "clamp": X,
    "conv2d": {**IMAGES, "weight": [6, 4, 3, 3], "stride": 2, "padding": 1},
    "cross_entropy": {"logits": [4, 6], "label_smoothing": 0.1},
    "gather": {"table": [5, 3], "indices": 4},
    "gelu": {**X, "approximate": "tanh"},
    "group_norm": {**IMAGES, "groups": 2},
    "info_nce": {"query": [4, 6], "queue": [8, 6]},
    "l2_normalize": X,
    "layer_norm": X,
    "leaky_relu": X,
    "matmul": {"a": [2, 5, 3], "b": [2, 5, 4], "trans_a": True},
    "max_pool2d": {**IMAGES, "kernel": 3, "stride": 2, "padding": 1},
    "mse": X,
    "negative_cosine": X,
    "normalize": {"x": [2, 3, 4, 4]},
    "nt_xent": {"z": [8, 6]},
    "permute": {"x": [2, 3, 4], "axes": [2, 0, 1]},
    "pow": {**X, "exponent": 1.5},
    "reduce": {**X, "axes": [1], "kind": "var"},
    "softmax": {**X, "temperature": 0.5},
    "top_k": {**X, "k": 3},
}


class Forms(unittest.TestCase):
    def close(self, ours, theirs, what):
        theirs = theirs.detach()
        self.assertEqual(tuple(ours.shape), tuple(theirs.shape), what)
        self.assertTrue(torch.allclose(torch.tensor(ours.numpy()), theirs.float(), rtol=1e-4, atol=1e-5), what)

    def test_values_and_gradients_are_those_of_pytorch(self):
        for op in RUN:
            if op == "dropout":
                continue
            table = {"name": "a", **CASES.get(op, X)}
            made = form(op, table)
            theirs = torch_bench.tensors(made.inputs, torch.device("cpu"), False)
            ours = tinygrad_bench.tensors(made.inputs)
            with self.subTest(op), Context(TRAINING=1):
                self.close(RUN[op](ours, table), made.run(theirs), op)
                for entry in made.rows:
                    if not entry.of:
                        continue
                    seen = {name: v.requires_grad_(name in entry.of) for name, v in theirs.items()}
                    y = made.run(seen)
                    expected = torch.autograd.grad(y, [seen[n] for n in entry.of], torch.ones_like(y))
                    work = tinygrad_bench.gradient(RUN[op], ours, table, entry.of)
                    dy = tinygrad_bench.ones(RUN[op], ours, table)
                    for _ in range(tinygrad_bench.WARM):
                        found = work(dy, *ours.values())
                    for name, g, e in zip(entry.of, found, expected):
                        self.close(g, e, f"{op} {entry.direction} of {name}")
                    theirs = {name: v.detach() for name, v in theirs.items()}

    def test_a_step_moves_the_parameter_as_pytorch_moves_it(self):
        for op in ("sgd", "adam"):
            table = {"name": "a", "param": 6}
            made = form(op, table)
            theirs = torch_bench.tensors(made.inputs, torch.device("cpu"), False)
            ours = tinygrad_bench.tensors(made.inputs)
            before = ours["param"].numpy().copy()
            # A step is 1e-6 times a number of about 1, and a parameter is rounded to 1e-7.
            with Context(TRAINING=1):
                tinygrad_bench.step(op, ours, table)()
            theirs_step = made.prepare(theirs)
            theirs_step()
            moved, expected = ours["param"].numpy() - before, theirs["param"].detach().numpy() - before
            self.assertGreater(abs(expected).max(), 5e-7, op)
            self.assertLess(abs(moved - expected).max(), 2e-7, f"{op}: {moved} and {expected}")

    def test_dropout_draws_in_training(self):
        with Context(TRAINING=1):
            y = RUN["dropout"]({"x": Tensor.ones(1000).contiguous()}, {"name": "a", "p": 0.5}).numpy()
        self.assertEqual(set(y.tolist()), {0.0, 2.0})

    def test_what_tinygrad_lacks_is_said(self):
        with self.assertRaisesRegex(Unsupported, "by tanh alone"):
            RUN["gelu"]({}, {"name": "a"})
        with self.assertRaisesRegex(Unsupported, "no form of lars"):
            tinygrad_bench.run_of("lars")


if __name__ == "__main__":
    unittest.main()
