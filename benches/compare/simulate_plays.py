"""Simulates listening data with long-tailed users and items, and tastes that factors can represent.

A user has a number of songs (about log-normal) and a taste: three of `styles` styles, with shares.
An item has a popularity (log-normal) and one style. A song is drawn by popularity within one of the
user's styles, or, one time in five, among all; what is drawn twice counts once. Play counts have a
power tail.
"""

import numpy as np

# users, items, interactions
SIZES = {
    "1M": (40_000, 20_000, 1_000_000),
    "10M": (250_000, 100_000, 10_000_000),
    # The size of the Echo Nest Taste Profile.
    "taste": (1_019_318, 384_546, 48_373_586),
}


def simulate(users, items, interactions, seed=1, styles=200):
    """CSR arrays (offsets u64, columns u32, plays f32) with exactly this number of interactions."""
    rng = np.random.default_rng(seed)
    popularity = rng.lognormal(0.0, 2.1, items)
    style_of = rng.integers(0, styles, items)
    order = np.argsort(style_of, kind="stable")
    cumulated = np.cumsum(popularity[order])
    ends = np.searchsorted(style_of[order], np.arange(styles), side="right")
    starts = np.concatenate([[0], ends[:-1]])
    before = np.concatenate([[0.0], cumulated])
    overall = np.arange(items)[order]

    style_weight = before[ends] - before[starts]
    favourites = rng.choice(styles, (users, 3), p=style_weight / style_weight.sum()).astype(np.int16)
    activity = np.maximum(rng.lognormal(0.0, 1.06, users), 0.25)
    quota = rng.multinomial(interactions, activity / activity.sum())

    columns, counts = [], []
    # Sort users in groups of about a million interactions, which is faster.
    for group in np.array_split(np.arange(users), max(1, interactions // 1_000_000)):
        wanted = quota[group].sum()
        pairs = np.empty(0, np.int64)
        factor = 1.5
        while len(pairs) < wanted:
            user = np.repeat(np.arange(len(group)), np.ceil(factor * quota[group]).astype(np.int64))
            style = favourites[group[user], rng.choice(3, len(user), p=[0.6, 0.3, 0.1])]
            low, high = before[starts[style]], before[ends[style]]
            anything = rng.random(len(user)) < 0.2
            low[anything], high[anything] = 0.0, before[-1]
            at = np.searchsorted(cumulated, low + (high - low) * rng.random(len(user)), side="right")
            drawn = user * items + overall[np.minimum(at, items - 1)]
            pairs = np.unique(np.concatenate([pairs, drawn]))
            factor = 0.5
        pairs = np.sort(rng.permutation(pairs)[:wanted])
        user, item = np.divmod(pairs, items)
        columns.append(item.astype(np.uint32))
        counts.append(np.bincount(user, minlength=len(group)))
    columns = np.concatenate(columns)
    offsets = np.zeros(users + 1, np.uint64)
    offsets[1:] = np.cumsum(np.concatenate(counts))
    plays = np.minimum(np.floor(1.0 / rng.random(len(columns)) ** 0.7), 9667).astype(np.float32)
    return offsets, columns, plays


def save(directory, offsets, columns, plays, items):
    """Writes the format of `factorize_csr`."""
    directory.mkdir(parents=True, exist_ok=True)
    offsets.astype("<u8").tofile(directory / "offsets")
    columns.astype("<u4").tofile(directory / "columns")
    plays.astype("<f4").tofile(directory / "values")
    (directory / "items.txt").write_text(f"{items}\n")
