use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use burn::module::Module;
use burn::tensor::Device;
use models::onnx::proto;
use models::{Fitted, ModelConfig, NetworkConfig};
use prost::Message;

use super::*;
use crate::experiment::Loss;
use crate::inference::model_file::{Dataset, FORMAT, Outputs, Prediction, Training};

fn config(text: &str) -> ModelConfig {
    toml::from_str(text).unwrap()
}

/// A complete model with random weights.
fn predictor(config: ModelConfig, samples: usize) -> Predictor {
    let device = Device::flex();
    device.seed(3);
    let model = config.drawn(2, samples, &Fitted::default(), &device).unwrap().valid();
    let card = Card {
        format: FORMAT,
        name: "small-s1".into(),
        about: "for tests".into(),
        tonotopy: "0.1.0".into(),
        commit: "0000000".into(),
        architecture: config.describe(),
        parameters: model.num_params(),
        sample_rate: config.sample_rate(),
        excerpt_samples: samples,
        input: "audio".into(),
        activation: Prediction::Sigmoid,
        outputs: Outputs::Tags,
        tags: vec!["guitar".into(), "<script>".into()],
        model: config,
        dataset: Dataset { name: "none".into(), settings: toml::Table::new() },
        licence: None,
        scores: None,
        training: Training { seed: 1, step: 7, loss: Loss::BinaryCrossEntropy },
        test_vectors: Vec::new(),
    };
    Predictor::of_parts(model, Fitted::default(), card)
}

fn small() -> Predictor {
    let text = "name = 'tagger'\nhidden = 6\nstages = [{ filters = 4, length = 3, pool = 2 }]\n\
                front_end = { name = 'strided', filters = 6, length = 32, stride = 32 }";
    predictor(config(text), 640)
}

fn with_norm() -> Predictor {
    let text = "name = 'samplecnn'\nstem_filters = 4\nblock_filters = [4, 6]\nhidden = 5";
    predictor(config(text), 270)
}

fn exported(predictor: &Predictor, folder: &Path, format: Format) -> PathBuf {
    let out = folder.join(format!("model.{format:?}").to_lowercase());
    export(predictor, format, &out, &Options::default()).unwrap();
    out
}

fn refused(path: &Path) -> String {
    match Predictor::load(path) {
        Ok(_) => panic!("{} was taken", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn exported_models_are_read_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for predictor in [small(), with_norm()] {
        let out = folder.path().join("model.safetensors");
        let force = Options { force: true, licence: Some("ours".into()), ..Options::default() };
        export(&predictor, Format::Safetensors, &out, &force).unwrap();
        let back = Predictor::load(&out).unwrap();
        assert_eq!(back.tags(), predictor.tags());
        assert_eq!(back.card().licence.as_deref(), Some("ours"));
        let audio = Signal::Sweep.samples(2_000);
        let rate = predictor.sample_rate();
        assert_eq!(back.predict(&audio, rate).unwrap(), predictor.predict(&audio, rate).unwrap());
        assert_eq!(back.embed(&audio, rate).unwrap(), predictor.embed(&audio, rate).unwrap());
        let rows = verify(&back).unwrap();
        assert_eq!(rows.len(), 6);
        assert!(rows.iter().all(|row| row.ok && row.max_abs == 0.0), "{rows:?}");
    }
}

#[test]
fn verification_of_changed_weights_fails() {
    let (one, other) = (small(), small());
    let card = tested_card(&one, None).unwrap();
    let (model, _) = other.parts();
    let mut weights = weights::of(model);
    weights.get_mut("hidden.weight").unwrap().values[0] += 0.5;
    let model = weights::put(model.clone(), &weights).unwrap();
    let changed = Predictor::of_parts(model, Fitted::default(), card);
    assert!(verify(&changed).unwrap().iter().any(|row| !row.ok));
    let error = verify(&one).unwrap_err().to_string();
    assert!(error.contains("no test vectors"), "{error}");
}

#[test]
fn existing_files_are_replaced_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let out = exported(&small(), folder.path(), Format::Safetensors);
    let again = export(&small(), Format::Onnx, &out, &Options::default());
    assert!(again.unwrap_err().to_string().contains("--force"));
}

#[test]
fn mutated_files_are_refused_or_give_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let predictor = small();
    let bytes = fs::read(exported(&predictor, folder.path(), Format::Safetensors)).unwrap();
    let path = folder.path().join("mutated.safetensors");
    let audio = Signal::Noise.samples(640);
    let expected = predictor.predict(&audio, 16_000).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (mut state, mut refused, mut same) = (9_u64, 0, 0);
    let mut below = |limit: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % limit
    };
    for turn in 0..4_000 {
        let mut mutated = bytes.clone();
        match turn % 8 {
            // A bit: anywhere, in the header, in the header's length.
            0 => mutated[below(bytes.len())] ^= 1 << below(8),
            1 | 2 => mutated[below(header)] ^= 1 << below(8),
            3 => mutated[below(8)] ^= 1 << below(8),
            // Cut off, grown, a piece of it elsewhere, a digit for another.
            4 => mutated.truncate(below(bytes.len())),
            5 => mutated.extend(vec![below(256) as u8; 1 + below(100)]),
            6 => {
                let (from, to, count) = (below(header), below(bytes.len() - 64), 1 + below(60));
                let piece = mutated[from..from + count].to_vec();
                mutated[to..to + count].copy_from_slice(&piece);
            }
            _ => {
                let digits: Vec<usize> =
                    (8..header).filter(|at| bytes[*at].is_ascii_digit()).collect();
                mutated[digits[below(digits.len())]] = b'0' + below(10) as u8;
            }
        }
        fs::write(&path, &mutated).unwrap();
        match Predictor::load(&path) {
            Err(error) => {
                assert!(error.to_string().contains("mutated.safetensors"), "{error}");
                refused += 1;
            }
            Ok(model) => {
                let found = model.predict(&audio, 16_000).unwrap();
                assert_eq!(found, expected, "turn {turn}");
                assert_eq!(model.tags(), predictor.tags(), "turn {turn}");
                same += 1;
            }
        }
    }
    // A digit replaced by itself, a bit in PyTorch's own entry: few.
    assert!(refused > 3_400 && same < 600, "{refused} refused, {same} the same");
}

/// The file with another card or other weights and a valid checksum.
fn forged(
    bytes: &[u8],
    card: impl Fn(&str) -> String,
    weights: impl Fn(&str, &mut Vec<f32>),
) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let mut metadata: HashMap<String, String> = metadata.metadata().clone().unwrap();
    let text = card(&metadata["tonotopy"]);
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let mut changed: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, view)| {
            let values = view.data().chunks_exact(4);
            let mut values: Vec<f32> =
                values.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            weights(name, &mut values);
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.to_string(), view.shape().to_vec(), bytes)
        })
        .collect();
    changed.sort();
    let mut hasher = blake3::Hasher::new();
    hasher.update(text.as_bytes());
    for (name, _, bytes) in &changed {
        hasher.update(name.as_bytes()).update(&[0]).update(bytes);
    }
    metadata.insert("blake3".into(), hasher.finalize().to_hex().to_string());
    metadata.insert("tonotopy".into(), text);
    let views = changed.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    serialize(views, Some(metadata)).unwrap()
}

#[test]
fn inconsistent_cards_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(exported(&small(), folder.path(), Format::Safetensors)).unwrap();
    let path = folder.path().join("forged.safetensors");
    let keep = |_: &str, _: &mut Vec<f32>| {};
    let told = |bytes: Vec<u8>| {
        fs::write(&path, bytes).unwrap();
        refused(&path)
    };
    fs::write(&path, forged(&bytes, str::to_string, keep)).unwrap();
    Predictor::load(&path).unwrap();
    let card = |from: &'static str, to: &'static str| {
        let swap = move |text: &str| {
            assert!(text.contains(from), "{from} is not in {text}");
            text.replacen(from, to, 1)
        };
        forged(&bytes, swap, keep)
    };
    for (from, to, said) in [
        ("\"hidden\":6", "\"hidden\":7", "\"hidden.weight\" has shape [6, "),
        // Refused before weights of this size are allocated.
        ("\"hidden\":6", "\"hidden\":900000", "the model needs [900000, "),
        ("\"length\":3", "\"length\":2", "has shape"),
        ("\"format\":1", "\"format\":2", "use the version that wrote it"),
        (
            "\"sample_rate\":16000,\"excerpt",
            "\"sample_rate\":22050,\"excerpt",
            "the front end takes 16000 Hz",
        ),
        ("\"guitar\",\"<script>\"", "\"guitar\"", "does not match it"),
        ("\"guitar\"", "\"gui\\u001b[31mtar\"", "control character"),
        ("\"excerpt_samples\":640", "\"excerpt_samples\":99999999999", "at most"),
        ("\"excerpt_samples\":640", "\"excerpt_samples\":1280", "has shape"),
        ("\"name\":\"tagger\"", "\"name\":\"targer\"", "unknown variant"),
        ("\"stride\":32", "\"stride\":0", "stride"),
    ] {
        let found = told(card(from, to));
        assert!(found.contains(said), "{to}: {found}");
        assert!(found.contains("forged.safetensors"), "{found}");
    }
    let nan = |name: &str, values: &mut Vec<f32>| {
        if name == "output.bias" {
            values[1] = f32::NAN;
        }
    };
    let found = told(forged(&bytes, str::to_string, nan));
    assert!(found.contains("not finite: \"output.bias\""), "{found}");
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = exported(&small(), folder.path(), Format::Onnx);
    let error = refused(&onnx);
    assert!(error.contains("an ONNX file"), "{error}");
    let at = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let renamed = at("renamed.safetensors", &fs::read(&onnx).unwrap());
    assert!(refused(&renamed).contains("is not a complete safetensors file"));
    let huge = at("huge.safetensors", &(2_u64 << 30).to_le_bytes());
    assert!(refused(&huge).contains("a header of 2147483648 bytes"));
    assert!(refused(&at("empty.safetensors", b"")).contains("too short"));
    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let bare = serialize([("x", view)], None).unwrap();
    assert!(refused(&at("bare.safetensors", &bare)).contains("tonotopy import"));
    for (kind, bytes) in [(Dtype::F16, 2), (Dtype::I64, 8)] {
        let view = TensorView::new(kind, vec![1], &[0; 8][..bytes]).unwrap();
        let other = serialize([("x", view)], None).unwrap();
        assert!(refused(&at("other.safetensors", &other)).contains("tonotopy import"));
    }
    assert!(refused(folder.path()).contains("not a run"));
    assert!(refused(&folder.path().join("none.safetensors")).contains("none.safetensors"));
}

#[test]
fn onnx_file_contains_the_card() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(exported(&small(), folder.path(), Format::Onnx)).unwrap();
    let file = proto::Model::decode(bytes.as_slice()).unwrap();
    let entry = &file.metadata_props[0];
    let card = Card::parse(&entry.value, Path::new("model.onnx")).unwrap();
    assert_eq!((entry.key.as_str(), card.test_vectors.len()), ("tonotopy", 3));
}

#[test]
fn burnpack_is_read_by_burn() {
    let folder = tempfile::tempdir().unwrap();
    let predictor = small();
    let out = exported(&predictor, folder.path(), Format::Burnpack);
    let record = burn::store::ModuleRecord::load(&out).unwrap();
    let (model, _) = predictor.parts();
    let text = fs::read_to_string(out.with_extension("json")).unwrap();
    let card = Card::parse(&text, &out).unwrap();
    let device = Device::flex();
    device.seed(99);
    let other = card.model.drawn(2, 640, &Fitted::default(), &device).unwrap().valid();
    let other = other.try_load_record(record).unwrap();
    assert_eq!(weights::of(&other), weights::of(model));
}

#[test]
fn web_page_contains_the_address_of_its_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let page = exported(&small(), folder.path(), Format::Web);
    let text = |name: &str| fs::read_to_string(page.join(name)).unwrap();
    assert!(text("runtime.js").contains("https://cdn.jsdelivr.net/npm/onnxruntime-web@"));
    assert!(text("index.html").contains("script-src 'self' https://cdn.jsdelivr.net"));
    let dist = folder.path().join("dist");
    fs::create_dir(&dist).unwrap();
    let options = Options { runtime: Some(dist.clone()), ..Options::default() };
    let out = folder.path().join("own");
    let error = export(&small(), Format::Web, &out, &options).unwrap_err().to_string();
    assert!(error.contains("npm install onnxruntime-web@"), "{error}");
    for name in web::RUNTIME_FILES {
        fs::write(dist.join(name), "x").unwrap();
    }
    let options = Options { force: true, ..options };
    export(&small(), Format::Web, &out, &options).unwrap();
    assert!(fs::read_to_string(out.join("runtime.js")).unwrap().contains("./runtime/"));
    assert!(!fs::read_to_string(out.join("index.html")).unwrap().contains("cdn"));
}

#[test]
fn results_do_not_depend_on_pieces_and_audio_is_resampled() {
    let predictor = small();
    let audio = Signal::Quiet.samples(640 * 40 + 123);
    let whole = predictor.predict(&audio, 16_000).unwrap();
    for hop in [100, 640, 1_000] {
        let mut reader = crate::inference::predictor::Reader::new(
            &predictor,
            crate::inference::predictor::ModelOutput::Predictions,
            hop,
        );
        for piece in audio.chunks(777) {
            reader.push(piece);
        }
        let rows = reader.finish().unwrap();
        let count = (audio.len() - 640) / hop + 1;
        assert_eq!(rows.values.len(), 2 * count, "hop {hop}");
        for (number, row) in rows.values.chunks_exact(2).enumerate() {
            let alone = predictor.predict(&audio[number * hop..][..640], 16_000).unwrap();
            assert!(row.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-6), "{number}");
        }
        if hop == 640 {
            assert_eq!(rows.mean().unwrap(), whole);
        }
    }
    let resampled = crate::audio::resample(&audio, 44_100, 16_000).unwrap();
    assert_eq!(
        predictor.predict(&audio, 44_100).unwrap(),
        predictor.predict(&resampled, 16_000).unwrap()
    );
    for (samples, rate) in [(&audio[..], 10), (&[][..], 16_000), (&[0.5, f32::NAN][..], 16_000)] {
        assert!(predictor.predict(samples, rate).is_err(), "{rate}");
    }
}

#[test]
fn threads_can_share_a_model() {
    fn shared<T: Send + Sync>(_: &T) {}
    let predictor = small();
    shared(&predictor);
    let audio = Signal::Sweep.samples(3_000);
    let expected = predictor.predict(&audio, 16_000).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(predictor.predict(&audio, 16_000).unwrap(), expected));
        }
    });
}
