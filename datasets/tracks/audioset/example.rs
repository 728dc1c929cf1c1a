//! A `tf.train.SequenceExample` of AudioSet, read from its bytes.
//!
//! Of protocol buffers no more is read than these messages need (numbers are those of their fields):
//!
//! ```text
//! SequenceExample  context 1: Features          feature_lists 2: FeatureLists
//! Features         feature 1: map of string and Feature
//! FeatureLists     feature_list 1: map of string and FeatureList
//! FeatureList      feature 1: Feature, repeated
//! Feature          one of  bytes_list 1, float_list 2, int64_list 3
//! the lists        value 1, repeated; numbers packed or not
//! ```
//!
//! An entry of a map is a message with a key (1) and a value (2); of two entries with one key the last
//! holds. Fields with other numbers are passed over, as the format asks.

use super::DIMENSION;
use crate::error::shown;

/// What is wrong, and at which byte of the file.
type Wrong = (u64, String);

/// A record.
#[derive(Debug, Default)]
pub(super) struct Example {
    pub id: String,
    pub start_s: f32,
    /// In the order of the record.
    pub labels: Vec<u64>,
    pub frames: Vec<[u8; DIMENSION]>,
}

impl Example {
    /// Reads a record that begins at byte `at` of its file.
    pub fn read(record: &[u8], at: u64) -> Result<Example, Wrong> {
        let (mut id, mut start, mut labels, mut frames) = (None, None, None, None);
        for field in (Message { bytes: record, at }) {
            match field? {
                (1, Value::Bytes(context)) => {
                    for entry in entries(context) {
                        let (key, feature) = entry?;
                        match key {
                            b"video_id" => id = Some(feature),
                            b"start_time_seconds" => start = Some(feature),
                            b"labels" => labels = Some(feature),
                            _ => {}
                        }
                    }
                }
                (2, Value::Bytes(lists)) => {
                    for entry in entries(lists) {
                        let (key, list) = entry?;
                        if key == b"audio_embedding" {
                            frames = Some(list);
                        }
                    }
                }
                _ => {}
            }
        }
        let lacks = |what: &str| {
            (at, format!("the record has no {what}: take AudioSet's features as published"))
        };
        let mut example = Example {
            id: id_of(id.ok_or_else(|| lacks("video_id"))?)?,
            labels: integers(labels.ok_or_else(|| lacks("labels"))?)?,
            start_s: match start {
                Some(start) => seconds(start)?,
                None => return Err(lacks("start_time_seconds")),
            },
            frames: Vec::new(),
        };
        for field in frames.ok_or_else(|| lacks("list audio_embedding"))? {
            if let (1, Value::Bytes(feature)) = field? {
                example.frames.push(frame(feature)?);
            }
        }
        Ok(example)
    }
}

/// A message, or a part of one, and where it begins in the file.
#[derive(Clone, Copy)]
struct Message<'a> {
    bytes: &'a [u8],
    at: u64,
}

/// A value, by its kind on the wire.
#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64,
    Bytes(Message<'a>),
}

impl<'a> Message<'a> {
    /// Cuts the first `length` bytes off.
    fn cut(&mut self, length: u64) -> Result<Message<'a>, Wrong> {
        let length = usize::try_from(length).ok().filter(|&length| length <= self.bytes.len());
        let Some(length) = length else {
            let problem = "a value is longer than the message that it is in: get the file again";
            return Err((self.at, problem.into()));
        };
        let (bytes, rest) = self.bytes.split_at(length);
        let cut = Message { bytes, at: self.at };
        *self = Message { bytes: rest, at: self.at + length as u64 };
        Ok(cut)
    }

    fn varint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0;
        for (place, &byte) in self.bytes.iter().take(10).enumerate() {
            // Of the tenth byte there is room for one bit.
            if place == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.cut(place as u64 + 1)?;
                return Ok(value);
            }
        }
        Err((self.at, "a number does not end, or has more than 64 bits: get the file again".into()))
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Wrong> {
        let at = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.cut(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.cut(length)?)
            }
            5 => Value::Fixed32(self.cut(4)?.bytes.try_into().unwrap_or_default()),
            kind => {
                let problem = format!("there is no kind {kind} of value here: get the file again");
                return Err((at, problem));
            }
        };
        match key >> 3 {
            0 => Err((at, "a field has the number 0: get the file again".into())),
            number => Ok((number, value)),
        }
    }
}

/// The fields, one after the other; after an error no more.
impl<'a> Iterator for Message<'a> {
    type Item = Result<(u64, Value<'a>), Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.bytes = &[];
        }
        Some(field)
    }
}

/// The keys and values of a map, which is field 1 of a message.
fn entries<'a>(map: Message<'a>) -> impl Iterator<Item = Result<(&'a [u8], Message<'a>), Wrong>> {
    map.filter_map(|field| match field {
        Ok((1, Value::Bytes(entry))) => Some(key_and_value(entry)),
        Ok(_) => None,
        Err(wrong) => Some(Err(wrong)),
    })
}

fn key_and_value(entry: Message<'_>) -> Result<(&[u8], Message<'_>), Wrong> {
    let empty = Message { bytes: &[], at: entry.at };
    let (mut key, mut value) = (empty, empty);
    for field in entry {
        match field? {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key.bytes, value))
}

/// The values in the list of a feature that has the kind `wanted`.
fn list<'a>(
    feature: Message<'a>,
    wanted: u64,
    what: &'static str,
) -> Result<impl Iterator<Item = Result<Value<'a>, Wrong>>, Wrong> {
    let mut found = None;
    for field in feature {
        if let (number @ 1..=3, Value::Bytes(values)) = field? {
            found = (number == wanted).then_some(values);
        }
    }
    let values =
        found.ok_or_else(|| (feature.at, format!("{what}: take the files as published")))?;
    Ok(values.filter_map(|field| match field {
        Ok((1, value)) => Some(Ok(value)),
        Ok(_) => None,
        Err(wrong) => Some(Err(wrong)),
    }))
}

/// The bytes of a feature that holds one string of them.
fn one<'a>(feature: Message<'a>, what: &'static str) -> Result<Message<'a>, Wrong> {
    let mut found = None;
    for value in list(feature, 1, what)? {
        match (value?, found) {
            (Value::Bytes(bytes), None) => found = Some(bytes),
            _ => return Err((feature.at, format!("{what}: take the files as published"))),
        }
    }
    found.ok_or_else(|| (feature.at, format!("{what}: take the files as published")))
}

fn id_of(feature: Message<'_>) -> Result<String, Wrong> {
    let bytes = one(feature, "video_id is not one string")?;
    match std::str::from_utf8(bytes.bytes) {
        Ok(id) if !id.trim().is_empty() && !id.contains(char::is_control) => Ok(id.to_owned()),
        _ => {
            let id = shown(&String::from_utf8_lossy(bytes.bytes));
            Err((bytes.at, format!("the video_id {id} is no name: take the files as published")))
        }
    }
}

fn seconds(feature: Message<'_>) -> Result<f32, Wrong> {
    const WHAT: &str = "start_time_seconds is not one number of seconds";
    let wrong = || (feature.at, format!("{WHAT}: take the files as published"));
    let mut found = Vec::new();
    for value in list(feature, 2, WHAT)? {
        match value? {
            Value::Fixed32(bytes) => found.push(f32::from_le_bytes(bytes)),
            Value::Bytes(packed) => {
                let (numbers, rest) = packed.bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(wrong());
                }
                found.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            Value::Varint(_) | Value::Fixed64 => return Err(wrong()),
        }
    }
    match found[..] {
        [seconds] if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
        _ => Err(wrong()),
    }
}

fn integers(feature: Message<'_>) -> Result<Vec<u64>, Wrong> {
    const WHAT: &str = "labels is not a list of numbers";
    let mut found = Vec::new();
    for value in list(feature, 3, WHAT)? {
        match value? {
            Value::Varint(number) => found.push(number),
            Value::Bytes(mut packed) => {
                while !packed.bytes.is_empty() {
                    found.push(packed.varint()?);
                }
            }
            Value::Fixed32(_) | Value::Fixed64 => {
                return Err((feature.at, format!("{WHAT}: take the files as published")));
            }
        }
    }
    Ok(found)
}

fn frame(feature: Message<'_>) -> Result<[u8; DIMENSION], Wrong> {
    let bytes = one(feature, "an entry of audio_embedding is not one string of bytes")?;
    bytes.bytes.try_into().map_err(|_| {
        let problem = format!(
            "a frame has {} bytes, not {DIMENSION}: take the files as published",
            bytes.bytes.len()
        );
        (bytes.at, problem)
    })
}
