//! Compares a device with the CPU: front ends and networks ([`models::self_check`]), losses, predictions and optimizer steps.

use burn::tensor::{Device, Tensor, TensorData};
use kernels::optimizer::{Adam, Momentum, adam_step, momentum_step};
use models::self_check::{Comparison, GRADIENT, Results, compare_by, noise, values};

use crate::experiment::Loss;
use crate::listening::matrix::Matrix;
use crate::training::objective::Objective;
use crate::training::weighted_prediction_error::Listeners;

/// Number of excerpts and outputs.
const SHAPE: [usize; 2] = [6, 5];

/// Compares all results on `device` with those on `reference`.
pub fn compare(device: &Device, reference: &Device) -> Vec<Comparison> {
    let mut rows = models::self_check::compare(device, reference);
    let listeners = listeners();
    for loss in [
        Loss::BinaryCrossEntropy,
        Loss::CrossEntropy,
        Loss::MeanSquaredError,
        Loss::WeightedPredictionError,
    ] {
        let heard = (loss == Loss::WeightedPredictionError).then_some(&listeners);
        let name = format!("loss, {}", loss.name());
        rows.extend(compare_by(&name, device, reference, |device| objective(loss, heard, device)));
    }
    rows.extend(compare_by("optimizer, momentum", device, reference, momentum));
    rows.extend(compare_by("optimizer, adam", device, reference, adam));
    rows
}

fn tensor<const D: usize>(seed: u32, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(seed, shape.iter().product()), shape), device)
}

/// Eight users, none of whom played the first track.
fn listeners() -> Listeners {
    let [tracks, width] = SHAPE;
    let factors = Matrix::new(8, width, noise(5, 8 * width)).expect("the shape matches the data");
    let plays = (0..tracks as u32).map(|track| (0..track).map(|user| (user, 30.0)).collect());
    Listeners::new(factors, plays)
}

fn objective(
    loss: Loss,
    listeners: Option<&Listeners>,
    device: &Device,
) -> Result<Results, String> {
    let device = device.clone().autodiff();
    let objective = Objective::new(loss, listeners, &device);
    // Large logits, because the tails of the loss functions count too.
    let logits = (tensor(1, SHAPE, &device) * 12.0).require_grad();
    let targets = match loss {
        Loss::BinaryCrossEntropy => tensor(2, SHAPE, &device).greater_elem(0.3).float(),
        Loss::CrossEntropy => Tensor::<2>::eye(SHAPE[0], &device).narrow(1, 0, SHAPE[1]),
        _ => tensor(2, SHAPE, &device),
    };
    let tracks: Vec<usize> = (0..SHAPE[0]).collect();
    let value = objective.forward(logits.clone(), targets, &tracks);
    let gradients = value.backward();
    let gradient = logits.grad(&gradients).ok_or("no gradient reaches the logits")?;
    Ok(vec![
        ("value".into(), values(value)?),
        (format!("{GRADIENT} of the logits"), values(gradient)?),
        ("predictions".into(), values(objective.prediction(logits).inner())?),
    ])
}

/// Optimizer steps before the comparison.
const STEPS: u32 = 3;

fn momentum(device: &Device) -> Result<Results, String> {
    let rule = Momentum { learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    let mut parameter = tensor(1, SHAPE, device);
    let mut velocity = Tensor::zeros(SHAPE, device);
    for step in 0..STEPS {
        let gradient = tensor(10 + step, SHAPE, device);
        (parameter, velocity) = momentum_step(parameter, gradient, velocity, rule);
    }
    Ok(vec![("parameter".into(), values(parameter)?), ("velocity".into(), values(velocity)?)])
}

fn adam(device: &Device) -> Result<Results, String> {
    let mut results = Results::new();
    for (name, decoupled) in [("Adam", false), ("AdamW", true)] {
        let (learning_rate, epsilon, weight_decay) = (0.1, 1e-8, 0.01);
        let (beta_1, beta_2) = (0.9, 0.999);
        let rule = Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, decoupled };
        let mut parameter = tensor(1, SHAPE, device);
        let mut moments = [Tensor::zeros(SHAPE, device), Tensor::zeros(SHAPE, device)];
        for step in 0..STEPS {
            let gradient = tensor(10 + step, SHAPE, device);
            (parameter, moments) = adam_step(parameter, gradient, moments, step as usize + 1, rule);
        }
        let [first, second] = moments;
        results.push((format!("{name}, parameter"), values(parameter)?));
        results.push((format!("{name}, first moment"), values(first)?));
        results.push((format!("{name}, second moment"), values(second)?));
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use models::{Example, ModelConfig, NetworkConfig};

    use super::*;

    #[test]
    fn all_layers_are_compared_and_the_cpu_agrees_with_itself() {
        let flex = Device::flex();
        let rows = compare(&flex, &flex);
        for row in &rows {
            assert!(row.ok, "{row}");
        }
        let has = |start: &str| rows.iter().filter(|row| row.layer.starts_with(start)).count();
        assert_eq!(has("loss, "), 4 * 3);
        assert_eq!(has("optimizer, "), 2 + 6);
        // Extend this list with each new front end.
        for name in ["mel", "strided", "mfcc", "multiresolution", "Laplacian", "Gaussian", "frames"]
        {
            assert!(has(name) >= 2, "{name}");
        }
        for Example { config, .. } in ModelConfig::examples() {
            let name = config.name();
            assert!(has(name) >= 3, "{name}");
        }
    }
}
