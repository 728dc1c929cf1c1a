use super::*;
use crate::tracks::folders::tests::touch;

/// For the contract of all data sets.
pub(crate) fn small(folder: &Path) -> UniqueConfig {
    let songs: Vec<String> =
        (0..28).map(|song| format!("genre {:02}/{song}.mp3", song % GENRES)).collect();
    touch(folder, songs.iter().map(String::as_str));
    UniqueConfig { root: folder.to_owned(), ..UniqueConfig::default() }
}

#[test]
fn a_folder_is_a_genre_and_counts_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let config = small(folder.path());
    let all = config.load(None).unwrap();
    assert_eq!((all.tags.len(), all.tracks.len()), (14, 28));
    assert_eq!((&all.tags[3][..], &all.tracks[7].id[..]), ("genre 03", "genre 03/3.mp3"));
    assert!(all.tracks.iter().all(|track| track.artist.is_none() && track.split.is_none()));
    assert_eq!(all.notes, ["28 tracks are here, the data set has 3115"]);

    touch(folder.path(), ["Ünique/x.mp3"]);
    let notes = config.load(None).unwrap().notes.join("; ");
    assert_eq!(
        notes,
        "15 genres are here, the data set has 14; 29 tracks are here, the data set has 3115"
    );
    let split = UniqueConfig { split: "random:8/1/1".into(), ..config };
    let report = crate::SplitReport::of(&split.load(None).unwrap());
    assert_eq!(report.tracks.iter().sum::<usize>(), 29);
}

#[test]
fn a_root_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = |root: &str| {
        let config = UniqueConfig { root: root.into(), ..UniqueConfig::default() };
        config.load(Some(folder.path())).unwrap_err().to_string()
    };
    assert!(load("").contains("unique: root is empty"), "{}", load(""));
    assert!(load("gone").contains("gone is missing: name the folder of Unique"));
    assert!(load(".").contains("no folder with audio"), "{}", load("."));
}
