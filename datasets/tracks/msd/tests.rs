//! Tests on small files in the layouts that the module documentation describes.

use std::fs;

use super::*;
use crate::Split;

pub const IDS: [&str; 6] = [
    "TRMMMYQ128F932D901",
    "TRMMMKD128F425225D",
    "TRMMMRX128F93187D9",
    "TRMMMCH128F425532C",
    "TRABCWA128F426B589",
    "TRAXYZN128F9326128",
];

fn tracks() -> String {
    let row = |(number, id): (usize, &&str)| {
        // An artist's name may contain anything.
        format!(
            "{id}<SEP>SOQMMHC12AB0180C{number:02}<SEP>Artist, {number} \"é\"<SEP>Title <{number}>\n"
        )
    };
    IDS.iter().enumerate().map(row).collect()
}

/// A small dataset for the tests of all datasets: six tracks, five of them with tags.
pub fn small(root: &Path) -> MsdConfig {
    fs::write(root.join(TRACKS), tracks()).unwrap();
    let [a, b, c, d, e, _] = IDS;
    let table = format!(
        "{a}\trock|guitar\r\n{b}\tjazz\r\n{c}\trock\r\n{d}\trock|jazz\r\n{e}\tguitar|rare\r\n"
    );
    fs::write(root.join("tags.tsv"), table).unwrap();
    MsdConfig { root: root.to_owned(), ..Default::default() }
}

fn tags_of<'a>(collection: &'a Collection, id: &str) -> Vec<&'a str> {
    let track = collection.tracks.iter().find(|track| track.id == id).unwrap();
    track.tags.iter().map(|&tag| collection.tags[tag].as_str()).collect()
}

/// Without annotations every track is kept, and clips may have any name.
#[test]
fn tracks_without_tags_and_clips_with_other_names_are_loaded() {
    let root = tempfile::tempdir().unwrap();
    let mut config = small(root.path());
    config.annotations.clear();
    config.split.clear();
    let all = config.load(None).unwrap();
    assert_eq!(all.name, "msd");
    assert!(all.tags.is_empty() && all.tracks.iter().all(|track| track.tags.is_empty()));
    assert_eq!(all.tracks.len(), IDS.len());

    config.clip_table = "clips.tsv".into();
    assert!(config.load(None).unwrap_err().to_string().contains("clips.tsv is missing"));
    let table = |text: &str| fs::write(root.path().join("clips.tsv"), text).unwrap();
    table(&format!("track\tfile\n{}\t12/345.clip.mp3\n{},b, c.mp3\n", IDS[0], IDS[2]));
    let two = config.load(None).unwrap();
    let path = |at: usize| match &two.tracks[at].audio {
        Audio::File { path, .. } => path.strip_prefix(root.path()).unwrap().to_owned(),
        _ => panic!(),
    };
    assert_eq!((path(0), path(1)), ("clips/12/345.clip.mp3".into(), "clips/b, c.mp3".into()));
    let left_out = format!("clips.tsv does not contain them: {}", IDS.len() - 2);
    assert!(two.notes.iter().any(|note| note.contains(&left_out)), "{:?}", two.notes);
    for (text, words) in [
        (format!("{}\n", IDS[0]), "no tab or comma"),
        (format!("{}\t../x.mp3\n", IDS[0]), "line 1: the file \"../x.mp3\" is not below"),
        (format!("{}\t/x.mp3\n", IDS[0]), "is not below"),
        (format!("{}\t\n", IDS[0]), "is not below"),
        (format!("{0}\ta\n{0}\tb\n", IDS[0]), "line 2: the track"),
        (format!("track\tfile\nx\tb\n{}\tb\n", IDS[0]), "line 2: \"x\" is not a track id"),
    ] {
        table(&text);
        let error = config.load(None).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn tracks_have_clips_artists_tags_and_a_split() {
    let root = tempfile::tempdir().unwrap();
    let collection = small(root.path()).load(None).unwrap();
    assert_eq!(collection.name, "msd/tags");
    // By frequency (3, 2, 2, 1), then by name.
    assert_eq!(collection.tags, ["rock", "guitar", "jazz", "rare"]);
    let ids: Vec<&str> = collection.tracks.iter().map(|track| track.id.as_str()).collect();
    assert_eq!(ids, IDS[..5]);
    assert_eq!(tags_of(&collection, IDS[3]), ["rock", "jazz"]);
    assert_eq!(collection.tracks[1].artist.as_deref(), Some("Artist, 1 \"é\""));
    let Audio::File { path, .. } = &collection.tracks[4].audio else { panic!() };
    assert_eq!(*path, root.path().join("clips/A/B/C/TRABCWA128F426B589.mp3"));
    let here = |split| collection.tracks.iter().filter(|t| t.split == Some(split)).count();
    assert_eq!(Split::ALL.map(here).iter().sum::<usize>(), 5);
    assert!(Split::ALL.iter().all(|&split| here(split) > 0));
    assert_eq!(collection.notes.len(), 1);
    assert!(collection.notes[0].contains("clips is missing"), "{:?}", collection.notes);

    fs::create_dir(root.path().join("clips")).unwrap();
    let two = MsdConfig { tags: 1, split: String::new(), ..small(root.path()) };
    let two = two.load(None).unwrap();
    assert_eq!((two.tags.len(), two.tracks.len()), (1, 3));
    assert!(two.tracks.iter().all(|track| track.split.is_none()));
    assert_eq!(two.notes, ["tracks skipped because they have none of the 1 tags: 2"]);
    // Relative to a data directory.
    let parent = root.path().parent().unwrap();
    let name = root.path().file_name().unwrap();
    let config = MsdConfig { root: name.into(), ..Default::default() };
    assert_eq!(config.load(Some(parent)).unwrap().tracks.len(), 5);
}

#[test]
fn published_genre_tables_are_read() {
    let root = tempfile::tempdir().unwrap();
    let mut config = small(root.path());
    let [a, b, c, ..] = IDS;
    let unknown = "TRZZZZZ128F0000000";
    let text = format!(
        "# MSD genre annotations\n# trackId<tab>majority<tab>minority\n{a}\tRock\n{b}\tJazz\tBlues\n{c}\tRnB\n{unknown}\tRock\n"
    );
    fs::write(root.path().join("msd_tagtraum_cd2c.cls"), text).unwrap();
    config.annotations = vec!["msd_tagtraum_cd2c.cls".into()];
    let genres = config.load(None).unwrap();
    assert_eq!(genres.name, "msd/msd_tagtraum_cd2c");
    // A track that is not listed does not count.
    assert_eq!(genres.tags, ["Blues", "Jazz", "RnB", "Rock"]);
    assert_eq!(tags_of(&genres, b), ["Blues", "Jazz"]);
    assert!(genres.notes.iter().any(|note| note.ends_with("does not list them: 1")));

    let text = format!("{a}\tPop_Rock\n{b}\tJazz\n{c}\tInternational\n{}\t\n", IDS[3]);
    fs::write(root.path().join("msd-MAGD-genreAssignment.cls"), text).unwrap();
    config.annotations.push("msd-MAGD-genreAssignment.cls".into());
    let both = config.load(None).unwrap();
    assert_eq!(tags_of(&both, a), ["Pop_Rock", "Rock"]);
    // A tag in both tables is on one track.
    assert_eq!(tags_of(&both, b), ["Blues", "Jazz"]);
    let untagged = "lines without a tag in msd-MAGD-genreAssignment.cls: 1";
    assert!(both.notes.iter().any(|note| note == untagged), "{:?}", both.notes);
}

/// Writes a file in the layout of Last.fm.
fn last_fm(root: &Path, folder: &str, id: &str, text: &str) {
    let path = clip_path(&root.join(folder), id).with_extension("json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn song(id: &str, tags: &str) -> String {
    format!(
        "{{\"artist\": \"X\", \"timestamp\": \"2011-08-02 20:13:25.674526\", \"similars\": [[\"{}\", 0.5]], \
         \"tags\": {tags}, \"track_id\": \"{id}\", \"title\": \"Y\"}}",
        IDS[0]
    )
}

#[test]
fn last_fm_tags_are_read_from_directories() {
    let root = tempfile::tempdir().unwrap();
    let mut config = small(root.path());
    fs::remove_file(root.path().join("tags.tsv")).unwrap();
    let [a, b, c, d, ..] = IDS;
    last_fm(root.path(), "lastfm_train", a, &song(a, "[[\"rock\", \"100\"], [\"loud\", \"3\"]]"));
    last_fm(root.path(), "lastfm_train", b, &song(b, "[]"));
    last_fm(root.path(), "lastfm_train", d, &song(d, "[[\"  \", \"1\"], [\"soul\", \"0\"]]"));
    last_fm(root.path(), "lastfm_test", c, &song(c, "[[\"rock\", 60.0], [\"soul\", \"50\"]]"));
    fs::write(root.path().join("lastfm_train/readme.txt"), "x").unwrap();

    config.annotations = annotations_in(root.path());
    assert_eq!(config.annotations, [Path::new("lastfm_train"), Path::new("lastfm_test")]);
    let all = config.load(None).unwrap();
    assert_eq!(all.tags, ["rock", "soul", "loud"]);
    assert_eq!(tags_of(&all, a), ["rock", "loud"]);
    assert_eq!(all.tracks.len(), 3);
    let notes = all.notes.join("; ");
    for words in [
        "tracks without a tag in lastfm_train: 1",
        "contain a control character in lastfm_train: 1",
        "not .json or too deep in lastfm_train: 1",
    ] {
        assert!(notes.contains(words), "{notes}");
    }
    config.min_strength = 50;
    config.split = String::new();
    let strong = config.load(None).unwrap();
    assert_eq!(strong.tags, ["rock", "soul"]);
    assert_eq!(strong.tracks.len(), 2);
    assert!(strong.notes.join("; ").contains("weaker than 50 in lastfm_train: 2"));

    let mut error = |id: &str, text: &str| {
        last_fm(root.path(), "lastfm_test", id, text);
        let error = config.load(None).unwrap_err().to_string();
        fs::remove_file(clip_path(&root.path().join("lastfm_test"), id).with_extension("json"))
            .unwrap();
        config.min_strength = 0;
        assert!(error.contains(&format!("{id}.json")), "{error}");
        error
    };
    assert!(error(IDS[4], "{").contains("track_id"));
    assert!(error(IDS[4], "{\"track_id\": \"x\"}").contains("missing field `tags`"));
    assert!(error(IDS[4], &song(a, "[]")).contains("unlike the file name"));
    assert!(error(IDS[4], &song("../../etc/passwd", "[]")).contains("is not a track id"));
    for strength in ["\"much\"", "\"NaN\"", "-1", "101", "\"inf\""] {
        let text = song(IDS[4], &format!("[[\"rock\", {strength}]]"));
        assert!(error(IDS[4], &text).contains("not a number from 0 to 100"), "{strength}");
    }
    let empty = tempfile::tempdir().unwrap();
    config.annotations = vec![empty.path().to_owned()];
    assert!(config.load(None).unwrap_err().to_string().contains("unpack Last.fm's archive"));
}

#[test]
fn errors_name_file_line_and_remedy() {
    let root = tempfile::tempdir().unwrap();
    let config = small(root.path());
    let error = |file: &str, text: &[u8]| {
        small(root.path());
        fs::write(root.path().join(file), text).unwrap();
        config.load(None).unwrap_err().to_string()
    };
    let a = IDS[0];
    for (text, words) in [
        (format!("{a}\trock\nTRX\trock\n"), "line 2: \"TRX\" is not a track id"),
        (format!("{a},rock\n"), "line 1: "),
        (format!("\n{a}\trock||jazz\n"), "line 2: a tag in"),
        (format!("{a}\t|rock\n"), "line 1: a tag in"),
        (format!("{a}\tro\u{7}ck\n"), "contains a control character"),
        ("trmmmyq128f932d901\trock\n".into(), "is not a track id"),
        (format!("{a}é\trock\n"), "is not a track id"),
        ("# nothing\n".into(), "none of its 6 tracks is used"),
        (String::new(), "none of its 6 tracks is used"),
    ] {
        let error = error("tags.tsv", text.as_bytes());
        assert!(error.contains(words), "{text:?}: {error}");
    }
    let mut latin = format!("{a}\tfran").into_bytes();
    latin.extend(b"\xe7ais\n");
    assert!(error("tags.tsv", &latin).contains("tags.tsv line 1: the line is not UTF-8"));
    let text = error(TRACKS, b"TRMMMYQ128F932D901\tSO\tartist\ttitle\n");
    assert!(text.contains("line 1") && text.contains("<SEP>"), "{text}");
    let text = error(TRACKS, format!("{0}{0}", tracks()).as_bytes());
    assert!(text.contains("unique_tracks.txt line 7") && text.contains("earlier line"), "{text}");

    let refused = |set: fn(&mut MsdConfig)| {
        let mut config = small(root.path());
        set(&mut config);
        config.load(None).unwrap_err().to_string()
    };
    assert!(refused(|c| c.root = "".into()).contains("root is empty"));
    assert!(refused(|c| c.min_strength = 101).contains("min_strength is 101"));
    assert!(refused(|c| c.split = "genre:1/1/1".into()).contains("split is \"genre:1/1/1\""));
    assert!(refused(|c| c.annotations = vec!["gone.cls".into()]).contains("gone.cls is missing"));
    assert!(refused(|c| c.root = "/nowhere".into()).contains("unique_tracks.txt is missing"));
}

/// Replaces every byte of valid files: the result is an error of one line, or tracks with clips below the root.
#[test]
fn damaged_files_do_not_panic() {
    let root = tempfile::tempdir().unwrap();
    let config = MsdConfig { split: "random:1/1/1".into(), ..small(root.path()) };
    let json = song(IDS[5], "[[\"rock\", \"100\"]]");
    last_fm(root.path(), "lastfm_train", IDS[5], &json);
    let last_fm_file = clip_path(&root.path().join("lastfm_train"), IDS[5]).with_extension("json");
    let directory = MsdConfig {
        annotations: vec!["lastfm_train".into()],
        split: String::new(),
        ..config.clone()
    };
    let mut loaded = 0;
    for (path, config) in [
        (root.path().join(TRACKS), &config),
        (root.path().join("tags.tsv"), &config),
        (last_fm_file, &directory),
    ] {
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for byte in [b'<', b'\t', b'|', b'\n', b'/', b'.', b'"', b'#', 0, 0xff] {
                let mut damaged = good.clone();
                damaged[at] = byte;
                fs::write(&path, &damaged).unwrap();
                match config.load(None) {
                    Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
                    Ok(collection) => {
                        loaded += 1;
                        for track in &collection.tracks {
                            let Audio::File { path, .. } = &track.audio else { panic!() };
                            let below = path.strip_prefix(root.path().join("clips")).unwrap();
                            assert_eq!(below.components().count(), 4);
                            assert!(!below.to_string_lossy().contains(".."));
                        }
                    }
                }
            }
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(loaded > 1_000, "{loaded}");
}
