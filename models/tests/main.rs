//! One binary: each test binary links all of burn.

mod contract;
mod devices;
mod mel;
