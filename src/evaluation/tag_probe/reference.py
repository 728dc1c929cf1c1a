"""Prints reference.json: scikit-learn's cross-validated AUC of a formula's rows, on given folds.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)
"""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def rows(count, columns):
    i, j = np.meshgrid(np.arange(count, dtype=float), np.arange(columns, dtype=float), indexing="ij")
    values = np.sin(1.7 * i + 0.9 * j * j) * (j + 1) + 0.5 * np.cos(0.3 * i * (j + 1)) + j
    return values.astype(np.float32).astype(np.float64)


cases = []
for count, columns, folds in [(150, 4, 10), (90, 7, 3)]:
    x = rows(count, columns)
    truth = x[:, 0] + 0.8 * np.sin(2.3 * np.arange(count)) > 0.2
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000))
    split = PredefinedSplit(np.arange(count) * 7 % folds)
    auc = cross_val_score(model, x, truth, cv=split, scoring="roc_auc").mean()
    cases.append({"rows": count, "columns": columns, "folds": folds, "auc": float(auc)})
print(json.dumps(cases))
