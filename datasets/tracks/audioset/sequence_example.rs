//! The protocol buffer of a clip: `tf.train.SequenceExample`, as far as AudioSet's features use it.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use super::DIMENSION;
use crate::error::quoted;

#[derive(Clone, PartialEq, Message)]
struct SequenceExample {
    #[prost(message, optional, tag = "1")]
    context: Option<Features>,
    #[prost(message, optional, tag = "2")]
    feature_lists: Option<FeatureLists>,
}

#[derive(Clone, PartialEq, Message)]
struct Features {
    #[prost(btree_map = "string, message", tag = "1")]
    feature: BTreeMap<String, Feature>,
}

#[derive(Clone, PartialEq, Message)]
struct FeatureLists {
    #[prost(btree_map = "string, message", tag = "1")]
    feature_list: BTreeMap<String, FeatureList>,
}

#[derive(Clone, PartialEq, Message)]
struct FeatureList {
    #[prost(message, repeated, tag = "1")]
    feature: Vec<Feature>,
}

#[derive(Clone, PartialEq, Message)]
struct Feature {
    #[prost(oneof = "Kind", tags = "1, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Bytes(BytesList),
    #[prost(message, tag = "3")]
    Integers(Int64List),
}

#[derive(Clone, PartialEq, Message)]
struct BytesList {
    #[prost(bytes = "vec", repeated, tag = "1")]
    value: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Int64List {
    #[prost(int64, repeated, tag = "1")]
    value: Vec<i64>,
}

/// A clip.
#[derive(Debug)]
pub(super) struct Clip {
    /// The id of the video.
    pub id: String,
    /// In the order of the record.
    pub labels: Vec<i64>,
    /// Row-major `[frame, DIMENSION]`.
    pub frames: Vec<u8>,
}

impl Clip {
    /// Reads a record.
    pub fn from_record(record: &[u8]) -> Result<Clip, String> {
        let example = SequenceExample::decode(record).map_err(|error| {
            format!("the record is not a tf.train.SequenceExample ({error}): get the file again")
        })?;
        let missing =
            |what: &str| format!("the record has no {what}: use AudioSet's features as published");
        let wrong = |what: &str| format!("{what}: use AudioSet's features as published");
        let mut context = example.context.unwrap_or_default().feature;
        let mut lists = example.feature_lists.unwrap_or_default().feature_list;
        let mut feature = |name| context.remove(name).ok_or_else(|| missing(name));

        let bytes =
            one_string(feature("video_id")?).ok_or_else(|| wrong("video_id is not one string"))?;
        let id = String::from_utf8_lossy(&bytes).into_owned();
        if id.as_bytes() != bytes || id.trim().is_empty() || id.contains(char::is_control) {
            return Err(wrong(&format!("the video_id {} is not valid", quoted(&id))));
        }
        let Some(Kind::Integers(Int64List { value: labels })) = feature("labels")?.kind else {
            return Err(wrong("labels is not a list of integers"));
        };
        let list =
            lists.remove("audio_embedding").ok_or_else(|| missing("list audio_embedding"))?;
        let mut frames = Vec::with_capacity(list.feature.len() * DIMENSION);
        for feature in list.feature {
            let frame = one_string(feature)
                .ok_or_else(|| wrong("an entry of audio_embedding is not one string of bytes"))?;
            if frame.len() != DIMENSION {
                return Err(wrong(&format!("a frame has {} bytes, not {DIMENSION}", frame.len())));
            }
            frames.extend(frame);
        }
        Ok(Clip { id, labels, frames })
    }
}

/// The value of a feature that is a single byte string.
fn one_string(feature: Feature) -> Option<Vec<u8>> {
    let Some(Kind::Bytes(BytesList { mut value })) = feature.kind else { return None };
    if value.len() == 1 { value.pop() } else { None }
}
