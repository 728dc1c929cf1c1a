"""Tests of the reference: run `python -m unittest` in this directory."""

import math
import tempfile
import unittest
from pathlib import Path

import librosa
import numpy as np
import torch
from torch.nn import functional as F

from agree import mean_and_deviation
from checkpoint import decode
from excerpts import ExcerptSampler, below, consecutive, order, philox
from leaf import Grouped, Leaf
from metrics_sklearn import difference
from network import Mel, Strided, Tagger
from run_folder import Audio, read_predictions, scores, settings, write_predictions
from train_reference import make_optimizer, rate_factor


class Energies(unittest.TestCase):
    def test_leaf_is_its_definition(self):
        x = np.random.default_rng(1).uniform(-1, 1, 1_000)
        with torch.no_grad():
            model = Leaf(5)
            found = model.energies(torch.tensor(x[None], dtype=torch.float32))[0].numpy()
        mu, sigma = model.mu.detach().numpy(), model.sigma.detach().numpy()
        t = np.arange(-200, 201)
        self.assertEqual(found.shape, (5, 7))
        for band in range(5):
            gabor = np.exp(-(t**2) / (2 * sigma[band] ** 2) + 1j * mu[band] * t) / math.sqrt(2 * math.pi) / sigma[band]
            padded = np.pad(x, 200)
            energies = np.abs([padded[n : n + 401] @ gabor for n in range(1_000)]) ** 2
            padded = np.pad(energies, 200)
            window = np.exp(-0.5 * (t / 80) ** 2)
            expected = [padded[160 * f : 160 * f + 401] @ window for f in range(7)]
            np.testing.assert_allclose(found[band], expected, rtol=1e-4, atol=1e-9)

    def test_groups_of_stride_1_are_leaf(self):
        x = torch.rand(2, 2_000) - 0.5
        with torch.no_grad():
            leaf = Leaf(12)
            grouped = Grouped(12, groups=3, length_factor=12.0, stride_factor=0.0)
            # Narrow filters, which 401 taps do not truncate.
            leaf.sigma.clamp_(max=30.0)
            grouped.sigma.clamp_(max=30.0)
            torch.testing.assert_close(grouped(x), leaf(x), rtol=1e-4, atol=1e-4)


class Excerpts(unittest.TestCase):
    def test_philox_is_that_of_numpy(self):
        words = lambda number, count: [number >> 64 * i & 2**64 - 1 for i in range(count)]
        for key in (0, 1, 12345 + (678 << 64), 2**128 - 1):
            for counter in (0, 1, 2**64, 5 + (7 << 64) + (11 << 128) + (13 << 192), 2**256 - 1):
                # NumPy increments the counter before the first block.
                expected = np.random.Philox(key=key, counter=(counter - 1) % 2**256).random_raw(4)
                found = philox(words(key, 2), words(counter, 4))
                self.assertEqual([int(x) for x in found], [int(x) for x in expected])

    def test_below_is_the_high_half_of_the_product(self):
        draws = np.random.default_rng(1).integers(0, 2**64, 100, dtype=np.uint64, endpoint=False)
        for n in (1, 2, 3, 1000, 2**40 + 7):
            expected = [int(x) * n >> 64 for x in draws]
            self.assertEqual([int(x) for x in below(draws, n)], expected)

    def test_every_track_comes_once_an_epoch(self):
        sampler = ExcerptSampler(7, 4, 100, [500, 50, 100, 101, 400, 300])
        seen = [pair for step in range(9) for pair in sampler.batch(step)]
        for epoch in range(6):
            self.assertEqual(sorted(track for track, _ in seen[6 * epoch : 6 * epoch + 6]), list(range(6)))
        for track, start in seen:
            self.assertLessEqual(start, max([500, 50, 100, 101, 400, 300][track] - 100, 0))
        self.assertNotEqual(order(1, 0, 50).tolist(), order(1, 1, 50).tolist())
        self.assertNotEqual(order(1, 0, 50).tolist(), order(2, 0, 50).tolist())

    def test_consecutive_excerpts_are_whole(self):
        self.assertEqual(consecutive([250, 30, 100], 100), [(0, 0), (0, 100), (1, 0), (2, 0)])


class Networks(unittest.TestCase):
    def test_mel_is_that_of_librosa(self):
        x = np.random.default_rng(0).standard_normal(8_000).astype(np.float32) * 0.1
        for extra in ({}, {"n_fft": 400, "hop_length": 160, "n_mels": 40, "mel_scale": "htk", "norm": "none"},
                      {"win_length": 300, "f_min": 50.0, "f_max": 7000.0, "center": True}):
            mel = Mel({"name": "mel"} | extra)
            c = mel.config
            expected = librosa.feature.melspectrogram(
                y=x.astype(np.float64), sr=c.sample_rate, n_fft=c.n_fft, hop_length=c.hop_length, n_mels=c.n_mels,
                win_length=c.win_length, fmin=c.f_min, fmax=c.f_max, htk=c.mel_scale == "htk", center=c.center,
                norm=None if c.norm == "none" else "slaney", pad_mode="constant", power=c.power, dtype=np.float64,
            )
            expected = np.log1p(c.compression * expected)
            found = mel(torch.from_numpy(x)[None])[0].numpy()
            self.assertEqual(found.shape, expected.shape)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    def test_parameters_are_those_that_the_literature_counts(self):
        count = lambda model: sum(parameter.numel() for parameter in model.parameters())
        strided = {"name": "strided"}
        self.assertEqual(count(Tagger({"name": "tagger", "front_end": strided}, 50, 48_000)), 74_974 + 128 * 257)
        mel = {"name": "mel", "n_fft": 256}
        self.assertEqual(count(Tagger({"name": "tagger", "front_end": mel}, 50, 48_000)), 74_974)

    def test_partial_pools_are_kept_where_nothing_else_is_left(self):
        front_end = {"name": "strided", "length": 1024, "stride": 1024}
        model = Tagger({"name": "tagger", "front_end": front_end}, 5, 48_000)
        self.assertEqual([stage.padding for stage in model.stages], [0, 2])
        self.assertEqual(model(torch.zeros(2, 48_000)).shape, (2, 5))

    def test_pools_by_hand(self):
        for kind, expected in (("l2", [math.sqrt(26), math.sqrt(53)]), ("max", [5.0, 2.0])):
            layer = Strided({"name": "strided", "filters": 2, "length": 2, "stride": 2,
                             "pool": {"kind": kind, "size": 2}})
            layer.weight.data = torch.tensor([[[1.0, 2.0]], [[1.0, -1.0]]])
            found = layer(torch.tensor([[1.0, 2.0, -1.0, -3.0]]))[0, 0].tolist()
            np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_first_weights_fill_their_range(self):
        torch.manual_seed(0)
        model = Tagger({"name": "tagger", "front_end": {"name": "strided"}}, 50, 48_000)
        for weight, bound in ((model.front_end.weight, math.sqrt(6 / 256)), (model.output.weight, 0.1),
                              (model.stages[0].conv.weight, math.sqrt(6 / 1024)),
                              (model.hidden.weight, math.sqrt(6 / 288))):
            self.assertLessEqual(weight.abs().max().item(), bound)
            self.assertAlmostEqual(weight.std().item() / (bound / math.sqrt(3)), 1, delta=0.05)
        biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
        self.assertTrue(biases and all((bias == 0).all() for bias in biases))

    def test_a_key_that_is_not_known_ends_the_program(self):
        with self.assertRaises(SystemExit):
            settings({"a": 1, "b": 2}, a=0)
        with self.assertRaises(SystemExit):
            Tagger({"name": "samplecnn"}, 5, 48_000)


class Training(unittest.TestCase):
    def test_schedules_at_their_corners(self):
        steps = {"name": "steps", "at": [800, 900], "factor": 0.1}
        found = [rate_factor(steps, at, 1000, 0) for at in (0, 799, 800, 900)]
        np.testing.assert_allclose(found, [1, 1, 0.1, 0.01])
        cosine = {"name": "cosine", "last": 0.2}
        np.testing.assert_allclose([rate_factor(cosine, at, 101, 0) for at in (0, 50, 100)], [1, 0.6, 0.2])
        one_cycle = {"name": "one-cycle", "rise": 0.25, "first": 0.04, "last": 0.0}
        np.testing.assert_allclose([rate_factor(one_cycle, at, 401, 0) for at in (0, 100, 400)], [0.04, 1, 0])
        warm = [rate_factor({"name": "constant"}, at, 100, 4) for at in range(6)]
        np.testing.assert_allclose(warm, [0.25, 0.5, 0.75, 1, 1, 1])

    def test_optimizers_take_their_settings(self):
        parameter = [torch.nn.Parameter(torch.zeros(1))]
        sgd = make_optimizer({"name": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": True}, parameter)
        self.assertEqual((sgd.defaults["momentum"], sgd.defaults["nesterov"], sgd.defaults["dampening"]), (0.8, True, 0))
        adam = make_optimizer({"name": "adam", "learning_rate": 0.1, "beta_2": 0.9}, parameter)
        self.assertEqual((adam.defaults["betas"], adam.defaults["eps"]), ((0.9, 0.9), 1e-8))
        self.assertEqual(make_optimizer({"name": "adamw", "learning_rate": 0.1}, parameter).defaults["weight_decay"], 0.01)


class Files(unittest.TestCase):
    def test_cached_audio(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "entry.audio"
            head = np.zeros(128, np.uint8)
            head[:8] = np.frombuffer(b"TONOTOPY", np.uint8)
            head[8:16] = np.array([1, 16_000], "<u4").view(np.uint8)
            head[16:24] = np.array([3], "<u8").view(np.uint8)
            head[24:28] = np.array([2**-15], "<f4").view(np.uint8)
            path.write_bytes(head.tobytes() + np.array([16384, -32768, 8192], "<i2").tobytes())
            audio = Audio(path, 16_000)
            self.assertEqual(len(audio), 3)
            self.assertEqual(audio.excerpt(1, 4).tolist(), [-1.0, 0.25, 0.0, 0.0])
            with self.assertRaises(SystemExit):
                Audio(path, 22_050)

    def test_predictions_survive_their_file(self):
        values = np.random.default_rng(2).random((5, 2), np.float32)
        values[0] = [1e-9, 1.0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "predictions.csv"
            write_predictions(path, list("abcde"), ["one, two", "three"], values)
            ids, tags, again = read_predictions(path)
        self.assertEqual((ids, tags), (list("abcde"), ["one, two", "three"]))
        self.assertTrue((again == values).all())

    def test_scores_leave_out_tags_of_one_kind(self):
        targets = np.array([[1, 0], [0, 0], [1, 0]], np.float32)
        found = scores(np.array([[0.9, 0.1], [0.2, 0.3], [0.1, 0.2]]), targets, ["a", "b"])
        self.assertEqual(found["n_tags_scored"], 1)
        self.assertEqual(found["roc_auc_macro"], 0.5)
        self.assertEqual(found["per_tag"]["b"], {"roc_auc": None, "pr_auc": None, "positives": 0})

    def test_cbor(self):
        data = bytes.fromhex("a26161820119010061626378797a")  # {"a": [1, 256], "b": "xyz"}
        self.assertEqual(decode(data), ({"a": [1, 256], "b": "xyz"}, len(data)))

    def test_nan_is_never_close(self):
        mean, deviation = mean_and_deviation([0.5, math.nan, 0.5])
        self.assertFalse(abs(mean - 0.5) <= 0.01)
        self.assertTrue(math.isnan(deviation) and math.isnan(difference(None, 0.5)))
        self.assertEqual(mean_and_deviation([1.0, 2.0, 3.0]), (2.0, 1.0))


if __name__ == "__main__":
    unittest.main()
