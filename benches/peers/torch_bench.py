#!/usr/bin/env python3
"""Times PyTorch at the case sets of `wgslab bench`, forward and backward, and writes its schema.

    python3 benches/peers/torch_bench.py SET|FILE.toml [--device cpu|cuda|mps|xpu] [--threads N] [--json torch.json]

A row is an op's forward function, or torch.autograd.grad of its prepared graph. The gradients are for the inputs for
which wgslab's kernel of that name gives one. The time includes the autograd engine's own (about 10 µs). Times are CUDA
events where there are any, otherwise the host's clock until the work is done. `wgslab bench --against torch.json` shows
the rows beside wgslab's.
"""

import argparse

import torch

import lab
from torch_device import Device
from torch_forms import Unsupported, form, shown

SEED = 20


def tensors(inputs, device, channels_last):
    """Makes the inputs with their values."""
    generator = torch.Generator().manual_seed(SEED)
    made = {}
    for name, shape, dtype, (fill, *numbers) in inputs:
        if fill == "normal":
            t = torch.randn(shape, generator=generator)
        elif fill == "uniform":
            t = torch.rand(shape, generator=generator) * (numbers[1] - numbers[0]) + numbers[0]
        elif fill == "away":
            t = torch.randn(shape, generator=generator)
            t = t.sign() * (t.abs() + 0.5)
        elif fill == "below":
            t = torch.randint(numbers[0], shape, generator=generator)
        else:
            t = torch.full(shape, numbers[0])
        made[name] = (t.half() if dtype == "f16" else t).to(device)
        if channels_last and len(shape) == 4:
            made[name] = made[name].to(memory_format=torch.channels_last)
    return made


def works(made, t):
    """For each row of a case, the function that is timed."""
    for entry in made.rows:
        if made.prepare:
            yield made.prepare(t)
        elif not entry.of:
            yield inference(made.run, t)
        else:
            yield gradient(made.run, t, entry.of)


def inference(run, t):
    """Only the forward function."""

    def work():
        with torch.no_grad():
            run(t)

    return work


def gradient(run, t, of):
    """The gradient of the inputs `of`. Its graph is made once."""
    with torch.enable_grad():
        t = {name: v.detach().requires_grad_(name in of) for name, v in t.items()}
        y = run(t)
        inputs = [t[name] for name in of]
        dy = torch.ones_like(y) if y.numel() == 1 else torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def described(op, table, made, variant):
    """The rows of a case without their samples."""
    for entry in made.rows:
        yield {
            "op": op,
            "entry": f"{op}.{entry.direction}",
            "direction": entry.direction,
            "case": table["name"],
            "shape": shown(made.inputs),
            "variant": variant,
            "flops": entry.flops,
            "bytes": entry.bytes,
        }


def rows_of(op, table, device, arguments):
    """The rows of a case. They are measured, unless they are only to be checked."""
    made = form(op, table)
    variant = "torch" + (", composed" if made.composed else "")
    variant += ", channels last" if arguments.channels_last else ""
    rows = list(described(op, table, made, variant))
    if arguments.check:
        return rows
    t = tensors(made.inputs, device.device, arguments.channels_last)
    timed = lambda work: lambda repeats: device.timed(work, repeats)
    return lab.measure([lab.Running(row, timed(work)) for row, work in zip(rows, works(made, t))], arguments.rule)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    Device.add_arguments(parser)
    parser.add_argument("--channels-last", action="store_true", help="images in PyTorch's channels-last layout")
    a = lab.arguments(parser)
    device = Device.of(a)
    refused = (Unsupported, torch.OutOfMemoryError, NotImplementedError)
    lab.run(a, device.environment(), lambda op, table: rows_of(op, table, device, a), refused)


if __name__ == "__main__":
    main()
