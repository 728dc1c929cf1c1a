"""Compares scores.json of runs with scikit-learn, for the same predictions and targets.

    python metrics_sklearn.py runs/*

Prints the largest difference in each file and the time of scikit-learn; exits with 1
if one differs by more than 1e-6 or is missing on one side only.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

from run_folder import read_predictions, read_rows, scores

LIMIT = 1e-6


def targets_of(folder, ids, tags):
    """Targets [track, tag] from the manifest, in the order of the predictions."""
    named = {row["id"]: set(row["tags"].split("|")) for row in read_rows(folder, "manifest.csv")}
    return np.array([[tag in named[id] for tag in tags] for id in ids], np.float32)


def difference(a, b):
    """NaN if only one of them is missing."""
    if a is None and b is None:
        return 0.0
    return math.nan if a is None or b is None else abs(a - b)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    suffix = "" if arguments.split == "test" else f"-{arguments.split}"
    fine = True
    for run in arguments.runs:
        ids, tags, predictions = read_predictions(run / f"predictions{suffix}.csv")
        truth = targets_of(run, ids, tags)
        started = time.perf_counter()
        theirs = scores(predictions, truth, tags)
        milliseconds = 1000 * (time.perf_counter() - started)
        ours = json.loads((run / f"scores{suffix}.json").read_text(encoding="utf-8"))
        differences = [difference(ours[key], theirs[key]) for key in theirs if key != "per_tag"]
        if list(ours["per_tag"]) != tags:
            differences.append(math.nan)
        for tag in tags:
            pairs = ((ours["per_tag"].get(tag, {}).get(key), value) for key, value in theirs["per_tag"][tag].items())
            differences.extend(difference(a, b) for a, b in pairs)
        # The maximum of NumPy propagates NaN, which is never within the limit.
        largest = float(np.max(differences))
        within = largest <= LIMIT
        fine = fine and within
        print(f"{'ok' if within else 'FAIL':4} {run}: {len(ids)} tracks, {len(tags)} tags, largest difference "
              f"{largest:.1e}, scikit-learn takes {milliseconds:.1f} ms")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
