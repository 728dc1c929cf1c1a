"""Prints reference.json: scikit-learn's t-SNE affinities of a few points.

Run: python reference.py > reference.json   (needs numpy and scikit-learn; made with 1.9)

Points are float32 numbers, printed so that they read back exactly.
"""

import json

import numpy as np
from sklearn.manifold._t_sne import _joint_probabilities_nn
from sklearn.neighbors import NearestNeighbors

rng = np.random.default_rng(2008)
cases = []
for points, dimensions, perplexity in [(40, 3, 5), (25, 10, 8), (60, 2, 2), (30, 50, 4)]:
    x = (rng.normal(size=(points, dimensions)) * rng.uniform(0.3, 3, (points, 1))).astype(np.float32)
    search = NearestNeighbors(n_neighbors=min(3 * perplexity, points - 1)).fit(x.astype(np.float64))
    distances = search.kneighbors_graph(mode="distance")
    distances.data **= 2
    p = _joint_probabilities_nn(distances, perplexity, 0).tocoo()
    cases.append({
        "dimensions": dimensions,
        "perplexity": perplexity,
        "points": [float(v) for v in x.ravel()],
        "affinities": [[int(i), int(j), float(v)] for i, j, v in zip(p.row, p.col, p.data)],
    })
print("[")
print(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
print("]")
