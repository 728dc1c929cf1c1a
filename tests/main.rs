//! Tests of the program from outside: verbs, messages, exit codes.

mod bad_input;
mod devices;
mod docs;
mod experiments;
mod export;
mod factorize;
#[cfg(target_os = "linux")]
mod full_disk;
mod hostile_files;
mod hostile_text;
mod layout;
mod parsers;
#[cfg(target_os = "linux")]
mod read_only;
mod recommend;
mod reliability;
mod resume;
mod small_data;
mod support;
mod training;
mod transfer;
mod verbs;
mod wgpu;
