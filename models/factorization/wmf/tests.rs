//! Comparison with the definition: dense matrices in double precision, sums over all users and items.

#![allow(clippy::needless_range_loop, reason = "matrices by row and column, as in the formulas")]

use std::ops::ControlFlow;

use super::*;

/// Plays, some rows and columns dense, many with little, one of each with nothing.
fn plays(users: usize, items: usize) -> Csr {
    let mut offsets = vec![0];
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    for user in 0..users {
        for item in 0..items {
            let words = philox([5, 5], [user as u64, item as u64, 0, 0]);
            let chance = if user % 5 == 0 || item % 7 == 0 { 0.7 } else { 0.12 };
            let drawn = (words[0] >> 11) as f64 / (1_u64 << 53) as f64;
            if drawn < chance && user != 3 && item != 4 {
                columns.push(item as u32);
                values.push((1 + words[1] % 40) as f32);
            }
        }
        offsets.push(columns.len());
    }
    Csr::new(offsets, columns, values, items).unwrap()
}

/// The model from its definition.
struct Reference {
    config: WmfConfig,
    users: usize,
    items: usize,
    confidence: Vec<f64>,
    preference: Vec<f64>,
}

impl Reference {
    fn new(config: &WmfConfig, plays: &Csr) -> Reference {
        let (users, items) = (plays.n_rows(), plays.n_columns());
        let mut confidence = vec![1.0; users * items];
        let mut preference = vec![0.0; users * items];
        for user in 0..users {
            let (columns, values) = plays.row(user);
            for (&item, &r) in columns.iter().zip(values) {
                let at = user * items + item as usize;
                confidence[at] = 1.0 + config.alpha * (1.0 + f64::from(r) / config.epsilon).ln();
                preference[at] = 1.0;
            }
        }
        Reference { config: config.clone(), users, items, confidence, preference }
    }

    fn score(&self, x: &[f64], y: &[f64]) -> f64 {
        let f = self.config.factors;
        let dot: f64 = x[..f].iter().zip(&y[..f]).map(|(a, b)| a * b).sum();
        if self.config.bias { dot + x[f] + y[f] } else { dot }
    }

    fn objective(&self, factors: &Factors) -> f64 {
        let columns = self.config.columns();
        let (x, y) = (wide(&factors.users), wide(&factors.items));
        let mut sum = 0.0;
        for (user, x) in x.chunks(columns).enumerate() {
            for (item, y) in y.chunks(columns).enumerate() {
                let at = user * self.items + item;
                let error = self.preference[at] - self.score(x, y);
                sum += self.confidence[at] * error * error;
            }
        }
        for row in x.chunks(columns).chain(y.chunks(columns)) {
            let square: f64 = row[..self.config.factors].iter().map(|x| x * x).sum();
            sum += self.config.regularization * square;
        }
        sum
    }

    /// The best row of one side: normal equations over every row of the other.
    fn solve(&self, of_user: bool, index: usize, fixed: &[f64]) -> Vec<f64> {
        let (columns, f) = (self.config.columns(), self.config.factors);
        let mut matrix = vec![vec![0.0; columns + 1]; columns];
        for (other, row) in fixed.chunks(columns).enumerate() {
            let at = if of_user { index * self.items + other } else { other * self.items + index };
            let mut design = row.to_vec();
            let mut target = self.preference[at];
            if self.config.bias {
                target -= row[f];
                design[f] = 1.0;
            }
            for i in 0..columns {
                for j in 0..columns {
                    matrix[i][j] += self.confidence[at] * design[i] * design[j];
                }
                matrix[i][columns] += self.confidence[at] * design[i] * target;
            }
        }
        for (i, row) in matrix.iter_mut().enumerate().take(f) {
            row[i] += self.config.regularization;
        }
        eliminate(matrix)
    }

    fn users(&self, items: &[f64]) -> Vec<f64> {
        (0..self.users).flat_map(|user| self.solve(true, user, items)).collect()
    }

    fn items(&self, users: &[f64]) -> Vec<f64> {
        (0..self.items).flat_map(|item| self.solve(false, item, users)).collect()
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Gauss with pivots.
fn eliminate(mut matrix: Vec<Vec<f64>>) -> Vec<f64> {
    let n = matrix.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| matrix[a][i].abs().total_cmp(&matrix[b][i].abs()));
        matrix.swap(i, pivot.unwrap());
        for row in i + 1..n {
            let factor = matrix[row][i] / matrix[i][i];
            for column in i..=n {
                matrix[row][column] -= factor * matrix[i][column];
            }
        }
    }
    let mut x = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| matrix[i][j] * x[j]).sum();
        x[i] = (matrix[i][n] - known) / matrix[i][i];
    }
    x
}

/// Runs the remaining sweeps; `after` receives the result of each and can stop the factorization.
fn fit(
    wmf: &mut Wmf,
    mut after: impl FnMut(&Wmf, &Sweep) -> ControlFlow<()>,
) -> Result<(), WmfError> {
    while wmf.sweep < wmf.config.iterations {
        let sweep = wmf.run_sweep(&|_| {})?;
        if after(wmf, &sweep).is_break() {
            break;
        }
    }
    Ok(())
}

fn config(factors: usize, bias: bool, solver: Solver) -> WmfConfig {
    WmfConfig { factors, bias, solver, iterations: 4, regularization: 0.1, ..Default::default() }
}

/// Largest difference relative to the largest value.
fn distance(ours: &[f32], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let scale = reference.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let difference = ours.iter().zip(reference).map(|(a, b)| (f64::from(*a) - b).abs());
    difference.fold(0.0_f64, |most, x| if x <= most { most } else { x }) / scale
}

#[test]
fn sweeps_match_the_definition() {
    // Few factors: primal; many: nearly all rows dual; 20: both.
    for (users, items, factors) in [(40, 30, 3), (60, 50, 20), (90, 70, 48)] {
        let plays = plays(users, items);
        for bias in [false, true] {
            let config = config(factors, bias, Solver::Cholesky);
            let reference = Reference::new(&config, &plays);
            for width in Width::all() {
                let mut wmf = Wmf { width, ..Wmf::new(&config, &plays).unwrap() };
                for _ in 0..2 {
                    // Each half sweep is compared from its own input, so that rounding errors do not accumulate.
                    let y = wide(&wmf.factors.items);
                    let sweep = wmf.run_sweep(&|_| {}).unwrap();
                    let x = wide(&wmf.factors.users);
                    let (users, items) = (&wmf.factors.users, &wmf.factors.items);
                    let (best_users, best_items) = (reference.users(&y), reference.items(&x));
                    assert!(distance(users, &best_users) <= 1e-5, "users, {config:?}");
                    assert!(distance(items, &best_items) <= 1e-5, "items, {config:?}");
                    let objective = reference.objective(&wmf.factors);
                    let error = (sweep.objective / objective - 1.0).abs();
                    assert!(error <= 1e-6, "{} is {objective}", sweep.objective);
                }
            }
        }
    }
}

#[test]
fn conjugate_gradients_reach_the_objective_of_cholesky() {
    for (users, items, factors) in [(40, 30, 3), (90, 70, 40), (700, 400, 10)] {
        let plays = plays(users, items);
        for bias in [false, true] {
            let run = |solver| {
                let config = WmfConfig { iterations: 60, ..config(factors, bias, solver) };
                let mut wmf = Wmf::new(&config, &plays).unwrap();
                let mut objectives = Vec::new();
                fit(&mut wmf, |_, sweep| {
                    objectives.push(sweep.objective);
                    ControlFlow::Continue(())
                })
                .unwrap();
                let reference = Reference::new(&config, &plays).objective(wmf.factors());
                let error = (objectives.last().unwrap() / reference - 1.0).abs();
                // Forty factors for seventy items leave little of the objective, and its rounding.
                assert!(error <= 1e-5, "{error}");
                objectives
            };
            let (exact, cg) = (run(Solver::Cholesky), run(Solver::Cg));
            for objectives in [&exact, &cg] {
                for pair in objectives.windows(2) {
                    // Rounding of the factors to 32 bits.
                    assert!(pair[1] <= pair[0] * (1.0 + 1e-5), "{pair:?}");
                }
            }
            let (a, b) = (exact.last().unwrap(), cg.last().unwrap());
            // Alternating ends in one of several minima; with so many factors they differ more.
            let tolerance = if factors == 40 { 0.1 } else { 0.01 };
            assert!((a / b - 1.0).abs() <= tolerance, "{a} {b}");
        }
    }
}

#[test]
fn repeated_half_sweeps_of_conjugate_gradients_are_exact() {
    // Alternating only towards the users: repeated, the half sweeps must end at the exact rows.
    let plays = plays(50, 40);
    for bias in [false, true] {
        let config = config(6, bias, Solver::Cg);
        let wmf = Wmf::new(&config, &plays).unwrap();
        let side = FixedSide::new(&config, wmf.width, &wmf.factors.items, Vec::new()).unwrap();
        let mut users = wmf.factors.users.clone();
        for _ in 0..30 {
            rows::solve(&config, &side, &wmf.by_user, &mut users, &|_| {}).unwrap();
        }
        let x = Reference::new(&config, &plays).users(&wide(&wmf.factors.items));
        assert!(distance(&users, &x) <= 1e-5, "{}", distance(&users, &x));
    }
}

#[test]
fn results_are_bit_identical_for_any_number_of_threads_and_after_resuming() {
    let plays = plays(150, 90);
    for (factors, bias, solver) in
        [(5, false, Solver::Cholesky), (40, true, Solver::Cholesky), (12, true, Solver::Cg)]
    {
        let config = config(factors, bias, solver);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut wmf = Wmf::new(&config, &plays).unwrap();
                let mut objectives = Vec::new();
                fit(&mut wmf, |_, sweep| {
                    objectives.push(sweep.objective.to_bits());
                    ControlFlow::Continue(())
                })
                .unwrap();
                (wmf.into_factors(), objectives)
            })
        };
        let (factors, objectives) = run(1);
        assert!(factors.users.iter().chain(&factors.items).all(|x| x.is_finite()));
        for threads in [2, 3] {
            assert_eq!(run(threads), (factors.clone(), objectives.clone()));
        }
        let mut wmf = Wmf::new(&config, &plays).unwrap();
        fit(&mut wmf, |_, sweep| match sweep.sweep {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
        assert_eq!(wmf.sweep(), 2);
        let mut wmf = Wmf::resume(&config, &plays, wmf.into_factors(), 2).unwrap();
        fit(&mut wmf, |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((wmf.sweep(), wmf.into_factors()), (4, factors));
    }
}

#[test]
fn progress_counts_every_row_once() {
    let plays = plays(150, 90);
    let mut wmf = Wmf::new(&config(5, false, Solver::Cholesky), &plays).unwrap();
    let done = std::sync::atomic::AtomicUsize::new(0);
    wmf.run_sweep(&|rows| {
        done.fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(done.into_inner(), 240);
}

#[test]
fn long_rows_are_solved_in_blocks() {
    // An item that all of 700 users played is gathered in six blocks.
    let plays = plays(700, 20);
    for solver in [Solver::Cholesky, Solver::Cg] {
        let config = config(4, true, solver);
        let mut wmf = Wmf::new(&config, &plays).unwrap();
        let sweep = wmf.run_sweep(&|_| {}).unwrap();
        let objective = Reference::new(&config, &plays).objective(wmf.factors());
        assert!((sweep.objective / objective - 1.0).abs() <= 1e-6);
    }
}

#[test]
fn folded_in_items_equal_those_of_a_sweep() {
    let plays = plays(60, 50);
    for (factors, bias) in [(4, false), (30, true)] {
        let config = config(factors, bias, Solver::Cholesky);
        let mut wmf = Wmf::new(&config, &plays).unwrap();
        wmf.run_sweep(&|_| {}).unwrap();
        let items = fold_in_items(&config, &wmf.factors.users, &plays.transposed()).unwrap();
        assert_eq!(items, wmf.factors.items);
        let y = Reference::new(&config, &plays).items(&wide(&wmf.factors.users));
        assert!(distance(&items, &y) <= 1e-5);
        // Nobody played item 4.
        let silent = &items[4 * config.columns()..][..config.columns()];
        assert_eq!(silent.iter().all(|x| *x == 0.0), !bias);
    }
}

#[test]
fn folded_in_items_are_exact_whatever_the_solver() {
    let plays = plays(60, 50);
    for solver in [Solver::Cholesky, Solver::Cg] {
        let config = config(30, true, solver);
        let mut wmf = Wmf::new(&config, &plays).unwrap();
        wmf.run_sweep(&|_| {}).unwrap();
        let items = fold_in_items(&config, &wmf.factors.users, &plays.transposed()).unwrap();
        let y = Reference::new(&config, &plays).items(&wide(&wmf.factors.users));
        assert!(distance(&items, &y) <= 1e-5, "{solver:?}: {}", distance(&items, &y));
    }
}

#[test]
fn initial_items_are_normal_and_depend_on_the_seed() {
    let config = WmfConfig { factors: 50, bias: true, ..Default::default() };
    let items = config.first_items(4000);
    let values: Vec<f64> =
        items.chunks(51).flat_map(|row| row[..50].iter().map(|&x| f64::from(x))).collect();
    assert!(items.chunks(51).all(|row| row[50] == 0.0));
    let n = values.len() as f64;
    let moment = |power: i32| values.iter().map(|x| (x / 0.01).powi(power)).sum::<f64>() / n;
    // Five deviations of the means of x, x^2, x^3 and x^4 over 200 000 numbers.
    let deviation = |variance: f64| 5.0 * (variance / n).sqrt();
    assert!(moment(1).abs() <= deviation(1.0));
    assert!((moment(2) - 1.0).abs() <= deviation(2.0));
    assert!(moment(3).abs() <= deviation(15.0));
    assert!((moment(4) - 3.0).abs() <= deviation(96.0));
    assert_ne!(items, WmfConfig { seed: 2, ..config.clone() }.first_items(4000));
    assert_eq!(items[..510], config.first_items(10));
}

#[test]
fn configs_are_parsed_and_validated() {
    let read = |text: &str| toml::from_str::<WmfConfig>(text);
    let config = read("factors = 8\nsolver = \"cg\"\nbias = true").unwrap();
    assert_eq!((config.factors, config.solver, config.bias), (8, Solver::Cg, true));
    assert_eq!((config.alpha, config.epsilon, config.regularization), (2.0, 1e-6, 1e-5));
    assert!(read("factor = 8").unwrap_err().to_string().contains("factor"));
    assert!(read("solver = \"lu\"").is_err());
    for (text, key) in [
        ("factors = 0", "factors"),
        ("factors = 5000", "factors"),
        ("iterations = 0", "iterations"),
        ("alpha = nan", "alpha"),
        ("alpha = 0.0", "alpha"),
        ("epsilon = -1.0", "epsilon"),
        ("regularization = 0.0", "regularization"),
        ("regularization = inf", "regularization"),
    ] {
        let error = read(text).unwrap().validate().unwrap_err();
        assert_eq!(error.key, key, "{error}");
    }
}

#[test]
fn invalid_input_is_named() {
    let good = plays(20, 15);
    let config = config(4, false, Solver::Cholesky);
    let says = |result: Result<Wmf, WmfError>, part: &str| {
        let error = result.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    };
    let many = |factors| Wmf::new(&WmfConfig { factors, ..config.clone() }, &good);
    says(many(16), "only 15 items: set it to 15 or less");
    assert!(many(15).is_ok());
    says(Wmf::new(&config, &good.transposed()).and(many(16)), "items");
    let wide = plays(5, 15);
    says(Wmf::new(&WmfConfig { factors: 6, ..config.clone() }, &wide), "only 5 users");
    let none = Csr::new(vec![0; 21], vec![], vec![], 15).unwrap();
    says(Wmf::new(&config, &none), "no plays: 20 users, 15 items");
    for bad in [0.0, -1.0] {
        let seventh = (0..good.n_rows()).flat_map(|row| good.row(row).1).nth(7).unwrap();
        let plays = good.map_values(|r| if r == *seventh { bad } else { r }).unwrap();
        says(Wmf::new(&config, &plays), "must be above 0");
    }
    // NaN does not even make a matrix.
    assert!(good.map_values(|_| f32::NAN).is_err());
    let tiny = WmfConfig { epsilon: 1e12, alpha: 1e-6, ..config.clone() };
    says(Wmf::new(&tiny, &good), "cannot tell from 1");
    let factors = Wmf::new(&config, &good).unwrap().into_factors();
    let short = Factors { users: factors.users[1..].to_vec(), ..factors.clone() };
    says(Wmf::resume(&config, &good, short, 1), "79 values instead of 20 rows of 4");
    let mut wrong = factors.clone();
    wrong.items[9] = f32::NAN;
    says(
        Wmf::resume(&config, &good, wrong, 1),
        "item factors: row 2 has a value that is not finite",
    );
    let error = fold_in_items(&config, &factors.users, &good).unwrap_err().to_string();
    assert!(error.contains("instead of 15 rows of 4"), "{error}");
}

/// With more factors than played items, only the small regularization makes the solution unique.
#[test]
fn fewer_played_items_than_factors_are_solved() {
    let (users, items) = (300, 60);
    for (played, factors, bias) in
        [(30, 50, false), (45, 50, false), (30, 50, true), (60, 60, true)]
    {
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for user in 0..users {
            for item in 0..played {
                let words = philox([9, 1], [user, item, 0, 0]);
                if words[0].is_multiple_of(4) {
                    columns.push(item as u32);
                    values.push((1 + words[1] % 9) as f32);
                }
            }
            offsets.push(columns.len());
        }
        let plays = Csr::new(offsets, columns, values, items).unwrap();
        for solver in [Solver::Cholesky, Solver::Cg] {
            let config = WmfConfig { iterations: 6, ..config(factors, bias, solver) };
            let config = WmfConfig { regularization: 1e-5, ..config };
            let reference = Reference::new(&config, &plays);
            let mut wmf = Wmf::new(&config, &plays).unwrap();
            // What factors of 0 cost: the scale that rounding has here, where plays are fitted well.
            let zeros = vec![0.0; (users as usize + items) * config.columns()];
            let (of_users, of_items) = zeros.split_at(users as usize * config.columns());
            let nothing = reference
                .objective(&Factors { users: of_users.to_vec(), items: of_items.to_vec() });
            let mut before = f64::INFINITY;
            fit(&mut wmf, |wmf, sweep| {
                let exact = reference.objective(wmf.factors());
                let case = format!("{played} {factors} {bias} {solver:?}: {sweep:?} {exact}");
                assert!((sweep.objective - exact).abs() <= 1e-5 * nothing, "{case}");
                assert!(
                    solver == Solver::Cg || exact <= before + 1e-5 * nothing,
                    "{before} {case}"
                );
                before = exact;
                ControlFlow::Continue(())
            })
            .unwrap();
        }
    }
}
