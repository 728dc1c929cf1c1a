"""The tagger of Dieleman and Schrauwen (2014) in PyTorch, with the settings of an experiment file.

The first weights follow models/init.rs: uniform in +-sqrt(6 / fan_in) where a rectifier follows,
in +-1/sqrt(fan_in) in the last layer, biases 0. PyTorch by itself would draw all weights and all
biases from +-1/sqrt(fan_in), which makes activations smaller from layer to layer.
"""

import math

import librosa
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from run_folder import settings

# Added to a sum of squares before the square root, as in models/front_end/strided.rs.
ROOT_FLOOR = 1e-12


class Mel(nn.Module):
    """Waveforms [batch, sample] to log(1 + C mel) [batch, band, frame]."""

    def __init__(self, config):
        super().__init__()
        c = self.config = settings(
            config,
            name="mel", sample_rate=16_000, n_fft=512, win_length=None, hop_length=256, n_mels=128,
            f_min=0.0, f_max=None, mel_scale="slaney", norm="slaney", power=2.0,
            compression=10_000.0, center=False, pad_mode="constant",
        )
        filters = librosa.filters.mel(
            sr=c.sample_rate, n_fft=c.n_fft, n_mels=c.n_mels, fmin=c.f_min, fmax=c.f_max,
            htk=c.mel_scale == "htk", norm="slaney" if c.norm == "slaney" else None, dtype=np.float32,
        )
        window = librosa.filters.get_window("hann", c.win_length or c.n_fft, fftbins=True)
        window = librosa.util.pad_center(window, size=c.n_fft).astype(np.float32)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.from_numpy(window), persistent=False)
        self.bands = c.n_mels

    def forward(self, waveforms):
        c = self.config
        if c.center:
            waveforms = F.pad(waveforms.unsqueeze(1), (c.n_fft // 2,) * 2, mode=c.pad_mode).squeeze(1)
        frames = waveforms.unfold(1, c.n_fft, c.hop_length) * self.window  # [batch, frame, sample]
        spectrum = torch.fft.rfft(frames)
        magnitude = spectrum.abs() if c.power == 1.0 else spectrum.real**2 + spectrum.imag**2
        return torch.log1p(c.compression * (magnitude @ self.filters.T)).transpose(1, 2)


class Strided(nn.Module):
    """Waveforms [batch, sample] to features [batch, band, frame] by a strided convolution."""

    def __init__(self, config):
        super().__init__()
        c = self.config = settings(
            config,
            name="strided", sample_rate=16_000, filters=128, length=256, stride=256,
            activation="relu", compression=10_000.0, pool=None,
        )
        self.pool = settings(c.pool or {"kind": "max", "size": 1}, kind=None, size=None)
        self.bands = c.filters // self.pool.size
        self.weight = he_uniform(torch.empty(c.filters, 1, c.length))
        self.bias = nn.Parameter(torch.zeros(self.bands))

    def forward(self, waveforms):
        c = self.config
        x = F.conv1d(waveforms.unsqueeze(1), self.weight, stride=c.stride)
        if self.pool.size > 1:
            x = x.unflatten(1, (self.bands, self.pool.size))
            x = (x.square().sum(2) + ROOT_FLOOR).sqrt() if self.pool.kind == "l2" else x.amax(2)
        x = x + self.bias.reshape(1, -1, 1)
        return F.relu(x) if c.activation == "relu" else torch.log1p(c.compression * x.square())


class Stage(nn.Module):
    """Convolution over time, rectifier, max-pooling; `padding` frames complete the last pool."""

    def __init__(self, channels, config, padding):
        super().__init__()
        self.conv = nn.Conv1d(channels, config.filters, config.length)
        self.conv.weight = he_uniform(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.pool, self.padding = config.pool, padding

    def forward(self, x):
        return F.max_pool1d(F.pad(F.relu(self.conv(x)), (0, self.padding)), self.pool)


class Tagger(nn.Module):
    """Waveforms [batch, sample] to logits [batch, output]."""

    def __init__(self, config, outputs, excerpt_samples):
        super().__init__()
        stage = {"filters": 32, "length": 8, "pool": 4}
        c = settings(
            config,
            name=None, front_end=None, stages=[stage] * 2, partial_pools="auto", hidden=100, dropout=0.0,
        )
        if c.name != "tagger":
            raise SystemExit(f"the reference has no network {c.name!r}, only 'tagger'")
        kinds = {"mel": Mel, "strided": Strided}
        if c.front_end["name"] not in kinds:
            raise SystemExit(f"the reference has no front end {c.front_end['name']!r}, only {list(kinds)}")
        self.front_end = kinds[c.front_end["name"]](c.front_end)

        stages = [settings(s, **stage) for s in c.stages]
        channels, frames = self.front_end(torch.zeros(1, excerpt_samples)).shape[1:]
        self.stages = nn.ModuleList()
        for this, following in zip(stages, stages[1:] + [None]):
            frames = frames - this.length + 1
            needed = following.length if following else 1
            keep = {"auto": frames // this.pool < needed, "always": True, "never": False}[c.partial_pools]
            padding = -frames % this.pool if keep else 0
            self.stages.append(Stage(channels, this, padding))
            channels, frames = this.filters, (frames + padding) // this.pool
        self.hidden = nn.Linear(channels * frames, c.hidden)
        self.hidden.weight = he_uniform(self.hidden.weight)
        self.dropout = nn.Dropout(c.dropout)
        self.output = nn.Linear(c.hidden, outputs)
        nn.init.uniform_(self.output.weight, -1 / math.sqrt(c.hidden), 1 / math.sqrt(c.hidden))
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, waveforms):
        x = self.front_end(waveforms)
        for stage in self.stages:
            x = stage(x)
        return self.output(self.dropout(F.relu(self.hidden(x.flatten(1)))))


def he_uniform(weight):
    """A parameter of the same shape, uniform in +-sqrt(6 / fan_in)."""
    bound = math.sqrt(6 / weight[0].numel())
    return nn.Parameter(torch.empty_like(weight, requires_grad=False).uniform_(-bound, bound))
