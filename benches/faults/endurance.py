"""Measures time and memory of long and large work.

    cargo build --release
    python3 benches/faults/endurance.py [scan long steps listeners] [--program PATH]

scan: 100 000 short files; long: one file of ten hours; steps: 50 000 training steps; listeners: factorization, training on
audio and evaluation with a million plays of 100 000 listeners. Prints the time, the peak of resident memory, and its growth
from the second to the last fifth of the time. Needs Linux and only the standard library of Python.
"""

import argparse
import array
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path


def watch(command, place):
    """Runs the command. Returns seconds, peak resident memory in MiB, and its growth in MiB."""
    started = time.monotonic()
    with open(place / "stderr", "wb") as errors:
        process = subprocess.Popen([str(part) for part in command], cwd=place, stderr=errors, stdout=subprocess.DEVNULL,
                                   env=os.environ | {"TONOTOPY_CACHE": str(place / "cache")})
        resident, peak = [], 0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            numbers = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Vm")}
            if "VmRSS" in numbers:
                resident.append(numbers["VmRSS"] / 1024)
                peak = max(peak, numbers["VmHWM"] / 1024)
            time.sleep(0.05)
        code = process.wait()
    if code != 0:
        sys.exit(f"{command} ended with {code}: {(place / 'stderr').read_text()[-500:]}")
    fifth = max(1, len(resident) // 5)
    # The first fifth includes the start of the program.
    first, last = statistics.median(resident[fifth : 2 * fifth] or resident), statistics.median(resident[-fifth:])
    return time.monotonic() - started, peak, last - first


@functools.cache
def second_of(rate, hertz):
    return array.array("h", (int(9000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(rate)))


def write_wav(path, seconds, rate, hertz):
    second = second_of(rate, hertz)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        whole = int(seconds)
        for _ in range(whole):
            file.writeframes(second.tobytes())
        file.writeframes(second[: round((seconds - whole) * rate)].tobytes())


def scan(program, place):
    for number in range(100_000):
        folder = place / "music" / f"{number // 1000:03}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        write_wav(folder / f"{number}.wav", 0.25, 8000, 200 + number % 1000)
    return watch([program, "-q", "scan", "music"], place)


def long(program, place):
    (place / "music").mkdir()
    write_wav(place / "music/ten-hours.wav", 36_000, 16_000, 330)
    (place / "music/manifest.csv").write_text("id,path,split,tags\n1,ten-hours.wav,train,long\n")
    return watch([program, "-q", "scan", "music"], place)


EXPERIMENT = """
name = "x"
[dataset]
name = "synthetic"
tracks = {tracks}
seconds = 3.0
{listening}
[model]
name = "tagger"
front_end = {{ name = "mel", n_mels = 32, n_fft = 512, hop_length = 256 }}
[training]
excerpt_seconds = 1.0
batch_size = 8
steps = {steps}
valid_every = {valid}
log_every = 500
{loss}
"""


def steps(program, place):
    (place / "x.toml").write_text(EXPERIMENT.format(tracks=60, listening="", steps=50_000, valid=2500, loss=""))
    found = watch([program, "-q", "--device", "cpu", "train", "x.toml"], place)
    lines = map(json.loads, (place / "runs/x-s1/metrics.jsonl").read_text().splitlines())
    speed = [line["excerpts_per_second"] for line in lines if line["event"] == "train"]
    tenth = len(speed) // 10
    print(f"steps: excerpts per second, first tenth {statistics.median(speed[:tenth]):.0f}, "
          f"last {statistics.median(speed[-tenth:]):.0f}")
    return found


def listeners(program, place):
    listening = '[listening]\nname = "synthetic_listeners"\nusers = 100_000\n[factorization]\nfactors = 20\nregularization = 10.0\n'
    loss = 'loss = "mean_squared_error"\nmetric = "auc"\noptimizer = { name = "adam", learning_rate = 0.001 }'
    (place / "x.toml").write_text(EXPERIMENT.format(tracks=600, listening=listening, steps=300, valid=300, loss=loss))
    found = watch([program, "-q", "--device", "cpu", "train", "x.toml"], place)
    print(f"listeners: training {found[0]:.0f} s, {found[1]:.0f} MiB")
    found = watch([program, "-q", "--device", "cpu", "evaluate", "runs/x-s1"], place)
    scores = json.loads((place / "runs/x-s1/scores.json").read_text())
    print(f"listeners: {json.dumps({key: value for key, value in scores.items() if isinstance(value, (int, float))})}")
    return found


def main():
    works = {"scan": scan, "long": long, "steps": steps, "listeners": listeners}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", choices=[[], *works], default=[])
    parser.add_argument("--program", default=str(Path(__file__).resolve().parents[2] / "target/release/tonotopy"))
    arguments = parser.parse_args()
    for name in arguments.works or works:
        with tempfile.TemporaryDirectory() as place:
            seconds, peak, growth = works[name](arguments.program, Path(place))
            print(f"{name}: {seconds:.1f} s, at most {peak:.0f} MiB, {growth:+.1f} MiB from the second to the last fifth", flush=True)


if __name__ == "__main__":
    main()
