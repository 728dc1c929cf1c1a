//! Model files in the safetensors format, with the model card in the metadata.
//!
//! Tensors have the names and layout of PyTorch ([`crate::inference::weights`]); arrays that were fitted before training are
//! named `fitted.NAME`. The metadata holds `format` (`pt`: the layout of PyTorch), `tonotopy` (the [`Card`] as JSON) and
//! `blake3` (the hash of the card, followed by name, a zero byte and data of each tensor, in the order of names).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use burn::tensor::DType;
use models::Fitted;

use super::card::Card;
use crate::error::{Error, Result};
use crate::inference::imported::to_f32;
use crate::inference::weights::Weights;

/// Prefix of the names of fitted arrays.
const FITTED: &str = "fitted.";

/// The largest header (names, shapes and card) that is accepted, in bytes.
const MAX_HEADER: u64 = 64 << 20;

/// The largest file that is accepted, in bytes.
const MAX_FILE: u64 = 8 << 30;

/// The remedy for a file that is not a model.
const REMEDY: &str = "name a run or a file that `tonotopy export` wrote";

/// The contents of a file.
pub struct Contents {
    /// Names and shapes are explained in [`crate::inference::weights`].
    pub weights: Weights,
    /// The fitted arrays, without the prefix `fitted.`.
    pub fitted: Fitted,
    /// The types of tensors that are not floating-point, by name; their values are not read.
    pub others: BTreeMap<String, String>,
    /// Only in files that this program wrote.
    pub card: Option<Card>,
}

/// Serializes a model.
///
/// # Errors
/// If the format does not support it.
pub fn to_bytes(weights: &Weights, fitted: &Fitted, card: &Card) -> Result<Vec<u8>> {
    let mut tensors: BTreeMap<String, (&[usize], Vec<u8>)> = BTreeMap::new();
    let fitted = fitted.arrays.iter().map(|(name, array)| (format!("{FITTED}{name}"), array));
    for (name, array) in weights.iter().map(|(name, array)| (name.clone(), array)).chain(fitted) {
        let mut bytes = Vec::with_capacity(4 * array.values.len());
        array.values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        tensors.insert(name, (&array.shape, bytes));
    }
    let broken = |error: ::safetensors::SafeTensorError| {
        Error::Data(format!("the model cannot be written as safetensors: {error}"))
    };
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(broken)?;
    let card = card.to_json();
    let sum = checksum(&card, tensors.iter().map(|(name, (_, bytes))| (name, bytes)));
    let entries = [("format", "pt".to_string()), ("tonotopy", card), ("blake3", sum)];
    let metadata = HashMap::from(entries.map(|(key, value)| (key.to_string(), value)));
    serialize(views, Some(metadata)).map_err(broken)
}

/// The hash that is described at the top of this file.
fn checksum<'a>(
    card: &str,
    tensors: impl Iterator<Item = (&'a String, impl AsRef<[u8]>)>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(card.as_bytes());
    for (name, bytes) in tensors {
        hasher.update(name.as_bytes()).update(&[0]).update(bytes.as_ref());
    }
    hasher.finalize().to_hex().to_string()
}

/// Reads a file that this or another program wrote. float16, bfloat16 and float64 become float32.
///
/// # Errors
/// If the file is not in the safetensors format, or is damaged.
pub fn read(path: &Path) -> Result<Contents> {
    let place = path.display();
    if path.extension().is_some_and(|ending| ending == "toml") {
        return Err(Error::Config(format!(
            "{place} is an experiment, not a model; train it, then name its run"
        )));
    }
    let data = |problem: String| Error::Data(format!("{place} {problem}"));
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut first = [0; 8];
    let header = match file.read_exact(&mut first) {
        Ok(()) => u64::from_le_bytes(first),
        Err(_) => return Err(data(format!("is too short for a model file; {REMEDY}"))),
    };
    // Check sizes before reading or allocating.
    if header > MAX_HEADER || header > length.saturating_sub(8) {
        return Err(data(format!(
            "is not a complete safetensors file: it declares a header of {header} bytes, but has {length} bytes; {REMEDY}"
        )));
    }
    if length > MAX_FILE {
        return Err(data(format!(
            "has {length} bytes, but models have at most {MAX_FILE}; {REMEDY}"
        )));
    }
    let mut bytes = first.to_vec();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    let broken = |error: ::safetensors::SafeTensorError| {
        data(format!("is damaged or truncated ({error}); take an undamaged copy"))
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(broken)?;
    let mut contents = Contents {
        weights: Weights::new(),
        fitted: Fitted::default(),
        others: BTreeMap::new(),
        card: None,
    };
    for (name, view) in tensors.iter() {
        let float = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                contents.others.insert(name.to_string(), format!("{other:?}"));
                continue;
            }
        };
        let array = to_f32(view.data().to_vec(), view.shape(), float);
        match name.strip_prefix(FITTED) {
            Some(name) => contents.fitted.arrays.insert(name.to_string(), array),
            None => contents.weights.insert(name.to_string(), array),
        };
    }
    let metadata = metadata.metadata().clone().unwrap_or_default();
    if let Some(text) = metadata.get("tonotopy") {
        let mut named: BTreeMap<String, &[u8]> = BTreeMap::new();
        named.extend(tensors.iter().map(|(name, view)| (name.to_string(), view.data())));
        let found = checksum(text, named.iter());
        match metadata.get("blake3") {
            Some(sum) if *sum == found => {}
            _ => {
                return Err(data(
                    "does not match its checksum: it is damaged, or another program changed it; take an undamaged copy, or \
                     import the weights with `tonotopy import`"
                        .into(),
                ));
            }
        }
        contents.card = Some(Card::parse(text, path)?);
    }
    Ok(contents)
}
