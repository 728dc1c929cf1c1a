//! What a person sees of long work: bars on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::audio::ScanProgress;
use crate::io::terminal::visible;
use crate::training::log::LogLine;

/// Makes the bars of a verb.
#[derive(Clone, Debug)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    /// `quiet` shows neither bars nor lines.
    pub fn new(quiet: bool) -> Progress {
        Progress { quiet }
    }

    fn bar(&self, name: &str, length: u64, template: &str) -> Bar {
        let name = visible(name);
        let target = match self.quiet {
            true => ProgressDrawTarget::hidden(),
            // Hidden by itself where stderr is no terminal.
            false => ProgressDrawTarget::stderr_with_hz(8),
        };
        let style = ProgressStyle::with_template(template)
            .expect("the template is one of those below")
            .progress_chars("█▉▊▋▌▍▎▏ ");
        let bar = ProgressBar::with_draw_target(Some(length), target)
            .with_style(style)
            .with_prefix(name.to_string());
        bar.enable_steady_tick(Duration::from_millis(500));
        let lines = !self.quiet && bar.is_hidden();
        Bar { bar, lines, name: name.to_string() }
    }

    /// For decoding a data set.
    pub fn scan(&self) -> Bar {
        self.bar("scan", 0, "{prefix} [{bar:30}] {pos}/{len} tracks  {msg}  {eta} left")
    }

    /// For a training run that stands at `step`.
    pub fn train(&self, name: &str, steps: u64, step: u64) -> Bar {
        let bar = self.bar(name, steps, "{prefix} [{bar:24}] {pos}/{len}  {msg}  {eta} left");
        bar.bar.set_position(step);
        bar.bar.reset_eta();
        bar
    }

    /// For the steps of a map.
    pub fn map(&self) -> Bar {
        self.bar("map", 0, "{prefix} [{bar:30}] {pos}/{len} steps  {eta} left")
    }

    /// For factorising: `rows` are solved in so many sweeps.
    pub fn factorize(&self, sweeps: usize, rows: u64) -> Bar {
        let name = format!("factorize ({sweeps} sweeps)");
        self.bar(&name, rows, "{prefix} [{bar:24}] {percent}%  {msg}  {eta} left")
    }

    /// For the sweeps of a factorisation that is a part of something else.
    pub fn sweeps(&self, count: usize) -> Bar {
        self.bar(
            "factorize",
            count as u64,
            "{prefix} [{bar:24}] {pos}/{len} sweeps  {msg}  {eta} left",
        )
    }

    /// For fitting what is fixed in a model.
    pub fn fit(&self) -> Bar {
        self.bar("fit", 0, "{prefix} [{bar:30}] {pos}/{len} excerpts  {msg}")
    }

    /// For predicting excerpts or files.
    pub fn predict(&self, name: &str) -> Bar {
        self.bar(name, 0, "{prefix} [{bar:30}] {pos}/{len} excerpts  {eta} left")
    }
}

/// One piece of long work.
pub struct Bar {
    bar: ProgressBar,
    /// Not on a terminal: say now and then how far it is.
    lines: bool,
    name: String,
}

impl Bar {
    /// Shows how many tracks are done, and how many of them are in quarantine.
    pub fn scan(&self, progress: ScanProgress) {
        self.bar.set_length(progress.total as u64);
        self.bar.set_position(progress.done as u64);
        if progress.quarantined > 0 {
            self.bar.set_message(format!("{} in quarantine", progress.quarantined));
        }
    }

    /// Shows how many of the excerpts or files are done.
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

    /// Shows how many rows of all sweeps have been solved.
    pub fn rows(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Shows a sweep of a factorisation that is a part of something else.
    pub fn sweep_of(&self, sweep: usize, objective: f64) {
        self.bar.set_position(sweep as u64);
        self.bar.set_message(format!("objective {objective:.5e}"));
    }

    /// Shows a sweep of a factorisation.
    pub fn sweep(&self, sweep: usize, objective: f64, seconds: f64) {
        self.bar.set_message(format!("sweep {sweep}  objective {objective:.5e}"));
        if self.lines {
            eprintln!("{} sweep {sweep}: objective {objective:.6e}, {seconds:.1} s", self.name);
        }
    }

    /// Shows a line of the training log.
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

    /// Shows a validation.
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

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
