"""Prints reference.json: the minimum of metric learning to rank on small tasks.

Run: python reference.py > reference.json   (needs numpy and cvxpy with Clarabel)

No cutting planes: every ranking of every query is a constraint of one semidefinite programme, which a
general interior-point solver solves. psi and the losses are written out from their definitions.
"""

import itertools
import json

import cvxpy as cp
import numpy as np


def constraints(rows, query, relevant, loss):
    """For every ranking: its loss, and psi(y*) - psi(y)."""
    good = set(relevant)
    others = [item for item in range(len(rows)) if item != query]
    bad = [item for item in others if item not in good]

    def f(item):
        away = rows[query] - rows[item]
        return -np.outer(away, away)

    def psi(order):
        place = {item: rank for rank, item in enumerate(order)}
        signs = [(1 if place[i] < place[j] else -1, i, j) for i in good for j in bad]
        return sum(sign * (f(i) - f(j)) for sign, i, j in signs) / (len(good) * len(bad))

    best = psi([*good, *bad])
    for order in itertools.permutations(others):
        hits = np.array([item in good for item in order])
        if loss == "auc":
            wrong = sum(not first and second for first, second in itertools.combinations(hits, 2))
            lost = wrong / (len(good) * len(bad))
        else:
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            lost = 1 - precision[hits].mean()
        yield lost, best - psi(order)


def solve(rows, relevant, loss, c):
    columns = rows.shape[1]
    w = cp.Variable((columns, columns), PSD=True)
    queries = [q for q, good in enumerate(relevant) if 0 < len(good) < len(rows) - 1]
    slack = cp.Variable(len(queries))
    rules = []
    for at, query in enumerate(queries):
        lost, psi = zip(*constraints(rows, query, relevant[query], loss))
        flat = np.array(psi).reshape(len(psi), -1)
        # One of the rankings is correct, so no slack is negative.
        rules.append(slack[at] >= np.array(lost) - flat @ cp.vec(w, order="C"))
    # The maximum over choices of rankings of the mean is the mean of the maxima.
    problem = cp.Problem(cp.Minimize(cp.trace(w) + c * cp.sum(slack) / len(queries)), rules)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    assert problem.status == cp.OPTIMAL, problem.status
    return problem.value, w.value


cases = []
tasks = [("auc", 0.3, 1), ("auc", 5.0, 1), ("auc", 100.0, 2), ("map", 5.0, 1), ("map", 30.0, 2), ("map", 100.0, 3)]
for loss, c, seed in tasks:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(6, 3)).round(3).astype(np.float32).astype(np.float64)
    relevant = [sorted(random.permutation([i for i in range(6) if i != q])[: 1 + q % 3].tolist()) for q in range(6)]
    # Nothing to rank: one query has no relevant items, one has only relevant items.
    relevant[4], relevant[5] = [], [0, 1, 2, 3, 4]
    value, w = solve(rows, relevant, loss, c)
    cases.append({
        "loss": loss,
        "c": c,
        "columns": 3,
        "rows": rows.ravel().tolist(),
        "relevant": relevant,
        "objective": value,
        "trace": float(np.trace(w)),
    })
print(json.dumps(cases))
