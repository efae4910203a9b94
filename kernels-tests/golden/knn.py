"""Votes of nearest neighbours by scikit-learn, for src/study/neighbours.rs.

    pip install numpy scikit-learn safetensors
    python kernels-tests/golden/knn.py

Writes knn.safetensors: train [N, D] and test [M, D] in f32, labels [N] in u32, and the predictions [M] in u32 of
KNeighborsClassifier(metric="cosine"). The weights of the neighbours are equal (plain_K) or exp(cos / τ) (weighted_K_τ);
shares_K_τ [M, 4] in f32 are the shares of the classes in the weighted votes.
No prediction depends on a tie: scikit-learn breaks ties by the smaller label, this program by the nearer image.
"""

import pathlib

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.neighbors import KNeighborsClassifier

CLASSES, NEIGHBOURS, TEMPERATURES = 4, [1, 5, 20, 200], [0.07, 0.1]


def draw(rng, centres, n):
    """Draws features like those after a ReLU, with different lengths and overlapping classes."""
    labels = rng.integers(0, CLASSES, n)
    x = np.maximum(centres[labels] + 1.3 * rng.normal(size=(n, centres.shape[1])), 0)
    return (x * rng.uniform(0.1, 10, (n, 1))).astype(np.float32), labels


def margin(votes):
    """The difference between the two largest sums of each row."""
    top = np.sort(votes, axis=1)
    return top[:, -1] - top[:, -2]


def main():
    rng = np.random.default_rng(11)
    centres = rng.normal(size=(CLASSES, 24))
    # One class has half of the images, so that plain and weighted votes differ for many neighbours.
    train, labels = draw(rng, centres, 300)
    keep = (labels == 0) | (rng.uniform(size=300) < 0.6)
    train, labels = train[keep], labels[keep]
    test, _ = draw(rng, centres, 400)

    rules = {f"plain_{k}": (k, "uniform") for k in NEIGHBOURS}
    for k in NEIGHBOURS:
        for t in TEMPERATURES:
            rules[f"weighted_{k}_{t}"] = (k, lambda d, t=t: np.exp((1 - d) / t))
    fitted = {}
    for name, (k, weights) in rules.items():
        fitted[name] = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=weights).fit(train, labels)
    # Ties and near ties are left out, because rounding to f32 may change their order.
    sure = np.ones(len(test), bool)
    for model in fitted.values():
        sure &= margin(model.predict_proba(test)) > 1e-4
    distances, _ = fitted["plain_200"].kneighbors(test, max(NEIGHBOURS) + 1)
    for k in NEIGHBOURS:
        sure &= distances[:, k] - distances[:, k - 1] > 1e-6
    test = test[sure][:100]
    assert len(test) == 100, len(test)
    out = {"train": train, "labels": labels.astype(np.uint32), "test": test}
    out |= {name: model.predict(test).astype(np.uint32) for name, model in fitted.items()}
    # what each class has of all votes
    shares = {n.replace("weighted", "shares"): m.predict_proba(test) for n, m in fitted.items() if "weighted" in n}
    out |= {name: value.astype(np.float32) for name, value in shares.items()}
    path = pathlib.Path(__file__).with_name("knn.safetensors")
    save_file(out, path, metadata={"scikit-learn": sklearn.__version__, "numpy": np.__version__})
    print(f"{len(train)} training and {len(test)} test rows, scikit-learn {sklearn.__version__}")
    for k in NEIGHBOURS:
        print(k, [int((out[f"plain_{k}"] != out[f"weighted_{k}_{t}"]).sum()) for t in TEMPERATURES], "differ")


main()
