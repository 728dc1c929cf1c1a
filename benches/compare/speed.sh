#!/bin/sh
# The table of benches/README.md from a fresh clone: sets up .venv, builds, measures. Arguments go to speed.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
python=$root/.venv/bin/python
[ -x "$python" ] || "$here/setup.sh"
# torchaudio asks for an older torch than it needs, so it goes in by itself.
"$python" -c 'import faiss, implicit, onnxruntime, onnxscript, openTSNE, torchaudio' 2>/dev/null || {
    "$python" -m pip install -q -r "$here/requirements-speed.txt"
    "$python" -m pip install -q --no-deps torchaudio==2.11.0
}
cargo build --manifest-path "$root/Cargo.toml" --release --bin tonotopy \
    --example speed_work --example kmeans_rows --example factorize_csr
exec "$python" "$here/speed.py" "$@"
