//! The fitted part of a model: computed from training audio before the first step, stored in the run's folder, and applied
//! once to every excerpt.
//!
//! `fitted/` in a run folder holds one `.npy` file per array and `checksums.json` (BLAKE3 of each), which is written last.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor};
use models::{Corpus, FitError, Fitted, Model, ModelConfig, Network, NetworkConfig};

use crate::data::batch::SampleFormat;
use crate::data::examples::{Examples, TrackInputs};
use crate::error::{Error, Result};
use crate::io::checksums::Checksums;
use crate::io::files::{create_folder, sync_folder, write_atomic};
use crate::io::npy;
use crate::progress::Bar;

/// Batch size of the front end; results do not depend on it.
const ROWS: usize = 16;

/// Returns the nearest tracks of every track, by listening data.
pub type Neighbours<'a> = dyn Fn(usize) -> Result<Vec<Vec<u32>>> + 'a;

/// Loads the network of another run and its fitted part.
pub type Source<'a> = dyn Fn() -> Result<(Model, Fitted)> + 'a;

/// The tracks that a model is fitted to.
pub struct TrainingAudio<'a> {
    /// The training split, as audio.
    pub examples: &'a Arc<Examples>,
    /// The device that front ends run on.
    pub device: &'a Device,
    /// Set when the user asks to stop.
    pub stop: &'a AtomicBool,
    /// Shows what is being fitted.
    pub bar: &'a Bar,
    /// The transfer source, for models that have one.
    pub source: &'a Source<'a>,
    /// Neighbours by listening data, if there is any.
    pub neighbours: Option<&'a Neighbours<'a>>,
}

impl Corpus for TrainingAudio<'_> {
    type Error = Error;

    fn tracks(&self) -> usize {
        self.examples.len()
    }

    fn excerpts(&self, each: &mut dyn FnMut(Tensor<2>, &[usize])) -> Result<()> {
        pass(self.examples, self.device, self.stop, |done, total, tracks, waveforms| {
            self.bar.predict(done, total);
            each(waveforms, tracks);
            Ok(())
        })
    }

    fn neighbours(&self, count: usize) -> Result<Vec<Vec<u32>>> {
        match self.neighbours {
            Some(neighbours) => neighbours(count),
            None => Err(Error::Config(
                "model.name: this model learns from listeners, so add [listening]".into(),
            )),
        }
    }

    fn source(&self) -> Result<(Model, Fitted)> {
        (self.source)()
    }

    fn progress(&self, what: &str) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("interrupted while fitting".into()));
        }
        self.bar.fit(what);
        Ok(())
    }

    fn warn(&self, what: &str) {
        tracing::warn!("{what}");
    }
}

/// Reads every excerpt once, in order.
fn pass(
    examples: &Arc<Examples>,
    device: &Device,
    stop: &AtomicBool,
    mut each: impl FnMut(usize, usize, &[usize], Tensor<2>) -> Result<()>,
) -> Result<()> {
    let format = SampleFormat::for_device(device);
    let (batches, total) = examples.consecutive_batches(ROWS, false, format);
    let mut done = 0;
    for batch in batches {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("interrupted while fitting".into()));
        }
        let batch = batch?;
        let tracks: Vec<usize> = batch.excerpts.iter().map(|excerpt| excerpt.track).collect();
        done += batch.rows;
        each(done, total, &tracks, batch.inputs_to_device(device))?;
    }
    Ok(())
}

/// Fits the model of `config`.
///
/// # Errors
/// If the audio does not suffice for the config or cannot be read, or `stop` was set.
pub fn fit(
    config: &ModelConfig,
    samples: usize,
    seed: u64,
    audio: &TrainingAudio<'_>,
) -> Result<Fitted> {
    config.fit(samples, seed, audio.device, audio).map_err(|error| match error {
        FitError::Model(error) => Error::Config(format!("in [model]: {error}")),
        FitError::Data(error) => Error::Data(format!("the model cannot be fitted: {error}")),
        FitError::Corpus(error) => error,
    })
}

/// The same examples with fixed features instead of audio.
///
/// # Errors
/// If audio cannot be read, a feature is not finite, or `stop` was set.
pub fn fixed_features<N: Network>(
    model: &N,
    examples: &Arc<Examples>,
    device: &Device,
    stop: &AtomicBool,
    mut progress: impl FnMut(usize, usize),
) -> Result<Arc<Examples>> {
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); examples.len()];
    let mut width = 0;
    pass(examples, device, stop, |done, total, tracks, waveforms| {
        let features = model.fixed(waveforms);
        width = features.dims()[1];
        let values: Vec<f32> = features.into_data().convert::<f32>().iter::<f32>().collect();
        for (track, row) in tracks.iter().zip(values.chunks_exact(width)) {
            if row.iter().any(|value| !value.is_finite()) {
                return Err(Error::Diverged(format!(
                    "a feature of track {} is not finite: its audio holds NaN",
                    examples.ids[*track]
                )));
            }
            rows[*track].extend_from_slice(row);
        }
        progress(done, total);
        Ok(())
    })?;
    Ok(Arc::new(Examples {
        ids: examples.ids.clone(),
        inputs: TrackInputs::Features { tracks: rows, width },
        targets: examples.targets.clone(),
        names: examples.names.clone(),
    }))
}

/// Writes the fitted part.
///
/// # Errors
/// [`Error::Io`] if writing fails.
pub fn write(fitted: &Fitted, folder: &Path) -> Result<()> {
    create_folder(folder)?;
    let mut names = Vec::new();
    for (name, array) in &fitted.arrays {
        let mut bytes = Vec::new();
        npy::write(&mut bytes, &array.shape, &array.values).expect("a vector takes all");
        let name = format!("{name}.npy");
        write_atomic(&folder.join(&name), &bytes)?;
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Checksums::of_files(folder, &names)?.write()?;
    sync_folder(folder)
}

/// Reads the fitted part; `None` if none was written.
///
/// # Errors
/// If a file is missing or damaged.
pub fn read(folder: &Path) -> Result<Option<Fitted>> {
    let Some(checksums) = Checksums::read(folder)? else { return Ok(None) };
    let damaged = |path: &Path, why: &dyn std::fmt::Display| {
        Error::Data(format!("{} is damaged: {why}; train the run again", path.display()))
    };
    let mut fitted = Fitted::default();
    for file_name in checksums.names() {
        let path = folder.join(file_name);
        let part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let name = file_name.strip_suffix(".npy").filter(|name| name.bytes().all(part));
        let name = name.ok_or_else(|| damaged(&path, &"this is not the name of an array"))?;
        let bytes = checksums.read_file(file_name)?;
        let mut file = bytes.as_slice();
        let header = npy::read_header(&mut file).map_err(|error| damaged(&path, &error))?;
        let count = header.shape.iter().try_fold(1, |n: usize, &size| n.checked_mul(size));
        let count = count.filter(|count| *count <= file.len());
        let values = count.and_then(|count| npy::read_values(&mut file, &header.descr, count));
        let values = values
            .ok_or_else(|| damaged(&path, &"its header does not match its values"))?
            .map_err(|error| damaged(&path, &error))?;
        fitted.insert(name, &header.shape, values);
    }
    Ok(Some(fitted))
}
