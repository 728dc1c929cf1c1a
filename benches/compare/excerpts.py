"""Sampling of training excerpts by the rule of src/data/sampler.rs.

Every draw is a function of (seed, position), so that independent programs draw the same excerpts. The generator is
Philox4x64-10. numpy.random has it too, but counts from block to block; this one computes single blocks, on arrays.
"""

import numpy as np

ORDER, PLACE = 1, 2
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def high(a, b):
    """The upper 64 bits of the products of 64-bit numbers, by schoolbook multiplication."""
    a, b = np.asarray(a, np.uint64), np.asarray(b, np.uint64)
    a_low, a_high, b_low, b_high = a & LOW, a >> HALF, b & LOW, b >> HALF
    middle = a_high * b_low + (a_low * b_low >> HALF)
    return a_high * b_high + (middle >> HALF) + (a_low * b_high + (middle & LOW) >> HALF)


def philox(key, counter):
    """Four random 64-bit words per counter (four numbers, or arrays of equal length)."""
    with np.errstate(over="ignore"):
        c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
        k0, k1 = (np.asarray(word, np.uint64) for word in key)
        m0, m1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
        for _ in range(10):
            c0, c1, c2, c3 = high(m1, c2) ^ c1 ^ k0, m1 * c2, high(m0, c0) ^ c3 ^ k1, m0 * c0
            k0, k1 = k0 + np.uint64(0x9E3779B97F4A7C15), k1 + np.uint64(0xBB67AE8584CAA73B)
        return c0, c1, c2, c3


def below(x, n):
    """Integers in 0..n from 64 random bits."""
    return high(x, n)


def order(seed, epoch, tracks):
    """The order of the tracks in an epoch (Fisher-Yates)."""
    result = np.arange(tracks)
    places = np.arange(tracks - 1, 0, -1)
    draws = below(philox([seed, ORDER], [epoch, places, 0, 0])[0], places + 1)
    for j, k in zip(places.tolist(), draws.tolist()):
        result[j], result[k] = result[k], result[j]
    return result


class ExcerptSampler:
    """Draws training excerpts from tracks of the given lengths (samples)."""

    def __init__(self, seed, batch_size, excerpt_samples, lengths):
        self.seed, self.batch_size, self.lengths = seed, batch_size, lengths
        self.places = np.array([max(length - excerpt_samples, 0) + 1 for length in lengths])
        self.orders = {}

    def batch(self, step):
        """The (track, start) pairs of a step's batch; starts in samples."""
        tracks = len(self.lengths)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs = positions // tracks
        for epoch in set(epochs.tolist()) - self.orders.keys():
            self.orders[epoch] = order(self.seed, epoch, tracks)
        self.orders = {epoch: self.orders[epoch] for epoch in set(epochs.tolist())}
        chosen = [self.orders[e][p % tracks] for e, p in zip(epochs.tolist(), positions.tolist())]
        starts = below(philox([self.seed, PLACE], [positions, 0, 0, 0])[0], self.places[chosen])
        return list(zip((int(track) for track in chosen), starts.tolist()))


def consecutive(lengths, excerpt_samples):
    """The (track, start) pairs over which the predictions of tracks are averaged."""
    return [
        (track, i * excerpt_samples)
        for track, length in enumerate(lengths)
        for i in range(max(length // excerpt_samples, 1))
    ]
