//! `factorize`: factorize listening data into factors of users and items.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use models::factorization::wmf::{Solver, WmfConfig};
use serde::Serialize;

use super::{Context, print, print_json};
use crate::data::directories::from_dataset;
use crate::error::Result;
use crate::listening::factorization_job::{LogLine, Observer, factorize, solver_of_interrupted};
use crate::progress::Bar;
use crate::report::format::duration;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Table of user, item and play count (CSV, TSV or JSON lines, also compressed with gzip), listens of ListenBrainz, or
    /// directory of HetRec or the Taste Profile.
    interactions: PathBuf,
    /// Number of factors per user and item.
    #[arg(long, default_value_t = 50, value_name = "N")]
    factors: usize,
    /// Number of sweeps; each solves all users, then all items.
    #[arg(long, default_value_t = 15, value_name = "N")]
    iterations: usize,
    /// Scale of the confidence 1 + alpha ln(1 + plays / epsilon).
    #[arg(long, default_value_t = 2.0)]
    alpha: f64,
    /// Unit of plays in the confidence; the smaller it is, the less the number of plays matters.
    #[arg(long, default_value_t = 1e-6)]
    epsilon: f64,
    /// Weight of the squared factors in the objective.
    #[arg(long, default_value_t = 1e-5, value_name = "LAMBDA")]
    regularization: f64,
    /// Solver: cg performs three conjugate gradient steps from the previous sweep, which is faster; cholesky is exact
    /// [default: cg, or with --resume the one that it began with].
    #[arg(long, value_name = "cg|cholesky")]
    solver: Option<Solver>,
    /// Add a bias for every user and every item.
    #[arg(long)]
    bias: bool,
    /// Random seed of the initial item factors.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Create this directory with user_factors.npy, item_factors.npy, users.txt, items.txt and log.csv.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Resume an interrupted factorization; settings must match.
    #[arg(long)]
    resume: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Factorized {
    out: String,
    users: usize,
    items: usize,
    interactions: usize,
    config: WmfConfig,
    objective: f64,
    seconds: f64,
    sweeps: Vec<LogLine>,
    notes: Vec<String>,
}

/// Shows the progress.
struct Show {
    bar: Bar,
    rows: AtomicU64,
}

impl Observer for Show {
    fn rows(&self, rows: usize) {
        use std::sync::atomic::Ordering::Relaxed;
        self.bar.rows(self.rows.fetch_add(rows as u64, Relaxed) + rows as u64);
    }

    fn sweep(&self, line: &LogLine) {
        self.bar.sweep(line.sweep, line.objective, line.seconds);
    }
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let begun = match arguments.resume {
        true => solver_of_interrupted(&arguments.out)?,
        false => None,
    };
    let config = WmfConfig {
        factors: arguments.factors,
        iterations: arguments.iterations,
        alpha: arguments.alpha,
        epsilon: arguments.epsilon,
        regularization: arguments.regularization,
        solver: arguments.solver.or(begun).unwrap_or(Solver::Cg),
        bias: arguments.bias,
        seed: arguments.seed,
    };
    // Fail before reading a long table.
    config.validate().map_err(|error| crate::Error::Config(error.to_string()))?;
    let interactions =
        datasets::read_interactions(&arguments.interactions).map_err(from_dataset)?;
    let (users, items) = (interactions.users().len(), interactions.items().len());
    let (count, notes) = (interactions.len(), interactions.notes.clone());
    let rows = (users + items) as u64;
    let bar = context.progress.factorize(config.iterations, rows * config.iterations as u64);
    let show = Show { bar, rows: AtomicU64::new(0) };
    let out = &arguments.out;
    let log = factorize(&config, interactions, out, arguments.resume, &context.stop, &show);
    show.bar.finish();
    let log = log?;
    let last = log.last().map_or(f64::NAN, |line| line.objective);
    let result = Factorized {
        out: out.display().to_string(),
        users,
        items,
        interactions: count,
        config,
        objective: last,
        seconds: log.iter().map(|line| line.seconds).sum(),
        sweeps: log,
        notes,
    };
    if arguments.json {
        return print_json(&result);
    }
    let mut text = format!(
        "{users} users, {items} items, {count} interactions: {} factors in {} ({} sweeps, {})\n",
        result.config.factors,
        duration(result.seconds),
        result.sweeps.len(),
        match result.config.solver {
            Solver::Cg => "conjugate gradients",
            Solver::Cholesky => "exact",
        },
    );
    for note in &result.notes {
        text += &format!("{note}\n");
    }
    text += &format!("objective: {last:.6e}\nfactors: {}\n", result.out);
    print(&text)
}
