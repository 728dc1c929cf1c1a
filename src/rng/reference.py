"""Prints reference.json: raw numbers of numpy.random.Philox for the test of rng.rs.

Run: python reference.py > reference.json   (needs numpy)
"""

import json

import numpy as np


def words(number, count):
    return [(number >> (64 * i)) & (2**64 - 1) for i in range(count)]


blocks = []
keys = [0, 1, 2**64, 12345 + (678 << 64), 2**128 - 1, 0x0123456789ABCDEFFEDCBA9876543210]
counters = [0, 1, 2**64 - 1, 2**64, 5 + (7 << 64) + (11 << 128) + (13 << 192), 2**256 - 1]
for key in keys:
    for counter in counters:
        # NumPy adds one before it makes its first block.
        given = (counter - 1) % 2**256
        raw = np.random.Philox(key=key, counter=given).random_raw(4)
        blocks.append(
            {"key": words(key, 2), "counter": words(counter, 4), "raw": [int(x) for x in raw]}
        )
lines = ",\n".join(json.dumps(block) for block in blocks)
print(f"[\n{lines}\n]")
