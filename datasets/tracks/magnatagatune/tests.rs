use super::*;
use crate::test_support::shared;

/// A table in the published layout: quoted values, tabs, 188 tags in no particular order.
fn table(clips: &[(&str, &str, &[&str])]) -> String {
    let mut columns: Vec<String> = TOP_50.iter().rev().map(|tag| tag.to_string()).collect();
    columns.insert(7, "rare tag".into());
    columns.extend((51..188).map(|number| format!("tag {number}")));
    let mut text = String::from("\"clip_id\"");
    for column in columns.iter().map(String::as_str).chain(["mp3_path"]) {
        text += &format!("\t\"{column}\"");
    }
    for (id, path, tags) in clips {
        text += &format!("\n\"{id}\"");
        for column in &columns {
            text += if tags.contains(&column.as_str()) { "\t\"1\"" } else { "\t\"0\"" };
        }
        text += &format!("\t\"{path}\"");
    }
    text + "\n"
}

fn fixture(folder: &Path, clips: &[(&str, &str, &[&str])]) {
    std::fs::write(folder.join(ANNOTATIONS), table(clips)).unwrap();
}

/// A small dataset for the tests of all datasets.
pub(crate) fn small(folder: &Path) -> MagnatagatuneConfig {
    fixture(folder, CLIPS);
    MagnatagatuneConfig { root: folder.to_owned(), ..MagnatagatuneConfig::default() }
}

const CLIPS: &[(&str, &str, &[&str])] = &[
    ("2", "f/bach-aria-30-59.mp3", &["opera", "violin"]),
    ("7", "c/lvx-x-0-29.mp3", &[]),
    ("8", "b/a-b-0-29.mp3", &["guitar", "rare tag"]),
    ("9", "0/a-b-0-29.mp3", &["rare tag"]),
    ("35644", "6/norine-0-29.mp3", &["guitar"]),
];

fn load(folder: &Path, split: ClipSelection, tags: usize) -> Collection {
    MagnatagatuneConfig { root: folder.to_owned(), split, tags }.load(None).unwrap()
}

#[test]
fn clips_are_split_by_directory_and_broken_ones_skipped() {
    let directory = tempfile::tempdir().unwrap();
    fixture(directory.path(), CLIPS);
    std::fs::create_dir_all(directory.path().join("audio/f")).unwrap();
    let all = load(directory.path(), ClipSelection::Pons2017, 50);
    let splits: Vec<_> = all.tracks.iter().map(|t| (t.id.as_str(), t.split.unwrap())).collect();
    assert_eq!(
        splits,
        [("2", Split::Test), ("7", Split::Valid), ("8", Split::Train), ("9", Split::Train)]
    );
    assert_eq!(all.tags, TOP_50);
    let names: Vec<&str> = all.tracks[0].tags.iter().map(|&t| all.tags[t].as_str()).collect();
    assert_eq!(names, ["violin", "opera"]);
    let Audio::File { path, .. } = &all.tracks[0].audio else { panic!() };
    assert_eq!(*path, directory.path().join("audio/f/bach-aria-30-59.mp3"));
    let notes = all.notes.join("; ");
    assert!(notes.contains("files are broken: 1"), "{notes}");
    assert!(notes.contains("artists are unknown"), "{notes}");

    let cleaned = load(directory.path(), ClipSelection::Won2020, 50);
    assert_eq!(cleaned.tracks.len(), 2);
    assert!(cleaned.notes.iter().any(|note| note.ends_with("none of the 50 tags: 2")));
    let every = load(directory.path(), ClipSelection::Pons2017, 188);
    assert_eq!(every.tags.len(), 188);
    let names = every.tracks[3].tags.iter().map(|&tag| every.tags[tag].as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["rare tag"]);
    // "rare tag" has two clips; "opera", "violin" and "guitar" have one, without the broken clip.
    let note = "clips per tag for 188 tags: median 0, maximum 2; tags with fewer than 50 clips: 188; tags \
                without a clip: 184";
    assert!(every.notes.iter().any(|other| other == note), "{:?}", every.notes);
    assert!(!all.notes.iter().any(|other| other.contains("188")), "{:?}", all.notes);
}

#[test]
fn directories_0_to_b_train_c_validate_d_to_f_test() {
    let splits: Vec<Split> = (0..16).map(|number| split_of(&format!("{number:x}/x.mp3"))).collect();
    assert!(splits[..12].iter().all(|split| *split == Split::Train));
    assert_eq!(splits[12..], [Split::Valid, Split::Test, Split::Test, Split::Test]);
}

#[test]
fn line_ends_and_byte_order_mark_do_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    fixture(directory.path(), CLIPS);
    let expected = load(directory.path(), ClipSelection::Won2020, 188);
    let text = table(CLIPS);
    for text in [text.replace('\n', "\r\n"), format!("\u{feff}{text}"), text.replace('"', "")] {
        std::fs::write(directory.path().join(ANNOTATIONS), text).unwrap();
        assert_eq!(load(directory.path(), ClipSelection::Won2020, 188), expected);
    }
}

#[test]
fn audio_is_found_in_the_usual_directories() {
    for place in ["", "mp3", "audio", "raw", "mtat/mp3"] {
        let directory = tempfile::tempdir().unwrap();
        fixture(directory.path(), CLIPS);
        let noted = load(directory.path(), ClipSelection::Pons2017, 50).notes;
        assert!(noted.iter().any(|note| note.contains("unpack the audio")), "{noted:?}");
        // One directory is enough, because downloads are in parts.
        std::fs::create_dir_all(directory.path().join(place).join("3")).unwrap();
        let all = load(directory.path(), ClipSelection::Pons2017, 50);
        assert!(!all.notes.iter().any(|note| note.contains("unpack")), "{:?}", all.notes);
        let Audio::File { path, .. } = &all.tracks[0].audio else { panic!() };
        assert_eq!(*path, directory.path().join(place).join("f/bach-aria-30-59.mp3"));
    }
}

#[test]
fn note_describes_the_frequency_of_tags() {
    let track = |tags: &[usize]| Track {
        id: String::new(),
        audio: Audio::file(PathBuf::new()),
        split: None,
        tags: tags.to_vec(),
        artist: None,
    };
    // Tags with 60, 50, 49, 1 and 0 tracks.
    let mut tracks: Vec<Track> = (0..60).map(|_| track(&[0])).collect();
    tracks[..50].iter_mut().for_each(|track| track.tags.push(1));
    tracks[..49].iter_mut().for_each(|track| track.tags.push(2));
    tracks[0].tags.push(3);
    assert_eq!(
        tag_frequencies(&tracks, 5),
        "clips per tag for 5 tags: median 49, maximum 60; tags with fewer than 50 clips: 3; tags without a \
         clip: 1"
    );
    assert!(tag_frequencies(&tracks, 4).contains("median 49"));
}

#[test]
fn table_with_other_frequent_tags_is_noted() {
    let directory = tempfile::tempdir().unwrap();
    let noted = |tags: &[&str]| {
        fixture(directory.path(), &["0", "1", "2"].map(|id| (id, "0/a.mp3", tags)));
        let notes = load(directory.path(), ClipSelection::Pons2017, 50).notes;
        notes.iter().any(|note| note.contains("not the most frequent"))
    };
    let with_rare: Vec<&str> = TOP_50.iter().copied().chain(["rare tag"]).collect();
    assert!(!noted(&TOP_50));
    assert!(!noted(&with_rare), "equal counts are not noted");
    assert!(noted(&with_rare[1..]));
}

#[test]
fn artists_come_from_the_clip_table() {
    let directory = tempfile::tempdir().unwrap();
    fixture(directory.path(), CLIPS);
    let columns = "clip_id track_number title artist album url segmentStart segmentEnd \
                   original_url mp3_path";
    let rows = [
        &columns.split(' ').collect::<Vec<_>>()[..],
        &["2", "1", "Aria \"\"I\"\"", "Bach, J. S.", "A", "", "30", "59", "", "f/a.mp3"],
        &["7", "2", "X", "", "B", "", "0", "29", "", "c/b.mp3"],
        &["8", "3", "Caf\u{e9}", "Zo\u{eb}", "B", "", "0", "29", "", "b/b.mp3"],
        &["99", "3", "not annotated", "Z", "B", "", "0", "29", "", ""],
    ];
    let text: String = rows.iter().map(|row| format!("\"{}\"\r\n", row.join("\"\t\""))).collect();
    let latin_1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for bytes in [text.as_bytes(), &latin_1] {
        std::fs::write(directory.path().join(CLIP_INFO), bytes).unwrap();
        let all = load(directory.path(), ClipSelection::Pons2017, 50);
        let artists: Vec<_> = all.tracks.iter().map(|track| track.artist.as_deref()).collect();
        assert_eq!(artists, [Some("Bach, J. S."), None, Some("Zo\u{eb}"), None]);
        assert!(!all.notes.iter().any(|note| note.contains("artists")), "{:?}", all.notes);
    }
    std::fs::write(directory.path().join(CLIP_INFO), "clip_id\tname\n").unwrap();
    let config = MagnatagatuneConfig { root: directory.path().into(), ..Default::default() };
    let error = config.load(None).unwrap_err().to_string();
    assert!(error.contains(CLIP_INFO) && error.contains("column artist is missing"), "{error}");
}

#[test]
fn wrong_tables_are_refused_with_their_line() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |text: String, tags: usize, words: &[&str]| {
        std::fs::write(directory.path().join(ANNOTATIONS), text).unwrap();
        let root = directory.path().to_owned();
        let config = MagnatagatuneConfig { root, tags, ..MagnatagatuneConfig::default() };
        let error = config.load(None).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    };
    let good = table(&[("2", "f/a.mp3", &["guitar"])]);
    let twice = table(&[("2", "f/a.mp3", &[]), ("2", "e/b.mp3", &[])]);
    refused(twice.clone(), 50, &["line 3: clip 2", "already in line 2"]);
    refused(twice.replace('\n', "\r\n"), 50, &["line 3: clip 2", "already in line 2"]);
    refused(table(&[("2", "g/a.mp3", &[])]), 50, &["line 2", "g/a.mp3", "directories 0 to f"]);
    refused(table(&[("2", "f/../../a.mp3", &[])]), 50, &["line 2", "../"]);
    refused(table(&[("2", "/etc/passwd", &[])]), 50, &["line 2", "/etc/passwd"]);
    refused(table(&[("2", "\u{e4}/a.mp3", &[])]), 50, &["line 2", "directories"]);
    refused(table(&[("", "f/a.mp3", &[])]), 50, &["line 2", "not a number"]);
    refused(table(&[]), 50, &["no clips"]);
    refused(String::new(), 50, &["mp3_path", "published"]);
    refused(good.replace("\t\"0\"", "\t\"2\""), 50, &["line 2", "\"2\"", "0 or 1"]);
    refused(good.replace("tag 60", "tag 61"), 50, &["column \"tag 61\" occurs twice"]);
    refused(good.replace("\"guitar\"", "\"gitar\""), 50, &["column \"guitar\" is missing"]);
    refused(good.replace("\t\"f/a.mp3\"", ""), 50, &["line 2", "189 columns", "190"]);
    let no_last = good.replace("\t\"tag 187\"", "").replacen("\"2\"\t\"0\"", "\"2\"", 1);
    refused(no_last.clone(), 188, &["187 tags, not 188"]);
    refused(good.clone(), 49, &["tags is 49", "50", "188"]);
    std::fs::remove_file(directory.path().join(ANNOTATIONS)).unwrap();
    let config = MagnatagatuneConfig { root: directory.path().into(), ..Default::default() };
    assert!(config.load(None).unwrap_err().to_string().contains("is missing"));
    let config = MagnatagatuneConfig { root: PathBuf::new(), ..Default::default() };
    assert!(config.load(None).unwrap_err().to_string().contains("root is empty"));
}

/// Counts over all directories.
#[test]
#[ignore = "needs mtat below TONOTOPY_SHARED"]
fn real_index_has_the_published_counts() {
    let folder = shared("mtat");
    let index = std::fs::read_to_string(folder.join("index_mtt.tsv")).unwrap();
    let mut per_folder = [0; 16];
    let (mut all, mut broken) = ([0; 3], 0);
    for line in index.lines() {
        let (id, path) = line.split_once('\t').unwrap();
        per_folder[usize::from_str_radix(&path[..1], 16).unwrap()] += 1;
        all[split_of(path) as usize] += 1;
        broken += usize::from(BROKEN.contains(&id) && split_of(path) == Split::Train);
    }
    assert_eq!(
        per_folder,
        [
            1108, 1543, 1562, 1238, 2421, 1604, 1788, 1163, 1144, 1773, 1417, 1948, 1825, 1677,
            1547, 2105
        ]
    );
    assert_eq!((all, broken), ([18_709, 1_825, 5_329], 3));
}

/// Loads the real labels of the validation and test directories.
#[test]
#[ignore = "needs mtat below TONOTOPY_SHARED"]
fn real_labels_have_both_splits() {
    let folder = shared("mtat");
    let names = std::fs::read_to_string(folder.join("tags_top50.txt")).unwrap();
    assert_eq!(names.lines().filter(|tag| !tag.is_empty()).collect::<Vec<_>>(), TOP_50);
    let root = tempfile::tempdir().unwrap();
    let labels = folder.join("annotations_top50_valtest.csv");
    std::fs::copy(labels, root.path().join(ANNOTATIONS)).unwrap();
    let count = |collection: &Collection, split: Split| {
        collection.tracks.iter().filter(|track| track.split == Some(split)).count()
    };
    let all = load(root.path(), ClipSelection::Pons2017, 50);
    assert_eq!((count(&all, Split::Valid), count(&all, Split::Test)), (1_825, 5_329));
    let cleaned = load(root.path(), ClipSelection::Won2020, 50);
    assert_eq!((count(&cleaned, Split::Valid), count(&cleaned, Split::Test)), (1_529, 4_332));
    let every = load(root.path(), ClipSelection::Pons2017, 188);
    assert_eq!(every.tags.len(), 188);

    // Compares with labels that others published, in another form, clip by clip.
    for (name, split) in [("val_gt_mtt.tsv", Split::Valid), ("test_gt_mtt.tsv", Split::Test)] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let truth: HashMap<&str, Vec<usize>> = text
            .lines()
            .map(|line| {
                let (id, values) = line.split_once('\t').unwrap();
                let values = values.trim_matches(['[', ']']).split(", ");
                let on = values.enumerate().filter(|(_, value)| *value == "1.0");
                (id, on.map(|(tag, _)| tag).collect())
            })
            .collect();
        let tracks = all.tracks.iter().filter(|track| track.split == Some(split));
        assert_eq!(tracks.clone().count(), truth.len());
        for track in tracks {
            assert_eq!(track.tags, truth[track.id.as_str()], "clip {}", track.id);
        }
    }
    assert!(!all.notes.iter().any(|note| note.contains("most frequent")), "{:?}", all.notes);

    // Positives per test clip, with and without the untagged clips.
    let density = |collection: &Collection| {
        let test = collection.tracks.iter().filter(|track| track.split == Some(Split::Test));
        let tags: usize = test.clone().map(|track| track.tags.len()).sum();
        tags as f64 / test.count() as f64
    };
    assert!((density(&all) - 2.66).abs() < 0.005, "{}", density(&all));
    assert!((density(&cleaned) - 3.27).abs() < 0.005, "{}", density(&cleaned));
}
