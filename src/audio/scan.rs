//! Decodes a whole dataset into the audio cache, on all cores and in bounded memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use datasets::{Audio, Track};
use rayon::prelude::*;

use super::cache::{AudioCache, CachedAudio, Loaded, Policy};
use super::decode::{self, ENDS_EARLY};
use super::error::AudioError;
use super::limits::Limits;
use super::quarantine::QuarantineEntry;
use super::source::SourceInfo;

/// Shorter tracks are not used, unless the user sets another limit.
pub const MIN_SECONDS: f64 = 0.5;

/// The options of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanOptions {
    /// Number of threads; 0 for one per core.
    pub threads: usize,
    /// Shorter tracks go into quarantine.
    pub min_seconds: f64,
    /// Read every file and every cache entry again, even if the index knows it.
    pub verify: bool,
    /// Files beyond these limits go into quarantine.
    pub limits: Limits,
}

impl Default for ScanOptions {
    /// All cores, at least 0.5 s, no verification.
    fn default() -> ScanOptions {
        ScanOptions {
            threads: 0,
            min_seconds: MIN_SECONDS,
            verify: false,
            limits: Limits::default(),
        }
    }
}

/// The progress of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScanProgress {
    /// Tracks to scan.
    pub total: usize,
    /// Tracks finished: the sum of the three counts below.
    pub done: usize,
    /// Tracks decoded by this scan.
    pub decoded: usize,
    /// Tracks found in the cache.
    pub from_cache: usize,
    /// Tracks put into quarantine.
    pub quarantined: usize,
}

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanReport {
    /// One element per track, in the same order; `None` for tracks in quarantine.
    pub audio: Vec<Option<CachedAudio>>,
    /// The tracks in quarantine, in the order of the tracks.
    pub quarantine: Vec<QuarantineEntry>,
    /// Number of tracks decoded by this scan.
    pub decoded: usize,
    /// Number of tracks found in the cache.
    pub from_cache: usize,
    /// Ids of the tracks whose cache entry was damaged and was replaced, and what was wrong with it.
    pub rebuilt: Vec<(String, String)>,
    /// Ids of the tracks whose file ends inside its last frame, which is left out.
    pub ends_early: Vec<String>,
    /// Total duration of the usable tracks.
    pub seconds_of_audio: f64,
    /// Number of tracks by the sample rate of the source, in Hz.
    pub source_rates: BTreeMap<u32, usize>,
    /// Number of tracks by codec.
    pub codecs: BTreeMap<String, usize>,
}

impl ScanReport {
    /// A note on [`ends_early`](Self::ends_early), with the first ids.
    pub fn ends_early_note(&self) -> Option<String> {
        let [first, ..] = self.ends_early.as_slice() else { return None };
        Some(match self.ends_early.len() {
            1 => format!("{first}: {ENDS_EARLY}"),
            count => {
                let named = self.ends_early[..count.min(5)].join(", ");
                let more = if count > 5 { ", ..." } else { "" };
                format!(
                    "{count} files end inside their last frame, which is left out: {named}{more}; copy those again that \
                     should be longer"
                )
            }
        })
    }
}

#[derive(Default)]
struct Counters {
    done: AtomicUsize,
    decoded: AtomicUsize,
    from_cache: AtomicUsize,
    quarantined: AtomicUsize,
    /// Samples in the entries written by this scan.
    written: AtomicU64,
}

/// Decodes every track that is not in the cache. `progress` is called after each track, from any thread, one call at a
/// time.
///
/// # Errors
/// A track that cannot be used goes into quarantine and is not an error. [`AudioError::Interrupted`] soon after `stop` is
/// set, [`AudioError::CacheFull`] or [`AudioError::Cache`] if the cache cannot be used, [`AudioError::Argument`] if
/// `sample_rate` or an option is out of range.
pub fn scan(
    tracks: &[Track],
    sample_rate: u32,
    cache: &AudioCache,
    options: &ScanOptions,
    stop: &AtomicBool,
    progress: &(dyn Fn(ScanProgress) + Sync),
) -> Result<ScanReport, AudioError> {
    if !(options.min_seconds >= 0.0 && options.min_seconds.is_finite()) {
        return Err(AudioError::Argument(format!(
            "min_seconds is {}; it must be at least 0",
            options.min_seconds
        )));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|index| format!("scan-{index}"))
        .build()
        .map_err(|error| {
            AudioError::Argument(format!(
                "the system refused to start {} threads: {error}; choose fewer",
                options.threads
            ))
        })?;
    let counters = Counters::default();
    let one_call = Mutex::new(());
    let report_progress = || {
        let _guard = one_call.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        progress(ScanProgress {
            total: tracks.len(),
            done: count(&counters.done),
            decoded: count(&counters.decoded),
            from_cache: count(&counters.from_cache),
            quarantined: count(&counters.quarantined),
        });
    };
    let policy = Policy { limits: &options.limits, verify: options.verify, stop };
    let one = |track: &Track| -> Result<Result<Loaded, QuarantineEntry>, AudioError> {
        if stop.load(Ordering::Relaxed) {
            return Err(AudioError::Interrupted);
        }
        let loaded = cache
            .load_with(&track.audio, sample_rate, policy)
            .and_then(|loaded| check_duration(track, loaded, options.min_seconds));
        let result = match loaded {
            Ok(loaded) => {
                let counter = match loaded.decoded {
                    true => &counters.decoded,
                    false => &counters.from_cache,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                if loaded.decoded {
                    counters.written.fetch_add(loaded.audio.len() as u64, Ordering::Relaxed);
                }
                Ok(loaded)
            }
            Err(error) => {
                let entry =
                    quarantine(track, error).map_err(|error| estimate(error, tracks, &counters))?;
                counters.quarantined.fetch_add(1, Ordering::Relaxed);
                Err(entry)
            }
        };
        counters.done.fetch_add(1, Ordering::Relaxed);
        report_progress();
        Ok(result)
    };
    let results: Vec<Result<Loaded, QuarantineEntry>> =
        pool.install(|| tracks.par_iter().with_max_len(1).map(one).collect::<Result<_, _>>())?;

    let mut report = ScanReport::default();
    for (track, result) in tracks.iter().zip(results) {
        match result {
            Ok(Loaded {
                audio,
                source: SourceInfo { codec, sample_rate, ends_early, .. },
                decoded,
                rebuilt,
            }) => {
                match decoded {
                    true => report.decoded += 1,
                    false => report.from_cache += 1,
                }
                if let Some(problem) = rebuilt {
                    report.rebuilt.push((track.id.clone(), problem.to_string()));
                }
                if ends_early {
                    report.ends_early.push(track.id.clone());
                }
                report.seconds_of_audio += audio.seconds();
                *report.source_rates.entry(sample_rate).or_default() += 1;
                *report.codecs.entry(codec).or_default() += 1;
                report.audio.push(Some(audio));
            }
            Err(entry) => {
                report.quarantine.push(entry);
                report.audio.push(None);
            }
        }
    }
    if let Some((id, problem)) = report.rebuilt.first() {
        tracing::warn!(
            "{} damaged entries of the audio cache were replaced; the first is that of {id}: {problem}",
            report.rebuilt.len()
        );
    }
    if let Some(note) = report.ends_early_note() {
        tracing::warn!("{note}");
    }
    Ok(report)
}

/// The path of a track, or what else identifies its source.
fn source_name(track: &Track) -> String {
    match &track.audio {
        Audio::File { path, .. } => path.display().to_string(),
        Audio::Synthetic(piece) => piece.to_string(),
        Audio::Frames(_) => format!("the features of {}", track.id),
    }
}

fn check_duration(track: &Track, loaded: Loaded, min_seconds: f64) -> Result<Loaded, AudioError> {
    decode::check_duration(&source_name(track), loaded.audio.seconds(), min_seconds)?;
    Ok(loaded)
}

/// The row for a track that cannot be used; other errors end the scan.
fn quarantine(track: &Track, error: AudioError) -> Result<QuarantineEntry, AudioError> {
    let message = error.to_string();
    match error {
        AudioError::Unusable { name, reason, .. } => {
            Ok(QuarantineEntry { id: track.id.clone(), path: name, reason, message })
        }
        error => Err(error),
    }
}

/// Adds to a full disk the estimated size of all remaining entries, from the mean size of those written.
fn estimate(error: AudioError, tracks: &[Track], counters: &Counters) -> AudioError {
    match error {
        AudioError::CacheFull { folder, needed, remaining: None } => {
            let decoded = counters.decoded.load(Ordering::Relaxed) as u64;
            let left = (tracks.len() - counters.done.load(Ordering::Relaxed)) as u64;
            let mean = match decoded {
                0 => needed,
                _ => super::entry::file_length(counters.written.load(Ordering::Relaxed) / decoded),
            };
            AudioError::CacheFull {
                folder,
                needed,
                remaining: Some(mean.saturating_mul(left).max(needed)),
            }
        }
        error => error,
    }
}
