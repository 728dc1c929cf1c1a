//! Fuzzes the parser of `tests/hostile/parsers.rs` that `TONOTOPY_PARSER` names. The main function is that of libFuzzer.
#![no_main]

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

#[path = "../../../tests/hostile/parsers.rs"]
mod parsers;

fn parser() -> parsers::Parser {
    static PARSER: OnceLock<parsers::Parser> = OnceLock::new();
    *PARSER.get_or_init(|| {
        let wanted = std::env::var("TONOTOPY_PARSER").unwrap_or_default();
        let found = parsers::PARSERS.iter().find(|(name, _)| *name == wanted);
        let names: Vec<&str> = parsers::PARSERS.iter().map(|(name, _)| *name).collect();
        found.unwrap_or_else(|| panic!("TONOTOPY_PARSER must be one of {}", names.join(", "))).1
    })
}

/// Called once. Makes a panic abort the program, so that libFuzzer stores the input.
// SAFETY: libFuzzer expects this name and signature; no other code defines it.
#[unsafe(no_mangle)]
pub extern "C" fn LLVMFuzzerInitialize(_: *mut c_int, _: *mut *mut *mut c_char) -> c_int {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        say(info);
        std::process::abort();
    }));
    parser();
    0
}

// SAFETY: as above.
#[unsafe(no_mangle)]
pub extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> c_int {
    // SAFETY: libFuzzer passes `size` bytes that do not change until this returns. Without bytes, the pointer may be null.
    let bytes = match size {
        0 => &[],
        _ => unsafe { std::slice::from_raw_parts(data, size) },
    };
    parser()(bytes);
    0
}
