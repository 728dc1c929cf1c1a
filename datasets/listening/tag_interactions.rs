//! Tags in the place of listeners: each tag has "played" the tracks that have it, once.
//!
//! P4 (van den Oord, Dieleman & Schrauwen 2014, Transfer learning by supervised pre-training) reduces
//! the matrix of tags and tracks to latent factors as it does that of listeners and tracks. Scores are
//! then means over tags: how well each tag's tracks are ranked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::listening::interactions::Play;
use crate::{Collection, DatasetError, Interactions};

/// `[listening] name = "tags"`; leaves nothing open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TagInteractionsConfig {}

impl TagInteractionsConfig {
    /// The tags of `collection` and the tracks that have any, both in its order.
    ///
    /// # Errors
    /// If no track has a tag.
    pub fn load(&self, collection: &Collection) -> Result<Interactions, DatasetError> {
        let tagged = || collection.tracks.iter().filter(|track| !track.tags.is_empty());
        let items: Vec<String> = tagged().map(|track| track.id.clone()).collect();
        if items.is_empty() {
            return Err(DatasetError::InvalidConfig {
                dataset: "listening".into(),
                key: "name".into(),
                value: "tags".into(),
                remedy: format!(
                    "name other listening data: no track of {} has a tag",
                    collection.name
                ),
            });
        }
        let plays = tagged().zip(0..).flat_map(|(track, item)| {
            track.tags.iter().map(move |&tag| Play { user: tag as u32, item, count: 1.0 })
        });
        let mut found = Interactions::from_plays(collection.tags.clone(), items, plays.collect());
        let untagged = collection.tracks.len() - found.items().len();
        found.notes.push(format!(
            "users are the {} tags of {}: each has played the tracks that have it, once",
            found.users().len(),
            collection.name
        ));
        if untagged > 0 {
            found.notes.push(format!("{untagged} tracks have no tag"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{Audio, Track};

    fn collection(tags: &[&[usize]]) -> Collection {
        let track = |(number, tags): (usize, &&[usize])| Track {
            id: format!("t{number}"),
            audio: Audio::File { path: PathBuf::from("a.wav"), offset_s: 0.0, duration_s: None },
            split: None,
            tags: tags.to_vec(),
            artist: None,
        };
        Collection {
            name: "few".into(),
            tags: ["rock", "slow", "never"].map(String::from).to_vec(),
            tracks: tags.iter().enumerate().map(track).collect(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn tags_have_played_their_tracks() {
        let found =
            TagInteractionsConfig::default().load(&collection(&[&[0, 1], &[], &[0]])).unwrap();
        assert_eq!(found.users(), ["rock", "slow", "never"]);
        assert_eq!(found.items(), ["t0", "t2"]);
        assert_eq!(found.of_user(0), (&[0, 1][..], &[1.0, 1.0][..]));
        assert_eq!(found.of_user(1), (&[0][..], &[1.0][..]));
        assert_eq!(found.of_user(2), (&[][..], &[][..]));
        assert!(found.notes.iter().any(|note| note == "1 tracks have no tag"), "{:?}", found.notes);
    }

    #[test]
    fn no_tags_are_an_error() {
        let error = TagInteractionsConfig::default().load(&collection(&[&[], &[]])).unwrap_err();
        assert!(error.to_string().contains("no track of few has a tag"), "{error}");
    }
}
