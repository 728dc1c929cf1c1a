use super::*;
use crate::tracks::folders::tests::touch;

/// For the contract of all data sets: a song of each of two artists in each genre.
pub(crate) fn small(folder: &Path) -> Artists1517Config {
    for genre in GENRES {
        let songs =
            ["Ana Ñ - One.mp3", "Bo - Two - Three.mp3"].map(|name| format!("{genre}/{name}"));
        touch(folder, songs.iter().map(String::as_str));
    }
    Artists1517Config { root: folder.to_owned(), ..Artists1517Config::default() }
}

#[test]
fn songs_have_their_folder_as_genre_and_the_artist_of_their_name() {
    for place in PLACES {
        let folder = tempfile::tempdir().unwrap();
        small(&folder.path().join(place));
        assert!(is_root(folder.path()));
        let root = folder.path().to_owned();
        let config = Artists1517Config { root, ..Artists1517Config::default() };
        let all = config.load(None).unwrap();
        assert_eq!((&all.tags[..], all.tracks.len()), (&GENRES.map(String::from)[..], 38));
        assert_eq!(all.tracks[27].id, "R&B & Soul/Bo - Two - Three.mp3");
        assert_eq!(all.tracks[26].artist.as_deref(), Some("Ana Ñ"));
        assert_eq!(all.notes, ["38 tracks are here, the data set has 3180"]);
    }
}

#[test]
fn what_is_not_as_published_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let config = small(folder.path());
    std::fs::remove_dir_all(folder.path().join("World")).unwrap();
    std::fs::create_dir(folder.path().join("World")).unwrap();
    touch(folder.path(), ["Polka/untitled.mp3", "Jazz/cover.jpg", "index.txt"]);
    let all = config.load(None).unwrap();
    assert_eq!(all.tags.len(), 19);
    assert_eq!(all.tags[16], "Religious");
    assert_eq!(
        all.notes,
        [
            "files left out because they do not end as audio does: 1 (jpg 1)",
            "files left out because they lie in no tag's folder: 1 (\"index.txt\" is one)",
            "folders left out because there is no audio in them: 1 (\"World\")",
            "tracks whose artist is not known, because their names are not `artist - title`: 1",
            "genres that the data set is not known to have: 1 (\"Polka\")",
            "genres of the data set that are not there: 1 (\"World\")",
            "37 tracks are here, the data set has 3180",
        ]
    );
}

#[test]
fn a_split_by_artist_needs_artists() {
    let folder = tempfile::tempdir().unwrap();
    let config = Artists1517Config { split: "random:8/1/1".into(), ..small(folder.path()) };
    let report = crate::SplitReport::of(&config.load(None).unwrap());
    assert_eq!(report.tracks, [30, 4, 4]);
    let by_artist = Artists1517Config { split: "artist:8/1/1".into(), ..config.clone() };
    let error = by_artist.load(None).unwrap_err().to_string();
    assert!(error.contains("only 2 artists"), "{error}");
    touch(folder.path(), ["Jazz/Cy - x.mp3"]);
    assert_eq!(crate::SplitReport::of(&by_artist.load(None).unwrap()).shared_artists, 0);
    let none = Artists1517Config { artist: ArtistSource::None, ..by_artist };
    assert!(none.load(None).unwrap_err().to_string().contains("has no artist"));
}

#[test]
fn a_root_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = |root: &str| {
        let config = Artists1517Config { root: root.into(), ..Artists1517Config::default() };
        config.load(Some(folder.path())).unwrap_err().to_string()
    };
    assert!(load("").contains("artists1517: root is empty"), "{}", load(""));
    assert!(load("gone").contains("gone is missing: name the folder of 1517-Artists"));
    assert!(load(".").contains("no folder with audio"), "{}", load("."));
    assert!(!is_root(folder.path()));
}
