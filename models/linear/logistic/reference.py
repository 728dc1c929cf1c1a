"""Prints reference.json: logistic regressions by scikit-learn on rows of a formula.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)
"""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression


def rows(count, columns):
    i, j = np.meshgrid(np.arange(count, dtype=float), np.arange(columns, dtype=float), indexing="ij")
    return np.sin(1.7 * i + 0.9 * j * j) + 0.5 * np.cos(0.3 * i * (j + 1))


cases = []
for count, columns, c, cut in [(60, 3, 1.0, 0.0), (200, 8, 0.1, 0.8), (150, 5, 100.0, -0.4)]:
    data = rows(count, 2)
    positive = data[:, 0] - 0.5 * data[:, 1] + 0.6 * np.cos(np.arange(count)) > cut
    model = LogisticRegression(C=c, tol=1e-12, max_iter=100_000, solver="newton-cholesky").fit(rows(count, columns), positive)
    cases.append({"rows": count, "columns": columns, "c": c, "cut": cut, "weights": model.coef_[0].tolist(), "bias": float(model.intercept_[0])})
print(json.dumps(cases))
