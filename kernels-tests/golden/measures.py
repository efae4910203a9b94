"""What a classifier got right, by scikit-learn, for src/study/metrics.rs, and estimated transition matrices.

    pip install numpy scipy scikit-learn safetensors
    python kernels-tests/golden/measures.py

Writes measures.safetensors. Of each case: logits [N, K] in f32, labels [N] in u32; in f64 `shares`: accuracy, balanced
accuracy, macro F1, Matthews' correlation coefficient, AUROC and expected calibration error; recall [K] and confusion [K, K].
NaN stands for what is not defined. The calibration error is written from equation 3 of Guo et al. 2017 with 15 bins (l, u].
`estimate` is for src/noise/learn/transition.rs: probabilities [N, K] in f64, and the transition matrix that they give at
three percentiles as Patrini et al. 2017 estimate it, by NumPy's `percentile`.
`fisher` is for src/study/separability.rs: features [N, D] in f32, labels [N] in u32, tr S_b / tr S_w and the criterion of each
two classes.
Cases: many classes with ties, two classes, a class without samples, samples of one class only, votes with logits of -inf.
"""

import pathlib
import warnings

import numpy as np
import sklearn
from safetensors.numpy import save_file
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    recall_score,
    roc_auc_score,
)

BINS = 15


def calibration_error(p, labels):
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    edges, total = np.linspace(0, 1, BINS + 1), 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        held = (confidence > low) & (confidence <= high)
        if held.any():
            total += held.mean() * abs(right[held].mean() - confidence[held].mean())
    return total


def auroc(p, labels):
    classes = p.shape[1]
    if len(np.unique(labels)) < classes:
        return np.nan  # scikit-learn has none
    if classes == 2:
        return roc_auc_score(labels, p[:, 1])
    return roc_auc_score(labels, p, multi_class="ovr", average="macro")


def measures(logits, labels):
    p = softmax(logits.astype(np.float64), axis=1)
    classes, taken = list(range(logits.shape[1])), logits.argmax(axis=1)
    shares = [
        accuracy_score(labels, taken),
        balanced_accuracy_score(labels, taken),
        f1_score(labels, taken, average="macro"),
        matthews_corrcoef(labels, taken),
        auroc(p, labels),
        calibration_error(p, labels),
    ]
    return {
        "shares": np.array(shares, np.float64),
        "recall": recall_score(labels, taken, labels=classes, average=None, zero_division=np.nan),
        "confusion": confusion_matrix(labels, taken, labels=classes).astype(np.float64),
    }


def estimated(p, percentile):
    """The authors' estimator, on a copy of each column: theirs writes zeros into the probabilities."""
    rows = []
    for i in range(p.shape[1]):
        column = p[:, i].copy()
        if percentile < 100:
            column[column >= np.percentile(column, percentile, method="higher")] = 0.0
        rows.append(p[column.argmax()])
    return np.stack(rows)


def fisher(x, labels, classes):
    """Fisher's criteria by scatter matrices, of dimensions scaled to variance 1."""
    deviation = x.std(axis=0)
    x = np.where(deviation > 0, (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1), 0)
    of = [x[labels == c] for c in range(classes)]
    within = sum(len(r) * np.cov(r.T, bias=True) for r in of if len(r))
    between = sum(len(r) * np.outer(r.mean(axis=0), r.mean(axis=0)) for r in of if len(r))
    pairs = np.zeros((classes, classes))
    for a, b in [(a, b) for a in range(classes) for b in range(classes) if a != b and len(of[a]) and len(of[b])]:
        apart = ((of[a].mean(axis=0) - of[b].mean(axis=0)) ** 2).sum()
        pairs[a, b] = apart / (np.trace(np.cov(of[a].T, bias=True)) + np.trace(np.cov(of[b].T, bias=True)))
    return np.trace(between) / np.trace(within), pairs


def draw(rng, n, classes, present=None):
    labels = rng.choice(present or classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return np.round(logits, 1).astype(np.float32), labels  # rounded: many rows are alike


def main():
    rng = np.random.default_rng(14)
    votes, of = draw(rng, 80, 3)
    votes[rng.uniform(size=votes.shape) < 0.3] = -np.inf
    votes[:, 0] = np.where(np.isinf(votes).all(axis=1), 0, votes[:, 0])
    cases = {
        "many": draw(rng, 300, 5),
        "two": draw(rng, 200, 2),
        "absent": draw(rng, 120, 4, [0, 1, 3]),
        "one": draw(rng, 40, 3, [2]),
        "votes": (votes, of),
    }
    out = {}
    for name, (logits, labels) in cases.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes without samples
            found = measures(logits, labels)
        found |= {"logits": logits, "labels": labels.astype(np.uint32)}
        out |= {f"{name}/{key}": np.ascontiguousarray(value) for key, value in found.items()}
    p = softmax(2 * rng.normal(size=(150, 4)), axis=1)
    out |= {"estimate/probabilities": p} | {f"estimate/{q}": estimated(p, q) for q in [100, 97, 60]}
    labels = rng.choice([0, 1, 3], 90)
    features = (rng.normal(size=(90, 6)) * [1, 2, 3, 4, 5, 0] + 3 + np.eye(4)[labels] @ rng.normal(size=(4, 6)))
    features[:, 5] = 7
    features = features.astype(np.float32)
    ratio, pairs = fisher(features.astype(np.float64), labels, 4)
    out |= {"fisher/features": features, "fisher/labels": labels.astype(np.uint32), "fisher/pairs": pairs}
    out["fisher/ratio"] = np.array([ratio])
    path = pathlib.Path(__file__).with_name("measures.safetensors")
    save_file(out, path, {"scikit-learn": sklearn.__version__, "numpy": np.__version__})


if __name__ == "__main__":
    main()
