use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::*;

fn bytes(row: &[i16]) -> Vec<u8> {
    row.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Times a power of two the conversion is exact; times another scale it is rounded once.
#[test]
fn every_sample_is_converted_at_every_width() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let bytes = bytes(&samples);
    for scale in [1.0 / 32_768.0, 0.7 / 32_767.0] {
        let product = |sample: &i16| (f64::from(*sample) * f64::from(scale)) as f32;
        for width in Width::all() {
            for (from, to) in [(0, samples.len()), (3, 20), (1, 1), (7, 40)] {
                let mut expected = vec![0.25];
                expected.extend(samples[from..to].iter().map(product));
                let mut out = vec![0.25];
                convert_with(width, &bytes[2 * from..2 * to], scale, &mut out);
                assert_eq!(out, expected, "{width:?}, {from} to {to}");
            }
        }
    }
}

#[test]
fn samples_are_rounded_to_the_nearest_step() {
    let largest = 3.0;
    for scale in [1.0 / 32_768.0, largest / 32_767.0] {
        // Steps, half steps and their neighbours; values far outside; and a sweep.
        let mut samples: Vec<f32> = (-40_000..=40_000)
            .map(|half| half as f32 * scale / 2.0)
            .flat_map(|x| [x, x.next_up(), x.next_down()])
            .collect();
        samples.extend([1e9, -1e9, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0]);
        samples.extend((0..10_000).map(|n| largest * (n as f32 * 0.37).sin()));
        let nearest = |sample: &f32| {
            let steps = (f64::from(*sample) / f64::from(scale)).round();
            steps.clamp(-32_768.0, 32_767.0) as i16
        };
        let mut expected = vec![7];
        expected.extend(samples.iter().flat_map(|sample| nearest(sample).to_le_bytes()));
        for width in Width::all() {
            let mut out = vec![7];
            quantise_with(width, &samples, scale, &mut out);
            assert_eq!(out, expected, "{width:?}");
        }
    }
    let mut out = Vec::new();
    quantise(&[f32::NAN], 1.0, &mut out);
    assert_eq!(out, i16::MIN.to_le_bytes());
}

#[test]
fn peak_is_the_largest_magnitude_and_propagates_nan() {
    assert_eq!(peak(&[]), 0.0);
    assert_eq!(peak(&[0.5, -0.75, 0.25]), 0.75);
    assert_eq!(peak(&[f32::MAX, f32::NEG_INFINITY, 0.0]), f32::INFINITY);
    for nan in [f32::NAN, -f32::NAN] {
        assert!(peak(&[f32::INFINITY, nan, 3.0]).is_nan());
    }
}

#[test]
#[should_panic(expected = "5 bytes are not a whole number of 16-bit samples")]
fn incomplete_sample_is_not_converted() {
    convert(&[0; 5], 1.0, &mut Vec::new());
}

#[test]
#[should_panic(expected = "3 bytes are not a whole number of 16-bit samples")]
fn incomplete_sample_is_not_packed() {
    pack(&[0; 3], &mut [0; 2]);
}

fn packed(row: &[i16]) -> Vec<i32> {
    let mut out = vec![0; words(row.len())];
    pack(&bytes(row), &mut out);
    out
}

#[test]
fn words_are_pairs_of_samples() {
    assert_eq!(packed(&[1, 2, -1, 0, 0, -1]), [1 + 2 * 65_536, 65_535, -65_536]);
    assert_eq!(packed(&[-32_768, 32_767, -2]), [32_767 * 65_536 + 32_768, 65_534]);
    assert!(packed(&[]).is_empty());
    let mut longer = [7; 3];
    pack(&bytes(&[5]), &mut longer);
    assert_eq!(longer, [5, 7, 7]);
}

/// Rows of `samples` samples in which every 16-bit number occurs, and one scale per row.
fn rows(samples: usize) -> (Vec<Vec<i16>>, Vec<f32>) {
    let count = 65_536_usize.div_ceil(samples);
    let sample = |row: usize, at: usize| ((row * samples + at) * 40_503 % 65_536) as u16 as i16;
    let rows = (0..count).map(|row| (0..samples).map(|at| sample(row, at)).collect());
    (rows.collect(), (0..count).map(|row| [1.0 / 32_768.0, 0.7 / 32_767.0][row % 2]).collect())
}

type Unpack = fn(Tensor<2, Int>, Tensor<1>, usize) -> Tensor<2>;

fn equals_conversion_on_the_host(unpack: Unpack, device: &Device, dtype: DType) {
    for samples in [1, 2, 7, 1000, 4097] {
        let (rows, scales) = rows(samples);
        let all: Vec<i32> = rows.iter().flat_map(|row| packed(row)).collect();
        let shape = [rows.len(), words(samples)];
        let given = Tensor::from_data(TensorData::new(all, shape), (device, dtype));
        let factors = Tensor::from_data(TensorData::from(scales.as_slice()), device);
        let unpacked = unpack(given, factors, samples);
        assert_eq!(unpacked.dims(), [rows.len(), samples]);
        let unpacked: Vec<f32> = unpacked.into_data().try_into_vec().unwrap();
        for ((row, scale), unpacked) in rows.iter().zip(&scales).zip(unpacked.chunks(samples)) {
            let mut expected = Vec::new();
            convert(&bytes(row), *scale, &mut expected);
            assert_eq!(unpacked, expected, "{samples} samples");
        }
    }
}

#[test]
fn cpu_unpacks_to_the_converted_samples() {
    for dtype in [DType::I32, DType::I64] {
        equals_conversion_on_the_host(unpack_composite, &Device::flex(), dtype);
    }
    equals_conversion_on_the_host(unpack, &Device::flex(), DType::I32);
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn converted_samples_are_unpacked_on_gpus() {
    for device in crate::testing::adapters() {
        assert!(suits(&device) && suits(&device.clone().autodiff()));
        equals_conversion_on_the_host(unpack, &device, DType::I32);
        equals_conversion_on_the_host(unpack_composite, &device, DType::I32);
    }
}

#[test]
fn packed_words_do_not_suit_the_cpu() {
    assert!(!suits(&Device::flex()) && !suits(&Device::flex().autodiff()));
}

#[test]
#[should_panic(expected = "3 words per row, but 4 samples have 2")]
fn too_many_words_are_refused() {
    let words = Tensor::zeros([1, 3], &Device::flex());
    unpack(words, Tensor::ones([1], &Device::flex()), 4);
}
