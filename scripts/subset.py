"""Writes a random part of a set of pictures, and a CSV list of it, so that a study of it is affordable.

    python scripts/subset.py data/isic9 data/isic9_part --train 500 --test 600
    python scripts/subset.py data/pneumoniamnist_28.npz data/pneumonia_part --train 500 --test 624

The source is a folder with Train/CLASS/ and Test/CLASS/, or an npz file of MedMNIST, which has its official splits. Test images
come from the official test images; if these are fewer than asked for, training images that are not taken for training follow.
The list is a .csv file in the folder that is called like it, the pictures lie beside it in images/. The same numbers give the same part. It needs
numpy, and Pillow for an npz file.
"""
import argparse
import csv
import os
import shutil

import numpy


def of_folders(source):
    """(split, class, name, copy) of each picture. copy(path) writes it."""
    for split in ("Train", "Test"):
        for label in sorted(os.listdir(os.path.join(source, split))):
            folder = os.path.join(source, split, label)
            if not os.path.isdir(folder):
                continue  # such as .DS_Store
            for name in sorted(os.listdir(folder)):
                yield split.lower(), label, name, lambda to, path=os.path.join(folder, name): shutil.copyfile(path, to)


def of_npz(source):
    """The same of a MedMNIST file. Classes are called by their numbers. Its validation images are left out."""
    from PIL import Image

    held = numpy.load(source)
    for split in ("train", "test"):
        for i, (pixels, label) in enumerate(zip(held[f"{split}_images"], held[f"{split}_labels"])):
            yield split, f"class{int(label[0])}", f"{i:05}.png", lambda to, pixels=pixels: Image.fromarray(pixels).save(to)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--train", type=int, required=True, help="how many training images, validation included")
    parser.add_argument("--test", type=int, required=True, help="how many test images")
    a = parser.parse_args()
    held = list((of_npz if a.source.endswith(".npz") else of_folders)(a.source))
    order = numpy.random.Generator(numpy.random.PCG64(0)).permutation(len(held))
    train, test = ([held[i] for i in order if held[i][0] == split] for split in ("train", "test"))
    if len(train) + len(test) < a.train + a.test or len(train) < a.train:
        most = f"ask for at most {len(train)} to train with and {len(train) + len(test)} in all"
        parser.error(f"{a.source} has {len(train)} training and {len(test)} test images; {most}")
    parts = [("train", train[: a.train]), ("test", (test + train[a.train :])[: a.test])]
    os.makedirs(os.path.join(a.out, "images"), exist_ok=True)
    with open(os.path.join(a.out, f"{os.path.basename(os.path.normpath(a.out))}.csv"), "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split"])
        for split, pictures in parts:
            for i, (_, label, name, copy) in enumerate(pictures):
                path = f"images/{split}-{i:05}{os.path.splitext(name)[1].lower()}"
                copy(os.path.join(a.out, path))
                table.writerow([path, label, split])


if __name__ == "__main__":
    main()
