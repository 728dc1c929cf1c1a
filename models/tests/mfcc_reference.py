"""Prints MFCCs and their differences by librosa as JSON: python mfcc_reference.py > mfcc_reference.json

Needs librosa (made with 0.11.0). The signal is that of librosa_reference.py, there and back; every third value is kept.
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


# Keys are those of MfccConfig; missing keys have their defaults.
SETTINGS = [
    {"hop_length": 300},
    {"n_mfcc": 20, "hop_length": 128, "center": True},
    {"sample_rate": 16000, "n_fft": 512, "hop_length": 200, "n_mels": 40, "deltas": 1, "delta_frames": 5},
    {"sample_rate": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 26, "top_db": 20.0, "delta_frames": 3, "f_max": 4000.0},
    {"hop_length": 256, "deltas": 0, "f_min": 100.0},
]


def features(y, s):
    n_fft = s.get("n_fft", 1024)
    sr = s.get("sample_rate", 22050)
    power = librosa.feature.melspectrogram(
        y=y, sr=sr, n_fft=n_fft, hop_length=s.get("hop_length", 512), center=s.get("center", False),
        n_mels=s.get("n_mels", 128), fmin=s.get("f_min", 0.0), fmax=s.get("f_max"),
    )
    decibels = librosa.power_to_db(power, top_db=s.get("top_db", 80.0))
    mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=s.get("n_mfcc", 13))
    rows = [mfcc] + [librosa.feature.delta(mfcc, width=s.get("delta_frames", 9), order=order) for order in range(1, s.get("deltas", 2) + 1)]
    return np.concatenate(rows)


if __name__ == "__main__":
    y = np.concatenate([signal(), signal()[::-1]])
    cases = []
    for settings in SETTINGS:
        values = features(y, settings)
        cases.append({"config": settings, "shape": list(values.shape), "values": [round(v, 7) for v in values.ravel()[::3].tolist()]})
    print(json.dumps({"librosa": librosa.__version__, "cases": cases}))
