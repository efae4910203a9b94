"""Writes the pictures of CIFAR-10 and a CSV list of them, with the labels that people gave (CIFAR-10N), for wgslab.

    python scripts/cifar10.py cifar-10-batches-py CIFAR-10_human.pt data/cifar10n [--train 50000] [--test 10000]

The first is CIFAR-10 for Python, the second CIFAR-N's file, both as downloaded. It needs numpy, Pillow, and torch for a .pt
file; a .npz with the arrays of the same labels (train_worse and so on) will do, too. Pictures are PNG files in images/ of the
folder; the list is cifar10n.csv there. CIFAR-10 is in random order, so the first images of it are a fair part.
"""
import argparse
import csv
import os
import pickle

import numpy
from PIL import Image

# CIFAR-10N's own names, which configs/noise/published/ asks for, and those of a .npz.
SETS = {"aggre_label": "train_aggre", "worse_label": "train_worse", "random_label1": "train_random1",
        "random_label2": "train_random2", "random_label3": "train_random3"}


def batches(folder, names):
    """The (pixels, label) of each image of some files, in order."""
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            held = pickle.load(file, encoding="latin1")
        yield from zip(held["data"], held["labels"])


def human_labels(path):
    """The labels that people gave, by CIFAR-10N's names."""
    if path.endswith(".npz"):
        held = numpy.load(path)
        return {name: held[ours] for name, ours in SETS.items()}
    import torch

    held = torch.load(path, weights_only=False)
    return {name: held[name] for name in SETS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10")
    parser.add_argument("labels")
    parser.add_argument("out")
    parser.add_argument("--train", type=int, default=50000, help="how many training images")
    parser.add_argument("--test", type=int, default=10000, help="how many test images")
    a = parser.parse_args()
    human = human_labels(a.labels)
    with open(os.path.join(a.cifar10, "batches.meta"), "rb") as file:
        classes = pickle.load(file, encoding="latin1")["label_names"]
    os.makedirs(os.path.join(a.out, "images"), exist_ok=True)
    parts = [("train", [f"data_batch_{i}" for i in range(1, 6)], a.train), ("test", ["test_batch"], a.test)]
    with open(os.path.join(a.out, "cifar10n.csv"), "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split", *SETS])
        for split, names, count in parts:
            for i, (pixels, label) in zip(range(count), batches(a.cifar10, names)):
                path = f"images/{split}-{i:05}.png"
                Image.fromarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0)).save(os.path.join(a.out, path))
                given = [classes[int(human[name][i])] if split == "train" else "" for name in SETS]
                table.writerow([path, classes[label], split, *given])


if __name__ == "__main__":
    main()
