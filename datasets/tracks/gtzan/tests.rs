use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::test_support::touch;
use crate::{Split, SplitReport};

/// A canonical WAVE header without samples.
const WAVE: &[u8] =
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x22\x56\0\0\x44\xac\0\0\x02\0\x10\0data\0\0\0\0";

/// A small dataset for the tests of all datasets.
pub(crate) fn small(folder: &Path) -> GtzanConfig {
    for genre in GENRES {
        let names = ["00003.wav", "00004.wav"].map(|name| format!("genres/{genre}/{genre}.{name}"));
        touch(folder, names.iter().map(String::as_str));
    }
    GtzanConfig { root: folder.to_owned(), ..GtzanConfig::default() }
}

fn load(root: &Path, split: ExcerptSelection) -> Collection {
    GtzanConfig { root: root.to_owned(), split }.load(None).unwrap()
}

fn refused(root: &Path, words: &[&str]) {
    let config = GtzanConfig { root: root.to_owned(), ..GtzanConfig::default() };
    let error = config.load(None).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn complete_copy_has_all_excerpts_and_the_published_split() {
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<String> = GENRES
        .iter()
        .flat_map(|genre| (0..100).map(move |number| format!("{genre}/{genre}.{number:05}.wav")))
        .collect();
    touch(directory.path(), names.iter().map(String::as_str));
    std::fs::write(directory.path().join("jazz/jazz.00054.wav"), WAVE).unwrap();
    let all = load(directory.path(), ExcerptSelection::Plain);
    assert_eq!((all.tracks.len(), all.name.as_str()), (1_000, "gtzan"));
    assert_eq!(all.tags, GENRES);
    for (index, track) in all.tracks.iter().enumerate() {
        assert_eq!(track.id, format!("{}.{:05}", GENRES[index / 100], index % 100));
        assert_eq!((track.tags[..].to_vec(), track.split), (vec![index / 100], None));
        let Audio::File { path, .. } = &track.audio else { panic!() };
        assert_eq!(*path, directory.path().join(&names[index]));
    }
    assert_eq!(all.notes, ["excerpts without a known artist: 81"]);

    // Sizes from Kereliuk et al.
    let filtered = load(directory.path(), ExcerptSelection::FaultFiltered);
    let report = SplitReport::of(&filtered);
    assert_eq!((report.tracks, filtered.tracks.len()), ([443, 197, 290], 930));
    assert_eq!(filtered.name, "gtzan/fault_filtered");
    // The purpose of the split; the artists come from an independent table, Sturm's.
    assert_eq!(report.shared_artists, 0, "{report}");
    assert_eq!(report.incomplete_tags().count(), 0);
    let note = "excerpts skipped because the fault-filtered lists do not contain them: 70";
    assert_eq!(filtered.notes[0], note, "{:?}", filtered.notes);
}

#[test]
fn all_places_and_extensions_are_found() {
    for (place, extension) in PLACES.into_iter().zip(["wav", "au", "WAV", "flac"]) {
        let directory = tempfile::tempdir().unwrap();
        for genre in GENRES {
            touch(
                &directory.path().join(place),
                [&format!("{genre}/{genre}.00099.{extension}")[..]],
            );
        }
        assert!(is_root(directory.path()));
        let all = load(directory.path(), ExcerptSelection::Plain);
        assert_eq!(all.tracks.len(), 10);
        let Audio::File { path, .. } = &all.tracks[6].audio else { panic!() };
        assert!(path.ends_with(format!("metal/metal.00099.{extension}")) && path.is_file());
    }
}

/// The lists of the split's authors (dnn-mgr, `train_filtered.txt`, `valid_filtered.txt` and
/// `test_filtered.txt`), as ranges of numbers that count from 1 over all genres. The table in this repository comes
/// from torchaudio's lists of names.
#[test]
fn split_equals_that_of_its_authors() {
    let lists = [
        (
            Split::Train,
            "30-50 74-98 131-134 144-149 151-168 181-200 220-227 229-230 266-300 306 316-321 323-338 \
             340-346 348 350 354-355 357-358 360 362 371 374-375 390 403-426 429-430 432-439 442-443 \
             456-462 478-481 501-502 512-525 542 548-573 603-604 606 622 625 636 647-658 660-667 670 \
             672-673 680-681 685 687 690-700 703-710 712-713 717-721 724-730 732-737 739-743 745 747 \
             750-751 781 798-803 805 807 810 812-813 815-833 843-846 850-852 855-861 864 870 901-910 \
             917-927 958-971 992-1000",
        ),
        (
            Split::Valid,
            "1-12 51-61 101-111 169-177 201-208 210-219 228 242-243 246 250 301 303-305 307-315 347 349 \
             353 368-369 373 376 391 396 482-499 503-511 526-533 601-602 607-612 617-621 637-638 669 \
             677-678 682-683 711 754 756 759-763 782 784-787 862-863 871 873 875 877-879 886 893-900 939 \
             950-957 972-986",
        ),
        (
            Split::Test,
            "13-29 62-73 99-100 112-130 135-142 150 178-180 231-241 244-245 247-249 251-252 254-265 302 \
             322 359 363-367 370 377-389 392-395 397-398 400-401 427-428 431 441 444-446 452-455 463-476 \
             500 574-600 613-616 623-624 626-634 639-640 668 671 674-676 679 684 686 688-689 701-702 \
             714-715 744 764-767 770-780 783 789-797 835-841 847-849 853-854 865-869 872 880 883-885 \
             888-891 911-916 928-938 940-949 987-991",
        ),
    ];
    let mut expected = BTreeMap::new();
    for (split, runs) in lists {
        for run in runs.split(' ') {
            let ends: Vec<usize> = run.split('-').map(|number| number.parse().unwrap()).collect();
            for number in ends[0] - 1..ends[ends.len() - 1] {
                let place = (number / 100, number % 100);
                assert_eq!(expected.insert(place, split.to_string()), None, "{run}");
            }
        }
    }
    assert_eq!(expected, by_excerpt(FAULT_FILTERED).into_iter().collect());
}

/// Counts from Sturm's paper (Bob Marley's and Britney Spears' excerpts: 2012, section 1) and from the index itself
/// (excerpts with an artist per genre).
#[test]
fn artists_equal_sturms_index() {
    let artists = by_excerpt(ARTISTS);
    let per_genre: Vec<usize> =
        (0..10).map(|genre| artists.keys().filter(|(other, _)| *other == genre).count()).collect();
    assert_eq!(per_genre, [100, 97, 95, 90, 96, 80, 83, 96, 82, 100]);
    let of = |genre: &str, name: &str| {
        let genre = GENRES.iter().position(|other| *other == genre).unwrap();
        artists.iter().filter(|((own, _), artist)| *own == genre && *artist == name).count()
    };
    assert_eq!((of("reggae", "Bob Marley"), of("pop", "Britney Spears")), (35, 24));
    assert_eq!(artists[&(0, 2)], "John Lee Hooker");
    assert_eq!(artists.get(&(5, 54)), None);

    // Every line is read, and every excerpt has at most one line.
    for table in [ARTISTS, FAULT_FILTERED] {
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let mut excerpts = BTreeMap::new();
        for row in reader.records() {
            let row = row.unwrap();
            let genre = GENRES.iter().position(|genre| *genre == &row[0]).unwrap();
            assert!(!row[2].trim().is_empty() && row[2].trim() == &row[2], "{row:?}");
            for range in row[1].split(' ') {
                let ends: Vec<usize> =
                    range.split('-').map(|number| number.parse().unwrap()).collect();
                assert!(ends.is_sorted_by(|a, b| a < b) && ends[ends.len() - 1] < 100, "{row:?}");
                for number in ends[0]..=ends[ends.len() - 1] {
                    assert_eq!(
                        excerpts.insert((genre, number), row[2].to_owned()),
                        None,
                        "{row:?}"
                    );
                }
            }
        }
        let read: BTreeMap<_, _> = by_excerpt(table).into_iter().collect();
        assert_eq!(read, excerpts);
    }
    // Every name has one spelling.
    let names: BTreeSet<&String> = artists.values().collect();
    let folded: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!((names.len(), folded.len()), (243, 243));
}

#[test]
fn broken_excerpt_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    small(directory.path());
    let path = directory.path().join("genres/jazz/jazz.00054.wav");
    let note = "excerpts skipped because jazz.00054 is not an audio file in this copy: 1";
    for bytes in [&b""[..], b"RIFF", b"\0\0\0\0\0\0\0\0\0\0\0\0", b"RIFF\0\0\0\0AVI "] {
        std::fs::write(&path, bytes).unwrap();
        let all = load(directory.path(), ExcerptSelection::Plain);
        assert_eq!(all.tracks.len(), 20);
        assert!(all.tracks.iter().all(|track| track.id != BROKEN));
        assert_eq!(all.notes[..2], [note, "missing excerpts: 979"]);
        let filtered = load(directory.path(), ExcerptSelection::FaultFiltered);
        assert_eq!(filtered.tracks.len(), 18);
        assert_eq!(filtered.notes[0], note);
    }
    let is_used = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).unwrap();
        let all = load(directory.path(), ExcerptSelection::Plain);
        let filtered = load(directory.path(), ExcerptSelection::FaultFiltered);
        let train = filtered.tracks.iter().find(|track| track.id == BROKEN);
        assert!(train.is_none_or(|track| track.split == Some(Split::Train)));
        assert_eq!(all.tracks.len() - 20, usize::from(train.is_some()));
        train.is_some()
    };
    assert!(is_used(&path, WAVE));
    std::fs::remove_file(&path).unwrap();
    assert!(!is_used(&path.with_extension("au"), WAVE));
    assert!(is_used(&path.with_extension("au"), b".snd\0\0\0\x18"));
    std::fs::remove_file(path.with_extension("au")).unwrap();
    assert!(!is_used(&path.with_extension("flac"), b""));
    assert!(is_used(&path.with_extension("flac"), b"fLaC"));
}

#[test]
fn missing_excerpts_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    small(directory.path());
    let all = load(directory.path(), ExcerptSelection::Plain);
    assert_eq!(all.tracks.len(), 20);
    assert!(all.notes.contains(&"missing excerpts: 980".into()), "{:?}", all.notes);
    // Of the excerpts 3 and 4 of every genre, the lists do not contain metal.00004 and reggae.00003.
    let filtered = load(directory.path(), ExcerptSelection::FaultFiltered);
    assert_eq!(filtered.tracks.len(), 18);
    let ids: Vec<&str> = filtered.tracks.iter().map(|track| track.id.as_str()).collect();
    assert!(!ids.contains(&"metal.00004") && !ids.contains(&"reggae.00003"), "{ids:?}");
    for note in [
        "excerpts skipped because the fault-filtered lists do not contain them: 2",
        "missing excerpts: 912",
    ] {
        assert!(filtered.notes.iter().any(|other| other == note), "{:?}", filtered.notes);
    }
}

#[test]
fn other_files_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    small(directory.path());
    let root = directory.path().join("genres");
    let others = ["rock/cover.jpg", "rock/._rock.00001.wav", "readme.txt", "images/rock/rock1.png"];
    touch(&root, others);
    let all = load(directory.path(), ExcerptSelection::Plain);
    assert_eq!(all.tracks.len(), 20);
    assert_eq!(
        all.notes[..4],
        [
            "files skipped because they are not audio: 2 (jpg 1, png 1)",
            "files skipped because they are not in a tag's directory: 1 (first: \"readme.txt\")",
            "directories skipped because they contain no audio: 1 (\"images\")",
            "hidden files and directories skipped: 1",
        ]
    );
}

#[test]
fn wrong_copies_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    refused(Path::new(""), &["root is empty", "blues to rock"]);
    refused(&directory.path().join("gone"), &["gone/blues is missing", "genres_original"]);
    refused(directory.path(), &["blues is missing"]);
    let root = directory.path().join("genres");
    std::fs::create_dir_all(root.join("blues")).unwrap();
    refused(directory.path(), &["no directory contains audio"]);
    touch(&root, ["blues/blues.00000.wav"]);
    refused(directory.path(), &["directory classical with audio is missing", "unpack all"]);
    small(directory.path());
    std::fs::remove_dir_all(root.join("metal")).unwrap();
    std::fs::create_dir(root.join("metal")).unwrap();
    refused(directory.path(), &["directory metal with audio is missing"]);
    small(directory.path());
    touch(&root, ["polka/polka.00000.wav"]);
    refused(directory.path(), &["\"polka\" is not a genre", "reggae"]);
    std::fs::remove_dir_all(root.join("polka")).unwrap();
    for wrong in [
        "blues/rock.00001.wav",
        "blues/blues.00100.wav",
        "blues/blues.1.wav",
        "blues/blues.00001 (1).wav",
        "blues/blues.+0001.wav",
        "blues/blues.٠٠٠٠١.wav",
        "blues/café.mp3",
        "blues/part/blues.00001.wav",
    ] {
        touch(&root, [wrong]);
        refused(directory.path(), &[wrong, "not an excerpt", "blues.00000.wav to blues.00099.wav"]);
        std::fs::remove_file(root.join(wrong)).unwrap();
    }
    touch(&root, ["blues/blues.00003.au"]);
    refused(directory.path(), &["blues.00003 has a second file", "blues.00003.au", "remove one"]);
}
