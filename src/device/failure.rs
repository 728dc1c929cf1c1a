//! GPU failures: out of memory, a lost device, or others. burn reports them by a panic in the thread that reads a value; this
//! module turns the panic into an error.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::device::DeviceInfo;
use crate::error::{Error, Result};

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Out of memory, with the size of the failed allocation in bytes if it is known.
    Memory(Option<u64>),
    /// The driver was reset or removed the device.
    Lost,
    /// Anything else.
    Other,
}

impl Failure {
    /// Classifies a message of burn, CubeCL or wgpu.
    fn of(text: &str) -> Failure {
        let bytes = |before: &str| -> Option<u64> {
            let rest = &text[text.find(before)? + before.len()..];
            let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        const SIZES: [&str; 2] =
            ["can't allocate buffer of size:", "out of device memory allocating"];
        let lower = text.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if let Some(size) = SIZES.iter().find_map(|before| bytes(before)) {
            Failure::Memory(Some(size))
        } else if says(&["out of memory", "out-of-memory", "outofmemory", "out of device memory"]) {
            Failure::Memory(None)
        } else if says(&[
            "poisoned",
            "device is lost",
            "device was lost",
            "devicelost",
            "device lost",
        ]) {
            Failure::Lost
        } else {
            Failure::Other
        }
    }
}

/// Runs `work`, which computes on `device`. `advice` says what to do if memory runs out, given the size of the failed
/// allocation in bytes.
///
/// # Errors
/// Those of `work`; [`Error::Device`] if a GPU fails. Panics on the CPU are not caught.
pub fn guarded<T>(
    device: &DeviceInfo,
    advice: impl FnOnce(Option<u64>) -> String,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if device.is_cpu() {
        return work();
    }
    silence();
    // Unwinding drops all tensors, and files are written atomically.
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(error(device, panic.as_ref(), advice)))
}

/// The error for a panic during work on a GPU.
pub fn error(
    DeviceInfo { id, name, .. }: &DeviceInfo,
    panic: &(dyn Any + Send),
    advice: impl FnOnce(Option<u64>) -> String,
) -> Error {
    let text = text(panic);
    Error::Device(match Failure::of(&text) {
        Failure::Memory(size) => {
            let bytes = size.map(|size| format!(" (an allocation of {size} bytes failed)"));
            format!("{id} ({name}) is out of memory{}: {}", bytes.unwrap_or_default(), advice(size))
        }
        Failure::Lost => format!(
            "{id} ({name}) was lost: its driver was reset or removed it. Saved files are complete; check the driver's log, \
             temperature and power, then resume, or use --device cpu"
        ),
        Failure::Other => format!(
            "{id} ({name}) failed: {}. Saved files are complete; check the device with `tonotopy devices --check`, or use \
             --device cpu",
            cause(&text)
        ),
    })
}

/// Advice on memory for work whose size cannot be changed.
pub fn no_advice(_: Option<u64>) -> String {
    "close other programs that use it, or use --device cpu".into()
}

/// Disables the panic messages of the main thread and of CubeCL's threads, whose panics reach the thread that waits for a
/// value.
pub fn silence() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| match std::thread::current().name() {
            Some(name)
                if name == "main" || name.starts_with("DSU-") || name.starts_with("DSD-") =>
            {
                tracing::debug!("{info}");
            }
            _ => previous(info),
        }));
    });
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// The innermost cause in one line.
fn cause(text: &str) -> String {
    let inner = text.rsplit("Caused by:").next().unwrap_or(text);
    let lines = inner.lines().map(str::trim);
    let lines = lines.take_while(|line| !line.starts_with("No backtrace") && *line != "Backtrace");
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu() -> DeviceInfo {
        DeviceInfo {
            id: "wgpu:0".into(),
            name: "A card".into(),
            backend: "vulkan".into(),
            software: false,
            device: burn::tensor::Device::flex(),
        }
    }

    /// Messages of CubeCL and wgpu.
    const TEXTS: [(&str, Failure); 6] = [
        (
            "Error while reading data: An error happened during execution\nCaused by:\n  An IO error happened\n\
             Caused by:\n  can't allocate buffer of size: 276480000\nNo backtrace available",
            Failure::Memory(Some(276_480_000)),
        ),
        ("out of device memory allocating 1024 bytes\n", Failure::Memory(Some(1024))),
        ("wgpu error: Out of Memory", Failure::Memory(None)),
        ("The device is poisoned\nCaused by:\n  Unknown: gone", Failure::Lost),
        ("wgpu error: Validation Error\n\nCaused by:\n  Parent device is lost\n", Failure::Lost),
        ("A compilation error happened during launch\nCaused by:\n  no such type", Failure::Other),
    ];

    #[test]
    fn failures_are_classified() {
        for (text, failure) in TEXTS {
            assert_eq!(Failure::of(text), failure, "{text}");
        }
    }

    #[test]
    fn panic_becomes_an_error_with_a_remedy() {
        let advice = |size: Option<u64>| format!("less than {}", size.unwrap_or_default());
        for (text, failure) in TEXTS {
            let error = guarded::<()>(&gpu(), advice, || panic!("{text}")).unwrap_err();
            assert_eq!(error.exit_code(), 4);
            let error = error.to_string();
            assert!(error.starts_with("wgpu:0 (A card)") && !error.contains('\n'), "{error}");
            let words = match failure {
                Failure::Memory(Some(size)) => format!("less than {size}"),
                Failure::Memory(None) => "less than 0".into(),
                Failure::Lost => "was lost".into(),
                Failure::Other => "failed: no such type.".into(),
            };
            assert!(error.contains(&words), "{error}");
        }
        assert_eq!(guarded(&gpu(), no_advice, || Ok(3)).unwrap(), 3);
        let own = || Err::<(), _>(Error::Data("own".into()));
        assert!(matches!(guarded(&gpu(), no_advice, own), Err(Error::Data(_))));
    }
}
