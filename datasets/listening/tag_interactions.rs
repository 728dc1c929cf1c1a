//! Tags as users: every tag has played the tracks with this tag once.
//!
//! van den Oord, Dieleman & Schrauwen (2014), Transfer learning by supervised pre-training, reduce the matrix of
//! tags and tracks to latent factors like a matrix of users and tracks. Scores are then means over tags of how
//! well each tag's tracks are ranked.

use serde::{Deserialize, Serialize};

use crate::listening::interactions::Play;
use crate::{Collection, DatasetError, Interactions};

/// `[listening] name = "tags"`: the dataset's own tags as users. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TagInteractionsConfig {}

impl TagInteractionsConfig {
    /// Users are the tags of `collection`, items its tracks with at least one tag, both in its order.
    ///
    /// # Errors
    /// If no track has a tag.
    pub fn load(&self, collection: &Collection) -> Result<Interactions, DatasetError> {
        let tagged = || collection.tracks.iter().filter(|track| !track.tags.is_empty());
        let items: Vec<String> = tagged().map(|track| track.id.clone()).collect();
        if items.is_empty() {
            let remedy =
                format!("no track of {} has a tag; use other listening data", collection.name);
            return Err(DatasetError::config("listening", "name", "tags", remedy));
        }
        let plays = tagged().zip(0..).flat_map(|(track, item)| {
            track.tags.iter().map(move |&tag| Play { user: tag as u32, item, count: 1.0 })
        });
        let mut found = Interactions::from_plays(collection.tags.clone(), items, plays.collect());
        let untagged = collection.tracks.len() - found.items().len();
        found.notes.push(format!(
            "users are the {} tags of {}; each has played the tracks with this tag once",
            found.users().len(),
            collection.name
        ));
        crate::note_count(&mut found.notes, "tracks without a tag", untagged);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Audio, Track};

    fn collection(tags: &[&[usize]]) -> Collection {
        let track = |(number, tags): (usize, &&[usize])| Track {
            id: format!("t{number}"),
            audio: Audio::file("a.wav".into()),
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
    fn tags_play_their_tracks() {
        let found =
            TagInteractionsConfig::default().load(&collection(&[&[0, 1], &[], &[0]])).unwrap();
        assert_eq!(found.users(), ["rock", "slow", "never"]);
        assert_eq!(found.items(), ["t0", "t2"]);
        assert_eq!(found.of_user(0), (&[0, 1][..], &[1.0, 1.0][..]));
        assert_eq!(found.of_user(1), (&[0][..], &[1.0][..]));
        assert_eq!(found.of_user(2), (&[][..], &[][..]));
        assert!(
            found.notes.iter().any(|note| note == "tracks without a tag: 1"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn collection_without_tags_is_refused() {
        let error = TagInteractionsConfig::default().load(&collection(&[&[], &[]])).unwrap_err();
        assert!(error.to_string().contains("no track of few has a tag"), "{error}");
    }
}
