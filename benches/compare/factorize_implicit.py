"""Compares our factorization with alternating least squares of `implicit` 0.7.3: time, objective, ranking.

    pip install -r benches/compare/requirements-implicit.txt
    cargo build --release --example factorize_csr
    OPENBLAS_NUM_THREADS=1 python benches/compare/factorize_implicit.py --lastfm user_artists.dat

`implicit` takes the confidence c itself as the value of an entry, and adds (c - 1) y y' for it; with
alpha = 1 and c = 1 + 2 ln(1 + r / 1e-6) its objective is ours, lambda included (its source:
`user_linear_equation` in `implicit/cpu/als.py`). Both start with the same item factors and solve users
first; its conjugate gradients start with user factors of 0.

The programs alternate; results are medians over repeats. CPU seconds are printed next to wall-clock seconds, because other
processes may use the machine. "to its objective" is the time that ours needs to reach the final objective of `implicit`
(within 1e-4).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from simulate_plays import SIZES, save, simulate

ALPHA, EPSILON, REGULARIZATION, THREADS = 2.0, 1e-6, 1e-5, 2


def confidences(offsets, columns, plays, items):
    values = (1.0 + ALPHA * np.log1p(plays.astype(np.float64) / EPSILON)).astype(np.float32)
    shape = (len(offsets) - 1, items)
    return sp.csr_matrix((values, columns.astype(np.int32), offsets.astype(np.int64)), shape)


def objective(matrix, users, items):
    """The objective by its definition in float64; the sum over all pairs is a product of two Gram matrices."""
    x, y = users.astype(np.float64), items.astype(np.float64)
    total = np.sum((x.T @ x) * (y.T @ y)) + REGULARIZATION * (np.sum(x * x) + np.sum(y * y))
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    step = 20_000_000 // x.shape[1]
    for begin in range(0, len(rows), step):
        some = slice(begin, begin + step)
        scores = np.einsum("ij,ij->i", x[rows[some]], y[matrix.indices[some]])
        c = matrix.data[some].astype(np.float64)
        total += np.sum(c * (1.0 - scores) ** 2 - scores**2)
    return total


def run_implicit(matrix, first_items, sweeps, use_cg):
    factors = first_items.shape[1]
    model = AlternatingLeastSquares(
        factors=factors, regularization=REGULARIZATION, alpha=1.0, iterations=sweeps,
        num_threads=THREADS, use_cg=use_cg,
    )
    model.user_factors = np.zeros((matrix.shape[0], factors), np.float32)
    model.item_factors = first_items.copy()
    seconds = []
    began = time.process_time()
    model.fit(matrix, show_progress=False, callback=lambda _, taken, __: seconds.append(taken))
    cpu = (time.process_time() - began) / sweeps
    return {"seconds": seconds, "cpu": cpu, "users": model.user_factors, "items": model.item_factors}


def run_ours(program, directory, factors, sweeps, solver):
    command = [program, directory, factors, sweeps, THREADS, solver, "no"]
    out = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL).stdout
    result = json.loads(out)
    for name in ("users", "items"):
        result[name] = np.fromfile(directory / name, "<f4").reshape(-1, factors)
    return result


def compare(program, directory, name, factors, sweeps, repeats, solvers):
    read = lambda file, kind: np.fromfile(directory / file, kind)
    items = int((directory / "items.txt").read_text())
    matrix = confidences(read("offsets", "<u8"), read("columns", "<u4"), read("values", "<f4"), items)
    first = np.random.default_rng(2).normal(0.0, 0.01, (items, factors)).astype(np.float32)
    first.tofile(directory / "first_items")
    theirs, ours = [], []
    for _ in range(repeats):
        theirs.append(run_implicit(matrix, first, sweeps, solvers[0] == "cg"))
        ours.append(run_ours(program, directory, factors, sweeps, solvers[1]))
    (directory / "first_items").unlink()
    reached = objective(matrix, theirs[-1]["users"], theirs[-1]["items"])
    own = objective(matrix, ours[-1]["users"], ours[-1]["items"])
    said = ours[-1]["objectives"][-1]
    assert abs(said / own - 1.0) < 1e-5, (said, own)
    enough = next((k + 1 for k, x in enumerate(ours[-1]["objectives"]) if x <= reached * (1 + 1e-4)), None)
    a = statistics.median(second for run in theirs for second in run["seconds"])
    b = statistics.median(second for run in ours for second in run["seconds"])
    cpu_a = statistics.median(run["cpu"] for run in theirs)
    cpu_b = statistics.median(second for run in ours for second in run["cpu"])
    row = {
        "matrix": name, "factors": factors, "implicit": solvers[0], "ours": solvers[1], "sweeps": sweeps,
        "repeats": repeats, "implicit_s": a, "ours_s": b, "per_sweep": a / b,
        "implicit_cpu_s": cpu_a, "ours_cpu_s": cpu_b, "cpu_per_sweep": cpu_a / cpu_b,
        "implicit_objective": reached, "ours_objective": own,
        "sweeps_to_its_objective": enough,
        "to_its_objective": enough and a * sweeps / (b * enough),
        "cpu_to_its_objective": enough and cpu_a * sweeps / (cpu_b * enough),
        "ours_peak_gib": ours[-1]["peak_kib"] / 2**20,
    }
    print(json.dumps(row), flush=True)
    return theirs[-1], ours[-1], row


def ranking(train, test, users, items, k=20):
    """Mean precision and mean average precision at `k` over users with held-out items."""
    precisions, averages = [], []
    for begin in range(0, train.shape[0], 500):
        scores = users[begin:begin + 500] @ items.T
        for row, user in enumerate(range(begin, min(begin + 500, train.shape[0]))):
            held = test.indices[test.indptr[user]:test.indptr[user + 1]]
            if len(held) == 0:
                continue
            scores[row, train.indices[train.indptr[user]:train.indptr[user + 1]]] = -np.inf
            hits = np.isin(np.argsort(-scores[row], kind="stable")[:k], held)
            found = np.cumsum(hits) / np.arange(1, k + 1)
            precisions.append(hits.mean())
            averages.append(np.sum(found * hits) / min(k, len(held)))
    return np.mean(precisions), np.mean(averages), np.std(averages) / np.sqrt(len(averages))


def last_fm(program, table, directory, sweeps=15):
    rows = np.loadtxt(table, dtype=np.int64, skiprows=1, delimiter="\t")
    users, items = (np.unique(rows[:, column], return_inverse=True)[1] for column in (0, 1))
    shape = (users.max() + 1, items.max() + 1)
    held = np.random.default_rng(3).random(len(rows)) < 0.2
    pick = lambda mask: sp.csr_matrix((rows[mask, 2].astype(np.float32), (users[mask], items[mask])), shape)
    train, test = pick(~held), pick(held)
    good = True
    for factors in (50, 400):
        train.sort_indices()
        save(directory, train.indptr, train.indices, train.data, shape[1])
        for solvers in (("cholesky", "cholesky"), ("cg", "cholesky"), ("cg", "cg")):
            a, b, row = compare(program, directory, "last.fm", factors, sweeps, 1, solvers)
            scores = [ranking(train, test, run["users"], run["items"]) for run in (a, b)]
            for name, (precision, average, error) in zip(("implicit", "ours"), scores):
                print(f"  {name}: precision@20 {precision:.5f}, MAP@20 {average:.5f} +- {error:.5f}")
            if solvers[0] == "cholesky":
                apart = abs(row["ours_objective"] / row["implicit_objective"] - 1.0)
                same = apart <= 1e-3 and abs(scores[0][1] - scores[1][1]) <= scores[0][2]
                print(f"  objectives differ by {apart:.2e}: {'agree' if same else 'DO NOT AGREE'}", flush=True)
                good &= bool(same)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", type=Path, default=Path("target/release/examples/factorize_csr"))
    parser.add_argument("--lastfm", type=Path, help="HetRec 2011's user_artists.dat")
    parser.add_argument("--sizes", nargs="*", default=["1M", "10M"], choices=list(SIZES))
    parser.add_argument("--factors", nargs="*", type=int, default=[50, 400])
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--solver", default="cholesky", help="our solver; implicit uses its default, cg")
    parser.add_argument("--work", type=Path, help="store simulated matrices in this directory")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp())
    good = True
    if arguments.lastfm:
        good = last_fm(arguments.program, arguments.lastfm, work / "lastfm")
    for size in arguments.sizes:
        if not (work / size / "items.txt").exists():
            save(work / size, *simulate(*SIZES[size]), SIZES[size][1])
        for factors in arguments.factors:
            compare(arguments.program, work / size, size, factors, arguments.sweeps,
                    arguments.repeats, ("cg", arguments.solver))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
