"""Reads and writes run directories of tonotopy: training data and results."""

import csv
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

# The format of cached audio, see src/audio/cache.rs.
MAGIC, VERSION, HEADER = b"TONOTOPY", 1, 128


def settings(table, **defaults):
    """The values of a table and their defaults; unknown keys end the program."""
    unknown = table.keys() - defaults.keys()
    if unknown:
        raise SystemExit(f"the reference does not know {', '.join(sorted(unknown))} in {table}")
    return SimpleNamespace(**defaults | table)


class Audio:
    """The cached samples of one track."""

    def __init__(self, path, sample_rate):
        path = Path(path)
        if not path.is_file():
            raise SystemExit(f"{path} is missing in the audio cache; create it again with `tonotopy scan`")
        with path.open("rb") as file:
            head = file.read(HEADER)
        version, rate = np.frombuffer(head, "<u4", 2, 8).tolist()
        if head[:8] != MAGIC or version != VERSION or rate != sample_rate:
            raise SystemExit(f"{path} is not cached audio of version {VERSION} at {sample_rate} Hz")
        self.length = int(np.frombuffer(head, "<u8", 1, 16)[0])
        self.scale = np.frombuffer(head, "<f4", 1, 24)[0]
        self.samples = np.memmap(path, "<i2", "r", HEADER, (self.length,))

    def __len__(self):
        return self.length

    def excerpt(self, start, samples):
        """Mono float32 samples in [-1, 1], padded with silence after the end of the track."""
        result = np.zeros(samples, np.float32)
        piece = self.samples[start : start + samples]
        result[: len(piece)] = piece * self.scale
        return result


class Split:
    """The tracks of one split: ids, audio, targets [track, tag]."""

    def __init__(self, rows, files, tags, sample_rate):
        column = {tag: i for i, tag in enumerate(tags)}
        self.ids = [row["id"] for row in rows]
        self.audio = [Audio(files[row["id"]], sample_rate) for row in rows]
        self.targets = np.zeros((len(rows), len(tags)), np.float32)
        for i, row in enumerate(rows):
            for tag in filter(None, row["tags"].split("|")):
                self.targets[i, column[tag]] = 1.0


def read_experiment(folder):
    """The resolved experiment of a run."""
    return tomllib.loads((Path(folder) / "experiment.toml").read_text(encoding="utf-8"))


def read_tags(folder):
    return (Path(folder) / "tags.txt").read_text(encoding="utf-8").splitlines()


def read_rows(folder, name):
    with (Path(folder) / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_splits(folder, sample_rate):
    """The splits of a run, by name."""
    tags, rows = read_tags(folder), read_rows(folder, "manifest.csv")
    files = {row["id"]: row["cache_file"] for row in read_rows(folder, "audio.csv")}
    names = ("train", "valid", "test")
    return {
        name: Split([row for row in rows if row["split"] == name], files, tags, sample_rate)
        for name in names
    }


def scores(predictions, targets, tags):
    """The scores of predictions [track, tag], computed by scikit-learn, in the format of scores.json."""
    per_tag, scored = {}, []
    for i, tag in enumerate(tags):
        truth, positives = targets[:, i], int(targets[:, i].sum())
        areas = (None, None)
        if 0 < positives < len(truth):
            areas = (
                float(roc_auc_score(truth, predictions[:, i])),
                float(average_precision_score(truth, predictions[:, i])),
            )
            scored.append(areas)
        per_tag[tag] = {"roc_auc": areas[0], "pr_auc": areas[1], "positives": positives}
    means = [float(np.mean(values)) for values in zip(*scored)] if scored else [None, None]
    return {
        "n_tracks": len(targets),
        "n_tags_scored": len(scored),
        "roc_auc_macro": means[0],
        "pr_auc_macro": means[1],
        "per_tag": per_tag,
    }


def write_scores(path, dataset, split, values):
    text = json.dumps({"dataset": dataset, "split": split} | values, indent=2, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def write_predictions(path, ids, tags, values):
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *tags])
        # The shortest digits that round-trip as float32.
        digits = lambda x: np.format_float_positional(x, unique=True, trim="0")
        writer.writerows([id, *map(digits, row)] for id, row in zip(ids, values.astype(np.float32)))


def read_predictions(path):
    """(ids, tags, values [track, tag])"""
    with Path(path).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    values = np.array([[float(x) for x in row[1:]] for row in rows], np.float32)
    return [row[0] for row in rows], header[1:], values
