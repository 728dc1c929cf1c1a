use super::*;
use crate::test_support::shared;

// An encoder of the format.

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn bytes_field(number: u64, value: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    bytes_field(1, &[bytes_field(1, key.as_bytes()), bytes_field(2, value)].concat())
}

fn string(value: &[u8]) -> Vec<u8> {
    bytes_field(1, &bytes_field(1, value))
}

fn float(value: f32) -> Vec<u8> {
    bytes_field(2, &bytes_field(1, &value.to_le_bytes()))
}

fn packed(labels: &[u64]) -> Vec<u8> {
    let packed: Vec<u8> = labels.iter().flat_map(|&label| varint(label)).collect();
    bytes_field(3, &bytes_field(1, &packed))
}

fn frame(byte: u8) -> Vec<u8> {
    bytes_field(1, &string(&[byte; DIMENSION]))
}

/// The context and the feature lists of a clip.
fn parts(id: &str, labels: &[u64], frames: &[u8]) -> [Vec<u8>; 2] {
    let context = [
        entry("video_id", &string(id.as_bytes())),
        entry("start_time_seconds", &float(30.0)),
        entry("end_time_seconds", &float(40.0)),
        entry("labels", &packed(labels)),
    ];
    let frames: Vec<u8> = frames.iter().flat_map(|&byte| frame(byte)).collect();
    [context.concat(), entry("audio_embedding", &frames)]
}

fn example(context: &[u8], lists: &[u8]) -> Vec<u8> {
    [bytes_field(1, context), bytes_field(2, lists)].concat()
}

fn clip(id: &str, labels: &[u64], frames: &[u8]) -> Vec<u8> {
    let [context, lists] = parts(id, labels, frames);
    record(&example(&context, &lists))
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let sum = |data: &[u8]| tfrecord::masked_crc(data).to_le_bytes();
    [&length[..], &sum(&length), message, &sum(message)].concat()
}

const INDEX: &str = "index,mid,display_name\n\
                     0,/m/09x0r,\"Speech\"\n\
                     1,/m/04rlf,\"Music\"\n\
                     2,/m/0342h,\"Guitar, \"\"any\"\"\"\n\
                     3,/t/dd00032,\"Straße\"\n";

/// Music is above instruments (which are not in the index), and these are above guitar.
const TREE: &str = r#"[
    {"id": "/m/09x0r", "name": "Speech", "child_ids": []},
    {"id": "/m/04rlf", "name": "Music", "child_ids": ["/m/04szw", "/m/0342h"], "restrictions": []},
    {"id": "/m/04szw", "name": "Musical instrument", "child_ids": ["/m/0342h", "/m/04rlf"]},
    {"id": "/m/0342h", "name": "Guitar", "child_ids": []}
]"#;

/// A small dataset for the tests of all datasets.
pub(crate) fn small(root: &Path) -> AudiosetConfig {
    std::fs::create_dir_all(root).unwrap();
    let Fixture(folder) = Fixture::new();
    for name in [LABELS, ONTOLOGY, "bal_train.tfrecord", "eval.tfrecord"] {
        std::fs::copy(folder.path().join(name), root.join(name)).unwrap();
    }
    AudiosetConfig { root: root.to_owned(), ..AudiosetConfig::default() }
}

struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture(tempfile::tempdir().unwrap());
        fixture.write(LABELS, INDEX).write(ONTOLOGY, TREE);
        let train = [clip("--aE2O5G5WE", &[2, 1], &[1, 2, 3]), clip("b", &[0, 1], &[7])];
        fixture.write("bal_train.tfrecord", train.concat());
        fixture.write("eval.tfrecord", clip("c", &[1, 3], &[255; 10]));
        fixture
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Fixture {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    fn config(&self, labels: Vocabulary) -> AudiosetConfig {
        AudiosetConfig { root: self.0.path().to_owned(), labels, ..AudiosetConfig::default() }
    }

    fn load(&self, labels: Vocabulary) -> Collection {
        self.config(labels).load(None).unwrap()
    }

    fn refused(&self, words: &[&str]) {
        let error = self.config(Vocabulary::Music).load(None).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    /// Refused with these bytes as `bal_train`.
    fn train_refused(&self, bytes: impl AsRef<[u8]>, words: &[&str]) {
        self.write("bal_train.tfrecord", bytes);
        self.refused(words);
    }
}

fn ids(all: &Collection) -> Vec<&str> {
    all.tracks.iter().map(|track| track.id.as_str()).collect()
}

fn tags(all: &Collection) -> Vec<&[usize]> {
    all.tracks.iter().map(|track| &track.tags[..]).collect()
}

fn frames(track: &Track) -> &Frames {
    let Audio::Frames(frames) = &track.audio else { panic!() };
    frames
}

#[test]
fn clips_have_their_labels_and_frames() {
    let fixture = Fixture::new();
    let all = fixture.load(Vocabulary::All);
    assert_eq!(all.tags, ["Speech", "Music", "Guitar, \"any\"", "Straße"]);
    assert_eq!(ids(&all), ["--aE2O5G5WE", "b", "c"]);
    assert_eq!(tags(&all), [&[1, 2][..], &[0, 1], &[1, 3]]);
    let first = frames(&all.tracks[0]);
    assert_eq!((first.width, first.per_second), (128, 1));
    assert_eq!(*first.bytes, *[[1; 128], [2; 128], [3; 128]].as_flattened());
    assert_eq!(frames(&all.tracks[2]).bytes.len(), 10 * 128);
    assert_eq!(all.tracks[2].split, Some(Split::Test));
    assert!(all.tracks[..2].iter().all(|track| track.split != Some(Split::Test)));
    assert!(all.notes.is_empty(), "{:?}", all.notes);

    let music = fixture.load(Vocabulary::Music);
    assert_eq!((music.name.as_str(), music.tags.len()), ("audioset/music", 2));
    assert_eq!(music.tags, ["Music", "Guitar, \"any\""]);
    assert_eq!(tags(&music), [&[0, 1][..], &[0], &[0]]);
    let parent = tempfile::tempdir().unwrap();
    std::fs::rename(fixture.0.path(), parent.path().join("x")).unwrap();
    let below = AudiosetConfig { root: "x".into(), ..AudiosetConfig::default() };
    let loaded = below.load(Some(parent.path()));
    std::fs::rename(parent.path().join("x"), fixture.0.path()).unwrap();
    assert_eq!(loaded.unwrap(), music);
}

#[test]
fn bytes_span_minus_two_to_two() {
    assert_eq!(LOWEST, -2.0);
    assert!((LOWEST + 255.0 * STEP - 2.0).abs() < 1e-6);
}

#[test]
fn validation_split_depends_only_on_ids() {
    let fixture = Fixture::new();
    let clips: Vec<u8> =
        (0..2_000).flat_map(|n| clip(&format!("v{n}"), &[1], &[n as u8])).collect();
    fixture.write("bal_train.tfrecord", clips);
    let config = |valid| AudiosetConfig { valid, ..fixture.config(Vocabulary::Instruments) };
    let split = |valid| -> Vec<Option<Split>> {
        let tracks = config(valid).load(None).unwrap().tracks;
        tracks.into_iter().map(|track| track.split).collect()
    };
    let count = |splits: &[Option<Split>], of| splits.iter().filter(|s| **s == Some(of)).count();
    let (few, many) = (split(0.1), split(0.3));
    // 200 and 600 of 2 000 expected; five standard deviations are 67 and 103.
    assert!((133..=267).contains(&count(&few, Split::Valid)), "{}", count(&few, Split::Valid));
    assert!((497..=703).contains(&count(&many, Split::Valid)), "{}", count(&many, Split::Valid));
    assert_eq!(count(&few, Split::Test), 1);
    // A larger share contains the smaller one.
    let is_valid = |split: &Option<Split>| *split == Some(Split::Valid);
    assert!(few.iter().zip(&many).all(|(few, many)| !is_valid(few) || is_valid(many)));
    for valid in [0.0, 1.0, -0.1, f64::NAN] {
        let error = config(valid).load(None).unwrap_err().to_string();
        assert!(error.contains("valid"), "{error}");
    }
}

#[test]
fn settings_are_read_by_their_names() {
    let read = |text: &str| toml::from_str::<AudiosetConfig>(text);
    assert_eq!(read("").unwrap(), AudiosetConfig::default());
    assert_eq!(read("labels = \"all\"").unwrap().labels, Vocabulary::All);
    let error = read("labels = \"rock\"").unwrap_err().to_string();
    assert!(error.contains("music") && error.contains("all"), "{error}");
    assert!(read("label = \"all\"").unwrap_err().to_string().contains("`label`"));
    let empty = AudiosetConfig { root: PathBuf::new(), ..AudiosetConfig::default() };
    assert!(empty.load(None).unwrap_err().to_string().contains("root is empty"));
}

#[test]
fn clips_without_a_label_or_a_frame_are_counted() {
    let fixture = Fixture::new();
    let clips = [clip("a", &[0], &[1]), clip("b", &[1], &[]), clip("c2", &[1, 1], &[9])];
    fixture.write("bal_train.tfrecord", clips.concat());
    let music = fixture.load(Vocabulary::Music);
    assert_eq!((ids(&music), tags(&music)), (vec!["c2", "c"], vec![&[0][..], &[0]]));
    assert_eq!(
        music.notes,
        [
            "clips of bal_train skipped because they have no tag: 1",
            "clips of bal_train skipped because they have no frame: 1",
        ]
    );
    assert_eq!(ids(&fixture.load(Vocabulary::All)), ["a", "c2", "c"]);
}

#[test]
fn files_in_directories_are_read_in_order() {
    let fixture = Fixture::new();
    let single = fixture.load(Vocabulary::Music);
    for place in ["", "audioset_v1_embeddings/"] {
        let folder = |name: &str| format!("{place}bal_train/{name}");
        let _ = std::fs::remove_file(fixture.0.path().join("bal_train.tfrecord"));
        fixture.write(&folder("b0.tfrecord"), clip("b", &[0, 1], &[7]));
        fixture.write(&folder("-0.tfrecord"), clip("--aE2O5G5WE", &[2, 1], &[1, 2, 3]));
        fixture.write(&folder("c0.tfrecord"), "");
        fixture.write(&folder("md5sum"), "x");
        let several = fixture.load(Vocabulary::Music);
        assert_eq!(several.tracks, single.tracks);
        assert_eq!(several.notes, ["files in bal_train skipped because they are not .tfrecord: 1"]);
        let directory = fixture.0.path().join(place).join("bal_train");
        ["b0.tfrecord", "-0.tfrecord", "c0.tfrecord"]
            .iter()
            .for_each(|name| std::fs::remove_file(directory.join(name)).unwrap());
        fixture.refused(&["bal_train", "no .tfrecord file"]);
        std::fs::remove_dir_all(directory).unwrap();
    }
    fixture.refused(&["bal_train.tfrecord is missing", "the directory bal_train"]);
}

/// Compares with the first 12 bytes of the published `eval` file, and the usual check value of CRC-32C (RFC 3720,
/// B.4 has others).
#[test]
fn checksums_follow_the_format() {
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    let head = [0x5d, 5, 0, 0, 0, 0, 0, 0, 0x26, 0xd6, 0x8e, 0x67];
    assert_eq!(tfrecord::masked_crc(&head[..8]).to_le_bytes(), head[8..]);
}

#[test]
fn damaged_files_are_refused_with_the_byte() {
    let fixture = Fixture::new();
    let (first, second) = (clip("a", &[1], &[1]), clip("b", &[1], &[2]));
    let good = [first.clone(), second.clone()].concat();
    let begins = first.len();
    let at = format!("bal_train.tfrecord byte {begins}: ");
    // Cut anywhere except between records.
    for length in 1..good.len() {
        fixture.write("bal_train.tfrecord", &good[..length]);
        let outcome = fixture.config(Vocabulary::Music).load(None);
        if length == begins {
            assert_eq!(ids(&outcome.unwrap()), ["a", "c"]);
            continue;
        }
        let error = outcome.unwrap_err().to_string();
        let place = if length < begins { "byte 0: " } else { &at };
        assert!(
            error.contains(place) && error.contains("the file ends after"),
            "{length}: {error}"
        );
        assert!(error.contains("get it again"), "{error}");
    }
    // Any flipped bit.
    for byte in 0..second.len() {
        let mut bytes = good.clone();
        bytes[begins + byte] ^= 1 << (byte % 8);
        fixture.train_refused(bytes, &[&at, "checksum", "get it again"]);
    }
    fixture.train_refused(b"index,mid,display_name\n", &["byte 0: ", "not a TFRecord file"]);
    // Too large lengths with the right checksum.
    for length in [(1 << 20) + 1, 1 << 32, 1 << 63, u64::MAX] {
        let bytes = length.to_le_bytes();
        let long = [&good[..], &bytes, &tfrecord::masked_crc(&bytes).to_le_bytes()].concat();
        let place = format!("byte {}: the record has {length} bytes", good.len());
        fixture.train_refused(long, &[&place, "more than 1048576"]);
    }
    // An allowed length at the end of the file.
    let bytes = (1_u64 << 20).to_le_bytes();
    let long = [&bytes[..], &tfrecord::masked_crc(&bytes).to_le_bytes(), b"x"].concat();
    fixture.train_refused(long, &["byte 0: the file ends after 1 of the 1048580 bytes"]);
}

/// Integers that are not packed, entries in another order, unknown fields and entries, a repeated key.
#[test]
fn other_encodings_of_records_are_read() {
    let fixture = Fixture::new();
    let expected = fixture.load(Vocabulary::All);
    let numbers = [vec![1 << 3], varint(2), vec![1 << 3], varint(1)].concat();
    let start = [vec![1 << 3 | 5], 30_f32.to_le_bytes().to_vec()].concat();
    let frames: Vec<u8> = [1, 2, 3].into_iter().flat_map(frame).collect();
    let unknown = [
        vec![9 << 3, 200, 1],
        [vec![8 << 3 | 1], vec![0; 8]].concat(),
        vec![7 << 3 | 5, 0, 0, 0, 0],
        bytes_field(500, b"\xff\xff"),
    ]
    .concat();
    let value_first = bytes_field(
        1,
        &[bytes_field(2, &string(b"--aE2O5G5WE")), bytes_field(1, b"video_id"), unknown.clone()]
            .concat(),
    );
    let context = [
        entry("labels", &packed(&[77])),
        entry("labels", &bytes_field(3, &numbers)),
        entry("start_time_seconds", &bytes_field(2, &start)),
        entry("color", &string(b"\xff")),
        unknown.clone(),
    ]
    .concat();
    let message = [
        bytes_field(2, &entry("rgb", &frame(9))),
        unknown.clone(),
        bytes_field(1, &context),
        // A message may be split into parts.
        bytes_field(1, &value_first),
        bytes_field(2, &entry("audio_embedding", &[frames, unknown].concat())),
    ]
    .concat();
    let other = [record(&message), clip("b", &[0, 1], &[7])].concat();
    fixture.write("bal_train.tfrecord", other);
    assert_eq!(fixture.load(Vocabulary::All), expected);
}

#[test]
fn wrong_records_are_refused_with_the_byte() {
    let fixture = Fixture::new();
    let [context, lists] = parts("a", &[1], &[1]);
    let with = |context: &[u8], lists: &[u8]| record(&example(context, lists));
    let replaced = |key: &str, value: &[u8]| {
        // The last entry of a key is valid.
        with(&[&context[..], &entry(key, value)].concat(), &lists)
    };
    for (key, value, problem) in [
        ("video_id", float(1.0), "video_id is not one string"),
        ("video_id", bytes_field(1, b""), "video_id is not one string"),
        ("video_id", Vec::new(), "video_id is not one string"),
        ("video_id", string(b""), "the video_id \"\" is not valid"),
        ("video_id", string(b"\xff\n"), "is not valid"),
        ("labels", string(b"rock"), "labels is not a list of integers"),
        ("labels", bytes_field(3, &[1 << 3 | 5, 0, 0, 0, 0]), "not a tf.train.SequenceExample"),
    ] {
        fixture.train_refused(replaced(key, &value), &["bal_train.tfrecord byte 12: ", problem]);
    }
    fixture.train_refused(replaced("labels", &packed(&[4])), &["label 4", "4 labels", "byte 12"]);
    fixture.train_refused(replaced("labels", &packed(&[u64::MAX])), &["label -1"]);
    fixture.train_refused(record(&[]), &["byte 12: the record has no video_id"]);
    let lacks = |skipped: &str, what: &str| {
        let context: Vec<u8> = [("video_id", string(b"a")), ("labels", packed(&[1]))]
            .iter()
            .filter(|(key, _)| *key != skipped)
            .flat_map(|(key, value)| entry(key, value))
            .collect();
        let lists =
            if skipped == "audio_embedding" { entry("rgb", &frame(1)) } else { lists.clone() };
        fixture.train_refused(with(&context, &lists), &["the record has no ", what]);
    };
    lacks("video_id", "video_id");
    lacks("labels", "labels");
    lacks("audio_embedding", "audio_embedding");

    let short = bytes_field(1, &string(&[0; 127]));
    let lists_of = |frame: &[u8]| with(&context, &entry("audio_embedding", frame));
    fixture.train_refused(lists_of(&short), &["a frame has 127 bytes, not 128"]);
    let two = bytes_field(1, &[bytes_field(1, &[0; 128]), bytes_field(1, &[0; 128])].concat());
    fixture.train_refused(lists_of(&bytes_field(1, &two)), &["not one string of bytes"]);
    fixture.train_refused(lists_of(&bytes_field(1, &float(1.0))), &["not one string of bytes"]);

    // Bytes that are not a message.
    for bytes in [
        &[0x80][..],
        &[0xff; 11],
        &[1 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        &[1 << 3 | 2, 5, 0],
        &[1 << 3 | 1, 0],
        &[1 << 3 | 5, 0],
        &[1 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[1 << 3 | 3],
        &[1 << 3 | 7],
        &[2, 0],
    ] {
        let words = ["byte 12: the record is not a tf.train.SequenceExample", "get the file again"];
        fixture.train_refused(record(bytes), &words);
    }
}

/// Records that are cut, or have one byte changed, with the right checksums.
#[test]
fn damaged_records_do_not_panic() {
    let [context, lists] = parts("--aE2O5G5WE", &[1, 300], &[1]);
    let message = example(&context, &lists);
    let whole = Clip::from_record(&message).unwrap();
    assert_eq!((whole.labels, whole.frames.len()), (vec![1, 300], 128));
    for length in 0..message.len() {
        assert!(Clip::from_record(&message[..length]).is_err(), "{length}");
    }
    let mut refused = 0;
    for place in 0..message.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = message.clone();
            bytes[place] = byte;
            refused += usize::from(Clip::from_record(&bytes).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn repeated_videos_are_refused() {
    let fixture = Fixture::new();
    let first = clip("a", &[1], &[1]);
    let twice = [first.clone(), clip("b", &[1], &[1]), clip("a", &[1], &[2])].concat();
    let at = format!(
        "byte {}: the video \"a\" is already at byte 12 of",
        twice.len() - first.len() + 12
    );
    fixture.train_refused(twice, &[&at, "bal_train.tfrecord"]);
    fixture.train_refused(clip("c", &[1], &[1]), &["eval.tfrecord byte 12", "\"c\"", "bal_train"]);
}

#[test]
fn wrong_label_tables_are_refused() {
    let fixture = Fixture::new();
    let index = |text: &str, words: &[&str]| {
        fixture.write(LABELS, text);
        fixture.refused(words);
        fixture.write(LABELS, INDEX);
    };
    index("", &["first line is not index,mid,display_name"]);
    index("index,mid\n0,/m/04rlf\n", &["first line is not"]);
    index("index,mid,display_name\n", &["no labels"]);
    index(&INDEX.replace("\n2,", "\n3,"), &["line 4: the index is \"3\", not 2"]);
    index(
        &INDEX.replace("/m/09x0r", "/m/04rlf"),
        &["line 3: \"/m/04rlf\" is empty or occurs twice"],
    );
    index(&INDEX.replace("Speech", "Music"), &["line 3: \"Music\" is empty or occurs twice"]);
    index(&INDEX.replace("\"Speech\"", ""), &["line 2: \"\" is empty"]);
    index(&INDEX.replace("0,/m/09x0r,", "0,"), &["line 2", "columns"]);
    index("index,mid,display_name\n0,/m/09x0r,Speech\n", &["no label is below /m/04rlf"]);
    let tree = |text: &str, words: &[&str]| {
        fixture.write(ONTOLOGY, text);
        fixture.refused(words);
    };
    tree("{", &["ontology.json", "not an ontology"]);
    tree("[]", &["entry \"/m/04rlf\" is missing"]);
    tree(
        &TREE.replace("\"id\": \"/m/04szw\"", "\"id\": \"/m/x\""),
        &["entry \"/m/04szw\" is missing"],
    );
    std::fs::remove_file(fixture.0.path().join(ONTOLOGY)).unwrap();
    fixture.refused(&["ontology.json is missing"]);
    assert_eq!(fixture.load(Vocabulary::All).tags.len(), 4);
    std::fs::remove_file(fixture.0.path().join(LABELS)).unwrap();
    fixture.refused(&["class_labels_indices.csv is missing"]);
}

/// `reference.py` reads the same files in Python.
#[test]
#[ignore = "needs audioset_music below TONOTOPY_SHARED"]
fn real_features_have_the_counts_of_another_reader() {
    let root = shared("audioset_music");
    let reference: serde_json::Value =
        serde_json::from_str(include_str!("reference.json")).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<u64> {
        value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
    };
    let load = |labels| {
        let config = AudiosetConfig { root: root.clone(), labels, ..AudiosetConfig::default() };
        config.load(None).unwrap()
    };
    let (music, all) = (load(Vocabulary::Music), load(Vocabulary::All));
    assert_eq!((music.tags.len(), all.tags.len()), (150, 527));
    let chosen = numbers(&reference["music"]);
    let names: Vec<&String> = chosen.iter().map(|&label| &all.tags[label as usize]).collect();
    assert_eq!(music.tags.iter().collect::<Vec<_>>(), names);
    assert!(music.notes.is_empty() && all.notes.is_empty(), "{:?}", music.notes);
    let of = |all: &Collection, is_test: bool| -> Vec<Track> {
        let tracks =
            all.tracks.iter().filter(|track| (track.split == Some(Split::Test)) == is_test);
        tracks.cloned().collect()
    };
    for (subset, is_test) in [("bal_train", false), ("eval", true)] {
        let (clips, whole) = (of(&music, is_test), of(&all, is_test));
        let expected = &reference[subset];
        let count = |key: &str| expected[key].as_u64().unwrap();
        assert_eq!((clips.len() as u64, count("without_music")), (count("clips"), 0));
        assert_eq!(clips[0].id, expected["first"].as_str().unwrap());
        assert_eq!(clips[clips.len() - 1].id, expected["last"].as_str().unwrap());
        let mut per_label = vec![0; 150];
        clips.iter().flat_map(|clip| &clip.tags).for_each(|&label| per_label[label] += 1);
        assert_eq!(per_label, numbers(&expected["per_music_label"]));
        let positives: usize = whole.iter().map(|clip| clip.tags.len()).sum();
        assert_eq!(positives as u64, count("positives"));
        let bytes: usize = clips.iter().map(|clip| frames(clip).bytes.len()).sum();
        assert_eq!((bytes / DIMENSION) as u64, count("frames"));
        let sum: u64 = clips
            .iter()
            .flat_map(|clip| frames(clip).bytes.iter())
            .map(|&byte| u64::from(byte))
            .sum();
        assert_eq!(sum, count("bytes"));
        let first: Vec<u64> =
            frames(&clips[0]).bytes[..DIMENSION].iter().map(|&byte| u64::from(byte)).collect();
        assert_eq!(first, numbers(&expected["first_frame"]));
    }
}
