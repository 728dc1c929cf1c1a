//! The Last.fm data of HetRec 2011: 1 892 users, 17 632 artists, 92 834 play counts.
//!
//! Cantador, Brusilovsky and Kuflik (2011), 2nd workshop on information heterogeneity and fusion in
//! recommender systems. The folder is read as it was published: `user_artists.dat` (user, artist,
//! plays) and `artists.dat` (the artists' names), separated by tabs, lines ending in CR LF or LF; and
//! for the tags `user_taggedartists.dat` (user, artist, tag and date) and `tags.dat` (the tags' names,
//! in Latin-1, where all else is UTF-8). Who is whose friend is not needed here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::lines::{each_line, each_line_of_bytes};
use crate::listening::interactions::Play;
use crate::listening::subset::Subset;
use crate::{DatasetError, Interactions};

/// The file of the play counts.
pub const PLAYS: &str = "user_artists.dat";
/// The file of the names.
pub const ARTISTS: &str = "artists.dat";

/// `[listening] name = "hetrec"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HetrecConfig {
    /// The folder with `user_artists.dat`.
    pub root: PathBuf,
    /// A smaller piece of it.
    #[serde(skip_serializing_if = "Subset::is_all")]
    pub subset: Subset,
}

impl Default for HetrecConfig {
    fn default() -> Self {
        Self { root: "hetrec2011-lastfm-2k".into(), subset: Subset::default() }
    }
}

impl HetrecConfig {
    /// Loads the play counts at `root`, relative to `data_dir` if given.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Interactions, DatasetError> {
        crate::named("hetrec", "root", &self.root, "name the folder with user_artists.dat")?;
        self.subset.of(load(&crate::below(data_dir, &self.root))?.plays)
    }
}

/// The file of who gave which artist which tag.
pub const TAGGED: &str = "user_taggedartists.dat";
/// The file of the tags' names.
pub const TAGS: &str = "tags.dat";

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
    needs(root, [PLAYS, ARTISTS])?;
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

/// Reads the tags as listening data is read: rows are artists, by number as in [`load`], items are
/// tags, by name, and a count is the number of users who gave the artist the tag. Some artists here
/// are not among those that were played.
///
/// # Errors
/// If one of the two files is missing, or a line is not what it should be.
pub fn load_tags(root: &Path) -> Result<Interactions, DatasetError> {
    needs(root, [TAGGED, TAGS])?;
    // Latin-1 has a letter for every byte, and it is the code point of the same number.
    let names = numbered(&root.join(TAGS), "tag", |name| {
        Ok(name.iter().copied().map(char::from).collect())
    })?;
    let (mut artists, mut tags) = (Numbers::default(), Numbers::default());
    let mut plays = Vec::new();
    let mut header = true;
    each_line(&root.join(TAGGED), |line| {
        if std::mem::take(&mut header) {
            return Ok(());
        }
        let values: Vec<&str> = line.split('\t').collect();
        let [_user, artist, tag, ..] = values[..] else {
            return Err(format!(
                "{} has no three values: a line is user, artist, tag and date, separated by tabs",
                shown(line)
            ));
        };
        let name = names
            .get(tag)
            .ok_or_else(|| format!("the tag {} does not stand in {TAGS}", shown(tag)))?;
        plays.push(Play { user: artists.of(artist)?, item: tags.of(name)?, count: 1.0 });
        Ok(())
    })?;
    if plays.is_empty() {
        return Err(DatasetError::Table {
            path: root.join(TAGGED),
            problem: "there is no row below the header: get the file again".into(),
        });
    }
    let mut tags = Interactions::from_plays(artists.ids, tags.ids, plays);
    // Users who agree are what the counts count: nothing to tell of.
    tags.notes.clear();
    Ok(tags)
}

/// Ids in order of appearance.
#[derive(Default)]
struct Numbers {
    ids: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Numbers {
    fn of(&mut self, id: &str) -> Result<u32, String> {
        if let Some(&number) = self.numbers.get(id) {
            return Ok(number);
        }
        let number = u32::try_from(self.ids.len()).map_err(|_| "there are too many".to_owned())?;
        self.ids.push(id.to_owned());
        self.numbers.insert(id.to_owned(), number);
        Ok(number)
    }
}

fn needs(root: &Path, names: [&str; 2]) -> Result<(), DatasetError> {
    match names.iter().find(|name| !root.join(name).is_file()) {
        None => Ok(()),
        Some(name) => Err(DatasetError::Missing {
            path: root.join(name),
            remedy: "it comes with hetrec2011-lastfm-2k (grouplens.org/datasets/hetrec-2011)"
                .into(),
        }),
    }
}

/// Names by the artists' numbers.
fn names(path: &Path) -> Result<HashMap<String, String>, DatasetError> {
    numbered(path, "artist", |name| {
        let name = std::str::from_utf8(name)
            .map_err(|_| "this is not UTF-8: get the file again".to_owned())?;
        Ok(name.trim().to_owned())
    })
}

/// Names by number, from lines of a number, a tab, a name, and more after another tab.
fn numbered(
    path: &Path,
    what: &str,
    decode: impl Fn(&[u8]) -> Result<String, String>,
) -> Result<HashMap<String, String>, DatasetError> {
    let mut names = HashMap::new();
    let mut header = true;
    each_line_of_bytes(path, |line| {
        if std::mem::take(&mut header) {
            return Ok(());
        }
        let mut values = line.split(|byte| *byte == b'\t');
        let (Some(id), Some(name)) = (values.next(), values.next()) else {
            return Err(format!(
                "{} has no tab: a line begins with a number, a tab and a name",
                shown(&String::from_utf8_lossy(line))
            ));
        };
        let id = String::from_utf8_lossy(id).into_owned();
        if names.insert(id.clone(), decode(name)?).is_some() {
            return Err(format!("the {what} {} stands in an earlier line", shown(&id)));
        }
        Ok(())
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    const GIVEN: &str = "userID\tartistID\ttagID\tday\tmonth\tyear\r\n\
                         2\t51\t1\t1\t4\t2009\r\n2\t7\t2\t1\t4\t2009\r\n4\t51\t1\t1\t5\t2010\r\n";

    fn tagged(given: &str, tags: &[u8]) -> Result<Interactions, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TAGGED), given).unwrap();
        fs::write(folder.path().join(TAGS), tags).unwrap();
        load_tags(folder.path())
    }

    #[test]
    fn tags_are_counted_by_artist_and_are_latin_1() {
        let tags =
            tagged(GIVEN, b"tagID\ttagValue\r\n1\tespa\xf1ol\r\n2\tjazz\r\n3\tx\r\n").unwrap();
        assert_eq!(tags.users(), ["51", "7"]);
        assert_eq!(tags.items(), ["español", "jazz"]);
        assert_eq!(tags.of_user(0), (&[0][..], &[2.0][..]));
        let error = |given: &str, names: &[u8]| tagged(given, names).unwrap_err().to_string();
        let names = b"tagID\ttagValue\n1\ta\n2\tb\n";
        let text = error(&format!("{GIVEN}4\t51\t9\t1\t5\t2010\n"), names);
        assert!(text.contains("user_taggedartists.dat line 5: the tag \"9\""), "{text}");
        assert!(error(&format!("{GIVEN}4\t51\n"), names).contains("line 5"));
        assert!(error("userID\tartistID\n", names).contains("no row below the header"));
        let text = error(GIVEN, b"tagID\ttagValue\n1\ta\n1\tb\n");
        assert!(text.contains("tags.dat line 3") && text.contains("earlier line"), "{text}");
        let text = load_tags(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(text.contains("user_taggedartists.dat is missing"), "{text}");
    }

    /// Counts by a few lines of Python over the files.
    #[test]
    fn the_real_tags_have_the_counts_of_another_reader() {
        let Some(root) = crate::tests::shared("hetrec2011-lastfm-2k") else { return };
        let tags = load_tags(&root).unwrap();
        let counts = (tags.users().len(), tags.items().len(), tags.len());
        assert_eq!(counts, (12_523, 9_749, 109_750));
        assert_eq!(tags.plays().map(|play| f64::from(play.count)).sum::<f64>(), 186_479.0);
        let (artist, tag) = ("289", "pop");
        let row = tags.users().iter().position(|id| id == artist).unwrap();
        let item = tags.items().iter().position(|name| name == tag).unwrap();
        let (items, givers) = tags.of_user(row);
        let place = items.iter().position(|&i| i as usize == item).unwrap();
        assert_eq!(givers[place], 108.0);
    }

    #[test]
    fn the_real_files_have_the_published_counts() {
        let Some(root) = crate::tests::shared("hetrec2011-lastfm-2k") else { return };
        let data = load(&root).unwrap();
        let counts = (data.plays.users().len(), data.plays.items().len(), data.plays.len());
        assert_eq!(counts, (1_892, 17_632, 92_834));
        assert_eq!(crate::read_interactions(&root).unwrap(), data.plays);
        let total: f64 = data.plays.plays().map(|play| f64::from(play.count)).sum();
        assert_eq!(total, 69_183_975.0);
        assert!(data.plays.notes.is_empty(), "{:?}", data.plays.notes);
        // The first lines of the file, as they stand there.
        let (items, plays) = data.plays.of_user(0);
        assert_eq!((data.plays.users()[0].as_str(), items[0], plays[0]), ("2", 0, 13_883.0));
        assert_eq!(data.plays.items()[0], "51");
        assert_eq!(data.artists[0], "Duran Duran");
    }
}
