//! Every model as an ONNX file, which is valid and computes the same outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use burn::module::Module;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use models::onnx::{Activation, proto, to_onnx};
use models::{Model, Network, NetworkConfig};
use prost::Message;

use crate::cases::{Case, build, cases as all, noise, toml, values};

/// All models, and one whose Fourier transforms are too long for a stored basis.
fn cases() -> Vec<Case> {
    let mut cases = all();
    let config = "name = 'tagger'\nhidden = 8\nstages = [{ filters = 4, length = 3, pool = 2 }]\n\
                  front_end = { name = 'multiresolution', windows = [512, 4096, 8192], n_mels = 12 }";
    cases.push(Case { config: toml(config), samples: 24_000 });
    cases
}

fn model(case: &Case) -> Model {
    build(case, 5, &Device::flex()).valid()
}

const ACTIVATIONS: [Activation; 3] =
    [Activation::Sigmoid, Activation::Softmax, Activation::Identity];

/// Every name is defined once, before its use, and used.
#[test]
fn graphs_are_valid_and_have_no_unused_nodes() {
    for case in cases() {
        let bytes = to_onnx(&model(&case), Activation::Sigmoid, case.samples, &BTreeMap::new());
        let file = proto::Model::decode(bytes.unwrap().as_slice()).unwrap();
        let graph = file.graph.unwrap();
        let place = format!("{:?}", case.config);
        let mut made: BTreeSet<&str> = BTreeSet::from(["audio"]);
        for tensor in &graph.initializer {
            assert!(made.insert(&tensor.name), "{place}: {} is defined twice", tensor.name);
            let count: i64 = tensor.dims.iter().product();
            let size = if tensor.data_type == proto::DataType::Float as i32 { 4 } else { 8 };
            assert_eq!(tensor.raw_data.len() as i64, count * size, "{place}: {}", tensor.name);
        }
        let mut used: BTreeSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(used, BTreeSet::from(["activations", "embeddings"]), "{place}");
        for node in &graph.node {
            for input in &node.input {
                assert!(
                    made.contains(input.as_str()),
                    "{place}: {input} is used before its definition"
                );
                used.insert(input);
            }
            for output in &node.output {
                assert!(made.insert(output), "{place}: {output} is defined twice");
            }
        }
        let dead: Vec<&&str> = made.difference(&used).collect();
        assert!(dead.is_empty(), "{place}: {dead:?} are unused");
    }
}

#[test]
fn metadata_is_in_the_file() {
    let case = &cases()[0];
    let metadata = BTreeMap::from([("tonotopy".to_string(), "{}".to_string())]);
    let bytes = to_onnx(&model(case), Activation::Identity, case.samples, &metadata).unwrap();
    let file = proto::Model::decode(bytes.as_slice()).unwrap();
    assert_eq!((file.metadata_props[0].key.as_str(), file.ir_version), ("tonotopy", 8));
}

fn write(path: &Path, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(path, bytes).unwrap();
}

/// The expected outputs for `audio` `[batch, samples]`: means over all whole excerpts, or one excerpt padded with
/// zeros if the audio is shorter.
fn expected(
    model: &Model,
    activation: Activation,
    audio: &[f32],
    batch: usize,
    excerpt: usize,
) -> [Vec<f32>; 2] {
    let samples = audio.len() / batch;
    let count = (samples / excerpt).max(1);
    let mut found = [Vec::new(), Vec::new()];
    for item in audio.chunks_exact(samples) {
        let mut padded = item.to_vec();
        padded.resize(samples.max(excerpt), 0.0);
        padded.truncate(count * excerpt);
        let rows = TensorData::new(padded, [count, excerpt]);
        let rows = Tensor::<2>::from_data(rows, &Device::flex());
        let logits = model.forward(rows.clone());
        let predictions = match activation {
            Activation::Identity => logits,
            Activation::Sigmoid => sigmoid(logits),
            Activation::Softmax => softmax(logits, 1),
        };
        found[0].extend(values(predictions.mean_dim(0)));
        found[1].extend(values(model.embed(rows).mean_dim(0)));
    }
    found
}

/// The checker of onnx accepts every file, and onnxruntime computes our outputs for several batch sizes and for
/// lengths below, at and above one excerpt.
#[test]
#[ignore = "needs Python with onnx and onnxruntime"]
fn onnxruntime_computes_the_same() {
    // TONOTOPY_PYTHON names the one with models/tests/requirements.txt.
    let python = std::env::var("TONOTOPY_PYTHON").unwrap_or_else(|_| "python3".into());
    let folder = tempfile::tempdir().unwrap();
    for (number, case) in cases().iter().enumerate() {
        let model = model(case);
        let activation = ACTIVATIONS[number % ACTIVATIONS.len()];
        let at = folder.path().join(format!("{number:02}-{}", case.config.name()));
        std::fs::create_dir(&at).unwrap();
        let bytes = to_onnx(&model, activation, case.samples, &BTreeMap::new()).unwrap();
        std::fs::write(at.join("model.onnx"), bytes).unwrap();
        // Networks on features need whole frames.
        let lengths = match case.config.takes_audio() {
            true => vec![case.samples / 2, case.samples, 2 * case.samples + case.samples / 3],
            false => vec![case.samples, 3 * case.samples],
        };
        for (turn, samples) in lengths.into_iter().enumerate() {
            let batch = [3, 1, 2][turn];
            let audio = noise(samples, batch, [0.5, 0.02, 0.2][turn]);
            let [activations, embeddings] =
                expected(&model, activation, &audio, batch, case.samples);
            let name = |what: &str| at.join(format!("{batch}x{samples}.{what}"));
            write(&name("audio"), &audio);
            write(&name("activations"), &activations);
            write(&name("embeddings"), &embeddings);
        }
    }
    let out = Command::new(python).arg("tests/run_onnx.py").arg(folder.path()).output().unwrap();
    println!("{}", String::from_utf8_lossy(&out.stdout));
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}
