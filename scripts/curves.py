"""Puts the curves of two studies of the same grid side by side, such as one in f32 and one in f16.

    python scripts/curves.py runs/precision runs/precision_f16

For each cell without its seed, and each pretraining, it prints the mean over seeds of the last epoch in both studies, and how far the
curves are apart: the difference of the means over seeds, in standard deviations of one seed (those of both studies pooled), at its
largest over the epochs and in the last one. With three seeds a side the difference of two means of the same distribution has a standard
deviation of 0.8 of these. It needs Python alone.
"""
import collections
import json
import math
import os
import re
import sys


def curves(study):
    """For each cell or pretraining without its seed, and each number of an epoch: a list over seeds of lists over epochs."""
    found = collections.defaultdict(list)
    for kind in ("pretraining", "runs"):
        for name in sorted(os.listdir(os.path.join(study, kind))):
            folder = os.path.join(study, kind, name)
            if not os.path.isfile(os.path.join(folder, "done")):
                continue
            with open(os.path.join(folder, "epochs.jsonl"), encoding="utf-8") as lines:
                epochs = [json.loads(line) for line in lines]
            group = kind + " " + re.sub(r"[-_]*seed-\d+.*", "", name)
            for number in ("loss", "val_accuracy", "test_accuracy"):
                curve = [epoch[number] for epoch in epochs if epoch.get(number) is not None]
                if curve:
                    found[group, number].append(curve)
    return found


def mean(values):
    return sum(values) / len(values)


def variance(values):
    return sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1)


def apart(ours, theirs):
    """The difference of the means over seeds in standard deviations of a seed, for each epoch."""
    for a, b in zip(zip(*ours), zip(*theirs)):
        deviation = math.sqrt((variance(a) + variance(b)) / 2)
        difference = mean(b) - mean(a)
        yield difference / deviation if deviation > 0 else math.copysign(math.inf, difference) if difference else 0.0


def main(first, second):
    ours, theirs = curves(first), curves(second)
    if set(ours) != set(theirs):
        sys.exit("the studies do not have the same finished cells: " + ", ".join(sorted(" ".join(k) for k in set(ours) ^ set(theirs))))
    print(f"| curve | seeds | epochs | {first} | {second} | apart at the end | at most |")
    print("|---|---|---|---|---|---|---|")
    for (group, number), a in sorted(ours.items()):
        b = theirs[group, number]
        if len(a) < 2 or len(a) != len(b) or len({len(curve) for curve in a + b}) != 1:
            sys.exit(f"{group}: two or more seeds and the same epochs are needed in both studies")
        distances = list(apart(a, b))
        ends = [mean([curve[-1] for curve in each]) for each in (a, b)]
        most = max(distances, key=abs)
        print(f"| {group}, {number} | {len(a)} | {len(distances)} | {ends[0]:.4f} | {ends[1]:.4f} | {distances[-1]:+.2f} | {most:+.2f} |")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
