"""Compares the reference with a run of tonotopy from the same initial weights, step by step.

Scores of complete trainings vary between seeds; these comparisons are deterministic:

- the loss of every step, which agrees only if excerpts, network, loss, gradients and optimizer agree;
- the predictions of the test split by the run's best checkpoint, loaded into the reference;
- the scores of those predictions by scikit-learn.

The run must log every step. Its initial weights come from a run of one step with a learning rate that is too small to change them:

    tonotopy train E.toml --runs first --set training.steps=1 --set training.optimizer.learning_rate=1e-30
    tonotopy train E.toml --runs steps --set training.steps=50 --set training.log_every=1
    tonotopy evaluate steps/NAME-s1
    python lockstep.py steps/NAME-s1 --first first/NAME-s1

Exits with 1 if a difference exceeds its limit.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from checkpoint import load_checkpoint
from excerpts import ExcerptSampler
from network import Tagger
from run_folder import read_experiment, read_predictions, read_splits, read_tags, scores
from train_reference import fetch, make_optimizer, predict, read_training, update


def close(what, difference, limit):
    """Prints whether a difference is within its limit; NaN is not."""
    fine = bool(difference <= limit)
    print(f"{'ok' if fine else 'FAIL':4} {what}: {difference:.2e} (limit {limit:.0e})")
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--first", type=Path, required=True, help="run whose checkpoint has the initial weights")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    run = arguments.run

    torch.set_num_threads(arguments.threads)
    experiment, tags = read_experiment(run), read_tags(run)
    training = read_training(experiment["training"])
    rate = experiment["model"]["front_end"]["sample_rate"]
    samples = round(training.excerpt_seconds * rate)
    splits = read_splits(run, rate)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    theirs = {line["step"]: line["loss"] for line in lines if line["event"] == "train"}
    if sorted(theirs) != list(range(1, len(theirs) + 1)) or not theirs:
        raise SystemExit(f"{run} did not log every step: train it with --set training.log_every=1")

    model = Tagger(experiment["model"], len(tags), samples)
    load_checkpoint(model, arguments.first)
    # Biases start at 0, and the tiny step left a residue. Remove it: on digital silence its sign decides whether a
    # rectifier is active.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[parameter.abs() < 1e-20] = 0.0
    lengths = [len(audio) for audio in splits["train"].audio]
    sampler = ExcerptSampler(experiment["seed"], training.batch_size, samples, lengths)
    optimizer = make_optimizer(training.optimizer, model.parameters())
    ours = []
    for step in range(len(theirs)):
        batch = fetch(splits["train"], sampler.batch(step), samples)
        ours.append(update(model, optimizer, training, step, *batch))

    ours, theirs = np.array(ours), np.array([theirs[step + 1] for step in range(len(ours))])
    relative = np.abs(ours - theirs) / theirs
    # Differences by rounding grow with every step; differences by design are visible at once.
    fine = close("loss of the first step, relative", relative[0], 1e-5)
    fine &= close("losses of the first ten steps, relative", relative[:10].max(), 1e-4)
    fine &= close(f"losses of all {len(ours)} steps, relative", relative.max(), 1e-2)

    load_checkpoint(model, run)
    ids, columns, written = read_predictions(run / "predictions.csv")
    if ids != splits["test"].ids or columns != tags:
        raise SystemExit(f"{run}/predictions.csv has other tracks or tags than the test split")
    predictions, _ = predict(model, splits["test"], samples)
    fine &= close("predictions of the test split", np.abs(predictions - written).max(), 1e-4)
    saved = json.loads((run / "scores.json").read_text())
    again = scores(written, splits["test"].targets, tags)
    for name in ("roc_auc_macro", "pr_auc_macro"):
        difference = abs(saved[name] - again[name])
        fine &= close(f"{name} of predictions.csv against scikit-learn", difference, 1e-9)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
