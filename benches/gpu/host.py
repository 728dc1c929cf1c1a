"""Prints the kernels per training step and the host's time per step on a GPU that executes nothing.

    python3 benches/gpu/host.py [NETWORK ...] --tonotopy target/release/tonotopy

`driver.sh` unpacks the driver. With `--system`, the kernels of the system's own GPU are counted and its steps timed instead.
Needs Python 3.11 and no packages.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
NETWORKS = {
    "mel": ("mel.toml", []),
    "strided": ("strided.toml", []),
    "strided-pooled": ("strided-pooled.toml", []),
    "latentnet": ("latentnet.toml", []),
    "musicnn": ("mel.toml", ['model={name="musicnn"}']),
}
# The log of CubeCL has one line per launch that begins with this.
LAUNCH = "| "


def environment(system: bool, gpu: str) -> dict[str, str]:
    """The environment variables that select the driver."""
    if system:
        return dict(os.environ)
    unpacked = subprocess.run([HERE / "driver.sh"], check=True, capture_output=True, text=True)
    mesa = pathlib.Path(unpacked.stdout.split()[-1])
    shim = next(mesa.rglob("libamdgpu_noop_drm_shim.so"))
    return os.environ | {
        "VK_DRIVER_FILES": str(mesa / "radeon.json"),
        "VK_ICD_FILENAMES": str(mesa / "radeon.json"),
        "AMDGPU_GPU_ID": gpu,
        "LD_PRELOAD": str(shim),
    }


def bench(tonotopy: pathlib.Path, network: str, rows: int, steps: int, variables: dict[str, str], directory: str) -> dict:
    """Runs `tonotopy bench` in `directory`, where CubeCL looks for its settings."""
    file, changes = NETWORKS[network]
    command = [tonotopy, "--device", "wgpu", "bench", HERE.parent / "compare" / "networks" / file, "--json"]
    command += ["--steps", str(steps), "--batch-size", str(rows)]
    command += [argument for change in changes for argument in ("--set", change)]
    done = subprocess.run(command, env=variables, cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"host.py: {network}, batches of {rows}: {done.stderr}")
    return json.loads(done.stdout)


def kernel_name(line: str) -> str:
    """`| not measured | some::path::KernelName<...>: Info {` becomes `KernelName`."""
    path = line.split("|")[2].strip().split("<")[0].split(": ")[0].split(" ")[0]
    return path.rstrip(":").split("::")[-1]


def launches(tonotopy: pathlib.Path, network: str, rows: int, variables: dict[str, str]) -> dict[str, float]:
    """The kernels of one training step, with the number of launches of each."""
    counts = []
    # Both runs also time the parts of 10 steps, so the longer one launches the kernels of 10 more steps.
    for steps in (10, 20):
        with tempfile.TemporaryDirectory() as directory:
            log = pathlib.Path(directory) / "launches.txt"
            settings = f'[profiling.logger]\nlevel = "full"\nfile = "{log}"\n'
            (pathlib.Path(directory) / "cubecl.toml").write_text(settings)
            bench(tonotopy, network, rows, steps, variables, directory)
            with log.open() as lines:
                counts.append(collections.Counter(kernel_name(line) for line in lines if line.startswith(LAUNCH)))
    few, many = counts
    return {name: (count - few[name]) / 10 for name, count in many.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--tonotopy", type=pathlib.Path, required=True, help="the program, a release build")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rows", type=int, nargs="+", default=[10, 32], help="excerpts per step")
    parser.add_argument("--gpu", default="navi31", help="a name that Mesa's AMDGPU_GPU_ID accepts")
    parser.add_argument("--system", action="store_true", help="use the system's GPU")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    for network in arguments.networks:
        if network not in NETWORKS:
            parser.error(f"network {network!r} is not one of {', '.join(NETWORKS)}")
    tonotopy = arguments.tonotopy.resolve()
    variables = environment(arguments.system, arguments.gpu)
    print("| network | batch | kernels per step | ms per step, median | least |")
    print("|---|---|---|---|---|", flush=True)
    results = []
    with tempfile.TemporaryDirectory() as directory:
        for network in arguments.networks or NETWORKS:
            for rows in arguments.rows:
                step = bench(tonotopy, network, rows, arguments.steps, variables, directory)["step_ms"]
                kernels = launches(tonotopy, network, rows, variables)
                row = {"network": network, "rows": rows, "kernels": kernels, "step_ms": step}
                results.append(row)
                times = f"{step['median']:.2f} | {step['min']:.2f}"
                print(f"| {network} | {rows} | {sum(kernels.values()):.1f} | {times} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
