//! Weighted matrix factorization (WMF) of play counts by alternating least squares.
//!
//! A user `u` who played item `i` `r` times has the preference `p = 1` (else 0) with confidence
//! `c = 1 + alpha ln(1 + r / epsilon)`, which is 1 for items that the user did not play. The factors minimise,
//! over *all* users and items,
//!
//! ```text
//! sum over u, i of c_ui (p_ui - x_u' y_i)^2 + lambda (sum |x_u|^2 + sum |y_i|^2)
//! ```
//!
//! With `bias`, a score is `x_u' y_i + b_u + d_i`, and the biases `b` and `d` are not regularised. The last
//! column of each side contains its bias and is multiplied by one on the other side.
//!
//! A sweep solves for all users with the items fixed, then for all items with the users fixed. The rows are
//! independent; `rows.rs` explains how one is solved.
//!
//! # Departures
//! The paper gives no values for `alpha`, `epsilon` and `lambda`; the defaults are those of a
//! later program by one of its authors (2, 1e-6, 1e-5; initial item factors of deviation 0.01).
//!
//! # References
//! - van den Oord, Dieleman, Schrauwen: "Deep content-based music recommendation", NIPS 2013,
//!   equations 1 to 3.
//! - Hu, Koren, Volinsky: "Collaborative filtering for implicit feedback datasets", ICDM 2008.

mod rows;
mod side;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use kernels::csr::{Csr, CsrError};
use kernels::linalg::Width;
use kernels::philox::philox;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, in_range};
use side::FixedSide;

/// The solver of the linear system of a row.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Solver {
    /// Cholesky factorization: every half sweep finds the exact minimum for its side.
    #[default]
    Cholesky,
    /// A few steps of conjugate gradients, starting from the previous sweep.
    Cg,
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cholesky => "cholesky",
            Self::Cg => "cg",
        })
    }
}

impl FromStr for Solver {
    type Err = String;

    fn from_str(name: &str) -> Result<Solver, String> {
        match name {
            "cholesky" => Ok(Solver::Cholesky),
            "cg" => Ok(Solver::Cg),
            other => Err(format!("{other:?} is not a solver; choose cholesky or cg")),
        }
    }
}

/// Settings of a factorization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WmfConfig {
    /// Number of factors, without the bias; 50 by default.
    pub factors: usize,
    /// Number of sweeps; 15 by default.
    pub iterations: usize,
    /// Growth of the confidence with the play count; 2 by default.
    pub alpha: f64,
    /// Unit of the play count inside the logarithm, in plays; 1e-6 by default. The smaller it is, the less the
    /// count matters.
    pub epsilon: f64,
    /// Regularisation of the factors, the lambda of the objective; 1e-5 by default.
    pub regularization: f64,
    /// Solver of the linear systems; `"cholesky"` by default.
    pub solver: Solver,
    /// Whether every user and every item has a bias; false by default.
    pub bias: bool,
    /// Random seed for the initial item factors; 1 by default.
    pub seed: u64,
}

impl Default for WmfConfig {
    fn default() -> Self {
        WmfConfig {
            factors: 50,
            iterations: 15,
            alpha: 2.0,
            epsilon: 1e-6,
            regularization: 1e-5,
            solver: Solver::Cholesky,
            bias: false,
            seed: 1,
        }
    }
}

/// Largest number of factors, with which a solve takes 16 MB per thread.
const MAX_FACTORS: usize = 2048;
/// Standard deviation of the initial item factors.
const FIRST_DEVIATION: f64 = 0.01;
/// Separates their random numbers from other uses of the same seed.
const FIRST_FACTORS: u64 = 0x776d_665f_6974_656d;

/// Why a factorization failed.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WmfError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error(transparent)]
    Matrix(#[from] CsrError),
    #[error("the matrix has no plays: {users} users, {items} items")]
    Empty { users: usize, items: usize },
    #[error("factors = {factors}, but there are only {count} {what}: set it to {count} or less")]
    TooManyFactors { factors: usize, count: usize, what: &'static str },
    #[error(
        "user {user} played item {item} {plays} times (rows and columns count from 0): a play count \
         must be above 0 and finite; leave out items that were not played"
    )]
    Plays { user: usize, item: usize, plays: f32 },
    #[error(
        "user {user}, item {item}: {plays} plays have the confidence {confidence}, which single precision \
         cannot tell from 1 or from infinity; change alpha or epsilon"
    )]
    Confidence { user: usize, item: usize, plays: f32, confidence: f64 },
    #[error("{what}: {found} values instead of {rows} rows of {columns}")]
    Shape { what: &'static str, found: usize, rows: usize, columns: usize },
    #[error("{what}: row {row} has a value that is not finite")]
    NotFinite { what: &'static str, row: usize },
    #[error(
        "the factors are too large for single precision (row {row}); increase regularization or use \
         fewer factors"
    )]
    Breakdown { row: usize },
    #[error(
        "regularization = {regularization} is too small: fewer users or items have plays than there are \
         factors; increase it, or lower factors"
    )]
    Indefinite { regularization: f64 },
}

impl WmfConfig {
    /// The confidence of a play count (P2, equation 2).
    pub fn confidence(&self, plays: f32) -> f32 {
        (1.0 + self.alpha * (f64::from(plays) / self.epsilon).ln_1p()) as f32
    }

    /// # Errors
    /// Names the first invalid value.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("factors", self.factors, 1, MAX_FACTORS)?;
        in_range("iterations", self.iterations, 1, 1_000_000)?;
        in_range("alpha", self.alpha, 1e-6, 1e6)?;
        in_range("epsilon", self.epsilon, 1e-12, 1e12)?;
        in_range("regularization", self.regularization, 1e-12, 1e12)
    }

    /// Length of a row of factors: the factors, then the bias.
    pub fn columns(&self) -> usize {
        self.factors + usize::from(self.bias)
    }

    /// `c - 1` for each entry of `plays`.
    fn confidences(&self, plays: &Csr) -> Result<Csr, WmfError> {
        let confidence = |plays: f32| self.alpha * (f64::from(plays) / self.epsilon).ln_1p();
        let find = |wrong: &(dyn Fn(f32) -> bool + Sync)| {
            (0..plays.n_rows()).into_par_iter().find_map_first(|user| {
                let (items, counts) = plays.row(user);
                let at = counts.iter().position(|count| wrong(*count))?;
                Some((user, items[at] as usize, counts[at]))
            })
        };
        // NaN fails.
        if let Some((user, item, plays)) = find(&|count| !(count > 0.0 && count.is_finite())) {
            return Err(WmfError::Plays { user, item, plays });
        }
        let usable = |more: f64| more > 1e-6 && more < 1e12;
        if let Some((user, item, plays)) = find(&|count| !usable(confidence(count))) {
            let confidence = 1.0 + confidence(plays);
            return Err(WmfError::Confidence { user, item, plays, confidence });
        }
        Ok(plays.map_values(|count| confidence(count) as f32)?)
    }

    /// Initial item factors, drawn from N(0, 0.01^2), with biases of 0.
    fn first_items(&self, items: usize) -> Vec<f32> {
        let columns = self.columns();
        let mut values = vec![0.0; items * columns];
        values.par_chunks_mut(columns).enumerate().for_each(|(item, row)| {
            for (block, four) in row[..self.factors].chunks_mut(4).enumerate() {
                let words = philox([self.seed, FIRST_FACTORS], [item as u64, block as u64, 0, 0]);
                let normal = normals(words);
                for (value, normal) in four.iter_mut().zip(normal) {
                    *value = (FIRST_DEVIATION * normal) as f32;
                }
            }
        });
        values
    }
}

/// Four standard normal numbers from 256 random bits (Box & Muller 1958).
fn normals(words: [u64; 4]) -> [f64; 4] {
    // Above 0 and at most 1, in steps of 2^-53.
    let unit = |word: u64| ((word >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64);
    let pair = |a: u64, b: u64| {
        let (radius, angle) = ((-2.0 * unit(a).ln()).sqrt(), std::f64::consts::TAU * unit(b));
        (radius * angle.cos(), radius * angle.sin())
    };
    let ((a, b), (c, d)) = (pair(words[0], words[1]), pair(words[2], words[3]));
    [a, b, c, d]
}

/// The factors of users and items, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// `[user, column]`, with [`WmfConfig::columns`] columns.
    pub users: Vec<f32>,
    /// `[item, column]`.
    pub items: Vec<f32>,
}

/// The result of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sweep {
    /// Number of completed sweeps, including this one.
    pub sweep: usize,
    /// The objective after the sweep.
    pub objective: f64,
}

/// A factorization in progress.
pub struct Wmf {
    config: WmfConfig,
    /// Confidences minus 1, by user and by item.
    by_user: Csr,
    by_item: Csr,
    factors: Factors,
    sweep: usize,
    width: Width,
    /// Memory for the transformed factors of the fixed side.
    transformed: Vec<f32>,
}

impl Wmf {
    /// A factorization before its first sweep, with random item factors.
    ///
    /// # Shapes
    /// - `plays`: `[user, item]`, play counts
    ///
    /// # Errors
    /// If the config or a play count is invalid.
    pub fn new(config: &WmfConfig, plays: &Csr) -> Result<Wmf, WmfError> {
        config.validate()?;
        let (users, items) = (plays.n_rows(), plays.n_columns());
        if plays.is_empty() {
            return Err(WmfError::Empty { users, items });
        }
        for (count, what) in [(items, "items"), (users, "users")] {
            let factors = config.factors;
            if factors > count {
                return Err(WmfError::TooManyFactors { factors, count, what });
            }
        }
        let by_user = config.confidences(plays)?;
        let by_item = by_user.transposed();
        let factors = Factors {
            users: vec![0.0; users * config.columns()],
            items: config.first_items(items),
        };
        Ok(Wmf {
            config: config.clone(),
            by_user,
            by_item,
            factors,
            sweep: 0,
            width: Width::best(),
            transformed: Vec::new(),
        })
    }

    /// Resumes from the factors after `sweep` sweeps. The results are bit-identical to those without an
    /// interruption.
    ///
    /// # Errors
    /// As [`Wmf::new`]; also if the factors have another shape or are not finite.
    pub fn resume(
        config: &WmfConfig,
        plays: &Csr,
        factors: Factors,
        sweep: usize,
    ) -> Result<Wmf, WmfError> {
        let columns = config.columns();
        check_factors("user factors", &factors.users, plays.n_rows(), columns)?;
        check_factors("item factors", &factors.items, plays.n_columns(), columns)?;
        Ok(Wmf { factors, sweep, ..Wmf::new(config, plays)? })
    }

    /// The factors after the last sweep.
    pub fn factors(&self) -> &Factors {
        &self.factors
    }

    /// The factors after the last sweep, without a copy.
    pub fn into_factors(self) -> Factors {
        self.factors
    }

    /// Number of completed sweeps.
    pub fn sweep(&self) -> usize {
        self.sweep
    }

    /// One sweep: all users, then all items.
    ///
    /// The result does not depend on the number of threads of the current rayon pool. `progress` receives, on any
    /// thread, the number of rows (users and items) solved since its last call.
    ///
    /// # Errors
    /// If a system cannot be solved; the factors are then invalid.
    pub fn run_sweep(&mut self, progress: &(dyn Fn(usize) + Sync)) -> Result<Sweep, WmfError> {
        let Factors { users, items } = &mut self.factors;
        let transformed = std::mem::take(&mut self.transformed);
        let side = FixedSide::new(&self.config, self.width, items, transformed)?;
        rows::solve(&self.config, &side, &self.by_user, users, progress)?;
        let side = FixedSide::new(&self.config, self.width, users, side.rows)?;
        let sum = rows::solve(&self.config, &side, &self.by_item, items, progress)?;
        let objective = sum + side.penalty;
        self.transformed = side.rows;
        self.sweep += 1;
        if !objective.is_finite() {
            return Err(WmfError::Breakdown { row: 0 });
        }
        Ok(Sweep { sweep: self.sweep, objective })
    }
}

/// The optimal factors of new items, given their plays and the factors of all users, as in the second half of a
/// sweep.
///
/// # Shapes
/// - `users`: `[user, column]`, with [`WmfConfig::columns`] columns
/// - `plays`: `[item, user]`; without a bias, the factors of an item without plays are 0
/// - returns: `[item, column]`
///
/// # Errors
/// If the config, a play count or a factor is invalid.
pub fn fold_in_items(config: &WmfConfig, users: &[f32], plays: &Csr) -> Result<Vec<f32>, WmfError> {
    config.validate()?;
    check_factors("user factors", users, plays.n_columns(), config.columns())?;
    if plays.n_columns() == 0 {
        return Err(WmfError::Empty { users: 0, items: plays.n_rows() });
    }
    let by_item = config.confidences(plays).map_err(|error| match error {
        // The rows are items here.
        WmfError::Plays { user, item, plays } => WmfError::Plays { user: item, item: user, plays },
        WmfError::Confidence { user, item, plays, confidence } => {
            WmfError::Confidence { user: item, item: user, plays, confidence }
        }
        other => other,
    })?;
    let exact = WmfConfig { solver: Solver::Cholesky, ..config.clone() };
    let side = FixedSide::new(&exact, Width::best(), users, Vec::new())?;
    let mut items = vec![0.0; plays.n_rows() * config.columns()];
    rows::solve(&exact, &side, &by_item, &mut items, &|_| {})?;
    Ok(items)
}

fn check_factors(
    what: &'static str,
    values: &[f32],
    rows: usize,
    columns: usize,
) -> Result<(), WmfError> {
    if rows.checked_mul(columns) != Some(values.len()) {
        return Err(WmfError::Shape { what, found: values.len(), rows, columns });
    }
    match values.par_iter().position_first(|value| !value.is_finite()) {
        Some(at) => Err(WmfError::NotFinite { what, row: at / columns }),
        None => Ok(()),
    }
}
