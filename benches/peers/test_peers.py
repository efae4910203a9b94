"""python3 -m unittest discover benches/peers: tests rules and forms, and the device's events with a stand-in for
CUDA."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch

import lab
import torch_bench
import torch_device
from torch_forms import Unsupported, form, shown


class Lab(unittest.TestCase):
    def test_quantiles_are_those_of_numpy(self):
        # As in src/lab/spread.rs.
        self.assertEqual(lab.spread([8.0, 1.0, 4.0, 2.0]), {"q1": 1.75, "median": 3.0, "q3": 5.0})
        self.assertEqual(lab.spread([3.0]), {"q1": 3.0, "median": 3.0, "q3": 3.0})

    def test_a_row_ends_when_it_has_settled_or_at_the_limit(self):
        rule = lab.Rule()
        self.assertFalse(rule.is_over([], 9.0))
        self.assertFalse(rule.is_over([1.0] * 10, 0.4))
        self.assertFalse(rule.is_over([1.0] * 9, 0.6))
        self.assertTrue(rule.is_over([1.0] * 10, 0.6))
        self.assertFalse(rule.is_over([1.0, 2.0] * 10, 0.6))
        self.assertTrue(rule.is_over([1.0, 2.0] * 10, 2.0))
        self.assertFalse(rule.settled([1.0, 2.0] * 10, 2.0))
        # A slow row goes on until it has its least samples, but not without limit.
        self.assertFalse(rule.is_over([1.0] * 3, 9.0))
        self.assertTrue(rule.is_over([1.0] * 3, 10.0))

    def test_short_work_is_repeated_and_samples_are_per_run(self):
        calls = []

        def time(repeats):
            calls.append(repeats)
            return None, 0.125 * repeats

        (row,) = lab.measure([lab.Running({"op": "relu"}, time)], lab.Rule())
        self.assertEqual((row["repeats"], row["timer"], row["noisy"]), (160, "wall", False))
        self.assertAlmostEqual(lab.spread(row["samples_ms"])["median"], 0.125)
        self.assertGreaterEqual(sum(calls[-len(row["samples_ms"]):]) * 0.125e-3, 0.5)

    def test_reports_are_written_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.json"
            lab.save({"rows": []}, path)
            self.assertEqual(json.loads(path.read_text()), {"rows": []})
            self.assertEqual([p.name for p in Path(folder).iterdir()], ["a.json"])


class Torch(unittest.TestCase):
    def test_every_case_of_every_set_has_a_form_or_a_reason(self):
        for path in sorted(lab.SETS.glob("*.toml")):
            for op, table in lab.load_set(path.stem):
                try:
                    self.assertTrue(form(op, table).rows)
                except Unsupported as e:
                    self.assertTrue(str(e))

    def test_products_of_halves_have_operands_of_halves(self):
        made = form("matmul", {"name": "a", "a": [2, 3], "b": [3, 4], "dtype": "f16"})
        t = torch_bench.tensors(made.inputs, torch.device("cpu"), False)
        self.assertEqual({v.dtype for v in t.values()}, {torch.float16})
        self.assertEqual(shown(made.inputs), "a [2, 3] f16, b [3, 4] f16")
        # Counted as in wgslab: the operands are halves, the product is f32.
        self.assertEqual(made.rows[0].bytes, 2 * (6 + 12) + 4 * 8)
        with self.assertRaisesRegex(KeyError, "must be f32 or f16"):
            form("matmul", {"name": "a", "a": [2, 3], "b": [3, 4], "dtype": "half"})

    def test_an_axis_may_stand_alone(self):
        self.assertEqual(form("reduce", {"name": "a", "x": [2, 3], "axes": 1}).rows[0].bytes, 4 * (6 + 2))

    def test_an_unknown_field_is_an_error(self):
        with self.assertRaisesRegex(KeyError, "fields unknown here: y"):
            form("relu", {"name": "a", "x": [1], "y": 2})

    def test_a_gradient_row_differentiates_its_inputs_alone(self):
        made = form("conv2d", {"name": "a", "x": [1, 2, 5, 5], "weight": [3, 2, 3, 3]})
        t = torch_bench.tensors(made.inputs, torch.device("cpu"), False)
        rows = dict(zip((r.direction for r in made.rows), torch_bench.works(made, t)))
        for direction, shape in (("grad_input", (1, 2, 5, 5)), ("grad_weight", (3, 2, 3, 3))):
            with torch.profiler.profile(record_shapes=True) as seen:
                (gradient,) = rows[direction]()
            self.assertEqual(tuple(gradient.shape), shape)
            ops = [e.name for e in seen.events() if "convolution_backward" in e.name]
            self.assertTrue(ops)
        self.assertIsNone(rows["forward"]())

    def test_events_time_what_lies_between_them(self):
        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                log.append("event")

            def elapsed_time(self, end):
                return 6.0

        log = []
        device = torch_device.Device("cpu")
        device.kind, device.module = "cuda", mock.Mock(synchronize=lambda *_: log.append("wait"))
        with mock.patch.object(torch.cuda, "Event", Event):
            ms, wall = device.timed(lambda: log.append("work"), 2)
        self.assertEqual(log, ["wait", "event", "work", "work", "event", "wait"])
        self.assertEqual(ms, 6.0)
        self.assertGreater(wall, 0.0)


if __name__ == "__main__":
    unittest.main()
