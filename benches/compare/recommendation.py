"""Computes recommendation metrics of random factors in NumPy, and prints the time and the scores.

Run: python recommendation.py USERS ITEMS FACTORS   (the benchmark uses 2000 50000 50)

Computes the same as the recommendation metrics of tonotopy, in NumPy: scores of a block of users as one matrix product,
the best 500 by partial sorting, and AUC by counting the scores above each positive. Ties are not handled, since random
factors have none.
"""

import sys
import time

import numpy as np

BLOCK, K, HELD_OUT = 256, 500, 20

n_users, n_items, n_factors = map(int, sys.argv[1:4])
rng = np.random.default_rng(1)
users = rng.random((n_users, n_factors), dtype=np.float32) * 2 - 1
items = rng.random((n_items, n_factors), dtype=np.float32) * 2 - 1
held_out = [np.unique(rng.integers(0, n_items, HELD_OUT)) for _ in range(n_users)]
discounts = 1 / np.log2(np.arange(2, K + 2))
ideal = np.concatenate([[0], np.cumsum(discounts)])

began = time.perf_counter()
in_products = 0.0
per_user = []
for first in range(0, n_users, BLOCK):
    before = time.perf_counter()
    block = users[first:first + BLOCK] @ items.T
    in_products += time.perf_counter() - before
    best = np.argpartition(-block, K, axis=1)[:, :K]
    for row, scores in enumerate(block):
        positives = held_out[first + row]
        p, n = len(positives), n_items - len(positives)
        ranked = best[row][np.argsort(-scores[best[row]], kind="stable")]
        hits = np.isin(ranked, positives)
        precision = np.cumsum(hits) / np.arange(1, K + 1)
        below = np.bincount(np.searchsorted(np.sort(scores[positives]), scores), minlength=p + 1)
        above = n + p - np.cumsum(below)[:p] - np.arange(p)[::-1]
        per_user.append((
            (precision * hits).sum() / min(K, p),
            1 - above.sum() / (p * n),
            (hits * discounts).sum() / ideal[min(K, p)],
            hits.sum() / p,
        ))
took = time.perf_counter() - began
names = [f"map@{K}", "auc", f"ndcg@{K}", f"recall@{K}"]
print(f"{1000 * took:.0f} ms, of which matrix products {1000 * in_products:.0f} ms")
print(", ".join(f"{name} {value:.6f}" for name, value in zip(names, np.mean(per_user, axis=0))))
