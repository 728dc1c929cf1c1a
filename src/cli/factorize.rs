//! `factorize`: factors of users and items from who listened to what.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use models::factorization::wmf::{Solver, WmfConfig};
use serde::Serialize;

use super::{Context, print, print_json};
use crate::data::directories::from_dataset;
use crate::error::Result;
use crate::listening::factorization::{Listener, LogLine, factorize, partial};
use crate::progress::Bar;
use crate::report::format::duration;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A table of user, item and count (CSV, or with tabs), or a folder of HetRec or the Taste Profile.
    interactions: PathBuf,
    /// Length of the factors.
    #[arg(long, default_value_t = 50, value_name = "N")]
    factors: usize,
    /// Sweeps: each solves all users, then all items.
    #[arg(long, default_value_t = 15, value_name = "N")]
    iterations: usize,
    /// How confidence grows with plays: 1 + alpha ln(1 + plays / epsilon).
    #[arg(long, default_value_t = 2.0)]
    alpha: f64,
    /// Unit in which plays are counted there: the smaller, the less their number says.
    #[arg(long, default_value_t = 1e-6)]
    epsilon: f64,
    /// Weight of the factors' squares in what is minimised.
    #[arg(long, default_value_t = 1e-5, value_name = "LAMBDA")]
    regularization: f64,
    /// cholesky is exact; cg takes three steps of conjugate gradients from the sweep before.
    #[arg(long, default_value = "cholesky", value_name = "cholesky|cg")]
    solver: Solver,
    /// A bias for every user and every item.
    #[arg(long)]
    bias: bool,
    /// Seed of the first item factors.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to make: user_factors.npy, item_factors.npy, users.txt, items.txt, log.csv.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on with one that was stopped; all values must be the same.
    #[arg(long)]
    resume: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
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

/// Draws the bar.
struct Show {
    bar: Bar,
    rows: AtomicU64,
}

impl Listener for Show {
    fn rows(&self, rows: usize) {
        use std::sync::atomic::Ordering::Relaxed;
        self.bar.rows(self.rows.fetch_add(rows as u64, Relaxed) + rows as u64);
    }

    fn sweep(&self, line: &LogLine) {
        self.bar.sweep(line.sweep, line.objective, line.seconds);
    }
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let config = WmfConfig {
        factors: arguments.factors,
        iterations: arguments.iterations,
        alpha: arguments.alpha,
        epsilon: arguments.epsilon,
        regularization: arguments.regularization,
        solver: arguments.solver,
        bias: arguments.bias,
        seed: arguments.seed,
    };
    // Before a long table is read.
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
    debug_assert!(!partial(out).exists());
    let last = log.last().map_or(f64::NAN, |line| line.objective);
    let summary = Summary {
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
        return print_json(&summary);
    }
    let mut text = format!(
        "{users} users, {items} items, {count} interactions: {} factors in {} ({} sweeps)\n",
        summary.config.factors,
        duration(summary.seconds),
        summary.sweeps.len(),
    );
    for note in &summary.notes {
        text += &format!("{note}\n");
    }
    text += &format!("objective: {last:.6e}\nfactors: {}\n", summary.out);
    print(&text)
}
