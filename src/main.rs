//! The `tonotopy` program: runs the command line and reports errors.

use std::process::ExitCode;

/// Training allocates and frees the same large buffers in every step. The system allocators return them to the kernel,
/// which must clear the pages again: up to a quarter of a step, measured on Linux.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // burn restores optimizer state on its default device first, and that is a GPU even on machines without one.
    // SAFETY: no other thread is running that could read the environment.
    unsafe { std::env::set_var("BURN_DEVICE", "flex") };
    // The Vulkan loader prints warnings if this is not set, although no window is opened.
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: as above.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
    delay_purge();
    if let Err(error) = build_thread_pool() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    match tonotopy::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", tonotopy::io::terminal::escape_for_terminal(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Returns free memory to the system after 1 s instead of 10 ms. With the shorter delay, the pages of a used batch are
/// often cleared before the next batch takes them, which costs 2 % of a step in small networks.
fn delay_purge() {
    /// `mi_option_purge_delay`, in milliseconds, which the bindings do not name.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: this stores a number. The environment variable MIMALLOC_PURGE_DELAY takes precedence.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 1000) };
}

/// Starts rayon's global pool with the main thread as one of its threads. Otherwise the main thread would sleep during
/// each of its parallel loops and wake another thread to run it, which takes half the time of predicting one excerpt.
fn build_thread_pool() -> Result<(), String> {
    let requested = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let threads: usize = requested
        .filter(|threads| *threads > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |threads| threads.get()));
    // A pool with the main thread only would deadlock: it waits for data-loading threads, which use the pool.
    if threads == 1 {
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    // rayon does not retry: after a failure every parallel loop would panic.
    pool.build_global().map_err(|error| {
        format!(
            "the system refused to start {threads} threads ({error}): raise the limits on threads and processes, or \
             set RAYON_NUM_THREADS=1"
        )
    })
}
