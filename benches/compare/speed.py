"""Compares our speed with that of other programs on this machine: training steps and predictions.

    cargo build --release && cargo build --release --example speed_work --example kmeans_rows --example factorize_csr
    python benches/compare/speed.py [ROW ...] [--rounds N] [--audio DIR] [--tonotopy PROGRAM] [--small]

A row is measured in rounds; in each round, ours and every peer do the same work in alternation, on noise of the same
shapes. The median of the rounds' medians and the ratio peer / ours are printed. Peers use the same threads, batch size,
optimizer and dropout. If a row cannot be measured, the reason is printed. --small measures very little, to check that
everything runs; its figures are meaningless.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
NETWORKS = ["mel", "strided", "strided-pooled", "latentnet"]
THREADS = 2
# Mixed precision: ours rounds the operands of convolutions, PyTorch's autocast also those of dense layers.
ROUNDED = "-bfloat16"
OUTPUTS = 50


def networks():
    """The four networks in PyTorch, by name: module, samples per excerpt, loss."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from network import Mel, Stage, Tagger, he_uniform

    class Stft(Mel):
        """The same bands computed with torch.stft."""

        def forward(self, waveforms):
            c = self.config
            spectrum = torch.stft(
                waveforms, c.n_fft, c.hop_length, window=self.window, center=False, return_complex=True
            )
            power = spectrum.real**2 + spectrum.imag**2
            return torch.log1p(c.compression * (self.filters @ power))

    class LatentNet(nn.Module):
        """Four convolutions with global pooling over time."""

        def __init__(self, config, outputs):
            super().__init__()
            mel = {"name": "mel", "sample_rate": 22_050, "n_fft": 2048, "hop_length": 1024, "n_mels": 128}
            self.front_end = Stft(mel)
            stages, channels = [], 128
            for filters, pool in [(256, 4), (256, 2), (512, 2), (512, 1)]:
                stage = argparse.Namespace(filters=filters, length=4, pool=pool)
                stages.append(Stage(channels, stage, 0))
                channels = filters
            self.stages = nn.Sequential(*stages)
            self.first, self.second = nn.Linear(3 * channels, 2048), nn.Linear(2048, 2048)
            self.dropout, self.output = nn.Dropout(0.5), nn.Linear(2048, outputs)
            for layer in (self.first, self.second):
                layer.weight = he_uniform(layer.weight)

        def forward(self, waveforms):
            x = self.stages(self.front_end(waveforms))
            norm = (x.square().sum(2) + 1e-12).sqrt()
            x = torch.cat([x.mean(2), x.amax(2), norm], 1)
            x = F.relu(self.second(self.dropout(F.relu(self.first(x)))))
            return self.output(self.dropout(x))

    def make(name):
        experiment = tomllib.loads((HERE / "networks" / f"{name}.toml").read_text())
        config = experiment["model"]
        seconds = experiment["training"]["excerpt_seconds"]
        if name == "latentnet":
            return LatentNet(config, OUTPUTS), round(seconds * 22_050), F.mse_loss
        samples = round(seconds * 16_000)
        model = Tagger(config, OUTPUTS, samples)
        if name == "mel":
            model.front_end = Stft(config["front_end"])
        return model, samples, F.binary_cross_entropy_with_logits

    return make


class Torch:
    """Training steps of a network, eager or compiled."""

    def __init__(self, name, batch, inference, compiled, device="cpu", rounded=False):
        import torch

        torch.set_num_threads(THREADS)
        torch.manual_seed(1)
        self.torch, self.device, self.inference, self.rounded = torch, device, inference, rounded
        model, samples, self.loss = networks()(name)
        self.model = model.to(device).train(not inference)
        self.apply = self.model
        if compiled:
            # Earlier compilations count against a limit, beyond which torch silently falls back to eager mode.
            torch._dynamo.reset()
            torch._dynamo.config.fail_on_recompile_limit_hit = True
            self.apply = torch.compile(self.model)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.001, momentum=0.9, nesterov=True)
        self.x = torch.rand(batch, samples) - 0.5
        self.targets = (torch.rand(batch, OUTPUTS) < 0.1).float()

    def step(self):
        x, targets = self.x.to(self.device), self.targets.to(self.device)
        if self.inference:
            with self.torch.no_grad():
                self.apply(x).cpu()
            return
        self.optimizer.zero_grad()
        with self.torch.autocast(self.device, self.torch.bfloat16, enabled=self.rounded):
            outputs = self.apply(x)
        self.loss(outputs.float(), targets).backward()
        self.optimizer.step()

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def round(self, steps):
        times = []
        for _ in range(steps):
            began = time.perf_counter()
            self.step()
            self.wait()
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)


class OnnxRuntime:
    """Predictions of the exported network."""

    def __init__(self, name, batch):
        import io

        import onnxruntime
        import torch

        from torch import nn

        model, samples, _ = networks()(name)
        if name in ("mel", "latentnet"):
            # The exporter does not support complex numbers: use a windowed Fourier basis as a convolution.
            model.front_end = with_basis(model.front_end, nn)
        x = torch.rand(batch, samples) - 0.5
        file = io.BytesIO()
        torch.onnx.export(model.eval(), (x,), file, input_names=["x"], dynamo=False, opset_version=17)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(file.getvalue(), options, ["CPUExecutionProvider"])
        self.x = x.numpy()

    def round(self, steps):
        times = []
        for _ in range(steps):
            began = time.perf_counter()
            self.session.run(None, {"x": self.x})
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)


def with_basis(mel, nn):
    """The bands of `mel`, with the Fourier transform as a convolution."""
    import numpy as np
    import torch

    c = mel.config
    angle = 2 * np.pi * np.outer(np.arange(c.n_fft // 2 + 1), np.arange(c.n_fft)) / c.n_fft
    basis = np.concatenate([np.cos(angle), -np.sin(angle)]) * mel.window.numpy()

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("basis", torch.from_numpy(basis.astype(np.float32)).unsqueeze(1))
            self.register_buffer("filters", mel.filters)

        def forward(self, waveforms):
            parts = nn.functional.conv1d(waveforms.unsqueeze(1), self.basis, stride=c.hop_length)
            real, imaginary = parts.chunk(2, 1)
            return torch.log1p(c.compression * (self.filters @ (real**2 + imaginary**2)))

    return Module()


class Ours:
    """Runs `tonotopy bench`, one process per round."""

    def __init__(self, program, name, batch, inference, device, rounded=False):
        self.command = [program, "-q", "bench", str(HERE / "networks" / f"{name}.toml"), "--json", "--device", device]
        self.command += ["--batch-size", str(batch), "--outputs", str(OUTPUTS)] + ["--inference"] * inference
        self.command += ["--set", "training.precision=bfloat16"] * rounded

    def round(self, steps):
        environment = os.environ | {"RAYON_NUM_THREADS": str(THREADS)}
        command = self.command + ["--steps", str(steps)]
        out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
        self.last = json.loads(out)
        return self.last["step_ms"]["median"]


class Timed:
    """Calls a function once per round."""

    def __init__(self, work):
        self.work = work

    def round(self, _steps):
        began = time.perf_counter()
        self.work()
        return (time.perf_counter() - began) * 1000


class Work:
    """Runs `speed_work`, which measures its own time."""

    def __init__(self, programs, *arguments):
        self.command = [str(programs / "examples" / "speed_work"), *map(str, arguments)]

    def round(self, _steps):
        environment = os.environ | {"RAYON_NUM_THREADS": str(THREADS)}
        out = subprocess.run(self.command, env=environment, check=True, stdout=subprocess.PIPE).stdout
        self.last = json.loads(out)
        return self.last["seconds"] * 1000


def mel_row(programs, arguments):
    """Log-mel spectrograms of ten hours at 22 050 Hz, in pieces of 30 s: n_fft 1024, hop 512, 128 bands."""
    import librosa
    import numpy as np
    import torch

    seconds, rate = 300 if arguments.small else 36_000, 22_050
    piece = np.random.default_rng(1).random(30 * rate, np.float32)

    def by_librosa():
        for _ in range(seconds // 30):
            mel = librosa.feature.melspectrogram(
                y=piece, sr=rate, n_fft=1024, hop_length=512, n_mels=128, center=False
            )
            np.log1p(10_000 * mel)

    found = {"ours": Work(programs, "mel", seconds), "librosa": Timed(by_librosa)}
    torch.set_num_threads(THREADS)
    try:
        # Release 2.11 checks for the CUDA version that it was built with, which is not used here.
        built = torch.version.cuda
        torch.version.cuda = "13.0"
        import torchaudio

        torch.version.cuda = built
        transform = torchaudio.transforms.MelSpectrogram(
            rate, 1024, hop_length=512, n_mels=128, norm="slaney", mel_scale="slaney", center=False
        )
        tensor = torch.from_numpy(piece).unsqueeze(0)

        def by_torchaudio():
            with torch.no_grad():
                for _ in range(seconds // 30):
                    torch.log1p(10_000 * transform(tensor))

        found["torchaudio"] = Timed(by_torchaudio)
    except (ImportError, RuntimeError, OSError) as error:
        print(f"mel: torchaudio is not available: {error}", file=sys.stderr)
    return found


def decode_row(programs, arguments):
    """Decodes MP3, Ogg and FLAC (stereo, 44.1 kHz, converted from the files of --audio) to 16 kHz mono."""
    import shutil
    import tempfile
    from concurrent.futures import ThreadPoolExecutor

    import librosa

    if arguments.audio is None or not shutil.which("ffmpeg"):
        raise RuntimeError("name a directory of music with --audio, and install ffmpeg")
    place = Path(tempfile.mkdtemp())
    endings = {".mp3", ".ogg", ".flac", ".wav", ".opus", ".m4a"}
    sources = sorted(p for p in arguments.audio.rglob("*") if p.suffix in endings)[: 3 if arguments.small else 60]
    if not sources:
        raise RuntimeError(f"{arguments.audio} contains no music")
    for ending in ("mp3", "ogg", "flac"):
        (place / "in" / ending).mkdir(parents=True)
    for number, source in enumerate(sources):
        ending = ["mp3", "ogg", "flac"][number % 3]
        command = ["ffmpeg", "-loglevel", "error", "-stream_loop", "3", "-i", source, "-ac", "2", "-ar", "44100"]
        codec = {"mp3": ["-b:a", "192k"], "ogg": ["-c:a", "libvorbis"], "flac": []}[ending]
        subprocess.run([*command, *codec, place / "in" / ending / f"{number}.{ending}"], check=True)
    files = sorted((place / "in").glob("*/*"))

    def by_ffmpeg():
        def one(file):
            out = place / f"{file.name}.f32"
            command = ["ffmpeg", "-loglevel", "error", "-y", "-threads", "1", "-i", file, "-ac", "1", "-ar", "16000"]
            subprocess.run([*command, "-f", "f32le", out], check=True)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, files))

    def by_librosa():
        for file in files:
            librosa.load(file, sr=16_000, mono=True)

    def ours():
        shutil.rmtree(place / "cache", ignore_errors=True)
        command = [programs / "tonotopy", "-q", "scan", place / "in", "--sample-rate", "16000"]
        command += ["--cache-dir", place / "cache", "--out", place / "out", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.PIPE)

    return {"ours": Timed(ours), "ffmpeg": Timed(by_ffmpeg), "librosa": Timed(by_librosa)}


def metrics_row(programs, arguments):
    """Macro ROC-AUC and average precision for 25 863 tracks and 188 tags."""
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(1)
    shape = (1_000, 10) if arguments.small else (25_863, 188)
    scores, truth = rng.random(shape, np.float32), rng.random(shape) < 0.05

    def by_sklearn():
        roc_auc_score(truth, scores, average="macro")
        average_precision_score(truth, scores, average="macro")

    return {"ours": Work(programs, "metrics", *shape), "scikit-learn": Timed(by_sklearn)}


def tsne_row(programs, arguments):
    """A t-SNE map of 20 000 points in 50 dimensions and 20 clusters, 750 steps."""
    import tempfile

    import numpy as np
    from openTSNE import TSNE

    rng, count = np.random.default_rng(1), 500 if arguments.small else 20_000
    points = rng.normal(size=(count, 50)) + 3 * rng.normal(size=(20, 50))[rng.integers(0, 20, count)]
    points = points.astype("<f4")
    file = Path(tempfile.mkdtemp()) / "points"
    points.tofile(file)

    class OpenTsne:
        def round(self, _steps):
            began = time.perf_counter()
            found = TSNE(perplexity=30, n_jobs=THREADS, random_state=1).fit(points)
            elapsed = (time.perf_counter() - began) * 1000
            self.last = {"kl_divergence": float(found.kl_divergence)}
            return elapsed

    return {"ours": Work(programs, "tsne", file, len(points)), "openTSNE": OpenTsne()}


def leaf_row(groups, training):
    """LEAF on 4 excerpts of 3 s: 40 filters, hop 160, log(1 + 10000 E), beside our mel-spectrogram of as many frames."""

    def row(programs, arguments):
        import torch

        from leaf import Grouped, Leaf

        torch.set_num_threads(THREADS)
        model = (Grouped if groups else Leaf)()
        x = torch.rand(BATCH, 48_000) - 0.5
        repeats = 2 if arguments.small else 20

        class Torch:
            def round(self, _steps):
                times = []
                for _ in range(max(2, repeats // 4)):
                    began = time.perf_counter()
                    if training:
                        model.zero_grad()
                        model(x).sum().backward()
                    else:
                        with torch.no_grad():
                            model(x)
                    times.append((time.perf_counter() - began) * 1000)
                return statistics.median(times)

        mode = "train" if training else "predict"
        gabor = {"name": "gabor"} | ({"groups": {}} if groups else {})
        mel = {"name": "mel", "n_fft": 512, "win_length": 401, "hop_length": HOP, "n_mels": 40, "center": True}
        ours = Work(programs, "front_end", json.dumps(gabor), BATCH, repeats, mode)
        return {
            "ours": ours,
            "EfficientLEAF 8G-opt in torch" if groups else "LEAF in torch": Torch(),
            "our mel": Work(programs, "front_end", json.dumps(mel), BATCH, repeats, "predict"),
        }

    BATCH, HOP = 4, 160
    return row


def kmeans_lines(programs, arguments):
    """Spherical K-means of a million rows in 100 dimensions, 1000 means, 20 updates."""
    sizes = ["--rows", 10_000, "--means", 20] if arguments.small else ["--rows", 1_000_000, "--means", 1_000]
    settings = [*sizes, "--columns", 100, "--repeats", min(3, arguments.rounds), "--threads", THREADS]
    for found in script("kmeans_faiss.py", programs / "examples" / "kmeans_rows", settings):
        cosines = f"mean cosine {found['our_mean_cosine']:.5f}, faiss {found['faiss_mean_cosine']:.5f}"
        yield "kmeans", found["ours_s"], {"faiss": found["faiss_s"]}, cosines


def wmf_lines(programs, arguments):
    """A sweep of weighted matrix factorization with conjugate gradients, a million interactions."""
    few = ["--factors", 50, "--sweeps", 1] if arguments.small else ["--factors", 50, 400, "--sweeps", 5]
    settings = ["--sizes", "1M", *few, "--repeats", min(3, arguments.rounds), "--solver", "cg"]
    for found in script("factorize_implicit.py", programs / "examples" / "factorize_csr", settings):
        objectives = f"objective {found['ours_objective']:.1f}, implicit {found['implicit_objective']:.1f}"
        yield f"wmf, {found['factors']} factors", found["ours_s"], {"implicit": found["implicit_s"]}, objectives


def script(name, program, settings):
    """Runs another comparison script and returns its lines."""
    command = [sys.executable, HERE / name, "--program", program, *settings]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], env=environment, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0:
        # Its results are still used; its error is shown above.
        print(f"{name}: exit {done.returncode}", file=sys.stderr)
        if not found:
            raise RuntimeError(f"{name} failed; see stderr")
    return found


OTHERS = {"mel": mel_row, "decode": decode_row, "metrics": metrics_row, "tsne": tsne_row}
# The last column of these rows compares with PyTorch only: our mel-spectrogram is not a peer.
LEAF = {
    f"leaf{kind}-{mode}": leaf_row(kind == "-groups", mode == "train")
    for kind in ("", "-groups")
    for mode in ("predict", "train")
}
OTHERS |= LEAF
SCRIPTS = {"kmeans": kmeans_lines, "wmf": wmf_lines}


def measure(runners, rounds, steps):
    """Medians over rounds, in milliseconds."""
    times = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            times[name].append(runner.round(steps))
    return {name: statistics.median(values) for name, values in times.items()}


def peers(name, batch, inference, device, rounded):
    """The peers that are available; prints why others are not."""
    found = {}
    kind = "cuda" if device != "cpu" else "cpu"
    makers = {
        "torch": lambda: Torch(name, batch, inference, False, kind, rounded),
        "torch.compile": lambda: Torch(name, batch, inference, True, kind, rounded),
    }
    if inference and device == "cpu":
        makers["onnxruntime"] = lambda: OnnxRuntime(name, batch)
    for peer, make in makers.items():
        try:
            found[peer] = make()
            found[peer].round(3)
        except Exception as error:  # a missing or failing peer does not stop the comparison
            found.pop(peer, None)
            print(f"{name}: {peer} is not available: {type(error).__name__}: {str(error).splitlines()[0][:150]}", file=sys.stderr)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = [f"train-{n}{p}" for p in ("", ROUNDED) for n in NETWORKS] + [f"predict-{n}-{b}" for n in NETWORKS for b in (1, 64)]
    rows += [*OTHERS, *SCRIPTS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="our device: cpu or wgpu; with wgpu, peers use CUDA")
    parser.add_argument("--audio", type=Path, help="directory of music, for the row decode")
    parser.add_argument("--small", action="store_true", help="measure very little, to check that everything runs")
    parser.add_argument("--tonotopy", default=str(HERE / "../../target/release/tonotopy"))
    arguments = parser.parse_args()
    arguments.rounds = 1 if arguments.small else arguments.rounds
    if unknown := set(arguments.rows) - set(rows):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; choose from {', '.join(rows)}")
    version = subprocess.run([arguments.tonotopy, "--version"], check=True, capture_output=True, text=True).stdout
    print(f"{version.strip()}; {processor()}, {THREADS} threads; {versions()}\n")
    print("| row | ours, ms | peers, ms | peer / ours, the best peer |\n|---|---|---|---|")
    ratios, failed = {}, []
    for row in arguments.rows or rows:
        try:
            ratios |= measured(row, arguments)
        except Exception as error:  # report rows that cannot be measured in the table
            why = str(error).splitlines() or [""]
            print(f"| {row} | not measured: {type(error).__name__}: {why[0][:200]} | | |", flush=True)
            failed.append(row)
    for what, ending in [("Training", ""), ("Training in bfloat16", ROUNDED)]:
        names = [f"train-{name}{ending}" for name in NETWORKS]
        training = [ratios[name] for name in names if name in ratios]
        if len(training) > 1:
            print(f"\n{what}, geometric mean of the ratios: {statistics.geometric_mean(training):.2f}")
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


def measured(row, arguments):
    """Prints the lines of a row; returns their ratios by name."""
    programs, ratios = Path(arguments.tonotopy).parent, {}

    def tell(name, times, digits, note=""):
        ours = times.pop("ours")
        told = ", ".join(f"{peer} {value:.{digits}f} ({value / ours:.2f})" for peer, value in times.items())
        best = times.values() if row not in LEAF else [t for peer, t in times.items() if peer != "our mel"]
        ratios[name] = min(best, default=float("nan")) / ours
        print(f"| {name} | {ours:.{digits}f} | {told or 'none'} | {ratios[name]:.2f} |", flush=True)
        if note:
            print(f"{name}: {note}", file=sys.stderr)

    if row in SCRIPTS:
        for name, ours, others, note in SCRIPTS[row](programs, arguments):
            times = {"ours": ours, **others}
            tell(name, {who: seconds * 1000 for who, seconds in times.items()}, 0, note)
        return ratios
    if row in OTHERS:
        runners = OTHERS[row](programs, arguments)
        times = measure(runners, arguments.rounds, 1)
        last = {name: getattr(runner, "last", None) for name, runner in runners.items()}
        last = {name: {k: v for k, v in found.items() if k != "seconds"} for name, found in last.items() if found}
        tell(row, times, 2 if row in LEAF else 0, last or "")
        return ratios
    inference = row.startswith("predict")
    rounded = row.endswith(ROUNDED)
    name, batch = row[8:].rsplit("-", 1) if inference else (row[6:].removesuffix(ROUNDED), 32)
    batch = int(batch)
    runners = {"ours": Ours(arguments.tonotopy, name, batch, inference, arguments.device, rounded)}
    slow = runners["ours"].round(3)
    runners |= peers(name, batch, inference, arguments.device, rounded)
    # At least some seconds each, so that short work is warmed up like long work.
    steps = 3 if arguments.small else max(3, min(5000, int(1500 / slow)))
    tell(row, measure(runners, arguments.rounds, steps), 2)
    return ratios


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def versions():
    from importlib import metadata

    told = [f"Python {platform.python_version()}"]
    for package in ("torch", "onnxruntime"):
        try:
            told.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            pass
    return ", ".join(told)


if __name__ == "__main__":
    main()
