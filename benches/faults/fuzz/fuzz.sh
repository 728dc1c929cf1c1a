#!/bin/sh
# Coverage-guided fuzzing of every parser, or of those that are named, SECONDS_EACH (300) each:
#     benches/faults/fuzz/fuzz.sh FOLDER [PARSER...]
# FOLDER keeps what is found, to go on from: FOLDER/PARSER/ the inputs that reach something new, FOLDER/PARSER.log what
# libFuzzer said, FOLDER/PARSER-crash-... what broke. Begins with tests/corpus/. Needs a C++ compiler, and compiles our
# crates anew, with counters, but none of the others.
set -eu
out=$1
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/../../.."
[ $# -gt 0 ] || set -- $(ls tests/corpus)
target=${CARGO_TARGET_DIR:-target}

# libFuzzer itself, from the sources that the crate libfuzzer-sys carries.
if [ ! -f "$out/libfuzzer.a" ]; then
    sources=$(cargo metadata --format-version 1 --features tonotopy-fuzz/libfuzzer-sys |
        grep -o '"[^"]*/libfuzzer-sys-[^"/]*/Cargo.toml"' | head -1 | tr -d '"' | sed 's|/Cargo.toml$|/libfuzzer|')
    (cd "$out" && c++ -O2 -fPIC -std=c++17 -w -c "$sources"/*.cpp && ar rcs libfuzzer.a Fuzzer*.o && rm Fuzzer*.o)
fi
RUSTC_WORKSPACE_WRAPPER=$PWD/benches/faults/fuzz/instrument.sh \
    cargo rustc --release -p tonotopy-fuzz --features program --bin tonotopy-fuzz -- \
    -C link-arg="$out/libfuzzer.a" -C link-arg=-lstdc++
for parser; do
    mkdir -p "$out/$parser"
    TONOTOPY_PARSER=$parser "$target/release/tonotopy-fuzz" -max_total_time="${SECONDS_EACH:-300}" \
        -timeout=10 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 -artifact_prefix="$out/$parser-" \
        "$out/$parser" "tests/corpus/$parser" > "$out/$parser.log" 2>&1 || echo "$parser: see $out/$parser.log"
    echo "$parser: $(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$out/$parser.log" | tail -1)," \
        "$(sed -n 's/stat::number_of_executed_units: */executions: /p' "$out/$parser.log")"
done
