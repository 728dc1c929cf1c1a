//! The program as its users meet it: its verbs, its messages, its exit codes.

mod bad_input;
mod experiments;
mod export;
mod factorize;
mod recommend;
mod reliability;
mod resume;
mod support;
mod transfer;
mod verbs;
mod wgpu;
