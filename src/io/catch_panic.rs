//! Runs foreign code, a decoder or a driver, so that its panics become values.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// `Some` while this thread runs contained code: what the last panic said.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `work`; if it panics, returns what the panic said and where, and prints nothing.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // The hook is what prints. Other threads, and this one outside of `contain`, keep theirs.
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let contained = MESSAGE.with_borrow_mut(|message| match message {
                Some(message) => {
                    *message = info.to_string().replace('\n', " ");
                    true
                }
                None => false,
            });
            if !contained {
                previous(info);
            }
        }));
    });
    let outer = MESSAGE.replace(Some(String::new()));
    // What `work` touched is dropped or abandoned after a panic; nothing half-done is seen again.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    let message = MESSAGE.replace(outer).unwrap_or_default();
    result.map_err(|_| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(contain(|| 7), Ok(7));
        let message = contain(|| -> u32 { panic!("slice {} is gone", 3) }).unwrap_err();
        assert!(message.contains("slice 3 is gone") && message.contains("contain.rs"), "{message}");
        assert_eq!(contain(|| 8), Ok(8));
        let nested = contain(|| -> u32 {
            contain(|| -> u32 { panic!("inner") }).unwrap_err();
            panic!("outer")
        });
        assert!(nested.is_err_and(|message: String| message.contains("outer")));
    }
}
