//! Networks as ONNX graphs, front ends included.
//!
//! Every module writes its own nodes ([`Lower`]) beside its `forward`; [`to_onnx`] puts the parts around
//! them that make the file hard to use wrongly:
//!
//! ```text
//! audio [batch, samples]            mono, in [-1, 1], at the model's rate; any length
//!   -> excerpts [batch * n, excerpt]  as many whole ones as fit; one, padded with silence, if none does
//!   -> the network                  -> predictions [batch * n, output], features [batch * n, feature]
//!   -> means over the n excerpts    -> activations [batch, output], embeddings [batch, feature]
//! ```
//!
//! which is what the program's own predictions are. Operators are those of opset 17, which every runtime
//! of the last years has. A Fourier transform of up to 2 048 samples is a convolution with
//! a windowed Fourier basis, which all of a runtime's devices compute; longer ones are the operator `STFT`.
//!
//! Of a shape, the first dimension is open (items of a batch) and never stands in [`Value::shape`].

mod graph;
pub mod proto;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use prost::Message;

use crate::{Model, ModelError};
pub use graph::{Edge, Graph, Made, Value};
pub(crate) use graph::{Padding, Windows};
use graph::{int, ints};
use proto::{
    DataType, Dimension, Entry, GraphProto, OperatorSet, ShapeProto, Size, TensorType, TypeProto,
    ValueInfo,
};

/// Longest window whose Fourier basis is written out: 16 MB.
pub(crate) const LARGEST_BASIS: usize = 2_048;

/// Largest file: what a protobuf message may hold, less room for the rest.
const MAX_BYTES: usize = (1 << 31) - (1 << 20);

/// Names of the graph's outputs.
const OUTPUTS: [&str; 2] = ["activations", "embeddings"];

/// What becomes of the network's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// Independent probabilities.
    Sigmoid,
    /// Probabilities that sum to one.
    Softmax,
}

/// A network's two results, of one excerpt an item.
pub struct Lowered {
    /// `[batch, output]`
    pub outputs: Value,
    /// `[batch, feature]`
    pub features: Value,
}

/// A network that can write itself down as nodes of a graph.
pub trait Lower {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, an excerpt an item
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered;
}

/// The file for `model`.
///
/// `metadata` goes into the file as it is.
///
/// # Errors
/// If the file would be larger than the format allows.
pub fn to_onnx(
    model: &Model,
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
            format!("more than the {MAX_BYTES} that an ONNX file can hold"),
            "export to safetensors instead",
        ));
    }
    let entry = |(key, value): (&String, &String)| Entry { key: key.clone(), value: value.clone() };
    let file = proto::Model {
        ir_version: 8,
        producer_name: "tonotopy".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: String::new(),
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

/// The tensors that `model` makes of an excerpt on its way, as its graph has them: by estimate those that it makes on
/// a device.
pub fn made(model: &Model, excerpt_samples: usize) -> Vec<Made> {
    let mut graph = Graph::default();
    model.lower(&mut graph, Value::new(Edge::new("audio"), vec![excerpt_samples]));
    graph.made()
}

/// Audio of any length to excerpts; and the edge that holds how many an item has, `[1]`.
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

/// Writes the mean over the excerpts of an item to the output of that name.
fn mean_of_excerpts(graph: &mut Graph, value: &Value, count: &Edge, output: &str) {
    let (open, width) =
        (graph.ints("open", &[-1]), graph.ints("width", &[value.shape()[0] as i64]));
    let shape = graph.node("Concat", &[&open, count, &width], vec![graph::int("axis", 0)]);
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
    ValueInfo {
        name: name.into(),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        doc_string: String::new(),
    }
}

/// The numbers of a tensor, row-major, as they go into a file.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().iter::<f32>().collect()
}
