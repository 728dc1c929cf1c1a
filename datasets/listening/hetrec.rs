//! The Last.fm data of HetRec 2011: 1 892 users, 17 632 artists, 92 834 play counts.
//!
//! Cantador, Brusilovsky and Kuflik (2011), 2nd workshop on information heterogeneity and fusion in
//! recommender systems. The published `user_artists.dat` is read: user, artist and plays, separated by tabs,
//! with a header. Items are the artists' numbers.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::listening::subset::Subset;
use crate::text_files::require_file;
use crate::{DatasetError, Interactions};

/// The file of the play counts.
pub const PLAYS: &str = "user_artists.dat";

/// `[listening] name = "hetrec"`: the Last.fm data of HetRec 2011.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HetrecConfig {
    /// The directory with `user_artists.dat`, relative to the data directory. Default:
    /// `hetrec2011-lastfm-2k`.
    pub root: PathBuf,
    /// The most played artists and a sample of the users. Default: all.
    #[serde(skip_serializing_if = "Subset::is_all")]
    pub subset: Subset,
}

impl Default for HetrecConfig {
    fn default() -> Self {
        Self { root: "hetrec2011-lastfm-2k".into(), subset: Subset::default() }
    }
}

impl HetrecConfig {
    /// Loads the play counts at `root`; a relative root is resolved against `data_dir` if given.
    ///
    /// # Errors
    /// See [`load`].
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Interactions, DatasetError> {
        let remedy = "name the directory with user_artists.dat";
        let root = crate::resolve(data_dir, ("hetrec", "root", &self.root), remedy)?;
        self.subset.of(load(&root)?)
    }
}

/// Reads the play counts in a directory.
///
/// # Errors
/// If the file is missing, or a line is wrong.
pub fn load(root: &Path) -> Result<Interactions, DatasetError> {
    let path = root.join(PLAYS);
    require_file(&path, "get hetrec2011-lastfm-2k from grouplens.org/datasets/hetrec-2011")?;
    Interactions::read(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_layout_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let error = load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("user_artists.dat is missing"), "{error}");
        let text = "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t7\t10\r\n4\t51\t1\r\n";
        std::fs::write(directory.path().join(PLAYS), text).unwrap();
        let plays = load(directory.path()).unwrap();
        assert_eq!(plays.users(), ["2", "4"]);
        assert_eq!(plays.items(), ["51", "7"]);
        assert_eq!(plays.of_user(0), (&[0, 1][..], &[13883.0, 10.0][..]));
    }

    #[test]
    #[ignore = "needs hetrec2011-lastfm-2k below TONOTOPY_SHARED"]
    fn real_file_has_the_published_counts() {
        let root = crate::test_support::shared("hetrec2011-lastfm-2k");
        let plays = load(&root).unwrap();
        let counts = (plays.users().len(), plays.items().len(), plays.len());
        assert_eq!(counts, (1_892, 17_632, 92_834));
        assert_eq!(crate::read_interactions(&root).unwrap(), plays);
        let total: f64 = plays.plays().map(|play| f64::from(play.count)).sum();
        assert_eq!(total, 69_183_975.0);
        assert!(plays.notes.is_empty(), "{:?}", plays.notes);
        // The first line of the file.
        let (items, counts) = plays.of_user(0);
        assert_eq!((plays.users()[0].as_str(), items[0], counts[0]), ("2", 0, 13_883.0));
        assert_eq!(plays.items()[0], "51");
    }
}
