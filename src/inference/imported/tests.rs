use super::*;

/// A Python object in a checkpoint.
#[derive(Clone)]
enum Object {
    Int(i32),
    Float(f64),
    Text(&'static str),
    List(Vec<Object>),
    Dict(Vec<(String, Object)>),
    /// The name of the storage class, the shape and the bytes.
    Tensor(&'static str, Vec<usize>, Vec<u8>),
}

use Object::{Dict, Float as Real, Int, List, Text};

fn dict<const N: usize>(entries: [(&str, Object); N]) -> Object {
    Dict(entries.map(|(key, value)| (key.to_string(), value)).into())
}

/// Writes the checkpoint format of PyTorch before 1.6 (`torch/serialization.py`, `_legacy_save`): pickles of a magic
/// number, the version, the system, the object and the keys of its storages, then the storages.
#[derive(Default)]
struct Writer {
    pickle: Vec<u8>,
    /// Number of elements and bytes.
    storages: Vec<(usize, Vec<u8>)>,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.pickle.push(b'X');
        self.pickle.extend((text.len() as u32).to_le_bytes());
        self.pickle.extend(text.as_bytes());
    }

    fn int(&mut self, value: usize) {
        self.pickle.push(b'J');
        self.pickle.extend((value as i32).to_le_bytes());
    }

    fn integers(&mut self, values: impl IntoIterator<Item = usize>) {
        self.pickle.push(b'(');
        values.into_iter().for_each(|value| self.int(value));
        self.pickle.push(b't');
    }

    fn object(&mut self, object: &Object) {
        match object {
            Int(value) => self.int(*value as usize),
            Real(value) => {
                self.pickle.push(b'G');
                self.pickle.extend(value.to_be_bytes());
            }
            Text(text) => self.text(text),
            List(items) => {
                self.pickle.extend(b"](");
                items.iter().for_each(|item| self.object(item));
                self.pickle.push(b'e');
            }
            Dict(entries) => {
                self.pickle.extend(b"}(");
                for (key, value) in entries {
                    self.text(key);
                    self.object(value);
                }
                self.pickle.push(b'u');
            }
            Object::Tensor(class, shape, bytes) => {
                let count = shape.iter().product();
                self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
                self.text("storage");
                self.pickle.extend(format!("ctorch\n{class}\n").bytes());
                self.text(&self.storages.len().to_string());
                self.text("cpu");
                self.int(count);
                self.pickle.extend(b"NtQ");
                self.int(0);
                self.integers(shape.iter().copied());
                let strides = (1..=shape.len()).map(|from| shape[from..].iter().product());
                self.integers(strides);
                self.pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
                self.storages.push((count, bytes.clone()));
            }
        }
    }

    fn write(object: &Object) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.object(object);
        let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
        file.extend(b"\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.\x80\x02");
        file.extend(&writer.pickle);
        let storages = std::mem::take(&mut writer.storages);
        writer.pickle = b".\x80\x02](".to_vec();
        (0..storages.len()).for_each(|at| writer.text(&at.to_string()));
        file.extend(&writer.pickle);
        file.extend(b"e.");
        for (count, bytes) in storages {
            file.extend((count as u64).to_le_bytes());
            file.extend(bytes);
        }
        file
    }
}

fn tensor(shape: &[usize], values: &[f32]) -> Object {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Object::Tensor("FloatStorage", shape.to_vec(), bytes)
}

const MATRIX: [f32; 4] = [1.0, -2.0, 0.5, 4.0];
const BIAS: [f32; 2] = [0.25, -8.0];

fn needed() -> Shapes {
    Shapes::from([("a.weight".to_string(), vec![2, 2]), ("a.bias".to_string(), vec![2])])
}

/// The network's weights with a prefix before each name.
fn network(prefix: &str) -> Vec<(String, Object)> {
    vec![
        (format!("{prefix}a.weight"), tensor(&[2, 2], &MATRIX)),
        (format!("{prefix}a.bias"), tensor(&[2], &BIAS)),
    ]
}

fn adam() -> Object {
    let moments = |at| (format!("{at}"), dict([("exp_avg", tensor(&[2], &[7.0; 2]))]));
    dict([
        ("state", Dict((0..2).map(moments).collect())),
        ("param_groups", List(vec![dict([("lr", Real(0.001))])])),
    ])
}

fn read(name: &str, bytes: &[u8]) -> Result<Imported> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    // The values of a checkpoint are read later.
    let _ = folder.keep();
    Imported::read(&path)
}

fn checkpoint(object: &Object) -> Imported {
    read("x.pth", &Writer::write(object)).unwrap()
}

fn rules(rules: &[&str]) -> Vec<Rename> {
    rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_is_network(selection: &Selection) {
    let array =
        |shape: &[usize], values: &[f32]| Array { shape: shape.into(), values: values.into() };
    let expected = [("a.bias", array(&[2], &BIAS)), ("a.weight", array(&[2, 2], &MATRIX))];
    let expected = Weights::from(expected.map(|(name, array)| (name.to_string(), array)));
    assert_eq!(selection.weights, expected);
}

#[test]
fn weights_are_found_wherever_training_programs_store_them() {
    let plain = || Dict(network(""));
    let mut lightning = network("model.");
    lightning.push(("loss.pos_weight".into(), tensor(&[1], &[3.0])));
    let mut flat = network("");
    flat.push(("optimizer".into(), adam()));
    flat.push(("epoch".into(), Int(3)));
    let mut counted = network("module.");
    counted.push((
        "module.norm.num_batches_tracked".into(),
        Object::Tensor("LongStorage", vec![], vec![9, 0, 0, 0, 0, 0, 0, 0]),
    ));
    let cases: Vec<(Object, &str, &[&str])> = vec![
        (plain(), "", &[]),
        (dict([("state_dict", plain())]), "state_dict", &[]),
        (dict([("model", plain())]), "model", &[]),
        (Dict(network("module.")), "module", &[]),
        (Dict(network("_orig_mod.")), "_orig_mod", &[]),
        (Dict(network("_orig_mod.module.model.")), "_orig_mod.module.model", &[]),
        (Dict(network("backbone.")), "backbone", &[]),
        (Dict(counted), "module", &["module.norm.num_batches_tracked"]),
        (Dict(flat), "", &["epoch", "optimizer (2 tensors)"]),
        (
            dict([
                ("epoch", Int(5)),
                ("model_state_dict", plain()),
                ("optimizer_state_dict", adam()),
                ("loss", Real(0.4)),
            ]),
            "model_state_dict",
            &["epoch", "loss", "optimizer_state_dict (2 tensors)"],
        ),
        (
            dict([
                ("epoch", Int(5)),
                ("pytorch-lightning_version", Text("2.2.0")),
                ("state_dict", Dict(lightning)),
                ("optimizer_states", List(vec![adam()])),
                ("hyper_parameters", dict([("lr", Real(0.1))])),
            ]),
            "state_dict.model",
            &[
                "epoch",
                "hyper_parameters",
                "optimizer_states (2 tensors)",
                "pytorch-lightning_version",
                "state_dict.loss (1 tensor)",
            ],
        ),
        (
            dict([
                ("arch", Text("tagger")),
                ("state_dict", Dict(network("module."))),
                ("best_acc1", tensor(&[], &[0.9])),
                ("optimizer", adam()),
            ]),
            "state_dict.module",
            &["arch", "best_acc1 (1 tensor)", "optimizer (2 tensors)"],
        ),
        // The weights, and not their moving average.
        (dict([("ema", Dict(network(""))), ("model", plain())]), "model", &["ema (2 tensors)"]),
    ];
    for (object, below, ignored) in cases {
        let selection = checkpoint(&object).select(&needed(), &[], &[]).unwrap();
        assert_is_network(&selection);
        assert_eq!(
            (selection.below.as_str(), &selection.ignored[..]),
            (below, &names(ignored)[..])
        );
    }
}

/// The bits of 1.5, -2, 2^-14 and the smallest negative subnormal number (IEEE 754 tables 3.1 to 3.5; bfloat16 is the
/// upper half of float32).
#[test]
fn floating_point_types_are_converted() {
    let words = |words: [u16; 4]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let half: Vec<u8> = words([0x3E00, 0xC000, 0x0400, 0x8001]);
    let brain: Vec<u8> = words([0x3FC0, 0xC000, 0x3880, 0x8001]);
    let double: Vec<u8> =
        [1.5, -2.0, 2f64.powi(-14), 0.1].iter().flat_map(|value| value.to_le_bytes()).collect();
    let expected = |last: f32| vec![1.5, -2.0, 2f32.powi(-14), last];
    let needed = Shapes::from([("w".to_string(), vec![2, 2])]);
    for (class, tag, bytes, last) in [
        ("HalfStorage", "F16", half, -(2f32.powi(-24))),
        ("BFloat16Storage", "BF16", brain, f32::from_bits(0x8001_0000)),
        ("DoubleStorage", "F64", double, 0.1),
    ] {
        let object = dict([("w", Object::Tensor(class, vec![2, 2], bytes.clone()))]);
        let header = format!(
            "{{\"w\":{{\"dtype\":\"{tag}\",\"shape\":[2,2],\"data_offsets\":[0,{}]}}}}",
            bytes.len()
        );
        let mut safetensors = (header.len() as u64).to_le_bytes().to_vec();
        safetensors.extend(header.bytes().chain(bytes));
        for imported in [checkpoint(&object), read("x.safetensors", &safetensors).unwrap()] {
            let selection = imported.select(&needed, &[], &[]).unwrap();
            assert_eq!(selection.weights["w"].values, expected(last), "{class}");
        }
    }
}

#[test]
fn integers_are_refused_as_weights_and_ignored_as_counters() {
    let long = |name: &str| {
        let header =
            format!("{{\"{name}\":{{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}}}");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes().chain([0; 8]));
        read("x.safetensors", &bytes).unwrap()
    };
    let needed = Shapes::from([("a.weight".to_string(), vec![1])]);
    let error = long("a.weight").select(&needed, &[], &[]).unwrap_err().to_string();
    assert!(
        error.contains("\"a.weight\" has the type I64") && error.contains(".float()"),
        "{error}"
    );
    let selection = long("norm.num_batches_tracked").select(&needed, &[], &[]).unwrap();
    assert_eq!(selection.ignored, ["norm.num_batches_tracked"]);
    // Others are kept, so that the comparison with the model refuses them.
    let selection = long("table").select(&needed, &[], &[]).unwrap();
    assert_eq!(selection.weights.keys().collect::<Vec<_>>(), ["table"]);
    let selection = long("table").select(&needed, &[], &names(&["table"])).unwrap();
    assert!(selection.weights.is_empty() && selection.ignored == ["table"]);
}

#[test]
fn rules_strip_prefixes_and_rename_in_any_order() {
    let mut wrapped = network("net.enc.");
    wrapped.push(("net.head.b".into(), tensor(&[1], &[1.0])));
    let file = checkpoint(&dict([("state_dict", Dict(wrapped)), ("epoch", Int(1))]));
    let mut shapes = needed();
    shapes.insert("b".into(), vec![1]);
    for given in [
        &["enc=", "head="][..],
        &["net.enc=", "net.head="],
        &["state_dict.net.enc.=", "state_dict.net.head="],
        &["head.b=b", "enc.a=a"],
    ] {
        let rules = rules(given);
        file.check_rules(&rules).unwrap();
        let selection = file.select(&shapes, &rules, &[]).unwrap();
        assert_eq!(
            selection.weights.keys().collect::<Vec<_>>(),
            ["a.bias", "a.weight", "b"],
            "{given:?}"
        );
        assert_eq!(selection.weights["a.bias"].values, BIAS);
        assert_eq!(selection.ignored, ["epoch"]);
    }
    // The prefix goes first, then the first rule that matches.
    let rules = rules(&["enc=", "c=a"]);
    let named = network("").into_iter().map(|(name, value)| (name.replace("a.", "enc.c."), value));
    let file = checkpoint(&Dict(named.collect()));
    assert_is_network(&file.select(&needed(), &rules, &[]).unwrap());
}

#[test]
fn rules_and_names_that_match_nothing_are_refused_with_the_names() {
    let file = checkpoint(&dict([("state_dict", Dict(network("module.")))]));
    for error in [
        file.check_rules(&rules(&["cnv=x"])).unwrap_err(),
        file.select(&needed(), &rules(&["cnv=x"]), &[]).unwrap_err(),
        file.select(&needed(), &[], &names(&["cnv"])).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("cnv") && error.contains("a.bias, "), "{error}");
    }
    for wrong in ["", "=x", ".=x", "x"] {
        assert!(wrong.parse::<Rename>().unwrap_err().contains("OLD=NEW"), "{wrong}");
    }
    let mut twice = network("");
    twice.push(("c.bias".into(), tensor(&[2], &BIAS)));
    let error = checkpoint(&Dict(twice)).select(&needed(), &rules(&["c=a"]), &[]).unwrap_err();
    assert!(error.to_string().contains("the same name \"a.bias\""), "{error}");
}

#[test]
fn remedy_for_several_networks_selects_one() {
    let pair = dict([("student", Dict(network(""))), ("teacher", Dict(network("")))]);
    for object in [pair.clone(), dict([("state_dict", pair)])] {
        let file = checkpoint(&object);
        let error = file.select(&needed(), &[], &[]).unwrap_err().to_string();
        let rule = error.rsplit_once("--rename ").unwrap().1;
        let selection = file.select(&needed(), &rules(&[rule]), &[]).unwrap();
        assert_is_network(&selection);
        assert!(selection.ignored[0].ends_with("teacher (2 tensors)"), "{:?}", selection.ignored);
    }
}

#[test]
fn formats_are_known_by_content_and_ending() {
    let bytes = Writer::write(&Dict(network("")));
    for name in ["x.pth", "x.pt", "x.ckpt", "x.bin", "x.pth.tar", "X.PTH"] {
        assert_is_network(&read(name, &bytes).unwrap().select(&needed(), &[], &[]).unwrap());
    }
    let header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    let mut safetensors = (header.len() as u64).to_le_bytes().to_vec();
    safetensors.extend(header.bytes().chain(2f32.to_le_bytes()));
    let shapes = Shapes::from([("w".to_string(), vec![1])]);
    for name in ["x.safetensors", "x.bin", "x.ckpt", "x"] {
        let selection = read(name, &safetensors).unwrap().select(&shapes, &[], &[]).unwrap();
        assert_eq!(selection.weights["w"].values, [2.0], "{name}");
    }
    let error = read("x.h5", b"\x89HDF\r\n\x1a\n and more").err().unwrap().to_string();
    assert!(error.contains(".safetensors") && error.contains(".ckpt"), "{error}");
    let error = read("x.ckpt", b"not a pickle").err().unwrap().to_string();
    assert!(error.contains("PyTorch") && error.contains("state_dict()"), "{error}");
}
