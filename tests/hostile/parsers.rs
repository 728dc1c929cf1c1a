//! The parsers of all kinds of files, for arbitrary bytes.
//!
//! `files.rs` runs them on `corpus/`; `benches/faults/fuzz` searches for further inputs.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use datasets::Audio;
use datasets::listening::hetrec;
use datasets::listening::interactions::Interactions;
use datasets::listening::taste_profile;
use datasets::tracks::audioset::{AudiosetConfig, Vocabulary};
use datasets::tracks::magnatagatune::MagnatagatuneConfig;
use datasets::tracks::manifest::{ManifestConfig, Paths, to_csv};
use datasets::tracks::msd::MsdConfig;
use datasets::tracks::synthetic::SyntheticConfig;
use tonotopy::audio::{AudioCache, Limits, decode};
use tonotopy::evaluation::predictions::Predictions;
use tonotopy::experiment::Experiment;
use tonotopy::inference::imported::Imported;
use tonotopy::inference::model_file::{Card, safetensors};
use tonotopy::io::checksums::{self, Checksums};
use tonotopy::listening::factors;
use tonotopy::runs::checkpoint::Checkpoints;
use tonotopy::training::log;

/// Reads a kind of file.
pub type Parser = fn(&[u8]);

/// All kinds of files and their parsers. No parser may panic, hang or use unbounded memory on any bytes. Files that belong
/// together are one input, with a [`SEPARATOR`] between them.
pub const PARSERS: &[(&str, Parser)] = &[
    ("annotations", annotations),
    ("au", au),
    ("audio_entry", audio_entry),
    ("audio_index", audio_index),
    ("audioset", audioset),
    ("card", card),
    ("checkpoint", checkpoint),
    ("checksums", checksums),
    ("experiment", experiment),
    ("factors", factors),
    ("hetrec", hetrec),
    ("interactions", interactions),
    ("log", log),
    ("magnatagatune", magnatagatune),
    ("manifest", manifest),
    ("predictions", predictions),
    ("pth", pth),
    ("safetensors", safetensors),
    ("taste_profile", taste_profile),
];

/// The separator between the files of an input: two ASCII record separators.
pub const SEPARATOR: &[u8] = b"\x1e\x1e";

/// The files of an input.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        found.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    found.push(rest);
    found
}

/// The first `N` files of an input; missing ones are empty.
fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut found = split(bytes).into_iter();
    std::array::from_fn(|_| found.next().unwrap_or_default())
}

/// A directory of this thread, in memory if possible.
fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
    }
    let make = || {
        let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        made.expect("a temporary directory")
    };
    FOLDER.with(|folder| folder.get_or_init(make).path().to_owned())
}

fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    let above = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(above).and_then(|()| std::fs::write(&path, bytes)).expect("writable");
    path
}

/// Tracks of the Million Song Dataset, a table of tags, a table of clips, and a Last.fm file.
fn annotations(bytes: &[u8]) {
    let [tracks, table, clips, song] = parts(bytes);
    put("msd/unique_tracks.txt", tracks);
    put("msd/tags.tsv", table);
    put("msd/clips.tsv", clips);
    put("msd/lastfm_train/A/A/A/TRAAAAW128F429D538.json", song);
    let root = folder().join("msd");
    let config = MsdConfig { root, split: String::new(), ..MsdConfig::default() };
    let _ = config.load(None);
    let lastfm = vec!["lastfm_train".into()];
    let _ = MsdConfig { annotations: lastfm, clip_table: "clips.tsv".into(), ..config }.load(None);
}

fn au(bytes: &[u8]) {
    let path = put("sound.au", bytes);
    if let Ok(decoded) = decode(&path, 0.0, None, &Limits::default()) {
        assert!(decoded.sample_rate > 0);
    }
}

/// A cache with one track, and the path of its entry.
struct Cached {
    track: Audio,
    entry: PathBuf,
    folder: PathBuf,
}

impl Cached {
    fn new(name: &str) -> Cached {
        let config = SyntheticConfig { tracks: 10, seconds: 2.0, ..SyntheticConfig::default() };
        let track = config.load().expect("synthetic music").tracks[0].audio.clone();
        let folder = folder().join(name);
        let cache = AudioCache::open(&folder).expect("a cache");
        let loaded = cache.load(&track, 8_000, &Limits::default()).expect("rendered music");
        let entry = loaded.audio.path().expect("a file").to_owned();
        Cached { track, entry, folder }
    }

    fn look_up(&self) {
        let cache = AudioCache::open(&self.folder).expect("a damaged index is not an error");
        let Ok(Some(audio)) = cache.lookup(&self.track, 8_000) else { return };
        for start in [0, audio.len().saturating_sub(2)] {
            let _ = audio.stored(start, 2, &mut Vec::new());
        }
    }
}

/// An entry of the audio cache; if the first byte is odd, key and checksum are made valid.
fn audio_entry(bytes: &[u8]) {
    thread_local! {
        static CACHED: OnceCell<Cached> = const { OnceCell::new() };
    }
    CACHED.with(|cached| {
        let cached = cached.get_or_init(|| Cached::new("entry"));
        let (forged, bytes) = match bytes.split_first() {
            Some((first, rest)) => (first % 2 == 1, rest),
            None => (false, bytes),
        };
        let mut bytes = bytes.to_vec();
        if forged && bytes.len() >= 128 {
            let name = cached.entry.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let key = blake3::Hash::from_hex(name).expect("the name is the key");
            bytes[64..96].copy_from_slice(key.as_bytes());
            let sum = blake3::hash(&[&bytes[..96], &bytes[128..]].concat());
            bytes[96..128].copy_from_slice(sum.as_bytes());
        }
        std::fs::write(&cached.entry, bytes).expect("writable");
        cached.look_up();
    });
}

fn audio_index(bytes: &[u8]) {
    thread_local! {
        static CACHED: OnceCell<Cached> = const { OnceCell::new() };
    }
    CACHED.with(|cached| {
        let cached = cached.get_or_init(|| Cached::new("index"));
        std::fs::write(cached.folder.join("index.log"), bytes).expect("writable");
        cached.look_up();
    });
}

/// AudioSet's index of labels, its ontology, a TFRecord file, and messages that become the records of another.
fn audioset(bytes: &[u8]) {
    let mut files = split(bytes).into_iter();
    for name in ["class_labels_indices.csv", "ontology.json", "eval.tfrecord"] {
        put(&format!("audioset/{name}"), files.next().unwrap_or_default());
    }
    let sum = |bytes: &[u8]| {
        let sum = crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8);
        sum.to_le_bytes()
    };
    let record = |message: &[u8]| {
        let length = (message.len() as u64).to_le_bytes();
        [&length[..], &sum(&length), message, &sum(message)].concat()
    };
    put("audioset/bal_train.tfrecord", &files.flat_map(record).collect::<Vec<_>>());
    let root = folder().join("audioset");
    for vocabulary in [Vocabulary::All, Vocabulary::Music] {
        let (root, labels) = (root.clone(), vocabulary);
        let config = AudiosetConfig { root, labels, ..AudiosetConfig::default() };
        let Ok(read) = config.load(None) else { continue };
        assert!(read.tracks.iter().flat_map(|track| &track.tags).all(|tag| *tag < read.tags.len()));
    }
}

fn card(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(card) = Card::parse(&text, Path::new("card")) else { return };
    let mut again =
        Card::parse(&card.to_json(), Path::new("card")).expect("written data can be read");
    // serde_json may read a number that differs in the last bit.
    if let (Some(again), Some(card)) = (&mut again.scores, &card.scores) {
        assert_eq!(again.values.len(), card.values.len());
        for ((_, again), (_, value)) in again.values.iter_mut().zip(&card.values) {
            assert!((*again - value).abs() <= value.abs() * f64::EPSILON, "{again} {value}");
            *again = *value;
        }
    }
    assert_eq!(again, card, "writing and reading again gives an equal value");
}

/// The state of training, a model and an optimizer, with valid checksums.
fn checkpoint(bytes: &[u8]) {
    let [state, model, optimizer] = parts(bytes);
    let sums = format!(
        "{{\"model.bpk\":\"{}\",\"optimizer.bpk\":\"{}\"}}",
        checksums::of(model),
        checksums::of(optimizer)
    );
    let meta = [b"{\"format\":2,\"state\":", state, b",\"checksums\":", sums.as_bytes(), b"}"];
    let meta = meta.concat();
    put("checkpoints/step-00000001/model.bpk", model);
    put("checkpoints/step-00000001/optimizer.bpk", optimizer);
    put("checkpoints/step-00000001/state.blake3", checksums::of(&meta).as_bytes());
    put("checkpoints/step-00000001/state.json", &meta);
    let checkpoints = Checkpoints::new(folder().join("checkpoints"));
    if let Ok(Some(mut newest)) = checkpoints.newest() {
        let _ = checkpoints.repair(&mut newest);
    }
}

fn checksums(bytes: &[u8]) {
    put("listed/checksums.json", bytes);
    if let Ok(Some(list)) = Checksums::read(&folder().join("listed")) {
        list.names().for_each(|name| drop(list.read_file(name)));
    }
}

/// A TOML file and the arguments of `--set`.
fn experiment(bytes: &[u8]) {
    let mut texts = split(bytes).into_iter().map(|text| String::from_utf8_lossy(text).into_owned());
    let file = texts.next().unwrap_or_default();
    let set: Vec<String> = texts.collect();
    let Ok(experiment) = Experiment::parse(&file, &set) else { return };
    let again = Experiment::parse(&experiment.to_toml(), &[]);
    assert_eq!(
        again.ok().as_ref(),
        Some(&experiment),
        "writing and reading again gives an equal value"
    );
}

/// Ids and a `.npy` file.
fn factors(bytes: &[u8]) {
    let [ids, array] = parts(bytes);
    put("factors/items.txt", ids);
    put("factors/item_factors.npy", array);
    let root = folder().join("factors");
    let width = factors::width(&root);
    if let Ok((side, columns)) = factors::read_items(&root) {
        assert_eq!(side.factors.len(), side.ids.len() * columns);
        assert!(columns == 0 || width.is_ok_and(|width| width == columns));
    }
}

/// Play counts of HetRec.
fn hetrec(bytes: &[u8]) {
    let [plays] = parts(bytes);
    put(&format!("hetrec/{}", hetrec::PLAYS), plays);
    if let Ok(plays) = hetrec::load(&folder().join("hetrec")) {
        check_plays(&plays);
    }
}

fn interactions(bytes: &[u8]) {
    if let Ok(plays) = Interactions::read(&put("plays.csv", bytes)) {
        check_plays(&plays);
    }
}

fn check_plays(plays: &Interactions) {
    let (users, items) = (plays.users().len() as u32, plays.items().len() as u32);
    let mut count = 0;
    for play in plays.plays() {
        assert!(play.user < users && play.item < items);
        assert!(play.count.is_finite() && play.count >= 0.0, "{}", play.count);
        count += 1;
    }
    assert_eq!(count, plays.len());
}

fn log(bytes: &[u8]) {
    let _ = log::read(&put("metrics.jsonl", bytes));
}

/// Annotations and the table of clips.
fn magnatagatune(bytes: &[u8]) {
    let [annotations, clips] = parts(bytes);
    put("magnatagatune/annotations_final.csv", annotations);
    put("magnatagatune/clip_info_final.csv", clips);
    let root = folder().join("magnatagatune");
    for tags in [50, 188] {
        let config = MagnatagatuneConfig { root: root.clone(), tags, ..Default::default() };
        let Ok(read) = config.load(None) else { continue };
        assert!(read.tracks.iter().flat_map(|track| &track.tags).all(|tag| *tag < read.tags.len()));
    }
}

fn manifest(bytes: &[u8]) {
    let root = put("manifest/manifest.csv", bytes);
    let load = || ManifestConfig { root: root.clone(), ..Default::default() }.load(None);
    let Ok(read) = load() else { return };
    let written = to_csv(&read, Paths::RelativeTo(&folder().join("manifest")));
    put("manifest/manifest.csv", &written.expect("read data can be written"));
    let again = load().expect("written data can be read");
    assert_eq!(again.tracks, read.tracks);
}

fn predictions(bytes: &[u8]) {
    let Ok(read) = Predictions::from_reader(bytes) else { return };
    let mut written = Vec::new();
    read.to_writer(&mut written).expect("read data can be written");
    assert_eq!(Predictions::from_reader(&written[..]).ok(), Some(read));
}

/// A checkpoint of PyTorch.
fn pth(bytes: &[u8]) {
    let _ = Imported::read(&put("weights.pth", bytes));
}

fn safetensors(bytes: &[u8]) {
    let _ = safetensors::read(&put("model.safetensors", bytes));
}

/// Play counts, the mapping from songs to tracks, and its mismatches.
fn taste_profile(bytes: &[u8]) {
    let files = [taste_profile::TRIPLETS, taste_profile::SONG_TO_TRACKS, taste_profile::MISMATCHES];
    for (name, bytes) in files.into_iter().zip(parts::<3>(bytes)) {
        put(&format!("taste_profile/{name}"), bytes);
    }
    let root = folder().join("taste_profile");
    for plays in [taste_profile::load_songs(&root), taste_profile::load_tracks(&root)] {
        plays.iter().for_each(check_plays);
    }
}
