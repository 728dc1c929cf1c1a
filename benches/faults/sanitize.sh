#!/bin/sh
# Runs the tests of `kernels/`, which contains the unsafe code, under AddressSanitizer: vectors must not be read or written
# out of bounds, for every instruction set that this processor supports. Compiles burn again (5 minutes on two cores).
set -eu
cd "$(dirname "$0")/../.."
target=$(rustc -vV | sed -n 's/^host: //p')
# Every toolchain contains the sanitizers, but only nightly ones accept the option.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitized" \
    cargo test --release -p tonotopy-kernels --lib --target "$target"
