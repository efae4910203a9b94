#!/usr/bin/env python3
"""Embeds a folder of pictures with torchvision's ResNet, by turns with `wgslab embed` on the same weights.

    python3 benches/peers/torch_embed.py FOLDER [--size 64] [--batch 256] [--workers 2] [--rounds 3] [--wgslab target/release/wgslab] [--json FILE]

FOLDER has a folder for each class. Both programs decode the pictures, resize them, normalize them, and run the network without its classifier;
the weights are random ones that this script writes. The time of wgslab is that of its whole process, files and
compiling included; the time of PyTorch begins after its imports. The features are compared.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

import numpy
import torch
import torchvision
from torch import nn
from torchvision import transforms

import lab


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=256, help="images of a batch")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that decode for PyTorch")
    parser.add_argument("--rounds", type=int, default=3, help="turns")
    parser.add_argument("--wgslab", default="target/release/wgslab", help="the program")
    parser.add_argument("--json", help="write the report there")
    a = parser.parse_args()
    torch.manual_seed(0)
    net = torchvision.models.resnet18().eval()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = [transforms.Resize((a.size, a.size)), transforms.ToTensor(), transforms.Normalize(mean, std)]
    images = torchvision.datasets.ImageFolder(a.folder, transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(images, a.batch, num_workers=a.workers, persistent_workers=a.workers > 0)
    with tempfile.TemporaryDirectory() as folder:
        weights, out = f"{folder}/weights.pth", f"{folder}/features.npz"
        torch.save(net.state_dict(), weights)
        net.fc = nn.Identity()
        command = [a.wgslab, "embed", "--weights", weights, "--data", os.path.abspath(a.folder), "--out", out]
        command += ["--image-size", str(a.size)]
        torch_s, wgslab_s, features = [], [], None
        for _ in range(a.rounds):
            since = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            wgslab_s.append(time.perf_counter() - since)
            since = time.perf_counter()
            with torch.inference_mode():
                features = torch.cat([net(batch) for batch, _ in loader]).numpy()
            torch_s.append(time.perf_counter() - since)
        ours = numpy.load(out)
        order = {name: i for i, name in enumerate(ours["names"].tolist())}
        rows = [order.get(os.path.relpath(path, a.folder)) for path, _ in images.samples]
        if None in rows:
            lab.fail(f"the names of wgslab's features are not the files below {a.folder}: {list(order)[:3]}")
        difference = numpy.abs(ours["features"][rows] - features).max() / numpy.abs(features).max()
    report = {
        "schema": "wgslab-embed/1", "images": len(images), "size": a.size, "batch": a.batch, "workers": a.workers,
        "torch": torch.__version__, "torchvision": torchvision.__version__, "torch_s": torch_s, "wgslab_s": wgslab_s,
        "times": lab.spread([w / t for t, w in zip(torch_s, wgslab_s)]), "largest_difference": float(difference),
    }  # fmt: skip
    print(json.dumps(report, indent=2))
    if a.json:
        with open(a.json, "w") as file:
            json.dump(report, file, indent=2)


if __name__ == "__main__":
    main()
