//! The training loop and its parts.

pub mod clip;
pub mod clock;
pub mod device_check;
pub mod finite;
pub mod log;
pub mod loss;
pub mod objective;
pub mod optimizer;
pub mod parameter_groups;
pub mod schedule;
pub mod state;
pub mod tensorboard;
pub mod training_loop;
pub mod weighted_prediction_error;
