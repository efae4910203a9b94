#!/usr/bin/env python3
"""Times whole training in PyTorch: a ResNet-18 or ViT step, or a SimCLR epoch with data loading and augmentation.

    python3 benches/peers/torch_step.py --model resnet18|vit|simclr [--size 32] [--batch 64] [--device cpu] [--json
FILE]

Models and transforms are torchvision's. `resnet18` is its ResNet-18 with the 3x3 stem for small images, cross-entropy
and SGD with momentum, as in benches/step.rs. `vit` is a ViT-Ti with AdamW. Both train on random images on the device.
`simclr` is an epoch over images in memory: RandomResizedCrop, flip, ColorJitter, grayscale, GaussianBlur and Normalize
in DataLoader workers, two views, the network, NT-Xent and Adam. There is a first step, one to warm up, and then the
timed ones.
"""

import argparse
import gc
import math
import resource
import sys
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.transforms import v2

import lab
from torch_device import Device

CLASSES = 10
START = time.perf_counter()


def resnet18(classes):
    """torchvision's ResNet-18 with the stem for small images."""
    net = torchvision.models.resnet18(num_classes=classes)
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()
    return net


def vit(size, patch, classes):
    """ViT-Ti: 12 blocks of 192 with 3 heads."""
    return torchvision.models.VisionTransformer(size, patch, 12, 3, 192, 768, num_classes=classes)


def supervised(a, device):
    """Gives a step on images that are on the device."""
    net = vit(a.size, a.patch, CLASSES) if a.model == "vit" else resnet18(CLASSES)
    net = net.to(device.device).train()
    if a.model == "vit":
        optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.05, fused=True)
    else:
        optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=5e-4, fused=True)
    images = torch.randn(a.batch, 3, a.size, a.size, device=device.device)
    labels = torch.randint(CLASSES, (a.batch,), device=device.device)
    if a.channels_last:
        net, images = (x.to(memory_format=torch.channels_last) for x in (net, images))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda: None


class Views(torch.utils.data.Dataset):
    """Two random views of each image. The images are bytes in memory, like a decoded data set."""

    def __init__(self, count, size):
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(count, 3, 8, 8, generator=generator)
        smooth = F.interpolate(coarse, (size, size), mode="bilinear")
        self.images = (smooth * 255).to(torch.uint8)
        # The strengths of configs/base.toml.
        self.view = v2.Compose(
            [
                v2.RandomResizedCrop(size, (0.2, 1.0), antialias=True),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(2 * max(size // 20, 1) + 1, (0.1, 2.0))], 0.5),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.25] * 3),
            ]
        )

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.view(self.images[i]), self.view(self.images[i])


class SimClr(nn.Module):
    """The network and its head."""

    def __init__(self):
        super().__init__()
        self.backbone = resnet18(CLASSES)
        self.backbone.fc = nn.Identity()
        self.head = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))

    def forward(self, x):
        return F.normalize(self.head(self.backbone(x)))


def nt_xent(z, temperature=0.5):
    """SimCLR's loss of 2N projections."""
    n = len(z)
    logits = (z @ z.mT / temperature).masked_fill(torch.eye(n, dtype=torch.bool, device=z.device), -math.inf)
    return F.cross_entropy(logits, torch.arange(n, device=z.device).roll(n // 2))


def self_supervised(a, device):
    """Gives a step that also loads its batch, and a function that ends the workers. images / batch steps are an
    epoch."""
    net = SimClr().to(device.device).train()
    if a.channels_last:
        net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=1e-4, fused=True)
    loader = torch.utils.data.DataLoader(
        Views(a.images, a.size),
        a.batch,
        shuffle=True,
        drop_last=True,
        num_workers=a.workers,
        persistent_workers=a.workers > 0,
        pin_memory=device.kind == "cuda",
    )

    def batches():
        while True:
            yield from loader

    source = batches()

    def step():
        x = torch.cat(next(source)).to(device.device, non_blocking=True)
        if a.channels_last:
            x = x.to(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        loss = nt_xent(net(x))
        loss.backward()
        optimizer.step()
        return loss

    def close():
        source.close()
        loader._iterator = None  # this ends the persistent workers
        gc.collect()

    return step, close


def peak_bytes(who):
    """The most memory of this process (RUSAGE_SELF), or of its largest child that has ended (RUSAGE_CHILDREN)."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", choices=["resnet18", "vit", "simclr"])
    Device.add_arguments(parser)
    parser.add_argument("--size", type=int, default=32, help="pixels of a side")
    parser.add_argument("--patch", type=int, default=8, help="pixels of a side of a ViT's patch")
    parser.add_argument("--batch", type=int, default=64, help="images in each step")
    parser.add_argument("--steps", type=int, default=5, help="timed steps; simclr times an epoch instead")
    parser.add_argument("--images", type=int, default=1024, help="images of an epoch of simclr")
    parser.add_argument("--workers", type=int, default=2, help="processes that load and augment for simclr")
    parser.add_argument("--channels-last", action="store_true", help="images in PyTorch's channels-last layout")
    parser.add_argument("--json", help="write the report there")
    a = parser.parse_args()
    device = Device.of(a)
    epoch = a.model == "simclr"
    if epoch and a.images < a.batch:
        lab.fail(f"--images {a.images} is less than a batch of {a.batch}")
    step, close = self_supervised(a, device) if epoch else supervised(a, device)
    first = device.timed(step)[1]
    to_first = (time.perf_counter() - START) * 1e3
    if device.kind == "cuda":
        torch.cuda.reset_peak_memory_stats(device.device)
    device.timed(step)
    made = []
    steps = a.images // a.batch if epoch else a.steps
    times = [device.timed(lambda: made.append(step()))[1] for _ in range(steps)]
    process_bytes = peak_bytes(resource.RUSAGE_SELF)
    close()
    # The memory of the largest worker, including the pages that it shares with this process. It is read before git
    # runs, because git would be a child too.
    worker_bytes = peak_bytes(resource.RUSAGE_CHILDREN) if epoch and a.workers else None
    s = lab.spread(times)
    # Batches arrive in bursts, so an epoch counts as a whole. For equal steps the median counts.
    rate = a.batch * steps / sum(times) if epoch else a.batch / s["median"]
    report = {
        "schema": "wgslab-step/1",
        "environment": device.environment(),
        "model": a.model,
        "size": a.size,
        "batch": a.batch,
        "steps": steps,
        "images_per_s": rate * 1e3,
        "step_ms": s,
        "samples_ms": times,
        "first_step_ms": first,
        "time_to_first_step_ms": to_first,
        "peak_process_bytes": process_bytes,
        "peak_worker_bytes": worker_bytes,
        "peak_device_bytes": torch.cuda.max_memory_allocated(device.device) if device.kind == "cuda" else None,
        "loss": made[-1].item(),
    }
    print(f"{a.model} of {a.batch} at {a.size}: {report['images_per_s']:.2f} images/s, step {s['median']:.1f} ms "
          f"({s['q1']:.1f} to {s['q3']:.1f}), first step {first:.0f} ms, {to_first:.0f} ms after the start")
    if a.json:
        lab.save(report, a.json)


if __name__ == "__main__":
    main()
