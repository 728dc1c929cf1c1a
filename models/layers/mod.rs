//! Layers that several networks share. They know nothing of front ends or configs of networks.

pub mod batch_norm;
pub mod dense;
pub mod init;
pub mod pool;
pub mod rectified_conv;
pub mod windows;
