#!/bin/sh
# A wrapper of rustc that adds coverage counters and arithmetic checks to the crates of this workspace and leaves all other
# crates unchanged.
rustc=$1
shift
case " $* " in
*" --crate-name build_script_build "* | *" --crate-type proc-macro "* | *" --print "*) exec "$rustc" "$@" ;;
*" --crate-name tonotopy"*) ;;
*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" --cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
