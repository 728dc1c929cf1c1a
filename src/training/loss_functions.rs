//! Loss functions, and how a logit becomes a prediction under each.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, relu, sigmoid, softmax};

use crate::experiment::Loss;

impl Loss {
    /// The loss of a batch. The weighted prediction error is not a function of logits and targets, so
    /// [`crate::training::objective`] computes it; here its name gives the squared error to the factors.
    ///
    /// # Shapes
    /// - `logits`, `targets`: `[batch, output]`
    /// - returns: `[1]`
    pub fn forward(&self, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        match self {
            // max(x, 0) - x t + log(1 + exp(-|x|)) does not overflow for any logit.
            Loss::BinaryCrossEntropy => {
                let tail = logits.clone().abs().neg().exp().add_scalar(1.0).log();
                (relu(logits.clone()) - logits * targets + tail).mean()
            }
            Loss::CrossEntropy => {
                let [batch, _] = logits.dims();
                (log_softmax(logits, 1) * targets).sum().neg().div_scalar(batch as f32)
            }
            Loss::MeanSquaredError | Loss::WeightedPredictionError => {
                (logits - targets).square().mean()
            }
            Loss::None => Tensor::zeros([1], &logits.device()),
        }
    }

    /// The predictions of logits: probabilities, or the logits themselves for real-valued targets.
    ///
    /// # Shapes
    /// - `logits`, returned: `[batch, output]`
    pub fn prediction(&self, logits: Tensor<2>) -> Tensor<2> {
        match self {
            Loss::BinaryCrossEntropy => sigmoid(logits),
            Loss::CrossEntropy => softmax(logits, 1),
            Loss::MeanSquaredError | Loss::WeightedPredictionError | Loss::None => logits,
        }
    }

    /// The loss of one excerpt, from its logits and targets on the host.
    pub fn of_row(&self, logits: &[f32], targets: &[f32]) -> f64 {
        let pairs = || logits.iter().zip(targets).map(|(x, t)| (f64::from(*x), f64::from(*t)));
        let outputs = logits.len() as f64;
        match self {
            Loss::BinaryCrossEntropy => {
                pairs().map(|(x, t)| x.max(0.0) - x * t + (-x.abs()).exp().ln_1p()).sum::<f64>()
                    / outputs
            }
            Loss::CrossEntropy => {
                let max = pairs().map(|(x, _)| x).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = pairs().map(|(x, _)| (x - max).exp()).sum();
                pairs().map(|(x, t)| t * (max + sum.ln() - x)).sum()
            }
            Loss::MeanSquaredError | Loss::WeightedPredictionError => {
                pairs().map(|(x, t)| (x - t).powi(2)).sum::<f64>() / outputs
            }
            Loss::None => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn value(loss: Loss, logits: [[f32; 3]; 2], targets: [[f32; 3]; 2]) -> f32 {
        let device = Device::flex();
        loss.forward(Tensor::from_floats(logits, &device), Tensor::from_floats(targets, &device))
            .into_scalar()
    }

    const LOGITS: [[f32; 3]; 2] = [[0.3, -1.2, 2.0], [-0.5, 0.1, 0.9]];

    #[test]
    fn binary_cross_entropy_is_its_definition() {
        let targets = [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]];
        let mut want = 0.0f64;
        for (x, t) in LOGITS.iter().flatten().zip(targets.iter().flatten()) {
            let p = 1.0 / (1.0 + f64::from(-x).exp());
            want -= if *t == 1.0f32 { p.ln() } else { (1.0 - p).ln() };
        }
        let got = f64::from(value(Loss::BinaryCrossEntropy, LOGITS, targets));
        assert!((got - want / 6.0).abs() < 1e-6, "{got} {want}");
    }

    #[test]
    fn binary_cross_entropy_is_finite_at_huge_logits() {
        let logits = [[1e4, -1e4, 1e4], [-1e4, 1e30, -1e30]];
        let right = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]];
        assert_eq!(value(Loss::BinaryCrossEntropy, logits, right), 0.0);
        let wrong = value(Loss::BinaryCrossEntropy, [[1e4; 3]; 2], [[0.0; 3]; 2]);
        assert!((wrong - 1e4).abs() < 1.0, "{wrong}");
    }

    #[test]
    fn cross_entropy_is_its_definition() {
        let targets = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
        let mut want = 0.0f64;
        for (row, class) in LOGITS.iter().zip([1, 0]) {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            want -= (f64::from(row[class]).exp() / sum).ln() / 2.0;
        }
        let got = f64::from(value(Loss::CrossEntropy, LOGITS, targets));
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }

    #[test]
    fn host_and_device_agree() {
        let targets = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
        for loss in [Loss::BinaryCrossEntropy, Loss::CrossEntropy, Loss::MeanSquaredError] {
            let rows: f64 = (0..2).map(|i| loss.of_row(&LOGITS[i], &targets[i])).sum();
            let device = f64::from(value(loss, LOGITS, targets));
            assert!((rows / 2.0 - device).abs() < 1e-6, "{loss:?}: {rows} {device}");
        }
    }

    #[test]
    fn mean_squared_error_is_its_definition() {
        let got = value(Loss::MeanSquaredError, [[1.0, 2.0, 3.0], [0.0; 3]], [[0.0; 3]; 2]);
        assert!((got - 14.0 / 6.0).abs() < 1e-6, "{got}");
    }
}
