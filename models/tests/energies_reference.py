"""Prints energies, gradients and filters of other implementations as JSON:

    git clone https://github.com/CPJKU/EfficientLEAF && git clone https://github.com/mravanelli/SincNet
    python energies_reference.py EfficientLEAF SincNet > energies_reference.json

Needs torch (made with 2.15.0, EfficientLEAF 5e87fcd, SincNet d741648) and runs in double precision. The signal is a rising
tone, a formula that tests/energies.rs repeats. The gradients are those of the sum of log(1 + 10000 E).
"""

import json
import sys
import types

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
sys.path.insert(0, sys.argv[1])
from model.efficientleaf import GroupedGaborFilterbank  # noqa: E402
from model.leaf import GaborFilterbank  # noqa: E402

SAMPLES = 48_000
BANDS = [0, 1, 5, 12, 20, 30, 39]
SINC = [0, 1, 10, 40, 79]
FRAMES = [0, 1, 2, 50, 150, 250, 298, 299]


def signal():
    t = np.arange(SAMPLES) / 16_000
    return (0.5 * np.sin(2 * np.pi * (200 * t + 600 * t * t))).astype(np.float32).astype(np.float64)


def energies(config, filterbank):
    x = torch.from_numpy(signal()).reshape(1, 1, -1)
    found = filterbank(x)
    torch.log1p(10_000 * found).sum().backward()
    gradients = [filterbank.center_freqs, filterbank.bandwidths, filterbank.pooling_widths]
    return {
        "config": config,
        "energies": found[0][BANDS][:, FRAMES].tolist(),
        "sum": found.sum().item(),
        "centres": filterbank.center_freqs.tolist(),
        "deviations": filterbank.bandwidths.tolist(),
        "gradients": [parameter.grad.tolist() for parameter in gradients],
    }


def sinc():
    """The filters of SincNet's first layer; its code needs only torch."""
    module = types.ModuleType("dnn_models")
    source = open(f"{sys.argv[2]}/dnn_models.py").read()
    exec(compile(source, "dnn_models.py", "exec"), module.__dict__)
    layer = module.SincConv_fast(80, 251, 16_000)
    layer(torch.zeros(1, 1, 251))
    return {"filters": SINC, "taps": layer.filters[:, 0][SINC].tolist()}


leaf = GaborFilterbank(40, 60.0, 7_800.0, 16_000, filter_size=401, pool_size=401, pool_stride=160)
grouped = GroupedGaborFilterbank(
    40, 8, 60.0, 7_800.0, 16_000, pool_size=401, pool_stride=160, conv_win_factor=6, stride_factor=16
)
found = {
    "bands": BANDS,
    "frames": FRAMES,
    "cases": [energies({}, leaf), energies({"groups": {}}, grouped)],
    "sinc": sinc(),
}
print(json.dumps(found, separators=(",", ":")))
