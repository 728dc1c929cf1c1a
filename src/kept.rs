//! Decoded audio that stays in memory from its first use on, as far as there is room for it.
//!
//! The audio cache is files, and reading a stretch of one costs a copy out of the system's memory even where the disk is not
//! asked: on small networks a tenth of a step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::audio::{AudioError, CachedAudio};

/// Whole tracks, as the cache stores them.
#[derive(Debug, Default)]
pub struct Kept {
    tracks: Box<[Track]>,
    /// Bytes that may still be taken.
    left: AtomicU64,
}

/// What is kept of a track, or that nothing is; open before its first use.
type Track = OnceLock<Option<Arc<Vec<u8>>>>;

impl Kept {
    /// Room for `bytes` of so many tracks. Tracks take it in the order of their first use.
    pub fn new(tracks: usize, bytes: u64) -> Self {
        let tracks = match bytes {
            0 => Box::default(),
            _ => (0..tracks).map(|_| OnceLock::new()).collect(),
        };
        Self { tracks, left: AtomicU64::new(bytes) }
    }

    /// The stored bytes of a track, if they are kept already.
    pub fn at_hand(&self, track: usize) -> Option<&Arc<Vec<u8>>> {
        self.tracks.get(track)?.get()?.as_ref()
    }

    /// The stored bytes of a track, if they are kept, or can be now; one that there is no room for is not read.
    ///
    /// # Errors
    /// As [`CachedAudio::stored`], at the first use of a track.
    pub fn track(
        &self,
        track: usize,
        audio: &CachedAudio,
    ) -> Result<Option<&Arc<Vec<u8>>>, AudioError> {
        let Some(kept) = self.tracks.get(track) else { return Ok(None) };
        if let Some(known) = kept.get() {
            return Ok(known.as_ref());
        }
        let needed = 2 * audio.len() as u64;
        let take = |left: u64| left.checked_sub(needed);
        let is_taken = audio.path().is_some()
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        let mut bytes = Vec::new();
        if is_taken && let Err(error) = audio.stored(0, audio.len(), &mut bytes) {
            self.left.fetch_add(needed, Ordering::Relaxed);
            return Err(error);
        }
        let read = is_taken.then(|| Arc::new(bytes));
        if let Err(again) = kept.set(read)
            && again.is_some()
        {
            // Another thread was at the same track, and its bytes are the ones that are kept.
            self.left.fetch_add(needed, Ordering::Relaxed);
        }
        Ok(kept.get().and_then(Option::as_ref))
    }

    /// `count` samples of a track from `start` on as they are stored, if it is kept, or can be now, and they lie inside.
    ///
    /// # Errors
    /// As [`Kept::track`].
    pub fn stretch(
        &self,
        track: usize,
        audio: &CachedAudio,
        start: usize,
        count: usize,
    ) -> Result<Option<&[u8]>, AudioError> {
        let stored = self.track(track, audio)?;
        Ok(stored.and_then(|stored| stored.get(2 * start..)?.get(..2 * count)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use datasets::Audio;
    use tempfile::tempdir;

    use super::*;
    use crate::audio::tests::{Store, wav};
    use crate::audio::{AudioCache, Limits};
    use crate::batch::{BatchInputs, Form};
    use crate::examples::{Examples, Inputs};
    use crate::excerpts::Excerpt;

    #[test]
    fn tracks_are_kept_while_there_is_room_and_only_if_they_can_be_read() {
        let folder = tempdir().unwrap();
        let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
        let tracks = [("a.wav", 1000), ("b.wav", 2000), ("c.wav", 500)].map(|(name, count)| {
            let samples: Vec<i16> = (0..count).map(|n| (n * 37 % 1000) as i16).collect();
            track(folder.path(), &cache, name, &samples)
        });
        let kept = Kept::new(3, 2 * 1700);
        let sizes = || {
            let size = |at: usize| Ok(kept.track(at, &tracks[at])?.map(|stored| stored.len()));
            (0..3).map(size).collect::<Result<Vec<_>, AudioError>>()
        };
        assert_eq!(sizes().unwrap(), [Some(2000), None, Some(1000)]);
        for audio in &tracks {
            std::fs::remove_file(audio.path().unwrap()).unwrap();
        }
        assert_eq!(sizes().unwrap(), [Some(2000), None, Some(1000)]);
        assert!(Kept::new(3, 1 << 20).track(1, &tracks[1]).is_err());
        assert_eq!(Kept::new(3, 0).track(1, &tracks[1]).unwrap(), None);
    }

    /// The samples of the files themselves, whether they come from memory, from the cache, or from both.
    #[test]
    fn a_batch_holds_the_samples_of_the_files_kept_or_not() {
        let folder = tempdir().unwrap();
        let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
        let sample = |track: usize, n: usize| ((n * 37 + track * 11) % 1000) as i16;
        let lengths = [1000, 2000, 500];
        let tracks: Vec<CachedAudio> = (0..3)
            .map(|number| {
                let samples: Vec<i16> = (0..lengths[number]).map(|n| sample(number, n)).collect();
                track(folder.path(), &cache, &format!("{number}.wav"), &samples)
            })
            .collect();
        let places = [(0, 17), (1, 1900), (2, 450), (0, 0), (1, 3)];
        let excerpts: Vec<_> =
            places.iter().map(|&(track, start)| Excerpt { track, start }).collect();
        let mut expected = vec![0.0; 6 * 300];
        for (row, (track, start)) in places.into_iter().enumerate() {
            for n in start..(start + 300).min(lengths[track]) {
                expected[row * 300 + n - start] = f32::from(sample(track, n)) / 32_768.0;
            }
        }
        for room in [0, 2 * 1700, 1 << 20] {
            let kept = Arc::new(Kept::new(3, room));
            let inputs = Inputs::Audio { tracks: tracks.clone(), samples: 300, kept };
            let ids = (0..3).map(|track| track.to_string()).collect();
            let names = ["tag".to_string()].into();
            let targets = vec![0.0, 1.0, 0.0];
            let examples = Examples { ids, inputs, targets, names };
            for use_of_it in ["first", "second"] {
                let batch = |form| examples.batch(excerpts.clone(), 6, form).unwrap();
                let what = format!("room for {room} bytes, {use_of_it} use");
                assert_eq!(
                    batch(Form::Numbers).inputs,
                    BatchInputs::Numbers(expected.clone()),
                    "{what}"
                );
                // Their way to a device is open to any, whether it suits or not.
                let (pairs, stretches) = (batch(Form::Pairs), batch(Form::Stretches));
                assert!(matches!(&pairs.inputs, BatchInputs::Pairs { .. }), "{what}");
                assert!(matches!(&stretches.inputs, BatchInputs::Stretches { .. }), "{what}");
                for batch in [pairs, stretches] {
                    for device in [Device::flex(), Device::flex().autodiff()] {
                        let inputs = batch.clone().inputs_onto(&device).numbers();
                        assert_eq!(inputs.device(), device);
                        let numbers: Vec<f32> = inputs.into_data().try_into_vec().unwrap();
                        assert_eq!(numbers, expected, "{what}");
                    }
                }
            }
        }
    }

    /// A track of these samples, 16 bits each, from its file.
    fn track(folder: &Path, cache: &AudioCache, name: &str, samples: &[i16]) -> CachedAudio {
        let path = folder.join(name);
        let numbers: Vec<f64> = samples.iter().map(|s| f64::from(*s) / 32_768.0).collect();
        std::fs::write(&path, wav(8_000, 1, Store::I16, &numbers)).unwrap();
        let audio = Audio::File { path, offset_s: 0.0, duration_s: None };
        cache.load(&audio, 8_000, &Limits::default()).unwrap().audio
    }
}
