//! Audio on the host where it lies: the rows of a batch as stretches of tracks that stay in memory.
//!
//! ```text
//! x[b, n] = scale[b] s[b, n]          s: 16 bits with sign, two bytes each, the lower one first
//! ```
//!
//! To lay rows beside each other is to copy them, and of tracks that no cache of the processor holds that is a wait for the
//! memory. An operation that goes through a row once anyway ([`mel::log_mel_of_stretches`](crate::mel::log_mel_of_stretches))
//! can do its waiting while it works.

use std::fmt;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::samples;

/// The beginning of a row, in a track that others may hold too.
#[derive(Clone, PartialEq)]
pub struct Stretch {
    track: Arc<Vec<u8>>,
    start: usize,
    scale: f32,
}

impl Stretch {
    /// What begins at sample `start` of a track, stored in steps of `scale`.
    pub fn new(track: Arc<Vec<u8>>, start: usize, scale: f32) -> Self {
        Self { track, start, scale }
    }
}

impl fmt::Debug for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stretch")
            .field("track", &format_args!("{} bytes", self.track.len()))
            .field("start", &self.start)
            .field("scale", &self.scale)
            .finish()
    }
}

/// Rows of the same length.
#[derive(Clone, Debug)]
pub struct Stretches {
    rows: Vec<Stretch>,
    samples: usize,
    /// Where what is made of them belongs.
    device: Device,
}

impl Stretches {
    /// `samples` samples from the beginning of each; what is made of them goes to `device`, with autodiff or without.
    ///
    /// # Panics
    /// If a track ends before.
    pub fn new(rows: Vec<Stretch>, samples: usize, device: &Device) -> Self {
        for (number, Stretch { track, start, .. }) in rows.iter().enumerate() {
            assert!(
                start + samples <= track.len() / 2,
                "row {number} has {samples} samples from {start} on, its track {}",
                track.len() / 2
            );
        }
        Self { rows, samples, device: device.clone() }
    }

    /// Of a row.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Where what is made of them belongs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// `[row, sample]`.
    pub fn numbers(&self) -> Tensor<2> {
        let mut numbers = Vec::with_capacity(self.rows.len() * self.samples);
        for (bytes, scale) in self.rows() {
            samples::append(bytes, scale, &mut numbers);
        }
        let shape = [self.rows.len(), self.samples];
        Tensor::from_data(TensorData::new(numbers, shape), &self.device)
    }

    /// Bytes and step of each row.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = (&[u8], f32)> {
        self.rows.iter().map(|Stretch { track, start, scale }| {
            (&track[2 * start..2 * (start + self.samples)], *scale)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Stretch> {
        let track = |numbers: &[i16]| -> Arc<Vec<u8>> {
            Arc::new(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
        };
        let (track, other) = (track(&[1, -2, 32_767, -32_768, 5]), track(&[7, 8, 9]));
        vec![
            Stretch::new(track.clone(), 2, 0.5),
            Stretch::new(other, 0, 2.0),
            Stretch::new(track, 0, 1.0 / 32_768.0),
        ]
    }

    #[test]
    fn numbers_are_steps_times_their_size() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let stretches = Stretches::new(rows(), 3, &device);
            assert_eq!((stretches.samples(), stretches.device()), (3, &device));
            let numbers = stretches.numbers();
            assert_eq!((numbers.dims(), numbers.device()), ([3, 3], device));
            let expected =
                [16_383.5, -16_384.0, 2.5, 14.0, 16.0, 18.0, 1.0 / 32_768.0, -2.0 / 32_768.0]
                    .into_iter()
                    .chain([32_767.0 / 32_768.0]);
            let numbers: Vec<f32> = numbers.into_data().try_into_vec().unwrap();
            assert_eq!(numbers, expected.collect::<Vec<f32>>());
        }
        let none = Stretches::new(Vec::new(), 3, &Device::flex());
        assert_eq!(none.numbers().dims(), [0, 3]);
    }

    #[test]
    #[should_panic(expected = "row 0 has 4 samples from 2 on, its track 5")]
    fn a_row_behind_the_end_of_its_track_is_refused() {
        Stretches::new(rows(), 4, &Device::flex());
    }

    #[test]
    fn what_is_printed_is_short() {
        let text = format!("{:?}", rows()[0]);
        assert_eq!(text, "Stretch { track: 10 bytes, start: 2, scale: 0.5 }");
    }
}
