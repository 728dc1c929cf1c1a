"""Computes factors with alternating least squares in Spark, as a directory that tonotopy reads.

    pip install pyspark==4.3.0 numpy          # and Java 17 or newer
    python benches/compare/factors_spark.py plays.csv --out factors --factors 20
    tonotopy recommend factors --user anna --interactions plays.csv
    tonotopy similar factors SONG
    tonotopy train experiment.toml --set factorization.root=factors

The table is `user,item,count` with a header. Spark identifies users and items by 32-bit numbers, so this script
numbers the ids and writes them to `users.txt` and `items.txt`, one per line in the order of the rows.

Spark has another objective: with `implicitPrefs` its confidence is 1 + alpha r, linear in the plays, and its regularization
is multiplied by the number of plays of a row.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("table", type=Path)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--factors", type=int, default=20)
parser.add_argument("--iterations", type=int, default=15)
parser.add_argument("--alpha", type=float, default=1.0)
parser.add_argument("--regularization", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=1)
arguments = parser.parse_args()

users, items, rows = {}, {}, []
with arguments.table.open(newline="", encoding="utf-8-sig") as file:
    for row in csv.DictReader(file):
        user = users.setdefault(row["user"], len(users))
        item = items.setdefault(row["item"], len(items))
        rows.append((user, item, float(row["count"])))

spark = SparkSession.builder.master("local[2]").appName("factors").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
plays = spark.createDataFrame(rows, ["user", "item", "count"])
als = ALS(
    rank=arguments.factors, maxIter=arguments.iterations, alpha=arguments.alpha, regParam=arguments.regularization,
    implicitPrefs=True, userCol="user", itemCol="item", ratingCol="count", seed=arguments.seed,
)
model = als.fit(plays)

arguments.out.mkdir(parents=True)
for name, ids, table in [("user", users, model.userFactors), ("item", items, model.itemFactors)]:
    factors = np.zeros((len(ids), arguments.factors), dtype=np.float32)
    for row in table.collect():
        factors[row["id"]] = row["features"]
    np.save(arguments.out / f"{name}_factors.npy", factors)
    (arguments.out / f"{name}s.txt").write_text("".join(f"{key}\n" for key in ids), encoding="utf-8")
spark.stop()
print(f"{arguments.out}: {len(users)} users, {len(items)} items, {arguments.factors} factors")
