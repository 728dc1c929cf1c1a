"""Our speed beside that of others, on this machine, in one run: training steps and predictions.

    python benches/compare/speed.py [ROW ...] [--rounds N] [--tonotopy PROGRAM]

A row is measured in rounds; in each, ours and every peer do the same work in turn, on noise of the same shapes. What
is printed is the median of the rounds' medians, and the ratio peer / ours. The peers' settings are those of ours:
threads, batch, optimizer, dropout.
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
OUTPUTS = 50


def networks():
    """The four networks in PyTorch, by name: module, samples of an excerpt, loss."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from network import Mel, Stage, Tagger, he_uniform

    class Stft(Mel):
        """The same bands by torch.stft, which is PyTorch's own way."""

        def forward(self, waveforms):
            c = self.config
            spectrum = torch.stft(
                waveforms, c.n_fft, c.hop_length, window=self.window, center=False, return_complex=True
            )
            power = spectrum.real**2 + spectrum.imag**2
            return torch.log1p(c.compression * (self.filters @ power))

    class LatentNet(nn.Module):
        """Four convolutions, pooled over all of time."""

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
    """Steps of a network, eager or compiled."""

    def __init__(self, name, batch, inference, compiled, device="cpu"):
        import torch

        torch.set_num_threads(THREADS)
        torch.manual_seed(1)
        self.torch, self.device, self.inference = torch, device, inference
        model, samples, self.loss = networks()(name)
        self.model = model.to(device).train(not inference)
        self.apply = torch.compile(self.model) if compiled else self.model
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
        self.loss(self.apply(x), targets).backward()
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
            # Without complex numbers, which the exporter does not know: a windowed Fourier basis as a convolution.
            model.front_end = Basis(model.front_end, nn)
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


def Basis(mel, nn):
    """The bands of `mel` with the Fourier transform as a convolution."""
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
    """`tonotopy bench`, a process a round."""

    def __init__(self, program, name, batch, inference, device):
        self.command = [program, "-q", "bench", str(HERE / "networks" / f"{name}.toml"), "--json", "--device", device]
        self.command += ["--batch-size", str(batch), "--outputs", str(OUTPUTS)] + ["--inference"] * inference

    def round(self, steps):
        environment = os.environ | {"RAYON_NUM_THREADS": str(THREADS)}
        command = self.command + ["--steps", str(steps)]
        out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
        self.last = json.loads(out)
        return self.last["step_ms"]["median"]


def measure(runners, rounds, steps):
    """Medians over rounds, in milliseconds."""
    times = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            times[name].append(runner.round(steps))
    return {name: statistics.median(values) for name, values in times.items()}


def peers(name, batch, inference, device):
    """The peers that can be had here; of others it is said why not."""
    found = {}
    kind = "cuda" if device != "cpu" else "cpu"
    makers = {
        "torch": lambda: Torch(name, batch, inference, False, kind),
        "torch.compile": lambda: Torch(name, batch, inference, True, kind),
    }
    if inference and device == "cpu":
        makers["onnxruntime"] = lambda: OnnxRuntime(name, batch)
    for peer, make in makers.items():
        try:
            found[peer] = make()
            found[peer].round(3)
        except Exception as error:  # a peer that is missing or fails is one fact of the table
            found.pop(peer, None)
            print(f"{name}: no {peer}: {type(error).__name__}: {str(error).splitlines()[0][:150]}", file=sys.stderr)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = [f"train-{n}" for n in NETWORKS] + [f"predict-{n}-{b}" for n in NETWORKS for b in (1, 64)]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="ours: cpu or wgpu; the peers' is then CUDA")
    parser.add_argument("--tonotopy", default=str(HERE / "../../target/release/tonotopy"))
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(rows):
        parser.error(f"there is no row {', '.join(sorted(unknown))}: name some of {', '.join(rows)}")
    version = subprocess.run([arguments.tonotopy, "--version"], check=True, capture_output=True, text=True).stdout
    print(f"{version.strip()}; {processor()}, {THREADS} threads; {versions()}\n")
    print("| row | ours, ms | peers, ms | peer / ours, the best peer |\n|---|---|---|---|")
    ratios = {}
    for row in arguments.rows or rows:
        inference = row.startswith("predict")
        name, batch = (row[8:].rsplit("-", 1) if inference else (row[6:], 32))
        batch = int(batch)
        others = peers(name, batch, inference, arguments.device)
        runners = {"ours": Ours(arguments.tonotopy, name, batch, inference, arguments.device)} | others
        slow = runners["ours"].round(3)
        steps = max(3, min(50, int(1500 / slow)))
        times = measure(runners, arguments.rounds, steps)
        ours = times.pop("ours")
        best = min(times.values(), default=float("nan"))
        ratios[row] = best / ours
        told = ", ".join(f"{peer} {value:.2f}" for peer, value in times.items())
        print(f"| {row} | {ours:.2f} | {told} | {best / ours:.2f} |", flush=True)
    training = [ratio for row, ratio in ratios.items() if row.startswith("train")]
    if len(training) > 1:
        print(f"\nTraining, geometric mean of the ratios: {statistics.geometric_mean(training):.2f}")


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
