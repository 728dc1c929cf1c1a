//! Turns panics of third-party code, such as decoders and GPU drivers, into values.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// `Some` while this thread is inside [`catch_panic`]: the message of the last panic.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `work`. A panic in it prints nothing.
///
/// # Errors
/// The message and source location of the panic, in one line.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // The panic hook is what prints. Outside of this function, threads keep the previous hook.
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let caught = MESSAGE.with_borrow_mut(|message| match message {
                Some(message) => {
                    *message = info.to_string().replace('\n', " ");
                    true
                }
                None => false,
            });
            if !caught {
                previous(info);
            }
        }));
    });
    let outer = MESSAGE.replace(Some(String::new()));
    // After a panic, everything that `work` touched is dropped; no half-updated value is used again.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    let message = MESSAGE.replace(outer).unwrap_or_default();
    result.map_err(|_| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_becomes_its_message() {
        assert_eq!(catch_panic(|| 7), Ok(7));
        let message = catch_panic(|| -> u32 { panic!("slice {} is gone", 3) }).unwrap_err();
        assert!(
            message.contains("slice 3 is gone") && message.contains("catch_panic.rs"),
            "{message}"
        );
        assert_eq!(catch_panic(|| 8), Ok(8));
        let nested = catch_panic(|| -> u32 {
            catch_panic(|| -> u32 { panic!("inner") }).unwrap_err();
            panic!("outer")
        });
        assert!(nested.is_err_and(|message: String| message.contains("outer")));
    }
}
