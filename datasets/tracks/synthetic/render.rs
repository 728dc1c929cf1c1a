//! Renders a score to samples.

use super::drums::Kit;
use super::filter::Biquad;
use super::instruments::Instrument;
use super::notes::Role;
use super::score::{PREROLL, Score};
use crate::math::from_db;
use crate::random::{Purpose, Stream};

/// Largest absolute value of a sample.
const PEAK: f64 = 0.98;
/// Corner in hertz of the high-pass.
const RUMBLE: f64 = 22.0;

/// Renders `score`, that of piece `index` with `seed`, to `length` samples.
pub(super) fn render(
    score: &Score,
    seed: u64,
    index: u64,
    length: usize,
    sample_rate: u32,
) -> Vec<f32> {
    if length == 0 || sample_rate == 0 {
        return Vec::new();
    }
    let stream = |purpose, which| Stream::new(seed, index, purpose, which);
    let rate = f64::from(sample_rate);
    let before = (PREROLL * rate).round() as usize;
    let mut mix = vec![0.0f32; before + length];
    let from = |time: f64| -> Option<usize> {
        let sample = ((time + PREROLL) * rate).round();
        (sample >= 0.0 && sample < (before + length) as f64).then_some(sample as usize)
    };

    for part in &score.parts {
        let mut timbre = stream(Purpose::Timbre, part.number);
        let instrument = Instrument::draw(part.family, &mut timbre);
        let together = if part.role == Role::Chords { 3.0f64 } else { 1.0 };
        let gain = from_db(part.level_db) / together.sqrt();
        for (i, note) in part.notes.iter().enumerate() {
            let Some(start) = from(note.start) else { continue };
            let which = (part.number << 16) | (i as u32 & 0xFFFF);
            let mut tone = instrument.tone(note, stream(Purpose::Note, which));
            tone.gain *= gain;
            tone.add_to(&mut mix[start..], rate);
        }
    }
    if let Some(drums) = &score.drums {
        let kit = Kit::draw(&mut stream(Purpose::Kit, 0));
        let gain = from_db(drums.level_db);
        for (i, hit) in drums.hits.iter().enumerate() {
            let Some(start) = from(hit.time) else { continue };
            let stroke = stream(Purpose::Stroke, i as u32 & 0xFF_FFFF);
            kit.strike(hit, gain, &mut mix[start..], rate, stroke);
        }
    }

    let recording = &score.recording;
    recording.room.reverberate(&mut mix, rate, stream(Purpose::Room, 0));
    Biquad::high_shelf(recording.tilt_corner, recording.tilt_db, rate).run(&mut mix);
    Biquad::high_pass(RUMBLE, std::f64::consts::FRAC_1_SQRT_2, rate).run(&mut mix);
    let mut samples = mix.split_off(before);
    let music = root_mean_square(&samples);
    add_floor(&mut samples, music, score, rate, stream(Purpose::Floor, 0));

    let level = root_mean_square(&samples).max(1e-12);
    let peak = samples.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    let gain = (from_db(recording.level_db) / level).min(PEAK / f64::from(peak).max(1e-12));
    let gain = (gain * recording.polarity) as f32;
    for sample in &mut samples {
        *sample *= gain;
    }
    samples
}

fn root_mean_square(samples: &[f32]) -> f64 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (power / samples.len() as f64).sqrt()
}

/// Adds low-passed noise at the recording's signal-to-noise ratio; `music` is the root mean square of the music.
fn add_floor(samples: &mut [f32], music: f64, score: &Score, rate: f64, mut stream: Stream) {
    let recording = &score.recording;
    let mut noise = vec![0.0; samples.len()];
    stream.fill_noise(&mut noise);
    Biquad::low_pass(recording.noise_corner, 0.5, rate).run(&mut noise);
    let level = root_mean_square(&noise).max(1e-12);
    let gain = (music * from_db(-recording.signal_to_noise_db) / level) as f32;
    for (sample, noise) in samples.iter_mut().zip(&noise) {
        *sample += gain * noise;
    }
}
