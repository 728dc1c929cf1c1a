//! Paired bootstrap over tracks: confidence intervals of the difference between two models.
//!
//! A resample draws as many tracks as the test set has, with replacement; both models are scored on
//! the same resample. The distribution of scores and differences over many resamples estimates how
//! they vary between test sets of the same kind. It does not cover the seed of the training; see
//! [`crate::evaluation::spread`] for that.
//!
//! Resampled sets are not built: tracks are sorted once, and a track drawn twice has weight 2.
//!
//! # References
//! Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile
//! intervals).

use rayon::prelude::*;
use serde::Serialize;

use crate::evaluation::metrics::{MetricError, Targets, check, mean};
use crate::evaluation::predictions::Predictions;
use crate::rng::{below, philox};

/// Settings of the bootstrap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: usize,
    /// Share of the resamples inside an interval; both tails are equal.
    pub confidence: f64,
    /// Random seed; results do not depend on the number of threads.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, confidence: 0.95, seed: 1 }
    }
}

/// Why models cannot be compared.
#[allow(missing_docs, reason = "the message of a variant describes it")]
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("the {which} predictions: {source}")]
    Metric { which: &'static str, source: MetricError },
    #[error("the {which} model has no run; at least one set of predictions is needed")]
    NoRuns { which: &'static str },
    #[error("resamples is {0}; it must be at least 1 (1000 is usual)")]
    Resamples(usize),
    #[error("confidence is {0}; it must be between 0 and 1 (0.95 is usual)")]
    Confidence(f64),
    #[error("{0} tracks are too many; the maximum is {MAX_TRACKS}")]
    Tracks(usize),
}

/// A score on the test set, with its interval over resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Score on the test set; a mean over the runs of a model.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// A score of both models, and the difference second minus first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Score of the first model.
    pub first: Estimate,
    /// Score of the second model.
    pub second: Estimate,
    /// The models differ significantly if the interval does not contain 0.
    pub difference: Estimate,
    /// Resamples that could be scored: those with a positive and a negative track.
    pub resamples: usize,
}

/// Scores of one tag; both are `None` if the tag cannot be scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedTag {
    /// Name of the tag.
    pub tag: String,
    /// Area under the ROC curve.
    pub roc_auc: Option<Compared>,
    /// Average precision.
    pub pr_auc: Option<Compared>,
}

/// Result of a paired bootstrap of two models.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Mean over the tags that can be scored in a resample; `None` without such tags.
    pub roc_auc_macro: Option<Compared>,
    /// As `roc_auc_macro`, for average precision.
    pub pr_auc_macro: Option<Compared>,
    /// In the order of the vocabulary.
    pub per_tag: Vec<ComparedTag>,
    /// Number of tracks of the test set, and of each resample.
    pub n_tracks: usize,
    /// As [`Bootstrap::resamples`].
    pub resamples: usize,
    /// As [`Bootstrap::confidence`].
    pub confidence: f64,
    /// As [`Bootstrap::seed`].
    pub seed: u64,
}

/// Word 1 of the generator's key, which no other code uses.
const STREAM: u64 = u64::from_le_bytes(*b"bootstrp");
/// The index of a track shares 32 bits with two flags.
const MAX_TRACKS: usize = 1 << 30;
/// ROC-AUC and average precision.
const METRICS: usize = 2;

/// The sorted tracks of a model, `[run][tag][rank]`; see [`order_tracks`].
type Runs = Vec<Vec<Vec<u32>>>;

/// Both areas of a tag; `None` without a positive or without a negative track.
type Areas = Option<[f64; METRICS]>;

impl Bootstrap {
    /// Compares the predictions of two models, each with one or more runs, for the same tracks and tags. The
    /// score of a model is the mean of the scores of
    /// its runs, not the score of their mean prediction.
    ///
    /// # Errors
    /// If a model has no run, a run cannot be scored (see [`crate::evaluation::metrics::score`]), or a
    /// setting is invalid.
    pub fn compare(
        &self,
        first: &[&Predictions],
        second: &[&Predictions],
        targets: &Targets,
    ) -> Result<Comparison, BootstrapError> {
        if self.resamples == 0 {
            return Err(BootstrapError::Resamples(self.resamples));
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(BootstrapError::Confidence(self.confidence));
        }
        let tracks = targets.ids.len();
        if tracks > MAX_TRACKS {
            return Err(BootstrapError::Tracks(tracks));
        }
        for (which, runs) in [("first", first), ("second", second)] {
            if runs.is_empty() {
                return Err(BootstrapError::NoRuns { which });
            }
            for predictions in runs {
                check(predictions, targets)
                    .map_err(|source| BootstrapError::Metric { which, source })?;
            }
        }
        let models = [first, second].map(|runs| {
            runs.iter().map(|predictions| order_tracks(predictions, targets)).collect()
        });
        let observed = Scored::new(&models, &vec![1; tracks]);
        let draws: Vec<Scored> = (0..self.resamples)
            .into_par_iter()
            .map_init(
                || vec![0; tracks],
                |counts, draw| {
                    self.draw(draw, counts);
                    Scored::new(&models, counts)
                },
            )
            .collect();

        let compared = |metric: usize, of: &dyn Fn(&Scored) -> [Areas; 2]| -> Option<Compared> {
            let pair = |scored: &Scored| match of(scored) {
                [Some(first), Some(second)] => Some((first[metric], second[metric])),
                _ => None,
            };
            let value = pair(&observed)?;
            let pairs: Vec<(f64, f64)> = draws.iter().filter_map(pair).collect();
            let estimate = |f: fn((f64, f64)) -> f64| {
                let drawn = pairs.iter().copied().map(f).collect();
                let (low, high) = interval(drawn, self.confidence)?;
                Some(Estimate { value: f(value), low, high })
            };
            Some(Compared {
                first: estimate(|pair| pair.0)?,
                second: estimate(|pair| pair.1)?,
                difference: estimate(|pair| pair.1 - pair.0)?,
                resamples: pairs.len(),
            })
        };
        let per_tag = targets
            .tags
            .par_iter()
            .enumerate()
            .map(|(tag, name)| ComparedTag {
                tag: name.clone(),
                roc_auc: compared(0, &|scored| scored.tags[tag]),
                pr_auc: compared(1, &|scored| scored.tags[tag]),
            })
            .collect();
        Ok(Comparison {
            roc_auc_macro: compared(0, &|scored| scored.macros),
            pr_auc_macro: compared(1, &|scored| scored.macros),
            per_tag,
            n_tracks: tracks,
            resamples: self.resamples,
            confidence: self.confidence,
            seed: self.seed,
        })
    }

    /// Fills `counts` (`[track]`) with the number of times that each track is in resample `draw`. Random
    /// number `i` is word `i % 4` of the block at counter `[i / 4, draw, 0, 0]`.
    fn draw(&self, draw: usize, counts: &mut [u32]) {
        counts.fill(0);
        let tracks = counts.len();
        for block in 0..tracks.div_ceil(4) {
            let numbers = philox([self.seed, STREAM], [block as u64, draw as u64, 0, 0]);
            for &number in numbers.iter().take(tracks - 4 * block) {
                counts[below(number, tracks as u64) as usize] += 1;
            }
        }
    }
}

/// Scores of both models on one resample.
struct Scored {
    /// Per tag, of the first and the second model.
    tags: Vec<[Areas; 2]>,
    macros: [Areas; 2],
}

impl Scored {
    fn new(models: &[Runs; 2], counts: &[u32]) -> Self {
        let width = models[0].first().map_or(0, Vec::len);
        let tags: Vec<[Areas; 2]> = (0..width)
            .map(|tag| [0, 1].map(|model: usize| mean_areas(&models[model], tag, counts)))
            .collect();
        let macros = [0, 1].map(|model| {
            let mean_of = |metric: usize| {
                mean(tags.iter().filter_map(|tag| tag[model].map(|areas| areas[metric])))
            };
            Some([mean_of(0)?, mean_of(1)?])
        });
        Self { tags, macros }
    }
}

/// For each tag, the tracks in descending order of prediction, one `u32` each: bit 0 is set if the track
/// has the tag, bit 1 if the prediction of the next track is lower, and the other bits are its index.
fn order_tracks(predictions: &Predictions, targets: &Targets) -> Vec<Vec<u32>> {
    let (tracks, width) = (predictions.ids.len(), predictions.tags.len());
    (0..width)
        .into_par_iter()
        .map(|tag| {
            let value = |track: u32| predictions.values[track as usize * width + tag];
            // All values are finite; adding 0 makes both zeros equal.
            let descending = |a: &u32, b: &u32| (value(*b) + 0.0).total_cmp(&(value(*a) + 0.0));
            let mut order: Vec<u32> = (0..tracks as u32).collect();
            order.sort_unstable_by(descending);
            for rank in 0..tracks {
                let track = order[rank];
                let last = order.get(rank + 1).is_none_or(|&next| value(next) < value(track));
                let has = targets.values[track as usize * width + tag];
                order[rank] = track << 2 | u32::from(last) << 1 | u32::from(has);
            }
            order
        })
        .collect()
}

/// Mean areas over the runs of a model.
fn mean_areas(runs: &Runs, tag: usize, counts: &[u32]) -> Areas {
    let mut sums = [0.0; METRICS];
    for run in runs {
        for (sum, area) in sums.iter_mut().zip(areas(&run[tag], counts)?) {
            *sum += area;
        }
    }
    Some(sums.map(|sum| sum / runs.len() as f64))
}

/// ROC-AUC and average precision of one tag, with track `i` occurring `counts[i]` times.
fn areas(order: &[u32], counts: &[u32]) -> Areas {
    let (mut true_positives, mut false_positives) = (0u64, 0u64);
    let (mut tied_positives, mut tied_negatives) = (0u64, 0u64);
    // Each negative above a positive counts twice, each tied one once. With at most 2^30 tracks, products
    // fit 64 bits.
    let (mut twice_lost, mut precision_sum) = (0u64, 0.0);
    for &entry in order {
        let count = u64::from(counts[(entry >> 2) as usize]);
        let positive = u64::from(entry & 1);
        tied_positives += positive * count;
        tied_negatives += (1 - positive) * count;
        if entry & 2 != 0 {
            if tied_positives > 0 {
                twice_lost += tied_positives * (2 * false_positives + tied_negatives);
                true_positives += tied_positives;
                let called = true_positives + false_positives + tied_negatives;
                precision_sum += tied_positives as f64 * true_positives as f64 / called as f64;
            }
            false_positives += tied_negatives;
            (tied_positives, tied_negatives) = (0, 0);
        }
    }
    if true_positives == 0 || false_positives == 0 {
        return None;
    }
    let twice_pairs = 2 * true_positives * false_positives;
    Some([
        (twice_pairs - twice_lost) as f64 / twice_pairs as f64,
        precision_sum / true_positives as f64,
    ])
}

/// The interval that contains the share `confidence` of `values`, with equal tails; `None` without
/// values.
fn interval(mut values: Vec<f64>, confidence: f64) -> Option<(f64, f64)> {
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some((quantile(&values, tail)?, quantile(&values, 1.0 - tail)?))
}

/// The quantile `q` of `sorted` values with linear interpolation (the default of `numpy.quantile`).
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let position = q * sorted.len().checked_sub(1)? as f64;
    let low = sorted.get(position.floor() as usize)?;
    let high = sorted.get(position.ceil() as usize)?;
    Some(low + (high - low) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::metrics::score;

    /// The order of summation differs.
    const TOLERANCE: f64 = 1e-12;

    fn names(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{prefix}{i}")).collect()
    }

    /// `levels` is the number of distinct predictions. Tag `t` has about 1 track in `2 + 3 t`, so that the
    /// last tags are missing from some resamples.
    fn example(tracks: usize, tags: usize, levels: u64) -> (Predictions, Predictions, Targets) {
        let (ids, names) = (names("track", tracks), names("tag", tags));
        let cell = |i: usize| {
            let x = philox([17, 0], [i as u64, 0, 0, 0]);
            let has = below(x[0], 2 + 3 * (i % tags) as u64) == 0;
            let noisy = |x, lift| {
                let lift = if has { levels * lift / 10 } else { 0 };
                (below(x, levels) + lift) as f32 / (2 * levels) as f32
            };
            (has, noisy(x[1], 2), noisy(x[2], 5))
        };
        let cells: Vec<_> = (0..tracks * tags).map(cell).collect();
        let model = |f: fn(&(bool, f32, f32)) -> f32| {
            Predictions::new(ids.clone(), names.clone(), cells.iter().map(f).collect()).unwrap()
        };
        let (first, second) = (model(|c| c.1), model(|c| c.2));
        let truths = cells.iter().map(|c| c.0).collect();
        (first, second, Targets::new(ids, names, truths).unwrap())
    }

    /// The resampled set, with a distinct id for each copy of a track.
    fn built(
        predictions: &Predictions,
        targets: &Targets,
        counts: &[u32],
    ) -> (Predictions, Targets) {
        let width = targets.tags.len();
        let rows: Vec<usize> =
            (0..counts.len()).flat_map(|i| (0..counts[i]).map(move |_| i)).collect();
        let ids = names("draw", rows.len());
        let values = rows.iter().flat_map(|i| predictions.row(*i).unwrap().to_vec()).collect();
        let truths = rows.iter().flat_map(|i| targets.values[i * width..][..width].to_vec());
        let truths = truths.collect();
        (
            Predictions::new(ids.clone(), predictions.tags.clone(), values).unwrap(),
            Targets::new(ids, targets.tags.clone(), truths).unwrap(),
        )
    }

    /// The interval by linear interpolation between sorted values.
    fn naive_interval(mut values: Vec<f64>) -> (f64, f64) {
        values.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let at = |q: f64| {
            let place = q * (values.len() - 1) as f64;
            let (i, part) = (place as usize, place - (place as usize) as f64);
            let next = values[(i + 1).min(values.len() - 1)];
            values[i] * (1.0 - part) + next * part
        };
        (at(0.025), at(0.975))
    }

    #[track_caller]
    fn assert_near(a: f64, b: f64) {
        assert!((a - b).abs() <= TOLERANCE, "{a} is not {b}");
    }

    #[test]
    fn intervals_equal_those_of_explicit_resamples() {
        for (tracks, levels) in [(60, 1 << 20), (45, 4), (30, 1)] {
            let tags = 6;
            let (first, second, targets) = example(tracks, tags, levels);
            let bootstrap = Bootstrap { resamples: 80, seed: 5, ..Bootstrap::default() };
            let comparison = bootstrap.compare(&[&first], &[&second], &targets).unwrap();

            let mut counts = vec![0; tracks];
            let draws: Vec<_> = (0..bootstrap.resamples)
                .map(|draw| {
                    bootstrap.draw(draw, &mut counts);
                    assert_eq!(counts.iter().sum::<u32>() as usize, tracks);
                    [&first, &second].map(|predictions| {
                        let (predictions, targets) = built(predictions, &targets, &counts);
                        score(&predictions, &targets, "", "").unwrap()
                    })
                })
                .collect();
            let observed =
                [&first, &second].map(|predictions| score(predictions, &targets, "", "").unwrap());

            let same =
                |ours: &Option<Compared>,
                 of: &dyn Fn(&crate::evaluation::metrics::Scores) -> Option<f64>| {
                    let Some(ours) = ours else {
                        assert_eq!(of(&observed[0]), None);
                        return 0;
                    };
                    let pairs: Vec<(f64, f64)> =
                        draws.iter().filter_map(|d| Some((of(&d[0])?, of(&d[1])?))).collect();
                    assert_eq!(ours.resamples, pairs.len());
                    let value = (of(&observed[0]).unwrap(), of(&observed[1]).unwrap());
                    for (ours, f) in [
                        (ours.first, (|p| p.0) as fn((f64, f64)) -> f64),
                        (ours.second, |p| p.1),
                        (ours.difference, |p| p.1 - p.0),
                    ] {
                        let (low, high) = naive_interval(pairs.iter().copied().map(f).collect());
                        assert_near(ours.value, f(value));
                        assert_near(ours.low, low);
                        assert_near(ours.high, high);
                    }
                    ours.resamples
                };
            assert_eq!(same(&comparison.roc_auc_macro, &|s| s.roc_auc_macro), 80);
            assert_eq!(same(&comparison.pr_auc_macro, &|s| s.pr_auc_macro), 80);
            let mut fewer = 0;
            for (tag, compared) in comparison.per_tag.iter().enumerate() {
                assert_eq!(compared.tag, targets.tags[tag]);
                let scored = same(&compared.roc_auc, &|s| s.per_tag[tag].1.roc_auc);
                same(&compared.pr_auc, &|s| s.per_tag[tag].1.pr_auc);
                fewer += usize::from(scored < 80);
            }
            assert!(fewer > 0, "no tag was missing from a resample");
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (first, second, targets) = example(80, 5, 1 << 20);
        let run = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let bootstrap = Bootstrap { resamples: 50, seed, ..Bootstrap::default() };
            pool.install(|| bootstrap.compare(&[&first], &[&second], &targets).unwrap())
        };
        assert_eq!(run(1, 3), run(4, 3));
        assert_ne!(run(1, 3).roc_auc_macro, run(1, 4).roc_auc_macro);
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let (first, second, targets) = example(300, 3, 1 << 20);
        let same = Bootstrap::default().compare(&[&first], &[&first], &targets).unwrap();
        let difference = same.roc_auc_macro.unwrap().difference;
        assert_eq!((difference.value, difference.low, difference.high), (0.0, 0.0, 0.0));
        // The second is better by construction.
        let better = Bootstrap::default().compare(&[&first], &[&second], &targets).unwrap();
        let difference = better.roc_auc_macro.unwrap().difference;
        assert!(difference.low > 0.0, "{difference:?}");
        assert!(difference.low < difference.value && difference.value < difference.high);
    }

    /// ROC-AUC of random predictions has a known variance: (p + n + 1) / (12 p n), with
    /// p positives and n negatives (Mann and Whitney 1947).
    #[test]
    fn intervals_have_the_theoretical_width() {
        let tracks = 2000;
        let (ids, tags) = (names("track", tracks), names("tag", 1));
        let values = (0..tracks as u64).map(|i| below(philox([8, 0], [i, 0, 0, 0])[0], 1 << 24));
        let values = values.map(|x| x as f32).collect();
        let truths = (0..tracks).map(|i| i % 4 == 0).collect();
        let predictions = Predictions::new(ids.clone(), tags.clone(), values).unwrap();
        let targets = Targets::new(ids, tags, truths).unwrap();
        let (p, n) = (500.0f64, 1500.0);
        let expected = 2.0 * 1.959964 * ((p + n + 1.0) / (12.0 * p * n)).sqrt();
        let comparison =
            Bootstrap::default().compare(&[&predictions], &[&predictions], &targets).unwrap();
        let estimate = comparison.roc_auc_macro.unwrap().first;
        let width = estimate.high - estimate.low;
        // A quantile of 1000 draws is off by a few per cent; so is the bootstrap's variance.
        assert!((width / expected - 1.0).abs() < 0.12, "{width} is not near {expected}");
    }

    #[test]
    fn without_scored_tags_scores_are_none() {
        let (ids, tags) = (names("track", 3), names("tag", 1));
        let predictions = Predictions::new(ids.clone(), tags.clone(), vec![0.1, 0.2, 0.3]).unwrap();
        let targets = Targets::new(ids, tags, vec![false; 3]).unwrap();
        let none =
            Bootstrap::default().compare(&[&predictions], &[&predictions], &targets).unwrap();
        assert_eq!((none.roc_auc_macro, none.per_tag[0].pr_auc), (None, None));
        let predictions = Predictions::new(vec![], names("tag", 1), vec![]).unwrap();
        let targets = Targets::new(vec![], names("tag", 1), vec![]).unwrap();
        let none =
            Bootstrap::default().compare(&[&predictions], &[&predictions], &targets).unwrap();
        assert_eq!(none.pr_auc_macro, None);
    }

    #[test]
    fn invalid_settings_are_errors() {
        let (mut first, second, targets) = example(10, 2, 10);
        let error = |bootstrap: Bootstrap, first: &Predictions| {
            bootstrap.compare(&[first], &[&second], &targets).unwrap_err().to_string()
        };
        let usual = Bootstrap::default();
        assert!(error(Bootstrap { resamples: 0, ..usual }, &first).contains("resamples is 0"));
        for confidence in [0.0, 1.0, -1.0, f64::NAN] {
            let error = error(Bootstrap { confidence, ..usual }, &first);
            assert!(error.contains("confidence is"), "{error}");
        }
        first.values[3] = f32::NAN;
        assert!(error(usual, &first).contains("the first predictions: the prediction for track"));
    }

    #[test]
    fn several_runs_score_the_mean_of_their_scores() {
        let (tracks, tags) = (40, 3);
        let number = |run: u64, i: usize| philox([run, 9], [i as u64, 0, 0, 0])[0];
        let ids: Vec<String> = (0..tracks).map(|i| format!("t{i}")).collect();
        let names: Vec<String> = (0..tags).map(|i| format!("tag{i}")).collect();
        let truth: Vec<bool> = (0..tracks * tags).map(|i| number(0, i).is_multiple_of(3)).collect();
        let run = |seed: u64| {
            let values = (0..tracks * tags)
                .map(|i| f32::from(truth[i]) * 0.3 + (number(seed, i) >> 40) as f32 / 16_777_216.0)
                .collect();
            Predictions::new(ids.clone(), names.clone(), values).unwrap()
        };
        let targets = Targets::new(ids.clone(), names.clone(), truth.clone()).unwrap();
        let (a, b, c) = (run(1), run(2), run(3));
        let bootstrap = Bootstrap { resamples: 50, ..Bootstrap::default() };
        let ours = bootstrap.compare(&[&a, &b], &[&c], &targets).unwrap();
        let score_of = |p: &Predictions| score(p, &targets, "", "").unwrap().roc_auc_macro.unwrap();
        let ours_first = ours.roc_auc_macro.unwrap().first.value;
        assert!((ours_first - (score_of(&a) + score_of(&b)) / 2.0).abs() <= TOLERANCE);
        // Two equal runs are equivalent to one.
        assert_eq!(
            bootstrap.compare(&[&a, &a], &[&c], &targets).unwrap(),
            bootstrap.compare(&[&a], &[&c], &targets).unwrap()
        );
        let none = bootstrap.compare(&[], &[&c], &targets).unwrap_err();
        assert!(none.to_string().contains("first model has no run"), "{none}");
    }
}
