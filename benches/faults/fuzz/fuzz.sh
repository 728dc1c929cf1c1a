#!/bin/sh
# Coverage-guided fuzzing of all or the named parsers, SECONDS_EACH (default 300) each:
#     benches/faults/fuzz/fuzz.sh DIR [PARSER...]
# DIR keeps the findings for later runs: DIR/PARSER/ inputs that reach new code, DIR/PARSER.log the output of libFuzzer,
# DIR/PARSER-crash-... failures. Starts with tests/corpus/. Needs a C++ compiler and compiles only the crates of this
# workspace again, with counters.
set -eu
out=$1
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/../../.."
[ $# -gt 0 ] || set -- $(ls tests/corpus)
target=${CARGO_TARGET_DIR:-target}

# Builds libFuzzer from the sources in the crate libfuzzer-sys.
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
