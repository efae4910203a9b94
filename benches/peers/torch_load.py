#!/usr/bin/env python3
"""Decodes a folder of pictures with PyTorch's DataLoader, by turns with wgslab.

    python3 benches/peers/torch_load.py FOLDER [--size 224] [--workers 2] [--batch 64] [--rounds 5] [--beside PROGRAM] [--json FILE]

FOLDER has a folder for each class (below Train/ or train/, if there is one: ImageFolder takes what FOLDER holds). A picture is opened
by Pillow, made RGB, resized (bilinear, as wgslab does) if it has another size, and becomes a tensor of bytes; --floats makes it one of floats
in [0, 1], as ToTensor does. The workers stay between epochs, and the first epoch is not timed. --beside is
the program that `cargo bench --bench load --no-run` names: it decodes the same folder before each epoch, on the same cores.
"""

import argparse
import json
import os
import subprocess
import time

import torch
import torchvision
from PIL import Image
from torchvision import transforms

import lab


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that decode")
    parser.add_argument("--batch", type=int, default=64, help="images of a batch")
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs")
    parser.add_argument("--floats", action="store_true", help="make floats of the bytes")
    parser.add_argument("--beside", help="the program of `cargo bench --bench load`")
    parser.add_argument("--json", help="write the report there")
    a = parser.parse_args()
    resize = transforms.Lambda(lambda image: image if image.size == (a.size, a.size) else image.resize((a.size, a.size), Image.BILINEAR))
    last = transforms.ToTensor() if a.floats else transforms.PILToTensor()
    images = torchvision.datasets.ImageFolder(a.folder, transforms.Compose([resize, last]))
    loader = torch.utils.data.DataLoader(images, a.batch, num_workers=a.workers, persistent_workers=a.workers > 0)

    def epoch():
        since = time.perf_counter()
        count = sum(len(batch) for batch, _ in loader)
        return count, time.perf_counter() - since

    epoch()
    torch_s, wgslab_s = [], []
    for _ in range(a.rounds):
        if a.beside:
            command = [a.beside, a.folder, "--store", str(a.size), "--rounds", "1"]
            said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            if said["images"] != len(images):
                lab.fail(f"{a.beside} read {said['images']} images, ImageFolder {len(images)}")
            wgslab_s += said["seconds"]
        torch_s.append(epoch()[1])
    report = {
        "schema": "wgslab-load/1", "images": len(images), "size": a.size, "workers": a.workers, "floats": a.floats,
        "torch": torch.__version__, "torchvision": torchvision.__version__, "torch_s": torch_s, "wgslab_s": wgslab_s,
        "torch_images_per_s": len(images) / lab.spread(torch_s)["median"],
    }  # fmt: skip
    if wgslab_s:
        report["wgslab_images_per_s"] = len(images) / lab.spread(wgslab_s)["median"]
        report["times"] = lab.spread([t / w for t, w in zip(torch_s, wgslab_s)])
    print(json.dumps(report, indent=2))
    if a.json:
        with open(a.json, "w") as file:
            json.dump(report, file, indent=2)


if __name__ == "__main__":
    main()
