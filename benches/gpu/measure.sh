#!/bin/sh
# What a real GPU must answer, in a few minutes: whether its results equal the CPU's, the time of training steps and
# predictions of all networks at four batch sizes, and the kernels of each. Writes JSON and text into a directory.
#
#     benches/gpu/measure.sh target/release/tonotopy RESULTS
#
# Needs the program, Python 3.11 and a GPU with its driver; no network. ROWS and STEPS change the batch sizes and the number
# of steps.
set -eu
[ $# = 2 ] || { sed -n '5p' "$0" | cut -c3- >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
tonotopy=$1 results=$2
mkdir -p "$results"
echo "devices:"
"$tonotopy" devices >"$results/devices.txt"
cat "$results/devices.txt"
echo "compared with the CPU:"
"$tonotopy" devices --check >"$results/check.txt" 2>&1 && echo "equal" ||
    { echo "DIFFERENT, see $results/check.txt"; failed=1; }
for kind in training inference; do
    echo "$kind, times with the GPU's work:"
    # shellcheck disable=SC2086 # a list of numbers
    python3 "$here/host.py" --system --tonotopy "$tonotopy" --rows ${ROWS:-10 32 128 512} --steps "${STEPS:-50}" \
        --json "$results/$kind.json" $([ $kind = training ] || echo --inference) >"$results/$kind.txt"
    cat "$results/$kind.txt"
done
exit "${failed:-0}"
