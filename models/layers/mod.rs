//! Layers that several networks share.

pub mod batch_norm;
pub mod dense;
pub mod init;
pub mod pool;
pub mod stages;
pub mod windows;
