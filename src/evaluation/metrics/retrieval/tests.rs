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
    candidates: Option<Vec<u32>>,
    exclude: Option<Vec<Vec<u32>>>,
    per_user: Vec<Option<Theirs>>,
}

#[derive(Deserialize)]
struct Theirs {
    ap: f64,
    recall: f64,
    /// Null with one item.
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
        let exclude = case.exclude.as_deref().map(lists);
        let options = Options {
            k: case.k,
            candidates: case.candidates.as_deref(),
            exclude: exclude.as_ref(),
        };
        let scores = score_users(&users, &items, &lists(&case.held_out), &options).unwrap();
        assert_eq!(scores.len(), case.per_user.len());
        for (user, (ours, theirs)) in scores.iter().zip(&case.per_user).enumerate() {
            let what = format!("{}, user {user}", case.name);
            let Some(theirs) = theirs else {
                let without_factors = users.is_zero(user) && !case.held_out[user].is_empty();
                let nothing = UserScores { without_factors, ..UserScores::default() };
                assert_eq!(*ours, nothing, "{what}");
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
    let p = positives.len();
    let is_positive = |item: u32| positives.contains(&item);
    let (mut ap, mut gain, mut recall) = (0.0, 0.0, 0.0);
    // A positive takes each rank of its tie with the same probability, and another positive of the tie takes each rank
    // before that with the same probability.
    let marked: Vec<(bool, f32)> =
        scores.iter().map(|(item, score)| (is_positive(*item), *score)).collect();
    for (at, &(_, score)) in marked.iter().enumerate().filter(|(_, (positive, _))| *positive) {
        let (mut above, mut hits, mut tied, mut tied_hits) = (0_usize, 0_usize, 0_usize, 0_usize);
        for (_, &(positive, theirs)) in marked.iter().enumerate().filter(|(other, _)| *other != at)
        {
            above += usize::from(theirs > score);
            hits += usize::from(theirs > score && positive);
            tied += usize::from(theirs == score);
            tied_hits += usize::from(theirs == score && positive);
        }
        let chance = 1.0 / (tied + 1) as f64;
        for before in 0..=tied {
            let rank = above + before + 1;
            if rank <= k {
                let earlier = tied_hits as f64 * before as f64 / tied.max(1) as f64;
                ap += chance * (hits as f64 + earlier + 1.0) / rank as f64;
                gain += chance / (rank as f64 + 1.0).log2();
                recall += chance;
            }
        }
    }
    let ideal: f64 = (0..p.min(k)).map(|place| 1.0 / ((place + 2) as f64).log2()).sum();
    let (mut won, mut pairs) = (0.0, 0);
    for &(_, ours) in marked.iter().filter(|(positive, _)| *positive) {
        for &(_, theirs) in marked.iter().filter(|(positive, _)| !*positive) {
            won += if ours > theirs { 1.0 } else { f64::from(u8::from(ours == theirs)) / 2.0 };
            pairs += 1;
        }
    }
    UserScores {
        positives: p,
        negatives: scores.len() - p,
        average_precision: Some(ap / p.min(k) as f64),
        ndcg: Some(gain / ideal),
        recall: Some(recall / p as f64),
        auc: (pairs > 0).then(|| won / f64::from(pairs)),
        without_factors: false,
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
        let pools: Vec<Vec<u32>> =
            (0..n_users).map(|user| draw(user as u64, n_items as u32, 900)).collect();
        let count = |user: usize| [0, 1, 3, 40, FEW_THRESHOLDS + 36, 400][user % 6];
        let positives: Vec<Vec<u32>> =
            pools.iter().enumerate().map(|(user, pool)| pool[..count(user)].to_vec()).collect();
        let excluded: Vec<Vec<u32>> =
            pools.iter().enumerate().map(|(user, pool)| pool[400..400 + user].to_vec()).collect();
        let (held_out, exclude) = (lists(&positives), lists(&excluded));
        let options = Options { k: 300, candidates: None, exclude: Some(&exclude) };
        let ours = score_users(&users, &items, &held_out, &options).unwrap();

        let mut scores = vec![0.0; n_users * n_items];
        products(users.data(), items.data(), factors, &mut scores);
        let mut ties = 0;
        for user in 0..n_users {
            if positives[user].is_empty() {
                assert_eq!(ours[user], UserScores::default());
                continue;
            }
            let row = &scores[user * n_items..][..n_items];
            let candidates: Vec<(u32, f32)> = (0..n_items as u32)
                .filter(|item| !excluded[user].contains(item))
                .map(|item| (item, row[item as usize]))
                .collect();
            ties += candidates.iter().filter(|(_, score)| *score == candidates[0].1).count() - 1;
            let theirs = by_definition(&candidates, &positives[user], 300);
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
    let score = || score_users(&users, &items, &held_out, &Options::default()).unwrap();
    let expected = score();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(score), expected, "{threads} threads");
    }
}

/// All orders of a list.
fn orders(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let with_first = |first: usize| {
        let mut rest = items.to_vec();
        let item = rest.remove(first);
        orders(&rest).into_iter().map(move |order| [vec![item], order].concat())
    };
    (0..items.len()).flat_map(with_first).collect()
}

/// Every order of tied items is ranked without ties, and the scores are averaged.
#[test]
fn ties_score_as_the_mean_over_all_their_orders() {
    let user = Matrix::new(1, 1, vec![1.0]).unwrap();
    let values = [2.0, 1.0, 1.0, 1.0, 0.0, 0.0, -1.0];
    for (positives, k) in [
        (vec![0, 1, 4], 3),
        (vec![1, 2], 2),
        (vec![3], 4),
        (vec![1, 2, 3, 5, 6], 500),
        (vec![4, 5], 5),
        (vec![6], 6),
    ] {
        let options = Options { k, ..Options::default() };
        let held_out = lists(std::slice::from_ref(&positives));
        let score = |values: &[f32]| {
            let items = Matrix::new(values.len(), 1, values.to_vec()).unwrap();
            score_users(&user, &items, &held_out, &options).unwrap()[0]
        };
        let ours = score(&values);
        let mut sums = [0.0; 4];
        let mut count = 0.0;
        for order in orders(&[0, 1, 2, 3, 4, 5, 6]) {
            // Tied items are moved apart by less than the distance to the others.
            let apart: Vec<f32> = values
                .iter()
                .zip(&order)
                .map(|(value, place)| value - 0.01 * *place as f32)
                .collect();
            let one = score(&apart);
            let all = [one.average_precision, one.ndcg, one.recall, one.auc];
            sums.iter_mut().zip(all).for_each(|(sum, value)| *sum += value.unwrap());
            count += 1.0;
        }
        assert_eq!(count, 5040.0);
        let what = format!("{positives:?} up to {k}");
        assert_near(ours.average_precision, sums[0] / count, &what);
        assert_near(ours.ndcg, sums[1] / count, &what);
        assert_near(ours.recall, sums[2] / count, &what);
        assert_near(ours.auc, sums[3] / count, &what);
    }
}

#[test]
fn scores_do_not_depend_on_the_order_of_items() {
    let round = |matrix: Matrix| {
        let data = matrix.data().iter().map(|value| value.round()).collect();
        Matrix::new(matrix.rows(), matrix.columns(), data).unwrap()
    };
    let (users, items) = (round(noise(1, 40, 3)), round(noise(2, 300, 3)));
    assert!((0..40).any(|user| users.is_zero(user)) && (0..300).any(|item| items.is_zero(item)));
    let held_out: Vec<Vec<u32>> = (0..40).map(|user| draw(user, 300, user as usize % 9)).collect();
    let options = Options { k: 20, ..Options::default() };
    let scores = score_recommendation(&users, &items, &lists(&held_out), &options).unwrap();
    // The item at position `i` is moved to `place[i]`.
    let order = draw(7, 300, 300);
    let mut place = vec![0; 300];
    order.iter().enumerate().for_each(|(at, &item)| place[item as usize] = at as u32);
    let moved: Vec<Vec<u32>> =
        held_out.iter().map(|row| row.iter().map(|&item| place[item as usize]).collect()).collect();
    let other =
        score_recommendation(&users, &items.gather(&order), &lists(&moved), &options).unwrap();
    for (ours, theirs) in [
        (scores.map, other.map),
        (scores.ndcg, other.ndcg),
        (scores.recall, other.recall),
        (scores.auc, other.auc),
    ] {
        assert_near(ours, theirs.unwrap(), "another order");
    }
    assert_eq!(scores.n_users_without_factors, other.n_users_without_factors);
    assert!(scores.n_users_without_factors > 0);
}

/// Perfect factors, reversed factors, equal scores, and no factors.
#[test]
fn extreme_rankings_have_extreme_scores() {
    let users = Matrix::new(4, 2, vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
    let items = Matrix::new(4, 2, vec![4.0, 1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 1.0]).unwrap();
    let held_out = lists(&[vec![1, 0], vec![0, 1], vec![3, 2], vec![0, 1]]);
    let options = Options { k: 2, ..Options::default() };
    let scores = score_users(&users, &items, &held_out, &options).unwrap();
    let all = |user: &UserScores| (user.average_precision, user.ndcg, user.recall, user.auc);
    assert_eq!(all(&scores[0]), (Some(1.0), Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(all(&scores[1]), (Some(0.0), Some(0.0), Some(0.0), Some(0.0)));
    // The first two ranks have 12 orders: in 2 both are positives (AP 1), in 4 only the first is (1 / 2), in 4 only the
    // second (1 / 4).
    assert_near(scores[2].average_precision, (2.0 * 1.0 + 4.0 * 0.5 + 4.0 * 0.25) / 12.0, "ties");
    assert_near(scores[2].recall, 0.5, "ties");
    assert_near(scores[2].ndcg, 0.5, "ties");
    assert_eq!(scores[2].auc, Some(0.5));
    // Without factors, a user is left out instead of counting one half.
    assert_eq!(scores[3], UserScores { without_factors: true, ..UserScores::default() });
    let means = RecommendationScores::of(&scores, 2);
    assert_eq!(means.auc, Some(0.5));
    assert_near(means.recall, 0.5, "means");
    assert_eq!((means.n_users, means.n_users_scored, means.n_users_auc), (4, 3, 3));
    assert_eq!(means.n_users_without_factors, 1);
    let mut json = serde_json::to_value(means).unwrap();
    assert_eq!(json["n_users_without_factors"], 1);
    assert!(
        json["map@2"].is_number() && json["recall@2"].is_number() && json["ndcg@2"].is_number()
    );
    assert_eq!(serde_json::from_value::<RecommendationScores>(json.clone()).unwrap(), means);
    // Runs of earlier versions did not count them.
    json.as_object_mut().unwrap().remove("n_users_without_factors");
    let read: RecommendationScores = serde_json::from_value(json).unwrap();
    assert_eq!(read, RecommendationScores { n_users_without_factors: 0, ..means });

    let users = Matrix::new(3, 1, vec![1.0, -1.0, 0.5]).unwrap();
    let items = Matrix::new(4, 1, vec![4.0, 3.0, 2.0, 1.0]).unwrap();
    // Without negatives, AUC is not defined; without users or held-out items, no metric is.
    let every = lists(&[vec![0, 1, 2, 3], vec![], vec![]]);
    let scores = score_recommendation(&users, &items, &every, &Options::default()).unwrap();
    assert_eq!((scores.map, scores.auc), (Some(1.0), None));
    assert_eq!((scores.n_users, scores.n_users_scored, scores.n_users_auc), (3, 1, 0));
    let nobody = Matrix::new(0, 1, vec![]).unwrap();
    let none = lists(&[]);
    let scores = score_recommendation(&nobody, &items, &none, &Options::default()).unwrap();
    assert_eq!((scores.map, scores.ndcg, scores.recall, scores.auc), (None, None, None, None));
    let silent = lists(&[vec![], vec![], vec![]]);
    let scores = score_recommendation(&users, &items, &silent, &Options::default()).unwrap();
    assert_eq!((scores.map, scores.n_users, scores.n_users_scored), (None, 3, 0));
}

#[test]
fn errors_name_the_value_and_the_place() {
    let users = Matrix::new(2, 1, vec![1.0, 2.0]).unwrap();
    let items = Matrix::new(3, 1, vec![1.0, 2.0, 3.0]).unwrap();
    let held_out = lists(&[vec![0], vec![1]]);
    let fails = |users: &Matrix, items: &Matrix, held_out: &ItemLists, options: Options| {
        score_users(users, items, held_out, &options).unwrap_err().to_string()
    };
    let usual = Options::default();
    let error = fails(&users, &items, &held_out, Options { k: 0, ..usual });
    assert!(error.starts_with("k is 0"), "{error}");
    let wide = Matrix::new(3, 2, vec![0.0; 6]).unwrap();
    let error = fails(&users, &wide, &held_out, usual);
    assert!(error.starts_with("the user factors have 1 columns, the item factors 2"), "{error}");
    let error = fails(&users, &items, &lists(&[vec![0]]), usual);
    assert!(error.starts_with("held-out items of 1 users do not match factors of 2"), "{error}");
    let error = fails(&users, &items, &lists(&[vec![0], vec![3]]), usual);
    assert!(error.starts_with("user 1, held-out items: item 3 does not exist"), "{error}");
    let error = fails(&users, &items, &held_out, Options { candidates: Some(&[0, 7]), ..usual });
    assert!(error.starts_with("candidates: item 7 does not exist"), "{error}");
    let error = fails(&users, &items, &held_out, Options { candidates: Some(&[2, 0, 2]), ..usual });
    assert!(error.starts_with("duplicate candidate 2"), "{error}");
    let error = fails(&users, &items, &held_out, Options { candidates: Some(&[0]), ..usual });
    assert!(error.starts_with("user 1: the held-out item 1 is not among"), "{error}");
    let exclude = lists(&[vec![1], vec![1]]);
    let error = fails(&users, &items, &held_out, Options { exclude: Some(&exclude), ..usual });
    assert!(error.starts_with("user 1: the held-out item 1 is excluded"), "{error}");

    let error = fails(&Matrix::new(2, 1, vec![1.0, f32::NAN]).unwrap(), &items, &held_out, usual);
    assert!(error.starts_with("row 1, column 0 of the user factors is NaN"), "{error}");
    // Finite factors whose products are not.
    let two = |a: f32, b: f32| Matrix::new(2, 2, vec![1.0, 0.0, a, b]).unwrap();
    let large = Matrix::new(3, 2, vec![0.0, 0.0, 0.0, 0.0, f32::MAX, -f32::MAX]).unwrap();
    let error = fails(&two(f32::MAX, 1.0), &large, &held_out, usual);
    assert!(error.starts_with("the score of user 1 for item 2 is inf"), "{error}");
    let error = fails(&two(f32::MAX, f32::MAX), &large, &held_out, usual);
    assert!(error.starts_with("the score of user 1 for item 2 is "), "{error}");
    let error = fails(&two(f32::MAX, 1.0), &large, &lists(&[vec![], vec![2]]), usual);
    assert!(error.starts_with("the score of user 1 for item 2 is inf"), "{error}");
}
