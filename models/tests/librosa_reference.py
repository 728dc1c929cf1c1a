"""Prints mel spectrograms by librosa as JSON: python librosa_reference.py > librosa_reference.json

Needs librosa (made with 0.11.0). The signal is a formula that tests/mel.rs repeats: two tones, one of
them rising, and noise by a linear congruential generator, rounded to single precision. librosa works in double
precision here, so that its own rounding does not count.
"""

import json

import librosa
import numpy as np

SAMPLES = 4096


def signal():
    state, noise = 1, []
    for _ in range(SAMPLES):
        state = (state * 1664525 + 1013904223) % 2**32
        noise.append((state >> 8) / 2**23 - 1)
    n = np.arange(SAMPLES)
    tones = 0.4 * np.sin(0.11 * n) + 0.3 * np.sin(0.2 * n + 1e-4 * n**2)
    return (tones + 0.1 * np.array(noise)).astype(np.float32).astype(np.float64)


# Keys are those of MelConfig; missing keys have their defaults.
SETTINGS = [
    {},
    {"n_fft": 1024, "hop_length": 1024},
    {"n_fft": 256, "hop_length": 512, "n_mels": 40},
    {"n_fft": 400, "hop_length": 160, "n_mels": 40},
    {"n_fft": 512, "win_length": 400, "hop_length": 320, "n_mels": 64},
    {"n_fft": 512, "win_length": 301, "n_mels": 40},
    {"n_fft": 501, "hop_length": 300, "n_mels": 40, "center": True, "pad_mode": "reflect"},
    {"mel_scale": "htk", "n_mels": 64},
    {"mel_scale": "htk", "norm": "none", "n_mels": 64},
    {"norm": "none", "n_mels": 64},
    {"power": 1.0, "n_mels": 64},
    {"n_mels": 40, "f_min": 300.0, "f_max": 4000.0},
    {"n_mels": 40, "center": True},
    {"n_mels": 40, "center": True, "pad_mode": "reflect"},
    {"sample_rate": 22050, "n_fft": 2048, "hop_length": 512, "n_mels": 96},
    {"sample_rate": 44100, "n_fft": 1536, "hop_length": 441, "n_mels": 48, "f_max": 16000.0},
    {"n_fft": 400, "n_mels": 30, "power": 1.0, "mel_scale": "htk", "norm": "none", "center": True},
]


def mel(y, settings):
    n_fft = settings.get("n_fft", 512)
    return librosa.feature.melspectrogram(
        y=y,
        sr=settings.get("sample_rate", 16000),
        n_fft=n_fft,
        win_length=settings.get("win_length", n_fft),
        hop_length=settings.get("hop_length", 256),
        center=settings.get("center", False),
        pad_mode=settings.get("pad_mode", "constant"),
        power=settings.get("power", 2.0),
        n_mels=settings.get("n_mels", 128),
        fmin=settings.get("f_min", 0.0),
        fmax=settings.get("f_max"),
        htk=settings.get("mel_scale") == "htk",
        norm=None if settings.get("norm") == "none" else "slaney",
        dtype=np.float64,
    )


y = signal()
cases = []
for settings in SETTINGS:
    spectrogram = mel(y, settings)
    values = [float(f"{value:.8g}") for value in spectrogram.ravel()]
    cases.append({"config": settings, "shape": spectrogram.shape, "values": values})
print(json.dumps({"librosa": librosa.__version__, "cases": cases}, separators=(",", ":")))
