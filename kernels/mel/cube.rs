//! The mel spectrogram on GPUs in one pass: the kernel reads waveforms and writes bands, and all intermediate values stay
//! in shared memory and registers.
//!
//! A cube (workgroup) of 256 units computes one frame of 2048 samples, two of 1024, four of 512 and so on. The windowed
//! frame is treated as `n_fft / 2` complex values (even samples real, odd samples imaginary), which are transformed by
//! Stockham's algorithm: passes of radix 4 with one butterfly per unit (two for frames of 4096 samples), and one pass of
//! radix 2 if the length is not a power of 4. A unit holds its butterfly in registers between two barriers, so one buffer of
//! `n_fft` values per frame suffices. The first pass reads the waveforms directly. Powers (or magnitudes) of the real signal
//! replace the transform in place, and each unit sums the bins of a band. Roots of unity are read from a table, because the
//! sine of a GPU is only accurate to 2^-11.
//!
//! The kernel supports single precision, `n_fft` a power of two from 8 to 4096 (16 KiB of shared memory, which WebGPU
//! guarantees) and waveforms that need no gradient. Everything else is computed by [`log_mel_composite`].
//!
//! # What it saves
//!
//! These are counts, not times. For `[32, 48000]` samples, `n_fft` 1024, hop 256 and 128 bands, which are 184 frames per
//! waveform and 5888 in total, in MB (10^6), with every tensor counted once per operation that reads or writes it:
//!
//! | | read | written |
//! |---|---|---|
//! | composite: waveforms into blocks of one hop | 6.1 | 6.1 |
//! | four shifts of the blocks concatenated to frames | 24.1 | 24.1 |
//! | frames times Fourier basis (4.2) | 28.3 | 24.2 |
//! | sum of the squares of both parts, if fused | 24.2 | 12.1 |
//! | powers times filters (0.3) | 12.3 | 3.0 |
//! | logarithm | 3.0 | 3.0 |
//! | **composite** | **98.1** | **72.5** |
//! | **this kernel** | **6.2** | **3.0** |
//!
//! The kernel loads 24.1 MB of samples, since four frames overlap; the cache should serve three quarters of them, and the
//! table of 16 kB. That is 29 kB per frame for the composite and 1.6 kB for the kernel, a factor of 18.
//!
//! Operations per frame (multiplications and additions): window 1024, four passes of 128 butterflies of 34 operations
//! 17 408, the pass of radix 2 1024, powers 6144, filters about 2000; in total 28 thousand. The products of the composite
//! take `2 * 1024 * 1026 + 2 * 513 * 128`, 2.23 million, 80 times as many, although of the kind that GPUs do fastest.
//!
//! Known limits: in the first passes, four writes at a time hit the same bank of shared memory; bands are written in runs of
//! no more than a cube's frames; and the cube waits for the widest bands.
//!
//! [`log_mel_composite`]: super::log_mel_composite

use std::f64::consts::TAU;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeBackend, CubeDevice};

use super::{Exponent, MelPlan, ROOT_FLOOR};
use crate::gpu::{empty, grid};

/// Units per cube and bytes of shared memory that WebGPU guarantees.
const UNITS: usize = 256;
const SHARED_BYTES: usize = 16_384;
/// The largest number of butterflies in the registers of a unit; loops over them are unrolled.
const BUTTERFLIES_PER_UNIT: usize = 4;

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    n_fft: usize,
    hop_length: usize,
    n_bands: usize,
    magnitude: bool,
    compressed: bool,
    /// Per cube.
    units: usize,
    /// Per cube.
    frames: usize,
}

impl Layout {
    /// `None` if the kernel does not support the plan.
    pub fn new(plan: &MelPlan, max_units: usize, max_shared_bytes: usize) -> Option<Self> {
        let n_fft = plan.n_fft;
        if !n_fft.is_power_of_two() || n_fft < 8 || max_units == 0 {
            return None;
        }
        let units = UNITS.min(1 << max_units.ilog2());
        let layout = Self {
            n_fft,
            hop_length: plan.hop_length,
            n_bands: plan.n_bands(),
            magnitude: plan.exponent == Exponent::Magnitude,
            compressed: plan.compression.is_some(),
            units,
            frames: (units / (n_fft / 8)).max(1),
        };
        let bytes = size_of::<f32>() * layout.shared_len();
        let fits = bytes <= SHARED_BYTES.min(max_shared_bytes)
            && layout.butterflies_per_unit() <= BUTTERFLIES_PER_UNIT;
        fits.then_some(layout)
    }

    /// Complex values per transform.
    fn half(self) -> usize {
        self.n_fft / 2
    }

    /// Butterflies per radix-4 pass over one frame.
    fn butterflies(self) -> usize {
        self.half() / 4
    }

    fn butterflies_per_unit(self) -> usize {
        self.frames * self.butterflies() / self.units
    }

    /// Passes of radix 4.
    fn passes(self) -> usize {
        self.half().ilog2() as usize / 2
    }

    /// Whether a pass of radix 2 follows.
    fn odd(self) -> bool {
        !self.half().ilog2().is_multiple_of(2)
    }

    /// Distance in shared memory from one frame to the next; several frames must be in different banks.
    fn stride(self) -> usize {
        self.n_fft + usize::from(self.frames > 1)
    }

    fn shared_len(self) -> usize {
        self.frames * self.stride()
    }

    /// Index of the first root in the constants.
    fn roots(self) -> usize {
        self.n_fft
    }

    /// Number of roots `exp(-2 pi i k / n_fft)`; the third power of a butterfly's root has the largest `k`.
    fn n_roots(self) -> usize {
        self.n_fft / 4 * 3
    }
}

/// Tensors on one device.
#[derive(Clone)]
pub struct Constants {
    /// Window, roots (real and imaginary parts alternate), weights of all bands.
    values: Tensor<1>,
    /// For every band: first bin, index of the first weight in `values`, number of weights.
    bands: Tensor<1, Int>,
}

impl Constants {
    fn new(plan: &MelPlan, layout: Layout, device: &Device) -> Self {
        let mut values = plan.window.clone();
        for k in 0..layout.n_roots() {
            let angle = -TAU * k as f64 / plan.n_fft as f64;
            values.extend([angle.cos() as f32, angle.sin() as f32]);
        }
        let mut bands = Vec::new();
        for band in &plan.bands {
            let numbers = [band.first_bin, values.len(), band.weights.len()];
            bands.extend(numbers.map(|number| number as i32));
            values.extend(&band.weights);
        }
        Self {
            values: Tensor::from_data(TensorData::from(values.as_slice()), device),
            bands: Tensor::from_data(TensorData::from(bands.as_slice()), (device, DType::I32)),
        }
    }
}

/// The layout of the kernel, or `None` if it does not support these waveforms on this GPU.
pub fn layout(waveforms: &Tensor<2>, plan: &MelPlan, device: &CubeDevice) -> Option<Layout> {
    if waveforms.is_tracked() || waveforms.dtype() != DType::F32 || waveforms.dims()[0] == 0 {
        return None;
    }
    let client = device.client();
    let hardware = &client.properties().hardware;
    Layout::new(plan, hardware.max_units_per_cube as usize, hardware.max_shared_memory_size)
}

/// [`log_mel`](super::log_mel) of waveforms that need no gradient.
pub fn log_mel(waveforms: Tensor<2>, plan: &MelPlan, layout: Layout) -> Tensor<3> {
    let checkpointing = waveforms.gradient_checkpointing_strategy();
    let waveforms = waveforms.without_autodiff();
    let constants =
        plan.on_gpus.get(&waveforms.device(), |device| Constants::new(plan, layout, device));
    let n_frames = plan.n_frames(waveforms.dims()[1]);
    let output = Tensor::from_dispatch(<Dispatch as CubeMelOps>::log_mel_in_one_pass(
        waveforms.into_dispatch(),
        constants.values.into_dispatch(),
        constants.bands.into_dispatch(),
        layout,
        n_frames,
        plan.compression.unwrap_or_default(),
    ));
    match checkpointing {
        Some(strategy) => output.autodiff().with_gradient_checkpointing_strategy(strategy),
        None => output,
    }
}

#[backend_extension(Cube, Fusion)]
pub trait CubeMelOps: Backend {
    #[fusion(dtype = waveforms, shape = output_shape(waveforms, layout, *n_frames))]
    fn log_mel_in_one_pass(
        waveforms: FloatTensor<Self>,
        constants: FloatTensor<Self>,
        bands: IntTensor<Self>,
        layout: Layout,
        n_frames: usize,
        compression: f32,
    ) -> FloatTensor<Self>;
}

fn output_shape(waveforms: &Shape, layout: &Layout, n_frames: usize) -> Shape {
    Shape::from([waveforms[0], layout.n_bands, n_frames])
}

impl CubeMelOps for CubeBackend {
    fn log_mel_in_one_pass(
        waveforms: FloatTensor<Self>,
        constants: FloatTensor<Self>,
        bands: IntTensor<Self>,
        layout: Layout,
        n_frames: usize,
        compression: f32,
    ) -> FloatTensor<Self> {
        let [waveforms, constants, bands] = [waveforms, constants, bands].map(into_contiguous);
        let [batch, samples] = waveforms.shape().dims();
        let shape = output_shape(&waveforms.shape(), &layout, n_frames);
        let out = empty(&waveforms, shape, waveforms.dtype);
        let rows = batch * n_frames;
        let (count, units) = grid(&waveforms, rows.div_ceil(layout.frames), layout.units);
        in_one_pass::launch(
            &waveforms.client.clone(),
            count,
            units,
            waveforms.into_buffer_arg(),
            constants.into_buffer_arg(),
            bands.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            samples,
            n_frames,
            rows,
            compression,
            layout,
        );
        out
    }
}

/// `out` is `[batch, band, frame]`; `rows` are the frames of all waveforms.
#[cube(launch)]
fn in_one_pass(
    waveforms: &[f32],
    constants: &[f32],
    bands: &[i32],
    out: &mut [f32],
    samples: usize,
    n_frames: usize,
    rows: usize,
    compression: f32,
    #[comptime] layout: Layout,
) {
    let half = comptime!(layout.half());
    let butterflies = comptime!(layout.butterflies());
    let per_unit = comptime!(layout.butterflies_per_unit());
    let (units, frames, stride) = comptime!((layout.units, layout.frames, layout.stride()));
    let n_bands = comptime!(layout.n_bands);
    // For each frame, all real parts, then all imaginary parts; later its bins.
    let mut shared = Shared::<[f32]>::new_slice(comptime!(layout.shared_len()));
    // Four complex values per butterfly.
    let mut points = Array::<f32>::new(comptime!(8 * per_unit));
    let unit = UNIT_POS as usize;

    #[unroll]
    for turn in 0..per_unit {
        let number = unit + turn * units;
        let at = number % butterflies;
        // Units beyond the last frame repeat it, so that all units reach the barriers.
        let row = clamp_max(CUBE_POS * frames + number / butterflies, rows - 1);
        let start = row / n_frames * samples + row % n_frames * comptime!(layout.hop_length);
        #[unroll]
        for part in 0..4usize {
            let even = 2 * (at + part * butterflies);
            points[8 * turn + 2 * part] = waveforms[start + even] * constants[even];
            points[8 * turn + 2 * part + 1] = waveforms[start + even + 1] * constants[even + 1];
        }
    }
    store_butterflies(&points, &mut shared, constants, 0usize, layout);
    sync_cube();

    #[unroll]
    for pass in 1..comptime!(layout.passes()) {
        #[unroll]
        for turn in 0..per_unit {
            let number = unit + turn * units;
            let from = number / butterflies * stride + number % butterflies;
            #[unroll]
            for part in 0..4usize {
                points[8 * turn + 2 * part] = shared[from + part * butterflies];
                points[8 * turn + 2 * part + 1] = shared[from + part * butterflies + half];
            }
        }
        sync_cube();
        store_butterflies(&points, &mut shared, constants, pass, layout);
        sync_cube();
    }

    if comptime!(layout.odd()) {
        // A unit writes only values that it alone reads: two pairs instead of one butterfly.
        #[unroll]
        for turn in 0..comptime!(2 * per_unit) {
            let number = unit + turn * units;
            let pairs = comptime!(2 * butterflies);
            let re = number / pairs * stride + number % pairs;
            let im = re + half;
            let (a_re, a_im) = (shared[re], shared[im]);
            let (b_re, b_im) = (shared[re + pairs], shared[im + pairs]);
            shared[re] = a_re + b_re;
            shared[im] = a_im + b_im;
            shared[re + pairs] = a_re - b_re;
            shared[im + pairs] = a_im - b_im;
        }
        sync_cube();
    }

    // Bins k and half - k of the real signal from values k and half - k; bins replace the real parts.
    #[unroll]
    for turn in 0..comptime!(2 * per_unit) {
        let number = unit + turn * units;
        let pairs = comptime!(2 * butterflies);
        let frame = number / pairs * stride;
        let k = number % pairs;
        if k == 0 {
            let (re, im) = (shared[frame], shared[frame + half]);
            let (middle_re, middle_im) = (shared[frame + pairs], shared[frame + pairs + half]);
            let (first, last) = (re + im, re - im);
            shared[frame] = bin(first * first, layout);
            // The first imaginary part follows the last real part and has no other reader.
            shared[frame + half] = bin(last * last, layout);
            shared[frame + pairs] = bin(middle_re * middle_re + middle_im * middle_im, layout);
        } else {
            // With E and O the transforms of even and odd samples: X[k] = E + w O, and the mirror image of
            // E - w O is X[half - k].
            let (here, there) = (frame + k, frame + half - k);
            let (a_re, a_im) = (shared[here], shared[here + half]);
            let (b_re, b_im) = (shared[there], shared[there + half]);
            let (even_re, even_im) = (0.5 * (a_re + b_re), 0.5 * (a_im - b_im));
            let (odd_re, odd_im) = (0.5 * (a_im + b_im), 0.5 * (b_re - a_re));
            let root = comptime!(layout.roots()) + 2 * k;
            let (w_re, w_im) = (constants[root], constants[root + 1]);
            let turned_re = odd_re * w_re - odd_im * w_im;
            let turned_im = odd_re * w_im + odd_im * w_re;
            let (x_re, x_im) = (even_re + turned_re, even_im + turned_im);
            let (y_re, y_im) = (even_re - turned_re, even_im - turned_im);
            shared[here] = bin(x_re * x_re + x_im * x_im, layout);
            shared[there] = bin(y_re * y_re + y_im * y_im, layout);
        }
    }
    sync_cube();

    let mut item = unit;
    while item < comptime!(frames * n_bands) {
        let frame = item % frames;
        let band = item / frames;
        let row = CUBE_POS * frames + frame;
        if row < rows {
            let first = frame * stride + bands[3 * band] as usize;
            let weights = bands[3 * band + 1] as usize;
            let mut sum = 0.0f32;
            for k in 0..bands[3 * band + 2] as usize {
                sum += shared[first + k] * constants[weights + k];
            }
            if comptime!(layout.compressed) {
                sum = (compression * sum).log1p();
            }
            out[(row / n_frames * n_bands + band) * n_frames + row % n_frames] = sum;
        }
        item += units;
    }
}

/// Writes the butterflies of `points`, times their roots, to where the next pass reads them.
#[cube]
fn store_butterflies(
    points: &Array<f32>,
    shared: &mut Shared<[f32]>,
    constants: &[f32],
    pass: usize,
    #[comptime] layout: Layout,
) {
    let half = comptime!(layout.half());
    let butterflies = comptime!(layout.butterflies());
    // Transforms of `half / 4^pass` values, `4^pass` of them interleaved.
    let interleaved = 1usize << (2 * pass);
    #[unroll]
    for turn in 0..comptime!(layout.butterflies_per_unit()) {
        let number = UNIT_POS as usize + turn * comptime!(layout.units);
        let at = number % butterflies;
        let p = at / interleaved;
        let frame = number / butterflies * comptime!(layout.stride());
        let re = frame + at % interleaved + 4 * p * interleaved;
        let im = re + half;

        let (a_re, a_im) = (points[8 * turn], points[8 * turn + 1]);
        let (b_re, b_im) = (points[8 * turn + 2], points[8 * turn + 3]);
        let (c_re, c_im) = (points[8 * turn + 4], points[8 * turn + 5]);
        let (d_re, d_im) = (points[8 * turn + 6], points[8 * turn + 7]);
        let (sum_re, sum_im) = (a_re + c_re, a_im + c_im);
        let (difference_re, difference_im) = (a_re - c_re, a_im - c_im);
        let (others_re, others_im) = (b_re + d_re, b_im + d_im);
        // i (b - d)
        let (turned_re, turned_im) = (d_im - b_im, b_re - d_re);

        shared[re] = sum_re + others_re;
        shared[im] = sum_im + others_im;

        // exp(-2 pi i p / length), and its second and third power.
        let root = 4 * p * interleaved;
        let y_re = difference_re - turned_re;
        let y_im = difference_im - turned_im;
        let one = comptime!(layout.roots()) + root;
        let (w_re, w_im) = (constants[one], constants[one + 1]);
        shared[re + interleaved] = y_re * w_re - y_im * w_im;
        shared[im + interleaved] = y_re * w_im + y_im * w_re;

        let y_re = sum_re - others_re;
        let y_im = sum_im - others_im;
        let two = one + root;
        let (w_re, w_im) = (constants[two], constants[two + 1]);
        shared[re + 2 * interleaved] = y_re * w_re - y_im * w_im;
        shared[im + 2 * interleaved] = y_re * w_im + y_im * w_re;

        let y_re = difference_re + turned_re;
        let y_im = difference_im + turned_im;
        let three = two + root;
        let (w_re, w_im) = (constants[three], constants[three + 1]);
        shared[re + 3 * interleaved] = y_re * w_re - y_im * w_im;
        shared[im + 3 * interleaved] = y_re * w_im + y_im * w_re;
    }
}

/// A bin from its power.
#[cube]
fn bin(power: f32, #[comptime] layout: Layout) -> f32 {
    if comptime!(layout.magnitude) { (power + ROOT_FLOOR).sqrt() } else { power }
}
