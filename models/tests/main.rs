//! All tests in one binary, since each test binary links all of burn.

// The name of this crate in the rest of the workspace.
extern crate tonotopy_models as models;

mod cases;
mod contract;
mod devices;
mod energies;
mod long_training;
mod mel;
mod mfcc;
mod onnx;
mod refusals;
