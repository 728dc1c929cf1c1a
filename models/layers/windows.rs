//! Windows of consecutive frames as rows of a matrix.

use burn::tensor::Tensor;

use crate::onnx::{Graph, Value};

/// Every window of `length` frames, one frame apart, as one row: its frames one after the other.
///
/// # Shapes
/// - `frames`: `[batch, band, frame]`, at least `length` frames
/// - returns: `[batch * window, length * band]`, the windows of an item one after the other
///
/// # Panics
/// If there are fewer frames.
pub(crate) fn windows(frames: Tensor<3>, length: usize) -> Tensor<2> {
    let [batch, bands, count] = frames.dims();
    let windows = count + 1 - length;
    let rows = frames.swap_dims(1, 2); // [batch, frame, band]
    let shifted = (0..length).map(|first| rows.clone().narrow(1, first, windows));
    let joined = match length {
        1 => rows,
        _ => Tensor::cat(shifted.collect(), 2),
    };
    joined.reshape([batch * windows, length * bands])
}

/// [`windows`] as nodes, with the batch as an axis of its own: `[batch, window, length * band]`.
pub(crate) fn lower(graph: &mut Graph, frames: &Value, length: usize) -> Value {
    let windows = frames.shape()[1] + 1 - length;
    let rows = graph.transpose(frames, &[0, 2, 1]);
    let shifted: Vec<Value> =
        (0..length).map(|first| graph.slice(&rows, 1, first, windows)).collect();
    graph.cat(&shifted, 2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::onnx::numbers;

    #[test]
    fn windows_contain_their_frames_in_order() {
        let (batch, bands, frames) = (2, 3, 5);
        let value =
            |item: usize, band: usize, frame: usize| (100 * item + 10 * band + frame) as f32;
        let values: Vec<f32> = (0..batch * bands * frames)
            .map(|at| value(at / (bands * frames), at / frames % bands, at % frames))
            .collect();
        for length in [1, 2, 5] {
            let data = TensorData::new(values.clone(), [batch, bands, frames]);
            let rows = windows(Tensor::from_data(data, &Device::flex()), length);
            let count = frames + 1 - length;
            assert_eq!(rows.dims(), [batch * count, length * bands]);
            for (at, found) in numbers(rows).into_iter().enumerate() {
                let (row, column) = (at / (length * bands), at % (length * bands));
                let (item, window) = (row / count, row % count);
                assert_eq!(found, value(item, column % bands, window + column / bands));
            }
        }
    }
}
