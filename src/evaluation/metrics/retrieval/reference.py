"""Prints reference.json: scikit-learn's and the definitions' scores of small sets of factors.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)

Factors are multiples of 1/2048 below 1 in four columns, so that every product is exact in float32
and equal scores are equal for everybody. AUC and nDCG are scikit-learn's; AP@k has no peer there
with a cut-off, so it is written out, and held against scikit-learn's average precision where the
cut-off is no cut-off.
"""

import json

import numpy as np
from sklearn import metrics

rng = np.random.default_rng(20131205)
FACTORS = 4


def ap_at(k, truth, scores):
    order = np.lexsort((np.arange(len(scores)), -scores))  # ties by index
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(np.sum((precision * hits)[:k]) / min(k, hits.sum()))


def recall_at(k, truth, scores):
    order = np.lexsort((np.arange(len(scores)), -scores))
    return float(truth[order][:k].sum() / truth.sum())


def case(name, users, items, rate, k, coarse=False):
    def factors(rows):
        whole = rng.integers(-1, 2, (rows, FACTORS)) * 512 if coarse else rng.integers(-2047, 2048, (rows, FACTORS))
        return whole / 2048.0

    x, y = factors(users), factors(items)
    held_out, per_user = [], []
    for u in range(users):
        # Users' own tastes, as far as the noise lets through.
        positives = np.flatnonzero(rng.random(items) < rate * (1 + np.tanh(4 * y @ x[u])))
        held_out.append(positives.tolist())
        if len(positives) == 0:
            per_user.append(None)
            continue
        scores, truth = y @ x[u], np.isin(np.arange(items), positives).astype(int)
        distinct = len(np.unique(scores)) == len(scores)
        ap = ap_at(k, truth, scores)
        if distinct and k >= items:
            assert abs(ap - metrics.average_precision_score(truth, scores)) < 1e-12
        per_user.append({
            "ap": ap,
            "recall": recall_at(k, truth, scores),
            # Ties are averaged there.
            "ndcg": float(metrics.ndcg_score([truth], [scores], k=k)) if distinct and items > 1 else None,
            "auc": float(metrics.roc_auc_score(truth, scores)) if truth.sum() < len(truth) else None,
        })
    return {
        "name": name,
        "k": k,
        "users": (x * 2048).astype(int).ravel().tolist(),
        "items": (y * 2048).astype(int).ravel().tolist(),
        "held_out": held_out,
        "per_user": per_user,
    }


cases = [
    case("all items", 20, 150, 0.1, 10),
    case("cut-off beyond the items", 15, 60, 0.2, 500),
    case("rare", 40, 200, 0.01, 20),
    case("only the best", 20, 80, 0.2, 1),
    case("most are positive", 10, 30, 0.8, 12),
    case("ties everywhere", 25, 90, 0.2, 15, coarse=True),
    case("one taste in two", 15, 40, 0.4, 10),
    case("frequent", 20, 85, 0.3, 25),
    case("many items", 12, 300, 0.1, 30),
    case("two items", 6, 2, 0.5, 1),
]
print("[")
print(",\n".join(json.dumps(one, separators=(",", ":")) for one in cases))
print("]")
