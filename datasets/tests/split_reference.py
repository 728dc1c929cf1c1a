"""Writes split_reference.csv: splits by artist as the definition in split.rs has them, made without it.

Needs Python 3 and the package blake3 (1.0 was used): python split_reference.py > split_reference.csv
"""

import struct

from blake3 import blake3

NAMES = ["train", "valid", "test"]


def split(sizes, shares, seed):
    """Largest artist first, equal ones by hash; each goes where the most tracks are missing."""
    key = lambda name: (-sizes[name], blake3(struct.pack("<Q", seed) + name.encode()).digest())
    wanted = [sum(sizes.values()) * share / sum(shares) for share in shares]
    sides = {}
    order = sorted(sizes, key=key)
    for done, name in enumerate(order):
        have = [sum(sizes[n] for n, s in sides.items() if s == side) for side in range(3)]
        empty = [side for side in range(3) if side not in sides.values()]
        allowed = empty if len(empty) >= len(order) - done else range(3)
        sides[name] = max(allowed, key=lambda side: (wanted[side] - have[side], -side))
    return sides


sizes = {f"artist {i}": i * 7 % 9 + 1 for i in range(40)}
print("shares,seed,artist,split")
for shares in [(8, 1, 1), (2, 1, 1)]:
    for seed in [0, 1, 2**64 - 1]:
        sides = split(sizes, shares, seed)
        for artist in sizes:
            print(f"{'/'.join(map(str, shares))},{seed},{artist},{NAMES[sides[artist]]}")
