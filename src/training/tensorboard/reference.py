"""Prints reference.hex: an event file made with TensorBoard's own messages and record writer.

Run: python reference.py > reference.hex   (needs tensorboard)

The events are those of the test `bytes_are_tensorboards_own` in tests.rs, one record a line.
"""

import io

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def scalar(wall_time, step, tag, value):
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])
    return event_pb2.Event(wall_time=wall_time, step=step, summary=summary)


START = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
events = [
    event_pb2.Event(wall_time=1400000000.25, file_version="brain.Event:2"),
    event_pb2.Event(wall_time=1400000001.0, step=12001, session_log=START),
    event_pb2.Event(wall_time=1400000001.5, session_log=START),
    scalar(1400000002.125, 0, "loss/train", 0.7123),
    scalar(1400000003.5, 127, "roc_auc_macro", 0.5),
    scalar(1400000004.5, 128, "a", -1.5e-30),
    scalar(1400000005.0, 12_000_000, "größe/" + 150 * "x", float("inf")),
    scalar(1400000006.0, 2**63 - 1, "zero", 0.0),
]
for event in events:
    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    print(buffer.getvalue().hex())
