//! The program: runs what the command line asks for, and reports how it failed.

use std::process::ExitCode;

fn main() -> ExitCode {
    // burn restores optimizer state on its default device before moving it where it belongs, and
    // that default is a GPU even on a machine without one.
    // SAFETY: nothing else runs yet that could read the environment meanwhile.
    unsafe { std::env::set_var("BURN_DEVICE", "flex") };
    match tonotopy::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
