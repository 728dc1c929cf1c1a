"""Kills training runs and a factorization at random moments, resumes them, and compares the results byte for byte.

    cargo build --release
    python3 benches/faults/kill.py [--kills N] [--device D] [--seed N] [--kinds KIND ...] [--program PATH]

Every kind of work runs once undisturbed. Then it is started again and killed repeatedly with `kill -9`: half of the kills
at any moment, half within two milliseconds after a write starts (a name with `.writing-` exists). After each kill it
continues with `--resume`, or from the start if nothing was saved yet. At the end, weights or factors must equal those of the
undisturbed run byte for byte (on other devices than `cpu`, see --bound), the log must contain every step once, and no partly
written file may remain. Exits with 1 if a check fails.
"""

import argparse
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEL = '{ name = "mel", n_mels = 32, n_fft = 512, hop_length = 256 }'

TAGGER = f"""
name = "x"
[dataset]
name = "synthetic"
tracks = 60
seconds = 3.0
[model]
name = "tagger"
dropout = 0.3
front_end = {MEL}
[training]
excerpt_seconds = 1.0
batch_size = 8
steps = 600
valid_every = 10
log_every = 5
optimizer = {{ name = "adam", learning_rate = 0.001 }}
"""

LATENT = TAGGER.replace("[model]", """[listening]
name = "synthetic_listeners"
users = 300
[factorization]
factors = 8
regularization = 5.0
[model]""").replace("steps = 600", 'steps = 500\nloss = "mean_squared_error"\nmetric = "auc"')

MULTISCALE = TAGGER.replace(f'name = "tagger"\ndropout = 0.3\nfront_end = {MEL}', """name = "multiscale"
front_end = { name = "pyramid", kind = "laplacian" }
frames = 4
means = 60
hidden = [50]""").replace("steps = 600", "steps = 2000")


class Kind:
    """Work that can be killed and resumed: its command and the files to compare."""

    def __init__(self, name, program, device, place):
        self.name, self.device, self.program, self.place = name, device, program, place
        place.mkdir(parents=True)
        texts = {"tagger": TAGGER, "latent": LATENT, "multiscale": MULTISCALE}
        if name in texts:
            (place / "x.toml").write_text(texts[name])
        else:
            draw = random.Random(5)
            rows = {(draw.randrange(3000), int(2000 * draw.random() ** 2)): draw.randrange(1, 30) for _ in range(500_000)}
            lines = [f"u{user},i{item},{count}" for (user, item), count in rows.items()]
            (place / "plays.csv").write_text("\n".join(["user,item,count", *lines, ""]))

    def command(self, where, resume):
        first = [self.program, "-q", "--device", self.device]
        if self.name == "factorize":
            return [*first, "factorize", "plays.csv", "--factors", "60", "--iterations", "40", "--out", where,
                    *(["--resume"] if resume and (self.place / f"{where}.partial").exists() else [])]
        return [*first, "train", "x.toml", "--runs", where, "--resume"]

    def start(self, where, resume):
        return subprocess.Popen(self.command(where, resume), cwd=self.place, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, env=os.environ | {"TONOTOPY_CACHE": str(self.place / "cache")})

    def folder(self, where):
        return self.place / where if self.name == "factorize" else self.place / where / "x-s1"

    def watched(self, where):
        if self.name == "factorize":
            return [self.place / f"{where}.partial"]
        return [self.folder(where), self.folder(where) / "checkpoints"]

    def results(self, where):
        folder = self.folder(where)
        if self.name == "factorize":
            return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npy"))}
        last = folder / "checkpoints" / (folder / "checkpoints/last").read_text().strip()
        best = folder / "checkpoints" / (folder / "checkpoints/best").read_text().strip()
        found = {f"{which.name} {number}": tensors((which / "model.bpk").read_bytes())
                 for number, which in enumerate((last, best))}
        return found | {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}

    def log(self, where):
        """The steps in the log, each of which must occur once."""
        if self.name == "factorize":
            lines = (self.folder(where) / "log.csv").read_text().splitlines()[1:]
            return [int(line.split(",")[0]) for line in lines]
        lines = map(json.loads, (self.folder(where) / "metrics.jsonl").read_text().splitlines())
        return [(line["event"], line["step"]) for line in lines if line["event"] in ("train", "valid")]


def tensors(burnpack):
    """All values of a burnpack file. The header is left out because it names parameters by random ids."""
    magic, _, length = struct.unpack_from("<4sHI", burnpack)
    assert magic == b"NRUB"
    return burnpack[-(-(struct.calcsize("<4sHI") + length) // 256) * 256:]


def writing(folders):
    for folder in folders:
        try:
            if any(entry.name.startswith(".writing-") for entry in os.scandir(folder)):
                return True
        except FileNotFoundError:
            pass
    return False


def left_over(folder):
    return [str(path) for path in folder.parent.rglob("*") if path.name.startswith(".writing-") or path.name == ".lock"]


def difference(one, other):
    """The largest difference between float32 files with headers of equal length."""
    if len(one) != len(other):
        return float("inf")
    size = len(one) // 4
    tail = lambda data: struct.unpack(f"<{size}f", data[len(data) - 4 * size:])
    return max((abs(a - b) for a, b in zip(tail(one), tail(other)) if abs(a) < 1e6 and abs(b) < 1e6), default=0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="kills per kind of work")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["tagger", "latent", "multiscale", "factorize"])
    parser.add_argument("--program", default=str(Path(__file__).resolve().parents[2] / "target/release/tonotopy"))
    parser.add_argument("--bound", type=float, default=0.0, help="largest allowed difference; 0: bit-identical")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    failures = []
    for name in arguments.kinds:
        with tempfile.TemporaryDirectory() as place:
            kind = Kind(name, arguments.program, arguments.device, Path(place) / name)
            begun = time.monotonic()
            assert kind.start("straight", False).wait() == 0, "the undisturbed run failed"
            seconds = time.monotonic() - begun
            straight, log = kind.results("straight"), kind.log("straight")
            kills, in_writing, rounds, early, largest, bad = 0, 0, 0, 0, 0.0, []
            while kills < arguments.kills:
                rounds += 1
                where = f"killed{rounds}"
                # A bounded number of kills, so that the work ends at some point.
                for _ in range(6):
                    process = kind.start(where, True)
                    while_writing = chance.random() < 0.5
                    time.sleep(chance.random() * seconds * 0.6)
                    if while_writing:
                        folders = kind.watched(where)
                        while process.poll() is None and not writing(folders):
                            pass
                        time.sleep(chance.random() * 0.002)
                    if process.poll() is not None:
                        process.communicate()
                        break
                    in_writing += writing(kind.watched(where))
                    early += not kind.watched(where)[0].exists()
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    kills += 1
                if not (name == "factorize" and kind.folder(where).exists()):
                    process = kind.start(where, True)
                    _, error = process.communicate()
                    if process.returncode != 0:
                        bad.append(f"round {rounds}: --resume ended with {process.returncode}: {error.decode().strip()}")
                        continue
                results = kind.results(where)
                if results != straight:
                    off = max((difference(results.get(key, b""), data) for key, data in straight.items()), default=0.0)
                    largest = max(largest, off)
                    if not off <= arguments.bound or results.keys() != straight.keys():
                        bad.append(f"round {rounds}: the results differ, by {off}")
                if kind.log(where) != log:
                    bad.append(f"round {rounds}: the log contains other steps")
                bad += [f"round {rounds}: {path} remains" for path in left_over(kind.folder(where))]
                shutil.rmtree(kind.folder(where).parent if name != "factorize" else kind.folder(where))
            print(f"{name}: {kills} kills ({in_writing} during a write, {early} before the first file) "
                  f"in {rounds} rounds of {seconds:.1f} s: {len(bad)} failures, largest difference {largest}", flush=True)
            failures += [f"{name}: {line}" for line in bad]
    print("\n".join(failures))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
