//! The GPU kernel on every adapter.

use burn::backend::DispatchDevice;

use super::super::cube::{self, Layout};
use super::*;
use crate::testing::adapters;

/// The layout with which [`log_mel`] runs the kernel; `None` if it uses the composite.
fn layout(waveforms: &Tensor<2>, plan: &MelPlan) -> Option<Layout> {
    match waveforms.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => cube::layout(waveforms, plan, device),
        _ => None,
    }
}

/// Overlapping bands up to the last bin, one of them empty.
fn plan(n_fft: usize, hop: usize, exponent: Exponent, compression: Option<f32>) -> Arc<MelPlan> {
    let (bands, bins) = (13, n_fft / 2 + 1);
    let mut filters = vec![0.0; bands * bins];
    for (band, row) in filters.chunks_exact_mut(bins).enumerate().filter(|(band, _)| *band != 4) {
        let end = (band + 2) * (bins - 1) / (bands + 1) + 1;
        for (bin, weight) in row.iter_mut().enumerate().take(end).skip(band * bins / (bands + 1)) {
            *weight = 0.1 + ((bin * 7 + band) % 5) as f32 / 10.0;
        }
    }
    let window = (0..n_fft).map(|i| 0.3 + (i as f32 * 0.7).sin().abs()).collect();
    Arc::new(MelPlan::new(window, hop, &filters, exponent, compression).unwrap())
}

fn defined(plan: &MelPlan, waveforms: &[f32], batch: usize) -> Vec<f64> {
    let rows = waveforms.chunks_exact(waveforms.len() / batch);
    rows.flat_map(|row| by_definition(plan, &wide(row))).collect()
}

const ENDS: [(Exponent, Option<f32>); 4] = [
    (Exponent::Power, None),
    (Exponent::Power, Some(10.0)),
    (Exponent::Magnitude, None),
    (Exponent::Magnitude, Some(10.0)),
];

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn values_equal_the_definition_and_the_composite() {
    // Batches and frames that do not fill the last cube.
    let sizes = [
        (8, 3, 3, 301),
        (16, 16, 1, 1),
        (32, 5, 5, 77),
        (64, 32, 3, 21),
        (128, 100, 1, 33),
        (256, 64, 3, 7),
        (512, 200, 5, 3),
        (1024, 256, 1, 5),
        (2048, 512, 1, 3),
        (4096, 1024, 1, 1),
    ];
    for device in adapters() {
        for (n_fft, hop, batch, n_frames) in sizes {
            let samples = n_fft + (n_frames - 1) * hop + hop / 2;
            let waveforms = noise(n_fft as u32, batch * samples);
            for (exponent, compression) in ENDS {
                let plan = plan(n_fft, hop, exponent, compression);
                let input = tensor(&waveforms, batch, &device);
                assert!(layout(&input, &plan).is_some(), "{plan:?}");
                let output = log_mel(input.clone(), &plan);
                assert_eq!(output.dims(), [batch, plan.n_bands(), n_frames]);
                let output = values(output);
                let from_definition = error(&output, &defined(&plan, &waveforms, batch));
                let composite = values(log_mel_composite(input, &plan));
                let from_composite = error(&output, &wide(&composite));
                println!("{plan:?}: {from_definition:.1e} {from_composite:.1e}");
                assert!(from_definition < TOLERANCE, "{plan:?}: {from_definition}");
                assert!(from_composite < 2.0 * TOLERANCE, "{plan:?}: {from_composite}");
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn other_lengths_use_the_composite() {
    for device in adapters() {
        for (n_fft, hop) in [(1, 1), (4, 2), (15, 5), (75, 30), (384, 128), (1000, 250)] {
            let waveforms = noise(7, 3 * (n_fft + 4 * hop));
            let plan = plan(n_fft, hop, Exponent::Power, Some(10.0));
            let input = tensor(&waveforms, 3, &device);
            assert!(layout(&input, &plan).is_none(), "{plan:?}");
            let error = error(&values(log_mel(input, &plan)), &defined(&plan, &waveforms, 3));
            assert!(error < TOLERANCE, "{plan:?}: {error}");
        }
    }
    let plan = |n_fft| plan(n_fft, 1000, Exponent::Power, None);
    assert!(Layout::new(&plan(4096), 256, 16_384).is_some());
    assert!(Layout::new(&plan(8192), 1024, 1 << 20).is_none());
    assert!(Layout::new(&plan(4096), 256, 16_383).is_none());
    assert!(Layout::new(&plan(4096), 64, 16_384).is_none());
    assert!(Layout::new(&plan(64), 0, 16_384).is_none());
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn results_are_independent_of_units_and_cubes() {
    for device in adapters() {
        for (n_fft, units) in [(64, 100), (1024, 32), (2048, 128)] {
            let plan = plan(n_fft, n_fft / 2, Exponent::Power, Some(10.0));
            let waveforms = tensor(&noise(8, 3 * 6 * n_fft), 3, &device);
            let few = Layout::new(&plan, units, 16_384).unwrap();
            let expected = values(log_mel(waveforms.clone(), &plan));
            assert_eq!(values(cube::log_mel(waveforms, &plan, few)), expected);
        }
        // More cubes than one dimension of the grid allows.
        let plan = plan(64, 1, Exponent::Magnitude, Some(10.0));
        let waveforms = noise(9, 70_000 + 63);
        let one_per_cube = Layout::new(&plan, 8, 16_384).unwrap();
        let output = cube::log_mel(tensor(&waveforms, 1, &device), &plan, one_per_cube);
        let expected = values(log_mel(tensor(&waveforms, 1, &Device::flex()), &plan));
        assert!(error(&values(output), &wide(&expected)) < TOLERANCE);
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn spectrograms_work_among_other_operations() {
    let operations = |operation: Operation, device: &Device, plan: &Arc<MelPlan>| {
        let source = tensor(&noise(10, 5 * 900), 900, device);
        let waveforms = (source * 0.5 + 0.1).swap_dims(0, 1); // not contiguous, and not computed yet
        let bands = operation(waveforms, plan);
        values((bands.clone() * 2.0 - 1.0).square() + bands.mean_dim(2))
    };
    for device in adapters() {
        for (exponent, compression) in ENDS {
            let plan = plan(256, 100, exponent, compression);
            let [fast, composite] =
                OPERATIONS.map(|(_, operation)| operations(operation, &device, &plan));
            let error = error(&fast, &wide(&composite));
            assert!(error < 4.0 * TOLERANCE, "{plan:?}: {error}");
        }
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn silence_is_zero_and_nan_propagates() {
    for device in adapters() {
        for (exponent, compression) in ENDS {
            let plan = plan(256, 64, exponent, compression);
            for level in [0.0, 1e-30] {
                let input = tensor(&[level; 700], 1, &device);
                assert!(layout(&input, &plan).is_some());
                let output = values(log_mel(input, &plan));
                assert!(output.iter().all(|value| value.abs() < 1e-10), "{plan:?}");
            }
            let output = values(log_mel(tensor(&[f32::NAN; 700], 1, &device), &plan));
            let empty = 4;
            for (band, values) in output.chunks_exact(plan.n_frames(700)).enumerate() {
                assert!(values.iter().all(|value| value.is_nan() || band == empty), "{plan:?}");
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn tracked_waveforms_have_gradients_and_untracked_ones_use_the_kernel() {
    let device_and_back = |device: Device, operation: Operation, plan: &Arc<MelPlan>| {
        let device = device.autodiff();
        let source = tensor(&noise(11, 3 * 900), 3, &device).require_grad();
        let waveforms = source.clone() * 0.5; // tracked, and no leaf
        assert!(layout(&waveforms, plan).is_none());
        let output = operation(waveforms, plan);
        let gradient = source.grad(&output.clone().square().sum().backward()).unwrap();
        (values(output), values(gradient))
    };
    for device in adapters() {
        for (exponent, compression) in ENDS {
            let plan = plan(256, 100, exponent, compression);
            let fast = device_and_back(device.clone(), OPERATIONS[0].1, &plan);
            let composite = device_and_back(device.clone(), OPERATIONS[1].1, &plan);
            let host = device_and_back(Device::flex(), OPERATIONS[0].1, &plan);
            for other in [composite, host] {
                assert!(error(&fast.0, &wide(&other.0)) < 2.0 * TOLERANCE, "{plan:?}");
                assert!(error(&fast.1, &wide(&other.1)) < 2e-5, "{plan:?}");
            }
        }

        // In training the waveforms are data: the kernel runs, and only later operations are differentiated.
        let plan = plan(256, 100, Exponent::Power, Some(10.0));
        for device in [device.clone().autodiff(), device.autodiff().gradient_checkpointing()] {
            let waveforms = tensor(&noise(12, 3 * 900), 3, &device);
            assert!(layout(&waveforms, &plan).is_some());
            let bands = log_mel(waveforms.clone(), &plan);
            assert_eq!(bands.device(), device);
            assert_eq!(
                bands.gradient_checkpointing_strategy(),
                waveforms.gradient_checkpointing_strategy()
            );
            assert!(!bands.is_tracked());
            let scale = Tensor::<3>::ones([1, plan.n_bands(), 1], &device).require_grad();
            let gradient = scale.grad(&(bands.clone() * scale.clone()).sum().backward()).unwrap();
            let expected = values(log_mel_composite(waveforms, &plan).sum_dim(2).sum_dim(0));
            assert!(error(&values(gradient), &wide(&expected)) < 2.0 * TOLERANCE);
        }
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn threads_can_share_a_plan() {
    for device in adapters() {
        let plan = plan(256, 100, Exponent::Power, Some(10.0));
        let run = || values(log_mel(tensor(&noise(13, 3 * 900), 3, &device) * 0.5, &plan));
        let first = run();
        std::thread::scope(|scope| {
            let others = [scope.spawn(run), scope.spawn(run)];
            assert!(others.into_iter().all(|other| other.join().unwrap() == first));
        });
    }
}
