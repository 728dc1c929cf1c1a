"""Prints reference.json: scikit-learn's K-means from given initial means, and the spherical update in NumPy.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)

The rows are a formula that tests.rs repeats; the first means are the first rows.
"""

import json
import warnings

import numpy as np
from sklearn.cluster import KMeans

warnings.filterwarnings("ignore")


def rows(count, columns):
    i, j = np.meshgrid(np.arange(count), np.arange(columns), indexing="ij")
    waves = np.sin(1.3 * i + 0.5 * j) * 2.0 + np.cos(0.77 * i * (j + 1)) + 0.1 * (i % 7) * (j % 2)
    return waves.astype(np.float32).astype(np.float64)


def spherical(x, means, updates, by_product=False):
    """Coates & Ng 2012: s = D'x with only its largest entry kept; D <- X S' + D, columns to length one."""
    d = means / np.linalg.norm(means, axis=1, keepdims=True)
    for _ in range(updates):
        s = x @ d.T
        kept = np.zeros_like(s)
        best = s.argmax(axis=1)
        # one-hot as in P1, or the entry itself as in the paper
        kept[np.arange(len(x)), best] = s.max(axis=1) if by_product else 1.0
        d = kept.T @ x + d
        d /= np.linalg.norm(d, axis=1, keepdims=True)
    return d


cases = []
for count, columns, k, updates in [(300, 5, 4, 6), (500, 3, 9, 12), (120, 20, 3, 1)]:
    x = rows(count, columns)
    first = x[:k]
    plain = KMeans(k, init=first, n_init=1, max_iter=updates, tol=0, algorithm="lloyd").fit(x)
    cases.append({
        "rows": count, "columns": columns, "means": k, "updates": updates,
        "plain": plain.cluster_centers_.ravel().tolist(),
        "converged": bool(plain.n_iter_ < updates),
        "spherical": spherical(x, first, updates).ravel().tolist(),
        "by_product": spherical(x, first, updates, by_product=True).ravel().tolist(),
    })
print(json.dumps(cases))
