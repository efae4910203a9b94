"""Prints the weights of an opinion pool that scipy finds, which a test in src/noise/audit/pool.rs expects. It makes no golden file.

    python pool.py

The experts and the labels are formulas, the same as in that test. It needs numpy and scipy.
"""

import numpy
from scipy.optimize import minimize

IMAGES, CLASSES = 40, 3
BEFORE = 0.5  # the mean of each weight before a label is looked at; its standard deviation is 1


def normal(logs):
    """Log-probabilities, rows of classes."""
    return logs - numpy.log(numpy.exp(logs).sum(1, keepdims=True))


def main():
    i, c = numpy.arange(float(IMAGES))[:, None], numpy.arange(float(CLASSES))[None]
    first, second = numpy.sin(1.7 * i + 2.3 * c), numpy.cos(0.9 * i * c + c)
    logs = [normal(first), normal(second)]
    for of_second in (0.5, -0.8):
        labels = (first + of_second * second + 0.9 * numpy.sin(5 * i + 3 * c * c)).argmax(1)

        def unlikely(weights):
            together = normal(sum(w * l for w, l in zip(weights, logs)))
            return 0.5 * ((weights - BEFORE) ** 2).sum() - together[numpy.arange(IMAGES), labels].sum()

        exact = {"ftol": 1e-15, "gtol": 1e-10}
        found = minimize(unlikely, [BEFORE] * 2, method="L-BFGS-B", bounds=[(0, None)] * 2, options=exact)
        print(f"{of_second}: {found.x[0]:.6f} {found.x[1]:.6f}")


if __name__ == "__main__":
    main()
