//! What all runs of one program call share, and the steps that training, evaluation and recommendation have in common.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use datasets::Split;
use models::{Fitted, Model, NetworkConfig};

use crate::data::directories::DataDirectories;
use crate::data::examples::TrackInputs;
use crate::data::prepare::{Prepared, prepare};
use crate::device::DeviceInfo;
use crate::error::Result;
use crate::evaluation::recommendation::{matrix, neighbours};
use crate::evaluation::track_predictions;
use crate::experiment::{Experiment, Loss};
use crate::listening::matrix::Matrix;
use crate::progress::Progress;
use crate::runs::checkpoint::Which;
use crate::runs::fit::{self, TrainingAudio, fixed_features};
use crate::runs::folder::RunFolder;
use crate::runs::{model, transfer_source};
use crate::training::objective::Objective;

/// What a verb brings to every run.
pub struct Session<'a> {
    /// The device that computes.
    pub device: &'a DeviceInfo,
    /// Where data and the audio cache are.
    pub directories: &'a DataDirectories,
    /// Set when the user asks to stop; work ends at the next point from which it can be resumed.
    pub stop: &'a AtomicBool,
    /// Shows progress.
    pub progress: &'a Progress,
}

impl Session<'_> {
    /// Loads the data of an experiment. The factors are those of the run in `folder`, if it exists.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if the data set cannot be read or a split has no usable track,
    /// [`Error::Io`](crate::Error::Io) if the cache or a file cannot be read,
    /// [`Error::Interrupted`](crate::Error::Interrupted) if it was stopped.
    pub fn prepare(&self, experiment: &Experiment, folder: &RunFolder) -> Result<Prepared> {
        let scan = self.progress.scan();
        // Created at the first sweep: most experiments factorize nothing.
        let mut sweeps = None;
        let data = prepare(
            experiment,
            self.directories,
            Some(&folder.factors()).filter(|_| folder.exists()).map(PathBuf::as_path),
            self.stop,
            &|progress| scan.scan(progress),
            &mut |sweep, all, objective| {
                let bar = sweeps.get_or_insert_with(|| self.progress.sweeps(all));
                bar.sweep_of(sweep, objective);
            },
        );
        scan.finish();
        if let Some(bar) = sweeps {
            bar.finish();
        }
        data
    }

    /// Opens a trained run: its experiment, its data (which must not have changed) and its model.
    pub(crate) fn open(
        &self,
        folder: &RunFolder,
        which: Which,
    ) -> Result<(Experiment, Prepared, Model)> {
        let experiment = folder.experiment()?;
        let data = self.prepare(&experiment, folder)?;
        folder.check_data(&data)?;
        let device = &self.device.device;
        let model = model::trained(folder, &experiment, data.outputs(), which, device)?;
        Ok((experiment, data, model))
    }

    /// Fits the part of the model that is not trained by gradients; empty for most models.
    pub(crate) fn fit(
        &self,
        experiment: &Experiment,
        data: &Prepared,
        folder: &RunFolder,
    ) -> Result<Fitted> {
        if !experiment.model.is_fitted() {
            return Ok(Fitted::default());
        }
        let bar = self.progress.fit();
        let neighbours = |count: usize| neighbours(data, count);
        let audio = TrainingAudio {
            examples: &data.train,
            device: &self.device.device,
            stop: self.stop,
            bar: &bar,
            source: &|| transfer_source::load(experiment, folder.beside(), &self.device.device),
            neighbours: data.latent.as_ref().map(|_| &neighbours as &fit::Neighbours<'_>),
        };
        let samples = experiment.excerpt_samples();
        let fitted = fit::fit(&experiment.model, samples, experiment.seed, &audio);
        bar.finish();
        fitted
    }

    /// Replaces the audio of a split by the features that the model's fixed part computes from it.
    pub(crate) fn compute_features(
        &self,
        model: &Model,
        data: &mut Prepared,
        split: Split,
    ) -> Result<()> {
        let bar = self.progress.predict(&format!("features, {split}"));
        let (examples, device) = (data.examples(split), &self.device.device);
        let features = fixed_features(model, examples, device, self.stop, |done, total| {
            bar.predict(done, total);
        });
        bar.finish();
        data.replace(split, features?);
        Ok(())
    }

    /// The outputs `[track, output]` of the training tracks, for a model whose distances count and not its predictions.
    pub(crate) fn training_outputs(&self, model: &Model, data: &Prepared) -> Result<Matrix> {
        let (objective, stop) = (Objective::Targets(Loss::None), self.stop);
        let device = &self.device.device;
        let train = match data.train.inputs {
            TrackInputs::Features { .. } => data.train.clone(),
            TrackInputs::Audio { .. } => {
                fixed_features(model, &data.train, device, stop, |_, _| {})?
            }
        };
        matrix(&track_predictions::predict(model, &train, &objective, device, stop, |_, _| {})?)
    }
}
