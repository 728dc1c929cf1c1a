use std::collections::BTreeMap;
use std::f64::consts::TAU;

use models::front_end::strided::{FeaturePool, PoolKind};

use super::filters::{FilterBank, mel_centre};
use super::sample::{self, SAMPLE_RATE};
use super::*;
use crate::evaluation::bootstrap::Bootstrap;
use crate::evaluation::metrics::retrieval::RecommendationScores;
use crate::evaluation::metrics::score;
use crate::evaluation::predictions::Predictions;
use crate::evaluation::recommendation::Recommendation;
use crate::evaluation::similar_tracks::{Example, SimilarTracks};
use crate::evaluation::tag_probe::{TagAuc, TagProbe};
use crate::training::log::LogLine;

const COMMAND: &str = "tonotopy report runs/* --out report";

/// With few resamples, for speed.
fn analyse(runs: &[EvaluatedRun]) -> Result<Analysis, ReportError> {
    Analysis::new(runs, &Bootstrap { resamples: 40, ..Bootstrap::default() })
}

fn rendered(runs: &[EvaluatedRun]) -> Result<String, ReportError> {
    render(&analyse(runs)?, runs, COMMAND)
}

fn small() -> Vec<EvaluatedRun> {
    let targets = sample::targets(120, 6);
    let run = |group: &str, skill, seed| sample::run(group, skill, seed, &targets);
    vec![run("mel", 2.5, 1), run("mel", 2.5, 2), run("raw", 0.8, 1), run("raw", 0.8, 2)]
}

/// Checks that every HTML tag and attribute is closed, no path contains NaN, and nothing is fetched.
#[track_caller]
fn assert_sound(page: &str) {
    const VOID: &[&str] = &["meta", "br", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        assert!(tag.matches('"').count().is_multiple_of(2), "open quote in <{tag}>");
        let name = tag.split_whitespace().next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !VOID.contains(&name) {
            open.push(name);
        }
        rest = &rest[end + 1..];
        if name == "script" || name == "style" {
            rest = &rest[rest.find(&format!("</{name}>")).expect("it ends")..];
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    for path in page.split(" d=\"").skip(1) {
        let path = &path[..path.find('"').unwrap()];
        assert!(path.chars().all(|c| "MLhZ -.0123456789".contains(c)), "path {path}");
    }
    for foreign in ["http://", "https://", "src=", "@import", "url(", "fetch("] {
        // The only address is the name of SVG in the script, which is not fetched.
        let text = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains(foreign), "{foreign}");
    }
}

#[test]
fn the_spectrum_of_a_sinusoid_has_its_peak_at_the_frequency() {
    let length = 256;
    for hertz in [437.0, 1000.0, 3210.5] {
        let taps = (0..length).map(|tap| {
            let window = 0.5 - 0.5 * (TAU * tap as f64 / length as f64).cos();
            (window * (TAU * hertz * tap as f64 / f64::from(SAMPLE_RATE) + 0.3).sin()) as f32
        });
        let filters =
            Filters { sample_rate: SAMPLE_RATE, length, weights: taps.collect(), pool: None };
        let bank = FilterBank::new("r", &filters).unwrap();
        let found = bank.dominant(0).unwrap();
        assert!((found - hertz).abs() < 2.0, "{found} is not {hertz}");
        // The peak is in the band that holds the frequency, and is 1.
        let bands = bank.bands(0, 160);
        let loudest = (0..160).max_by(|&a, &b| bands[a].total_cmp(&bands[b])).unwrap();
        assert_eq!(loudest, (hertz / 8000.0 * 160.0) as usize);
        assert_eq!(bands[loudest], 1.0);
    }
}

#[test]
fn spectra_equal_the_fourier_transform_by_definition() {
    let filters = sample::filters(2, 32, None, 5);
    let bank = FilterBank::new("r", &filters).unwrap();
    let magnitude = |bin: usize| {
        let (mut re, mut im) = (0.0, 0.0);
        for (tap, &weight) in bank.taps(1).iter().enumerate() {
            let angle = TAU * (bin * tap) as f64 / 4096.0;
            re += f64::from(weight) * angle.cos();
            im -= f64::from(weight) * angle.sin();
        }
        re.hypot(im)
    };
    let slow: Vec<f64> = (0..=2048).map(magnitude).collect();
    let peak = slow.iter().copied().fold(0.0, f64::max);
    for (row, value) in bank.bands(1, 2049).into_iter().enumerate() {
        assert!((f64::from(value) - slow[row] / peak).abs() < 1e-5, "bin {row}");
    }
}

#[test]
fn filters_are_sorted_and_those_without_a_spectrum_come_last() {
    let mut filters = sample::filters(32, 128, None, 1);
    filters.weights[..128].fill(0.0);
    filters.weights[128] = f32::NAN;
    let bank = FilterBank::new("r", &filters).unwrap();
    let sorted: Vec<Option<f64>> = bank.order().iter().map(|&f| bank.dominant(f)).collect();
    assert_eq!(&sorted[30..], [None, None]);
    let known: Vec<f64> = sorted.into_iter().flatten().collect();
    assert!(known.len() == 30 && known.windows(2).all(|pair| pair[0] <= pair[1]));
    let mut all = bank.order().to_vec();
    all.sort_unstable();
    assert_eq!(all, (0..32).collect::<Vec<_>>());
    let below = known.iter().filter(|&&hertz| hertz < 2000.0).count() as f64 / 30.0;
    assert_eq!(bank.share_below(2000.0), Some(below));
}

#[test]
fn mel_centres_follow_the_formula() {
    // 1 000 Hz is 999.99 mel, so the middle of a scale that ends at twice that is 1 000 Hz.
    let mel = 2595.0 * (1.0 + 1000.0f64 / 700.0).log10();
    assert!((mel - 999.99).abs() < 0.01);
    let f_max = 700.0 * (10f64.powf(2.0 * mel / 2595.0) - 1.0);
    assert!((mel_centre(0, 1, f_max) - 1000.0).abs() < 1e-6);
    // librosa.mel_frequencies(n_mels=6, fmin=0, fmax=8000, htk=True)[1:-1], librosa 0.11.0.
    let theirs = [458.730_083_672_6, 1_218.079_152_582_6, 2_475.051_452_803_8, 4_555.753_765_102_8];
    for (index, expected) in theirs.into_iter().enumerate() {
        let ours = mel_centre(index, 4, 8000.0);
        assert!((ours - expected).abs() < 1e-6, "{ours} is not {expected}");
    }
}

#[test]
fn shifted_copies_have_similarity_1_and_their_shift() {
    let length = 128;
    let noise: Vec<f32> = (0..64).map(|i| sample::normal(9, i) as f32).collect();
    let mut weights = vec![0.0; 4 * length];
    for (filter, (at, gain)) in
        [(30, 1.0), (47, 0.5), (13, 0.8), (30, -0.9)].into_iter().enumerate()
    {
        for (tap, value) in noise.iter().enumerate() {
            weights[filter * length + at + tap] = gain * value;
        }
    }
    let pool = Some(FeaturePool { kind: PoolKind::L2, size: 4 });
    let filters = Filters { sample_rate: SAMPLE_RATE, length, weights, pool };
    let fits = FilterBank::new("r", &filters).unwrap().pool_fits().unwrap();
    let [fit] = fits.pools.as_slice() else { panic!("one pool") };
    assert_eq!(fit.anchor, 0);
    let shifts: Vec<isize> = fit.members[..3].iter().map(|member| member.shift).collect();
    // The second filter is 17 samples late.
    assert_eq!(shifts, [0, -17, 17]);
    for member in &fit.members[..3] {
        assert!((member.similarity.unwrap() - 1.0).abs() < 1e-5, "{member:?}");
    }
    // Against the definition, at every shift of the inverted copy.
    let bank = FilterBank::new("r", &filters).unwrap();
    let (a, b) = (bank.taps(0), bank.taps(3));
    let norm = |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let at = |shift: isize| {
        let pairs = (0..length as isize).filter(|n| (0..length as isize).contains(&(n - shift)));
        pairs.map(|n| f64::from(a[n as usize]) * f64::from(b[(n - shift) as usize])).sum::<f64>()
    };
    let best = (-127..=127).map(at).fold(f64::NEG_INFINITY, f64::max) / norm(a) / norm(b);
    assert!((fit.members[3].similarity.unwrap() - best).abs() < 1e-5);
    assert!(at(fit.members[3].shift) / norm(a) / norm(b) > best - 1e-5);
    assert_eq!(fits.chance, None);
}

#[test]
fn pools_of_copies_are_more_similar_than_other_pairs() {
    let bank = FilterBank::new("r", &sample::filters(64, 256, Some(4), 3)).unwrap();
    let fits = bank.pool_fits().unwrap();
    assert_eq!(fits.pools.len(), 16);
    assert!(fits.pools.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
    assert!(fits.median().unwrap() > 2.0 * fits.chance.unwrap(), "{:?}", fits.chance);
}

#[test]
fn weights_that_do_not_fit_their_shape_are_an_error() {
    let good = sample::filters(8, 16, None, 1);
    let bad = [
        Filters { length: 0, ..good.clone() },
        Filters { length: 15, ..good.clone() },
        Filters { weights: vec![], ..good.clone() },
        Filters { sample_rate: 0, ..good.clone() },
    ];
    for filters in bad {
        let error = FilterBank::new("run-s1", &filters).unwrap_err().to_string();
        assert!(error.contains("run-s1") && error.contains("weights"), "{error}");
    }
    for size in [0, 3, 16] {
        let pool = Some(FeaturePool { kind: PoolKind::Max, size });
        let error = FilterBank::new("r", &Filters { pool, ..good.clone() }).unwrap_err();
        assert!(error.to_string().contains("must divide"), "{error}");
    }
}

#[test]
fn the_area_under_macro_curves_is_the_macro_score() {
    let runs = small();
    let (a, b) = (&runs[0], &runs[1]);
    let tags = roc_pr::per_tag(&[a, b]).unwrap();
    let curves = roc_pr::mean(tags.iter().flatten()).unwrap();
    let scores = [a, b].map(|run| score(&run.predictions, &run.targets, "", "").unwrap());
    let mean = |f: &dyn Fn(&crate::evaluation::metrics::Scores) -> Option<f64>| {
        scores.iter().map(|s| f(s).unwrap()).sum::<f64>() / 2.0
    };
    let area = |x: &dyn Fn(usize) -> f64, y: &[f64]| -> f64 {
        (1..y.len()).map(|i| (x(i) - x(i - 1)) * (y[i] + y[i - 1]) / 2.0).sum()
    };
    let roc = area(&roc_pr::false_positive_rate, &curves.roc);
    let pr = area(&roc_pr::recall, &curves.pr);
    assert!((roc - mean(&|s| s.roc_auc_macro)).abs() < 5e-3, "{roc}");
    assert!((pr - mean(&|s| s.pr_auc_macro)).abs() < 1e-2, "{pr}");
    assert_eq!((curves.roc[roc_pr::INTERVALS], curves.roc.len()), (1.0, roc_pr::INTERVALS + 1));
}

#[test]
fn scores_and_differences_equal_those_of_the_metrics() {
    let runs = small();
    let analysis = analyse(&runs).unwrap();
    let [section] = analysis.sections.as_slice() else { panic!("one section") };
    let names: Vec<&str> = section.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["mel", "raw"]);
    let auc = |run: &EvaluatedRun| {
        score(&run.predictions, &run.targets, "", "").unwrap().roc_auc_macro.unwrap()
    };
    let (one, two) = (auc(&runs[0]), auc(&runs[1]));
    let spread = section.groups[0].scores[&Metric::RocAuc].unwrap();
    assert!((spread.mean - (one + two) / 2.0).abs() < 1e-12);
    assert!((spread.deviation.unwrap() - (one - two).abs() / 2f64.sqrt()).abs() < 1e-12);
    let lead = section.lead().unwrap().comparison.roc_auc_macro.unwrap().difference;
    let expected = (one + two) / 2.0 - (auc(&runs[2]) + auc(&runs[3])) / 2.0;
    assert!((lead.value - expected).abs() < 1e-12);
    assert!(lead.low <= lead.value && lead.value <= lead.high);
    assert_eq!(section.quarantine["empty file"], 2);
    assert_eq!(section.quarantine["truncated after 3.1 s"], 1);
    assert_eq!(section.tags.len(), 6);
    assert_eq!(
        section.tags[0].positives,
        runs[0].targets.values.iter().step_by(6).filter(|v| **v).count()
    );
    let json = serde_json::to_value(&analysis).unwrap();
    assert_eq!(json["sections"][0]["groups"][0]["scores"]["roc_auc_macro"]["mean"], spread.mean);
}

#[test]
fn many_groups_are_compared_with_the_best_only() {
    let targets = sample::targets(60, 3);
    let runs: Vec<EvaluatedRun> =
        (0..5).map(|i| sample::run(&format!("g{i}"), f64::from(i) * 0.5, 1, &targets)).collect();
    let pairs = |runs: &[EvaluatedRun]| {
        let section = analyse(runs).unwrap().sections.remove(0);
        section.differences.iter().map(|d| (d.better, d.other)).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&runs), [(0, 1), (0, 2), (0, 3), (0, 4)]);
    assert_eq!(pairs(&runs[..3]), [(0, 1), (0, 2), (1, 2)]);
}

#[test]
fn the_page_of_a_study_is_well_formed() {
    let heavy = std::env::var_os("TONOTOPY_REPORT_PAGE");
    let (tracks, tags) = if heavy.is_some() { (1200, 50) } else { (200, 50) };
    let runs = sample::study(tracks, tags);
    let resamples = if heavy.is_some() { 1000 } else { 40 };
    let bootstrap = Bootstrap { resamples, ..Bootstrap::default() };
    let page = render(&Analysis::new(&runs, &bootstrap).unwrap(), &runs, COMMAND).unwrap();
    assert_sound(&page);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    for needle in [
        "0.8815",
        "P3, table 1",
        "NVIDIA GeForce RTX 3060",
        "84c62c2f00ba",
        "3 files left out",
        "--seed 3",
        "mel scale",
        "Pools",
    ] {
        assert!(page.contains(needle), "{needle}");
    }
    // Set the variable to view the page in a browser.
    if let Some(path) = heavy {
        std::fs::write(path, page).unwrap();
    }
}

#[test]
fn each_command_is_shown_once() {
    let mut runs = small();
    let command = "tonotopy run experiments/quickstart";
    runs.iter_mut().for_each(|run| run.command = command.into());
    let analysis = analyse(&runs).unwrap();
    let times = |page: &str| render(&analysis, &runs, page).unwrap().matches(command).count();
    assert_eq!(times(COMMAND), 1);
    assert_eq!(times(command), 1);
    assert_eq!(times(&format!("{command} --force")), 2);
}

#[test]
fn a_single_run_has_a_page() {
    let runs = small();
    let page = rendered(&runs[..1]).unwrap();
    assert_sound(&page);
    assert!(!page.contains("Differences") && !page.contains("Learned filters"));
    assert!(!page.contains("Published") && page.contains("1 seed"));
}

#[test]
fn missing_values_are_named_or_left_out() {
    let mut targets = sample::targets(80, 3);
    for row in targets.values.chunks_mut(3) {
        row[1] = false;
    }
    let mut runs = vec![sample::run("a", 1.5, 1, &targets), sample::run("b", 1.0, 1, &targets)];
    runs[0].log.clear();
    runs[0].quarantine.clear();
    runs[1].quarantine.clear();
    runs[0].filters =
        Some(Filters { weights: vec![0.0; 64], ..sample::filters(4, 16, Some(2), 1) });
    for line in &mut runs[1].log {
        match line {
            LogLine::Train { step, loss, .. } if (5000..5200).contains(step) => *loss = f64::NAN,
            LogLine::Train { step: 9000, loss, .. } => *loss = f64::INFINITY,
            LogLine::Valid { metrics, .. } => drop(metrics.insert("roc_auc_macro".into(), None)),
            _ => {}
        }
    }
    let page = rendered(&runs).unwrap();
    assert_sound(&page);
    for needle in [
        "2 of 3",
        "classical (0 positive)",
        "No files were left out.",
        "No values were logged.",
        "4 filters without a spectrum",
    ] {
        assert!(page.contains(needle), "{needle}");
    }
    // The training loss has two gaps.
    let paths = page.split("data-name=\"b, seed 1\" d=\"").skip(1);
    let moves = paths.map(|rest| rest[..rest.find('"').unwrap()].matches('M').count()).max();
    assert_eq!(moves, Some(3));
}

#[test]
fn runs_that_cannot_be_scored_have_a_page() {
    let mut targets = sample::targets(30, 2);
    targets.values.fill(false);
    let runs = [sample::run("a", 1.0, 1, &targets), sample::run("b", 1.0, 1, &targets)];
    let page = rendered(&runs).unwrap();
    assert_sound(&page);
    assert!(page.contains("is not defined") && page.contains("Not defined: no tag has both"));
    let analysis = analyse(&runs).unwrap();
    assert!(text(&analysis).contains("0 of 2 tags scored"));
}

#[test]
fn names_are_escaped_everywhere() {
    let evil = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>\u{1b}[31m";
    let mut targets = sample::targets(60, 2);
    targets.tags[0] = evil.into();
    let mut runs = vec![sample::run("a", 1.0, 1, &targets), sample::run("b", 1.2, 1, &targets)];
    for run in &mut runs {
        for field in [
            &mut run.name,
            &mut run.about,
            &mut run.model,
            &mut run.device,
            &mut run.command,
            &mut run.dataset,
        ] {
            field.push_str(evil);
        }
        run.group.push_str(evil);
        run.environment.insert(evil.into(), evil.into());
        run.quarantine.push(QuarantinedFile { path: evil.into(), reason: evil.into() });
        run.notes.push(evil.into());
        run.settings.insert(evil.into(), run.name.clone());
        run.paper = sample::paper(0.5, evil);
    }
    runs[0].environment.insert("only here".into(), evil.into());
    let analysis = analyse(&runs).unwrap();
    let page = render(&analysis, &runs, evil).unwrap();
    // `src=` is part of the name, so it is removed before the check for fetched resources.
    assert_sound(&page.replace("img src=x", ""));
    assert!(!page.contains("<script>alert") && !page.contains("<img"));
    assert!(page.contains("&lt;script&gt;alert"));
    let plain = text(&analysis);
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn runs_on_different_data_are_in_different_sections() {
    let (targets, other) = (sample::targets(60, 3), sample::targets(50, 3));
    let mut runs = vec![sample::run("a", 1.0, 1, &targets), sample::run("b", 1.0, 1, &other)];
    runs.push(EvaluatedRun { dataset: "nsynth".into(), ..sample::run("a", 1.0, 1, &targets) });
    let analysis = analyse(&runs).unwrap();
    assert_eq!(analysis.sections.len(), 3);
    assert!(analysis.sections[0].remark.is_none() && analysis.sections[2].remark.is_none());
    let remark = analysis.sections[1].remark.as_ref().unwrap();
    assert!(remark.contains("different tracks (50 instead of 60)"), "{remark}");
    let page = rendered(&runs).unwrap();
    assert_sound(&page);
    assert!(page.contains("nsynth · test"));
    assert!(page.contains("id=\"curves-0\"") && page.contains("id=\"curves-2\""));
}

#[test]
fn genre_groups_are_ordered_by_accuracy() {
    let mut targets = sample::targets(60, 3);
    for (track, row) in targets.values.chunks_mut(3).enumerate() {
        row.fill(false);
        row[track % 3] = true;
    }
    let genres = |group: &str, skill| EvaluatedRun {
        task: Task::Genres,
        ..sample::run(group, skill, 1, &targets)
    };
    let runs = [genres("weak", 0.1), genres("strong", 4.0)];
    let analysis = analyse(&runs).unwrap();
    let section = &analysis.sections[0];
    assert_eq!(section.main_metric(), Metric::Accuracy);
    assert_eq!(section.groups[0].name, "strong");
    let page = rendered(&runs).unwrap();
    assert_sound(&page);
    assert!(page.contains("Accuracy") && page.contains("Accuracy (validation)"));
}

/// A run that recommends; the AUC of its first tag is `listening` and `predicted`, of its second 0.1 less.
fn recommending(group: &str, seed: u64, listening: f64, predicted: f64) -> EvaluatedRun {
    let scores = RecommendationScores {
        k: 500,
        map: Some(predicted / 2.0),
        ndcg: Some(predicted),
        recall: Some(predicted),
        auc: Some(predicted),
        n_users: 30,
        n_users_scored: 20,
        n_users_auc: 20,
        n_users_without_factors: 0,
    };
    let auc = |step: f64, positives| TagAuc {
        listening: listening - step,
        predicted: predicted - step,
        positives,
    };
    let per_tag = [("<b>\"loud\"</b>", auc(0.0, 40)), ("slow", auc(0.1, 12))];
    let ids = |of: &[usize]| of.iter().map(|track| format!("<i>track {track}</i>")).collect();
    let example = Example {
        id: "<i>track 0</i>".into(),
        by_listening: ids(&[1, 2, 3, 4, 5]),
        by_prediction: ids(&[6, 2, 7, 8, 9]),
    };
    EvaluatedRun {
        task: Task::Recommendation,
        recommendation: Some(Recommendation {
            dataset: "songs".into(),
            split: "test".into(),
            n_tracks: 90,
            scores,
            upper_bound: scores,
            random: None,
            nmse: Some(0.9),
            tags_from_factors: Some(TagProbe {
                n_tracks: 90,
                n_tags: 2,
                n_tags_left_out: 3,
                folds: 10,
                listening: Some(listening - 0.05),
                predicted: Some(predicted - 0.05),
                per_tag: per_tag.map(|(tag, auc)| (tag.to_string(), auc)).into(),
            }),
            similar_tracks: Some(SimilarTracks {
                nearest: 5,
                shared: 0.2,
                by_chance: 5.0 / 89.0,
                examples: vec![example],
                n_tracks_left_out: 0,
            }),
        }),
        example_tags: BTreeMap::from([("<i>track 2</i>".into(), vec!["<u>odd</u>".into()])]),
        dataset: "songs".into(),
        ..sample::run(group, 1.0, seed, &sample::targets(1, 1))
    }
}

/// The text of the table cells per row.
fn cells(page: &str, after: &str) -> Vec<Vec<String>> {
    let from = page.find(after).unwrap_or_else(|| panic!("{after}"));
    let table = &page[from..from + page[from..].find("</table>").unwrap()];
    let text = |html: &str| {
        let parts = html.split('<').map(|part| part.split_once('>').map_or(part, |pair| pair.1));
        parts.collect::<String>()
    };
    let row = |row: &str| row.split("</t").map(text).filter(|cell| !cell.is_empty()).collect();
    table.split("<tr").skip(1).map(|part| row(&format!("<tr{part}"))).collect()
}

#[test]
fn tags_from_factors_and_similar_tracks_are_shown() {
    let runs = [
        recommending("a", 1, 0.9, 0.8),
        recommending("a", 2, 0.8, 0.6),
        recommending("b", 1, 0.9, 0.5),
        recommending("b", 2, 0.8, 0.5),
    ];
    let page = rendered(&runs).unwrap();
    assert_sound(&page);
    let rows = cells(&page, "<h2>Tags from factors");
    assert_eq!(rows[0], ["Tag", "Positives", "a", "b"]);
    assert_eq!(rows[1], ["Listening", "Predicted", "Listening", "Predicted"]);
    // Means over seeds; the row on top has means over tags.
    assert_eq!(rows[2], ["Mean", "0.800", "0.650", "0.800", "0.450"], "{rows:?}");
    assert_eq!(rows[3][1..], ["40", "0.850", "0.700", "0.850", "0.500"], "{rows:?}");
    assert_eq!(rows[4], ["slow", "12", "0.750", "0.600", "0.750", "0.400"], "{rows:?}");
    assert!(page.contains("0.86703") && page.contains("3 tags with too few tracks"));
    let head = page.find("class=\"mean\"").expect("a row of means");
    assert!(
        page[head..].find("</thead>") < page[head..].find("<tbody"),
        "the row of means would be sorted"
    );

    let rows = cells(&page, "<h2>Similar tracks");
    assert_eq!(rows[1], ["a", "0.200", "0.056"]);
    let from = page.find("class=\"examples\"").unwrap();
    let examples = &page[from..from + page[from..].find("</table>").unwrap()];
    // Track 2 is in both lists.
    assert_eq!(examples.matches("<li class=\"both\"").count(), 2);
    assert_eq!(examples.matches("<li>").count(), 8);
    assert!(examples.contains("&lt;i&gt;track 2") && examples.contains("&lt;u&gt;odd"));
}

#[test]
fn simulated_listeners_are_marked() {
    let mut runs = [recommending("a", 1, 0.9, 0.8)];
    let warning = "tastes are derived from these tags";
    assert!(!rendered(&runs).unwrap().contains(warning));
    runs[0].simulated = true;
    assert!(rendered(&runs).unwrap().contains(warning));
    // Without results, nothing is shown.
    let found = runs[0].recommendation.as_mut().unwrap();
    (found.tags_from_factors, found.similar_tracks) = (None, None);
    let page = rendered(&runs).unwrap();
    assert!(!page.contains(warning) && !page.contains("Tags from factors"));
    assert!(!page.contains("Similar tracks"));
}

#[test]
fn errors_name_the_runs() {
    assert!(matches!(rendered(&[]), Err(ReportError::NoRuns)));
    let mut runs = small();
    runs[1].seed = 1;
    let error = rendered(&runs).unwrap_err().to_string();
    assert!(error.contains("mel-s1 and mel-s2 are both seed 1"), "{error}");
    let mut runs = small();
    runs[2].predictions.values[3] = f32::NAN;
    let error = rendered(&runs).unwrap_err().to_string();
    assert!(error.contains("raw-s1") && error.contains("NaN"), "{error}");
    let mut runs = small();
    let p = &runs[0].predictions;
    runs[0].predictions = Predictions {
        ids: p.ids[1..].to_vec(),
        tags: p.tags.clone(),
        values: p.values[6..].to_vec(),
    };
    assert!(rendered(&runs).unwrap_err().to_string().contains("mel-s1"));
}

#[test]
fn the_plain_text_is_aligned() {
    let mut runs = small();
    runs[0].paper = sample::paper(0.8815, "read");
    let analysis = analyse(&runs).unwrap();
    let plain = text(&analysis);
    assert!(!plain.contains('\u{1b}'));
    let lines: Vec<&str> = plain.lines().collect();
    assert!(
        lines[0].starts_with("magnatagatune/pons2017 (test): 120 tracks, 6 of 6 tags scored"),
        "{plain}"
    );
    let end = |line: &str, needle: &str| {
        let at = line.find(needle).map(|at| at + needle.len());
        line[..at.unwrap_or_else(|| panic!("{needle} in {line}"))].chars().count()
    };
    assert_eq!(end(lines[1], "Seeds"), end(lines[2], "  2 ").saturating_sub(1));
    assert!(
        lines[2].starts_with("mel ") && lines[2].ends_with("0.8815 P3, table 1 (read)"),
        "{plain}"
    );
    assert!(
        plain.contains("mel - raw") && plain.contains("quarantine: 3 files left out"),
        "{plain}"
    );
}

/// Three single levels and all levels, with two numbers of centroids.
#[test]
fn multiscale_features_have_a_grid_and_figures_per_level() {
    let targets = sample::targets(120, 6);
    let mut runs = Vec::new();
    for (means, level, skill) in [
        (200, None, 0.9),
        (0, None, 0.8),
        (200, Some(0), 0.5),
        (200, Some(1), 0.6),
        (200, Some(2), 0.55),
    ] {
        for seed in 1..=2 {
            let name = format!("<k{means}-{level:?}>");
            let mut run = sample::run(&name, skill, seed, &targets);
            let patches = Patches { level: 1, count: 2, frames: 1, bands: 3, values: vec![0.5; 6] };
            let levels = level.map_or(vec![0, 1, 2], |level| vec![level]);
            run.settings = BTreeMap::from([
                ("model.means".into(), means.to_string()),
                ("model.levels".into(), format!("{levels:?}")),
            ]);
            run.multiscale = Some(Multiscale {
                representation: "Laplacian pyramid, 1 frame".into(),
                means,
                levels,
                all_levels: level.is_none(),
                patches: if seed == 1 && means > 0 { vec![patches] } else { Vec::new() },
            });
            runs.push(run);
        }
    }
    let analysis = analyse(&runs).unwrap();
    let section = &analysis.sections[0];
    let page = rendered(&runs).unwrap();
    assert!(page.contains("Multiscale features"));
    let group = |name: &str| section.groups.iter().position(|g| g.name == name).unwrap();
    let (all, pca) = (group("<k200-None>"), group("<k0-None>"));
    for at in [all, pca] {
        let spread = section.groups[at].scores[&Metric::RocAuc].unwrap();
        assert!(page.contains(&format::score(spread.mean)));
        assert!(page.contains(&format!("± {:.4}", spread.deviation.unwrap())));
    }
    let rows = cells(&page, "<h2>Settings");
    assert_eq!(rows[0][..3], ["Experiment", "model.levels", "model.means"]);
    assert!(rows.iter().any(|row| row[1..3] == ["[0, 1, 2]", "0"]), "{rows:?}");
    assert!(page.contains("Laplacian pyramid, 1 frame, 200 centroids per level"));
    let alone: Vec<usize> = (0..3).map(|l| group(&format!("<k200-Some({l})>"))).collect();
    let score = |tag: &ScoredTag, group: usize| tag.roc_auc[group].unwrap().mean;
    let ahead = section
        .tags
        .iter()
        .filter(|tag| alone.iter().all(|level| score(tag, all) > score(tag, *level)))
        .count();
    assert!(page.contains(&format!("<b>{ahead} of 6 tags</b>")), "{ahead}");
    assert!(page.contains("2 centroids of level 1 as patches of 1 by 3"));
    assert!(!page.contains("<k200"), "names are escaped");
}

/// Two settings with two values each.
#[test]
fn a_sweep_has_a_table_of_settings_and_a_grid() {
    let targets = sample::targets(80, 3);
    let mut runs = Vec::new();
    for (frames, rate, skill) in
        [("10", "0.1", 0.5), ("10", "0.01", 1.0), ("2", "0.1", 1.5), ("2", "0.01", 2.0)]
    {
        for seed in 1..=2 {
            let mut run = sample::run(&format!("f{frames}-r{rate}"), skill, seed, &targets);
            let settings =
                [("model.name", "mel"), ("model.frames", frames), ("training.rate", rate)];
            run.settings = settings.map(|(key, value)| (key.into(), value.into())).into();
            runs.push(run);
        }
    }
    let analysis = analyse(&runs).unwrap();
    let section = &analysis.sections[0];
    assert_eq!(section.varied, ["model.frames", "training.rate"]);
    assert_eq!(section.groups[0].settings["model.frames"], "2");
    let page = rendered(&runs).unwrap();
    assert_sound(&page);
    let rows = cells(&page, "<h2>Settings");
    assert_eq!(rows[0][..3], ["Experiment", "model.frames", "training.rate"]);
    assert_eq!(rows[1][..3], ["f2-r0.01", "2", "0.01"]);
    let spread = section.groups[0].scores[&Metric::RocAuc].unwrap();
    let (low, high) = spread.interval.unwrap();
    assert_eq!(rows[1][3], format!("{:.4} [{low:.4}, {high:.4}]", spread.mean));
    let rows = cells(&page, "<h3>ROC-AUC macro by training.rate");
    assert_eq!(rows[0], ["model.frames", "training.rate"]);
    assert_eq!(rows[1], ["0.01", "0.1"]);
    // Numbers are not in alphabetical order.
    assert_eq!((rows[2][0].as_str(), rows[3][0].as_str()), ("2", "10"));
    assert_eq!(rows[2][1], format::spread(&spread));
    assert!(text(&analysis).contains("settings that differ"));
    // A single experiment has no such table.
    assert!(!rendered(&runs[..2]).unwrap().contains("<h2>Settings"));
}

#[test]
fn settings_are_flattened_to_dotted_keys() {
    let text = "seed = 3\nabout = \"x\"\n[dataset]\nname = \"synthetic\"\n[model]\nname = \"tagger\"\n\
                front_end = { name = \"mel\" }";
    let experiment = crate::experiment::Experiment::parse(text, &[]).unwrap();
    let settings = settings::flatten(&experiment);
    assert_eq!(settings["model.front_end.name"], "mel");
    assert!(!settings.contains_key("seed") && !settings.contains_key("about"));
}
