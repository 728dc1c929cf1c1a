//! The learning rate over the steps of a run, as a factor on the optimizer's.

use crate::experiment::Schedule;

/// Half a cosine from `a` at 0 to `b` at 1.
fn half_cosine(a: f64, b: f64, at: f64) -> f64 {
    b + (a - b) * 0.5 * (1.0 + (std::f64::consts::PI * at.clamp(0.0, 1.0)).cos())
}

impl Schedule {
    /// The factor at `step` (from 0) of a run of `steps`, after a linear warm-up from
    /// `1 / warmup_steps` to 1 over the first `warmup_steps` steps.
    pub fn factor(&self, step: u64, steps: u64, warmup_steps: u64) -> f64 {
        let warmup = match step < warmup_steps {
            true => (step + 1) as f64 / warmup_steps as f64,
            false => 1.0,
        };
        // The schedule covers the steps after the warm-up and reaches its end at the last step.
        let after = step.saturating_sub(warmup_steps) as f64;
        let span = steps.saturating_sub(warmup_steps).saturating_sub(1).max(1) as f64;
        warmup
            * match self {
                Schedule::Constant => 1.0,
                Schedule::Steps { at, factor } => {
                    factor.powi(at.iter().filter(|&&milestone| step >= milestone).count() as i32)
                }
                Schedule::Cosine { last } => half_cosine(1.0, *last, after / span),
                Schedule::OneCycle { rise, first, last } => {
                    let share = after / span;
                    if share < *rise {
                        half_cosine(*first, 1.0, share / rise)
                    } else {
                        half_cosine(1.0, *last, (share - rise) / (1.0 - rise))
                    }
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} and {b} differ");
    }

    #[test]
    fn steps_fall_as_in_the_paper() {
        let schedule = Schedule::Steps { at: vec![800_000, 900_000], factor: 0.1 };
        close(schedule.factor(0, 1_000_000, 0), 1.0);
        close(schedule.factor(799_999, 1_000_000, 0), 1.0);
        close(schedule.factor(800_000, 1_000_000, 0), 0.1);
        close(schedule.factor(900_000, 1_000_000, 0), 0.01);
    }

    #[test]
    fn cosine_starts_at_one_passes_the_middle_and_ends_at_last() {
        let schedule = Schedule::Cosine { last: 0.2 };
        close(schedule.factor(0, 101, 0), 1.0);
        close(schedule.factor(50, 101, 0), 0.6);
        close(schedule.factor(100, 101, 0), 0.2);
    }

    #[test]
    fn one_cycle_rises_then_falls() {
        let schedule = Schedule::OneCycle { rise: 0.25, first: 0.04, last: 0.0 };
        close(schedule.factor(0, 401, 0), 0.04);
        close(schedule.factor(100, 401, 0), 1.0);
        close(schedule.factor(400, 401, 0), 0.0);
        assert!(schedule.factor(50, 401, 0) < 1.0 && schedule.factor(250, 401, 0) < 1.0);
    }

    #[test]
    fn warm_up_is_linear_and_ends_at_the_full_rate() {
        let factors: Vec<f64> =
            (0..6).map(|step| Schedule::Constant.factor(step, 100, 4)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        close(Schedule::Cosine { last: 0.0 }.factor(4, 105, 4), 1.0);
        close(Schedule::Cosine { last: 0.0 }.factor(104, 105, 4), 0.0);
    }
}
