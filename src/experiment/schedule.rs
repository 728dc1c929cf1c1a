//! The learning-rate schedules that an experiment may name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The factor on the optimizer's learning rate, over the steps of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The same learning rate in every step.
    #[default]
    Constant,
    /// The learning rate is multiplied by `factor` at each step of `at` (P3: 0.1 at 800 000 and 900 000).
    Steps {
        /// Steps, counted from 0, in ascending order.
        at: Vec<u64>,
        /// Factor, above 0.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// Half a cosine from 1 down to `last` at the final step.
    Cosine {
        /// Factor at the final step, from 0 to 1.
        #[serde(default)]
        last: f64,
    },
    /// One-cycle (Smith 2018): up from `first` to 1 over the share `rise` of the steps, then down to `last`, both
    /// as half cosines.
    OneCycle {
        /// Share of the steps in which the learning rate rises, between 0 and 1.
        #[serde(default = "third")]
        rise: f64,
        /// Factor at the first step, from 0 to 1.
        #[serde(default = "twenty_fifth")]
        first: f64,
        /// Factor at the final step, from 0 to 1.
        #[serde(default = "ten_thousandth")]
        last: f64,
    },
}

fn tenth() -> f64 {
    0.1
}
fn third() -> f64 {
    0.3
}
fn twenty_fifth() -> f64 {
    0.04
}
fn ten_thousandth() -> f64 {
    1e-4
}
