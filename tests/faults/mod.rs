//! Interruptions, damage, full and read-only disks: runs survive them.

#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(target_os = "linux")]
mod read_only;
mod reliability;
pub mod resume;
