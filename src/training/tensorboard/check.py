"""Reads a folder of event files as TensorBoard does and prints what it found as JSON.

Run: python check.py FOLDER   (needs tensorboard)
"""

import json
import sys

from tensorboard.backend.event_processing import event_accumulator

# 0 keeps every point; the default is to draw a sample of them.
folder = sys.argv[1]
accumulator = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0})
accumulator.Reload()
tags = accumulator.Tags()
# repr, for JSON has no NaN.
found = {tag: [[e.step, repr(e.value)] for e in accumulator.Scalars(tag)] for tag in tags["scalars"]}
print(json.dumps({"file_version": accumulator.file_version, "scalars": found}))
