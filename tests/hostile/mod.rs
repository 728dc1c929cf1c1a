//! Input that is wrong, damaged or malicious: a clear error, never a panic.

mod bad_input;
mod files;
mod parsers;
mod text;
