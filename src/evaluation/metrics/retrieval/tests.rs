use serde::Deserialize;

use super::*;
use crate::listening::matrix::tests::noise;
use crate::rng::{below, philox};

/// The order of summation of up to a few hundred terms differs from scikit-learn's.
const TOLERANCE: f64 = 1e-12;

/// Written by `reference.py` with scikit-learn.
#[derive(Deserialize)]
struct Case {
    name: String,
    k: usize,
    /// In units of 1/2048, four a row.
    users: Vec<i32>,
    items: Vec<i32>,
    held_out: Vec<Vec<u32>>,
    per_user: Vec<Option<Theirs>>,
}

#[derive(Deserialize)]
struct Theirs {
    ap: f64,
    recall: f64,
    /// Null where items tie.
    ndcg: Option<f64>,
    auc: Option<f64>,
}

fn matrix(whole: &[i32]) -> Matrix {
    let data = whole.iter().map(|&value| value as f32 / 2048.0).collect();
    Matrix::new(whole.len() / 4, 4, data).unwrap()
}

fn lists(rows: &[Vec<u32>]) -> ItemLists {
    ItemLists::from_rows(rows).unwrap()
}

#[track_caller]
fn assert_near(ours: Option<f64>, theirs: f64, what: &str) {
    let near = ours.is_some_and(|ours| (ours - theirs).abs() <= TOLERANCE);
    assert!(near, "{what}: {ours:?} is not {theirs}");
}

#[test]
fn users_score_as_in_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("reference.json")).unwrap();
    assert!(cases.len() >= 10);
    let (mut gains, mut areas) = (0, 0);
    for case in cases {
        let (users, items) = (matrix(&case.users), matrix(&case.items));
        let scores = score_users(&users, &items, &lists(&case.held_out), case.k).unwrap();
        assert_eq!(scores.len(), case.per_user.len());
        for (user, (ours, theirs)) in scores.iter().zip(&case.per_user).enumerate() {
            let what = format!("{}, user {user}", case.name);
            let Some(theirs) = theirs else {
                assert_eq!(*ours, UserScores::default(), "{what}");
                continue;
            };
            assert_eq!(ours.positives, case.held_out[user].len(), "{what}");
            assert_near(ours.average_precision, theirs.ap, &what);
            assert_near(ours.recall, theirs.recall, &what);
            if let Some(ndcg) = theirs.ndcg {
                assert_near(ours.ndcg, ndcg, &what);
                gains += 1;
            }
            match theirs.auc {
                Some(auc) => assert_near(ours.auc, auc, &what),
                None => assert_eq!(ours.auc, None, "{what}"),
            }
            areas += usize::from(theirs.auc.is_some());
        }
    }
    assert!(gains > 50 && areas > 100, "{gains} {areas}");
}

/// The definitions of the module documentation, applied to given scores.
fn by_definition(scores: &[(u32, f32)], positives: &[u32], k: usize) -> UserScores {
    let mut ranked = scores.to_vec();
    ranked.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    let p = positives.len();
    let is_positive = |item: u32| positives.contains(&item);
    let (mut ap, mut gain, mut hits) = (0.0, 0.0, 0);
    for (place, &(item, _)) in ranked.iter().enumerate().take(k) {
        if is_positive(item) {
            hits += 1;
            ap += hits as f64 / (place + 1) as f64;
            gain += 1.0 / ((place + 2) as f64).log2();
        }
    }
    let ideal: f64 = (0..p.min(k)).map(|place| 1.0 / ((place + 2) as f64).log2()).sum();
    let (mut won, mut pairs) = (0.0, 0);
    for &(_, ours) in scores.iter().filter(|(item, _)| is_positive(*item)) {
        for &(_, theirs) in scores.iter().filter(|(item, _)| !is_positive(*item)) {
            won += if ours > theirs { 1.0 } else { f64::from(u8::from(ours == theirs)) / 2.0 };
            pairs += 1;
        }
    }
    UserScores {
        positives: p,
        negatives: scores.len() - p,
        average_precision: Some(ap / p.min(k) as f64),
        ndcg: Some(gain / ideal),
        recall: Some(hits as f64 / p as f64),
        auc: (pairs > 0).then(|| won / f64::from(pairs)),
    }
}

/// `count` distinct numbers below `n`.
fn draw(stream: u64, n: u32, count: usize) -> Vec<u32> {
    let mut all: Vec<u32> = (0..n).collect();
    for i in 0..count {
        let left = u64::from(n) - i as u64;
        let j = i as u64 + below(philox([stream, 5], [i as u64, 0, 0, 0])[0], left);
        all.swap(i, j as usize);
    }
    all.truncate(count);
    all
}

/// Several blocks of users and items, few and many positives, ties across blocks.
#[test]
fn scores_follow_their_definitions() {
    let (n_users, n_items, factors) = (USERS + 9, 2 * ITEMS + 77, 6);
    for coarse in [false, true] {
        let round = |matrix: Matrix| {
            let data = matrix.data().iter().map(|v| if coarse { v.round() } else { *v }).collect();
            Matrix::new(matrix.rows(), factors, data).unwrap()
        };
        let (users, items) = (round(noise(1, n_users, factors)), round(noise(2, n_items, factors)));
        let count = |user: usize| [0, 1, 3, 40, FEW_THRESHOLDS + 36, 400][user % 6];
        let positives: Vec<Vec<u32>> =
            (0..n_users).map(|user| draw(user as u64, n_items as u32, count(user))).collect();
        let ours = score_users(&users, &items, &lists(&positives), 300).unwrap();

        let mut scores = vec![0.0; n_users * n_items];
        products(users.data(), items.data(), factors, &mut scores);
        let mut ties = 0;
        for user in 0..n_users {
            if positives[user].is_empty() {
                assert_eq!(ours[user], UserScores::default());
                continue;
            }
            let row = &scores[user * n_items..][..n_items];
            let ranked: Vec<(u32, f32)> = (0..).zip(row.iter().copied()).collect();
            ties += row.iter().filter(|score| **score == row[0]).count() - 1;
            let theirs = by_definition(&ranked, &positives[user], 300);
            let what = format!("user {user}, coarse {coarse}");
            assert_eq!(ours[user].positives, theirs.positives, "{what}");
            assert_eq!(ours[user].negatives, theirs.negatives, "{what}");
            assert_near(ours[user].average_precision, theirs.average_precision.unwrap(), &what);
            assert_near(ours[user].ndcg, theirs.ndcg.unwrap(), &what);
            assert_near(ours[user].recall, theirs.recall.unwrap(), &what);
            assert_near(ours[user].auc, theirs.auc.unwrap(), &what);
        }
        assert_eq!(ties > 1000, coarse, "{ties} ties");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (users, items) = (noise(3, 300, 20), noise(4, 3000, 20));
    let rows: Vec<Vec<u32>> = (0..300).map(|user| draw(user, 3000, user as usize % 70)).collect();
    let held_out = lists(&rows);
    let score = || score_users(&users, &items, &held_out, CUTOFF).unwrap();
    let expected = score();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(score), expected, "{threads} threads");
    }
}

/// Perfect factors, reversed factors, and equal scores.
#[test]
fn extreme_rankings_have_extreme_scores() {
    let users = Matrix::new(3, 1, vec![1.0, -1.0, 0.0]).unwrap();
    let items = Matrix::new(4, 1, vec![4.0, 3.0, 2.0, 1.0]).unwrap();
    let held_out = lists(&[vec![1, 0], vec![0, 1], vec![3, 2]]);
    let scores = score_users(&users, &items, &held_out, 2).unwrap();
    let all = |user: &UserScores| (user.average_precision, user.ndcg, user.recall, user.auc);
    assert_eq!(all(&scores[0]), (Some(1.0), Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(all(&scores[1]), (Some(0.0), Some(0.0), Some(0.0), Some(0.0)));
    // Ties are ranked by item, and the positives are last.
    assert_eq!(all(&scores[2]), (Some(0.0), Some(0.0), Some(0.0), Some(0.5)));
    let means = RecommendationScores::of(&scores);
    assert_eq!((means.map, means.auc), (Some(1.0 / 3.0), Some(0.5)));
    assert_eq!((means.n_users, means.n_users_scored, means.n_users_auc), (3, 3, 3));
    let json = serde_json::to_value(means).unwrap();
    assert_eq!(json["map@500"], 1.0 / 3.0);
    assert!(json["recall@500"].is_number() && json["ndcg@500"].is_number());
    let without = |key: &str| {
        let mut json = json.clone();
        json.as_object_mut().unwrap().remove(key).unwrap();
        serde_json::from_value::<RecommendationScores>(json)
    };
    for key in ["map@500", "auc", "ndcg@500", "recall@500", "n_users"] {
        assert!(without(key).unwrap_err().to_string().contains(key));
    }

    // Without negatives, AUC is not defined; without users or held-out items, no metric is.
    let every = lists(&[vec![0, 1, 2, 3], vec![], vec![]]);
    let scores = score_recommendation(&users, &items, &every).unwrap();
    assert_eq!((scores.map, scores.auc), (Some(1.0), None));
    assert_eq!((scores.n_users, scores.n_users_scored, scores.n_users_auc), (3, 1, 0));
    let nobody = Matrix::new(0, 1, vec![]).unwrap();
    let none = lists(&[]);
    let scores = score_recommendation(&nobody, &items, &none).unwrap();
    assert_eq!((scores.map, scores.ndcg, scores.recall, scores.auc), (None, None, None, None));
    let silent = lists(&[vec![], vec![], vec![]]);
    let scores = score_recommendation(&users, &items, &silent).unwrap();
    assert_eq!((scores.map, scores.n_users, scores.n_users_scored), (None, 3, 0));
}

#[test]
fn errors_name_the_value_and_the_place() {
    let users = Matrix::new(2, 1, vec![1.0, 2.0]).unwrap();
    let items = Matrix::new(3, 1, vec![1.0, 2.0, 3.0]).unwrap();
    let held_out = lists(&[vec![0], vec![1]]);
    let fails = |users: &Matrix, items: &Matrix, held_out: &ItemLists| {
        score_recommendation(users, items, held_out).unwrap_err().to_string()
    };
    let wide = Matrix::new(3, 2, vec![0.0; 6]).unwrap();
    let error = fails(&users, &wide, &held_out);
    assert!(error.starts_with("the user factors have 1 columns, the item factors 2"), "{error}");
    let error = fails(&users, &items, &lists(&[vec![0]]));
    assert!(error.starts_with("held-out items of 1 users do not match factors of 2"), "{error}");
    let error = fails(&users, &items, &lists(&[vec![0], vec![3]]));
    assert!(error.starts_with("user 1, held-out items: item 3 does not exist"), "{error}");

    let error = fails(&Matrix::new(2, 1, vec![1.0, f32::NAN]).unwrap(), &items, &held_out);
    assert!(error.starts_with("row 1, column 0 of the user factors is NaN"), "{error}");
    // Finite factors whose products are not.
    let two = |a: f32, b: f32| Matrix::new(2, 2, vec![1.0, 0.0, a, b]).unwrap();
    let large = Matrix::new(3, 2, vec![0.0, 0.0, 0.0, 0.0, f32::MAX, -f32::MAX]).unwrap();
    let error = fails(&two(f32::MAX, 1.0), &large, &held_out);
    assert!(error.starts_with("the score of user 1 for item 2 is inf"), "{error}");
    let error = fails(&two(f32::MAX, f32::MAX), &large, &held_out);
    assert!(error.starts_with("the score of user 1 for item 2 is "), "{error}");
    let error = fails(&two(f32::MAX, 1.0), &large, &lists(&[vec![], vec![2]]));
    assert!(error.starts_with("the score of user 1 for item 2 is inf"), "{error}");
}
