//! The training loop: any network, any loss, any data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use models::Network;

use crate::data::batch::{Batch, BatchInputs, SampleFormat};
use crate::data::examples::Examples;
use crate::data::prefetch::Prefetch;
use crate::data::sampler::ExcerptSampler;
use crate::error::{Error, Result};
use crate::experiment::Training;
use crate::rng::philox;
use crate::training::clip::clip_by_global_norm;
use crate::training::clock::Clock;
use crate::training::finite;
use crate::training::log::LogLine;
use crate::training::objective::Objective;
use crate::training::parameter_groups::ParamGroups;
use crate::training::state::LoopState;

/// Batches prepared ahead of the step that uses them.
const PREFETCH: usize = 4;

/// What the loop hands to its caller.
pub enum Event<'a, N> {
    /// A line for the log.
    Log(LogLine),
    /// Time to validate and to save. The caller updates the state, saves, and returns whether training continues.
    Checkpoint {
        /// The model after the last step.
        model: &'a N,
        /// The optimizer after the last step.
        optimizer: &'a ModuleOptimizer,
        /// The loop's state; the caller updates `best` and `since_best`.
        state: &'a mut LoopState,
        /// Whether a validation is due; if not, only save.
        validate: bool,
    },
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Steps,
    /// No new best for `training.patience` validations.
    Patience,
    /// `stop` was set; everything is saved.
    Interrupted,
}

/// What a training run is made from, apart from the model.
pub struct Trainer<'a> {
    /// Steps, batch size, optimizer and schedule.
    pub config: &'a Training,
    /// Excerpts, dropout and everything else that is random depend on the seed and the step only.
    pub seed: u64,
    /// The training split.
    pub examples: &'a Arc<Examples>,
    /// The loss and what it needs.
    pub objective: &'a Objective<'a>,
    /// Where the model is, without autodiff.
    pub device: &'a Device,
    /// Whether reading a loss costs nothing because the device has computed it already, as CPUs have.
    pub eager: bool,
    /// Set when the user asks to stop.
    pub stop: &'a AtomicBool,
}

impl Trainer<'_> {
    /// Trains `model` from `state` to the last step and returns it.
    ///
    /// # Errors
    /// [`Error::Diverged`] if a loss is not finite, with the step and its tracks; errors of reading audio and of `on_event`.
    pub fn train<N: Network>(
        &self,
        mut model: N,
        mut optimizer: ModuleOptimizer,
        state: &mut LoopState,
        mut on_event: impl FnMut(Event<'_, N>) -> Result<bool>,
    ) -> Result<(N, End)> {
        let config = self.config;
        let device = self.device.clone().autodiff();
        let groups = ParamGroups::new(&model, &config.frozen, &config.learning_rates)?;
        model = groups.freeze(model);
        let mut batches = self.batches(state.step);
        let mut losses = LossWindow::new(if self.eager { 1 } else { config.log_every });
        let mut clock = Clock::start(state.seconds);

        if config.steps == 0 {
            // The model has a fitted part only; save it.
            let (model, optimizer) = (&model, &optimizer);
            on_event(Event::Checkpoint { model, optimizer, state, validate: true })?;
        }
        if state.step > 0 && config.patience.is_some_and(|patience| state.since_best >= patience) {
            return Ok((model, End::Patience));
        }
        while state.step < config.steps {
            let batch = clock.wait(|| batches.next()).expect("one batch per step")?;
            // Dropout draws from the device's generator: its state must depend on the step only.
            device.seed(philox([self.seed, 3], [state.step, 0, 0, 0])[0]);

            let tracks: Vec<usize> = batch.excerpts.iter().map(|excerpt| excerpt.track).collect();
            let (inputs, targets) = batch.to_device(&device);
            let outputs = config.precision.during(|| model.learned(inputs));
            let loss = self.objective.forward(outputs, targets, &tracks);
            losses.push(state.step, loss.clone().inner());
            if losses.is_full() {
                // Before the update: the weights are still those that gave the loss.
                losses.read(state).map_err(|step| self.diverged(step, &model))?;
            }

            let mut gradients = GradientsParams::from_grads(loss.backward(), &model);
            let mut norm = None;
            if let Some(limit) = config.clip_norm {
                (gradients, norm) = clip_by_global_norm(&model, gradients, limit);
            }
            let factor = config.schedule.factor(state.step, config.steps, config.warmup_steps);
            let learning_rate = config.optimizer.learning_rate() * factor;
            model = groups.step(&mut optimizer, learning_rate, model, gradients);
            state.step += 1;

            let last = state.step == config.steps;
            let interrupted = self.stop.load(Ordering::Relaxed);
            let validate = last || state.step.is_multiple_of(config.valid_every);
            let log = last || state.step.is_multiple_of(config.log_every);
            if log || validate || interrupted {
                losses.read(state).map_err(|step| self.diverged(step, &model))?;
            }
            if log {
                let lap = clock.lap();
                state.seconds = clock.total();
                on_event(Event::Log(LogLine::Train {
                    step: state.step,
                    loss: state.take_mean_loss(),
                    learning_rate,
                    excerpts_per_second: (lap.steps * config.batch_size as u64) as f64
                        / lap.seconds,
                    waiting: lap.waited / lap.seconds,
                    gradient_norm: norm.map(|norm| f64::from(norm.into_scalar::<f32>())),
                }))?;
            }
            if validate || interrupted {
                state.seconds = clock.total();
                let (model_now, optimizer) = (&model, &optimizer);
                let event = Event::Checkpoint { model: model_now, optimizer, state, validate };
                let continues = clock.pause(|| on_event(event))?;
                match (last, interrupted, continues) {
                    (false, true, _) => return Ok((model, End::Interrupted)),
                    (false, false, false) => return Ok((model, End::Patience)),
                    _ => {}
                }
            }
        }
        Ok((model, End::Steps))
    }

    fn sampler(&self) -> ExcerptSampler {
        let (excerpt, lengths) = (self.examples.excerpt_length(), self.examples.lengths());
        ExcerptSampler::new(
            self.seed,
            self.config.batch_size,
            excerpt,
            self.examples.grain(),
            lengths,
        )
    }

    /// The batches of the steps from `first` on.
    fn batches(&self, first: u64) -> Prefetch<Batch> {
        let (sampler, examples) = (self.sampler(), self.examples.clone());
        let (rows, format) = (self.config.batch_size, SampleFormat::for_device(self.device));
        Prefetch::new(first, self.config.steps, PREFETCH, move |step| {
            examples.batch(sampler.batch(step), rows, format)
        })
    }

    /// Explains why the loss of `step` (from 0) is not finite.
    fn diverged<N: Network>(&self, step: u64, model: &N) -> Error {
        let excerpts = self.sampler().batch(step);
        let name = |track: usize| self.examples.ids[track].as_str();
        let rows = excerpts.len();
        let batch = self.examples.batch(excerpts.clone(), rows, SampleFormat::Float32).ok();
        let bad_track = batch.and_then(|batch| {
            let BatchInputs::Float32(values) = &batch.inputs else { return None };
            let width = values.len() / rows.max(1);
            let row = values.iter().position(|value| !value.is_finite())? / width.max(1);
            Some(name(batch.excerpts[row].track))
        });
        let remedy = "lower training.optimizer.learning_rate, or set training.clip_norm";
        let cause = match (bad_track, finite::first_not_finite(&model.valid())) {
            (Some(track), _) => {
                format!("track {track} contains a value that is not finite; repair or remove it")
            }
            // On other devices later steps may have changed the weights already.
            (None, Some(weights)) if self.eager => format!(
                "the weights {weights} are not finite since the step before, whose gradient was not finite or too \
                 large; {remedy}"
            ),
            _ => format!("its inputs are finite, so the weights have grown too large; {remedy}"),
        };
        let mut tracks: Vec<&str> = excerpts.iter().map(|excerpt| name(excerpt.track)).collect();
        tracks.dedup();
        Error::Diverged(format!(
            "the loss of step {} is not finite: {cause}. Its batch held the tracks {}. Earlier checkpoints are kept",
            step + 1,
            tracks.join(", ")
        ))
    }
}

/// Losses that are still on the device. Reading one makes the host wait for a GPU, so they are read together.
struct LossWindow {
    losses: Vec<(u64, Tensor<1>)>,
    size: usize,
}

impl LossWindow {
    fn new(size: u64) -> Self {
        Self { losses: Vec::new(), size: size.clamp(1, 1000) as usize }
    }

    fn push(&mut self, step: u64, loss: Tensor<1>) {
        self.losses.push((step, loss));
    }

    fn is_full(&self) -> bool {
        self.losses.len() >= self.size
    }

    /// Adds the losses to the state, in order; fails with the first step whose loss is not finite.
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
