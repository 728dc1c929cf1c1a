"""Compares an exported model in ONNX Runtime with tonotopy: prediction of a batch, and time to the first tag.

    cargo build --release
    python benches/compare/exported.py RUN AUDIO [--rounds N] [--tonotopy PROGRAM]

`RUN` is a trained run. Predictions are for excerpts of noise, with two threads, in alternation; the median of the rounds'
medians is printed. The time to the first tag is the time of a new process that loads the model, decodes the file,
resamples it and prints the best tag; the peer is the shortest Python that does the same (soundfile, soxr, onnxruntime).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

COLD = """
import json, sys, numpy, onnxruntime, soundfile, soxr
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
card = json.loads(session.get_modelmeta().custom_metadata_map["tonotopy"])
audio, rate = soundfile.read(sys.argv[2], dtype="float32", always_2d=True)
audio = soxr.resample(audio.mean(1), rate, card["sample_rate"])
found = session.run(["activations"], {"audio": audio[None]})[0][0]
print(card["tags"][found.argmax()], found.max())
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tonotopy", default="target/release/tonotopy")
    arguments = parser.parse_args()
    environment = {**os.environ, "RAYON_NUM_THREADS": "2"}
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: f"{folder}/model.{kind}" for kind in ("onnx", "safetensors")}
        for kind, file in files.items():
            command = [arguments.tonotopy, "-q", "--device", "cpu", "export", arguments.run]
            subprocess.run([*command, "--format", kind, "--out", file], check=True, stdout=subprocess.DEVNULL)
        for batch in (1, 64):
            predictions(arguments, environment, files["onnx"], batch)
        cold(arguments, files)


def predictions(arguments, environment, file, batch):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["tonotopy"])
    x = numpy.random.default_rng(1).random((batch, card["excerpt_samples"]), numpy.float32) - 0.5
    steps = 200 if batch == 1 else 20

    def theirs():
        times = []
        for _ in range(steps):
            began = time.perf_counter()
            session.run(None, {"audio": x})
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)

    def ours():
        command = [arguments.tonotopy, "-q", "--device", "cpu", "bench", arguments.run / "experiment.toml", "--json"]
        settings = ["--inference", "--batch-size", str(batch), "--steps", str(steps), "--outputs", str(len(card["tags"]))]
        out = subprocess.run([*command, *settings], check=True, capture_output=True, text=True, env=environment)
        return json.loads(out.stdout)["step_ms"]["median"]

    theirs()
    found = [(ours(), theirs()) for _ in range(arguments.rounds)]
    mine, peer = (statistics.median(column) for column in zip(*found))
    name = tomllib.loads((arguments.run / "experiment.toml").read_text())["name"]
    print(f"{name}, batch {batch}: ours {mine:.3f} ms, onnxruntime on our file {peer:.3f} ms, ratio {peer / mine:.2f}")


def cold(arguments, files):
    def timed(command):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began

    program = [arguments.tonotopy, "-q"]
    commands = {
        "ours, cpu": [*program, "--device", "cpu", "predict", files["safetensors"], arguments.audio],
        "ours, auto": [*program, "predict", files["safetensors"], arguments.audio],
        "onnxruntime": [sys.executable, "-c", COLD, files["onnx"], arguments.audio],
    }
    found = {name: [] for name in commands}
    for _ in range(arguments.rounds + 1):
        for name, command in commands.items():
            found[name].append(timed(command))
    # The first round warms the page cache.
    medians = {name: statistics.median(times[1:]) for name, times in found.items()}
    print("time to first tag: " + ", ".join(f"{name} {1000 * time:.0f} ms" for name, time in medians.items()))


main()
