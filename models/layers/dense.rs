//! Dense layers: a linear map, or a multilayer perceptron with rectified hidden layers.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

use crate::ModelError;
use crate::error::{fits_memory, in_range};
use crate::layers::init::{output_linear, rectified_linear};
use crate::onnx::{Graph, Lowered, Value};

/// Most hidden layers.
const MAX_LAYERS: usize = 64;

/// The dense end of a model, as its config gives it.
#[derive(Clone, Copy, Debug)]
pub struct DenseConfig<'a> {
    /// Units of each hidden layer in turn; none for a linear map.
    pub hidden: &'a [usize],
    /// Probability of dropping an input of each layer after the first, in training.
    pub dropout: f64,
}

impl DenseConfig<'_> {
    /// # Errors
    /// Names the first value that no layers can be built with; keys are `hidden` and `dropout`.
    pub fn validate(&self, inputs: usize) -> Result<(), ModelError> {
        in_range("dropout", self.dropout, 0.0, 0.99)?;
        if self.hidden.len() > MAX_LAYERS {
            let remedy = format!("list {MAX_LAYERS} at most");
            return Err(ModelError::new("hidden", self.hidden.len(), "too many layers", remedy));
        }
        let mut inputs = inputs;
        for (i, &units) in self.hidden.iter().enumerate() {
            let key = format!("hidden[{i}]");
            in_range(&key, units, 1, 1_000_000)?;
            fits_memory(&key, units, &[inputs, units])?;
            inputs = units;
        }
        Ok(())
    }

    /// Layers with their first weights.
    pub fn init(&self, inputs: usize, outputs: usize, device: &Device) -> Dense {
        let mut width = inputs;
        let mut hidden = Vec::new();
        for &units in self.hidden {
            hidden.push(rectified_linear(width, units, device));
            width = units;
        }
        Dense {
            hidden,
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(width, outputs, device),
        }
    }

    /// A few words for reports.
    pub fn describe(&self) -> String {
        let layers = match self.hidden {
            [] => "linear".to_string(),
            hidden => {
                let hidden: Vec<String> = hidden.iter().map(usize::to_string).collect();
                format!("dense {}", hidden.join(", "))
            }
        };
        match self.dropout > 0.0 && !self.hidden.is_empty() {
            true => format!("{layers}, dropout {}", self.dropout),
            false => layers,
        }
    }
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct Dense {
    hidden: Vec<Linear>,
    dropout: Dropout,
    output: Linear,
}

impl Dense {
    /// # Shapes
    /// - `features`: `[batch, input]`
    /// - returns: `[batch, output]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let x = self.last_hidden(features);
        let x = if self.hidden.is_empty() { x } else { self.dropout.forward(x) };
        self.output.forward(x)
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> Device {
        self.output.weight.lazy_device()
    }

    /// The same with another last layer.
    ///
    /// # Shapes
    /// - `weights`: `[output, input]`, `biases`: `[output]`
    pub(crate) fn with_output(mut self, weights: &[f32], biases: &[f32]) -> Self {
        let (outputs, device) = (biases.len(), self.output.weight.val().device());
        let inputs = weights.len() / outputs;
        let weights = TensorData::new(weights.to_vec(), [outputs, inputs]);
        let weights = Tensor::<2>::from_data(weights, &device).transpose();
        let biases = Tensor::<1>::from_data(TensorData::new(biases.to_vec(), [outputs]), &device);
        self.output.weight = Param::from_tensor(weights);
        self.output.bias = Some(Param::from_tensor(biases));
        self
    }

    /// The last hidden layer; the features themselves where there is none.
    ///
    /// # Shapes
    /// - `features`: `[batch, input]`
    /// - returns: `[batch, unit]`
    pub fn last_hidden(&self, features: Tensor<2>) -> Tensor<2> {
        let mut x = features;
        for (i, layer) in self.hidden.iter().enumerate() {
            if i > 0 {
                x = self.dropout.forward(x);
            }
            x = relu(layer.forward(x));
        }
        x
    }
}

impl Dense {
    /// [`Dense::last_hidden`] and [`Dense::forward`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, mut features: Value) -> Lowered {
        for (number, layer) in self.hidden.iter().enumerate() {
            let hidden = graph.linear(&format!("dense.hidden.{number}"), &features, layer);
            features = graph.relu(&hidden);
        }
        let outputs = graph.linear("dense.output", &features, &self.output);
        Lowered { outputs, features }
    }
}
