#!/usr/bin/env python3
"""Makes the views of `wgslab data views --npz FILE` again with torchvision, from the stored images and the drawn numbers.

    pip install torch torchvision safetensors numpy
    wgslab data views phantom:covid --method byol --out views.png --npz views.npz
    python3 kernels-tests/golden/compare_views.py views.npz

It prints how far each view is apart at most, in levels of 255, and ends with an error where that is more than one. It is for
methods whose network sees views as they are: not for tiles, nor for images that were turned (of `rotation`, take --views 1).
"""

import argparse

import numpy
import torch
from views import whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--views", type=int, help="how many, from view0 on [default: all]")
    a = parser.parse_args()
    members = numpy.load(a.file)
    mean, std = members["mean"].tolist(), members["std"].tolist()
    images = torch.from_numpy(members["stored"]).permute(0, 3, 1, 2).double() / 255
    count = sum(1 for name in members if name.startswith("view") and "_" not in name)
    worst = 0.0
    for view in range(count if a.views is None else a.views):
        seen = torch.from_numpy(members[f"view{view}"]).double()
        prefix = f"view{view}_"
        drawn = {name[len(prefix) :]: members[name] for name in members if name.startswith(prefix)}
        apart = 0.0
        for i, image in enumerate(images):
            due, near = whole(image, {name: values[i] for name, values in drawn.items()}, seen.shape[-1], mean, std)
            off = (seen[i] - due).abs() * torch.tensor(std[: len(image)]).reshape(-1, 1, 1)
            if near < 1e-5:  # which side of the threshold of solarize a value lies on may differ there
                off = off[off < 0.5]
            apart = max(apart, 255 * off.max().item())
        print(f"view{view}: {apart:.4f} levels apart, with {', '.join(drawn)}")
        worst = max(worst, apart)
    assert worst <= 1, f"{worst} levels apart"


if __name__ == "__main__":
    main()
