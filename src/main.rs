//! The program: runs what the command line asks for, and reports how it failed.

use std::process::ExitCode;

/// Buffers of a training step are made anew in every step. The system's allocators give large ones back
/// at once, and the pages that come again have to be cleared: up to a quarter of a step, measured on Linux.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // burn restores optimizer state on its default device before moving it where it belongs, and
    // that default is a GPU even on a machine without one.
    // SAFETY: nothing else runs yet that could read the environment meanwhile.
    unsafe { std::env::set_var("BURN_DEVICE", "flex") };
    // Without it the Vulkan loader's window system parts complain on stderr; nothing here opens a
    // window.
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: as above.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
    match tonotopy::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
