//! Networks as ONNX graphs, front ends included.
//!
//! Every module builds its own nodes ([`Lower`]) beside its `forward`; [`to_onnx`] adds the parts that make
//! the file easy to use correctly:
//!
//! ```text
//! audio [batch, samples]            mono, in [-1, 1], at the model's rate; any length
//!   -> excerpts [batch * n, excerpt]  all whole excerpts; one, padded with zeros, if the audio is shorter
//!   -> the network                  -> predictions [batch * n, output], features [batch * n, feature]
//!   -> means over the n excerpts    -> activations [batch, output], embeddings [batch, feature]
//! ```
//!
//! as in the program's own predictions. Operators are those of opset 17, which all current runtimes support.
//! A Fourier transform of up to 2 048 samples is a convolution with a windowed Fourier basis, which every
//! device of a runtime supports; longer ones are the operator `STFT`.
//!
//! The first dimension of a tensor, the batch, is dynamic and is not part of [`Value::shape`].

mod graph;
pub mod proto;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use prost::Message;

use crate::ModelError;
pub use graph::{Edge, Graph, Intermediate, Value};
pub(crate) use graph::{Padding, Windows};
use graph::{int, ints};
use proto::{
    DataType, Dimension, Entry, GraphProto, OperatorSet, ShapeProto, Size, TensorType, TypeProto,
    ValueInfo,
};

/// Longest window whose Fourier basis is stored in the file, where it takes 16 MB.
pub(crate) const LARGEST_BASIS: usize = 2_048;

/// Largest total size of the weights: the limit of a protobuf message, less 1 MB for everything else.
const MAX_BYTES: usize = (1 << 31) - (1 << 20);

/// Names of the graph's outputs.
const OUTPUTS: [&str; 2] = ["activations", "embeddings"];

/// The function that turns logits into activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// None.
    Identity,
    /// Independent probabilities.
    Sigmoid,
    /// Probabilities of sum 1.
    Softmax,
}

/// The two results of a network, one excerpt per item.
pub struct Lowered {
    /// `[batch, output]`
    pub outputs: Value,
    /// `[batch, feature]`
    pub features: Value,
}

/// A network that can be converted to nodes of a graph.
pub trait Lower {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, one excerpt per item
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered;
}

/// The ONNX file of `model`, which takes excerpts of `excerpt_samples` samples; `metadata` becomes the metadata of
/// the file.
///
/// # Errors
/// If the file would be larger than the format allows.
pub fn to_onnx(
    model: &impl Lower,
    activation: Activation,
    excerpt_samples: usize,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ModelError> {
    let mut graph = Graph::default();
    let (excerpts, count) = excerpts(&mut graph, excerpt_samples);
    let Lowered { outputs, features } = model.lower(&mut graph, excerpts);
    let predictions = match activation {
        Activation::Identity => outputs,
        Activation::Sigmoid => graph.unary("Sigmoid", &outputs),
        Activation::Softmax => graph.softmax(&outputs),
    };
    let mut output = Vec::new();
    for (name, value) in OUTPUTS.into_iter().zip([predictions, features]) {
        mean_of_excerpts(&mut graph, &value, &count, name);
        output.push(info(name, &[open("batch"), fixed(value.shape()[0])]));
    }
    let (node, initializer) = graph.finish(&OUTPUTS);
    let bytes: usize = initializer.iter().map(|tensor| tensor.raw_data.len()).sum();
    if bytes > MAX_BYTES {
        return Err(ModelError::new(
            "onnx",
            format!("{bytes} bytes of weights"),
            format!("more than the {MAX_BYTES} bytes that fit into an ONNX file"),
            "export to safetensors instead",
        ));
    }
    let entry = |(key, value): (&String, &String)| Entry { key: key.clone(), value: value.clone() };
    let file = proto::Model {
        ir_version: 8,
        producer_name: "tonotopy".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(GraphProto {
            node,
            name: "tonotopy".into(),
            initializer,
            input: vec![info("audio", &[open("batch"), open("samples")])],
            output,
        }),
        opset_import: vec![OperatorSet { domain: String::new(), version: 17 }],
        metadata_props: metadata.iter().map(entry).collect(),
    };
    Ok(file.encode_to_vec())
}

/// The intermediate tensors of `model` for one excerpt, according to its graph: an estimate of those on a device.
pub fn intermediates(model: &impl Lower, excerpt_samples: usize) -> Vec<Intermediate> {
    let mut graph = Graph::default();
    model.lower(&mut graph, Value::new(Edge::new("audio"), vec![excerpt_samples]));
    graph.intermediates()
}

/// Audio of any length to excerpts, and an edge with the number of excerpts per item, `[1]`.
fn excerpts(graph: &mut Graph, excerpt_samples: usize) -> (Value, Edge) {
    let audio = Edge::new("audio");
    let length = graph.ints("excerpt", &[excerpt_samples as i64]);
    let (none, one) = (graph.ints("none", &[0]), graph.ints("one", &[1]));
    let (second, three) = (graph.ints("second", &[2]), graph.ints("begin", &[0, 0, 0]));
    let shape = graph.node("Shape", &[&audio], vec![]);
    let samples = graph.node("Slice", &[&shape, &one, &second], vec![]);
    let whole = graph.node("Div", &[&samples, &length], vec![]);
    let count = graph.node("Max", &[&whole, &one], vec![]);
    let needed = graph.node("Mul", &[&count, &length], vec![]);
    let missing = graph.node("Sub", &[&needed, &samples], vec![]);
    let missing = graph.node("Max", &[&missing, &none], vec![]);
    let pads = graph.node("Concat", &[&three, &missing], vec![int("axis", 0)]);
    let padded = graph.node("Pad", &[&audio, &pads], vec![]);
    let cut = graph.node("Slice", &[&padded, &none, &needed, &one], vec![]);
    let rows = graph.ints("rows", &[-1, excerpt_samples as i64]);
    let rows = graph.node("Reshape", &[&cut, &rows], vec![]);
    (Value::new(rows, vec![excerpt_samples]), count)
}

/// Adds the output of that name: the mean over the excerpts of an item.
fn mean_of_excerpts(graph: &mut Graph, value: &Value, count: &Edge, output: &str) {
    let (open, width) =
        (graph.ints("open", &[-1]), graph.ints("width", &[value.shape()[0] as i64]));
    let shape = graph.node("Concat", &[&open, count, &width], vec![int("axis", 0)]);
    let grouped = graph.node("Reshape", &[value.edge(), &shape], vec![]);
    let settings = vec![ints("axes", &[1]), int("keepdims", 0)];
    graph.node_to("ReduceMean", &[&grouped], settings, output);
}

fn open(name: &str) -> Dimension {
    Dimension { size: Some(Size::Named(name.into())) }
}

fn fixed(size: usize) -> Dimension {
    Dimension { size: Some(Size::Fixed(size as i64)) }
}

fn info(name: &str, dim: &[Dimension]) -> ValueInfo {
    let shape = ShapeProto { dim: dim.to_vec() };
    let tensor = TensorType { elem_type: DataType::Float as i32, shape: Some(shape) };
    ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

/// The values of a tensor, row-major.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().iter::<f32>().collect()
}

/// The transpose of a row-major matrix with `columns` columns.
pub(crate) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns;
    (0..matrix.len()).map(|at| matrix[at % rows * columns + at / rows]).collect()
}
