//! Dense layers: a linear layer, or a multilayer perceptron with rectified hidden layers.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

use crate::ModelError;
use crate::error::{fits_memory, in_range, list_length, valid_dropout};
use crate::layers::init::{output_linear, rectified_linear};
use crate::onnx::{Graph, Lowered, Value};

/// Largest number of hidden layers.
const MAX_LAYERS: usize = 64;

/// Settings of [`Dense`], borrowed from the config of a network.
#[derive(Clone, Copy, Debug)]
pub struct DenseConfig<'a> {
    /// Units of each hidden layer in order; empty for a linear layer.
    pub hidden: &'a [usize],
    /// Dropout probability of the inputs of all layers but the first, in training.
    pub dropout: f64,
}

impl DenseConfig<'_> {
    /// # Errors
    /// Names the first invalid value; the keys are `hidden` and `dropout`.
    pub fn validate(&self, inputs: usize) -> Result<(), ModelError> {
        valid_dropout(self.dropout)?;
        list_length("hidden", self.hidden.len(), 0, MAX_LAYERS)?;
        let mut inputs = inputs;
        for (i, &units) in self.hidden.iter().enumerate() {
            let key = format!("hidden[{i}]");
            in_range(&key, units, 1, 1_000_000)?;
            fits_memory(&key, units, &[inputs, units])?;
            inputs = units;
        }
        Ok(())
    }

    /// The layers with their initial weights.
    pub fn init(&self, inputs: usize, outputs: usize, device: &Device) -> Dense {
        Dense {
            hidden: self.init_hidden(inputs, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(*self.hidden.last().unwrap_or(&inputs), outputs, device),
        }
    }

    /// The hidden layers with their initial weights.
    pub fn init_hidden(&self, mut inputs: usize, device: &Device) -> Vec<Linear> {
        let mut hidden = Vec::new();
        for &units in self.hidden {
            hidden.push(rectified_linear(inputs, units, device));
            inputs = units;
        }
        hidden
    }

    /// The layers in a few words, for reports.
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

/// Dense layers; see the module documentation.
#[derive(Module, Debug)]
pub struct Dense {
    hidden: Vec<Linear>,
    dropout: Dropout,
    output: Linear,
}

impl Dense {
    /// The output layer, on the result of [`Dense::last_hidden`].
    ///
    /// # Shapes
    /// - `hidden`: `[batch, unit]`
    /// - returns: `[batch, output]`
    pub fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        let hidden = match self.hidden.is_empty() {
            true => hidden,
            false => self.dropout.forward(hidden),
        };
        self.output.forward(hidden)
    }

    /// The device of the weights.
    pub(crate) fn device(&self) -> Device {
        self.output.weight.lazy_device()
    }

    /// Replaces the weights of the output layer.
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

    /// The last hidden layer; the features themselves if there is no hidden layer.
    ///
    /// # Shapes
    /// - `features`: `[batch, input]`
    /// - returns: `[batch, unit]`
    pub fn last_hidden(&self, features: Tensor<2>) -> Tensor<2> {
        forward_hidden(&self.hidden, &self.dropout, features)
    }

    /// [`Dense::last_hidden`] and [`Dense::outputs`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, features: Value) -> Lowered {
        let features = lower_hidden(&self.hidden, graph, "dense.hidden", features);
        let outputs = graph.linear("dense.output", &features, &self.output);
        Lowered { outputs, features }
    }
}

/// Rectified layers, with dropout between them.
///
/// # Shapes
/// - `x`: `[batch, input]`
/// - returns: `[batch, unit]`
pub(crate) fn forward_hidden(layers: &[Linear], dropout: &Dropout, mut x: Tensor<2>) -> Tensor<2> {
    for (i, layer) in layers.iter().enumerate() {
        if i > 0 {
            x = dropout.forward(x);
        }
        x = relu(layer.forward(x));
    }
    x
}

/// [`forward_hidden`] outside training as nodes.
pub(crate) fn lower_hidden(
    layers: &[Linear],
    graph: &mut Graph,
    name: &str,
    mut x: Value,
) -> Value {
    for (number, layer) in layers.iter().enumerate() {
        x = graph.linear(&format!("{name}.{number}"), &x, layer);
        x = graph.relu(&x);
    }
    x
}
