use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::*;
use crate::samples;

/// Rows of so many samples, every 16-bit number among them, and a scale for each.
fn rows(samples: usize) -> (Vec<Vec<i16>>, Vec<f32>) {
    let count = 65_536_usize.div_ceil(samples);
    let sample = |row: usize, at: usize| ((row * samples + at) * 40_503 % 65_536) as u16 as i16;
    let rows = (0..count).map(|row| (0..samples).map(|at| sample(row, at)).collect());
    (rows.collect(), (0..count).map(|row| [1.0 / 32_768.0, 0.7 / 32_767.0][row % 2]).collect())
}

fn bytes(row: &[i16]) -> Vec<u8> {
    row.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn packed(row: &[i16]) -> Vec<i32> {
    let mut out = vec![MaybeUninit::uninit(); words(row.len())];
    pack(&bytes(row), &mut out).to_vec()
}

#[test]
fn words_are_pairs_of_samples() {
    assert_eq!(packed(&[1, 2, -1, 0, 0, -1]), [1 + 2 * 65_536, 65_535, -65_536]);
    assert_eq!(packed(&[-32_768, 32_767, -2]), [32_767 * 65_536 + 32_768, 65_534]);
    assert!(packed(&[]).is_empty());
    // Into a longer place: its beginning.
    let mut out = vec![MaybeUninit::new(7); 3];
    assert_eq!(pack(&bytes(&[5]), &mut out), [5]);
}

#[test]
#[should_panic(expected = "3 bytes are no whole number of samples")]
fn half_a_sample_is_refused() {
    pack(&[0; 3], &mut [MaybeUninit::uninit(); 2]);
}

type Unpack = fn(Tensor<2, Int>, Tensor<1>, usize) -> Tensor<2>;

/// Every sample times its scale, rounded once, and what the host itself makes of them.
fn gives_the_numbers(unpack: Unpack, device: &Device, dtype: DType) {
    for samples in [1, 2, 7, 1000, 4097] {
        let (rows, scales) = rows(samples);
        let all: Vec<i32> = rows.iter().flat_map(|row| packed(row)).collect();
        let shape = [rows.len(), words(samples)];
        let given = Tensor::from_data(TensorData::new(all, shape), (device, dtype));
        let factors = Tensor::from_data(TensorData::from(scales.as_slice()), device);
        let numbers = unpack(given, factors, samples);
        assert_eq!(numbers.dims(), [rows.len(), samples]);
        let numbers: Vec<f32> = numbers.into_data().try_into_vec().unwrap();
        for ((row, scale), numbers) in rows.iter().zip(&scales).zip(numbers.chunks(samples)) {
            let expected: Vec<f32> =
                row.iter().map(|&x| (f64::from(x) * f64::from(*scale)) as f32).collect();
            assert_eq!(numbers, expected, "{samples} samples");
            let mut by_host = Vec::new();
            samples::append(&bytes(row), *scale, &mut by_host);
            assert_eq!(numbers, by_host, "{samples} samples");
        }
    }
}

#[test]
fn plain_operations_give_the_numbers_whatever_words_are_stored_as() {
    for dtype in [DType::I32, DType::I64] {
        gives_the_numbers(unpack_composite, &Device::flex(), dtype);
    }
    gives_the_numbers(unpack, &Device::flex(), DType::I32);
}

#[cfg(feature = "wgpu")]
#[test]
fn gpus_give_the_numbers() {
    for device in crate::test_gpus::adapters() {
        assert!(suit(&device) && suit(&device.clone().autodiff()));
        gives_the_numbers(unpack, &device, DType::I32);
        gives_the_numbers(unpack_composite, &device, DType::I32);
    }
}

#[test]
fn the_host_computes_on_numbers() {
    assert!(!suit(&Device::flex()) && !suit(&Device::flex().autodiff()));
}

#[test]
#[should_panic(expected = "3 words a row, of which 4 samples have 2")]
fn words_that_are_too_many_are_refused() {
    let words = Tensor::zeros([1, 3], &Device::flex());
    unpack(words, Tensor::ones([1], &Device::flex()), 4);
}
