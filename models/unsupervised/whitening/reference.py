"""Prints reference.json: rows whitened by scikit-learn.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)

The rows are a formula that tests.rs repeats, so that only the results are stored.
"""

import json

import numpy as np
from sklearn.decomposition import PCA


def rows(count, columns):
    i, j = np.meshgrid(np.arange(count), np.arange(columns), indexing="ij")
    waves = np.sin(0.7 * i * (1 + j % 3)) * (3.0 / (1 + j)) + np.cos(0.31 * i * j) * 0.4 + 5.0 * (j % 2)
    return waves.astype(np.float32).astype(np.float64)


cases = []
for count, columns, share in [(60, 6, 0.99), (40, 8, 0.9), (9, 12, 0.99)]:
    x = rows(count, columns)
    pca = PCA(n_components=share, whiten=True).fit(x)
    white = pca.transform(x)
    # The largest entry of each component positive, independently of the version of scikit-learn.
    peaks = pca.components_[np.arange(len(pca.components_)), np.abs(pca.components_).argmax(axis=1)]
    cases.append({
        "rows": count,
        "columns": columns,
        "share": share,
        "whitened": (white * np.sign(peaks)).ravel().tolist(),
        "back": (pca.inverse_transform(white) - pca.mean_).ravel().tolist(),
    })
print(json.dumps(cases))
