"""Prints reference.json: scikit-learn's grid search within cross-validation, on the folds in folds.json.

Run: python reference.py > reference.json   (needs numpy and scikit-learn)

Rows and folds are formulas that tests.rs repeats, so that only the results are stored.
"""

import json

import numpy as np
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

COUNT, COLUMNS, CLASSES = 90, 7, 3
COSTS = [1e-4, 1e-2, 1.0]

i, j = np.meshgrid(np.arange(COUNT), np.arange(COLUMNS), indexing="ij")
x = np.sin(1.7 * i + 0.9 * j * j) + 0.6 * np.cos(0.37 * i * (j + 1)) + 0.9 * ((i % 3) == (j % 3)) + 5.0 * j
x = x.astype(np.float32).astype(np.float64)
y = np.arange(COUNT) % CLASSES
# The folds that tests.rs writes.
outer = np.array(json.load(open("folds.json"))["outer"])
inner_of = {int(k): v for k, v in json.load(open("folds.json"))["inner"].items()}

folds = []
for fold in range(outer.max() + 1):
    train, held = outer != fold, outer == fold
    pipe = make_pipeline(StandardScaler(), LinearSVC(dual=False, tol=1e-9, max_iter=100_000))
    search = GridSearchCV(pipe, {"linearsvc__C": COSTS}, cv=PredefinedSplit(inner_of[fold]), scoring="accuracy")
    search.fit(x[train], y[train])
    inner = np.array(inner_of[fold])
    # The number of correct rows, since the sizes of folds can differ by one.
    right = [
        sum(
            (make_pipeline(StandardScaler(), LinearSVC(C=c, dual=False, tol=1e-9, max_iter=100_000))
             .fit(x[train][inner != k], y[train][inner != k]).predict(x[train][inner == k]) == y[train][inner == k]).sum()
            for k in range(inner.max() + 1)
        )
        for c in COSTS
    ]
    cost = COSTS[int(np.argmax(right))]
    final = make_pipeline(StandardScaler(), LinearSVC(C=cost, dual=False, tol=1e-9, max_iter=100_000)).fit(x[train], y[train])
    folds.append({"accuracy": float((final.predict(x[held]) == y[held]).mean()), "cost": cost,
                  "search_cost": float(search.best_params_["linearsvc__C"]),
                  "decisions": final.decision_function(x[held]).ravel().tolist()})
print(json.dumps(folds))
