//! Times training steps or predictions of a network on a device, and the parts of a step.
//!
//! Batches are noise in memory, so loading audio is not included. A training run prefetches batches, by default on the
//! threads that compute, so its steps take longer than shown here on machines with few cores or a slow disk.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use kernels::pcm16;
use kernels::precision::Precision;
use models::{Fitted, Model, Network, NetworkConfig};
use serde::Serialize;

use crate::data::batch::{Batch, BatchInputs, SampleFormat};
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, Loss};
use crate::rng::philox;
use crate::runs::model;

/// Untimed steps at the start, which compile kernels and allocate buffers.
const WARM_UP: usize = 3;

/// The settings of a benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of timed steps, at least one.
    pub steps: usize,
    /// Number of outputs of the network.
    pub outputs: usize,
    /// Time forward passes without gradients instead of training steps.
    pub inference: bool,
}

/// The result of a benchmark; all times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The value of `--device` and the name of the hardware.
    pub device: String,
    /// Excerpts per step.
    pub batch_size: usize,
    /// A complete step, from a batch in host memory to the updated weights.
    pub step_ms: Times,
    /// Medians of the parts of a step. The device is synchronised after each part, so their sum exceeds a step where the
    /// device otherwise works asynchronously.
    pub stages_ms: Stages,
    /// Batch size divided by the median step.
    pub excerpts_per_second: f64,
    /// Peak host memory of the process so far, if the system reports it.
    pub peak_memory_bytes: Option<u64>,
}

/// Statistics of the timed steps, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// For an even number of steps, the mean of the two middle ones.
    pub median: f64,
    /// The fastest step.
    pub min: f64,
}

/// The parts of a step, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stages {
    /// Copying a batch from host memory to the device.
    pub load: f64,
    /// The front end alone, without gradients; 0 if the network has none.
    pub front_end: f64,
    /// Forward pass and loss, without the front end.
    pub forward: f64,
    /// All gradients.
    pub backward: f64,
    /// The update of the weights.
    pub optimizer: f64,
}

/// Times the network of an experiment with its batch size and excerpt length.
///
/// # Errors
/// [`Error::Config`] if the network must first be fitted to data, [`Error::Device`] if the device fails.
pub fn bench(experiment: &Experiment, device: &DeviceInfo, plan: Plan) -> Result<Measured> {
    if experiment.model.is_fitted() {
        return Err(Error::Config(format!(
            "model.name is {:?}, whose features must be fitted to music first; use `train`, which prints its speed",
            experiment.model.name()
        )));
    }
    device.suits(&experiment.training)?;
    let tracked = match plan.inference {
        true => device.device.clone(),
        false => device.device.clone().autodiff(),
    };
    let mut model = model::initial(experiment, plan.outputs, &Fitted::default(), &device.device)?;
    if plan.inference {
        model = model.valid();
    }
    let rows = experiment.training.batch_size;
    let format = SampleFormat::for_device(&device.device);
    let batch = noise(rows, experiment.excerpt_samples(), plan.outputs, format);
    let loss = match experiment.training.loss {
        // Without listening data it reduces to this one.
        Loss::WeightedPredictionError => Loss::MeanSquaredError,
        loss => loss,
    };
    let mut runner = Runner {
        model: Some(model),
        optimizer: experiment.training.optimizer.init(),
        learning_rate: experiment.training.optimizer.learning_rate(),
        loss,
        precision: match plan.inference {
            true => Precision::Single,
            false => experiment.training.precision,
        },
        inference: plan.inference,
        tracked,
        host: device.device.clone(),
    };
    for _ in 0..WARM_UP {
        runner.step(batch.clone(), &mut |_| Ok(()))?;
    }
    let mut whole = Vec::new();
    for _ in 0..plan.steps.max(1) {
        // A copy in host memory, as prefetching provides it.
        let made = batch.clone();
        let began = Instant::now();
        runner.step(made, &mut |_| Ok(()))?;
        runner.wait()?;
        whole.push(milliseconds(began));
    }
    let mut stages: [Vec<f64>; 5] = Default::default();
    for _ in 0..plan.steps.clamp(1, 10) {
        stages[Part::FrontEnd as usize].push(runner.front_end(&batch)?.unwrap_or(0.0));
        let (made, device) = (batch.clone(), runner.tracked.clone());
        let mut began = Instant::now();
        runner.step(made, &mut |part| {
            wait(&device)?;
            stages[part as usize].push(milliseconds(began));
            began = Instant::now();
            Ok(())
        })?;
    }
    let [load, front_end, both, backward, optimizer] = stages.map(|mut times| median(&mut times));
    let step_ms = Times {
        min: whole.iter().copied().fold(f64::INFINITY, f64::min),
        median: median(&mut whole),
    };
    Ok(Measured {
        device: format!("{} ({})", device.id, device.name),
        batch_size: rows,
        step_ms,
        stages_ms: Stages {
            load,
            front_end,
            forward: (both - front_end).max(0.0),
            backward,
            optimizer,
        },
        excerpts_per_second: rows as f64 * 1000.0 / step_ms.median,
        peak_memory_bytes: peak_memory(),
    })
}

/// A batch of uniform noise from -0.5 to 0.5.
fn noise(rows: usize, samples: usize, outputs: usize, format: SampleFormat) -> Batch {
    let bits = |at: usize| philox([1, 98], [at as u64, 0, 0, 0])[0];
    let value = |at: usize| (bits(at) >> 40) as f32 / (1 << 24) as f32;
    let inputs = match format {
        SampleFormat::Float32 => {
            BatchInputs::Float32((0..rows * samples).map(|at| value(at) - 0.5).collect())
        }
        SampleFormat::Int16 => BatchInputs::Int16 {
            words: (0..rows * pcm16::words(samples)).map(|at| bits(at) as i32).collect(),
            scales: vec![1.0 / 65_536.0; rows],
            samples,
        },
    };
    let targets = (0..rows * outputs).map(|at| (value(at) + 0.1).floor()).collect();
    Batch { inputs, targets, excerpts: Vec::new(), rows }
}

/// The parts of a step, in the order of [`Stages`].
#[derive(Clone, Copy, Debug)]
enum Part {
    Load,
    FrontEnd,
    Forward,
    Backward,
    Optimizer,
}

struct Runner {
    model: Option<Model>,
    optimizer: burn::optim::ModuleOptimizer,
    learning_rate: f64,
    loss: Loss,
    precision: Precision,
    inference: bool,
    tracked: Device,
    host: Device,
}

impl Runner {
    /// Runs one step and calls `done` after each part.
    fn step(&mut self, batch: Batch, done: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
        let (inputs, targets) = batch.to_device(&self.tracked);
        done(Part::Load)?;
        let model = self.model.take().expect("put back below");
        let logits = self.precision.during(|| model.learned(inputs));
        if self.inference {
            let _ = logits.into_data();
            done(Part::Forward)?;
            self.model = Some(model);
        } else {
            let loss = self.loss.forward(logits, targets);
            done(Part::Forward)?;
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            done(Part::Backward)?;
            self.model = Some(self.optimizer.step(self.learning_rate, model, gradients));
        }
        if !self.inference {
            done(Part::Optimizer)?;
        }
        Ok(())
    }

    /// Milliseconds of the front end alone; `None` if the network has none.
    fn front_end(&self, batch: &Batch) -> Result<Option<f64>> {
        let model = self.model.as_ref().expect("put back after every step").valid();
        let inputs = batch.clone().inputs_to_device(&self.host);
        wait(&self.host)?;
        let began = Instant::now();
        let bands = model.front_end(inputs);
        wait(&self.host)?;
        Ok(bands.map(|_| milliseconds(began)))
    }

    fn wait(&self) -> Result<()> {
        wait(&self.tracked)
    }
}

fn wait(device: &Device) -> Result<()> {
    device.sync().map_err(|error| {
        Error::Device(format!(
            "the device failed: {error}; check it with `tonotopy devices --check`"
        ))
    })
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// The median; 0 of an empty slice.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => (values[n / 2 - 1] + values[n / 2]) / 2.0,
        n => values[n / 2],
    }
}

/// The largest resident memory of this process, in bytes.
pub(crate) fn peak_memory() -> Option<u64> {
    if cfg!(target_os = "linux") {
        // `getrusage` would count the program that started this one.
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        return Some(kilobytes * 1024);
    }
    // mimalloc asks `getrusage` on macOS and the process status API on Windows.
    let mut values = [0_usize; 8];
    let [elapsed, user, system, resident, peak, committed, most_committed, faults] = &mut values;
    // SAFETY: every pointer is valid for one value.
    unsafe {
        libmimalloc_sys::mi_process_info(
            elapsed,
            user,
            system,
            resident,
            peak,
            committed,
            most_committed,
            faults,
        );
    }
    Some(values[4] as u64).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }

    #[test]
    fn peak_memory_is_measured() {
        let touched = vec![1_u8; 64 << 20];
        assert!(touched.iter().map(|byte| u64::from(*byte)).sum::<u64>() == 64 << 20);
        let peak = peak_memory().unwrap();
        assert!((64 << 20..1 << 40).contains(&peak), "{peak}");
    }
}
