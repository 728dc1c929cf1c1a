//! Factorization of listening data: results, resuming, errors.

use tonotopy::listening::factors::{self, FactorTables};

use crate::support::{Workplace, json};
#[cfg(unix)]
use crate::support::{interrupt, wait_until};

/// A table of `users` listeners and `items` songs, with random tastes.
fn table(users: usize, items: usize) -> String {
    let mut text = String::from("user,item,count\n");
    let mut state = 7_u64;
    for user in 0..users {
        for item in 0..items {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let chance = if user % 3 == item % 3 { 20 } else { 4 };
            // Every user plays an item, and every item has a play.
            let always = item % users == user || user % items == item;
            if always || (state >> 33) % 100 < chance {
                text += &format!("u{user},\"song, {item}\",{}\n", 1 + (state >> 50) % 9);
            }
        }
    }
    text
}

/// The objective from its definition, in f64.
fn objective(tables: &FactorTables, table: &str, lambda: f64) -> f64 {
    let find = |ids: &[String], id: &str| ids.iter().position(|other| other == id).unwrap();
    let (users, items) = (&tables.users, &tables.items);
    let mut plays = vec![0.0; users.ids.len() * items.ids.len()];
    for line in table.lines().skip(1) {
        let (user, rest) = line.split_once(",\"").unwrap();
        let (item, count) = rest.split_once("\",").unwrap();
        let at = find(&users.ids, user) * items.ids.len() + find(&items.ids, item);
        plays[at] = count.parse::<f64>().unwrap();
    }
    let wide = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let (x, y) = (wide(&users.factors), wide(&items.factors));
    let bias = |side: &factors::FactorTable, row: usize| {
        side.biases.as_ref().map_or(0.0, |biases| f64::from(biases[row]))
    };
    let mut sum = lambda * x.iter().chain(&y).map(|x| x * x).sum::<f64>();
    for (u, x) in x.chunks(tables.n_factors).enumerate() {
        for (i, y) in y.chunks(tables.n_factors).enumerate() {
            let r: f64 = plays[u * items.ids.len() + i];
            let score: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
            let score = score + bias(users, u) + bias(items, i);
            let (p, c) = (f64::from(u8::from(r > 0.0)), 1.0 + 2.0 * (1.0 + r / 1e-6).ln());
            sum += c * (p - score) * (p - score);
        }
    }
    sum
}

#[test]
fn factors_minimise_the_defined_objective() {
    let place = Workplace::new();
    let table = table(60, 40);
    place.write("plays.csv", &table);
    for (options, columns) in [
        ("", 6),
        ("--bias", 6),
        ("--solver cholesky --bias", 6),
        ("--solver cholesky", 6),
        ("--factors 40 --regularization 0.1", 40),
    ] {
        let command =
            format!("factorize plays.csv --factors 6 --iterations 8 --out made {options}");
        let command = match columns {
            40 => command.replacen("--factors 6", "", 1),
            _ => command,
        };
        let done = place.run(&command).ok();
        assert!(done.out.contains("60 users, 40 items"), "{}", done.out);
        let made = place.path("made");
        let tables = factors::read(&made).unwrap();
        assert_eq!((tables.n_factors, tables.users.ids.len()), (columns, 60));
        assert_eq!(tables.items.biases.is_some(), options.contains("--bias"));
        let left = std::fs::read_dir(&made).unwrap().count();
        assert_eq!(left, if options.contains("--bias") { 9 } else { 7 });
        let log = std::fs::read_to_string(made.join("log.csv")).unwrap();
        assert!(log.starts_with("sweep,objective,seconds\n1,"), "{log}");
        assert_eq!(log.lines().count(), 9);
        let last: f64 = log.lines().last().unwrap().split(',').nth(1).unwrap().parse().unwrap();
        let lambda = if columns == 40 { 0.1 } else { 1e-5 };
        let defined = objective(&tables, &table, lambda);
        assert!((last / defined - 1.0).abs() <= 1e-5, "{last} is {defined}");
        assert!(!place.path("made.partial").exists());

        // Never over what is there.
        place.run(&command).fails(2, &["made exists"]);
        place.run(&format!("{command} --resume")).fails(2, &["made exists"]);
        std::fs::remove_dir_all(made).unwrap();
    }
    let done = place.run("factorize plays.csv --factors 3 --out a/b --json").ok();
    let summary = json(&done.out);
    assert_eq!(summary["config"]["solver"], "cg");
    assert_eq!(summary["sweeps"].as_array().unwrap().len(), 15);
    assert_eq!(summary["objective"], summary["sweeps"][14]["objective"]);
}

/// Conjugate gradients, the default, and the exact solver end at objectives that are equal within 1 %.
#[test]
fn default_solver_reaches_the_objective_of_the_exact_one() {
    let place = Workplace::new();
    place.write("plays.csv", table(300, 200));
    for options in ["--factors 10", "--factors 10 --bias", "--factors 40 --regularization 10"] {
        let objective = |solver: &str| {
            let command = format!("-q factorize plays.csv {options} {solver} --out made --json");
            let found = json(&place.run(&command).ok().out);
            std::fs::remove_dir_all(place.path("made")).unwrap();
            found["objective"].as_f64().unwrap()
        };
        let (ours, exact) = (objective(""), objective("--solver cholesky"));
        assert_eq!(ours, objective("--solver cg"));
        assert!((ours / exact - 1.0).abs() <= 0.01, "{options}: {ours} is not {exact}");
    }
}

#[test]
#[cfg(unix)]
fn interrupted_and_resumed_factorization_is_bit_identical() {
    let place = Workplace::new();
    place.write("plays.csv", table(300, 200));
    for (options, sweeps) in [("--bias", 60), ("--solver cholesky", 60)] {
        let command = format!("factorize plays.csv --factors 30 --iterations {sweeps} {options}");
        place.run(&format!("{command} --out straight")).ok();
        let child = place.start(&format!("{command} --out stopped"));
        let log = place.path("stopped.partial/log.csv");
        wait_until("the fourth line of the log", || {
            std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) >= 4
        });
        interrupt(child);
        assert!(!place.path("stopped").exists());

        // Other settings, other data or a missing --resume are refused.
        place.run(&format!("{command} --out stopped")).fails(2, &["stopped.partial", "--resume"]);
        let resume = format!("{command} --out stopped --resume");
        place
            .run(&resume.replace("--factors 30", "--factors 31 --alpha 3"))
            .fails(2, &["factors is 31 now and was 30", "alpha is 3"]);
        place.write("other.csv", table(300, 199));
        place
            .run(&resume.replace("plays.csv", "other.csv"))
            .fails(2, &["items is 199 now and was 200", "interactions_hash"]);

        let other = resume.replace("--solver cholesky", "--solver cg");
        if other != resume {
            place.run(&other).fails(2, &["solver is \"cg\" now and was \"cholesky\""]);
        }
        // Without an option the solver is the one that it began with, and not the default.
        place.run(&resume.replace("--solver cholesky", "")).ok();
        for file in ["user_factors.npy", "item_factors.npy", "users.txt", "items.txt"] {
            let read = |out: &str| std::fs::read(place.path(out).join(file)).unwrap();
            assert!(read("straight") == read("stopped"), "{file} differs");
        }
        let objectives = |out: &str| -> Vec<String> {
            let log = place.read(&format!("{out}/log.csv"));
            log.lines().map(|line| line.rsplit_once(',').unwrap().0.to_string()).collect()
        };
        assert_eq!(objectives("straight").len(), sweeps + 1);
        assert_eq!(objectives("straight"), objectives("stopped"));
        for out in ["straight", "stopped"] {
            std::fs::remove_dir_all(place.path(out)).unwrap();
        }
    }
}

#[test]
fn invalid_input_is_refused_and_leaves_no_files() {
    let place = Workplace::new();
    place.write("plays.csv", table(30, 20));
    place.write("empty.csv", "user,item,count\n");
    place.write("line.csv", "user,item,count\n\"two\nlines\",b,3\nc,d,1\n");
    let run = |options: &str| place.run(&format!("factorize {options} --out made"));
    run("plays.csv --factors 21").fails(2, &["only 20 items", "set it to 20"]);
    run("plays.csv --factors 0").fails(2, &["factors"]);
    run("plays.csv --alpha nan").fails(2, &["alpha", "NaN"]);
    run("plays.csv --epsilon 0").fails(2, &["epsilon"]);
    run("plays.csv --regularization 0").fails(2, &["regularization"]);
    run("plays.csv --solver lu").fails(2, &["lu", "cholesky or cg"]);
    run("plays.csv --resume").fails(2, &["nothing to resume"]);
    run("nowhere.csv").fails(3, &["nowhere.csv"]);
    run("empty.csv").fails(3, &["empty.csv"]);
    run("line.csv --factors 1").fails(3, &["line.csv", "line break"]);
    place.write("nan.csv", "user,item,count\na,b,nan\n");
    run("nan.csv --factors 1").fails(3, &["nan.csv"]);
    assert!(!place.path("made").exists() && !place.path("made.partial").exists());
}
