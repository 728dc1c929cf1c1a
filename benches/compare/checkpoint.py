"""Weights of a checkpoint of tonotopy, for the same network in PyTorch.

A burnpack file (model.bpk) is the magic number "NRUB", a u16 version, a u32 length, that many bytes of
CBOR (RFC 8949) that name type, shape and place of every tensor, and the tensors, from the next multiple
of 256 bytes on; all numbers but those of CBOR are little-endian.
"""

import struct
from pathlib import Path

import numpy as np
import torch

ALIGNMENT = 256


def decode(data, at=0):
    """One CBOR item, of the kinds that occur there, and where it ends."""
    major, short = data[at] >> 5, data[at] & 31
    at += 1
    if short >= 28:
        raise ValueError(f"CBOR of indefinite length at byte {at} is not expected here")
    value = short
    if short >= 24:
        size = 1 << (short - 24)
        value, at = int.from_bytes(data[at : at + size], "big"), at + size
    match major:
        case 0:
            return value, at
        case 2 | 3:
            text = data[at : at + value]
            return (text.decode() if major == 3 else text), at + value
        case 4 | 5:
            items = []
            for _ in range(value * (major - 3)):
                item, at = decode(data, at)
                items.append(item)
            return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
        case 7 if short < 24:
            return {20: False, 21: True, 22: None}[short], at
    raise ValueError(f"CBOR of major type {major} at byte {at} is not expected here")


def read_burnpack(path):
    """The tensors of a burnpack file by name, as float32 arrays."""
    data = Path(path).read_bytes()
    magic, version, length = struct.unpack_from("<4sHI", data)
    if magic != b"NRUB" or version != 1:
        raise SystemExit(f"{path} is no burnpack file of version 1")
    head = struct.calcsize("<4sHI") + length
    start = -(-head // ALIGNMENT) * ALIGNMENT
    tensors = {}
    for name, entry in decode(data[head - length : head])[0]["tensors"].items():
        if entry["dtype"] != "F32":
            raise SystemExit(f"{name} in {path} is of type {entry['dtype']}, not F32")
        first, end = (start + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[first:end], "<f4").reshape(entry["shape"])
    return tensors


def state_of(tensors):
    """The tensors under PyTorch's names, dense layers turned to [output, input]."""
    state = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("Tagger.").replace("front_end.Strided.", "front_end.")
        if name in ("hidden.weight", "output.weight"):
            tensor = tensor.T
        state[name] = torch.from_numpy(tensor.copy())
    return state


def load_checkpoint(model, run, which="best"):
    """Puts the weights of a run's checkpoint (`best`, `last`) into the model; every one of them."""
    folder = Path(run) / "checkpoints"
    name = (folder / which).read_text().strip()
    model.load_state_dict(state_of(read_burnpack(folder / name / "model.bpk")), strict=True)
