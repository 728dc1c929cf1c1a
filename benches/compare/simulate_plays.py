"""Simulated listening data: long-tailed users and items, and tastes that factors can find.

A user has a number of songs (log-normal, at least 10), and a taste: three of `styles` styles, with shares.
An item has a popularity (log-normal) and one style. A song is drawn by popularity within one of the
user's styles, or, one time in five, among all; what is drawn twice counts once. Play counts have a
power tail.
"""

import numpy as np

# users, items, interactions
SIZES = {
    "1M": (40_000, 20_000, 1_000_000),
    "10M": (250_000, 100_000, 10_000_000),
    # The Echo Nest Taste Profile's.
    "taste": (1_019_318, 384_546, 48_373_586),
}


def simulate(users, items, interactions, seed=1, styles=200):
    """CSR arrays (offsets u64, columns u32, plays f32) with exactly so many interactions."""
    rng = np.random.default_rng(seed)
    popularity = rng.lognormal(0.0, 2.1, items)
    style_of = rng.integers(0, styles, items)
    order = np.argsort(style_of, kind="stable")
    cumulated = np.cumsum(popularity[order])
    ends = np.searchsorted(style_of[order], np.arange(styles), side="right")
    starts = np.concatenate([[0], ends[:-1]])
    before = np.concatenate([[0.0], cumulated])
    overall = np.arange(items)[order]

    activity = np.maximum(rng.lognormal(0.0, 1.06, users), 0.25)
    style_weight = before[ends] - before[starts]
    favourites = rng.choice(styles, (users, 3), p=style_weight / style_weight.sum()).astype(np.int16)
    # Stop as soon as enough different pairs are there; each round draws what lacks, and then some.
    pairs = np.empty(0, np.int64)
    while len(pairs) < interactions:
        draws = int((interactions - len(pairs)) * 1.3) + 1000
        counts = rng.multinomial(draws, activity / activity.sum())
        user = np.repeat(np.arange(users), counts)
        style = favourites[user, rng.choice(3, len(user), p=[0.6, 0.3, 0.1])]
        low, high = before[starts[style]], before[ends[style]]
        anything = rng.random(len(user), dtype=np.float32) < 0.2
        low[anything], high[anything] = 0.0, before[-1]
        at = np.searchsorted(cumulated, low + (high - low) * rng.random(len(user)), side="right")
        drawn = user * items + overall[np.minimum(at, items - 1)]
        pairs = np.unique(np.concatenate([pairs, drawn]))
    excess = rng.choice(len(pairs), len(pairs) - interactions, replace=False)
    pairs = np.delete(pairs, excess)
    user, item = np.divmod(pairs, items)
    offsets = np.zeros(users + 1, np.uint64)
    offsets[1:] = np.cumsum(np.bincount(user, minlength=users))
    plays = np.minimum(np.floor(1.0 / rng.random(len(pairs)) ** 0.7), 9667).astype(np.float32)
    return offsets, item.astype(np.uint32), plays


def save(directory, offsets, columns, plays, items):
    """As `factorize_csr` reads it."""
    directory.mkdir(parents=True, exist_ok=True)
    offsets.astype("<u8").tofile(directory / "offsets")
    columns.astype("<u4").tofile(directory / "columns")
    plays.astype("<f4").tofile(directory / "values")
    (directory / "items.txt").write_text(f"{items}\n")
