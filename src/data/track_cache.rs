//! Decoded audio that stays in memory after its first use, up to a limit.
//!
//! The audio cache is files on disk. Reading an excerpt costs a copy out of the page cache even when the disk is not
//! touched: a tenth of a training step on small networks.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audio::{AudioError, CachedAudio};

/// Whole tracks, as the audio cache stores them.
#[derive(Debug, Default)]
pub struct TrackCache {
    /// Empty before a track's first use; `None` if the track did not fit.
    tracks: Box<[OnceLock<Option<Vec<u8>>>]>,
    /// Bytes left.
    left: AtomicU64,
}

impl TrackCache {
    /// A cache of at most `bytes` for `tracks` tracks, which take room in the order of their first use.
    pub fn new(tracks: usize, bytes: u64) -> Self {
        let tracks = match bytes {
            0 => Box::default(),
            _ => (0..tracks).map(|_| OnceLock::new()).collect(),
        };
        Self { tracks, left: AtomicU64::new(bytes) }
    }

    /// Calls `take` with up to `count` samples of a track from `start` on, as stored (see [`CachedAudio::stored`]); fewer
    /// where the track ends.
    ///
    /// # Errors
    /// As [`CachedAudio::stored`].
    pub fn read(
        &self,
        track: usize,
        audio: &CachedAudio,
        start: usize,
        count: usize,
        take: impl FnOnce(&[u8]),
    ) -> Result<(), AudioError> {
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let start = start.min(audio.len());
        let count = count.min(audio.len() - start);
        if let Some(bytes) = self.track(track, audio)? {
            take(&bytes[2 * start..][..2 * count]);
            return Ok(());
        }
        BUFFER.with_borrow_mut(|buffer| {
            audio.stored(start, count, buffer)?;
            take(buffer);
            Ok(())
        })
    }

    /// The stored bytes of a track, read now if it is the first use and there is room.
    fn track(&self, track: usize, audio: &CachedAudio) -> Result<Option<&[u8]>, AudioError> {
        let Some(slot) = self.tracks.get(track) else { return Ok(None) };
        if slot.get().is_none() {
            let needed = 2 * audio.len() as u64;
            let take = |left: u64| left.checked_sub(needed);
            let fits = audio.path().is_some()
                && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
            let mut bytes = Vec::new();
            if fits && let Err(error) = audio.stored(0, audio.len(), &mut bytes) {
                self.left.fetch_add(needed, Ordering::Relaxed);
                return Err(error);
            }
            // Another thread may have read the track meanwhile.
            if slot.set(fits.then_some(bytes)).is_err() && fits {
                self.left.fetch_add(needed, Ordering::Relaxed);
            }
        }
        Ok(slot.get().and_then(Option::as_deref))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use burn::tensor::Device;
    use datasets::Audio;
    use tempfile::tempdir;

    use super::*;
    use crate::audio::tests::{Store, wav};
    use crate::audio::{AudioCache, Limits};
    use crate::data::batch::{BatchInputs, SampleFormat};
    use crate::data::examples::{Examples, TrackInputs};
    use crate::data::sampler::Excerpt;

    #[test]
    fn tracks_stay_in_memory_while_they_fit_and_only_if_they_can_be_read() {
        let folder = tempdir().unwrap();
        let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
        let tracks = [("a.wav", 1000), ("b.wav", 2000), ("c.wav", 500)].map(|(name, count)| {
            let samples: Vec<i16> = (0..count).map(|n| (n * 37 % 1000) as i16).collect();
            track(folder.path(), &cache, name, &samples)
        });
        let kept = TrackCache::new(3, 2 * 1700);
        let sizes = || {
            let size = |at: usize| Ok(kept.track(at, &tracks[at])?.map(|stored| stored.len()));
            (0..3).map(size).collect::<Result<Vec<_>, AudioError>>()
        };
        assert_eq!(sizes().unwrap(), [Some(2000), None, Some(1000)]);
        for audio in &tracks {
            std::fs::remove_file(audio.path().unwrap()).unwrap();
        }
        assert_eq!(sizes().unwrap(), [Some(2000), None, Some(1000)]);
        assert!(TrackCache::new(3, 1 << 20).track(1, &tracks[1]).is_err());
        assert_eq!(TrackCache::new(3, 0).track(1, &tracks[1]).unwrap(), None);
    }

    /// The samples of the files, whether they come from memory, from disk, or from both.
    #[test]
    fn a_batch_holds_the_samples_of_the_files() {
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
            let cache = Arc::new(TrackCache::new(3, room));
            let inputs = TrackInputs::Audio { tracks: tracks.clone(), samples: 300, cache };
            let ids = (0..3).map(|track| track.to_string()).collect();
            let names = ["tag".to_string()].into();
            let targets = vec![0.0, 1.0, 0.0];
            let examples = Examples { ids, inputs, targets, names };
            for use_of_it in ["first", "second"] {
                let batch = |format| examples.batch(excerpts.clone(), 6, format).unwrap();
                let what = format!("room for {room} bytes, {use_of_it} use");
                let values = batch(SampleFormat::Float32).inputs;
                assert_eq!(values, BatchInputs::Float32(expected.clone()), "{what}");
                let words = batch(SampleFormat::Int16);
                assert!(matches!(&words.inputs, BatchInputs::Int16 { .. }), "{what}");
                for device in [Device::flex(), Device::flex().autodiff()] {
                    let inputs = words.clone().inputs_to_device(&device);
                    assert_eq!(inputs.device(), device);
                    let values: Vec<f32> = inputs.into_data().try_into_vec().unwrap();
                    assert_eq!(values, expected, "{what}");
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
