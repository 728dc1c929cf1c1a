"""Runs every model of a folder in onnxruntime and compares its outputs with the stored ones.

FOLDER/NAME/model.onnx, and for every input FOLDER/NAME/BATCHxSAMPLES.{audio,activations,embeddings}: float32,
little-endian, row-major. Fails if onnx's checker fails, a value is not finite, or a
difference exceeds 1e-5 of the largest expected value of the output (at least of 1).
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-5

failed = 0
for folder in sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if path.is_dir()):
    file = folder / "model.onnx"
    onnx.checker.check_model(onnx.load(file), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    worst = []
    for audio in sorted(folder.glob("*.audio")):
        batch, samples = map(int, audio.stem.split("x"))
        x = np.fromfile(audio, "<f4").reshape(batch, samples)
        outputs = session.run(["activations", "embeddings"], {"audio": x})
        for name, found in zip(["activations", "embeddings"], outputs):
            expected = np.fromfile(audio.with_suffix("." + name), "<f4").reshape(batch, -1)
            assert found.shape == expected.shape, (folder.name, name, found.shape, expected.shape)
            off = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
            worst.append(off)
            if not off <= TOLERANCE:
                failed += 1
                print(f"{folder.name} {audio.stem}: {name} off by {off:.1e}")
    print(f"{folder.name}: {max(worst):.1e} at most, {file.stat().st_size} bytes")
sys.exit(failed > 0)
