#!/bin/sh
# The table of benches/README.md from a fresh clone: sets up .venv (or $VENV), builds, measures. Arguments go to speed.py.
# A peer that cannot be installed takes its own rows along, not the others.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export VENV="${VENV:-$root/.venv}"
python=$VENV/bin/python
"$python" -c 'import librosa, sklearn, torch' 2>/dev/null || "$here/setup.sh"
"$python" -c 'import faiss, implicit, onnxruntime, onnxscript, openTSNE, torchaudio' 2>/dev/null || {
    # One at a time, so that one that fails leaves the others.
    grep -v '^#' "$here/requirements-speed.txt" | while read -r peer; do
        case $peer in
        # It asks for an older torch than it needs.
        torchaudio*) "$python" -m pip install -q --no-deps "$peer" ;;
        *) "$python" -m pip install -q "$peer" ;;
        esac || echo "speed.sh: $peer cannot be installed; its rows will say so" >&2
    done
}
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --manifest-path "$root/Cargo.toml" --release --bin tonotopy \
    --example speed_work --example kmeans_rows --example factorize_csr
exec "$python" -W ignore "$here/speed.py" --tonotopy "$target/release/tonotopy" "$@"
