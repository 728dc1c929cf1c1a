//! Mean, standard deviation and confidence interval of a score over runs that differ in the seed.

use serde::Serialize;

/// Mean, standard deviation and confidence interval of one value per run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Number of runs.
    pub runs: usize,
    /// Mean over the runs.
    pub mean: f64,
    /// Sample standard deviation (divisor `runs - 1`); `None` for a single run.
    pub deviation: Option<f64>,
    /// 95 % confidence interval of the mean by Student's t, for independent, normally distributed runs;
    /// `None` for a single run.
    pub interval: Option<(f64, f64)>,
}

impl Spread {
    /// The statistics of `values`; `None` without values, or if one is NaN or infinite.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let runs = values.len();
        let mean = values.iter().sum::<f64>() / runs as f64;
        if runs == 1 {
            return Some(Self { runs, mean, deviation: None, interval: None });
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (runs - 1) as f64).sqrt();
        let half = t_quantile_975(runs - 1) * deviation / (runs as f64).sqrt();
        let interval = Some((mean - half, mean + half));
        Some(Self { runs, mean, deviation: Some(deviation), interval })
    }
}

/// Above this many degrees of freedom, six digits of the quantile are constant.
const MAX_FREEDOM: usize = 1_000_000;

/// The 0.975 quantile of Student's t with `freedom >= 1` degrees of freedom.
fn t_quantile_975(freedom: usize) -> f64 {
    let freedom = freedom.clamp(1, MAX_FREEDOM);
    // The quantile falls from 12.7062 (one degree) to 1.95996 (the normal distribution).
    let (mut low, mut high) = (1.9, 12.8);
    while high - low > 1e-13 * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if t_within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The probability that Student's t is between `-t` and `t`: finite sums for integer degrees of
/// freedom (Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4).
fn t_within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    // Even: 1, 1/2 cos^2, (1 3)/(2 4) cos^4, ... Odd: cos, 2/3 cos^3, (2 4)/(3 5) cos^5, ...
    let mut term = if odd { cosine } else { 1.0 };
    let (mut sum, mut k) = (0.0, if odd { 1 } else { 0 });
    while k + 2 <= freedom {
        sum += term;
        term *= (k + 1) as f64 / (k + 2) as f64 * cosine * cosine;
        k += 2;
    }
    if odd { (angle + sine * sum) * std::f64::consts::FRAC_2_PI } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Written by `spread/reference.py` with NumPy and SciPy.
    #[derive(Deserialize)]
    struct Reference {
        t_quantiles: Vec<(usize, f64)>,
        spreads: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        values: Vec<f64>,
        mean: f64,
        deviation: f64,
        low: f64,
        high: f64,
    }

    fn reference() -> Reference {
        serde_json::from_str(include_str!("spread/reference.json")).unwrap()
    }

    #[track_caller]
    fn assert_near(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() <= 1e-10 * theirs.abs().max(1e-3), "{ours} is not {theirs}");
    }

    #[test]
    fn t_quantiles_are_those_of_scipy() {
        let quantiles = reference().t_quantiles;
        assert!(quantiles.len() >= 10);
        for (freedom, theirs) in quantiles {
            assert_near(t_quantile_975(freedom), theirs);
        }
        assert_near(t_quantile_975(usize::MAX), t_quantile_975(MAX_FREEDOM));
    }

    #[test]
    fn spreads_are_those_of_numpy_and_scipy() {
        for case in reference().spreads {
            let ours = Spread::of(&case.values).unwrap();
            assert_eq!(ours.runs, case.values.len());
            assert_near(ours.mean, case.mean);
            assert_near(ours.deviation.unwrap(), case.deviation);
            assert_near(ours.interval.unwrap().0, case.low);
            assert_near(ours.interval.unwrap().1, case.high);
        }
    }

    #[test]
    fn a_single_run_has_no_deviation() {
        let one = Spread::of(&[0.88]).unwrap();
        assert_eq!((one.mean, one.deviation, one.interval), (0.88, None, None));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[0.5, f64::NAN]), None);
        assert_eq!(Spread::of(&[0.5; 4]).unwrap().deviation, Some(0.0));
    }
}
