//! The catalogue and the users of a trained run.

use models::{Network, NetworkConfig};

use crate::data::prepare::{Prepared, hash_of_plays};
use crate::error::{Error, Result};
use crate::inference::embeddings::embed;
use crate::listening::catalogue::{self as store, Catalogue, VectorKind};
use crate::listening::factors;
use crate::listening::users::Users;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;
use crate::runs::recorded_data::RecordedData;
use crate::runs::session::Session;

/// The tracks of a trained run with one vector each. Vectors are stored in the run's directory and read from there as
/// long as the model is the same.
///
/// # Errors
/// If factors are asked for and the run does not predict any; errors of loading and computing.
pub fn catalogue(
    session: &Session<'_>,
    folder: &RunFolder,
    kind: VectorKind,
    which: Which,
) -> Result<Catalogue> {
    let fingerprint = folder.checkpoints().fingerprint(which)?;
    let experiment = folder.experiment()?;
    if kind == VectorKind::Factors && !experiment.predicts_factors() {
        return Err(Error::Config(format!(
            "{} does not predict factors; use --by embedding",
            folder.path().display()
        )));
    }
    let stored = folder.file("catalogue").join(kind.name());
    if let Some((ids, vectors)) = store::read(&stored, &fingerprint)? {
        let collection = session.directories.load(&experiment.dataset)?;
        let cache = session.directories.open_cache()?;
        let rate = experiment.model.sample_rate();
        let has_splits = experiment.cross_validation.is_none();
        RecordedData::read(folder)?.check_collection(
            &collection,
            (&cache, rate),
            has_splits,
            folder,
        )?;
        return Catalogue::new(collection, ids, vectors);
    }
    let (experiment, data, model) = session.open(folder, which)?;
    let Prepared { collection, audio, .. } = data;
    let bar = session.progress.predict(&format!("{} {}", folder.name(), kind.name()));
    let ids: Vec<String> = collection.tracks.iter().map(|track| track.id.clone()).collect();
    let vectors = embed(
        |waveforms| match kind {
            VectorKind::Embedding => model.embed(waveforms),
            VectorKind::Factors => model.forward(waveforms),
        },
        ids.clone(),
        audio,
        experiment.excerpt_samples(),
        &session.device.device,
        session.stop,
        |done, total| bar.predict(done, total),
    );
    bar.finish();
    let vectors = vectors?;
    if let Err(error) = store::write(&stored, &fingerprint, &ids, &vectors) {
        // A run on a read-only disk can still be used.
        tracing::warn!("{error}. The vectors are not stored and will be computed again next time");
    }
    Catalogue::new(collection, ids, vectors)
}

/// The users of a trained run, from its listening data and its factors.
///
/// # Errors
/// [`Error::Config`] if the run has no listening data; [`Error::Data`] or [`Error::Io`] if the listening data, the
/// dataset or the factors cannot be read or do not belong together.
pub fn users(session: &Session<'_>, folder: &RunFolder) -> Result<Users> {
    let experiment = folder.experiment()?;
    let Some(config) = &experiment.listening else {
        return Err(Error::Config(format!(
            "{} was trained on tags and has no users",
            folder.path().display()
        )));
    };
    let tables = factors::read(&folder.factors())?;
    let collection = session.directories.load(&experiment.dataset)?;
    let plays = session.directories.listening(config, &collection)?;
    folder.check_plays(&hash_of_plays(&plays))?;
    Users::new(tables.users, tables.n_factors, folder.path(), Some(&plays))
}
