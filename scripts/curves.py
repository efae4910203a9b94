"""Puts the curves of two studies of the same grid side by side, such as one in f32 and one in f16.

    python scripts/curves.py runs/precision runs/precision_f16

For each cell or pretraining without its seed, and each number of an epoch, it prints the means over seeds after the last epoch, the
standard deviation over seeds in the first study, and the mean difference of runs of the same seed with Student's 95 % interval. Then it
counts the epochs whose interval leaves out 0: of curves that differ by chance alone, one in twenty does on average, and neighbouring
epochs go together. It needs Python alone.
"""
import collections
import json
import math
import os
import re
import sys

# The 0.975 quantile of Student's t by degrees of freedom.
QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def curves(study):
    """For each cell or pretraining without its seed, and each number of an epoch: by seed, the number by epoch."""
    found = collections.defaultdict(dict)
    for kind in ("pretraining", "runs"):
        folder = os.path.join(study, kind)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            named = re.fullmatch(r"(.*?)[-_]+seed-(\d+)(?:-[0-9a-f]+)?", name)
            if not named or not os.path.isfile(os.path.join(folder, name, "done")):
                continue
            group, seed = named.groups()
            with open(os.path.join(folder, name, "epochs.jsonl"), encoding="utf-8") as lines:
                epochs = [json.loads(line) for line in lines]
            for number in ("loss", "val_accuracy", "test_accuracy"):
                curve = {(epoch["phase"], epoch["epoch"]): epoch[number] for epoch in epochs if epoch.get(number) is not None}
                if curve and found[f"{kind} {group}", number].setdefault(seed, curve) is not curve:
                    sys.exit(f"{study} has several finished folders of {kind} {group} of seed {seed}")
    return {key: by_seed for key, by_seed in found.items() if by_seed}


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    return math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1))


def main(first, second):
    ours, theirs = curves(first), curves(second)
    if not ours:
        sys.exit(f"{first} has no finished cell")
    odd = sorted(" ".join(key) for key in set(ours) ^ set(theirs))
    if odd:
        sys.exit(f"the studies need the same finished cells; one lacks {odd[0]} and {len(odd) - 1} more")
    print(f"| curve | seeds | {first} | {second} | over seeds | difference | epochs apart |")
    print("|---|---|---|---|---|---|---|")
    for (group, number), a in sorted(ours.items()):
        b = theirs[group, number]
        seeds = sorted(a)
        epochs = list(a[seeds[0]])
        if seeds != sorted(b) or any(list(curve) != epochs for curve in (*a.values(), *b.values())):
            sys.exit(f"{group}: both studies need the same seeds and the same epochs")
        if not 2 <= len(seeds) <= len(QUANTILES) + 1:
            sys.exit(f"{group}: 2 to {len(QUANTILES) + 1} seeds are needed, and there are {len(seeds)}")
        apart = 0
        for epoch in epochs:
            differences = [b[seed][epoch] - a[seed][epoch] for seed in seeds]
            half = QUANTILES[len(seeds) - 2] * deviation(differences) / math.sqrt(len(seeds))
            apart += abs(mean(differences)) > half
        ends = [[curve[seed][epochs[-1]] for seed in seeds] for curve in (a, b)]
        print(
            f"| {group}, {number} | {len(seeds)} | {mean(ends[0]):.4f} | {mean(ends[1]):.4f} | {deviation(ends[0]):.4f} "
            f"| {mean(differences):+.4f} ± {half:.4f} | {apart} of {len(epochs)} |"
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
