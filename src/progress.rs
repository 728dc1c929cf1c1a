//! Progress of long work: bars on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::audio::ScanProgress;
use crate::io::terminal::escape_for_terminal;
use crate::training::log::LogLine;

/// Creates progress bars.
#[derive(Clone, Debug)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    /// `quiet` shows neither bars nor lines.
    pub fn new(quiet: bool) -> Progress {
        Progress { quiet }
    }

    /// A bar of `width` characters between the name and `position`, a template of indicatif.
    fn bar(&self, name: &str, length: u64, width: u16, position: &str) -> Bar {
        let name = escape_for_terminal(name);
        let target = match self.quiet {
            true => ProgressDrawTarget::hidden(),
            // Hidden automatically if standard error is not a terminal.
            false => ProgressDrawTarget::stderr_with_hz(8),
        };
        let style =
            ProgressStyle::with_template(&format!("{{prefix}} [{{bar:{width}}}] {position}"))
                .expect("the template is one of those below")
                .progress_chars("█▉▊▋▌▍▎▏ ");
        let bar = ProgressBar::with_draw_target(Some(length), target)
            .with_style(style)
            .with_prefix(name.to_string());
        bar.enable_steady_tick(Duration::from_millis(500));
        let lines = !self.quiet && bar.is_hidden();
        Bar { bar, lines, name: name.to_string() }
    }

    /// For decoding a dataset.
    pub fn scan(&self) -> Bar {
        self.bar("scan", 0, 30, "{pos}/{len} tracks  {msg}  {eta} left")
    }

    /// For a training run of `steps` steps of which `step` are done.
    pub fn train(&self, name: &str, steps: u64, step: u64) -> Bar {
        let bar = self.bar(name, steps, 24, "{pos}/{len}  {msg}  {eta} left");
        bar.bar.set_position(step);
        bar.bar.reset_eta();
        bar
    }

    /// For the steps of a map.
    pub fn map(&self) -> Bar {
        self.bar("map", 0, 30, "{pos}/{len} steps  {eta} left")
    }

    /// For a factorization that solves `rows` rows in `sweeps` sweeps.
    pub fn factorize(&self, sweeps: usize, rows: u64) -> Bar {
        let name = format!("factorize ({sweeps} sweeps)");
        self.bar(&name, rows, 24, "{percent}%  {msg}  {eta} left")
    }

    /// For the sweeps of a factorization that precedes training.
    pub fn sweeps(&self, count: usize) -> Bar {
        self.bar("factorize", count as u64, 24, "{pos}/{len} sweeps  {msg}  {eta} left")
    }

    /// For fitting the parts of a model that training does not change.
    pub fn fit(&self) -> Bar {
        self.bar("fit", 0, 30, "{pos}/{len} excerpts  {msg}")
    }

    /// For predicting excerpts or files.
    pub fn predict(&self, name: &str) -> Bar {
        self.bar(name, 0, 30, "{pos}/{len} excerpts  {eta} left")
    }
}

/// The progress of one piece of work.
pub struct Bar {
    bar: ProgressBar,
    /// Whether to print lines, because standard error is not a terminal.
    lines: bool,
    name: String,
}

impl Bar {
    /// Shows how many tracks are finished and how many of them are in quarantine.
    pub fn scan(&self, progress: ScanProgress) {
        self.predict(progress.done, progress.total);
        if progress.quarantined > 0 {
            self.bar.set_message(format!("{} in quarantine", progress.quarantined));
        }
    }

    /// Shows how many of the excerpts or files are finished.
    pub fn predict(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    /// Shows what is being fitted.
    pub fn fit(&self, what: &str) {
        let stage = |text: &str| text.split(',').next().unwrap_or_default().to_string();
        if self.lines && stage(what) != stage(&self.bar.message()) {
            eprintln!("{}: {}", self.name, stage(what));
        }
        self.bar.set_message(what.to_string());
    }

    /// Shows how many rows have been solved in all sweeps together.
    pub fn rows(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Shows a sweep of a factorization that precedes training.
    pub fn sweep_of(&self, sweep: usize, objective: f64) {
        self.bar.set_position(sweep as u64);
        self.bar.set_message(format!("objective {objective:.5e}"));
    }

    /// Shows a sweep of a factorization.
    pub fn sweep(&self, sweep: usize, objective: f64, seconds: f64) {
        self.bar.set_message(format!("sweep {sweep}  objective {objective:.5e}"));
        if self.lines {
            eprintln!("{} sweep {sweep}: objective {objective:.6e}, {seconds:.1} s", self.name);
        }
    }

    /// Shows a training line of the log.
    pub fn train(&self, line: &LogLine) {
        if let LogLine::Train { step, loss, excerpts_per_second, .. } = line {
            self.bar.set_position(*step);
            let message = self.bar.message();
            let valid = message.split_once("  |").map_or("", |(_, valid)| valid);
            self.bar.set_message(format!(
                "loss {loss:.4}  {excerpts_per_second:.0} excerpts/s  |{valid}"
            ));
        }
    }

    /// Shows a validation line of the log.
    pub fn valid(&self, line: &LogLine, metric: &str) {
        if let LogLine::Valid { step, metrics, best } = line {
            let value = |name: &str| metrics.get(name).copied().flatten();
            let shown = value(metric).map_or("undefined".into(), |value| format!("{value:.4}"));
            let mark = if *best { " (best)" } else { "" };
            let message = self.bar.message();
            let train = message.split_once("  |").map_or("", |(train, _)| train).to_string();
            self.bar.set_message(format!("{train}  | valid {metric} {shown}{mark}"));
            if self.lines {
                let length = self.bar.length().unwrap_or(0);
                eprintln!(
                    "{} step {step}/{length}: {train}  valid {metric} {shown}{mark}",
                    self.name
                );
            }
        }
    }

    /// Removes the bar from the terminal.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
