use serde_json::Value;

use super::*;

/// Numbers in [-1, 1) that a formula gives.
fn noise(count: usize, salt: u64) -> Vec<f32> {
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn go_on(_: &Iteration) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// All orders of `n` things.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for at in 0..n {
            let mut longer = shorter.clone();
            longer.insert(at, n - 1);
            all.push(longer);
        }
    }
    all
}

/// Loss, and the weights of the items in `psi(y*) - psi(y)`, of one ranking, by their definitions.
fn definition(
    loss: RankingLoss,
    order: &[usize],
    query: usize,
    relevant: &[u32],
    count: usize,
) -> (f64, Vec<f64>) {
    let good = |item: usize| relevant.contains(&(item as u32));
    let order: Vec<usize> = order.iter().copied().filter(|item| *item != query).collect();
    let n_good = relevant.len() as f64;
    let n_bad = order.len() as f64 - n_good;
    let mut weights = vec![0.0; count];
    let (mut wrong, mut precision, mut seen) = (0.0, 0.0, 0.0);
    for (rank, &item) in order.iter().enumerate() {
        if good(item) {
            seen += 1.0;
            precision += seen / (rank + 1) as f64;
            continue;
        }
        for &later in order[rank + 1..].iter().filter(|later| good(**later)) {
            wrong += 1.0;
            // y*_ij - y_ij is 2.
            weights[later] += 2.0 / (n_good * n_bad);
            weights[item] -= 2.0 / (n_good * n_bad);
        }
    }
    let lost = match loss {
        RankingLoss::Auc => wrong / (n_good * n_bad),
        RankingLoss::Map => 1.0 - precision / n_good,
    };
    (lost, weights)
}

#[test]
fn most_violated_ranking_is_the_best_of_all_rankings() {
    let (count, query) = (7, 2);
    let relevant = [0, 4, 5];
    for loss in [RankingLoss::Auc, RankingLoss::Map] {
        for salt in 0..40 {
            let scale = [0.05, 0.3, 2.0][salt as usize % 3];
            let scores: Vec<f64> =
                noise(count, salt).iter().map(|x| f64::from(*x) * scale).collect();
            // loss + <W, psi(y)>, up to what is the same for all: loss - <W, psi(y*) - psi(y)>.
            let value = |lost: f64, weights: &[f64]| {
                lost - weights.iter().zip(&scores).map(|(a, s)| a * s).sum::<f64>()
            };
            let best = permutations(count)
                .iter()
                .map(|order| definition(loss, order, query, &relevant, count))
                .map(|(lost, weights)| value(lost, &weights))
                .fold(f64::NEG_INFINITY, f64::max);
            let mut weights = vec![0.0; count];
            let lost = rank(loss, query, &scores, &relevant, &mut weights);
            assert!((value(lost, &weights) - best).abs() < 1e-12, "{loss:?} {salt}: {best}");
            assert!(weights.iter().sum::<f64>().abs() < 1e-12);
        }
    }
}

/// In one dimension the metric is a number: the minimum over all rankings and a fine grid of numbers.
#[test]
fn objective_in_one_dimension_is_the_minimum_of_a_grid() {
    let count = 6;
    let rows = noise(count, 3);
    let relevant: Vec<Vec<u32>> =
        (0..count as u32).map(|q| vec![(q + 1) % 6, (q + 4) % 6]).collect();
    let orders = permutations(count);
    for (loss, c) in [(RankingLoss::Auc, 5.0), (RankingLoss::Map, 3.0), (RankingLoss::Auc, 0.2)] {
        let of_query = |query: usize| -> Vec<(f64, f64)> {
            let all = orders.iter().map(|order| {
                let (lost, weights) = definition(loss, order, query, &relevant[query], count);
                let distance = |item: usize| f64::from(rows[query] - rows[item]).powi(2);
                let psi: f64 = weights.iter().enumerate().map(|(i, a)| -a * distance(i)).sum();
                (lost, psi)
            });
            all.collect()
        };
        let queries: Vec<Vec<(f64, f64)>> = (0..count).map(of_query).collect();
        let objective = |w: f64| {
            let worst = |all: &Vec<(f64, f64)>| {
                all.iter().map(|(lost, psi)| lost - w * psi).fold(f64::NEG_INFINITY, f64::max)
            };
            let slack = queries.iter().map(worst).sum::<f64>() / count as f64;
            w + c * slack.max(0.0)
        };
        let least =
            (0..20_000).map(|step| objective(f64::from(step) * 1e-3)).fold(f64::INFINITY, f64::min);
        let config = MetricLearningConfig { c, loss, epsilon: 1e-6, ..Default::default() };
        let found = config.fit(&rows, 1, &relevant, go_on).unwrap();
        let ours = objective(found.metric[0]);
        assert!(found.metric[0] >= 0.0);
        assert!((ours - least).abs() <= 2e-3 * least, "{loss:?} {c}: {ours} {least}");
        let last = found.iterations.last().unwrap();
        assert!(last.lower_bound <= least + 1e-9 && last.objective >= last.lower_bound, "{last:?}");
    }
}

/// `tr W + C xi` of a metric over all rankings of all queries.
fn true_objective(
    config: &MetricLearningConfig,
    rows: &[f32],
    columns: usize,
    relevant: &[Vec<u32>],
    metric: &[f64],
) -> f64 {
    let count = rows.len() / columns;
    let distance = |a: usize, b: usize| -> f64 {
        let away = |j: usize| f64::from(rows[a * columns + j]) - f64::from(rows[b * columns + j]);
        (0..columns * columns).map(|at| away(at / columns) * metric[at] * away(at % columns)).sum()
    };
    let orders = permutations(count);
    let asking = |query: &usize| !relevant[*query].is_empty() && relevant[*query].len() < count - 1;
    let slacks: Vec<f64> = (0..count)
        .filter(asking)
        .map(|query| {
            let violation = |order: &Vec<usize>| {
                let list = &relevant[query];
                let (lost, weights) = definition(config.loss, order, query, list, count);
                let psi: f64 =
                    weights.iter().enumerate().map(|(item, a)| -a * distance(query, item)).sum();
                lost - psi
            };
            orders.iter().map(violation).fold(f64::NEG_INFINITY, f64::max)
        })
        .collect();
    let trace: f64 = (0..columns).map(|j| metric[j * columns + j]).sum();
    trace + config.c * slacks.iter().sum::<f64>() / slacks.len() as f64
}

/// Three columns, all rankings, an interior-point solver: see `reference.py`.
#[test]
fn objective_agrees_with_a_general_solver() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for case in reference.as_array().unwrap() {
        let loss: RankingLoss = serde_json::from_value(case["loss"].clone()).unwrap();
        let c = case["c"].as_f64().unwrap();
        let columns = case["columns"].as_u64().unwrap() as usize;
        let rows: Vec<f32> = serde_json::from_value(case["rows"].clone()).unwrap();
        let relevant: Vec<Vec<u32>> = serde_json::from_value(case["relevant"].clone()).unwrap();
        let least = case["objective"].as_f64().unwrap();
        let config = MetricLearningConfig { c, loss, epsilon: 1e-6, ..Default::default() };
        let found = config.fit(&rows, columns, &relevant, go_on).unwrap();
        let last = found.iterations.last().unwrap();
        assert!(last.violation <= config.epsilon, "{loss:?} {c}: {last:?}");
        let ours = true_objective(&config, &rows, columns, &relevant, &found.metric);
        // Not below the minimum, and above it by at most the tolerances of both loops.
        assert!(ours >= least - 1e-6 * least, "{loss:?} {c}: {ours} {least}");
        assert!(ours <= least * (1.0 + GAP) + 1e-6 * c, "{loss:?} {c}: {ours} {least}");
        assert!(last.lower_bound <= least + 1e-6 * least, "{loss:?} {c}: {last:?} {least}");
        let w = Mat::from_fn(columns, columns, |i, j| found.metric[i * columns + j]);
        let (values, _) = eigen(w.as_ref()).unwrap();
        let trace: f64 = values.iter().sum();
        assert!(values[0] >= -1e-12 * trace.max(1e-12), "{loss:?} {c}: {values:?}");
    }
}

/// Three of twenty columns determine what is relevant.
#[test]
fn relevant_columns_are_found() {
    let (count, columns) = (120, 20);
    let rows = noise(count * columns, 9);
    let near = |a: usize, b: usize| -> f32 {
        (0..3).map(|j| (rows[a * columns + j] - rows[b * columns + j]).powi(2)).sum()
    };
    let relevant: Vec<Vec<u32>> = (0..count)
        .map(|query| {
            let mut others: Vec<usize> = (0..count).filter(|item| *item != query).collect();
            others.sort_by(|a, b| near(query, *a).total_cmp(&near(query, *b)));
            others[..10].iter().map(|item| *item as u32).collect()
        })
        .collect();
    for loss in [RankingLoss::Auc, RankingLoss::Map] {
        let config = MetricLearningConfig { loss, ..Default::default() };
        let found = config.fit(&rows, columns, &relevant, go_on).unwrap();
        let diagonal: Vec<f64> = (0..columns).map(|j| found.metric[j * columns + j]).collect();
        let share = diagonal[..3].iter().sum::<f64>() / diagonal.iter().sum::<f64>();
        assert!(share > 0.8, "{loss:?}: {diagonal:?}");
        let projection = found.projection(columns).unwrap();
        let rank = projection.len() / columns;
        // L'L is the metric.
        for i in 0..columns {
            for j in 0..columns {
                let product: f64 = (0..rank)
                    .map(|r| {
                        f64::from(projection[r * columns + i])
                            * f64::from(projection[r * columns + j])
                    })
                    .sum();
                let bound = 1e-5 * diagonal.iter().fold(0.0, |m, x| f64::max(m, *x));
                assert!((product - found.metric[i * columns + j]).abs() <= bound);
            }
        }
        // New items rank well under the metric, and better than by Euclidean distances.
        let fresh = noise(200 * columns, 77);
        let auc = |weight: &dyn Fn(usize) -> Vec<f32>| -> f64 {
            let places: Vec<Vec<f32>> = (0..200).map(weight).collect();
            let distance = |a: usize, b: usize| -> f32 {
                places[a].iter().zip(&places[b]).map(|(a, b)| (a - b).powi(2)).sum()
            };
            let truth = |a: usize, b: usize| -> f32 {
                (0..3).map(|j| (fresh[a * columns + j] - fresh[b * columns + j]).powi(2)).sum()
            };
            let (mut right, mut all) = (0, 0);
            for a in 0..20 {
                let mut others: Vec<usize> = (20..200).collect();
                others.sort_by(|x, y| truth(a, *x).total_cmp(&truth(a, *y)));
                for good in &others[..10] {
                    for bad in &others[10..] {
                        all += 1;
                        right += usize::from(distance(a, *good) < distance(a, *bad));
                    }
                }
            }
            f64::from(right as u32) / f64::from(all as u32)
        };
        let learned = auc(&|row| {
            let project = |r: usize| {
                (0..columns).map(|j| projection[r * columns + j] * fresh[row * columns + j]).sum()
            };
            (0..rank).map(project).collect()
        });
        let plain = auc(&|row| fresh[row * columns..][..columns].to_vec());
        assert!(learned > 0.9 && learned > plain + 0.1, "{loss:?}: {learned} {plain}");
    }
}

/// How long it takes: `cargo test --release mlr_speed -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn mlr_speed() {
    for (count, columns) in [(800, 300), (8_000, 100)] {
        let rows = noise(count * columns, 5);
        let relevant: Vec<Vec<u32>> = (0..count as u32)
            .map(|q| (1..=10).map(|k| (q + k * 7) % count as u32).collect())
            .collect();
        let from = std::time::Instant::now();
        let found = MetricLearningConfig::default().fit(&rows, columns, &relevant, |iteration| {
            eprintln!("{:.1} s {iteration:?}", from.elapsed().as_secs_f64());
            ControlFlow::Continue(())
        });
        eprintln!(
            "{count} x {columns}: {} constraints, {:.1} s",
            found.unwrap().iterations.len(),
            from.elapsed().as_secs_f64()
        );
    }
}

#[test]
fn result_does_not_depend_on_the_number_of_threads() {
    let rows = noise(60 * 5, 4);
    let relevant: Vec<Vec<u32>> = (0..60).map(|q| vec![(q + 7) % 60, (q + 20) % 60]).collect();
    let config = MetricLearningConfig { max_constraints: 8, ..Default::default() };
    let here = config.fit(&rows, 5, &relevant, go_on).unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| config.fit(&rows, 5, &relevant, go_on)).unwrap() == here);
    }
}

#[test]
fn invalid_input_is_named() {
    let config = MetricLearningConfig::default();
    let lists = |list: &[u32]| vec![list.to_vec(), vec![], vec![]];
    let fails = |rows: &[f32], lists: Vec<Vec<u32>>| {
        config.fit(rows, 1, &lists, go_on).unwrap_err().to_string()
    };
    assert!(fails(&[0.0, f32::NAN, 1.0], lists(&[1])).starts_with("row 1, column 0 is NaN"));
    assert!(fails(&[0.0, 1.0, 2.0], lists(&[3])).contains("item 3 does not exist"));
    assert!(fails(&[0.0, 1.0], lists(&[1])).starts_with("there are lists of relevant items for 3"));
    // Nothing relevant, everything relevant, only itself.
    for list in [&[][..], &[1, 2], &[0]] {
        assert!(fails(&[0.0, 1.0, 2.0], lists(list)).contains("nothing to rank"), "{list:?}");
    }
    let zero = MetricLearningConfig { c: 0.0, ..config.clone() };
    assert!(
        zero.fit(&[0.0, 1.0, 2.0], 1, &lists(&[1]), go_on)
            .unwrap_err()
            .to_string()
            .starts_with("c = 0")
    );
    let stopped = config.fit(&[0.0, 1.0, 2.0], 1, &lists(&[1]), |_| ControlFlow::Break(()));
    assert_eq!(stopped.unwrap_err(), MetricLearningError::Stopped(1));
}
