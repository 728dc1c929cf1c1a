"""Prints reference.json: scikit-learn's LinearSVC (LIBLINEAR) on small tasks.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)

The rows are a formula that tests.rs repeats, so that only the results are stored.
"""

import json
import warnings

import numpy as np
from sklearn.svm import LinearSVC

warnings.filterwarnings("error")


def rows(count, columns):
    i, j = np.meshgrid(np.arange(count), np.arange(columns), indexing="ij")
    waves = np.sin(1.7 * i + 0.9 * j * j) + 0.6 * np.cos(0.37 * i * (j + 1)) + 0.8 * ((i % 3) == (j % 3))
    return waves.astype(np.float32).astype(np.float64)


cases = []
for count, columns, classes, cost in [(60, 4, 2, 1.0), (60, 4, 3, 0.01), (60, 4, 3, 100.0), (20, 30, 3, 1.0), (90, 12, 5, 0.3)]:
    x, y = rows(count, columns), np.arange(count) % classes
    svm = LinearSVC(C=cost, dual=False, tol=1e-10, max_iter=100_000).fit(x, y)
    coef, intercept = svm.coef_, svm.intercept_
    if classes == 2:
        # scikit-learn solves one problem; the other class has the negated solution.
        coef, intercept = np.vstack([-coef, coef]), np.concatenate([-intercept, intercept])
    objectives = []
    for k in range(classes):
        sign = np.where(y == k, 1.0, -1.0)
        loss = np.maximum(0.0, 1.0 - sign * (x @ coef[k] + intercept[k])) ** 2
        objectives.append(0.5 * (coef[k] @ coef[k] + intercept[k] ** 2) + cost * loss.sum())
    cases.append({
        "rows": count, "columns": columns, "classes": classes, "cost": cost,
        "weights": coef.ravel().tolist(), "biases": intercept.tolist(), "objectives": objectives,
        "predicted": svm.predict(x).tolist(),
    })
print(json.dumps(cases))
