"""Repeats the training of a tonotopy run in PyTorch, with the same network, tracks, excerpts and settings.

    python train_reference.py runs/rendered-random-mel-s1 --seed 2 --out reference/rendered-random-mel-s2

The run folder needs no more than what `tonotopy train` writes before its first step. The other seeds of
an experiment differ in nothing but the seed, so one run serves them all. What comes out has the names and
formats of a run folder: experiment.toml, manifest.csv, tags.txt, metrics.jsonl, predictions.csv, scores.json.
"""

import argparse
import copy
import json
import math
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from excerpts import ExcerptSampler, consecutive
from network import Tagger
from run_folder import read_experiment, read_splits, read_tags, scores, settings
from run_folder import write_predictions, write_scores

ROWS = 32  # excerpts per batch in evaluation


def read_training(table):
    """[training] of a resolved experiment; keys that only affect speed or logging are ignored."""
    training = settings(
        table,
        excerpt_seconds=None, batch_size=None, loss=None, optimizer=None, schedule=None, warmup_steps=None,
        clip_norm=None, steps=None, valid_every=None, metric=None, patience=None, log_every=None,
        keep_checkpoints=None, min_track_seconds=None, loader_threads=None, audio_in_memory_mb=None,
        precision="single",
    )
    if training.precision != "single":
        raise SystemExit(f"the reference has no precision {training.precision!r}, only 'single'")
    if training.loss != "binary_cross_entropy":
        raise SystemExit(f"the reference has no loss {training.loss!r}, only 'binary_cross_entropy'")
    return training


def make_optimizer(table, parameters):
    kind, rate = table["name"], table["learning_rate"]
    if kind == "sgd":
        c = settings(table, name="", learning_rate=0, momentum=0.9, nesterov=True, weight_decay=0.0)
        options = {"momentum": c.momentum, "nesterov": c.nesterov, "weight_decay": c.weight_decay}
        return torch.optim.SGD(parameters, rate, **options)
    c = settings(
        table, name="", learning_rate=0, beta_1=0.9, beta_2=0.999, epsilon=1e-8,
        weight_decay=0.0 if kind == "adam" else 0.01,
    )
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    return make(parameters, rate, (c.beta_1, c.beta_2), c.epsilon, c.weight_decay)


def rate_factor(schedule, step, steps, warmup_steps):
    """The factor of the learning rate at `step` (from 0) of `steps`."""
    half_cosine = lambda a, b, at: b + (a - b) * 0.5 * (1 + math.cos(math.pi * min(max(at, 0), 1)))
    warmup = (step + 1) / warmup_steps if step < warmup_steps else 1.0
    share = max(step - warmup_steps, 0) / max(steps - warmup_steps - 1, 1)
    match schedule["name"]:
        case "constant":
            return warmup
        case "steps":
            return warmup * schedule["factor"] ** sum(step >= at for at in schedule["at"])
        case "cosine":
            return warmup * half_cosine(1.0, schedule["last"], share)
        case "one-cycle":
            rise, first, last = schedule["rise"], schedule["first"], schedule["last"]
            if share < rise:
                return warmup * half_cosine(first, 1.0, share / rise)
            return warmup * half_cosine(1.0, last, (share - rise) / (1 - rise))
    raise SystemExit(f"the reference has no schedule {schedule['name']!r}")


def fetch(split, pairs, samples):
    """Waveforms [excerpt, sample] and targets [excerpt, tag]."""
    waveforms = np.stack([split.audio[track].excerpt(start, samples) for track, start in pairs])
    return torch.from_numpy(waveforms), torch.from_numpy(split.targets[[track for track, _ in pairs]])


@torch.no_grad()
def predict(model, split, samples):
    """Mean probabilities [track, tag] over consecutive excerpts, and the mean loss over tracks."""
    model.eval()
    pairs = consecutive([len(audio) for audio in split.audio], samples)
    sums, losses = np.zeros(split.targets.shape), np.zeros(len(split.ids))
    for first in range(0, len(pairs), ROWS):
        some = pairs[first : first + ROWS]
        waveforms, targets = fetch(split, some, samples)
        logits = model(waveforms)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
        tracks = [track for track, _ in some]
        np.add.at(sums, tracks, torch.sigmoid(logits).double().numpy())
        np.add.at(losses, tracks, loss.double().numpy())
    counts = np.bincount([track for track, _ in pairs])
    model.train()
    predictions = (sums / counts[:, None]).astype(np.float32)
    if not np.isfinite(predictions).all():
        raise SystemExit("a prediction is not finite")
    return predictions, float((losses / counts).mean())


def update(model, optimizer, training, step, waveforms, targets):
    """Performs one step (counted from 0); returns the loss before it."""
    loss = F.binary_cross_entropy_with_logits(model(waveforms), targets)
    optimizer.zero_grad()
    loss.backward()
    if training.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
    factor = rate_factor(training.schedule, step, training.steps, training.warmup_steps)
    optimizer.param_groups[0]["lr"] = training.optimizer["learning_rate"] * factor
    optimizer.step()
    return loss.item()


class Log:
    """Writes metrics.jsonl of a run."""

    def __init__(self, path):
        self.file = path.open("w", encoding="utf-8")

    def __call__(self, **line):
        print(json.dumps(line), file=self.file, flush=True)


def train(model, splits, training, seed, samples, tags, log):
    """Trains the model and restores its best validation; returns the step of that validation."""
    train_split, valid = splits["train"], splits["valid"]
    lengths = [len(audio) for audio in train_split.audio]
    sampler = ExcerptSampler(seed, training.batch_size, samples, lengths)
    optimizer = make_optimizer(training.optimizer, model.parameters())
    larger_is_better = training.metric != "loss"
    best, best_step, best_weights, since_best = None, 0, None, 0
    losses, started, paused = [], time.monotonic(), 0.0
    model.train()
    for step in range(training.steps):
        loss = update(model, optimizer, training, step, *fetch(train_split, sampler.batch(step), samples))
        if not math.isfinite(loss):
            raise SystemExit(f"the loss of step {step + 1} is not finite")
        losses.append(loss)

        done, last = step + 1, step + 1 == training.steps
        seconds = time.monotonic() - started - paused
        if last or done % training.log_every == 0:
            log(event="train", step=done, loss=float(np.mean(losses)),
                learning_rate=optimizer.param_groups[0]["lr"],
                excerpts_per_second=done * training.batch_size / seconds, waiting=0.0)
            losses = []
        if last or done % training.valid_every == 0:
            pause = time.monotonic()
            predictions, valid_loss = predict(model, valid, samples)
            values = scores(predictions, valid.targets, tags)
            metrics = {"loss": valid_loss} | {k: values[k] for k in ("pr_auc_macro", "roc_auc_macro")}
            value = metrics[training.metric]
            if value is None:
                raise SystemExit(f"{training.metric} is undefined on the valid split")
            if best is None or (value > best if larger_is_better else value < best):
                best, best_step, since_best = value, done, 0
                best_weights = copy.deepcopy(model.state_dict())
            else:
                since_best += 1
            log(event="valid", step=done, metrics=metrics, best=best_step == done)
            print(f"step {done}: {training.metric} {value:.4f} (best {best:.4f} at {best_step}), "
                  f"{1000 * seconds / done:.1f} ms a step", file=sys.stderr)
            paused += time.monotonic() - pause
            if not last and training.patience is not None and since_best >= training.patience:
                break
    log(event="end", step=done, reason="steps" if last else "patience", seconds=seconds)
    model.load_state_dict(best_weights)
    return best_step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run of tonotopy")
    parser.add_argument("--seed", type=int, help="random seed (default: the run's)")
    parser.add_argument("--out", type=Path, required=True, help="directory to create")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch (default 2)")
    arguments = parser.parse_args()
    run, out = arguments.run, arguments.out

    torch.set_num_threads(arguments.threads)
    experiment, tags = read_experiment(run), read_tags(run)
    seed = experiment["seed"] if arguments.seed is None else arguments.seed
    training = read_training(experiment["training"])
    rate = experiment["model"]["front_end"]["sample_rate"]
    samples = round(training.excerpt_seconds * rate)
    splits = read_splits(run, rate)
    torch.manual_seed(seed)
    model = Tagger(experiment["model"], len(tags), samples)

    out.mkdir(parents=True)
    for name in ("manifest.csv", "tags.txt"):
        shutil.copyfile(run / name, out / name)
    text = (run / "experiment.toml").read_text(encoding="utf-8")
    # TOML tables follow the top-level keys, so the first line that sets a seed is the seed of the run.
    text = re.sub(r"(?m)^seed = \d+$", f"seed = {seed}", text, count=1)
    (out / "experiment.toml").write_text(text, encoding="utf-8")
    environment = {
        "torch": torch.__version__,
        "threads": arguments.threads,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    (out / "environment.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")

    best = train(model, splits, training, seed, samples, tags, Log(out / "metrics.jsonl"))
    predictions, _ = predict(model, splits["test"], samples)
    values = scores(predictions, splits["test"].targets, tags)
    write_predictions(out / "predictions.csv", splits["test"].ids, tags, predictions)
    dataset = experiment["dataset"].get("root", experiment["dataset"]["name"])
    write_scores(out / "scores.json", dataset, "test", values)
    print(f"{out}: best at step {best}, test roc_auc_macro {values['roc_auc_macro']:.4f}, "
          f"pr_auc_macro {values['pr_auc_macro']:.4f}")


if __name__ == "__main__":
    main()
