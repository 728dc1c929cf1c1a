//! Spectra of learned filters, and the similarity of the filters of a pool.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::evaluated_run::{Filters, ReportError};

/// Minimum FFT length: shorter filters are zero-padded.
const MIN_FFT: usize = 4096;
/// Most pairs of filters from different pools that are compared.
const MAX_CHANCE_PAIRS: usize = 4000;

/// The centre of band `index` of `bands` on the mel scale between 0 and `f_max`, in Hz.
///
/// The scale is `2595 log10(1 + f / 700)`. The centres are equally spaced on it, as in a mel
/// filterbank.
///
/// # References
/// O'Shaughnessy, "Speech communication: human and machine", 1987, p. 150.
pub fn mel_centre(index: usize, bands: usize, f_max: f64) -> f64 {
    let mel_max = 2595.0 * (1.0 + f_max / 700.0).log10();
    let mel = mel_max * (index + 1) as f64 / (bands + 1) as f64;
    700.0 * (10f64.powf(mel / 2595.0) - 1.0)
}

/// Filters with their spectra.
#[derive(Clone, Debug)]
pub struct FilterBank {
    filters: Filters,
    /// Magnitudes `[filter, bin]`, row-major, scaled to a peak of 1 per filter; all 0 for a filter of
    /// zeros.
    magnitudes: Vec<f32>,
    bins: usize,
    /// Frequency of the peak in Hz; `None` if all weights are 0, or one is not finite.
    dominant: Vec<Option<f64>>,
    /// Filters in ascending order of dominant frequency, those without one last.
    order: Vec<usize>,
}

impl FilterBank {
    /// Computes the spectra of the filters of `run`.
    ///
    /// # Errors
    /// If the weights do not fit their shape.
    pub fn new(run: &str, filters: &Filters) -> Result<Self, ReportError> {
        let (length, weights) = (filters.length, filters.weights.len());
        let whole = length > 0 && weights > 0 && weights.is_multiple_of(length);
        if !whole || filters.sample_rate == 0 {
            return Err(ReportError::FilterShape {
                run: run.to_owned(),
                weights,
                length,
                sample_rate: filters.sample_rate,
            });
        }
        let count = weights / length;
        if let Some(pool) = &filters.pool
            && (pool.size == 0 || !count.is_multiple_of(pool.size))
        {
            let size = pool.size;
            return Err(ReportError::PoolSize { run: run.to_owned(), filters: count, size });
        }
        let points = (2 * length).next_power_of_two().max(MIN_FFT);
        let transform = RealFftPlanner::<f32>::new().plan_fft_forward(points);
        let (mut input, mut output) = (transform.make_input_vec(), transform.make_output_vec());
        let bins = output.len();
        let mut magnitudes = Vec::with_capacity(count * bins);
        let mut dominant = Vec::with_capacity(count);
        for taps in filters.weights.chunks_exact(length) {
            input.fill(0.0);
            input[..length].copy_from_slice(taps);
            transform.process(&mut input, &mut output).expect("buffers of this transform");
            let mut row: Vec<f32> = output.iter().map(|value| value.norm()).collect();
            let hertz = f64::from(filters.sample_rate) / points as f64;
            let peak = normalise(&mut row);
            dominant.push(peak.map(|bin| vertex(&row, bin) * hertz));
            magnitudes.extend(row);
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| {
            let key = |filter: usize| dominant[filter].unwrap_or(f64::INFINITY);
            key(a).total_cmp(&key(b))
        });
        Ok(Self { filters: filters.clone(), magnitudes, bins, dominant, order })
    }

    /// Number of filters.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The filters.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// The taps of a filter.
    pub fn taps(&self, filter: usize) -> &[f32] {
        &self.filters.weights[filter * self.filters.length..][..self.filters.length]
    }

    /// The frequency of a filter's largest magnitude in Hz.
    pub fn dominant(&self, filter: usize) -> Option<f64> {
        self.dominant[filter]
    }

    /// Filters in ascending order of dominant frequency.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Half the sample rate in Hz.
    pub fn nyquist(&self) -> f64 {
        f64::from(self.filters.sample_rate) / 2.0
    }

    /// The largest magnitude of `filter` in each of `rows` equal bands from 0 to the Nyquist frequency.
    pub fn bands(&self, filter: usize, rows: usize) -> Vec<f32> {
        let spectrum = &self.magnitudes[filter * self.bins..][..self.bins];
        (0..rows)
            .map(|row| {
                let from = row * self.bins / rows;
                let to = ((row + 1) * self.bins / rows).clamp(from + 1, self.bins);
                spectrum[from.min(self.bins - 1)..to].iter().copied().fold(0.0, f32::max)
            })
            .collect()
    }

    /// Share of filters with a dominant frequency below `hertz`; `None` if no filter has one.
    pub fn share_below(&self, hertz: f64) -> Option<f64> {
        let known: Vec<f64> = self.dominant.iter().copied().flatten().collect();
        let below = known.iter().filter(|&&frequency| frequency < hertz).count();
        (!known.is_empty()).then(|| below as f64 / known.len() as f64)
    }

    /// Similarity of the filters of each pool; `None` where filters are not pooled.
    pub fn pool_fits(&self) -> Option<PoolFits> {
        let pool = self.filters.pool.filter(|pool| pool.size > 1)?;
        let mut aligner = Aligner::new(self);
        let mut pools = Vec::with_capacity(self.len() / pool.size);
        for first in (0..self.len()).step_by(pool.size) {
            let members: Vec<usize> = (first..first + pool.size).collect();
            let energy = |filter: &usize| aligner.norms[*filter];
            let strongest = members.iter().copied().max_by(|a, b| energy(a).total_cmp(&energy(b)));
            let anchor = strongest.unwrap_or(first);
            let aligned: Vec<Aligned> =
                members.iter().map(|&filter| aligner.align(anchor, filter)).collect();
            let others = aligned.iter().filter(|a| a.filter != anchor).filter_map(|a| a.similarity);
            let (sum, count) = others.fold((0.0, 0), |(s, n), value| (s + value, n + 1));
            let similarity = (count > 0).then(|| sum / f64::from(count));
            pools.push(PoolFit { anchor, members: aligned, similarity });
        }
        pools.sort_by(|a, b| {
            let key = |fit: &PoolFit| fit.similarity.unwrap_or(f64::NEG_INFINITY);
            key(b).total_cmp(&key(a)).then(a.anchor.cmp(&b.anchor))
        });
        let chance = self.chance(pool.size, &mut aligner);
        Some(PoolFits { pools, chance })
    }

    /// Median similarity of filters from different pools.
    fn chance(&self, size: usize, aligner: &mut Aligner) -> Option<f64> {
        let count = self.len();
        let all = count * count.saturating_sub(1) / 2;
        let stride = all.div_ceil(MAX_CHANCE_PAIRS).max(1);
        let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        let found = pairs
            .filter(|(a, b)| a / size != b / size)
            .step_by(stride)
            .filter_map(|(a, b)| aligner.align(a, b).similarity);
        median(found.collect())
    }
}

/// Scales a spectrum to a peak of 1 and returns the bin of the peak.
fn normalise(row: &mut [f32]) -> Option<usize> {
    if row.iter().any(|value| !value.is_finite()) {
        row.fill(0.0);
        return None;
    }
    let peak = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]))?;
    let scale = row[peak];
    if scale <= f32::MIN_POSITIVE {
        row.fill(0.0);
        return None;
    }
    row.iter_mut().for_each(|value| *value /= scale);
    Some(peak)
}

/// Vertex of the parabola through a peak and its neighbours, in bins.
fn vertex(row: &[f32], bin: usize) -> f64 {
    let at = |bin: usize| f64::from(row[bin]);
    if bin == 0 || bin + 1 >= row.len() {
        return bin as f64;
    }
    let (left, peak, right) = (at(bin - 1), at(bin), at(bin + 1));
    let bend = left - 2.0 * peak + right;
    if bend >= 0.0 { bin as f64 } else { bin as f64 + 0.5 * (left - right) / bend }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    let upper = values[values.len() / 2];
    Some((values[middle] + upper) / 2.0)
}

/// The pools of a front end, the most similar first.
#[derive(Clone, Debug)]
pub struct PoolFits {
    /// In descending order of similarity; pools without one come last.
    pub pools: Vec<PoolFit>,
    /// Median similarity of filters from different pools.
    pub chance: Option<f64>,
}

impl PoolFits {
    /// Median similarity over the pools.
    pub fn median(&self) -> Option<f64> {
        median(self.pools.iter().filter_map(|pool| pool.similarity).collect())
    }
}

/// A pool whose filters are aligned with the filter of the most energy.
#[derive(Clone, Debug)]
pub struct PoolFit {
    /// The filter with the most energy.
    pub anchor: usize,
    /// All filters of the pool in order, including the anchor.
    pub members: Vec<Aligned>,
    /// Mean similarity of the other members to the anchor.
    pub similarity: Option<f64>,
}

/// A filter and its shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aligned {
    /// Row in the weights of the front end.
    pub filter: usize,
    /// Delay in samples at which the filter is most similar to the anchor.
    pub shift: isize,
    /// Normalised cross-correlation at this shift, from -1 to 1; `None` if a filter is zero or not
    /// finite.
    pub similarity: Option<f64>,
}

/// Finds the best shifts by cross-correlation in the frequency domain.
struct Aligner {
    spectra: Vec<Vec<Complex32>>,
    norms: Vec<f64>,
    length: usize,
    inverse: Arc<dyn ComplexToReal<f32>>,
    product: Vec<Complex32>,
    correlation: Vec<f32>,
}

impl Aligner {
    fn new(bank: &FilterBank) -> Self {
        let length = bank.filters.length;
        // Twice the length, so that the correlation is not circular.
        let points = (2 * length).next_power_of_two();
        let mut planner = RealFftPlanner::<f32>::new();
        let forward: Arc<dyn RealToComplex<f32>> = planner.plan_fft_forward(points);
        let inverse = planner.plan_fft_inverse(points);
        let mut input = forward.make_input_vec();
        let (mut spectra, mut norms) = (Vec::new(), Vec::new());
        for filter in 0..bank.len() {
            let taps = bank.taps(filter);
            let norm = taps.iter().map(|&tap| f64::from(tap).powi(2)).sum::<f64>().sqrt();
            norms.push(if norm.is_finite() { norm } else { 0.0 });
            input.fill(0.0);
            if norms[filter] > 0.0 {
                // Scaled to unit norm, so that products stay in the range of f32.
                for (value, &tap) in input.iter_mut().zip(taps) {
                    *value = (f64::from(tap) / norms[filter]) as f32;
                }
            }
            let mut output = forward.make_output_vec();
            forward.process(&mut input, &mut output).expect("buffers of this transform");
            spectra.push(output);
        }
        let (product, correlation) = (inverse.make_input_vec(), inverse.make_output_vec());
        Self { spectra, norms, length, inverse, product, correlation }
    }

    fn align(&mut self, anchor: usize, filter: usize) -> Aligned {
        let unknown = Aligned { filter, shift: 0, similarity: None };
        if anchor == filter {
            return Aligned { similarity: (self.norms[filter] > 0.0).then_some(1.0), ..unknown };
        }
        if self.norms[anchor] == 0.0 || self.norms[filter] == 0.0 {
            return unknown;
        }
        let (a, b) = (&self.spectra[anchor], &self.spectra[filter]);
        for ((product, a), b) in self.product.iter_mut().zip(a).zip(b) {
            *product = a * b.conj();
        }
        // The first and last bin of a real signal's spectrum are real up to rounding.
        if let Some(first) = self.product.first_mut() {
            first.im = 0.0;
        }
        if let Some(last) = self.product.last_mut() {
            last.im = 0.0;
        }
        if self.inverse.process(&mut self.product, &mut self.correlation).is_err() {
            return unknown;
        }
        let points = self.correlation.len();
        let reach = self.length as isize - 1;
        let value = |shift: isize| {
            let index = shift.rem_euclid(points as isize) as usize;
            f64::from(self.correlation[index]) / points as f64
        };
        // Of equal values, the smallest shift.
        let best = (-reach..=reach)
            .max_by(|&a, &b| value(a).total_cmp(&value(b)).then(b.abs().cmp(&a.abs())))
            .unwrap_or(0);
        Aligned { filter, shift: best, similarity: Some(value(best).clamp(-1.0, 1.0)) }
    }
}
