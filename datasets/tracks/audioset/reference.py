"""Counts AudioSet's features with an independent reader (Python's struct, csv and json).

Usage: reference.py FOLDER > reference.json

FOLDER contains bal_train.tfrecord, eval.tfrecord, class_labels_indices.csv and ontology.json.
"""

import csv
import json
import struct
import sys
from collections import Counter
from pathlib import Path


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def entries(data):
    for _, entry in fields(data):
        entry = dict(fields(entry))
        yield entry[1].decode(), entry[2]


def values(feature):
    (_, values), = fields(feature)
    return [value for _, value in fields(values)]


def clips(path):
    data = path.read_bytes()
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        example = dict(fields(data[at + 12 : at + 12 + size]))
        at += size + 16
        context, lists = dict(entries(example[1])), dict(entries(example[2]))
        (packed,) = values(context["labels"])
        labels, place = [], 0
        while place < len(packed):
            label, place = varint(packed, place)
            labels.append(label)
        frames = [values(feature)[0] for _, feature in fields(lists["audio_embedding"])]
        yield values(context["video_id"])[0].decode(), labels, frames


def main(folder):
    names = list(csv.DictReader((folder / "class_labels_indices.csv").open()))
    ontology = {entry["id"]: entry for entry in json.loads((folder / "ontology.json").read_text())}
    music, waiting = set(), ["/m/04rlf"]
    while waiting:
        mid = waiting.pop()
        music.add(mid)
        waiting += ontology[mid]["child_ids"]
    music = [int(row["index"]) for row in names if row["mid"] in music]
    report = {"labels": len(names), "music": music}
    for split in ("bal_train", "eval"):
        ids, labels, frames = zip(*clips(folder / f"{split}.tfrecord"))
        per_label = Counter(label for own in labels for label in own)
        report[split] = {
            "clips": len(ids),
            "first": ids[0],
            "last": ids[-1],
            "per_music_label": [per_label[label] for label in music],
            "positives": sum(per_label.values()),
            "without_music": sum(not set(own) & set(music) for own in labels),
            "frames": sum(map(len, frames)),
            "bytes": sum(sum(frame) for own in frames for frame in own),
            "first_frame": list(frames[0][0]),
        }
    print(json.dumps(report))


main(Path(sys.argv[1]))
