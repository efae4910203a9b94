"""Confident learning by cleanlab, for src/noise/audit/confident.rs.

    pip install numpy cleanlab safetensors
    python kernels-tests/golden/confident.py

Writes confident.safetensors. Of each CASE: CASE.probabilities [N, K] in f64, CASE.labels [N] in u32, CASE.thresholds [K],
CASE.self_confidence and CASE.normalized_margin [N] in f64, CASE.joint and CASE.calibrated [K, K] in u32, and CASE.issues
[1], the estimated number of wrong labels.
"""

import pathlib

import cleanlab
import numpy as np
from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.rank import get_label_quality_scores
from safetensors.numpy import save_file


def draw(rng, n, shares, sharpness, wrong):
    """Draws probabilities that know the truth a little, and labels of which a share is wrong."""
    k = len(shares)
    truth = rng.choice(k, n, p=np.array(shares) / np.sum(shares))
    logits = rng.normal(size=(n, k)) + sharpness * np.eye(k)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.where(rng.uniform(size=n) < wrong, rng.choice(k, n), truth)
    return probabilities, labels


def main():
    rng = np.random.default_rng(3)
    cases = {
        "balanced": draw(rng, 160, [1, 1, 1, 1], 2.0, 0.3),
        "rare": draw(rng, 160, [10, 5, 1], 1.5, 0.2),
        "two": draw(rng, 120, [2, 1], 1.0, 0.2),
    }
    probabilities, labels = draw(rng, 120, [1, 1, 1, 1], 2.0, 0.2)
    cases["missing"] = (probabilities, np.where(labels == 2, 1, labels))  # nobody gave class 2
    out = {}
    for name, (probabilities, labels) in cases.items():
        calibrated = compute_confident_joint(labels, probabilities, calibrate=True)
        score = lambda how: get_label_quality_scores(labels, probabilities, method=how)
        values = {
            "probabilities": probabilities,
            "labels": labels.astype(np.uint32),
            "thresholds": get_confident_thresholds(labels, probabilities),
            "self_confidence": score("self_confidence"),
            "normalized_margin": score("normalized_margin"),
            "joint": compute_confident_joint(labels, probabilities, calibrate=False).astype(np.uint32),
            "calibrated": calibrated.astype(np.uint32),
            "issues": np.array([calibrated.sum() - np.trace(calibrated)], np.uint32),
        }
        out |= {f"{name}.{key}": np.ascontiguousarray(value) for key, value in values.items()}
        print(name, calibrated.tolist())
    path = pathlib.Path(__file__).with_name("confident.safetensors")
    save_file(out, path, metadata={"cleanlab": cleanlab.__version__, "numpy": np.__version__})


main()
