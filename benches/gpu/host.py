"""Prints the kernels per training step and the host's time per step on a GPU that executes nothing.

    python3 benches/gpu/host.py [NETWORK ...] --tonotopy target/release/tonotopy

`driver.sh` unpacks the driver. With `--system`, the steps of the system's own GPU are timed instead, where a step ends when
the GPU is done. With `--inference`, a step is a prediction.
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


class Program:
    """`tonotopy bench` on a GPU."""

    def __init__(self, tonotopy: pathlib.Path, inference: bool, variables: dict[str, str]):
        self.command = [tonotopy, "--device", "wgpu", "bench", "--json"] + ["--inference"] * inference
        self.variables = variables

    def bench(self, network: str, rows: int, steps: int, directory: str) -> dict:
        """Runs it in `directory`, where CubeCL looks for its settings."""
        file, changes = NETWORKS[network]
        command = [*self.command, HERE.parent / "compare" / "networks" / file]
        command += ["--steps", str(steps), "--batch-size", str(rows)]
        command += [argument for change in changes for argument in ("--set", change)]
        done = subprocess.run(command, env=self.variables, cwd=directory, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def kernels(self, network: str, rows: int) -> dict[str, float]:
        """The kernels of one step, with the number of launches of each."""
        counts = []
        # Both runs also time the parts of 10 steps, so the longer one launches the kernels of 10 more steps.
        for steps in (10, 20):
            with tempfile.TemporaryDirectory() as directory:
                log = pathlib.Path(directory) / "launches.txt"
                settings = f'[profiling.logger]\nlevel = "full"\nfile = "{log}"\n'
                (pathlib.Path(directory) / "cubecl.toml").write_text(settings)
                self.bench(network, rows, steps, directory)
                with log.open() as lines:
                    counts.append(collections.Counter(kernel_name(line) for line in lines if line.startswith(LAUNCH)))
        few, many = counts
        return {name: (count - few[name]) / 10 for name, count in many.most_common()}


def kernel_name(line: str) -> str:
    """`| not measured | some::path::KernelName<...>: Info {` becomes `KernelName`."""
    path = line.split("|")[2].strip().split("<")[0].split(": ")[0].split(" ")[0]
    return path.rstrip(":").split("::")[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--tonotopy", type=pathlib.Path, required=True, help="the program, a release build")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rows", type=int, nargs="+", default=[10, 32], help="excerpts per step")
    parser.add_argument("--gpu", default="navi31", help="a name that Mesa's AMDGPU_GPU_ID accepts")
    parser.add_argument("--system", action="store_true", help="use the system's GPU")
    parser.add_argument("--inference", action="store_true", help="predict instead of training")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    for network in arguments.networks:
        if network not in NETWORKS:
            parser.error(f"network {network!r} is not one of {', '.join(NETWORKS)}")
    variables = environment(arguments.system, arguments.gpu)
    program = Program(arguments.tonotopy.resolve(), arguments.inference, variables)
    print("| network | batch | kernels per step | ms per step, median | least |")
    print("|---|---|---|---|---|", flush=True)
    results, failed = [], []
    with tempfile.TemporaryDirectory() as directory:
        for network in arguments.networks or NETWORKS:
            for rows in arguments.rows:
                try:
                    measured = program.bench(network, rows, arguments.steps, directory)
                    kernels = program.kernels(network, rows)
                except RuntimeError as error:
                    # The substitute for the kernel driver has little memory: 28 s of latentnet do not fit.
                    failed.append(f"{network}, batches of {rows}: {error}")
                    print(f"| {network} | {rows} | failed | | |", flush=True)
                    continue
                results.append(measured | {"network": network, "kernels": kernels})
                step = measured["step_ms"]
                times = f"{step['median']:.2f} | {step['min']:.2f}"
                print(f"| {network} | {rows} | {sum(kernels.values()):.1f} | {times} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
