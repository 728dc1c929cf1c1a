"""Prints reference.json: scikit-learn's scores of small random and degenerate cases.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)

Predictions are float32 numbers, printed so that they read back exactly.
"""

import json
import warnings

import numpy as np
from sklearn import metrics

warnings.simplefilter("ignore")
rng = np.random.default_rng(20140504)


def number(x):
    return None if x is None or not np.isfinite(x) else float(x)


def curve_points(truth, scores):
    fpr, tpr, at = metrics.roc_curve(truth, scores, drop_intermediate=False)
    precision, recall, at_pr = metrics.precision_recall_curve(truth, scores)
    return {
        "roc": [[float(x), float(y), number(t)] for x, y, t in zip(fpr, tpr, at)],
        "pr": [
            [float(r), float(p), number(t)]
            for r, p, t in zip(recall[::-1], precision[::-1], [None, *at_pr[::-1]])
        ],
    }


def tagging(name, scores, truth, curves=False):
    scores = np.asarray(scores, dtype=np.float32)
    truth = np.asarray(truth, dtype=int)
    scored = [0 < truth[:, t].sum() < len(truth) for t in range(truth.shape[1])]
    per_tag = [
        {
            "roc_auc": float(metrics.roc_auc_score(truth[:, t], scores[:, t])) if ok else None,
            "pr_auc": float(metrics.average_precision_score(truth[:, t], scores[:, t])) if ok else None,
            "positives": int(truth[:, t].sum()),
        }
        for t, ok in enumerate(scored)
    ]
    # The averages come from scikit-learn's own macro averaging, over the columns that can be scored.
    kept = np.flatnonzero(scored)
    macro = lambda f: float(f(truth[:, kept], scores[:, kept], average="macro")) if len(kept) else None
    mixed = 0 < truth.sum() < truth.size
    micro = lambda f: float(f(truth.ravel(), scores.ravel())) if mixed else None
    case = {
        "name": name,
        "predictions": [[float(x) for x in row] for row in scores],
        "targets": truth.tolist(),
        "per_tag": per_tag,
        "roc_auc_macro": macro(metrics.roc_auc_score),
        "pr_auc_macro": macro(metrics.average_precision_score),
        "n_tags_scored": len(kept),
        "roc_auc_micro": micro(metrics.roc_auc_score),
        "pr_auc_micro": micro(metrics.average_precision_score),
    }
    if curves:
        case["curves"] = [curve_points(truth[:, t], scores[:, t]) for t in range(truth.shape[1])]
    return case


def random_case(name, tracks, tags, rate, change=lambda x: x, curves=False):
    truth = rng.random((tracks, tags)) < rate
    scores = change(rng.random((tracks, tags)) * 0.7 + 0.3 * truth)
    return tagging(name, scores, truth, curves)


def genre_case(name, truth, predicted):
    return {
        "name": name,
        "classes": int(max(*truth, *predicted)) + 2,
        "truth": [int(x) for x in truth],
        "predicted": [int(x) for x in predicted],
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "f1_macro": float(metrics.f1_score(truth, predicted, average="macro")),
    }


wide = np.array([-3e38, -1.0, -1e-38, -1e-45, -0.0, 0.0, 1e-45, 1e-38, 1.0, 3e38] * 3)[:, None]
next_up = np.nextafter(np.float32(0.5), np.float32(1.0))
neighbours = np.where(rng.random((40, 2)) < 0.5, np.float32(0.5), next_up)
cases = [
    random_case("random", 150, 4, 0.2),
    random_case("rare", 300, 3, 0.02),
    random_case("common", 60, 3, 0.9),
    random_case("longer than the shortest radix sort", 1500, 1, 0.5, np.float16),
    random_case("ties everywhere", 120, 4, 0.3, lambda x: np.round(x, 1), curves=True),
    random_case("two values", 50, 3, 0.4, np.round, curves=True),
    random_case("logits", 80, 3, 0.3, lambda x: 20 * x - 10),
    random_case("small", 7, 5, 0.5, curves=True),
    tagging("all equal", np.full((30, 3), 0.25), rng.random((30, 3)) < [0.1, 0.5, 0.9], True),
    tagging("all zero", np.zeros((9, 2)), rng.random((9, 2)) < 0.5),
    tagging("wide range, two zeros", wide, rng.random((30, 1)) < 0.4, True),
    tagging("neighbours", neighbours, rng.random((40, 2)) < 0.4),
    tagging("one class only", rng.random((12, 3)), np.tile([0, 1, 0], (12, 1))),
    tagging("constant columns among others", rng.random((20, 4)),
            np.stack([np.zeros(20), rng.random(20) < 0.5, np.ones(20), np.arange(20) == 3], 1)),
    tagging("one track", rng.random((1, 3)), [[1, 0, 1]]),
    tagging("two tracks", [[0.1, 0.9], [0.2, 0.1]], [[0, 0], [1, 1]], True),
    tagging("perfect", np.linspace(0, 1, 10)[:, None], np.arange(10)[:, None] >= 6, True),
    tagging("reversed", np.linspace(1, 0, 10)[:, None], np.arange(10)[:, None] >= 6, True),
]
genres = [
    genre_case("random", rng.integers(0, 6, 200), rng.integers(0, 6, 200)),
    genre_case("a class never predicted", [0, 1, 2, 2, 1], [0, 1, 1, 1, 1]),
    genre_case("a class never true", [0, 0, 1, 1], [0, 2, 1, 1]),
    genre_case("all wrong", [0, 1], [1, 0]),
    genre_case("one track", [3], [3]),
]
print("{\n\"tagging\": [")
print(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
print("],\n\"genres\": [")
print(",\n".join(json.dumps(case, separators=(",", ":")) for case in genres))
print("]\n}")
