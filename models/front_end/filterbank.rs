//! Triangular filters, equally spaced on the mel scale, over the bins of a Fourier transform.
//!
//! The definition is that of librosa's `filters.mel`; `tests/mel.rs` compares the results.
//!
//! # References
//! - `slaney`: Slaney (1998), Auditory Toolbox, version 2: linear below 1 kHz, logarithmic above.
//! - `htk`: Young et al., The HTK Book: 2595 log10(1 + f / 700).

use serde::{Deserialize, Serialize};

/// The mel scale: how frequencies are spaced.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum MelScale {
    /// Linear below 1 kHz, logarithmic above.
    #[default]
    Slaney,
    /// 2595 log10(1 + f / 700).
    Htk,
}

/// The scale of the filters.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FilterNorm {
    /// Equal areas: peaks of 2 divided by the width in Hz.
    #[default]
    Slaney,
    /// Peaks of 1.
    None,
}

/// Frequency in Hz above which the `slaney` scale is logarithmic.
const BREAK_HZ: f64 = 1_000.0;
/// Hz per mel below it.
const LINEAR_STEP: f64 = 200.0 / 3.0;

/// Natural logarithm of the frequency ratio per mel above [`BREAK_HZ`].
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

impl MelScale {
    /// A frequency in Hz as mels.
    pub fn from_hz(self, hz: f64) -> f64 {
        match self {
            Self::Htk => 2595.0 * (hz / 700.0 + 1.0).log10(),
            Self::Slaney if hz < BREAK_HZ => hz / LINEAR_STEP,
            Self::Slaney => BREAK_HZ / LINEAR_STEP + (hz / BREAK_HZ).ln() / log_step(),
        }
    }

    /// A number of mels as a frequency in Hz.
    pub fn to_hz(self, mel: f64) -> f64 {
        match self {
            Self::Htk => 700.0 * (10.0_f64.powf(mel / 2595.0) - 1.0),
            Self::Slaney if mel < BREAK_HZ / LINEAR_STEP => mel * LINEAR_STEP,
            Self::Slaney => BREAK_HZ * (log_step() * (mel - BREAK_HZ / LINEAR_STEP)).exp(),
        }
    }

    /// `bands + 2` frequencies in Hz: filter `b` rises from edge `b`, peaks at `b + 1` and ends at `b + 2`.
    pub(super) fn edges(self, bands: usize, f_min: f64, f_max: f64) -> Vec<f64> {
        let (low, high) = (self.from_hz(f_min), self.from_hz(f_max));
        let step = (high - low) / (bands + 1) as f64;
        (0..bands + 2).map(|i| self.to_hz(low + step * i as f64)).collect()
    }
}

/// Weights of the filters, `[band, bin]`, row-major, with `n_fft / 2 + 1` bins; `f_min` and `f_max` in Hz.
///
/// A filter that is narrower than the distance of two bins can be all zeros, as in librosa.
pub fn mel_filters(
    sample_rate: u32,
    n_fft: usize,
    bands: usize,
    (f_min, f_max): (f64, f64),
    scale: MelScale,
    norm: FilterNorm,
) -> Vec<f32> {
    let edges = scale.edges(bands, f_min, f_max);
    let bin_hz = |bin: usize| f64::from(sample_rate) * bin as f64 / n_fft as f64;
    let weight = |band: usize, bin: usize| {
        let [low, centre, high] = [edges[band], edges[band + 1], edges[band + 2]];
        let rising = (bin_hz(bin) - low) / (centre - low);
        let falling = (high - bin_hz(bin)) / (high - centre);
        let area = match norm {
            FilterNorm::Slaney => 2.0 / (high - low),
            FilterNorm::None => 1.0,
        };
        (rising.min(falling).max(0.0) * area) as f32
    };
    (0..bands)
        .flat_map(|band| (0..=n_fft / 2).map(move |bin| (band, bin)))
        .map(|(band, bin)| weight(band, bin))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_invertible_and_match_their_definitions() {
        for scale in [MelScale::Slaney, MelScale::Htk] {
            for hz in [0.0, 20.0, 440.0, 999.9, 1_000.0, 1_000.1, 8_000.0, 22_050.0] {
                assert!((scale.to_hz(scale.from_hz(hz)) - hz).abs() < 1e-8 * (1.0 + hz));
            }
        }
        // 1 kHz is 1000 mel for HTK and 15 mel for Slaney; 6.4 kHz is 27 Slaney steps higher.
        assert!((MelScale::Htk.from_hz(1_000.0) - 1_000.0).abs() < 0.02);
        assert!((MelScale::Slaney.from_hz(1_000.0) - 15.0).abs() < 1e-12);
        assert!((MelScale::Slaney.from_hz(6_400.0) - 42.0).abs() < 1e-12);
    }
}
