//! From one sample rate to another, with linear phase and no shift in time.
//!
//! rubato's FFT resampler does the work. It delays its output by half a block and keeps the last
//! block to itself; here the delay is dropped and the end flushed, so that sample `n` of the output
//! is the signal at time `n / to`, and `n` samples become `ceil(n * to / from)`.

use audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use super::error::AudioError;

/// Names the resampler and all that its output depends on; part of the cache key.
pub const RESAMPLER: &str = "rubato 5.0.1 fft f32 blackman-harris2 block>=1024 even; ceil";

/// Length of the anti-aliasing filter in samples of the lower of the two rates, at least. At this
/// length the pass band ends at 0.985 of the lower Nyquist frequency.
const MIN_BLOCK: usize = 1024;

/// Sample rates that can be converted, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Largest absolute value that is taken for a sample: far above the largest 32-bit whole number,
/// which some writers leave unscaled, and far below where sums overflow.
const LARGEST: f32 = 1e12;

/// Whether a value can be a sample: neither NaN nor infinite nor absurdly large.
pub fn is_sample(value: f32) -> bool {
    value.abs() <= LARGEST
}

/// Where the first value stands that is no sample.
pub(super) fn first_non_sample(values: &[f32]) -> Option<usize> {
    // Without a way out in the middle the compiler makes vectors of it.
    match values.iter().fold(true, |all, value| all & is_sample(*value)) {
        true => None,
        false => values.iter().position(|value| !is_sample(*value)),
    }
}

/// Resamples a mono stream that arrives piece by piece.
pub struct StreamingResampler {
    from: u64,
    to: u64,
    /// `None` if the rates are equal: samples pass unchanged.
    fft: Option<Fft<f32>>,
    /// Input that does not fill a block yet.
    pending: Vec<f32>,
    block: Vec<f32>,
    block_in: usize,
    /// Samples of delay that are still to be dropped.
    delay: usize,
    consumed: u64,
    produced: u64,
}

impl StreamingResampler {
    /// From `from` Hz to `to` Hz.
    ///
    /// # Errors
    /// [`AudioError::Argument`] if a rate is outside [`RATES`].
    pub fn new(from: u32, to: u32) -> Result<StreamingResampler, AudioError> {
        for rate in [from, to] {
            if !RATES.contains(&rate) {
                return Err(AudioError::Argument(format!(
                    "a sample rate of {rate} Hz is out of range: choose one from {} to {} Hz",
                    RATES.start(),
                    RATES.end()
                )));
            }
        }
        let mut resampler = StreamingResampler {
            from: u64::from(from),
            to: u64::from(to),
            fft: None,
            pending: Vec::new(),
            block: Vec::new(),
            block_in: 0,
            delay: 0,
            consumed: 0,
            produced: 0,
        };
        if from != to {
            let (from, to) = (from as usize, to as usize);
            let divisor = greatest_common_divisor(from, to);
            let (step_in, step_out) = (from / divisor, to / divisor);
            // Even, so that the middle of the filter and the delay are whole samples on both sides.
            let steps = MIN_BLOCK.div_ceil(step_in.min(step_out)).next_multiple_of(2);
            resampler.block_in = steps * step_in;
            let fft = Fft::new_custom(
                from,
                to,
                resampler.block_in,
                1,
                1,
                WindowFunction::BlackmanHarris2,
                FixedSync::Input,
            )
            .map_err(|error| {
                AudioError::Argument(format!("cannot resample from {from} to {to} Hz: {error}"))
            })?;
            resampler.delay = fft.output_delay();
            resampler.block = vec![0.0; fft.output_frames_max()];
            resampler.fft = Some(fft);
        }
        Ok(resampler)
    }

    /// Takes samples at the old rate, and appends to `out` what is ready at the new one.
    ///
    /// # Errors
    /// [`AudioError::Argument`] at a value that is no sample, see [`is_sample`].
    pub fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) -> Result<(), AudioError> {
        if let Some(place) = first_non_sample(samples) {
            return Err(AudioError::Argument(format!(
                "cannot resample: sample {} is {:e}; samples are numbers, as a rule in [-1, 1]",
                self.consumed + place as u64,
                samples[place]
            )));
        }
        self.consumed += samples.len() as u64;
        if self.fft.is_none() {
            self.produced += samples.len() as u64;
            out.extend_from_slice(samples);
            return Ok(());
        }
        while !samples.is_empty() {
            let missing = (self.block_in - self.pending.len()).min(samples.len());
            let (head, rest) = samples.split_at(missing);
            self.pending.extend_from_slice(head);
            samples = rest;
            if self.pending.len() == self.block_in {
                self.process(out)?;
            }
        }
        Ok(())
    }

    /// Appends what is left. In all, `ceil(n * to / from)` samples came out for `n` that went in.
    ///
    /// # Errors
    /// [`AudioError::Argument`] if the last samples cannot be resampled.
    pub fn finish(mut self, out: &mut Vec<f32>) -> Result<(), AudioError> {
        let total = resampled_length(self.consumed, self.from, self.to);
        while self.fft.is_some() && self.produced < total {
            self.pending.resize(self.block_in, 0.0);
            self.process(out)?;
        }
        let surplus = self.produced.saturating_sub(total);
        out.truncate(out.len().saturating_sub(surplus as usize));
        Ok(())
    }

    /// Resamples the full block that is pending.
    fn process(&mut self, out: &mut Vec<f32>) -> Result<(), AudioError> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let failed = |error: &dyn std::fmt::Display| {
            AudioError::Argument(format!(
                "resampling from {} to {} Hz failed: {error}",
                self.from, self.to
            ))
        };
        let input =
            SequentialSlice::new(&self.pending, 1, self.block_in).map_err(|e| failed(&e))?;
        let room = self.block.len();
        let mut output =
            SequentialSlice::new_mut(&mut self.block, 1, room).map_err(|e| failed(&e))?;
        let (_, written) =
            fft.process_into_buffer(&input, &mut output, None).map_err(|e| failed(&e))?;
        self.pending.clear();
        let dropped = self.delay.min(written);
        self.delay -= dropped;
        self.produced += (written - dropped) as u64;
        out.extend_from_slice(&self.block[dropped..written]);
        Ok(())
    }
}

/// `ceil(samples * to / from)`.
pub fn resampled_length(samples: u64, from: u64, to: u64) -> u64 {
    (u128::from(samples) * u128::from(to)).div_ceil(u128::from(from)) as u64
}

/// Resamples a whole mono signal from `from` Hz to `to` Hz.
///
/// # Errors
/// [`AudioError::Argument`] if a rate is outside [`RATES`] or a value is no sample.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>, AudioError> {
    let mut resampler = StreamingResampler::new(from, to)?;
    let total = resampled_length(samples.len() as u64, u64::from(from), u64::from(to));
    let mut out = Vec::with_capacity(total as usize);
    resampler.push(samples, &mut out)?;
    resampler.finish(&mut out)?;
    Ok(out)
}

fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const PAIRS: [(u32, u32); 14] = [
        (44_100, 16_000),
        (48_000, 16_000),
        (22_050, 16_000),
        (8_000, 16_000),
        (11_025, 16_000),
        (96_000, 16_000),
        (32_000, 16_000),
        (16_000, 22_050),
        (44_100, 22_050),
        (48_000, 44_100),
        (192_000, 12_000),
        (44_056, 16_000),
        (1_000, 16_000),
        (44_101, 16_000),
    ];

    fn sine(frequency: f64, rate: u32, length: usize) -> Vec<f32> {
        (0..length)
            .map(|n| (TAU * frequency * n as f64 / f64::from(rate) + 0.3).sin() as f32)
            .collect()
    }

    /// How far, in new samples, the filter carries the sudden start and end of a test signal.
    fn edge(from: u32, to: u32) -> usize {
        StreamingResampler::new(from, to).unwrap().delay + 1
    }

    #[test]
    fn the_length_is_exact() {
        for (from, to) in PAIRS {
            for length in [0, 1, 2, 7, 1_000, 4_411, 44_100, 100_003] {
                let ideal = (length as f64 * f64::from(to) / f64::from(from)).ceil();
                let out = resample(&sine(100.0, from, length), from, to).unwrap();
                assert_eq!(out.len() as f64, ideal, "{length} samples, {from} to {to} Hz");
            }
        }
    }

    #[test]
    fn a_sine_keeps_frequency_amplitude_and_phase() {
        for (from, to) in PAIRS {
            let lower = from.min(to);
            // From near the bottom to 0.9 of the lower Nyquist frequency.
            for share in [0.01, 0.2, 0.5, 0.8, 0.9] {
                let frequency = share * f64::from(lower) / 2.0;
                let edge = edge(from, to);
                let length = from as usize + 3 * edge * from as usize / to as usize;
                let out = resample(&sine(frequency, from, length), from, to).unwrap();
                let ideal = sine(frequency, to, out.len());
                let worst = (edge..out.len() - edge)
                    .map(|n| f64::from(out[n] - ideal[n]).abs())
                    .fold(0.0, f64::max);
                assert!(worst < 2e-5, "{from} to {to} Hz, {frequency} Hz: error {worst:e}");
            }
        }
    }

    #[test]
    fn what_lies_above_the_new_nyquist_frequency_is_gone() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
            let nyquist = f64::from(to) / 2.0;
            let top = f64::from(from) / 2.0;
            for share in [0.02, 0.1, 0.5, 0.95] {
                let frequency = nyquist + share * (top - nyquist);
                let edge = edge(from, to);
                let length = from as usize + 3 * edge * from as usize / to as usize;
                let out = resample(&sine(frequency, from, length), from, to).unwrap();
                let inner = &out[edge..out.len() - edge];
                let power = inner.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
                let decibels = 10.0 * (2.0 * power / inner.len() as f64).log10();
                assert!(
                    decibels < -110.0,
                    "{from} to {to} Hz: {frequency} Hz is left with {decibels:.1} dB"
                );
            }
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let samples = sine(440.0, 16_000, 12_345);
        assert_eq!(resample(&samples, 16_000, 16_000).unwrap(), samples);
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let samples = sine(440.0, 44_100, 50_000);
        let whole = resample(&samples, 44_100, 16_000).unwrap();
        for size in [1, 576, 1_152, 10_000] {
            let mut resampler = StreamingResampler::new(44_100, 16_000).unwrap();
            let mut out = Vec::new();
            for piece in samples.chunks(size) {
                resampler.push(piece, &mut out).unwrap();
            }
            resampler.finish(&mut out).unwrap();
            assert_eq!(out, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let error = resample(&[0.0, 0.0, bad], 44_100, 16_000).unwrap_err();
            assert!(error.to_string().contains("sample 2"), "{error}");
        }
    }

    #[test]
    fn absurd_rates_are_refused() {
        for (from, to) in [(0, 16_000), (16_000, 0), (999, 16_000), (16_000, 768_001)] {
            let error = StreamingResampler::new(from, to).err().unwrap();
            assert!(matches!(error, AudioError::Argument(_)), "{error}");
        }
    }
}
