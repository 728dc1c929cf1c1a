use super::*;
use crate::test_support::touch;

/// A small dataset for the tests of all datasets.
pub(crate) fn small(folder: &Path) -> FoldersConfig {
    let songs = ["b/2.mp3", "b/1.mp3", "a/album/1.flac", "a/1.ogg"];
    touch(folder, songs);
    FoldersConfig { root: folder.to_owned(), ..FoldersConfig::default() }
}

fn load(root: &Path, artist: ArtistSource) -> Collection {
    let config =
        FoldersConfig { root: root.to_owned(), artist, split: String::new(), split_seed: 1 };
    config.load(None).unwrap()
}

fn ids(all: &Collection) -> Vec<&str> {
    all.tracks.iter().map(|track| track.id.as_str()).collect()
}

fn refused(root: &Path, words: &[&str]) {
    let config = FoldersConfig { root: root.to_owned(), ..FoldersConfig::default() };
    let error = config.load(None).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn directory_is_the_tag_of_all_files_below_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("my music");
    touch(
        &root,
        ["rock/b.MP3", "rock/a/z.flac", "rock/a/b/c/d.ogg", "jazz/x.wav", "Hip-Hop & R'n'B/1.m4a"],
    );
    let all = load(&root, ArtistSource::None);
    assert_eq!((all.name.as_str(), &all.tags[..]), ("my music", &TAGS.map(String::from)[..]));
    const TAGS: [&str; 3] = ["Hip-Hop & R'n'B", "jazz", "rock"];
    assert_eq!(
        ids(&all),
        ["Hip-Hop & R'n'B/1.m4a", "jazz/x.wav", "rock/a/b/c/d.ogg", "rock/a/z.flac", "rock/b.MP3"]
    );
    let tags: Vec<usize> = all.tracks.iter().map(|track| track.tags[0]).collect();
    assert_eq!(tags, [0, 1, 2, 2, 2]);
    assert!(all.notes.is_empty(), "{:?}", all.notes);
    for track in &all.tracks {
        let Audio::File { path, offset_s: 0.0, duration_s: None } = &track.audio else { panic!() };
        assert!(path.is_file() && path.starts_with(&root), "{}", path.display());
        assert_eq!((track.split, &track.artist, track.tags.len()), (None, &None, 1));
    }
    let below =
        FoldersConfig { root: "my music".into(), split: String::new(), ..Default::default() };
    assert_eq!(below.load(Some(directory.path())).unwrap(), all);
}

#[test]
fn skipped_files_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    touch(
        directory.path(),
        [
            "jazz/1.mp3",
            "jazz/._1.mp3",
            "jazz/cover.jpg",
            "jazz/album/back.JPG",
            "jazz/notes.txt",
            "jazz/README",
            "zoo.mp3",
            "about.txt",
            ".DS_Store",
            "__MACOSX/jazz/._1.mp3",
            "empty/list.m3u",
        ],
    );
    std::fs::create_dir(directory.path().join("nothing")).unwrap();
    let all = load(directory.path(), ArtistSource::None);
    assert_eq!(ids(&all), ["jazz/1.mp3"]);
    assert_eq!(all.tags, ["jazz"]);
    assert_eq!(
        all.notes,
        [
            "files skipped because they are not audio: 5 (jpg 2, m3u 1, no extension 1, txt 1)",
            "files skipped because they are not in a tag's directory: 2 (first: \"about.txt\")",
            "directories skipped because they contain no audio: 3 (\"__MACOSX\", \"empty\", \"nothing\")",
            "hidden files and directories skipped: 3",
        ]
    );
}

#[test]
fn names_of_any_script_are_tags_and_ids() {
    let directory = tempfile::tempdir().unwrap();
    // Composed and decomposed: two different names, as on disk.
    let songs = ["Müsik/Café.mp3", "Müsik/Cafe\u{301}.mp3", "音楽/曲 一.flac", "🎵/🎹 - x.ogg"];
    touch(directory.path(), songs);
    let all = load(directory.path(), ArtistSource::Name);
    assert_eq!(all.tags, ["Müsik", "音楽", "🎵"]);
    assert_eq!(ids(&all), [songs[1], songs[0], songs[2], songs[3]]);
    assert_eq!(all.tracks[3].artist.as_deref(), Some("🎹"));
    let manifest = directory.path().join("manifest.csv");
    crate::tracks::manifest::tests::write_manifest(&all, &manifest).unwrap();
    let again = crate::tracks::manifest::ManifestConfig { root: manifest, ..Default::default() };
    let again = again.load(None).unwrap();
    assert_eq!((&again.tags, &again.tracks), (&all.tags, &all.tracks));
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_are_read_as_latin_1() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    touch(directory.path(), ["a/x.mp3"]);
    let latin_1 = |bytes: &[u8]| directory.path().join(std::ffi::OsStr::from_bytes(bytes));
    // Some file systems refuse such a name.
    if std::fs::write(latin_1(b"a/Caf\xe9.mp3"), "").is_err() {
        return;
    }
    // The apostrophe of Windows-1252 is a control character of Latin-1.
    std::fs::create_dir(directory.path().join("b")).unwrap();
    std::fs::write(latin_1(b"b/it\x92s.mp3"), "").unwrap();
    let all = load(directory.path(), ArtistSource::None);
    assert_eq!(ids(&all), ["a/Café.mp3", "a/x.mp3", r"b/it\x92s.mp3"]);
    std::fs::remove_dir_all(directory.path().join("b")).unwrap();
    let all = load(directory.path(), ArtistSource::None);
    assert_eq!(ids(&all), ["a/Café.mp3", "a/x.mp3"]);
    assert_eq!(all.notes, ["names that are not UTF-8, read as Latin-1: 1"]);
    // Different names stay different.
    touch(directory.path(), ["a/Café.mp3"]);
    std::fs::create_dir(latin_1(b"Caf\xe9")).unwrap();
    std::fs::write(latin_1(b"Caf\xe9/1.mp3"), "").unwrap();
    touch(directory.path(), ["Café/2.mp3"]);
    let all = load(directory.path(), ArtistSource::None);
    let escaped = [r"Caf\xe9/1.mp3", "Café/2.mp3", r"a/Caf\xe9.mp3", "a/Café.mp3", "a/x.mp3"];
    assert_eq!(ids(&all), escaped);
    assert_eq!(all.tags, [r"Caf\xe9", "Café", "a"]);
    assert_eq!(all.notes, ["names that are not UTF-8, written with escapes: 2"]);
}

#[test]
fn directories_named_after_splits_are_the_splits() {
    let directory = tempfile::tempdir().unwrap();
    let songs = [
        "Training/jazz/1.mp3",
        "Training/rock/album/2.mp3",
        "test/jazz/1.mp3",
        "validation/rock/3.mp3",
        "test/stray.mp3",
        "manifest-scanned.csv",
        "quarantine.csv",
    ];
    touch(directory.path(), songs);
    assert!(is_root(directory.path()));
    let config = FoldersConfig {
        root: directory.path().to_owned(),
        artist: ArtistSource::Folder,
        ..FoldersConfig::default()
    };
    let all = config.load(None).unwrap();
    assert_eq!(all.tags, ["jazz", "rock"]);
    let found: Vec<_> = all
        .tracks
        .iter()
        .map(|track| (track.id.as_str(), track.split.unwrap(), track.tags[0]))
        .collect();
    let expected = [
        (songs[0], Split::Train, 0),
        (songs[1], Split::Train, 1),
        (songs[2], Split::Test, 0),
        (songs[3], Split::Valid, 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(all.tracks[1].artist.as_deref(), Some("album"));
    let notes = all.notes.join("; ");
    for words in
        ["Training, test, validation are the splits", "not in a tag's: 1", "tracks without"]
    {
        assert!(notes.contains(words), "{notes}");
    }
    assert_eq!(all.notes.len(), 3, "{notes}");

    // Without directories of tags nothing is known about the files.
    let bare = tempfile::tempdir().unwrap();
    touch(bare.path(), ["train/1.mp3", "test/2.mp3"]);
    refused(bare.path(), &["train", "test", "are splits", "train/jazz/01.mp3"]);
    touch(bare.path(), ["train/a|b/1.mp3"]);
    refused(bare.path(), &["\"a|b\" cannot be a tag"]);
    // Beside other directories, a split's name is a tag like any other.
    let other = tempfile::tempdir().unwrap();
    touch(other.path(), ["train/jazz/1.mp3", "test/jazz/2.mp3", "horn/3.mp3"]);
    assert_eq!(load(other.path(), ArtistSource::None).tags, ["horn", "test", "train"]);
    // Directories that are three levels deep are found too.
    let deep = tempfile::tempdir().unwrap();
    touch(deep.path(), ["train/jazz/album/1.mp3", "test/jazz/album/2.mp3"]);
    assert!(is_root(deep.path()));
}

#[cfg(unix)]
#[test]
fn links_are_followed_where_they_cannot_form_a_cycle() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("music");
    touch(directory.path(), ["elsewhere/1.mp3", "music/jazz/2.mp3"]);
    symlink(directory.path().join("elsewhere"), root.join("rock")).unwrap();
    symlink(directory.path().join("elsewhere/1.mp3"), root.join("jazz/1.mp3")).unwrap();
    symlink(&root, root.join("jazz/circle")).unwrap();
    symlink(directory.path().join("gone"), root.join("jazz/gone.mp3")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("jazz/socket.mp3")).unwrap();
    let all = load(&root, ArtistSource::None);
    assert_eq!(ids(&all), ["jazz/1.mp3", "jazz/2.mp3", "rock/1.mp3"]);
    assert_eq!(
        all.notes,
        [
            "links to directories skipped: 1",
            "broken links skipped: 1",
            "pipes, sockets and devices skipped: 1",
        ]
    );
}

#[test]
fn artists_are_read_from_names_or_directories() {
    let directory = tempfile::tempdir().unwrap();
    touch(
        directory.path(),
        [
            "jazz/Miles Davis/Kind of Blue/01 - So What.mp3",
            "jazz/Joe Henderson - Teo - live.mp3",
            "jazz/Teo.mp3",
            "rock/808/ - .mp3",
            "rock/808/01 - Cubik.mp3",
        ],
    );
    let artists = |source| {
        let all = load(directory.path(), source);
        let artists: Vec<Option<String>> =
            all.tracks.iter().map(|track| track.artist.clone()).collect();
        (artists, all.notes.join("; "))
    };
    let some = |name: &str| Some(name.to_owned());
    let (names, notes) = artists(ArtistSource::Name);
    assert_eq!(names, [some("Joe Henderson"), None, None, None, None]);
    assert_eq!(
        notes,
        "tracks without an artist because their file names are not `artist - title`: 4"
    );
    let (folders, notes) = artists(ArtistSource::Folder);
    assert_eq!(folders, [None, some("Miles Davis"), None, some("808"), some("808")]);
    assert!(notes.ends_with("they are directly in their tag's directory: 2"), "{notes}");
    let (none, notes) = artists(ArtistSource::None);
    assert!(none.iter().all(Option::is_none) && notes.is_empty(), "{notes}");
}

#[test]
fn tracks_are_split_by_the_given_rule() {
    let directory = tempfile::tempdir().unwrap();
    let songs: Vec<String> = (0..40)
        .map(|song| format!("{}/artist {}/{song}.mp3", ["a", "b"][song % 2], song / 4))
        .collect();
    touch(directory.path(), songs.iter().map(String::as_str));
    let config = FoldersConfig { root: directory.path().to_owned(), ..FoldersConfig::default() };
    let report = crate::SplitReport::of(&config.load(None).unwrap());
    assert_eq!((report.tracks, report.artists), ([32, 4, 4], [0; 3]));
    let config = FoldersConfig {
        split: "artist:6/2/2".into(),
        artist: ArtistSource::Folder,
        ..config.clone()
    };
    let report = crate::SplitReport::of(&config.load(None).unwrap());
    assert_eq!((report.tracks, report.artists, report.shared_artists), ([24, 8, 8], [6, 2, 2], 0));
    let nameless = FoldersConfig { artist: ArtistSource::None, ..config.clone() };
    let error = nameless.load(None).unwrap_err().to_string();
    assert!(error.contains("has no artist"), "{error}");
    let wrong = FoldersConfig { split: "album:8/1/1".into(), ..config };
    let error = wrong.load(None).unwrap_err();
    assert!(matches!(error, DatasetError::InvalidConfig { .. }), "{error}");
    assert!(error.to_string().contains("dataset folders: split is \"album:8/1/1\""), "{error}");
}

#[test]
fn roots_without_directories_of_audio_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    refused(Path::new(""), &["root is empty", "one directory per tag"]);
    refused(&directory.path().join("gone"), &["gone is missing", "one directory per tag"]);
    refused(directory.path(), &["no directory contains audio", "mp3", "jazz/01.mp3"]);
    touch(directory.path(), ["1.mp3", "texts/a.txt"]);
    refused(directory.path(), &["no directory contains audio"]);
    refused(&directory.path().join("1.mp3"), &["1.mp3: this is a file"]);
    touch(directory.path(), ["a|b/1.mp3"]);
    refused(directory.path(), &["\"a|b\" cannot be a tag"]);
    std::fs::rename(directory.path().join("a|b"), directory.path().join("a ")).unwrap();
    refused(directory.path(), &["\"a \" cannot be a tag"]);
    std::fs::rename(directory.path().join("a "), directory.path().join("a")).unwrap();
    touch(directory.path(), ["a/line\nbreak.mp3"]);
    refused(directory.path(), &["line\\nbreak.mp3", "control character", "rename it"]);
}

#[cfg(unix)]
#[test]
fn unreadable_directory_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    touch(directory.path(), ["a/1.mp3", "b/2.mp3"]);
    let closed = directory.path().join("b");
    let mode = |mode| std::fs::set_permissions(&closed, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o000);
    // The superuser reads everything.
    if std::fs::read_dir(&closed).is_err() {
        refused(directory.path(), &["cannot list", "b: "]);
    }
    mode(0o755);
}

#[test]
fn differences_from_the_published_dataset_are_noted() {
    let compared = |known: &[&str], folders: usize, tracks: usize| {
        let directory = tempfile::tempdir().unwrap();
        let mut all =
            FoldersConfig { split: String::new(), ..small(directory.path()) }.load(None).unwrap();
        compare(&mut all, known, folders, tracks);
        all.notes
    };
    assert_eq!(compared(&[], 2, 4), [""; 0]);
    assert_eq!(compared(&["b", "a"], 2, 4), [""; 0]);
    assert_eq!(
        compared(&[], 3, 5),
        ["genres: 2 instead of the published 3", "tracks: 4 instead of the published 5"]
    );
    assert_eq!(
        compared(&["a", "c"], 2, 4),
        ["genres that the published dataset does not have: 1 (\"b\")", "missing genres: 1 (\"c\")",]
    );
}

#[test]
fn two_directories_with_audio_are_recognised() {
    let directory = tempfile::tempdir().unwrap();
    touch(
        directory.path(),
        ["a/1.mp3", "a/2.mp3", "b/cover.jpg", ".c/1.mp3", "d/._1.mp3", "1.mp3"],
    );
    assert!(!is_root(directory.path()) && !is_root(&directory.path().join("gone")));
    touch(directory.path(), ["e/album/1.flac"]);
    assert!(is_root(directory.path()));
}
