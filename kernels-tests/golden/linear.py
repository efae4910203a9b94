"""Logistic regression on frozen features by scikit-learn, for src/study/probe/logistic.rs.

    pip install numpy scikit-learn safetensors
    python kernels-tests/golden/linear.py

Writes linear.safetensors: train [N, D] and test [M, D] f32, labels [N] and test_labels [M] u32, weight_decays [W] f32, and for
the i-th of them weight_i [K, D], bias_i [K], loss_i [1] (the mean cross-entropy plus weight_decay / 2 times the squared weights)
and accuracy_i [1] on the test rows, in f64 by LogisticRegression(C = 1 / (weight_decay · N), solver="lbfgs", tol=1e-10).
"""

import pathlib

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

CLASSES, WIDTH, WEIGHT_DECAYS = 5, 16, [1.0, 1e-2, 1e-4]


def draw(rng, centres, n):
    """Features as ReLU leaves them, classes that overlap."""
    labels = rng.integers(0, CLASSES, n)
    return np.maximum(centres[labels] + 1.5 * rng.normal(size=(n, WIDTH)), 0).astype(np.float32), labels


def main():
    rng = np.random.default_rng(12)
    centres = rng.normal(size=(CLASSES, WIDTH))
    train, labels = draw(rng, centres, 400)
    test, test_labels = draw(rng, centres, 1000)
    out = {"train": train, "labels": labels.astype(np.uint32), "test": test, "test_labels": test_labels.astype(np.uint32)}
    out["weight_decays"] = np.array(WEIGHT_DECAYS, np.float32)
    for i, decay in enumerate(np.array(WEIGHT_DECAYS, np.float32).astype(np.float64)):
        model = LogisticRegression(C=1 / (decay * len(train)), solver="lbfgs", tol=1e-10, max_iter=100_000)
        model.fit(train.astype(np.float64), labels)
        loss = log_loss(labels, model.predict_proba(train.astype(np.float64))) + decay / 2 * (model.coef_**2).sum()
        accuracy = model.score(test.astype(np.float64), test_labels)
        numbers = {"weight": model.coef_, "bias": model.intercept_, "loss": [loss], "accuracy": [accuracy]}
        out |= {f"{name}_{i}": np.ascontiguousarray(value, np.float32) for name, value in numbers.items()}
        print(f"weight decay {decay:g}: loss {loss:.6f}, accuracy {accuracy:.3f}, {model.n_iter_} steps")
    path = pathlib.Path(__file__).with_name("linear.safetensors")
    save_file(out, path, metadata={"scikit-learn": sklearn.__version__, "numpy": np.__version__})
    print(f"{len(train)} training and {len(test)} test rows, {path.stat().st_size} bytes, scikit-learn {sklearn.__version__}")


main()
