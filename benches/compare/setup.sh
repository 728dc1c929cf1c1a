#!/bin/sh
# Creates .venv in the root of the repository (or $VENV) with the packages that benches/compare needs.
#
# On Linux, torch from PyPI needs CUDA libraries (gigabytes, see README.md) even without a GPU. If download.pytorch.org is
# reachable, use the CPU build instead:
#
#     TORCH_INDEX=https://download.pytorch.org/whl/cpu benches/compare/setup.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-$here/../../.venv}
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
"${PYTHON:-python3}" -m venv "$venv"
if [ -n "${TORCH_INDEX:-}" ]; then
    "$venv/bin/pip" install --index-url "$TORCH_INDEX" "$(grep '^torch==' "$here/requirements.txt")"
fi
"$venv/bin/pip" install -r "$here/requirements.txt"
"$venv/bin/python" -c 'import librosa, sklearn, tensorboard, torch; print("torch", torch.__version__)'
