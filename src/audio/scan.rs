//! A whole data set into the audio cache, on all cores, with bounded memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use datasets::{Audio, Track};
use rayon::prelude::*;

use super::cache::{AudioCache, CachedAudio, Loaded, Policy};
use super::decoding::SourceInfo;
use super::error::{AudioError, Reason};
use super::limits::Limits;
use super::quarantine::QuarantineEntry;

/// How to scan.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanOptions {
    /// Tracks in flight at once; 0 for one a core.
    pub threads: usize,
    /// What is shorter goes to quarantine.
    pub min_seconds: f64,
    /// Read every file and every entry of the cache again, whatever is remembered of them.
    pub verify: bool,
    /// What is beyond them goes to quarantine.
    pub limits: Limits,
}

impl Default for ScanOptions {
    /// All cores, at least half a second, no verifying.
    fn default() -> ScanOptions {
        ScanOptions { threads: 0, min_seconds: 0.5, verify: false, limits: Limits::default() }
    }
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScanProgress {
    /// Tracks that are scanned.
    pub total: usize,
    /// Tracks that are over, whatever became of them.
    pub done: usize,
    /// Of those done: decoded now, found in the cache, put into quarantine.
    pub decoded: usize,
    /// See `decoded`.
    pub from_cache: usize,
    /// See `decoded`.
    pub quarantined: usize,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanReport {
    /// In the order of the tracks; `None` for those in quarantine.
    pub audio: Vec<Option<CachedAudio>>,
    /// In the order of the tracks.
    pub quarantine: Vec<QuarantineEntry>,
    /// Tracks that were decoded now.
    pub decoded: usize,
    /// Tracks that were in the cache.
    pub from_cache: usize,
    /// Ids of tracks whose entry in the cache was damaged and was made anew, with what was wrong.
    pub rebuilt: Vec<(String, String)>,
    /// Of the tracks that can be used.
    pub seconds_of_audio: f64,
    /// Tracks by the sample rate of their source, in Hz.
    pub source_rates: BTreeMap<u32, usize>,
    /// Tracks by codec.
    pub codecs: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Counters {
    done: AtomicUsize,
    decoded: AtomicUsize,
    from_cache: AtomicUsize,
    quarantined: AtomicUsize,
    /// Samples of the entries that were written.
    written: AtomicU64,
}

/// Decodes every track that is not in the cache yet. `progress` is called after each track, from any
/// thread, one call at a time.
///
/// # Errors
/// Of a single track, none: it goes to quarantine. [`AudioError::Interrupted`] soon after `stop` is
/// set, [`AudioError::CacheFull`] and [`AudioError::Cache`] if the cache cannot be used,
/// [`AudioError::Argument`] if `sample_rate` or an option makes no sense.
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
            "min_seconds is {}: it must be at least 0",
            options.min_seconds
        )));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|index| format!("scan-{index}"))
        .build()
        .map_err(|error| {
            AudioError::Argument(format!(
                "cannot start {} threads: {error}; choose fewer",
                options.threads
            ))
        })?;
    let counters = Counters::default();
    let turn = Mutex::new(());
    let tell = || {
        let _turn = turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
            .obtain(&track.audio, sample_rate, policy)
            .and_then(|loaded| long_enough(track, loaded, options.min_seconds));
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
        tell();
        Ok(result)
    };
    let results: Vec<Result<Loaded, QuarantineEntry>> =
        pool.install(|| tracks.par_iter().with_max_len(1).map(one).collect::<Result<_, _>>())?;

    let mut report = ScanReport::default();
    for (track, result) in tracks.iter().zip(results) {
        match result {
            Ok(Loaded {
                audio,
                source: SourceInfo { codec, sample_rate, .. },
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
        let others = match report.rebuilt.len() - 1 {
            0 => String::new(),
            others => format!("; so it went with {others} others"),
        };
        tracing::warn!(
            "the entry of {id} in the audio cache was damaged ({problem}) and was made anew{others}"
        );
    }
    Ok(report)
}

/// What the data set calls the source of a track.
fn place(track: &Track) -> String {
    match &track.audio {
        Audio::File { path, .. } => path.display().to_string(),
        Audio::Synthetic(piece) => piece.to_string(),
        Audio::Frames(_) => format!("the features of {}", track.id),
    }
}

fn long_enough(track: &Track, loaded: Loaded, min_seconds: f64) -> Result<Loaded, AudioError> {
    match loaded.audio.seconds() >= min_seconds {
        true => Ok(loaded),
        false => Err(AudioError::unusable(
            place(track),
            Reason::TooShort,
            format!(
                "has {:.3} s of audio, and at least {min_seconds} s are asked for; lower the limit, \
                 or leave it out",
                loaded.audio.seconds()
            ),
        )),
    }
}

/// The line for a track that cannot be used; other errors end the scan.
fn quarantine(track: &Track, error: AudioError) -> Result<QuarantineEntry, AudioError> {
    let message = error.to_string();
    match error {
        AudioError::Unusable { place, reason, .. } => {
            Ok(QuarantineEntry { id: track.id.clone(), path: place, reason, message })
        }
        error => Err(error),
    }
}

/// Says how much the disk would need for all that is left, judged by what was written so far.
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
