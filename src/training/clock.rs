//! Where the time of a training run goes: steps, waiting for batches, and pauses that count as neither.

use std::time::Instant;

/// Counts steps and seconds.
pub struct Clock {
    /// Seconds of earlier sessions.
    before: f64,
    started: Instant,
    paused: f64,
    lap_start: f64,
    waited: f64,
    steps: u64,
}

/// What happened since the last lap.
pub struct Lap {
    /// Steps taken.
    pub steps: u64,
    /// Seconds spent waiting for batches.
    pub waited: f64,
    /// Seconds of training, pauses left out.
    pub seconds: f64,
}

impl Clock {
    /// Starts the clock of a run that has trained for `before` seconds already.
    pub fn start(before: f64) -> Self {
        let started = Instant::now();
        Self { before, started, paused: 0.0, lap_start: 0.0, waited: 0.0, steps: 0 }
    }

    fn running(&self) -> f64 {
        self.started.elapsed().as_secs_f64() - self.paused
    }

    /// Seconds of training over all sessions.
    pub fn total(&self) -> f64 {
        self.before + self.running()
    }

    /// Counts a step and the time until its batch arrives.
    pub fn wait<T>(&mut self, batch: impl FnOnce() -> T) -> T {
        let from = Instant::now();
        let result = batch();
        self.waited += from.elapsed().as_secs_f64();
        self.steps += 1;
        result
    }

    /// Runs something that is not training, such as validation.
    pub fn pause<T>(&mut self, other: impl FnOnce() -> T) -> T {
        let from = Instant::now();
        let result = other();
        self.paused += from.elapsed().as_secs_f64();
        result
    }

    /// Ends a lap.
    pub fn lap(&mut self) -> Lap {
        let now = self.running();
        let seconds = (now - std::mem::replace(&mut self.lap_start, now)).max(1e-9);
        Lap {
            steps: std::mem::take(&mut self.steps),
            waited: std::mem::take(&mut self.waited),
            seconds,
        }
    }
}
