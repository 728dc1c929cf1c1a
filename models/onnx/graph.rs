//! A graph under construction.

use std::collections::BTreeSet;

use burn::nn::Linear;

use super::numbers;
use super::proto::{Attribute, AttributeType, DataType, Node, TensorProto};

/// The name of a tensor that nodes read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge(String);

impl Edge {
    pub(super) fn new(name: &str) -> Self {
        Self(name.into())
    }
}

/// A tensor with its shape; the first dimension, the batch, is dynamic.
#[derive(Clone, Debug)]
pub struct Value {
    edge: Edge,
    shape: Vec<usize>,
}

impl Value {
    pub(super) fn new(edge: Edge, shape: Vec<usize>) -> Self {
        Self { edge, shape }
    }

    /// The dimensions after the first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }
}

/// Padding beyond the ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    Zeros,
    Reflect,
    Edge,
}

/// Windows of a convolution along the last axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub stride: usize,
    /// Number of zeros at both ends.
    pub padding: usize,
}

/// Nodes and weights in order.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Node>,
    weights: Vec<TensorProto>,
    taken: BTreeSet<String>,
    intermediates: Vec<Intermediate>,
}

/// An intermediate tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intermediate {
    /// The operator that computes it.
    pub operator: String,
    /// The dimensions after the first.
    pub shape: Vec<usize>,
}

impl Graph {
    /// The nodes and weights that the given outputs need. A network on the hidden layer of another leaves some
    /// nodes of that network unused.
    pub(super) fn finish(self, outputs: &[&str]) -> (Vec<Node>, Vec<TensorProto>) {
        let Self { mut nodes, mut weights, .. } = self;
        let mut needed: BTreeSet<String> = outputs.iter().map(ToString::to_string).collect();
        // Backwards, since a node comes before those that read it.
        for node in nodes.iter().rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                needed.extend(node.input.iter().cloned());
            }
        }
        nodes.retain(|node| node.output.iter().any(|output| needed.contains(output)));
        weights.retain(|tensor| needed.contains(&tensor.name));
        (nodes, weights)
    }

    /// The outputs of all nodes in order.
    pub(super) fn intermediates(self) -> Vec<Intermediate> {
        self.intermediates
    }

    /// The output of the last node as a value.
    fn value(&mut self, edge: Edge, shape: Vec<usize>) -> Value {
        let operator = self.nodes.last().map(|node| node.op_type.clone()).unwrap_or_default();
        self.intermediates.push(Intermediate { operator, shape: shape.clone() });
        Value::new(edge, shape)
    }

    /// An unused name: `hint`, `hint_1` and so on.
    fn name(&mut self, hint: &str) -> String {
        let mut name = hint.to_string();
        for number in 1_u32.. {
            if self.taken.insert(name.clone()) {
                break;
            }
            name = format!("{hint}_{number}");
        }
        name
    }

    /// Adds a node with one output.
    pub(super) fn node(&mut self, kind: &str, inputs: &[&Edge], settings: Vec<Attribute>) -> Edge {
        let name = self.name(kind);
        self.node_to(kind, inputs, settings, &name)
    }

    /// Adds a node with the given name of its output.
    pub(super) fn node_to(
        &mut self,
        kind: &str,
        inputs: &[&Edge],
        settings: Vec<Attribute>,
        output: &str,
    ) -> Edge {
        self.nodes.push(Node {
            input: inputs.iter().map(|edge| edge.0.clone()).collect(),
            output: vec![output.into()],
            name: output.into(),
            op_type: kind.into(),
            attribute: settings,
        });
        Edge::new(output)
    }

    /// Adds a constant; with `share`, an equal one that exists already is returned instead.
    fn constant(
        &mut self,
        hint: &str,
        dims: Vec<i64>,
        data_type: DataType,
        raw_data: Vec<u8>,
        share: bool,
    ) -> Edge {
        let data_type = data_type as i32;
        let equal = |tensor: &&TensorProto| {
            (tensor.data_type, &tensor.dims, &tensor.raw_data) == (data_type, &dims, &raw_data)
        };
        if share && let Some(tensor) = self.weights.iter().find(equal) {
            return Edge::new(&tensor.name);
        }
        let name = self.name(hint);
        self.weights.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        Edge(name)
    }

    /// Adds integers, for operators that take shapes or axes as inputs.
    pub(super) fn ints(&mut self, hint: &str, values: &[i64]) -> Edge {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(hint, vec![values.len() as i64], DataType::Int64, data, true)
    }

    /// Adds weights.
    ///
    /// # Panics
    /// If the shape and the number of values differ.
    pub(crate) fn weights(&mut self, hint: &str, shape: &[usize], values: &[f32]) -> Edge {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{hint}");
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = shape.iter().map(|&size| size as i64).collect();
        self.constant(hint, dims, DataType::Float, data, false)
    }

    /// Adds a scalar.
    pub(crate) fn number(&mut self, value: f64) -> Edge {
        let data = (value as f32).to_le_bytes().to_vec();
        self.constant("number", vec![], DataType::Float, data, true)
    }

    /// An operator with one input whose shape it keeps.
    pub(crate) fn unary(&mut self, kind: &str, x: &Value) -> Value {
        let edge = self.node(kind, &[&x.edge], vec![]);
        self.value(edge, x.shape.clone())
    }

    pub(crate) fn relu(&mut self, x: &Value) -> Value {
        self.unary("Relu", x)
    }

    pub(super) fn softmax(&mut self, x: &Value) -> Value {
        let edge = self.node("Softmax", &[&x.edge], vec![int("axis", -1)]);
        self.value(edge, x.shape.clone())
    }

    /// An operator with two inputs of the same shape.
    pub(crate) fn binary(&mut self, kind: &str, x: &Value, y: &Value) -> Value {
        let edge = self.node(kind, &[&x.edge, &y.edge], vec![]);
        self.value(edge, x.shape.clone())
    }

    /// An operator whose second input is weights that are broadcast over the first.
    pub(crate) fn with(&mut self, kind: &str, x: &Value, weights: &Edge) -> Value {
        let edge = self.node(kind, &[&x.edge, weights], vec![]);
        self.value(edge, x.shape.clone())
    }

    /// An operator whose second input is a scalar.
    pub(crate) fn scalar(&mut self, kind: &str, x: &Value, value: f64) -> Value {
        let number = self.number(value);
        self.with(kind, x, &number)
    }

    /// Convolution along the last axis.
    ///
    /// # Shapes
    /// - `x`: `[batch, channel, frame]`; `weights`: `[filter, channel, length]`, `bias`: `[filter]`
    pub(crate) fn conv(
        &mut self,
        x: &Value,
        weights: (&str, [usize; 3], &[f32]),
        bias: Option<&[f32]>,
        Windows { stride, padding }: Windows,
    ) -> Value {
        let (hint, shape, values) = weights;
        let [filters, _, length] = shape;
        let weight = self.weights(&format!("{hint}.weight"), &shape, values);
        let bias = bias.map(|bias| self.weights(&format!("{hint}.bias"), &[filters], bias));
        let settings = vec![
            ints("kernel_shape", &[length as i64]),
            ints("pads", &[padding as i64; 2]),
            ints("strides", &[stride as i64]),
        ];
        let inputs: Vec<&Edge> =
            [Some(&x.edge), Some(&weight), bias.as_ref()].into_iter().flatten().collect();
        let frames = (x.shape[1] + 2 * padding - length) / stride + 1;
        let edge = self.node("Conv", &inputs, settings);
        self.value(edge, vec![filters, frames])
    }

    /// Convolution of every channel with its own filter, with `padding` zeros at both ends.
    ///
    /// # Shapes
    /// - `x`: `[batch, channel, frame]`; `weights`: name, length and values of the filters, `[channel, length]`
    pub(crate) fn depthwise(
        &mut self,
        x: &Value,
        (hint, length, values): (&str, usize, &[f32]),
        Windows { stride, padding }: Windows,
    ) -> Value {
        let channels = x.shape[0];
        let weight = self.weights(&format!("{hint}.weight"), &[channels, 1, length], values);
        let settings = vec![
            int("group", channels as i64),
            ints("kernel_shape", &[length as i64]),
            ints("pads", &[padding as i64; 2]),
            ints("strides", &[stride as i64]),
        ];
        let frames = (x.shape[1] + 2 * padding - length) / stride + 1;
        let edge = self.node("Conv", &[&x.edge, &weight], settings);
        self.value(edge, vec![channels, frames])
    }

    /// Max-pooling along the last axis with `padding` frames beyond its end.
    pub(crate) fn max_pool(&mut self, x: &Value, pool: usize, padding: usize) -> Value {
        if pool == 1 {
            return x.clone();
        }
        let settings = vec![
            ints("kernel_shape", &[pool as i64]),
            ints("pads", &[0, padding as i64]),
            ints("strides", &[pool as i64]),
        ];
        let frames = (x.shape[1] + padding) / pool;
        let edge = self.node("MaxPool", &[&x.edge], settings);
        self.value(edge, vec![x.shape[0], frames])
    }

    /// A dense layer.
    ///
    /// # Shapes
    /// - `x`: `[batch, input]`
    pub(crate) fn linear(&mut self, hint: &str, x: &Value, layer: &Linear) -> Value {
        let [inputs, outputs] = layer.weight.dims();
        let weight = self.weights(
            &format!("{hint}.weight"),
            &[inputs, outputs],
            &numbers(layer.weight.val()),
        );
        let mut edges = vec![&x.edge, &weight];
        let bias = layer
            .bias
            .as_ref()
            .map(|bias| self.weights(&format!("{hint}.bias"), &[outputs], &numbers(bias.val())));
        edges.extend(bias.as_ref());
        let edge = self.node("Gemm", &edges, vec![]);
        self.value(edge, vec![outputs])
    }

    /// Product of the last axis with a matrix, plus an optional offset.
    ///
    /// # Shapes
    /// - `x`: `[batch, ..., input]`; `matrix`: `[input, output]`; `offset`: `[output]`
    pub(crate) fn affine(
        &mut self,
        hint: &str,
        x: &Value,
        matrix: &[f32],
        offset: Option<&[f32]>,
    ) -> Value {
        let mut shape = x.shape.clone();
        let inputs = shape.pop().unwrap_or(1);
        let outputs = matrix.len() / inputs;
        shape.push(outputs);
        let matrix = self.weights(&format!("{hint}.matrix"), &[inputs, outputs], matrix);
        let edge = self.node("MatMul", &[&x.edge, &matrix], vec![]);
        let product = self.value(edge, shape);
        match offset {
            None => product,
            Some(offset) => {
                let offset = self.weights(&format!("{hint}.offset"), &[outputs], offset);
                self.with("Add", &product, &offset)
            }
        }
    }

    /// Standardised features: the mean subtracted, then divided by the deviation.
    ///
    /// # Shapes
    /// - `x`: `[batch, feature]`; `mean`, `deviation`: `[feature]`
    pub(crate) fn standardised(&mut self, x: &Value, mean: &[f32], deviation: &[f32]) -> Value {
        let mean = self.weights("feature_means", &[mean.len()], mean);
        let deviation = self.weights("feature_deviations", &[deviation.len()], deviation);
        let centred = self.with("Sub", x, &mean);
        self.with("Div", &centred, &deviation)
    }

    /// `ReduceMean` or `ReduceMax` over an axis (0 is the batch); `keep` keeps the axis with size 1.
    pub(crate) fn reduce(&mut self, kind: &str, x: &Value, axis: usize, keep: bool) -> Value {
        let settings = vec![ints("axes", &[axis as i64]), int("keepdims", keep.into())];
        let edge = self.node(kind, &[&x.edge], settings);
        self.value(edge, reduced(&x.shape, axis, keep))
    }

    /// Sum over an axis. Unlike the other reductions, `ReduceSum` takes its axes as an input since opset 13.
    pub(crate) fn sum(&mut self, x: &Value, axis: usize, keep: bool) -> Value {
        let axes = self.ints("axes", &[axis as i64]);
        let edge = self.node("ReduceSum", &[&x.edge, &axes], vec![int("keepdims", keep.into())]);
        self.value(edge, reduced(&x.shape, axis, keep))
    }

    /// Concatenation along an axis.
    ///
    /// # Panics
    /// If `values` is empty.
    pub(crate) fn cat(&mut self, values: &[Value], axis: usize) -> Value {
        if let [one] = values {
            return one.clone();
        }
        let mut shape = values[0].shape.clone();
        shape[axis - 1] = values.iter().map(|value| value.shape[axis - 1]).sum();
        let edges: Vec<&Edge> = values.iter().map(|value| &value.edge).collect();
        let edge = self.node("Concat", &edges, vec![int("axis", axis as i64)]);
        self.value(edge, shape)
    }

    /// `length` values of an axis, beginning at `start`.
    pub(crate) fn slice(&mut self, x: &Value, axis: usize, start: usize, length: usize) -> Value {
        let mut shape = x.shape.clone();
        if (start, length) == (0, shape[axis - 1]) {
            return x.clone();
        }
        shape[axis - 1] = length;
        let (start, end) = (start as i64, (start + length) as i64);
        let (from, to) = (self.ints("start", &[start]), self.ints("end", &[end]));
        let axes = self.ints("axis", &[axis as i64]);
        let edge = self.node("Slice", &[&x.edge, &from, &to, &axes], vec![]);
        self.value(edge, shape)
    }

    /// Permutation of the axes; the first must stay in place.
    pub(crate) fn transpose(&mut self, x: &Value, order: &[usize]) -> Value {
        let shape = order[1..].iter().map(|&axis| x.shape[axis - 1]).collect();
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        let edge = self.node("Transpose", &[&x.edge], vec![ints("perm", &order)]);
        self.value(edge, shape)
    }

    /// The dimensions after the first as given; the first follows from the number of values.
    pub(crate) fn reshape(&mut self, x: &Value, shape: &[usize]) -> Value {
        let mut sizes = vec![-1];
        sizes.extend(shape.iter().map(|&size| size as i64));
        let sizes = self.ints("shape", &sizes);
        let edge = self.node("Reshape", &[&x.edge, &sizes], vec![]);
        self.value(edge, shape.to_vec())
    }

    /// Padding at both ends of the last axis.
    pub(crate) fn pad(&mut self, x: &Value, reach: usize, padding: Padding) -> Value {
        if reach == 0 {
            return x.clone();
        }
        let last = x.shape.len();
        let mut pads = vec![0; 2 * (last + 1)];
        (pads[last], pads[2 * last + 1]) = (reach as i64, reach as i64);
        let pads = self.ints("pads", &pads);
        let mode = match padding {
            Padding::Zeros => "constant",
            Padding::Reflect => "reflect",
            Padding::Edge => "edge",
        };
        let mut shape = x.shape.clone();
        shape[last - 1] += 2 * reach;
        let edge = self.node("Pad", &[&x.edge, &pads], vec![text("mode", mode)]);
        self.value(edge, shape)
    }

    /// The short-time Fourier transform: real and imaginary parts.
    ///
    /// # Shapes
    /// - `x`: `[batch, sample]`; returns: `[batch, frame, bin, 2]`
    pub(crate) fn stft(&mut self, x: &Value, window: &[f32], hop: usize) -> Value {
        let (length, samples) = (window.len(), x.shape[0]);
        let signal = self.reshape(x, &[samples, 1]);
        let step = self.integer("hop", hop);
        let size = self.integer("n_fft", length);
        let window = self.weights("window", &[length], window);
        let inputs = [&signal.edge, &step, &window, &size];
        let edge = self.node("STFT", &inputs, vec![int("onesided", 1)]);
        self.value(edge, vec![(samples - length) / hop + 1, length / 2 + 1, 2])
    }

    /// Adds an integer scalar.
    fn integer(&mut self, hint: &str, value: usize) -> Edge {
        self.constant(hint, vec![], DataType::Int64, (value as i64).to_le_bytes().to_vec(), false)
    }

    /// The share of rows in which each index has the largest score.
    ///
    /// # Shapes
    /// - `scores`: `[batch, row, index]`; returns: `[batch, index]`, of sum 1
    pub(crate) fn shares_of_largest(&mut self, scores: &Value) -> Value {
        let (rows, count) = (scores.shape[0], scores.shape[1]);
        let settings = vec![int("axis", 2), int("keepdims", 0)];
        let nearest = self.node("ArgMax", &[&scores.edge], settings);
        let depth = self.ints("depth", &[count as i64]);
        let values = self.weights("off_on", &[2], &[0.0, 1.0]);
        let edge = self.node("OneHot", &[&nearest, &depth, &values], vec![int("axis", -1)]);
        let hot = self.value(edge, vec![rows, count]);
        self.reduce("ReduceMean", &hot, 1, false)
    }
}

fn reduced(shape: &[usize], axis: usize, keep: bool) -> Vec<usize> {
    let mut shape = shape.to_vec();
    match keep {
        true => shape[axis - 1] = 1,
        false => {
            shape.remove(axis - 1);
        }
    }
    shape
}

pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute { i: Some(value), ..attribute(name, AttributeType::Int) }
}

pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn text(name: &str, value: &str) -> Attribute {
    Attribute { s: Some(value.as_bytes().to_vec()), ..attribute(name, AttributeType::String) }
}

fn attribute(name: &str, kind: AttributeType) -> Attribute {
    Attribute { name: name.into(), r#type: kind as i32, ..Attribute::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pools_are_counted_with_padding() {
        for (frames, pool, padding, pools) in
            [(8, 4, 0, 2), (9, 4, 0, 2), (9, 4, 3, 3), (11, 4, 1, 3), (5, 1, 0, 5)]
        {
            let x = Value::new(Edge::new("x"), vec![2, frames]);
            assert_eq!(Graph::default().max_pool(&x, pool, padding).shape(), [2, pools]);
        }
    }
}
