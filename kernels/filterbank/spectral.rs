//! Energies and their gradients on the CPU, block by block in the frequency domain.

use rayon::prelude::*;
use rustfft::num_complex::Complex32;

use super::geometry::{Blocks, Geometry};
use super::spectra::{Spectrum, Transforms, spectra};
use super::vector::{AddConjugate, AddScaled, Dot, Energies, Multiply};
use super::windows::{Pooling, Window, margin};
use crate::simd::Width;

/// What the filters determine: computed once per call.
struct Prepared {
    geometry: Geometry,
    blocks: Blocks,
    pooling: Pooling,
    spectra: Vec<Spectrum>,
    /// For every step, transforms of the decimated length.
    transforms: Vec<(usize, Transforms)>,
    /// Of every band.
    windows: Vec<Window>,
}

impl Prepared {
    fn new(geometry: &Geometry, taps: &[f32], pool: &[f32], width: Width) -> Self {
        let blocks = Blocks::new(geometry, margin(geometry));
        let spectra = spectra(geometry, &blocks, taps);
        let mut steps: Vec<usize> = spectra.iter().map(|spectrum| spectrum.step).collect();
        steps.push(1);
        steps.sort_unstable();
        steps.dedup();
        let transforms =
            steps.into_iter().map(|step| (step, Transforms::new(blocks.length / step))).collect();
        let pooling = Pooling::new(geometry, &blocks);
        let bands_of = 3 - geometry.parts;
        let windows = pool
            .par_chunks_exact(geometry.window)
            .enumerate()
            .map(|(band, w)| pooling.window(w, spectra[band / bands_of].step, width))
            .collect();
        Self { geometry: *geometry, blocks, pooling, spectra, transforms, windows }
    }

    fn transforms(&self, step: usize) -> &Transforms {
        let found = self.transforms.iter().find(|(known, _)| *known == step);
        &found.expect("every step of a spectrum is listed").1
    }

    /// Number of blocks of all waveforms.
    fn all_blocks(&self) -> usize {
        self.geometry.batch * self.blocks.count
    }

    /// The bands of a spectrum: one of a complex filter, two of a pair of real ones.
    fn bands(&self, spectrum: usize) -> std::ops::Range<usize> {
        match self.geometry.parts {
            2 => spectrum..spectrum + 1,
            _ => 2 * spectrum..self.geometry.filters.min(2 * spectrum + 2),
        }
    }

    /// The part of a block that lies on the waveform: index in the block, sample, and number of samples.
    fn on_waveform(&self, block: usize) -> (usize, usize, usize) {
        let begin = self.blocks.begin(&self.geometry, block);
        let first = begin.max(0);
        let end = (begin + self.blocks.length as isize).min(self.geometry.samples as isize);
        ((first - begin) as usize, first as usize, (end - first).max(0) as usize)
    }

    /// Sets `signal` to the spectrum of block `number` of all waveforms.
    fn transform_block(
        &self,
        x: &[f32],
        number: usize,
        signal: &mut [Complex32],
        scratch: &mut [Complex32],
    ) {
        let (item, block) = (number / self.blocks.count, number % self.blocks.count);
        let (to, from, count) = self.on_waveform(block);
        signal.fill(Complex32::default());
        let x = &x[item * self.geometry.samples + from..][..count];
        for (value, x) in signal[to..].iter_mut().zip(x) {
            value.re = *x;
        }
        self.transforms(1).forward.process_with_scratch(signal, scratch);
    }

    /// Sets `buffer` to the responses of a block with spectrum `signal`; returns their number.
    fn respond(
        &self,
        spectrum: &Spectrum,
        signal: &[Complex32],
        buffer: &mut [Complex32],
        scratch: &mut [Complex32],
        width: Width,
    ) -> usize {
        let length = self.blocks.length / spectrum.step;
        let buffer = &mut buffer[..length];
        buffer.fill(Complex32::default());
        for (at, bin, low, count) in spectrum.runs(self.blocks.length) {
            width.run(Multiply {
                to: &mut buffer[low..low + count],
                a: &signal[bin..bin + count],
                b: &spectrum.values[at..at + count],
            });
        }
        self.transforms(spectrum.step).inverse.process_with_scratch(buffer, scratch);
        length
    }
}

/// Buffers of one task.
struct Buffers {
    signal: Vec<Complex32>,
    responses: Vec<Complex32>,
    energies: [Vec<f32>; 2],
    scratch: Vec<Complex32>,
}

impl Buffers {
    fn new(prepared: &Prepared) -> Self {
        let length = prepared.blocks.length;
        let scratch = prepared.transforms.iter().map(|(_, transforms)| transforms.scratch());
        Self {
            signal: vec![Complex32::default(); length],
            responses: vec![Complex32::default(); length],
            energies: [vec![0.0; length], vec![0.0; length]],
            scratch: vec![Complex32::default(); scratch.max().unwrap_or(0)],
        }
    }
}

/// Energies `[batch, frame, band]` of waveforms `[batch, sample]`; `taps` is `[filter, part, tap]`, `pool` is
/// `[band, sample]`.
pub(super) fn forward(
    geometry: &Geometry,
    x: &[f32],
    taps: &[f32],
    pool: &[f32],
    width: Width,
) -> Vec<f32> {
    let prepared = Prepared::new(geometry, taps, pool, width);
    let (bands, per_block) = (geometry.filters, prepared.blocks.frames);
    let mut found = vec![0.0; prepared.all_blocks() * per_block * bands];
    found.par_chunks_exact_mut(per_block * bands).enumerate().for_each_init(
        || Buffers::new(&prepared),
        |buffers, (number, out)| {
            let Buffers { signal, responses, energies, scratch } = buffers;
            prepared.transform_block(x, number, signal, scratch);
            let frames = prepared.blocks.of(geometry, number % prepared.blocks.count);
            for (at, spectrum) in prepared.spectra.iter().enumerate() {
                let length = prepared.respond(spectrum, signal, responses, scratch, width);
                measure(geometry, &responses[..length], energies, width);
                for (band, energies) in prepared.bands(at).zip(&*energies) {
                    let window = &prepared.windows[band];
                    let stride = geometry.options.hop_length / window.step;
                    for (row, frame) in frames.clone().enumerate() {
                        let weights = window.variant(prepared.pooling.variant(frame));
                        let energies = &energies[window.first + row * stride..][..weights.len()];
                        out[row * bands + band] = width.run(Dot { a: weights, b: energies });
                    }
                }
            }
        },
    );
    // The last block of a waveform can have fewer frames.
    let frames = geometry.frames();
    let mut out = Vec::with_capacity(geometry.batch * frames * bands);
    for item in found.chunks_exact(prepared.blocks.count * per_block * bands) {
        out.extend_from_slice(&item[..frames * bands]);
    }
    out
}

/// The energies of responses: one row for complex filters, two for pairs of real ones.
fn measure(
    geometry: &Geometry,
    responses: &[Complex32],
    energies: &mut [Vec<f32>; 2],
    width: Width,
) {
    let [first, second] = energies;
    let complex = geometry.parts == 2;
    let (first, second) = (&mut first[..responses.len()], &mut second[..responses.len()]);
    width.run(Energies { complex, responses, first, second });
}

/// Gradients; `None` for those that were not asked for.
pub(super) struct Gradients {
    /// `[batch, sample]`
    pub x: Option<Vec<f32>>,
    /// `[filter, part, tap]`
    pub taps: Option<Vec<f32>>,
    /// `[band, sample]`
    pub pool: Option<Vec<f32>>,
}

/// Which gradients are needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub x: bool,
    pub taps: bool,
    pub pool: bool,
}

/// The gradients of the inputs of [`forward`] from the gradient of its output, `[batch, frame, band]`.
pub(super) fn backward(
    geometry: &Geometry,
    (x, taps, pool): (&[f32], &[f32], &[f32]),
    gradient: &[f32],
    wanted: Wanted,
    width: Width,
) -> Gradients {
    let prepared = Prepared::new(geometry, taps, pool, width);
    let length = prepared.blocks.length;
    let mut signals = vec![Complex32::default(); prepared.all_blocks() * length];
    signals.par_chunks_exact_mut(length).enumerate().for_each_init(
        || Buffers::new(&prepared),
        |buffers, (number, signal)| {
            prepared.transform_block(x, number, signal, &mut buffers.scratch);
        },
    );
    let back = Back { prepared: &prepared, gradient, width };
    let (mut of_taps, mut of_pool) = (None, None);
    if wanted.taps || wanted.pool {
        let rows: Vec<(Vec<f32>, Vec<f32>)> = (0..prepared.spectra.len())
            .into_par_iter()
            .map_init(|| Buffers::new(&prepared), |buffers, at| back.filter(at, &signals, buffers))
            .collect();
        of_taps = wanted.taps.then(|| rows.iter().flat_map(|(taps, _)| taps).copied().collect());
        of_pool = wanted.pool.then(|| rows.iter().flat_map(|(_, pool)| pool).copied().collect());
    }
    let of_x = wanted.x.then(|| back.waveforms(&signals));
    Gradients { x: of_x, taps: of_taps, pool: of_pool }
}

/// What the tasks of the backward pass share.
struct Back<'a> {
    prepared: &'a Prepared,
    gradient: &'a [f32],
    width: Width,
}

impl Back<'_> {
    /// Replaces the responses of a block, `responses`, by the transform of their gradient; adds to the gradients of the
    /// windows of their bands.
    fn through_energies(
        &self,
        number: usize,
        spectrum: usize,
        responses: &mut [Complex32],
        buffers: (&mut [Vec<f32>; 2], &mut [Complex32]),
        mut windows: Option<&mut [Window]>,
    ) {
        let (energies, scratch) = buffers;
        let Self { prepared, gradient, width } = *self;
        let geometry = &prepared.geometry;
        let bands = geometry.filters;
        let (item, block) = (number / prepared.blocks.count, number % prepared.blocks.count);
        let gradient = &gradient[item * geometry.frames() * bands..];
        if windows.is_some() {
            measure(geometry, responses, energies, width);
        }
        let mut slopes = [vec![0.0; responses.len()], vec![0.0; responses.len()]];
        for (turn, band) in prepared.bands(spectrum).enumerate() {
            let window = &prepared.windows[band];
            let stride = geometry.options.hop_length / window.step;
            for (row, frame) in prepared.blocks.of(geometry, block).enumerate() {
                let g = gradient[frame * bands + band];
                let variant = prepared.pooling.variant(frame);
                let at = window.first + row * stride;
                let weights = window.variant(variant);
                let slope = &mut slopes[turn][at..at + window.width];
                width.run(AddScaled { to: slope, a: weights, scale: g });
                if let Some(windows) = windows.as_deref_mut() {
                    let to = &mut windows[turn].weights[variant * window.width..][..window.width];
                    width.run(AddScaled {
                        to,
                        a: &energies[turn][at..at + window.width],
                        scale: g,
                    });
                }
            }
        }
        let [first, second] = &slopes;
        let second = if geometry.parts == 2 { first } else { second };
        for (u, (a, b)) in responses.iter_mut().zip(first.iter().zip(second)) {
            *u = Complex32::new(2.0 * a * u.re, 2.0 * b * u.im);
        }
        let step = prepared.spectra[spectrum].step;
        prepared.transforms(step).forward.process_with_scratch(responses, scratch);
    }

    /// The gradients of the taps and of the windows of a filter, or of a pair of them.
    fn filter(
        &self,
        at: usize,
        signals: &[Complex32],
        buffers: &mut Buffers,
    ) -> (Vec<f32>, Vec<f32>) {
        let Self { prepared, width, .. } = *self;
        let geometry = &prepared.geometry;
        let length = prepared.blocks.length;
        let spectrum = &prepared.spectra[at];
        let mut sum = vec![Complex32::default(); spectrum.values.len()];
        let mut windows: Vec<Window> =
            prepared.bands(at).map(|band| prepared.windows[band].zeros()).collect();
        let Buffers { responses, energies, scratch, signal } = buffers;
        for (number, block) in signals.chunks_exact(length).enumerate() {
            let count = prepared.respond(spectrum, block, responses, scratch, width);
            let responses = &mut responses[..count];
            self.through_energies(number, at, responses, (energies, scratch), Some(&mut windows));
            for (own, bin, low, count) in spectrum.runs(length) {
                width.run(AddConjugate {
                    to: &mut sum[own..own + count],
                    a: &block[bin..bin + count],
                    b: &responses[low..low + count],
                });
            }
        }
        // The adjoint of the transform of the taps.
        signal.fill(Complex32::default());
        for (own, value) in sum.iter().enumerate() {
            signal[(spectrum.first + own) % length] = value / length as f32;
        }
        prepared.transforms(1).forward.process_with_scratch(signal, scratch);
        let signal = &signal[..geometry.taps];
        let mut taps: Vec<f32> = signal.iter().map(|value| value.re).collect();
        if geometry.parts == 2 || prepared.bands(at).len() == 2 {
            taps.extend(signal.iter().map(|value| value.im));
        }
        let mut pool = vec![0.0; windows.len() * geometry.window];
        for (window, pool) in windows.iter().zip(pool.chunks_exact_mut(geometry.window)) {
            prepared.pooling.scatter(window, pool, width);
        }
        (taps, pool)
    }

    /// The gradient of the waveforms.
    fn waveforms(&self, signals: &[Complex32]) -> Vec<f32> {
        let Self { prepared, width, .. } = *self;
        let geometry = &prepared.geometry;
        let length = prepared.blocks.length;
        let blocks: Vec<Vec<f32>> = signals
            .par_chunks_exact(length)
            .enumerate()
            .map_init(
                || Buffers::new(prepared),
                |buffers, (number, block)| {
                    let Buffers { responses, energies, scratch, signal } = buffers;
                    signal.fill(Complex32::default());
                    for (at, spectrum) in prepared.spectra.iter().enumerate() {
                        let count = prepared.respond(spectrum, block, responses, scratch, width);
                        let responses = &mut responses[..count];
                        self.through_energies(number, at, responses, (energies, scratch), None);
                        for (own, bin, low, count) in spectrum.runs(length) {
                            width.run(AddConjugate {
                                to: &mut signal[bin..bin + count],
                                a: &spectrum.values[own..own + count],
                                b: &responses[low..low + count],
                            });
                        }
                    }
                    prepared.transforms(1).inverse.process_with_scratch(signal, scratch);
                    let (from, _, count) = prepared.on_waveform(number % prepared.blocks.count);
                    signal[from..from + count].iter().map(|value| value.re).collect()
                },
            )
            .collect();
        let mut out = vec![0.0; geometry.batch * geometry.samples];
        for (number, values) in blocks.iter().enumerate() {
            let (item, block) = (number / prepared.blocks.count, number % prepared.blocks.count);
            let (_, to, count) = prepared.on_waveform(block);
            let out = &mut out[item * geometry.samples + to..][..count];
            for (out, value) in out.iter_mut().zip(values) {
                *out += value;
            }
        }
        out
    }
}
