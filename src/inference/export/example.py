"""A tagger of tonotopy in PyTorch: `python example.py MODEL.safetensors` replays its test vectors."""
import json, sys
import numpy, torch
from safetensors import safe_open
from torch.nn.functional import linear, conv1d, max_pool1d, pad

with safe_open(sys.argv[1], "pt") as file:
    card = json.loads(file.metadata()["tonotopy"])
    w = {name: file.get_tensor(name) for name in file.keys()}
model, front_end = card["model"], card["model"]["front_end"]
if model["name"] != "tagger" or front_end["name"] != "strided" or "pool" in front_end:
    sys.exit("this example speaks of a tagger on raw audio without feature pooling; the card says what another model is")

def predict(audio):  # [samples] at card["sample_rate"], mono, in [-1, 1]
    length = card["excerpt_samples"]
    count = max(1, len(audio) // length)
    x = pad(audio, (0, max(0, length - len(audio))))[: count * length].reshape(count, 1, length)
    x = conv1d(x, w["front_end.weight"], w["front_end.bias"], stride=front_end["stride"]).relu()
    for i, stage in enumerate(model["stages"]):
        x = conv1d(x, w[f"stages.{i}.conv.weight"], w[f"stages.{i}.conv.bias"]).relu()
        x = max_pool1d(x, stage["pool"])
    x = linear(x.flatten(1), w["hidden.weight"], w["hidden.bias"]).relu()
    return linear(x, w["output.weight"], w["output.bias"]).sigmoid().mean(0)

def noise(count, state=1):  # the signal of the first test vector
    for _ in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        yield ((state >> 16) - 32768) / 32768

vector = card["test_vectors"][0]
found = predict(torch.tensor(list(noise(vector["samples"]))))
print("largest difference", (found - torch.tensor(vector["activations"])).abs().max().item())
