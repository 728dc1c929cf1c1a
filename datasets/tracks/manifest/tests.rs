use std::fs;

use super::*;
use crate::Split;

fn load(content: impl AsRef<[u8]>) -> Result<Collection, DatasetError> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("manifest.csv"), content).unwrap();
    let root = directory.path().to_owned();
    ManifestConfig { root, ..ManifestConfig::default() }.load(None)
}

/// Writes a manifest whose paths are relative to its directory.
pub(crate) fn write_manifest(collection: &Collection, path: &Path) -> Result<(), DatasetError> {
    let csv = to_csv(collection, Paths::RelativeTo(path.parent().unwrap()))?;
    fs::write(path, csv).map_err(DatasetError::io("write", path))
}

#[track_caller]
fn refused(content: impl AsRef<[u8]>, words: &[&str]) {
    let error = load(content).unwrap_err().to_string();
    for word in words.iter().chain(&["manifest.csv"]) {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.len() < 400, "{error}");
}

#[test]
fn columns_may_have_any_order_and_lines_any_end() {
    let text = "\u{feff}tags,id,split,path,duration_s,offset_s,artist\r\n\
                b|a|b,one,train,\"x, y.mp3\",3.5,1,\"Guns \"\"N\"\" Roses\"\r\n\
                ,two,,sub/z.flac,,,\r\n";
    let collection = load(text).unwrap();
    assert_eq!(collection.tags, ["a", "b"]);
    let [one, two] = &collection.tracks[..] else { panic!() };
    assert_eq!(
        (one.id.as_str(), one.split, &one.tags[..]),
        ("one", Some(Split::Train), &[0, 1][..])
    );
    assert_eq!(one.artist.as_deref(), Some("Guns \"N\" Roses"));
    let Audio::File { path, offset_s, duration_s } = &one.audio else { panic!() };
    assert!(path.ends_with("x, y.mp3"));
    assert_eq!((*offset_s, *duration_s), (1.0, Some(3.5)));
    assert_eq!((two.split, two.artist.as_deref(), two.tags.len()), (None, None, 0));
}

#[test]
fn wrong_rows_are_refused_with_their_line() {
    let head = "id,path,split,tags,artist,offset_s,duration_s\n";
    let row = |row: &str| format!("{head}ok,ok.mp3,train,a,,,\n{row}\n");
    refused(row("ok,b.mp3,train,a,,,"), &["line 3", "ok", "line 2"]);
    refused(row("x,../b.mp3,train,a,,,"), &["line 3", "../b.mp3", "outside"]);
    refused(row("x,a/../../b.mp3,train,a,,,"), &["line 3", "outside"]);
    refused(row("x,/etc/passwd,train,a,,,"), &["line 3", "absolute"]);
    refused(row("x,,train,a,,,"), &["line 3", "path is empty"]);
    refused(row(",b.mp3,train,a,,,"), &["line 3", "id is empty"]);
    refused(row("x,b.mp3,training,a,,,"), &["line 3", "training", "train, valid, test"]);
    refused(row("x,b.mp3,train,a||b,,,"), &["line 3", "empty"]);
    refused(row("x,b.mp3,train,a,,-1,"), &["line 3", "offset_s", "-1"]);
    refused(row("x,b.mp3,train,a,,,nan"), &["line 3", "duration_s", "nan"]);
    refused(row("x,b.mp3,train,a,,,inf"), &["line 3", "duration_s"]);
    refused(row("x,b.mp3,train,a,,,0"), &["line 3", "duration_s is 0"]);
    refused(row("x,b.mp3,train"), &["line 3", "3 columns", "7"]);
    refused(head, &["no rows"]);
    refused("id,path,split\na,b,train\n", &["column tags is missing"]);
    refused("id,path,split,tags,genre\n", &["\"genre\" is not one of"]);
    refused("id,path,split,tags,id\n", &["column id occurs twice"]);
    refused([head.as_bytes(), b"x,caf\xe9.mp3,train,a,,,\n"].concat(), &["line 2", "UTF-8"]);
    refused(format!("{head}x,x.mp3,train,,,,\n"), &["no track has a tag"]);
    refused(row(" ok ,b.mp3,train,a,,,"), &["line 3", "\"ok\"", "line 2"]);
    refused(row("  ,b.mp3,train,a,,,"), &["line 3", "id is empty"]);
    refused(row("x,  ,train,a,,,"), &["line 3", "path is empty"]);
    refused(row("x,a\0.mp3,train,a,,,"), &["line 3", "control character"]);
    refused(row("x,b.mp3,train,a,,-0.5,"), &["line 3", "offset_s", "-0.5"]);
    refused(row("x,b.mp3,train,a,,1e999,"), &["line 3", "offset_s", "1e999"]);
    refused(row("x,b.mp3,train,a,,\"1,5\","), &["line 3", "offset_s", "1,5"]);
    refused(row("x,b.mp3,Train,a,,,"), &["line 3", "\"Train\"", "train, valid, test"]);
    refused(row("x,b.mp3,train,|,,,"), &["line 3", "empty"]);
    refused(format!("{}\nok", row("").trim_end()), &["line 3", "1 columns"]);
    refused("", &["column id is missing", "id,path,split,tags"]);
    refused("id;path;split;tags\n", &["\"id;path;split;tags\"", "commas"]);
    refused(b"\xff\xfei\0d\0,\0", &["line 1", "UTF-8"]);
    refused(
        [head.as_bytes(), b"a,a,,t,,,\nb,b,,t,,,\n\xff,b,,t,,,\n"].concat(),
        &["line 4", "UTF-8"],
    );
}

#[test]
fn bare_file_name_is_in_the_current_directory() {
    assert_eq!(directory_of(Path::new("m.csv")), Path::new("."));
    assert_eq!(directory_of(Path::new("a/m.csv")), Path::new("a"));
    assert_eq!(directory_of(Path::new("/m.csv")), Path::new("/"));
}

/// Otherwise the tracks after the quote would be lost.
#[test]
fn unclosed_quote_is_an_error_with_its_line() {
    let head = "id,path,split,tags,artist\n1,a.mp3,train,t,A\n";
    let rest: String = (3..5000).map(|i| format!("{i},{i}.mp3,train,t,\n")).collect();
    refused(format!("{head}2,b.mp3,train,t,\"B\n{rest}"), &["line 3", "artist", "close the quote"]);
    refused(format!("{head}2,b.mp3,train,\"t,B\n{rest}"), &["line 3", "close every quote"]);
    refused(format!("{head}\"2,b.mp3,train,t,B\n{rest}"), &["line 3", "close every quote"]);
}

/// Replaces every byte of a valid manifest, and cuts it off there: the result is an error or a collection.
#[test]
fn damaged_manifests_do_not_panic() {
    let good = "\u{feff}id,path,split,tags,artist,offset_s,duration_s\r\n\
                1,\"a,b.mp3\",train,x|y,\"A \"\"B\"\"\",1.5,2\r\n2,c/d.mp3,test,z,\u{e9},,\r\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manifest.csv");
    let config = ManifestConfig { root: path.clone(), ..ManifestConfig::default() };
    let mut loaded = 0;
    for at in 0..good.len() {
        for byte in [b'"', b',', b'|', b'\n', b'\r', b'.', b'/', b'-', 0, 0xff] {
            let mut damaged = good.as_bytes().to_vec();
            damaged[at] = byte;
            fs::write(&path, &damaged).unwrap();
            match config.load(None) {
                Ok(collection) => {
                    loaded += 1;
                    assert!(!collection.tracks.is_empty());
                    let paths = collection.tracks.iter().map(|track| match &track.audio {
                        Audio::File { path, .. } => path,
                        _ => panic!(),
                    });
                    for path in paths {
                        assert!(path.starts_with(directory.path()), "{}", path.display());
                    }
                }
                Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
            }
        }
        fs::write(&path, &good.as_bytes()[..at]).unwrap();
        let _ = config.load(None);
    }
    assert!(loaded > 100, "{loaded}");
}

#[test]
fn line_numbers_are_right_for_all_line_ends() {
    let text = "id,path,split,tags\na,a.mp3,train,\"x\"\n\nb,b.mp3,train,y\na,c.mp3,train,z\n";
    refused(text, &["line 5:", "already in line 2"]);
    refused(text.replace('\n', "\r\n"), &["line 5:", "already in line 2"]);
    refused(text.replace('\n', "\r"), &["line 5:", "already in line 2"]);
}

#[test]
fn error_for_a_missing_manifest_names_the_columns() {
    let config = ManifestConfig { root: "no/such".into(), ..ManifestConfig::default() };
    let error = config.load(Some(Path::new("data"))).unwrap_err().to_string();
    assert!(error.contains("data/no/such") && error.contains("id,path,split,tags"), "{error}");
}

#[test]
#[cfg(unix)]
fn links_are_followed_inside_and_refused_outside() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir_all(inner.join("sub")).unwrap();
    fs::create_dir(directory.path().join("other")).unwrap();
    fs::write(directory.path().join("secret.wav"), b"x").unwrap();
    fs::write(directory.path().join("other/secret.wav"), b"x").unwrap();
    fs::write(inner.join("sub/good.wav"), b"x").unwrap();
    symlink("../secret.wav", inner.join("link.wav")).unwrap();
    symlink("../other", inner.join("elsewhere")).unwrap();
    symlink("sub/good.wav", inner.join("fine.wav")).unwrap();
    symlink("sub", inner.join("also")).unwrap();
    symlink("loop.wav", inner.join("loop.wav")).unwrap();
    // The manifest's directory may be reached through a link.
    symlink(&inner, directory.path().join("door")).unwrap();
    for root in [&inner, &directory.path().join("door")] {
        let load = |paths: &[&str]| {
            let rows = paths.iter().enumerate().map(|(i, path)| format!("{i},{path},train,t\n"));
            let text = format!("id,path,split,tags\n{}", rows.collect::<String>());
            fs::write(inner.join("manifest.csv"), text).unwrap();
            ManifestConfig { root: root.clone(), ..ManifestConfig::default() }.load(None)
        };
        assert_eq!(
            load(&["fine.wav", "also/good.wav", "loop.wav", "gone"]).unwrap().tracks.len(),
            4
        );
        for path in
            ["link.wav", "elsewhere/secret.wav", "elsewhere/gone.wav", "elsewhere/../secret.wav"]
        {
            let error = load(&["fine.wav", path]).unwrap_err().to_string();
            assert!(error.contains("line 3") && error.contains("leads outside"), "{path}: {error}");
        }
    }
}

#[test]
fn path_with_parents_to_a_missing_file_is_written_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let text = "id,path,split,tags\n1,gone/../a.wav,train,x\n2,b/c/../../d/,train,x\n";
    fs::write(directory.path().join("m.csv"), text).unwrap();
    let config = ManifestConfig { root: "m.csv".into(), ..ManifestConfig::default() };
    let read = config.load(Some(directory.path())).unwrap();
    fs::write(
        directory.path().join("m.csv"),
        to_csv(&read, Paths::RelativeTo(directory.path())).unwrap(),
    )
    .unwrap();
    assert_eq!(config.load(Some(directory.path())).unwrap().tracks, read.tracks);
}

#[test]
fn path_of_a_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("sub")).unwrap();
    for path in [".", "./", "sub/..", "sub/..///", "a/b/../"] {
        fs::write(
            directory.path().join("m.csv"),
            format!("id,path,split,tags\n1,{path},train,x\n"),
        )
        .unwrap();
        let config = ManifestConfig { root: "m.csv".into(), ..ManifestConfig::default() };
        let error = config.load(Some(directory.path())).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("is a directory"), "{path}: {error}");
    }
}

#[test]
fn vocabulary_is_selected_by_tags_and_min_count() {
    let directory = tempfile::tempdir().unwrap();
    let text = "id,path,split,tags\n1,a,train,x|y\n2,b,train,x\n3,c,test,z|x\n";
    fs::write(directory.path().join("m.csv"), text).unwrap();
    let mut config = ManifestConfig { root: "m.csv".into(), ..ManifestConfig::default() };
    config.min_count = 2;
    let rare = config.load(Some(directory.path())).unwrap();
    assert_eq!(rare.tags, ["x"]);
    assert!(rare.notes[0].contains("fewer than 2 tracks: 2"), "{:?}", rare.notes);
    config.min_count = 0;
    config.tags = vec!["z".into(), "x".into()];
    let chosen = config.load(Some(directory.path())).unwrap();
    assert_eq!(chosen.tags, ["z", "x"]);
    assert_eq!(chosen.tracks[2].tags, [0, 1]);
    config.tags.push("q".into());
    let error = config.load(Some(directory.path())).unwrap_err().to_string();
    assert!(error.contains("tags is \"q\": no track has") && error.contains("x, y, z"), "{error}");
    config.tags = vec!["z".into(), "z".into()];
    let error = config.load(Some(directory.path())).unwrap_err().to_string();
    assert!(error.contains("tags is \"z\": remove the repetition"), "{error}");
    config.tags.clear();
    config.min_count = 4;
    let error = config.load(Some(directory.path())).unwrap_err().to_string();
    assert!(error.contains("min_count is 4") && error.contains("has 3 tracks"), "{error}");
}

#[test]
fn audio_files_in_two_splits_are_noted() {
    let text = "id,path,split,tags,artist,offset_s,duration_s\n\
                1,a,train,x,,,10\n2,a,test,x,,10,\n3,a,valid,x,,20,\n4,b,train,x,,,\n5,b,,x,,,\n";
    let notes = load(text).unwrap().notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("in more than one split: 1 (first: track 2)"), "{notes:?}");
    assert!(
        load(text.replace("test", "train").replace("valid", "train")).unwrap().notes.is_empty()
    );
}

#[test]
fn paths_may_contain_parents_below_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    fs::write(directory.path().join("x.mp3"), b"x").unwrap();
    let text = "id,path,split,tags\n1,a/b/../../x.mp3,train,t\n2,./x.mp3,train,t\n3,gone/../y,,t\n";
    fs::write(directory.path().join("manifest.csv"), text).unwrap();
    let config = ManifestConfig { root: directory.path().into(), ..ManifestConfig::default() };
    assert_eq!(config.load(None).unwrap().tracks.len(), 3);
}

#[test]
fn written_manifest_reads_back() {
    let directory = tempfile::tempdir().unwrap();
    let text = "id,path,split,tags,artist,offset_s,duration_s\n\
                \"a,1\",\"s/\"\"q\"\".mp3\",train,x|y,\u{c4},0.1,1e-7\nb,b.mp3,,,,,\n\
                c,b.mp3,test,\"z \"\"z\"\", z\",\"C, D\",123456789.125,\nd, d.mp3,valid,y,,1e300,3\n";
    fs::write(directory.path().join("in.csv"), text).unwrap();
    let load = |name: &str| {
        let root = directory.path().join(name);
        ManifestConfig { root, ..ManifestConfig::default() }.load(None).unwrap()
    };
    let collection = load("in.csv");
    write_manifest(&collection, &directory.path().join("out.csv")).unwrap();
    let back = load("out.csv");
    assert_eq!((&back.tracks, &back.tags), (&collection.tracks, &collection.tags));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);

    let absolute = String::from_utf8(to_csv(&collection, Paths::Absolute).unwrap()).unwrap();
    for line in absolute.lines().skip(1) {
        assert!(line.contains(directory.path().to_str().unwrap()), "{line}");
    }
    // In another directory the paths are absolute too, and the reader refuses them.
    let other = tempfile::tempdir().unwrap();
    write_manifest(&collection, &other.path().join("manifest.csv")).unwrap();
    assert_eq!(fs::read_to_string(other.path().join("manifest.csv")).unwrap(), absolute);
    let root = other.path().to_owned();
    let config = ManifestConfig { root, ..ManifestConfig::default() };
    let error = config.load(None).unwrap_err().to_string();
    assert!(error.contains("is absolute") && error.contains("absolute_paths"), "{error}");
    // Unless the settings allow it.
    let again = ManifestConfig { absolute_paths: true, ..config }.load(None).unwrap();
    assert_eq!((&again.tracks, &again.tags), (&collection.tracks, &collection.tags));
}

#[test]
fn paths_lead_anywhere_only_if_the_settings_allow_it() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(directory.path().join("x.wav"), b"x").unwrap();
    let absolute = directory.path().join("x.wav");
    for (path, resolved) in [
        ("../x.wav", inner.join("../x.wav")),
        ("a/../../x.wav", inner.join("a/../../x.wav")),
        (absolute.to_str().unwrap(), absolute.clone()),
    ] {
        let text = format!("id,path,split,tags\n1,{path},train,t\n");
        fs::write(inner.join("manifest.csv"), text).unwrap();
        let config = ManifestConfig { root: inner.clone(), ..ManifestConfig::default() };
        let error = config.load(None).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("absolute_paths = true"), "{error}");
        let all = ManifestConfig { absolute_paths: true, ..config }.load(None).unwrap();
        let Audio::File { path, .. } = &all.tracks[0].audio else { panic!() };
        assert_eq!(*path, resolved);
    }
    fs::write(inner.join("manifest.csv"), "id,path,split,tags\n1,/,train,t\n").unwrap();
    let config = ManifestConfig { root: inner, absolute_paths: true, ..ManifestConfig::default() };
    assert!(config.load(None).unwrap_err().to_string().contains("is a directory"));
}

#[test]
fn suspicious_tags_are_noted() {
    let notes = |tags: &[&str]| {
        let rows =
            tags.iter().enumerate().map(|(row, tag)| format!("{row},{row}.wav,train,{tag}\n"));
        load(format!("id,path,split,tags\n{}", rows.collect::<String>())).unwrap().notes
    };
    for (tags, words) in [
        (&["\"rock, slow\"", "jazz"][..], ["\"rock, slow\"", "separated by |"]),
        (&["rock;slow"], ["\"rock;slow\"", "separated by |"]),
        (&["\"['rock', 'slow']\""], ["\"['rock', 'slow']\"", "separated by |"]),
        (&["['rock']"], ["\"['rock']\"", "separated by |"]),
        (&["\"[\"\"rock\"\"]\""], ["rock", "separated by |"]),
        (&["Rock/rock"], ["\"Rock/rock\"", "separated by |"]),
        (&["rock/slow", "slow"], ["\"rock/slow\"", "separated by |"]),
        (&["'rock'"], ["\"'rock'\"", "separated by |"]),
        (&["Rock", "rock"], ["\"Rock\" and \"rock\"", "differ only in"]),
        (&["Rock|rock"], ["\"Rock\" and \"rock\"", "differ only in"]),
        (&["hip hop", "Hip-Hop", "hip_hop"], ["\"hip_hop\"", "differ only in"]),
        (&["\u{c9}t\u{e9}", "\u{e9}t\u{e9}"], ["\u{e9}t\u{e9}", "differ only in"]),
        (&["nan", "rock"], ["\"nan\"", "missing value"]),
        (&["None", "rock"], ["\"None\"", "missing value"]),
    ] {
        let notes = notes(tags);
        assert_eq!(notes.len(), 1, "{tags:?}: {notes:?}");
        assert!(words.iter().all(|word| notes[0].contains(word)), "{tags:?}: {notes:?}");
    }
    let fine = ["R&B/Soul", "C", "C#", "-1", "1", "no vocals", "vocals", "80s", "(slow", "it's"];
    assert_eq!(notes(&fine), [""; 0]);
}

#[test]
fn synthetic_music_is_written_by_name() {
    let config = crate::tracks::synthetic::SyntheticConfig { tracks: 30, ..Default::default() };
    let collection = config.load().unwrap();
    let text = String::from_utf8(to_csv(&collection, Paths::Absolute).unwrap()).unwrap();
    assert_eq!(text.lines().count(), 31);
    assert!(text.lines().skip(1).all(|line| line.contains(",synthetic:1:")), "{text}");
}

#[test]
fn tags_that_a_manifest_cannot_contain_are_refused() {
    let mut collection = load("id,path,split,tags\na,a.mp3,train,x\n").unwrap();
    for tag in ["a|b", "", " ", "a\nb"] {
        collection.tags[0] = tag.into();
        let error = to_csv(&collection, Paths::Absolute).unwrap_err().to_string();
        assert!(error.contains("track \"a\"") && error.contains("rename it"), "{error}");
    }
    collection.tags.clear();
    assert!(to_csv(&collection, Paths::Absolute).is_err());
    let gone = Path::new("/no/such/folder/manifest.csv");
    let error = write_manifest(&collection, gone).unwrap_err().to_string();
    assert!(error.contains("/no/such/folder"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn name_that_is_not_utf8_is_documented_but_not_written_for_loading() {
    use std::os::unix::ffi::OsStrExt;
    let mut collection = load("id,path,split,tags\na,a.mp3,train,x\n").unwrap();
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"/music/caf\xe9.mp3"));
    collection.tracks[0].audio = Audio::File { path, offset_s: 0.0, duration_s: None };
    let text = String::from_utf8(to_csv(&collection, Paths::Absolute).unwrap()).unwrap();
    assert!(text.contains("\na,/music/caf\u{fffd}.mp3,train,x,"), "{text}");
    let error = to_csv(&collection, Paths::RelativeTo(Path::new("/"))).unwrap_err().to_string();
    assert!(error.contains("not UTF-8") && error.contains("rename the file"), "{error}");
    let other = Track { id: "b".into(), ..collection.tracks[0].clone() };
    collection.tracks.push(Track { audio: Audio::file("/music/b.mp3".into()), ..other });
    remove_unwritable(&mut collection, Paths::RelativeTo(Path::new("/"))).unwrap();
    assert_eq!(collection.tracks.iter().map(|track| &track.id).collect::<Vec<_>>(), ["b"]);
    assert!(collection.notes[0].contains("UTF-8: 1 (first: \"a\")"), "{:?}", collection.notes);
    let text = to_csv(&collection, Paths::RelativeTo(Path::new("/"))).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("\nb,music/b.mp3,"));
}

#[test]
#[cfg(unix)]
fn manifest_reached_through_a_link_has_relative_paths() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, directory.path().join("door")).unwrap();
    let mut collection = load("id,path,split,tags\na,a.mp3,train,x\n").unwrap();
    for (files, manifest) in [("real", "door"), ("door", "real"), ("door", "door")] {
        let path = directory.path().join(files).join("a.mp3");
        collection.tracks[0].audio = Audio::File { path, offset_s: 0.0, duration_s: None };
        let out = directory.path().join(manifest).join("manifest.csv");
        write_manifest(&collection, &out).unwrap();
        assert!(fs::read_to_string(&out).unwrap().contains("\na,a.mp3,train,x,,,\n"));
    }
}

#[test]
fn million_rows_load_in_seconds() {
    let mut text = String::from("id,path,split,tags\n");
    for i in 0..1_000_000 {
        text += &format!("{i},{i}.mp3,train,t{}|t{}\n", i % 50, i % 7);
    }
    let started = std::time::Instant::now();
    assert_eq!(load(text).unwrap().tracks.len(), 1_000_000);
    // An idle machine takes a twentieth of this.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
