#!/usr/bin/env python3
"""Compares `wgslab audit` with cleanlab and SelfClean on the same features of labels of which it is known which are wrong.

    pip install numpy pillow scikit-learn cleanlab selfclean
    python3 tests/torch/compare_audit.py target/release/wgslab WEIGHTS DATA [IMAGES [cifar isic]]

WEIGHTS is a backbone for `wgslab embed`, or "none" for gradients and colours. DATA holds cifar10_human_labels.npz, cifar10/train/00000.jpg … and isic9/ with
its Train and Test folders. `cifar` is the first IMAGES (default 5,000) training images of CIFAR-10 with the human labels
train_worse and train_random1 of CIFAR-10N. `isic` is all of ISIC-9 with a fifth of the labels drawn anew from the other
classes (seed 0): which of its own labels are wrong is not known.

All three are given the features that `wgslab audit --features` writes. cleanlab's documentation has held-out probabilities made by
scikit-learn's cross_val_predict with LogisticRegression: on features of mean 0 and standard deviation 1, in 5 folds, with
the default C and with the C of the smallest held-out loss of those that `wgslab audit` tries; the better of its scores is
taken for it. SelfClean is its own cleaner, whose second ranking is of such features, too. AP is the average precision of
the wrong labels, P@n the share of them among the first as many as there are. Seconds are without the features.
"""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import types

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict


def report(what, wrong, suspicion, seconds):
    first = np.argsort(-suspicion, kind="stable")[: wrong.sum()]
    ap, share = average_precision_score(wrong, suspicion), wrong[first].mean()
    print(f"| {what} | {ap:.3f} | {share:.3f} | {seconds:.1f} |", flush=True)


def cleanlab(features, labels, wrong):
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    tried, best = [], None
    for decay in [None, 1e-2, 1e-1, 1.0]:
        since = time.perf_counter()
        c = 1.0 if decay is None else 1 / (decay * len(labels) * 0.8)
        model = LogisticRegression(C=c, max_iter=1000)
        p = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
        seconds = time.perf_counter() - since
        if decay is None:
            report("cleanlab, C = 1", wrong, 1 - get_label_quality_scores(labels, p), seconds)
        else:
            tried.append(seconds)
            loss = log_loss(labels, p)
            best = min(best or (loss, p), (loss, p), key=lambda pair: pair[0])
    for method in ["self_confidence", "normalized_margin"]:
        report(f"cleanlab, best C, {method}", wrong, 1 - get_label_quality_scores(labels, best[1], method=method), sum(tried))


def selfclean(features, labels, wrong):
    try:
        import selfclean.cleaner.selfclean_cleaner as cleaner
    except ImportError:  # the package imports trainers and what they need; its cleaner needs little of it
        for name in [n for n in sys.modules if n.startswith("selfclean")]:
            del sys.modules[name]
        found = next(pathlib.Path(p) / "selfclean" for p in sys.path if (pathlib.Path(p) / "selfclean").is_dir())
        sys.modules["selfclean"] = types.ModuleType("selfclean")
        sys.modules["selfclean"].__path__ = [str(found)]
        import selfclean.cleaner.selfclean_cleaner as cleaner
    for name, x in features.items():
        since = time.perf_counter()
        one = cleaner.SelfCleanCleaner(memmap=False, log_level="ERROR")
        one.fit(x, labels=labels)
        scores, order = one.get_label_error_ranking()
        suspicion = np.empty(len(labels))
        suspicion[order] = 1 - scores
        report(f"SelfClean, {name}", wrong, suspicion, time.perf_counter() - since)


def compare(name, program, weights, paths, given, truth):
    wrong = (given != truth).astype(int)
    print(f"\n{name}: {len(paths)} images, {100 * wrong.mean():.1f} % wrong\n\n| | AP | P@n | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with open(folder / "m.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label"])
            rows.writerows((str(p), f"class {c}") for p, c in zip(paths, given))
        how = [] if weights == "none" else ["--weights", weights]
        words = ["audit", "--data", "m.csv", "--out", "s.csv", "--features", "f.npz", "--json", *how]
        done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        seconds = json.loads(done.stdout)["seconds"]
        found = np.load(folder / "f.npz")
        features, at = found["features"], {str(p): i for i, p in enumerate(paths)}
        order = [at[name] if name in at else at[str((folder / name).resolve())] for name in found["names"]]
        rows = {row["path"]: row for row in csv.DictReader(open(folder / "s.csv"))}
        rows = [rows[name] for name in found["names"]]
    labels, wrong = given[order], wrong[order]
    column = lambda key: np.array([float(row[key]) for row in rows])
    report("wgslab audit", wrong, -column("score"), seconds)
    report("of that, confident learning", wrong, -column("self_confidence"), seconds)
    report("of that, neighbours", wrong, -column("neighbours"), seconds)
    report("of that, loss over folds", wrong, column("loss"), seconds)
    counted = sum(row["suspect"] == "true" for row in rows)
    x = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    cleanlab(x, labels, wrong)
    selfclean({"features as they are": features, "of mean 0 and deviation 1": x}, labels, wrong)
    print(f"\nwgslab counts {counted} wrong labels; {wrong.sum()} are. {len(features[0])} features.")


def main():
    program, weights, data = sys.argv[1:4]
    program, data = str(pathlib.Path(program).resolve()), pathlib.Path(data).resolve()
    weights = weights if weights == "none" else str(pathlib.Path(weights).resolve())
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 5000
    sets = sys.argv[5:] or ["cifar", "isic"]
    if "cifar" in sets:
        labels = np.load(data / "cifar10_human_labels.npz")
        paths = [data / f"cifar10/train/{i:05d}.jpg" for i in range(count)]
        truth = labels["train_clean"].reshape(-1)[:count].astype(int)
        for key in ["train_worse", "train_random1"]:
            compare(f"CIFAR-10N {key}", program, weights, paths, labels[key].reshape(-1)[:count].astype(int), truth)
    if "isic" in sets:
        paths = sorted((data / "isic9").glob("*/*/*.jpg"))
        names = sorted({p.parent.name for p in paths})
        truth = np.array([names.index(p.parent.name) for p in paths])
        rng = np.random.default_rng(0)
        other = (truth + rng.integers(1, len(names), len(truth))) % len(names)
        given = np.where(rng.uniform(size=len(truth)) < 0.2, other, truth)
        compare("ISIC-9, a fifth drawn anew", program, weights, paths, given, truth)


main()
