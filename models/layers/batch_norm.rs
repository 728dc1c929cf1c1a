//! Batch normalisation outside training: one scale and one shift per channel.

use burn::nn::BatchNorm;

use crate::onnx::{Graph, Value, numbers};

/// The scale and the shift of each channel.
pub(crate) fn scale_and_shift(norm: &BatchNorm) -> (Vec<f64>, Vec<f64>) {
    let [gamma, beta] = [&norm.gamma, &norm.beta].map(|param| numbers(param.val()));
    let [mean, variance] =
        [&norm.running_mean, &norm.running_var].map(|state| numbers(state.value_sync()));
    let scales: Vec<f64> = gamma
        .iter()
        .zip(&variance)
        .map(|(gamma, variance)| f64::from(*gamma) / (f64::from(*variance) + norm.epsilon).sqrt())
        .collect();
    let shifts = beta
        .iter()
        .zip(mean)
        .zip(&scales)
        .map(|((beta, mean), scale)| f64::from(*beta) - f64::from(mean) * scale)
        .collect();
    (scales, shifts)
}

/// Batch normalisation as nodes; see [`Lower`](crate::onnx::Lower).
///
/// # Shapes
/// - `x`: `[batch, channel, ...]`
pub(crate) fn lower(norm: &BatchNorm, graph: &mut Graph, name: &str, x: &Value) -> Value {
    let (scales, shifts) = scale_and_shift(norm);
    let mut shape = vec![1; x.shape().len()];
    shape[0] = scales.len();
    let [scales, shifts] =
        [scales, shifts].map(|values| values.iter().map(|x| *x as f32).collect::<Vec<_>>());
    let scales = graph.weights(&format!("{name}.scale"), &shape, &scales);
    let shifts = graph.weights(&format!("{name}.shift"), &shape, &shifts);
    let x = graph.with("Mul", x, &scales);
    graph.with("Add", &x, &shifts)
}
