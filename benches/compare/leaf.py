"""LEAF and EfficientLEAF in PyTorch, written from their definitions, for `speed.py`: energies and log(1 + 10000 E)."""

import math

import torch
from torch import nn
from torch.nn import functional as F

RATE, HOP, WINDOW = 16_000, 160, 401


def mel_filters(filters):
    """Centres in radians per sample and standard deviations in samples, between 60 Hz and 7.8 kHz (HTK)."""
    mel = lambda hz: 2595 * math.log10(1 + hz / 700)
    low, high = mel(60.0), mel(7_800.0)
    mels = [low + (high - low) * i / (filters + 1) for i in range(filters + 2)]
    edges = torch.tensor([700 * (10 ** (m / 2595) - 1) for m in mels], dtype=torch.float64)
    centres = 2 * math.pi * edges[1:-1] / RATE
    return centres.float(), (RATE / 2 / (edges[2:] - edges[:-2])).float()


def gabors(mu, sigma, length):
    """`[2 * filter, 1, tap]`: the real parts, then the imaginary parts."""
    t = torch.arange(length) - (length - 1) / 2
    envelope = torch.exp(-0.5 * (t / sigma[:, None]) ** 2) / (math.sqrt(2 * math.pi) * sigma[:, None])
    angles = mu[:, None] * t
    return torch.cat([envelope * angles.cos(), envelope * angles.sin()]).unsqueeze(1)


def pool(responses, widths, length, hop):
    """Squared modulus and Gaussian windows of `length` values."""
    filters = len(widths)
    squares = responses**2
    energies = squares[:, :filters] + squares[:, filters:]
    half = (length - 1) / 2
    t = (torch.arange(length) - half) / max(half, 0.5)
    windows = torch.exp(-0.5 * (t / widths[:, None]) ** 2).unsqueeze(1)
    return F.conv1d(energies, windows, stride=hop, padding=length // 2, groups=filters)


class Leaf(nn.Module):
    """Zeghidour et al. (2021): every filter has 401 taps and responds at every sample."""

    def __init__(self, filters=40):
        super().__init__()
        mu, sigma = mel_filters(filters)
        self.mu, self.sigma = nn.Parameter(mu), nn.Parameter(sigma)
        self.width = nn.Parameter(torch.full((filters,), 0.4))

    def ranges(self):
        unit = math.sqrt(2 * math.log(2)) / math.pi
        return (
            self.mu.clamp(0, math.pi),
            self.sigma.clamp(4 * unit, WINDOW * unit),
            self.width.clamp(2 / WINDOW, 0.5),
        )

    def energies(self, x):
        mu, sigma, width = self.ranges()
        responses = F.conv1d(x.unsqueeze(1), gabors(mu, sigma, WINDOW), padding=WINDOW // 2)
        return pool(responses, width, WINDOW, HOP)

    def forward(self, x):
        return torch.log1p(10_000 * self.energies(x))


class Grouped(Leaf):
    """Schlüter and Gutenbrunner (2022): groups of filters with their own lengths and strides; the default is 8G-opt."""

    def __init__(self, filters=40, groups=8, length_factor=6.0, stride_factor=16.0):
        super().__init__(filters)
        self.groups, self.length_factor, self.stride_factor = groups, length_factor, stride_factor

    def energies(self, x):
        mu, sigma, width = self.ranges()
        count, bands = len(mu), []
        for group in range(self.groups):
            own = slice(group * count // self.groups, (group + 1) * count // self.groups)
            most = max(1.0, math.pi / mu[own].max().item() * self.stride_factor)
            stride = max(s for s in range(1, HOP + 1) if HOP % s == 0 and s <= most)
            length = int(sigma[own].max().item() * self.length_factor) | 1
            window = int(WINDOW / stride + 0.5) | 1
            kernel = gabors(mu[own], sigma[own], length)
            responses = F.conv1d(x.unsqueeze(1), kernel, stride=stride, padding=length // 2)
            bands.append(pool(responses, width[own] * WINDOW / (stride * window), window, HOP // stride))
        return torch.cat(bands, 1)
