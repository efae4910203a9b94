#!/usr/bin/env python3
"""Times tinygrad at the case sets of `wgslab bench`, forward and backward, and writes its schema.

    DEV=CPU|WEBGPU python3 benches/peers/tinygrad_bench.py SET|FILE.toml [--json tinygrad.json]

Needs tinygrad and, for inputs and counts, PyTorch. A row is a function under TinyJit: its kernels are compiled before the
clock starts and replayed. tinygrad keeps no graph between runs, so that the row of a gradient computes again what it needs
of the forward function. BEAM=N, tinygrad's own search of kernels, holds if the environment has it, and the report says so.
Times are the host's clock until the device is done.
"""

import argparse
import importlib.metadata
import os
import platform
import time

import torch
from tinygrad import Context, Device, Tensor, TinyJit
from tinygrad.nn.optim import Adam, AdamW, SGD

import lab
import torch_bench
from tinygrad_forms import COMPOSED, run_of
from torch_forms import Unsupported, form

WARM = 3  # TinyJit records the second call and replays from the third on


def tensors(inputs):
    """The inputs of torch_bench.py on tinygrad's device, with the same values."""
    values = torch_bench.tensors(inputs, torch.device("cpu"), False)
    return {name: Tensor(x.int().numpy() if x.dtype == torch.int64 else x.numpy()).realize() for name, x in values.items()}


def forward(run, t, table):
    """The function of the inputs."""
    names = list(t)
    return TinyJit(lambda *x: run(dict(zip(names, x)), table).realize())


def gradient(run, t, table, of):
    """The gradients of the inputs `of` for a cotangent."""
    names = list(t)

    def work(dy, *x):
        made = dict(zip(names, x))
        y = run(made, table)
        gradients = y.gradient(*(made[name] for name in of), gradient=dy)
        Tensor.realize(*gradients)
        return gradients

    return TinyJit(work)


def step(op, t, table):
    """A step of an optimizer of one parameter."""
    made = {"sgd": sgd, "adam": adam}
    if op not in made:
        raise Unsupported(f"no form of {op} is written in tinygrad_bench.py")
    param = t["param"]
    param.requires_grad, param.grad = True, t["grad"]
    optimizer = made[op](param, table)
    return TinyJit(lambda: optimizer.step())


def sgd(param, f):
    """tinygrad.nn.optim.SGD."""
    momentum, decay = f.get("momentum", 0.9), f.get("weight_decay", 1e-4)
    return SGD([param], 1e-6, momentum, weight_decay=decay, nesterov=f.get("nesterov", False))


def adam(param, f):
    """tinygrad.nn.optim.Adam, or AdamW where the weight decay is decoupled."""
    decay = f.get("weight_decay", 0.0)
    if decay and not f.get("decoupled", False):
        raise Unsupported("tinygrad's Adam has no weight decay")
    return AdamW([param], 1e-6, weight_decay=decay) if decay else Adam([param], 1e-6)


def ones(run, t, table):
    """The cotangent: ones of the result's shape and type."""
    y = run(t, table)
    return Tensor.ones(*y.shape, dtype=y.dtype).contiguous().realize()


def works(op, table, made, t):
    """For each row of a case, the function that is timed."""
    for entry in made.rows:
        if made.prepare:
            yield step(op, t, table)
        elif not entry.of:
            work = forward(run_of(op), t, table)
            yield lambda work=work: work(*t.values())
        else:
            work, dy = gradient(run_of(op), t, table, entry.of), ones(run_of(op), t, table)
            yield lambda work=work, dy=dy: work(dy, *t.values())


def timed(work):
    """Times `repeats` runs as lab.py asks: no clock of the device, ms by the host's."""
    device = Device[Device.DEFAULT]

    def time_of(repeats):
        device.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        device.synchronize()
        return None, (time.perf_counter() - start) * 1e3

    return time_of


def rows_of(op, table, a):
    """The rows of a case. They are measured, unless they are only to be checked."""
    made = form(op, table)
    if not made.prepare:
        run_of(op)
    rows = list(torch_bench.described(op, table, made, "tinygrad" + (", composed" if op in COMPOSED else "")))
    if a.check:
        return rows
    t = tensors(made.inputs)
    ready = list(works(op, table, made, t))
    for work in ready:
        for _ in range(WARM):
            work()
    return lab.measure([lab.Running(row, timed(work)) for row, work in zip(rows, ready)], a.rule)


def environment():
    """The environment record of a report."""
    version = importlib.metadata.version("tinygrad")
    features = [f"BEAM {os.environ['BEAM']}"] if os.environ.get("BEAM", "0") != "0" else []
    driver = f"tinygrad {version}, Python {platform.python_version()}"
    kind = Device.DEFAULT
    adapter = lab.cpu() if kind == "CPU" else kind
    return lab.environment(adapter, driver, kind.lower(), f"tinygrad {version}", features, None, "wall")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = lab.arguments(parser)
    refused = (Unsupported, MemoryError, NotImplementedError)
    with Context(TRAINING=1):
        lab.run(a, environment(), lambda op, table: rows_of(op, table, a), refused)


if __name__ == "__main__":
    main()
