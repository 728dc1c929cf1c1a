#!/bin/sh
# The tests of `kernels/`, where all code is that works without the compiler's checks, under AddressSanitizer: no vector
# is read or written beyond its end, on any width of registers that this processor has. Compiles burn once more (5 minutes on two cores).
set -eu
cd "$(dirname "$0")/../.."
target=$(rustc -vV | sed -n 's/^host: //p')
# The sanitizers come with every toolchain, but their switch is a nightly one's.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitized" \
    cargo test --release -p tonotopy-kernels --lib --target "$target"
