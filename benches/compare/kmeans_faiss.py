"""Compares our spherical K-means with faiss: time, and mean cosine between rows and their nearest mean.

    pip install -r benches/compare/requirements-faiss.txt
    cargo build --release --example kmeans_rows
    python benches/compare/kmeans_faiss.py --audio DIR

Rows are frames of log-mel spectrograms of the audio in DIR (16 kHz, 200 bands, window 1024, hop 512), whitened by
PCA to 99 % of the variance (or to --columns) and normalized to length one; without --audio, random directions around
centres. Both start with the same means and perform the same number of updates; faiss gets all rows
(its default is 256 per mean). The programs alternate; results are medians over repeats.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np


def spectrogram_rows(folder, limit):
    import librosa

    frames = []
    for path in sorted(p for p in Path(folder).rglob("*") if p.suffix in {".mp3", ".flac", ".ogg", ".wav"}):
        audio, _ = librosa.load(path, sr=16_000)
        power = librosa.feature.melspectrogram(y=audio, sr=16_000, n_fft=1024, hop_length=512, n_mels=200, center=False)
        frames.append(np.log1p(10_000.0 * power).T.astype(np.float32))
        if sum(map(len, frames)) >= limit:
            break
    return np.concatenate(frames)[:limit]


def whitened(rows, columns):
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / (len(rows) - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = columns or int(np.searchsorted(np.cumsum(values) / values.sum(), 0.99)) + 1
    return centred @ (vectors[:, :kept] / np.sqrt(values[:kept] + 0.01)).astype(np.float32)


def directions(count, columns, rng):
    centres = rng.normal(size=(2_000, columns)).astype(np.float32)
    rows = centres[rng.integers(len(centres), size=count)]
    return rows + 0.8 * rng.normal(size=rows.shape).astype(np.float32)


def mean_cosine(rows, means):
    means = means / np.linalg.norm(means, axis=1, keepdims=True)
    best = [(part @ means.T).max(axis=1) for part in np.array_split(rows, max(1, len(rows) // 50_000))]
    return float(np.concatenate(best).mean())


def run_faiss(rows, first, iterations):
    kmeans = faiss.Kmeans(
        rows.shape[1], len(first), niter=iterations, spherical=True, max_points_per_centroid=len(rows), verbose=False
    )
    begin = time.perf_counter()
    kmeans.train(rows, init_centroids=first)
    return time.perf_counter() - begin, kmeans.centroids


def run_ours(program, folder, columns, means, iterations, threads):
    command = [program, folder, columns, means, iterations, threads]
    out = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    found = np.fromfile(Path(folder) / "means", "<f4").reshape(means, columns)
    return json.loads(out.stdout)["seconds"], found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=Path("target/release/examples/kmeans_rows"))
    parser.add_argument("--audio", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=0, help="columns of whitened rows (100 without audio)")
    parser.add_argument("--means", type=int, default=1_000)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(arguments.threads)
    rng = np.random.default_rng(1)
    if arguments.audio:
        rows = whitened(spectrogram_rows(arguments.audio, arguments.rows), arguments.columns)
    else:
        rows = directions(arguments.rows, arguments.columns or 100, rng)
    rows = np.ascontiguousarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)
    first = rows[rng.choice(len(rows), arguments.means, replace=False)].copy()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        rows.astype("<f4").tofile(Path(folder) / "rows")
        first.astype("<f4").tofile(Path(folder) / "first")
        for _ in range(arguments.repeats):
            seconds, faiss_means = run_faiss(rows, first, arguments.iterations)
            theirs.append(seconds)
            seconds, our_means = run_ours(
                arguments.program, folder, rows.shape[1], arguments.means, arguments.iterations, arguments.threads
            )
            ours.append(seconds)
    result = {
        "rows": rows.shape[0],
        "columns": rows.shape[1],
        "means": arguments.means,
        "iterations": arguments.iterations,
        "faiss_s": statistics.median(theirs),
        "ours_s": statistics.median(ours),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "faiss_mean_cosine": mean_cosine(rows, faiss_means),
        "our_mean_cosine": mean_cosine(rows, our_means),
    }
    print(json.dumps(result))
    # NaN fails too.
    if not result["our_mean_cosine"] >= result["faiss_mean_cosine"] - 1e-3:
        raise SystemExit("the mean cosine of ours is lower")


main()
