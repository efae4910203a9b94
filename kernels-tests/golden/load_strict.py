#!/usr/bin/env python3
"""Loads a backbone that wgslab wrote into torchvision's or timm's own network, with strict=True, minus the classifier.

    pip install torch torchvision timm safetensors
    python3 kernels-tests/golden/load_strict.py runs/backbone/backbone.safetensors --arch vit_tiny --image-size 32

It ends with an error where a tensor is missing, has another name or another shape. The other options are those of `[model]` and
`[data]`; a ResNet is of width 1, and its 3x3 stem takes the place of torchvision's first layers.
"""

import argparse

import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

VITS = {"vit_tiny": (192, 3), "vit_small": (384, 6)}


def network(a):
    if a.arch in VITS:
        width, heads = VITS[a.arch]
        return timm.models.VisionTransformer(
            img_size=a.image_size, patch_size=a.patch_size, in_chans=a.channels, num_classes=0, global_pool=a.global_pool,
            embed_dim=width, depth=12, num_heads=heads)
    net = getattr(torchvision.models, a.arch)()
    net.fc = nn.Identity()
    if a.stem == "3x3":
        net.conv1, net.maxpool = nn.Conv2d(a.channels, 64, 3, 1, 1, bias=False), nn.Identity()
    elif a.channels != 3:
        net.conv1 = nn.Conv2d(a.channels, 64, 7, 2, 3, bias=False)
    return net


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--arch", required=True, choices=["resnet18", "resnet50", *VITS])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--stem", default="3x3", choices=["3x3", "7x7"])
    parser.add_argument("--patch-size", type=int, default=4)
    parser.add_argument("--global-pool", default="token", choices=["token", "avg"])
    a = parser.parse_args()
    weights = {k: v for k, v in load_file(a.file).items() if k.split(".")[0] not in ("fc", "head")}
    net = network(a)
    net.load_state_dict(weights, strict=True)
    with torch.no_grad():
        features = net.eval()(torch.zeros(1, a.channels, a.image_size, a.image_size))
    print(f"{a.file}: {len(weights)} tensors are {a.arch}'s; {features.shape[1]} features, all finite: {features.isfinite().all().item()}")


if __name__ == "__main__":
    main()
