//! One run from its experiment to its scores, and the directory that keeps it.

pub mod bench;
pub mod checkpoint;
pub mod command_line;
pub mod cross_validation;
pub mod evaluate;
pub mod fit;
pub mod folder;
pub mod gpu_memory;
pub mod model;
pub mod recorded_data;
pub mod session;
pub mod train;
pub mod transfer_source;
pub mod warm_start;
