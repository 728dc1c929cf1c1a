"""Prints reference.json: Student's t quantiles and spreads for the test of spread.rs.

Run: python reference.py > reference.json   (needs numpy and scipy)
"""

import json

import numpy as np
from scipy import stats

rng = np.random.default_rng(1933)
spreads = []
for runs in [2, 3, 5, 10, 31]:
    values = rng.normal(0.88, 0.004, runs)
    low, high = stats.t.interval(0.95, runs - 1, loc=values.mean(), scale=stats.sem(values))
    spreads.append(
        {"values": values.tolist(), "mean": float(values.mean()),
         "deviation": float(values.std(ddof=1)), "low": float(low), "high": float(high)}
    )
degrees = [1, 2, 3, 4, 5, 6, 7, 9, 10, 19, 29, 30, 100, 999, 10_000]
quantiles = [[n, float(stats.t.ppf(0.975, n))] for n in degrees]
print(json.dumps({"t_quantiles": quantiles, "spreads": spreads}, indent=1))
