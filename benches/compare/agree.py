"""Checks that the mean scores of tonotopy and of the reference over several seeds agree.

    python agree.py runs/rendered-random-* runs/nsynth-pitch-* --reference reference/*

Groups runs by experiment, refuses to compare runs with different settings, tracks or tags, and prints mean and
standard deviation over seeds, the difference of the means, and its standard error. Exits with 1 unless every difference is within the tolerance and every group has enough seeds.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path

from run_folder import read_experiment

# Settings that can differ between comparable runs.
FREE = {"about", "name", "seed", "paper"}
FREE_TRAINING = {"keep_checkpoints", "loader_threads", "log_every"}


def likeness(folder):
    """The settings that must be equal in compared runs."""
    experiment = read_experiment(folder)
    training = {k: v for k, v in experiment["training"].items() if k not in FREE_TRAINING}
    rest = {k: v for k, v in experiment.items() if k not in FREE}
    files = [(folder / name).read_bytes() for name in ("manifest.csv", "tags.txt")]
    return rest | {"training": training}, files


def gather(folders, metric, first):
    """{experiment: {seed: score}}; `first` stores one run per experiment, to compare settings."""
    groups = defaultdict(dict)
    for folder in folders:
        if not (folder / "scores.json").is_file():
            raise SystemExit(f"{folder} has no scores.json; evaluate it first")
        experiment = read_experiment(folder)
        name, seed = experiment["name"], experiment["seed"]
        if seed in groups[name]:
            raise SystemExit(f"{folder}: {name} with seed {seed} was given twice")
        value = json.loads((folder / "scores.json").read_text(encoding="utf-8"))[metric]
        groups[name][seed] = math.nan if value is None else value
        known = first.setdefault(name, folder)
        if likeness(known) != likeness(folder):
            raise SystemExit(f"{folder} and {known} differ in settings, tracks or tags")
    return groups


def mean_and_deviation(values):
    """Mean and sample standard deviation; NaN stays NaN."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="evaluated runs of tonotopy")
    parser.add_argument("--reference", type=Path, nargs="+", required=True, help="output directories of train_reference.py")
    parser.add_argument("--metric", default="roc_auc_macro")
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--seeds", type=int, default=3, help="minimum number of seeds on each side (default 3)")
    arguments = parser.parse_args()

    first = {}
    ours = gather(arguments.runs, arguments.metric, first)
    theirs = gather(arguments.reference, arguments.metric, first)
    if ours.keys() != theirs.keys():
        raise SystemExit(f"only on one side: {', '.join(sorted(ours.keys() ^ theirs.keys()))}")

    print(f"| {arguments.metric} | tonotopy | PyTorch | difference | standard error | within {arguments.tolerance} |")
    print("|---|---|---|---|---|---|")
    fine = True
    for name in sorted(ours):
        sides = [mean_and_deviation(list(side[name].values())) for side in (ours, theirs)]
        counts = [len(side[name]) for side in (ours, theirs)]
        difference = sides[0][0] - sides[1][0]
        error = math.sqrt(sum(sd**2 / n for (_, sd), n in zip(sides, counts)))
        # Also false for NaN.
        within = abs(difference) <= arguments.tolerance
        enough = min(counts) >= arguments.seeds
        fine = fine and within and enough
        cells = [f"{mean:.4f} ± {sd:.4f} ({n} seeds)" for (mean, sd), n in zip(sides, counts)]
        verdict = ("yes" if within else "NO") + ("" if enough else ", but TOO FEW SEEDS")
        print(f"| {name} | {cells[0]} | {cells[1]} | {difference:+.4f} | {error:.4f} | {verdict} |")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
