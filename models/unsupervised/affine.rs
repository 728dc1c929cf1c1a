//! Affine maps of rows.

use burn::tensor::Tensor;

use crate::fitted::Constant;
use crate::onnx::{Graph, Value};

/// `x . matrix + offset`
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    /// `[column, feature]`
    pub matrix: Constant<2>,
    /// `[1, feature]`
    pub offset: Constant<2>,
}

impl Affine {
    pub(crate) fn new((matrix, offset): (Vec<f32>, Vec<f32>)) -> Self {
        let features = offset.len();
        let columns = matrix.len() / features;
        Self {
            matrix: Constant::new(matrix, [columns, features]),
            offset: Constant::new(offset, [1, features]),
        }
    }

    pub(crate) fn features(&self) -> usize {
        self.matrix.shape()[1]
    }

    pub(crate) fn apply(&self, rows: Tensor<2>) -> Tensor<2> {
        let device = rows.device();
        rows.matmul(self.matrix.on(&device)) + self.offset.on(&device)
    }

    pub(crate) fn lower(&self, graph: &mut Graph, name: &str, rows: &Value) -> Value {
        graph.affine(name, rows, self.matrix.values(), Some(self.offset.values()))
    }
}
