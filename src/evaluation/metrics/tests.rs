use serde::Deserialize;

use super::*;
use crate::evaluation::predictions::Predictions;
use crate::rng::{below, philox};

/// The order of summation of up to a few thousand terms differs from scikit-learn's.
const TOLERANCE: f64 = 1e-12;

/// Written by `reference.py` with scikit-learn.
#[derive(Deserialize)]
struct Reference {
    tagging: Vec<Tagging>,
    genres: Vec<Genres>,
}

#[derive(Deserialize)]
struct Tagging {
    name: String,
    predictions: Vec<Vec<f32>>,
    targets: Vec<Vec<u8>>,
    per_tag: Vec<TagScores>,
    roc_auc_macro: Option<f64>,
    pr_auc_macro: Option<f64>,
    n_tags_scored: usize,
    #[serde(default)]
    curves: Vec<Curves>,
}

/// Points are x, y, threshold.
#[derive(Deserialize)]
struct Curves {
    roc: Vec<(f64, f64, Option<f32>)>,
    pr: Vec<(f64, f64, Option<f32>)>,
}

#[derive(Deserialize)]
struct Genres {
    name: String,
    classes: usize,
    truth: Vec<usize>,
    predicted: Vec<usize>,
    accuracy: f64,
    f1_macro: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference.json")).unwrap()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

impl Tagging {
    fn matrices(&self) -> (Predictions, Targets) {
        let (ids, tags) = (names("track", self.targets.len()), names("tag", self.per_tag.len()));
        let truths: Vec<f32> = self.targets.concat().into_iter().map(f32::from).collect();
        let targets = Targets::from_numbers(ids.clone(), tags.clone(), &truths).unwrap();
        (Predictions::new(ids, tags, self.predictions.concat()).unwrap(), targets)
    }
}

#[track_caller]
fn assert_near(ours: Option<f64>, theirs: Option<f64>, what: &str) {
    match (ours, theirs) {
        (None, None) => {}
        (Some(a), Some(b)) => assert!((a - b).abs() <= TOLERANCE, "{what}: {a} is not {b}"),
        _ => panic!("{what}: {ours:?} is not {theirs:?}"),
    }
}

#[test]
fn tags_score_as_in_scikit_learn() {
    let cases = reference().tagging;
    assert!(cases.len() >= 18);
    for case in cases {
        let (predictions, targets) = case.matrices();
        let scores = score(&predictions, &targets, "made up", "test").unwrap();
        assert_near(scores.roc_auc_macro, case.roc_auc_macro, &case.name);
        assert_near(scores.pr_auc_macro, case.pr_auc_macro, &case.name);
        assert_eq!(scores.n_tags_scored, case.n_tags_scored, "{}", case.name);
        assert_eq!(scores.n_tracks, case.targets.len());
        assert_eq!(scores.per_tag.len(), case.per_tag.len());
        for ((tag, ours), theirs) in scores.per_tag.iter().zip(&case.per_tag) {
            let what = format!("{}, {tag}", case.name);
            assert_near(ours.roc_auc, theirs.roc_auc, &what);
            assert_near(ours.pr_auc, theirs.pr_auc, &what);
            assert_eq!(ours.positives, theirs.positives, "{what}");
        }
    }
}

fn column(case: &Tagging, tag: usize) -> (Vec<f32>, Vec<bool>) {
    let predictions = case.predictions.iter().map(|row| row[tag]).collect();
    (predictions, case.targets.iter().map(|row| row[tag] == 1).collect())
}

#[test]
fn curves_are_those_of_scikit_learn() {
    let mut compared = 0;
    for case in reference().tagging {
        for (tag, curves) in case.curves.iter().enumerate() {
            let (predictions, targets) = column(&case, tag);
            let what = format!("{}, tag {tag}", case.name);
            let points = operating_points(&predictions, &targets).unwrap();
            let last = points[points.len() - 1];
            let share = |count: usize, of: usize| Some(count as f64 / of as f64);
            // scikit-learn adds a first point at which no track is called positive.
            if case.per_tag[tag].roc_auc.is_some() {
                assert_eq!(points.len() + 1, curves.roc.len(), "{what}");
                for (p, theirs) in points.iter().zip(&curves.roc[1..]) {
                    assert_near(
                        share(p.false_positives, last.false_positives),
                        Some(theirs.0),
                        &what,
                    );
                    assert_near(
                        share(p.true_positives, last.true_positives),
                        Some(theirs.1),
                        &what,
                    );
                    assert_eq!(Some(p.threshold), theirs.2, "{what}");
                }
                compared += 1;
            }
            if case.per_tag[tag].positives > 0 {
                assert_eq!(points.len() + 1, curves.pr.len(), "{what}");
                for (p, theirs) in points.iter().zip(&curves.pr[1..]) {
                    let called = p.true_positives + p.false_positives;
                    assert_near(
                        share(p.true_positives, last.true_positives),
                        Some(theirs.0),
                        &what,
                    );
                    assert_near(share(p.true_positives, called), Some(theirs.1), &what);
                    assert_eq!(Some(p.threshold), theirs.2, "{what}");
                }
            }
        }
    }
    assert!(compared >= 10);
}

#[test]
fn genres_score_as_in_scikit_learn() {
    for case in reference().genres {
        // Predictions in which the predicted class is the highest.
        let (ids, tags) = (names("track", case.truth.len()), names("genre", case.classes));
        let targets =
            Targets::from_indices(ids.clone(), tags.clone(), case.truth.iter().map(|&t| [t]))
                .unwrap();
        let values = case
            .predicted
            .iter()
            .flat_map(|&p| (0..case.classes).map(move |c| if c == p { 0.4 } else { 0.1 }))
            .collect();
        let predictions = Predictions::new(ids, tags, values).unwrap();
        let scores = score_genres(&predictions, &targets, "made up", "test").unwrap();
        assert_near(scores.accuracy, Some(case.accuracy), &case.name);
        assert_near(scores.f1_macro, Some(case.f1_macro), &case.name);
    }
}

/// Both areas by their definitions, over all pairs and thresholds.
fn by_definition(predictions: &[f32], targets: &[bool]) -> (f64, f64) {
    let of = |kind| predictions.iter().zip(targets).filter(move |x| *x.1 == kind).map(|x| *x.0);
    let positives = of(true).count() as f64;
    let wins: f64 = of(true)
        .flat_map(|p| {
            of(false).map(move |n| {
                if p > n {
                    1.0
                } else if p == n {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum();
    let precision_sum: f64 = of(true)
        .map(|p| {
            let above = of(true).filter(|&q| q >= p).count() as f64;
            above / (above + of(false).filter(|&q| q >= p).count() as f64)
        })
        .sum();
    (wins / (positives * of(false).count() as f64), precision_sum / positives)
}

fn random_column(stream: u64, tracks: usize, levels: u64) -> (Vec<f32>, Vec<bool>) {
    (0..tracks as u64)
        .map(|i| philox([stream, 0], [i, 0, 0, 0]))
        .map(|x| (below(x[0], levels) as f32 / levels as f32, below(x[1], 5) == 0))
        .unzip()
}

#[test]
fn areas_follow_their_definitions() {
    for (stream, (tracks, levels)) in
        [(40, 3), (200, 20), (700, 1 << 30), (1500, 50), (900, 2)].into_iter().enumerate()
    {
        let (predictions, targets) = random_column(stream as u64, tracks, levels);
        let areas = areas(&predictions, &targets).unwrap();
        let (roc_auc, pr_auc) = by_definition(&predictions, &targets);
        assert_near(areas.roc_auc, Some(roc_auc), "ROC-AUC");
        assert_near(areas.pr_auc, Some(pr_auc), "average precision");
    }
}

#[test]
fn tags_of_several_blocks_keep_their_order() {
    let (tracks, tags) = (100, 37);
    let columns: Vec<_> = (0..tags).map(|t| random_column(90 + t as u64, tracks, 11)).collect();
    let by_track = |i: usize| columns.iter().map(move |c| (c.0[i], c.1[i]));
    let (values, truths) = (0..tracks).flat_map(by_track).unzip();
    let predictions = Predictions::new(names("track", tracks), names("tag", tags), values).unwrap();
    let targets = Targets::new(names("track", tracks), names("tag", tags), truths).unwrap();
    let scores = score(&predictions, &targets, "made up", "valid").unwrap();
    for (t, (name, scores)) in scores.per_tag.iter().enumerate() {
        assert_eq!(name, &format!("tag{t}"));
        let (roc_auc, pr_auc) = by_definition(&columns[t].0, &columns[t].1);
        assert_near(scores.roc_auc, Some(roc_auc), name);
        assert_near(scores.pr_auc, Some(pr_auc), name);
    }
}

fn tiny() -> (Predictions, Targets) {
    let (ids, tags) = (names("track", 2), names("tag", 2));
    let targets = Targets::new(ids.clone(), tags.clone(), vec![true, false, false, true]).unwrap();
    (Predictions::new(ids, tags, vec![0.9, 0.2, 0.1, 0.8]).unwrap(), targets)
}

#[test]
fn predictions_that_are_not_finite_are_named() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (mut predictions, targets) = tiny();
        predictions.values[3] = value;
        let error = score(&predictions, &targets, "d", "s").unwrap_err().to_string();
        assert!(error.contains("track \"track1\", tag \"tag1\""), "{error}");
        assert!(areas(&[0.1, value], &[true, false]).is_err());
        assert!(operating_points(&[0.1, value], &[true, false]).is_err());
    }
}

#[test]
fn predictions_and_targets_must_match() {
    let (predictions, targets) = tiny();
    let refused = |predictions: &Predictions, targets: &Targets| {
        score(predictions, targets, "d", "s").unwrap_err().to_string()
    };
    let mut other = targets.clone();
    other.ids.swap(0, 1);
    assert!(refused(&predictions, &other).contains("track 0 is \"track0\" in the predictions"));
    let mut other = targets.clone();
    other.tags[1] = "else".into();
    assert!(refused(&predictions, &other).contains("tag 1 is \"tag1\""));
    let mut other = targets.clone();
    other.ids.pop();
    assert!(refused(&predictions, &other).contains("2 tracks, targets 1"));
    let mut other = targets.clone();
    other.values.pop();
    assert!(refused(&predictions, &other).contains("targets: 2 tracks times 2 tags"));
    let mut short = predictions.clone();
    short.values.pop();
    assert!(refused(&short, &targets).contains("predictions: 2 tracks times 2 tags"));
    assert!(areas(&[0.5], &[]).is_err());

    let ids = names("track", 1);
    assert!(Targets::from_numbers(ids.clone(), names("tag", 2), &[1.0, 0.5]).is_err());
    assert!(Targets::from_numbers(ids.clone(), names("tag", 1), &[f32::NAN]).is_err());
    assert!(Targets::from_indices(ids.clone(), names("tag", 2), [[2]]).is_err());
    assert!(Targets::from_indices(ids, names("tag", 2), [[0], [1]]).is_err());
}

#[test]
fn a_track_needs_one_genre() {
    let (predictions, mut targets) = tiny();
    targets.values[3] = false;
    let error = score_genres(&predictions, &targets, "d", "s").unwrap_err().to_string();
    assert!(error.contains("track \"track1\" has 0 genres"), "{error}");
    targets.values = vec![true, true, false, true];
    let error = score_genres(&predictions, &targets, "d", "s").unwrap_err().to_string();
    assert!(error.contains("track \"track0\" has 2 genres"), "{error}");
}

#[test]
fn metrics_without_tracks_or_tags_are_null() {
    let predictions = Predictions::new(vec![], names("tag", 2), vec![]).unwrap();
    let targets = Targets::new(vec![], names("tag", 2), vec![]).unwrap();
    let scores = score_genres(&predictions, &targets, "d", "s").unwrap();
    assert_eq!((scores.n_tags_scored, scores.roc_auc_macro, scores.accuracy), (0, None, None));
    let none = Predictions::new(names("track", 2), vec![], vec![]).unwrap();
    let targets = Targets::new(names("track", 2), vec![], vec![]).unwrap();
    assert_eq!(score(&none, &targets, "d", "s").unwrap().pr_auc_macro, None);
}

#[test]
fn scores_json_has_its_documented_keys() {
    let (predictions, mut targets) = tiny();
    targets.values = vec![true, false, false, false];
    let mut scores = score(&predictions, &targets, "rendered", "test").unwrap();
    let value = serde_json::to_value(&scores).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "dataset": "rendered", "split": "test", "n_tracks": 2, "n_tags_scored": 1,
            "roc_auc_macro": 1.0, "pr_auc_macro": 1.0,
            "per_tag": {
                "tag0": {"roc_auc": 1.0, "pr_auc": 1.0, "positives": 1},
                "tag1": {"roc_auc": null, "pr_auc": null, "positives": 0},
            },
        })
    );
    // Tags keep their order, which is not alphabetical.
    scores.per_tag.reverse();
    scores.accuracy = Some(0.5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&scores).unwrap()).unwrap();
    assert_eq!(Scores::read(&path).unwrap(), scores);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.find("tag1").unwrap() < text.find("tag0").unwrap());
    std::fs::write(&path, text.replace("tag1", "tag0")).unwrap();
    let error = Scores::read(&path).unwrap_err().to_string();
    assert!(error.contains("scores.json") && error.contains("duplicate tag"), "{error}");
    assert!(Scores::read(&folder.path().join("absent.json")).is_err());
}
