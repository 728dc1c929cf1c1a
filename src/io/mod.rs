//! Files, checksums, locks and text on the terminal.

pub mod catch_panic;
pub mod checksums;
pub mod exact;
pub mod files;
pub mod host;
pub mod lock;
pub mod npy;
pub mod terminal;
