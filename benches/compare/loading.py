"""Measures the cost of loading: training from the audio cache compared with `bench`, whose batches are in memory.

    cargo build --release
    python benches/compare/loading.py EXPERIMENT ... --data-dir DIR [--rounds N] [--steps N] [--set KEY=VALUE] [--tonotopy PROGRAM]

Both train the same network in alternation, with two threads and batches of 32. The results are excerpts per second: the
median over the lines of the training log, without the first tenth of the steps (in which tracks are read for the first
time), and the median over the steps of `bench`. A line is a mean over `--log-every` steps. With many steps, it includes
disturbances by other processes, which the median over single steps excludes; with one step, it excludes the preparation of
batches during other steps. `bench` waits for the end of every step; training does not.

On a CPU, the cost of a gradient depends on how many windows are active, which depends on what the network has learned:
more for music than for noise. `--set training.optimizer.learning_rate=1e-12` keeps the initial weights, so that only
loading, logging and the CPU caches differ.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

THREADS = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiments", type=Path, nargs="+")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--log-every", type=int, default=10, help="steps per line of the training log")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting for both, as for `train`")
    parser.add_argument("--tonotopy", default="target/release/tonotopy")
    arguments = parser.parse_args()
    environment = os.environ | {"RAYON_NUM_THREADS": str(THREADS)}

    def run(*words):
        command = [arguments.tonotopy, "-q", "--device", "cpu", *map(str, words)]
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout

    def bench(experiment):
        words = ["--batch-size", arguments.batch_size, "--outputs", 25, "--steps", arguments.steps // 4, "--json"]
        words += [word for setting in arguments.set for word in ("--set", setting)]
        return json.loads(run("bench", experiment, *words))["excerpts_per_second"]

    def train(experiment):
        with tempfile.TemporaryDirectory() as place:
            steps = arguments.steps
            settings = [f"batch_size={arguments.batch_size}", f"steps={steps}", f"valid_every={steps}"]
            settings += [f"log_every={arguments.log_every}"]
            settings = arguments.set + [f"training.{setting}" for setting in settings]
            words = [word for setting in settings for word in ("--set", setting)]
            run("--data-dir", arguments.data_dir, "train", experiment, "--runs", place, *words)
            (log,) = Path(place).glob("*/metrics.jsonl")
            lines = [json.loads(line) for line in log.read_text().splitlines()]
        lines = [line for line in lines if "excerpts_per_second" in line and line["step"] > arguments.steps // 10]
        waiting = statistics.median(line["waiting"] for line in lines)
        return statistics.median(line["excerpts_per_second"] for line in lines), waiting

    print("| experiment | bench, excerpts/s | training, excerpts/s | training / bench | share of a step spent waiting |")
    print("|---|---|---|---|---|")
    for experiment in arguments.experiments:
        train(experiment)  # fills the cache
        rounds = [(bench(experiment), *train(experiment)) for _ in range(arguments.rounds)]
        benched, trained, waiting = (statistics.median(values) for values in zip(*rounds))
        share = statistics.median(trained / benched for benched, trained, _ in rounds)
        print(f"| {experiment} | {benched:.0f} | {trained:.0f} | {share:.3f} | {waiting:.3f} |", flush=True)


if __name__ == "__main__":
    main()
