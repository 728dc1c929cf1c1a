//! Tests of the audio pipeline on files that are written here as their format defines, and on the small encoded files in
//! `fixtures/`, whose content is known in closed form.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use datasets::{Audio, Track};

use super::*;

mod cache;
mod failures;
mod formats;
mod mutations;
mod reference;
mod scan;
mod shared_data;

/// How a sample is stored in a file made by [`wav`] or [`aiff`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Store {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Store {
    const ALL: [Store; 6] = [Store::U8, Store::I16, Store::I24, Store::I32, Store::F32, Store::F64];

    fn bits(self) -> u16 {
        match self {
            Store::U8 => 8,
            Store::I16 => 16,
            Store::I24 => 24,
            Store::I32 | Store::F32 => 32,
            Store::F64 => 64,
        }
    }

    /// Largest rounding error: half the distance between neighbouring values.
    fn error(self) -> f64 {
        match self {
            Store::F32 | Store::F64 => 1e-7,
            _ => 0.5 / f64::from(1u32 << (self.bits() - 1)) + 1e-7,
        }
    }

    fn little_endian(self, sample: f64) -> Vec<u8> {
        let full = 2f64.powi(i32::from(self.bits()) - 1);
        let whole = (sample * full).round().clamp(-full, full - 1.0) as i64;
        match self {
            Store::U8 => vec![(whole + 128) as u8],
            Store::F32 => (sample as f32).to_le_bytes().to_vec(),
            Store::F64 => sample.to_le_bytes().to_vec(),
            _ => whole.to_le_bytes()[..usize::from(self.bits() / 8)].to_vec(),
        }
    }
}

/// A RIFF WAVE file of interleaved samples.
pub(crate) fn wav(rate: u32, channels: u16, store: Store, samples: &[f64]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|&sample| store.little_endian(sample)).collect();
    let tag: u16 = if matches!(store, Store::F32 | Store::F64) { 3 } else { 1 };
    let frame = channels.wrapping_mul(store.bits() / 8);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.wrapping_mul(u32::from(frame)).to_le_bytes());
    bytes.extend(frame.to_le_bytes());
    bytes.extend(store.bits().to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// An AIFF file of interleaved integer samples.
fn aiff(rate: u16, channels: u16, store: Store, samples: &[f64]) -> Vec<u8> {
    let data: Vec<u8> = samples
        .iter()
        .flat_map(|&sample| {
            let mut bytes = store.little_endian(sample);
            bytes.reverse();
            bytes
        })
        .collect();
    let frames = samples.len() as u32 / u32::from(channels);
    let mut common = channels.to_be_bytes().to_vec();
    common.extend(frames.to_be_bytes());
    common.extend(store.bits().to_be_bytes());
    // An 80-bit float: exponent with a bias of 16383, then the mantissa with its leading one.
    let exponent = 15 - rate.leading_zeros() as u16;
    common.extend((16_383 + exponent).to_be_bytes());
    common.extend((u64::from(rate) << (63 - exponent)).to_be_bytes());
    let mut bytes = b"FORM".to_vec();
    bytes.extend((4 + 8 + 18 + 8 + 8 + data.len() as u32).to_be_bytes());
    bytes.extend(b"AIFFCOMM");
    bytes.extend(18u32.to_be_bytes());
    bytes.extend(common);
    bytes.extend(b"SSND");
    bytes.extend((8 + data.len() as u32).to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend(data);
    bytes
}

/// The chirp of `fixtures/make.sh` at `time` seconds.
fn chirp(time: f64) -> f64 {
    match (0.0..0.85).contains(&time) {
        true => 0.5 * (TAU * (200.0 * time + 1000.0 * time * time)).sin(),
        false => 0.0,
    }
}

/// `seconds` of the chirp.
fn chirp_at(rate: u32, seconds: f64) -> Vec<f64> {
    (0..(seconds * f64::from(rate)) as usize).map(|n| chirp(n as f64 / f64::from(rate))).collect()
}

fn fixtures() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir("src/audio/fixtures")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending != "sh"))
        .collect();
    paths.sort();
    assert_eq!(paths.len(), 16);
    paths
}

fn fixture(name: &str) -> PathBuf {
    fixtures().into_iter().find(|path| path.ends_with(name)).unwrap()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The whole of a file.
fn file(path: &Path) -> Audio {
    Audio::File { path: path.to_owned(), offset_s: 0.0, duration_s: None }
}

fn track(id: &str, audio: Audio) -> Track {
    Track { id: id.into(), audio, split: None, tags: vec![], artist: None }
}

fn whole(path: &Path) -> Result<Waveform, AudioError> {
    decode(path, 0.0, None, &Limits::default())
}

/// What decoding says about a whole file.
fn info(path: &Path) -> SourceInfo {
    let limits = Limits::default();
    decode_resampled(path, 0.0, None, 16_000, &limits, &mut |_| Ok(())).unwrap().source
}

fn synthetic_piece() -> Audio {
    let config = datasets::tracks::synthetic::SyntheticConfig {
        tracks: 10,
        seconds: 2.0,
        ..Default::default()
    };
    config.load().unwrap().tracks[0].audio.clone()
}

/// Pseudo-random numbers: the upper half of Knuth's MMIX linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) as usize) % end.max(1)
    }
}
