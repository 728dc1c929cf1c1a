//! How the learning rate changes over the steps: a factor on the optimizer's rate.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Shape of the learning rate over a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// The same rate throughout.
    #[default]
    Constant,
    /// Multiplied by `factor` at each of the steps `at` (P3: 0.1 at 800 000 and 900 000).
    Steps {
        /// Steps, counted from 0, rising.
        at: Vec<u64>,
        /// Above 0; 0.1 by default.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// Half a cosine from 1 down to `last` at the final step.
    Cosine {
        /// Share of the optimizer's rate, from 0 to 1; 0 by default.
        #[serde(default)]
        last: f64,
    },
    /// One-cycle (Smith 2018): up from `first` to 1 over the share `rise` of the steps, then down
    /// to `last`, both as half cosines.
    OneCycle {
        /// Between 0 and 1; 0.3 by default.
        #[serde(default = "third")]
        rise: f64,
        /// Share of the optimizer's rate, from 0 to 1; 0.04 by default.
        #[serde(default = "twenty_fifth")]
        first: f64,
        /// Share of the optimizer's rate, from 0 to 1; 1e-4 by default.
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

/// Half a cosine from `a` at 0 to `b` at 1.
fn half_cosine(a: f64, b: f64, at: f64) -> f64 {
    b + (a - b) * 0.5 * (1.0 + (std::f64::consts::PI * at.clamp(0.0, 1.0)).cos())
}

impl Shape {
    /// The factor at `step` (from 0) of a run of `steps`, after a linear warm-up from
    /// `1 / warmup_steps` to 1 over the first `warmup_steps` steps.
    pub fn factor(&self, step: u64, steps: u64, warmup_steps: u64) -> f64 {
        let warmup = match step < warmup_steps {
            true => (step + 1) as f64 / warmup_steps as f64,
            false => 1.0,
        };
        // The cosine runs over what the warm-up leaves, and ends on the last step itself.
        let after = step.saturating_sub(warmup_steps) as f64;
        let span = steps.saturating_sub(warmup_steps).saturating_sub(1).max(1) as f64;
        warmup
            * match self {
                Shape::Constant => 1.0,
                Shape::Steps { at, factor } => {
                    factor.powi(at.iter().filter(|&&milestone| step >= milestone).count() as i32)
                }
                Shape::Cosine { last } => half_cosine(1.0, *last, after / span),
                Shape::OneCycle { rise, first, last } => {
                    let share = after / span;
                    if share < *rise {
                        half_cosine(*first, 1.0, share / rise)
                    } else {
                        half_cosine(1.0, *last, (share - rise) / (1.0 - rise))
                    }
                }
            }
    }

    /// # Errors
    /// If a number is outside its range.
    pub fn validate(&self) -> Result<()> {
        let check = |key: &str, value: f64, ok: bool, range: &str| match ok {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "training.schedule.{key} is {value}: it must be {range}"
            ))),
        };
        match self {
            Shape::Constant => Ok(()),
            Shape::Steps { at, factor } => {
                if !at.is_sorted() {
                    return Err(Error::Config(format!(
                        "training.schedule.at is {at:?}: the steps must rise"
                    )));
                }
                check("factor", *factor, *factor > 0.0 && factor.is_finite(), "above 0")
            }
            Shape::Cosine { last } => {
                check("last", *last, (0.0..=1.0).contains(last), "from 0 to 1")
            }
            Shape::OneCycle { rise, first, last } => {
                check("rise", *rise, *rise > 0.0 && *rise < 1.0, "between 0 and 1")?;
                check("first", *first, (0.0..=1.0).contains(first), "from 0 to 1")?;
                check("last", *last, (0.0..=1.0).contains(last), "from 0 to 1")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn steps_fall_as_in_the_paper() {
        let shape = Shape::Steps { at: vec![800_000, 900_000], factor: 0.1 };
        close(shape.factor(0, 1_000_000, 0), 1.0);
        close(shape.factor(799_999, 1_000_000, 0), 1.0);
        close(shape.factor(800_000, 1_000_000, 0), 0.1);
        close(shape.factor(900_000, 1_000_000, 0), 0.01);
    }

    #[test]
    fn cosine_starts_at_one_passes_the_middle_and_ends_at_last() {
        let shape = Shape::Cosine { last: 0.2 };
        close(shape.factor(0, 101, 0), 1.0);
        close(shape.factor(50, 101, 0), 0.6);
        close(shape.factor(100, 101, 0), 0.2);
    }

    #[test]
    fn one_cycle_rises_then_falls() {
        let shape = Shape::OneCycle { rise: 0.25, first: 0.04, last: 0.0 };
        close(shape.factor(0, 401, 0), 0.04);
        close(shape.factor(100, 401, 0), 1.0);
        close(shape.factor(400, 401, 0), 0.0);
        assert!(shape.factor(50, 401, 0) < 1.0 && shape.factor(250, 401, 0) < 1.0);
    }

    #[test]
    fn warm_up_is_linear_and_ends_at_the_full_rate() {
        let factors: Vec<f64> = (0..6).map(|step| Shape::Constant.factor(step, 100, 4)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        close(Shape::Cosine { last: 0.0 }.factor(4, 105, 4), 1.0);
        close(Shape::Cosine { last: 0.0 }.factor(104, 105, 4), 0.0);
    }
}
