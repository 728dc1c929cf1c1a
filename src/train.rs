//! The training loop: any model, any loss, any data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use models::Network;

use crate::ahead::{Ahead, Work};
use crate::batch::{Batch, BatchInputs, BegunBatch, Form};
use crate::checkpoint::LoopState;
use crate::clip::clip_by_global_norm;
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::excerpts::ExcerptSampler;
use crate::experiment::Training;
use crate::finite;
use crate::loader::Loader;
use crate::log::LogLine;
use crate::objective::Objective;
use crate::param_groups::ParamGroups;
use crate::rng::philox;

/// What the loop hands to its caller.
pub enum Event<'a, N> {
    /// A line for the log.
    Log(LogLine),
    /// Time to validate and to save. The caller updates the state, saves, and says whether
    /// training goes on; `validate` is false when only saving is due.
    Checkpoint {
        /// With the weights of the last step.
        model: &'a N,
        /// With its moments after that step.
        optimizer: &'a ModuleOptimizer,
        /// Where the loop stands; the best so far and the validations since then are the caller's to update.
        state: &'a mut LoopState,
        /// Whether a validation is due, not only a save.
        validate: bool,
    },
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Steps,
    /// The caller stopped it: no new best for long enough.
    Patience,
    /// `stop` was set; everything is saved.
    Interrupted,
}

/// Trains `model` from where `state` stands to the last step, and returns it.
///
/// `device` is the plain device; gradients are kept on its differentiating twin, where `model` is.
/// What happens at a step depends on `seed` and the step alone.
///
/// # Errors
/// [`Error::Diverged`] if a loss is not finite, naming step and tracks; errors of reading audio and
/// of `on_event`.
#[allow(clippy::too_many_arguments, reason = "the parts of a training run, each used once")]
pub fn train<N: Network>(
    mut model: N,
    mut optimizer: ModuleOptimizer,
    state: &mut LoopState,
    training: &Training,
    objective: &Objective<'_>,
    seed: u64,
    examples: &Arc<Examples>,
    device: &Device,
    eager: bool,
    stop: &AtomicBool,
    mut on_event: impl FnMut(Event<'_, N>) -> Result<bool>,
) -> Result<(N, End)> {
    let tracked = device.clone().autodiff();
    let order = sampler(examples, seed, training);
    let mut batches = batches(examples, order, training, state.step, Form::of(&model, device));
    let mut window = Window::new(if eager { 1 } else { training.log_every });
    let mut clock = Clock::start(state.seconds);
    let groups = ParamGroups::new(&model, &training.frozen, &training.learning_rates)?;
    model = groups.freeze(model);

    if training.steps == 0 {
        // Nothing is learned step by step: what was fitted is all there is.
        on_event(Event::Checkpoint {
            model: &model,
            optimizer: &optimizer,
            state,
            validate: true,
        })?;
    }
    if state.step > 0 && training.patience.is_some_and(|patience| state.since_best >= patience) {
        // It was at its end already, and may just not have come to say so.
        return Ok((model, End::Patience));
    }
    while state.step < training.steps {
        let batch = clock.waiting(|| batches.next()).ok_or_else(|| {
            Error::Data("a thread that makes batches failed; its message stands above".into())
        })??;
        // Dropout draws from the device's generator; its state is thus a function of the step too.
        tracked.seed(philox([seed, 3], [state.step, 0, 0, 0])[0]);

        let tracks: Vec<usize> = batch.excerpts.iter().map(|excerpt| excerpt.track).collect();
        let (inputs, targets) = batch.onto(&tracked);
        let outputs = training.precision.during(|| inputs.learned_by(&model));
        let loss = objective.forward(outputs, targets, &tracks);
        window.push(state.step, loss.clone().inner());
        if window.is_full() {
            // Before the update: the weights are still those that the loss came from.
            let cause = |step| diverged(examples, step, seed, training, &model, eager);
            window.read(state).map_err(cause)?;
        }
        let mut gradients = GradientsParams::from_grads(loss.backward(), &model);
        let mut norm = None;
        if let Some(limit) = training.clip_norm {
            (gradients, norm) = clip_by_global_norm(&model, gradients, limit);
        }
        let factor = training.schedule.factor(state.step, training.steps, training.warmup_steps);
        let learning_rate = training.optimizer.learning_rate() * factor;
        model = match groups.is_one() {
            true => optimizer.step(learning_rate, model, gradients),
            false => {
                let parts = groups.split(&model, gradients);
                parts.into_iter().fold(model, |model, (factor, part)| {
                    optimizer.step(learning_rate * factor, model, part)
                })
            }
        };
        state.step += 1;

        let interrupted = stop.load(Ordering::Relaxed);
        let last = state.step == training.steps;
        let validate = last || state.step.is_multiple_of(training.valid_every);
        let log = last || state.step.is_multiple_of(training.log_every);
        if log || validate || interrupted {
            let cause = |step| diverged(examples, step, seed, training, &model, eager);
            window.read(state).map_err(cause)?;
        }
        if log {
            let (steps, waiting, seconds) = clock.lap();
            state.seconds = clock.total();
            on_event(Event::Log(LogLine::Train {
                step: state.step,
                loss: state.loss_sum / state.loss_count as f64,
                learning_rate,
                excerpts_per_second: (steps * training.batch_size as u64) as f64 / seconds,
                waiting: waiting / seconds,
                gradient_norm: norm.map(|norm| f64::from(norm.into_scalar::<f32>())),
            }))?;
            (state.loss_sum, state.loss_count) = (0.0, 0);
        }
        if validate || interrupted {
            state.seconds = clock.total();
            let go_on = clock.paused(|| {
                on_event(Event::Checkpoint {
                    model: &model,
                    optimizer: &optimizer,
                    state,
                    validate,
                })
            })?;
            if interrupted && !last {
                return Ok((model, End::Interrupted));
            }
            if !go_on && !last {
                return Ok((model, End::Patience));
            }
        }
    }
    Ok((model, End::Steps))
}

/// Batches that are made before they are asked for, of each thread that makes any.
const AHEAD: u64 = 4;

/// Batches from step `first` on, made ahead: by the threads that compute, or by some of their own if
/// `training.loader_threads` asks for them.
fn batches(
    examples: &Arc<Examples>,
    sampler: ExcerptSampler,
    training: &Training,
    first: u64,
    form: Form,
) -> Box<dyn Iterator<Item = Result<Batch>>> {
    let rows = training.batch_size;
    let batches = Batches { examples: examples.clone(), sampler, rows, form };
    match training.loader_threads {
        0 => Box::new(Ahead::new(first, training.steps, AHEAD, batches)),
        threads => {
            let make = move |step| batches.make(step);
            Box::new(Loader::new(first, training.steps, threads, AHEAD as usize, make))
        }
    }
}

/// The batches of a run, by their step.
struct Batches {
    examples: Arc<Examples>,
    sampler: ExcerptSampler,
    rows: usize,
    form: Form,
}

/// Numbers that a piece of a batch has at least: enough work to be worth a task, and some hundredths of a
/// millisecond of it at most where excerpts are short.
const PIECE: usize = 1 << 14;

impl Batches {
    fn make(&self, step: u64) -> Result<Batch> {
        self.examples.batch(self.sampler.batch(step), self.rows, self.form)
    }

    /// Excerpts of a piece.
    fn rows_of_piece(&self) -> usize {
        PIECE.div_ceil(self.examples.width().max(1))
    }
}

impl Work for Batches {
    type Begun = BegunBatch;
    type Item = Result<Batch>;

    fn begin(&self, step: u64) -> (BegunBatch, usize) {
        let batch = self.examples.begin(self.sampler.batch(step), self.rows, self.form);
        let pieces = batch.missing().len().div_ceil(self.rows_of_piece());
        (batch, pieces)
    }

    fn piece(&self, batch: &BegunBatch, piece: usize) {
        let first = piece * self.rows_of_piece();
        let end = (first + self.rows_of_piece()).min(batch.missing().len());
        batch.missing()[first..end].iter().for_each(|&row| self.examples.fetch(batch, row));
    }

    fn finish(&self, batch: BegunBatch) -> Result<Batch> {
        batch.finish()
    }
}

fn sampler(examples: &Examples, seed: u64, training: &Training) -> ExcerptSampler {
    let (excerpt, lengths) = (examples.excerpt_length(), examples.lengths());
    ExcerptSampler::new(seed, training.batch_size, excerpt, examples.grain(), lengths)
}

/// Why the loss of `step` (from 0) is not finite. With `eager` the model is the one that gave it; else later
/// steps may have spoilt it.
fn diverged<N: Network>(
    examples: &Examples,
    step: u64,
    seed: u64,
    training: &Training,
    model: &N,
    eager: bool,
) -> Error {
    let excerpts = sampler(examples, seed, training).batch(step);
    let name = |track: usize| examples.ids[track].as_str();
    let rows = excerpts.len();
    let batch = examples.batch(excerpts.clone(), rows, Form::Numbers).ok();
    let spoilt_track = batch.and_then(|batch| {
        let BatchInputs::Numbers(values) = &batch.inputs else { return None };
        let width = values.len() / rows.max(1);
        let row = values.iter().position(|value| !value.is_finite())? / width.max(1);
        Some(name(batch.excerpts[row].track))
    });
    let spoilt_weights = finite::first_not_finite(&model.valid());
    let cause = match (spoilt_track, spoilt_weights) {
        (Some(track), _) => {
            format!("track {track} holds a value that is not finite: put it right, or take it out")
        }
        (None, Some(weights)) if eager => format!(
            "the weights {weights} are not finite since the step before, whose gradient was not or was too \
             large. Lower training.optimizer.learning_rate, or set training.clip_norm"
        ),
        _ => "its inputs are finite, so the weights have grown too large. Lower \
              training.optimizer.learning_rate, or set training.clip_norm"
            .into(),
    };
    let mut tracks: Vec<&str> = excerpts.iter().map(|excerpt| name(excerpt.track)).collect();
    tracks.dedup();
    Error::Diverged(format!(
        "the loss of step {} is not finite: {cause}. Its batch held the tracks {}. Earlier checkpoints are kept",
        step + 1,
        tracks.join(", ")
    ))
}

/// Losses that are still on the device. Reading one makes the host wait for a GPU, so they are
/// read together.
struct Window {
    losses: Vec<(u64, Tensor<1>)>,
    size: usize,
}

impl Window {
    fn new(size: u64) -> Window {
        Window { losses: Vec::new(), size: size.clamp(1, 1000) as usize }
    }

    fn push(&mut self, step: u64, loss: Tensor<1>) {
        self.losses.push((step, loss));
    }

    fn is_full(&self) -> bool {
        self.losses.len() >= self.size
    }

    /// Adds the losses to the state, in order; the first step whose loss is not finite is the
    /// error.
    fn read(&mut self, state: &mut LoopState) -> Result<(), u64> {
        if self.losses.is_empty() {
            return Ok(());
        }
        let (steps, losses): (Vec<u64>, Vec<Tensor<1>>) = self.losses.drain(..).unzip();
        let values = Tensor::cat(losses, 0).into_data().convert::<f32>();
        for (step, value) in steps.into_iter().zip(values.iter::<f32>()) {
            if !value.is_finite() {
                return Err(step);
            }
            state.loss_sum += f64::from(value);
            state.loss_count += 1;
        }
        Ok(())
    }
}

/// Where the time goes: training, waiting for batches, and what does not count as either.
struct Clock {
    /// Seconds of earlier sessions.
    before: f64,
    started: Instant,
    paused: f64,
    /// When the lap began, in seconds of this session's training.
    lap: f64,
    waited: f64,
    steps: u64,
}

impl Clock {
    fn start(before: f64) -> Clock {
        Clock { before, started: Instant::now(), paused: 0.0, lap: 0.0, waited: 0.0, steps: 0 }
    }

    fn running(&self) -> f64 {
        self.started.elapsed().as_secs_f64() - self.paused
    }

    /// Seconds of training over all sessions.
    fn total(&self) -> f64 {
        self.before + self.running()
    }

    /// Counts a step, and the time until its batch was there.
    fn waiting<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let from = Instant::now();
        let result = wait();
        self.waited += from.elapsed().as_secs_f64();
        self.steps += 1;
        result
    }

    /// Runs what is not training.
    fn paused<T>(&mut self, other: impl FnOnce() -> T) -> T {
        let from = Instant::now();
        let result = other();
        self.paused += from.elapsed().as_secs_f64();
        result
    }

    /// Steps, seconds waited and seconds since the last lap.
    fn lap(&mut self) -> (u64, f64, f64) {
        let now = self.running();
        let seconds = (now - std::mem::replace(&mut self.lap, now)).max(1e-9);
        (std::mem::take(&mut self.steps), std::mem::take(&mut self.waited), seconds)
    }
}
