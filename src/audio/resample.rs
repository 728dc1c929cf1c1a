//! Sample rate conversion with linear phase and no delay.
//!
//! This wraps rubato's FFT resampler, which delays its output by half a block and does not return the last block. Here the
//! delay is removed and the last block is flushed: sample `n` of the output is the signal at time `n / to`, and `n` samples
//! become `ceil(n * to / from)`.

use audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use super::error::AudioError;

/// Names everything that resampled samples depend on; part of the cache key.
pub const RESAMPLER: &str = "rubato 5.0.1 fft f32 blackman-harris2 block>=1024 even; ceil";

/// Minimum length of the anti-aliasing filter, in samples at the lower of the two rates. With this length, the pass band
/// ends at 0.985 of the lower Nyquist frequency.
const MIN_BLOCK: usize = 1024;

/// Supported sample rates, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Largest absolute value of a sample: far above 32-bit integers, which some programs write without scaling, and far below
/// values whose sums overflow.
const LARGEST: f32 = 1e12;

/// Whether a value can be a sample: not NaN, not infinite, not absurdly large.
pub fn is_sample(value: f32) -> bool {
    value.abs() <= LARGEST
}

/// Index of the first value that is not a sample.
pub(super) fn first_non_sample(values: &[f32]) -> Option<usize> {
    // A loop without an early exit is vectorised by the compiler.
    match values.iter().fold(true, |all, value| all & is_sample(*value)) {
        true => None,
        false => values.iter().position(|value| !is_sample(*value)),
    }
}

/// Resamples a mono stream piece by piece.
pub struct StreamingResampler {
    from: u64,
    to: u64,
    /// `None` if the rates are equal and samples pass unchanged.
    fft: Option<Fft<f32>>,
    /// Input that does not yet fill a block.
    pending: Vec<f32>,
    block: Vec<f32>,
    block_in: usize,
    /// Samples of delay still to be dropped.
    delay: usize,
    consumed: u64,
    produced: u64,
}

impl StreamingResampler {
    /// A resampler from `from` Hz to `to` Hz.
    ///
    /// # Errors
    /// [`AudioError::Argument`] if a rate is outside [`RATES`].
    pub fn new(from: u32, to: u32) -> Result<StreamingResampler, AudioError> {
        for rate in [from, to] {
            if !RATES.contains(&rate) {
                return Err(AudioError::Argument(format!(
                    "a sample rate of {rate} Hz is out of range: it must be from {} to {} Hz",
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
            // Even, so that the delay is an integer number of samples at both rates.
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

    /// Consumes samples at the old rate and appends the finished samples at the new rate to `out`.
    ///
    /// # Errors
    /// [`AudioError::Argument`] if a value is not a sample; see [`is_sample`].
    pub fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) -> Result<(), AudioError> {
        if let Some(index) = first_non_sample(samples) {
            return Err(AudioError::Argument(format!(
                "cannot resample: sample {} is {:e}; samples must be finite, and are usually in [-1, 1]",
                self.consumed + index as u64,
                samples[index]
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

    /// Appends the remaining samples. The total is `ceil(n * to / from)` for `n` samples of input.
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

    /// Resamples the pending block, which is full.
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
/// [`AudioError::Argument`] if a rate is outside [`RATES`] or a value is not a sample.
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

    /// Samples at the new rate that the abrupt start and end of a test signal affect.
    fn edge(from: u32, to: u32) -> usize {
        StreamingResampler::new(from, to).unwrap().delay + 1
    }

    #[test]
    fn length_is_exact() {
        for (from, to) in PAIRS {
            for length in [0, 1, 2, 7, 1_000, 4_411, 44_100, 100_003] {
                let ideal = (length as f64 * f64::from(to) / f64::from(from)).ceil();
                let out = resample(&sine(100.0, from, length), from, to).unwrap();
                assert_eq!(out.len() as f64, ideal, "{length} samples, {from} to {to} Hz");
            }
        }
    }

    #[test]
    fn sine_keeps_frequency_amplitude_and_phase() {
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
    fn frequencies_above_the_new_nyquist_frequency_are_removed() {
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
                    "{from} to {to} Hz: {frequency} Hz remains at {decibels:.1} dB"
                );
            }
        }
    }

    #[test]
    fn equal_rates_leave_samples_unchanged() {
        let samples = sine(440.0, 16_000, 12_345);
        assert_eq!(resample(&samples, 16_000, 16_000).unwrap(), samples);
    }

    #[test]
    fn streaming_equals_resampling_at_once() {
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
    fn non_samples_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let error = resample(&[0.0, 0.0, bad], 44_100, 16_000).unwrap_err();
            assert!(error.to_string().contains("sample 2"), "{error}");
        }
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for (from, to) in [(0, 16_000), (16_000, 0), (999, 16_000), (16_000, 768_001)] {
            let error = StreamingResampler::new(from, to).err().unwrap();
            assert!(matches!(error, AudioError::Argument(_)), "{error}");
        }
    }
}
