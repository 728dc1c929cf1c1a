//! Tests of the program from outside: verbs, messages, exit codes.

mod devices;
mod docs;
mod experiments;
mod export;
mod factorize;
mod faults;
mod hostile;
mod layout;
mod recommend;
mod run_data;
mod scan;
mod small_data;
mod support;
mod training;
mod transfer;
mod verbs;
mod wgpu;
