"""Loads the weights of a tonotopy checkpoint into the same network in PyTorch.

A burnpack file (model.bpk) consists of the magic number "NRUB", a u16 version, a u32 length, that many bytes of CBOR
(RFC 8949) with type, shape and offset of every tensor, and the tensors, starting at the next multiple of 256 bytes.
All numbers outside CBOR are little-endian.
"""

import struct
from pathlib import Path

import numpy as np
import torch

ALIGNMENT = 256


def decode(data, at=0):
    """Decodes one CBOR item of the types that checkpoints use; returns it and its end."""
    major, short = data[at] >> 5, data[at] & 31
    at += 1
    if short >= 28:
        raise ValueError(f"CBOR of indefinite length at byte {at} is not supported")
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
    raise ValueError(f"CBOR of major type {major} at byte {at} is not supported")


def read_burnpack(path):
    """The tensors of a burnpack file by name, as float32 arrays."""
    data = Path(path).read_bytes()
    magic, version, length = struct.unpack_from("<4sHI", data)
    if magic != b"NRUB" or version != 1:
        raise SystemExit(f"{path} is not a burnpack file of version 1")
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
    """The tensors with the names of PyTorch, dense layers transposed to [output, input]."""
    state = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("Tagger.").replace("front_end.Strided.", "front_end.")
        if name in ("hidden.weight", "output.weight"):
            tensor = tensor.T
        state[name] = torch.from_numpy(tensor.copy())
    return state


def load_checkpoint(model, run, which="best"):
    """Loads all weights of a run's checkpoint (`best` or `last`) into the model."""
    folder = Path(run) / "checkpoints"
    name = (folder / which).read_text().strip()
    model.load_state_dict(state_of(read_burnpack(folder / name / "model.bpk")), strict=True)
