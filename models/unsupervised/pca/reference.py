"""Prints reference.json: scikit-learn's principal components of a small matrix.

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
for count, columns in [(40, 6), (7, 12), (200, 5)]:
    pca = PCA().fit(rows(count, columns))
    kept = {share: int(PCA(n_components=share).fit(rows(count, columns)).n_components_) for share in (0.5, 0.9, 0.99)}
    rank = min(count - 1, columns)
    components = pca.components_[:rank]
    # The largest entry positive, independently of the version of scikit-learn.
    peaks = components[np.arange(rank), np.abs(components).argmax(axis=1)]
    components = components * np.sign(peaks)[:, None]
    cases.append({
        "rows": count,
        "columns": columns,
        "mean": pca.mean_.tolist(),
        "components": components.ravel().tolist(),
        "variances": pca.explained_variance_[:rank].tolist(),
        "kept": [[share, n] for share, n in kept.items()],
    })
print(json.dumps(cases))
