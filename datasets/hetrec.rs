//! The Last.fm data of HetRec 2011: 1 892 users, 17 632 artists, 92 834 play counts.
//!
//! Cantador, Brusilovsky and Kuflik (2011), 2nd workshop on information heterogeneity and fusion in
//! recommender systems. The folder is read as it was published: `user_artists.dat` (user, artist,
//! plays) and `artists.dat` (the artists' names), separated by tabs, lines ending in CR LF or LF. The
//! other files are not needed here.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::error::shown;
use crate::{DatasetError, Interactions};

/// The file of the play counts.
pub const PLAYS: &str = "user_artists.dat";
/// The file of the names.
pub const ARTISTS: &str = "artists.dat";

/// Play counts, and what the artists are called.
#[derive(Clone, Debug, PartialEq)]
pub struct HetRec {
    /// Items are the artists' numbers in the data set.
    pub plays: Interactions,
    /// A name an item.
    pub artists: Vec<String>,
}

/// Whether a folder looks like this data set.
pub fn is_root(root: &Path) -> bool {
    root.join(PLAYS).is_file()
}

/// Reads the folder.
///
/// # Errors
/// If one of the two files is missing, or a line is not what it should be. Artists without a name go
/// by their number, and are counted in the notes.
pub fn load(root: &Path) -> Result<HetRec, DatasetError> {
    let missing = |name: &str| DatasetError::Missing {
        path: root.join(name),
        remedy: "it comes with hetrec2011-lastfm-2k (grouplens.org/datasets/hetrec-2011)".into(),
    };
    for name in [PLAYS, ARTISTS] {
        if !root.join(name).is_file() {
            return Err(missing(name));
        }
    }
    let mut plays = Interactions::read(&root.join(PLAYS))?;
    let names = names(&root.join(ARTISTS))?;
    let mut nameless = 0;
    let artists = plays.items().iter().map(|id| match names.get(id) {
        Some(name) => name.clone(),
        None => {
            nameless += 1;
            id.clone()
        }
    });
    let artists = artists.collect();
    if nameless > 0 {
        plays.notes.push(format!("artists that {ARTISTS} has no name for: {nameless}"));
    }
    Ok(HetRec { plays, artists })
}

/// Names by the artists' numbers.
fn names(path: &Path) -> Result<HashMap<String, String>, DatasetError> {
    let bytes = fs::read(path).map_err(|source| DatasetError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let mut names = HashMap::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let wrong = |problem: String| DatasetError::Line {
            path: path.to_owned(),
            line: number as u64 + 1,
            problem,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line)
            .map_err(|_| wrong("this is not UTF-8: get the file again".into()))?;
        // The header, and what follows the last line end.
        if number == 0 || line.is_empty() {
            continue;
        }
        let mut values = line.split('\t');
        let (Some(id), Some(name)) = (values.next(), values.next()) else {
            return Err(wrong(format!(
                "{} has no tab: a line is number, name, address and picture",
                shown(line)
            )));
        };
        if names.insert(id.to_owned(), name.trim().to_owned()).is_some() {
            return Err(wrong(format!("the artist {} stands in an earlier line", shown(id))));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(plays: &str, artists: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PLAYS), plays).unwrap();
        fs::write(folder.path().join(ARTISTS), artists).unwrap();
        folder
    }

    const PLAYED: &str = "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t7\t10\r\n4\t51\t1\r\n";

    #[test]
    fn plays_and_names_come_together() {
        let names = "id\tname\turl\tpictureURL\n7\t\"Weird\" Al\thttp://x\thttp://y\n51\tSigur R\u{f3}s\thttp://z\t\n";
        let data = load(folder(PLAYED, names.as_bytes()).path()).unwrap();
        assert_eq!(data.plays.users(), ["2", "4"]);
        assert_eq!(data.artists, ["Sigur Rós", "\"Weird\" Al"]);
        assert_eq!(data.plays.of_user(0), (&[0, 1][..], &[13883.0, 10.0][..]));
        let data = load(folder(PLAYED, b"id\tname\n51\tone\n").path()).unwrap();
        assert_eq!(data.artists, ["one", "7"]);
        assert!(data.plays.notes[0].ends_with("no name for: 1"), "{:?}", data.plays.notes);
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let error = |artists: &[u8]| load(folder(PLAYED, artists).path()).unwrap_err().to_string();
        let text = error(b"id\tname\n51\tone\n51\ttwo\n");
        assert!(text.contains("artists.dat line 3") && text.contains("\"51\""), "{text}");
        assert!(error(b"id\tname\n51\n").contains("line 2"));
        assert!(error(b"id\tname\n51\t\xe9\n").contains("line 2: this is not UTF-8"));
        let empty = tempfile::tempdir().unwrap();
        let text = load(empty.path()).unwrap_err().to_string();
        assert!(text.contains("user_artists.dat is missing"), "{text}");
    }

    #[test]
    fn the_real_files_have_the_published_counts() {
        let Some(root) = crate::tests::shared("hetrec2011-lastfm-2k") else { return };
        let data = load(&root).unwrap();
        let counts = (data.plays.users().len(), data.plays.items().len(), data.plays.len());
        assert_eq!(counts, (1_892, 17_632, 92_834));
        assert!(data.plays.notes.is_empty(), "{:?}", data.plays.notes);
        // The first lines of the file, as they stand there.
        let (items, plays) = data.plays.of_user(0);
        assert_eq!((data.plays.users()[0].as_str(), items[0], plays[0]), ("2", 0, 13_883.0));
        assert_eq!(data.plays.items()[0], "51");
        assert_eq!(data.artists[0], "Duran Duran");
    }
}
