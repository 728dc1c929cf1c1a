"""Writes the grid of experiments in this folder: a file for each representation, number of frames, number of means
and choice of levels.

Run: python write.py    (needs nothing but Python)
"""

from pathlib import Path

HERE = Path(__file__).parent

REPRESENTATIONS = [
    ("multiresolution", "multiresolution spectrograms", '{ name = "multiresolution" }', [1]),
    ("gaussian", "Gaussian pyramid", '{ name = "pyramid", kind = "gaussian" }', [1, 2, 4]),
    ("laplacian", "Laplacian pyramid", '{ name = "pyramid", kind = "laplacian" }', [1, 2, 4]),
]

MAGNATAGATUNE = """\
[dataset]
name = "magnatagatune"
root = "magnatagatune"
split = "pons2017"
tags = 50
"""

MANIFEST = """\
[dataset]
name = "manifest"
root = "{root}"
"""

TRAINING = """\
[training]
excerpt_seconds = {seconds}
batch_size = {batch}
optimizer = {{ name = "adam", learning_rate = 0.001 }}
schedule = {{ name = "cosine" }}
steps = {steps}
valid_every = {valid}
patience = 10
"""

STUDIES = {
    "magnatagatune": {
        "dataset": MAGNATAGATUNE,
        "training": TRAINING.format(seconds="29.0", batch=100, steps="20_000", valid=500),
        "means": [0, 200, 500, 1000],
        # Every representation, every number of means, each level alone.
        "alone": lambda kind, frames, means: True,
        "windows": 400_000,
    },
    "rendered": {
        "dataset": MANIFEST.format(root="rendered/manifest-random.csv"),
        "training": TRAINING.format(seconds="15.0", batch=20, steps="2_000", valid=100),
        "means": [0, 200, 500],
        "alone": lambda kind, frames, means: kind != "gaussian" and frames == 1 and means == 500,
        "windows": 100_000,
    },
    "nsynth": {
        "dataset": MANIFEST.format(root="nsynth/manifest-pitch.csv"),
        "training": TRAINING.format(seconds="4.0", batch=20, steps="2_000", valid=100),
        "means": [0, 200, 500],
        "alone": lambda kind, frames, means: kind != "gaussian" and frames == 1 and means == 500,
        "windows": 100_000,
    },
}

PAPER = """
[paper]
metric = "roc_auc_macro"
value = {value}
source = "P1"
certainty = "read in a later summary of the paper; for which number of means is not known"
"""

FIGURES = {"multiresolution": 0.888, "laplacian": 0.898}


def write(study, plan, kind, what, front_end, frames, means, level):
    features = f"{means} means" if means else "whitened windows"
    levels = "all levels" if level is None else f"level {level} alone"
    window = "" if kind == "multiresolution" else f", windows of {frames} frame{'s'[: frames > 1]}"
    model = [f"front_end = {front_end}", f"frames = {frames}", f"means = {means}"]
    if means:
        model.append(f"windows = {plan['windows']:_}")
    if level is not None:
        model.append(f"levels = [{level}]")
    lines = "\n".join(model)
    text = f'about = "P1: {what}{window}, {features}, {levels}"\nseed = 1\n\n{plan["dataset"]}\n'
    text += f'[model]\nname = "multiscale"\n{lines}\n\n{plan["training"]}'
    if study == "magnatagatune" and level is None and frames == 1 and means == 500 and kind in FIGURES:
        text += PAPER.format(value=FIGURES[kind])
    name = kind if kind == "multiresolution" else f"{kind}-{frames}"
    name += f"-k{means}" if means else "-pca"
    name += "" if level is None else f"-level{level}"
    (HERE / study / f"{name}.toml").write_text(text)


def main():
    for study, plan in STUDIES.items():
        (HERE / study).mkdir(exist_ok=True)
        for old in (HERE / study).glob("*.toml"):
            old.unlink()
        for kind, what, front_end, frame_counts in REPRESENTATIONS:
            for frames in frame_counts:
                for means in plan["means"]:
                    alone = plan["alone"](kind, frames, means)
                    for level in [None, *(range(4) if alone else [])]:
                        write(study, plan, kind, what, front_end, frames, means, level)


main()
