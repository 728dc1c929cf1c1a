"""Prints reference.json: scikit-learn's and the definitions' scores of small sets of factors.

Run: python reference.py > reference.json   (needs numpy, scipy and scikit-learn)

Factors are multiples of 1/2048 below 1 in four columns, so that every product is exact in float32
and equal scores are equal for everybody. AUC and nDCG are scikit-learn's; AP@k has no peer there
with a cut-off, so it is written out, and held against scikit-learn's average precision where the
cut-off is no cut-off. With ties, AP@k and recall@k are expected values over the orders of the tied
items: the positives before a place in a tie have a hypergeometric distribution. Users whose factors
are all 0 are left out.
"""

import json

import numpy as np
from scipy.stats import hypergeom
from sklearn import metrics

rng = np.random.default_rng(20131205)
FACTORS = 4


def expected(k, truth, scores):
    """AP@k and recall@k as means over all orders of items with equal scores."""
    precisions, found, before, hits = 0.0, 0.0, 0, 0
    for score in np.unique(scores)[::-1]:
        tied = scores == score
        n, positives = int(tied.sum()), int(truth[tied].sum())
        for place in range(n):
            rank = before + place + 1
            if rank > k or positives == 0:
                break
            earlier = np.arange(place + 1)
            # The places before, if this one has a positive.
            chances = hypergeom.pmf(earlier, n - 1, positives - 1, place) if place else np.ones(1)
            precisions += positives / n * float(np.sum(chances * (hits + earlier + 1))) / rank
            found += positives / n
        before, hits = before + n, hits + positives
    return precisions / min(k, hits), found / hits


def case(name, users, items, rate, k, coarse=False, candidates=None, exclude=0.0):
    def factors(rows):
        whole = rng.integers(-1, 2, (rows, FACTORS)) * 512 if coarse else rng.integers(-2047, 2048, (rows, FACTORS))
        return whole / 2048.0

    x, y = factors(users), factors(items)
    kept = np.sort(rng.choice(items, candidates, replace=False)) if candidates else np.arange(items)
    held_out, excluded, per_user = [], [], []
    for u in range(users):
        out = kept[rng.random(len(kept)) < exclude]
        left = np.setdiff1d(kept, out)
        # Users' own tastes, as far as the noise lets through.
        positives = left[rng.random(len(left)) < rate * (1 + np.tanh(4 * y[left] @ x[u]))]
        held_out.append(positives.tolist())
        excluded.append(out.tolist())
        if len(positives) == 0 or not x[u].any():
            per_user.append(None)
            continue
        scores, truth = y[left] @ x[u], np.isin(left, positives).astype(int)
        distinct = len(np.unique(scores)) == len(scores)
        ap, recall = expected(k, truth, scores)
        if distinct and k >= len(left):
            assert abs(ap - metrics.average_precision_score(truth, scores)) < 1e-12
        per_user.append({
            "ap": ap,
            "recall": recall,
            "ndcg": float(metrics.ndcg_score([truth], [scores], k=k)) if len(left) > 1 else None,
            "auc": float(metrics.roc_auc_score(truth, scores)) if truth.sum() < len(truth) else None,
        })
    return {
        "name": name,
        "k": k,
        "users": (x * 2048).astype(int).ravel().tolist(),
        "items": (y * 2048).astype(int).ravel().tolist(),
        "held_out": held_out,
        "candidates": kept.tolist() if candidates else None,
        "exclude": excluded if exclude else None,
        "per_user": per_user,
    }


cases = [
    case("all items", 20, 150, 0.1, 10),
    case("cut-off beyond the items", 15, 60, 0.2, 500),
    case("rare", 40, 200, 0.01, 20),
    case("only the best", 20, 80, 0.2, 1),
    case("most are positive", 10, 30, 0.8, 12),
    case("ties everywhere", 25, 90, 0.2, 15, coarse=True),
    case("held-out items only", 15, 200, 0.2, 10, candidates=40),
    case("without training", 20, 120, 0.1, 25, exclude=0.3),
    case("both", 12, 300, 0.1, 30, candidates=100, exclude=0.5),
    case("two items", 6, 2, 0.5, 1),
]
print("[")
print(",\n".join(json.dumps(one, separators=(",", ":")) for one in cases))
print("]")
