//! Files, checksums, locks, and text for terminals.

pub mod catch_panic;
pub mod checksums;
pub mod files;
pub mod lock;
pub mod npy;
pub mod terminal;
