//! One binary: each test binary links all of burn.

// The name that the other crates of the workspace give it.
extern crate tonotopy_models as models;

mod cases;
mod contract;
mod devices;
mod mel;
mod mfcc;
mod onnx;
mod refusals;
