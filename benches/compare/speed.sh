#!/bin/sh
# Measures the table of benches/README.md: sets up .venv (or $VENV), builds, and runs speed.py with the given arguments.
# If a peer cannot be installed, only its rows are missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export VENV="${VENV:-$root/.venv}"
python=$VENV/bin/python
"$python" -c 'import librosa, sklearn, torch' 2>/dev/null || "$here/setup.sh"
"$python" -c 'import faiss, implicit, onnxruntime, onnxscript, openTSNE, torchaudio' 2>/dev/null || {
    # One at a time, so that a failure does not affect the others.
    grep -v '^#' "$here/requirements-speed.txt" | while read -r peer; do
        case $peer in
        # It requires an older torch than necessary.
        torchaudio*) "$python" -m pip install -q --no-deps "$peer" ;;
        *) "$python" -m pip install -q "$peer" ;;
        esac || echo "speed.sh: $peer cannot be installed; its rows will be missing" >&2
    done
}
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --manifest-path "$root/Cargo.toml" --release --bin tonotopy \
    --example speed_work --example kmeans_rows --example factorize_csr
exec "$python" -W ignore "$here/speed.py" --tonotopy "$target/release/tonotopy" "$@"
