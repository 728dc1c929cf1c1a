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
    keep_pages();
    work_along();
    match tonotopy::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", tonotopy::io::terminal::visible(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Free memory goes back to the system after a second instead of a hundredth of one, in which a batch that was used up
/// may well find no successor: its pages would have to be cleared again, a fiftieth of a step on small networks.
fn keep_pages() {
    /// `mi_option_purge_delay`, in milliseconds; the bindings do not name it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: a number is stored. What the environment says of it (MIMALLOC_PURGE_DELAY) prevails.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 1000) };
}

/// Makes this thread one of rayon's. Else every parallel loop that it begins is handed to another thread, which has
/// to be woken, while this one sleeps: half the time of predicting one excerpt.
fn work_along() {
    // Not as the only one: threads that make batches need another while this one waits for them.
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let threads: usize = asked
        .filter(|threads| *threads > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |threads| threads.get()));
    if threads > 1 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
        if let Err(error) = pool.build_global() {
            // A second attempt is not open to anyone, and every loop would ask for it.
            eprintln!(
                "error: the system does not let {threads} threads begin ({error}): raise the limit on threads and \
                 processes, or set RAYON_NUM_THREADS=1"
            );
            std::process::exit(1);
        }
    }
}
