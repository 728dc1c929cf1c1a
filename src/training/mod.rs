//! The training loop and its parts.

pub mod clip;
pub mod clock;
pub mod device_check;
pub mod finite;
pub mod learning_rate;
pub mod log;
pub mod loss_functions;
pub mod objective;
pub mod parameter_groups;
pub mod state;
pub mod tensorboard;
pub mod training_loop;
pub mod update_rules;
pub mod weighted_prediction_error;
