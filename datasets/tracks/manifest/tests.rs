use std::fs;

use super::*;
use crate::Split;

fn load(content: impl AsRef<[u8]>) -> Result<Collection, DatasetError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("manifest.csv"), content).unwrap();
    let root = folder.path().to_owned();
    ManifestConfig { root, ..ManifestConfig::default() }.load(None)
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
fn rows_become_tracks_whatever_the_order_of_columns_and_line_ends() {
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
fn what_is_wrong_is_refused_with_its_line() {
    let head = "id,path,split,tags,artist,offset_s,duration_s\n";
    let row = |row: &str| format!("{head}ok,ok.mp3,train,a,,,\n{row}\n");
    refused(row("ok,b.mp3,train,a,,,"), &["line 3", "ok", "line 2"]);
    refused(row("x,../b.mp3,train,a,,,"), &["line 3", "../b.mp3", "outside"]);
    refused(row("x,a/../../b.mp3,train,a,,,"), &["line 3", "outside"]);
    refused(row("x,/etc/passwd,train,a,,,"), &["line 3", "absolute"]);
    refused(row("x,,train,a,,,"), &["line 3", "path is empty"]);
    refused(row(",b.mp3,train,a,,,"), &["line 3", "id is empty"]);
    refused(row("x,b.mp3,training,a,,,"), &["line 3", "training", "train, valid or test"]);
    refused(row("x,b.mp3,train,a||b,,,"), &["line 3", "empty"]);
    refused(row("x,b.mp3,train,a,,-1,"), &["line 3", "offset_s", "-1"]);
    refused(row("x,b.mp3,train,a,,,nan"), &["line 3", "duration_s", "nan"]);
    refused(row("x,b.mp3,train,a,,,inf"), &["line 3", "duration_s"]);
    refused(row("x,b.mp3,train,a,,,0"), &["line 3", "duration_s is 0"]);
    refused(row("x,b.mp3,train"), &["line 3", "3 columns", "7"]);
    refused(head, &["no row"]);
    refused("id,path,split\na,b,train\n", &["column tags is missing"]);
    refused("id,path,split,tags,genre\n", &["\"genre\" is not known"]);
    refused("id,path,split,tags,id\n", &["two columns id"]);
    refused([head.as_bytes(), b"x,caf\xe9.mp3,train,a,,,\n"].concat(), &["line 2", "UTF-8"]);
    refused(format!("{head}x,x.mp3,train,,,,\n"), &["no track has a tag"]);
    refused(row(" ok ,b.mp3,train,a,,,"), &["line 3", "\"ok\"", "line 2"]);
    refused(row("  ,b.mp3,train,a,,,"), &["line 3", "id is empty"]);
    refused(row("x,  ,train,a,,,"), &["line 3", "path is empty"]);
    refused(row("x,a\0.mp3,train,a,,,"), &["line 3", "control character"]);
    refused(row("x,b.mp3,train,a,,-0.5,"), &["line 3", "offset_s", "-0.5"]);
    refused(row("x,b.mp3,train,a,,1e999,"), &["line 3", "offset_s", "1e999"]);
    refused(row("x,b.mp3,train,a,,\"1,5\","), &["line 3", "offset_s", "1,5"]);
    refused(row("x,b.mp3,Train,a,,,"), &["line 3", "\"Train\"", "train, valid or test"]);
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
fn a_bare_file_name_lies_in_the_current_folder() {
    assert_eq!(folder_of(Path::new("m.csv")), Path::new("."));
    assert_eq!(folder_of(Path::new("a/m.csv")), Path::new("a"));
    assert_eq!(folder_of(Path::new("/m.csv")), Path::new("/"));
}

/// A quote that is not closed makes one value of what follows: tracks would vanish unseen.
#[test]
fn a_quote_left_open_is_told_where_it_begins() {
    let head = "id,path,split,tags,artist\n1,a.mp3,train,t,A\n";
    let rest: String = (3..5000).map(|i| format!("{i},{i}.mp3,train,t,\n")).collect();
    refused(format!("{head}2,b.mp3,train,t,\"B\n{rest}"), &["line 3", "artist", "close the quote"]);
    refused(format!("{head}2,b.mp3,train,\"t,B\n{rest}"), &["line 3", "a quote an end"]);
    refused(format!("{head}\"2,b.mp3,train,t,B\n{rest}"), &["line 3", "a quote an end"]);
}

/// Every byte of a good manifest, replaced or cut off after: an error or a collection, no panic.
#[test]
fn no_damage_makes_it_panic() {
    let good = "\u{feff}id,path,split,tags,artist,offset_s,duration_s\r\n\
                1,\"a,b.mp3\",train,x|y,\"A \"\"B\"\"\",1.5,2\r\n2,c/d.mp3,test,z,\u{e9},,\r\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.csv");
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
                        assert!(path.starts_with(folder.path()), "{}", path.display());
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
fn lines_are_counted_right_whatever_ends_them() {
    let text = "id,path,split,tags\na,a.mp3,train,\"x\"\n\nb,b.mp3,train,y\na,c.mp3,train,z\n";
    refused(text, &["line 5:", "line 2 already"]);
    refused(text.replace('\n', "\r\n"), &["line 5:", "line 2 already"]);
    refused(text.replace('\n', "\r"), &["line 5:", "line 2 already"]);
}

#[test]
fn a_missing_manifest_says_what_to_write() {
    let config = ManifestConfig { root: "no/such".into(), ..ManifestConfig::default() };
    let error = config.load(Some(Path::new("data"))).unwrap_err().to_string();
    assert!(error.contains("data/no/such") && error.contains("id,path,split,tags"), "{error}");
}

#[test]
#[cfg(unix)]
fn links_are_followed_inside_and_refused_outside() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir_all(inner.join("sub")).unwrap();
    fs::create_dir(folder.path().join("other")).unwrap();
    fs::write(folder.path().join("secret.wav"), b"x").unwrap();
    fs::write(folder.path().join("other/secret.wav"), b"x").unwrap();
    fs::write(inner.join("sub/good.wav"), b"x").unwrap();
    symlink("../secret.wav", inner.join("link.wav")).unwrap();
    symlink("../other", inner.join("elsewhere")).unwrap();
    symlink("sub/good.wav", inner.join("fine.wav")).unwrap();
    symlink("sub", inner.join("also")).unwrap();
    symlink("loop.wav", inner.join("loop.wav")).unwrap();
    // The manifest's folder reached by a link is the same folder.
    symlink(&inner, folder.path().join("door")).unwrap();
    for root in [&inner, &folder.path().join("door")] {
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
fn a_winding_path_to_a_file_that_is_not_there_is_written_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id,path,split,tags\n1,gone/../a.wav,train,x\n2,b/c/../../d/,train,x\n";
    fs::write(folder.path().join("m.csv"), text).unwrap();
    let config = ManifestConfig { root: "m.csv".into(), ..ManifestConfig::default() };
    let read = config.load(Some(folder.path())).unwrap();
    fs::write(
        folder.path().join("m.csv"),
        to_csv(&read, Paths::RelativeTo(folder.path())).unwrap(),
    )
    .unwrap();
    assert_eq!(config.load(Some(folder.path())).unwrap().tracks, read.tracks);
}

#[test]
fn a_path_that_names_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    for path in [".", "./", "sub/..", "sub/..///", "a/b/../"] {
        fs::write(folder.path().join("m.csv"), format!("id,path,split,tags\n1,{path},train,x\n"))
            .unwrap();
        let config = ManifestConfig { root: "m.csv".into(), ..ManifestConfig::default() };
        let error = config.load(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("names a folder"), "{path}: {error}");
    }
}

#[test]
fn the_vocabulary_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id,path,split,tags\n1,a,train,x|y\n2,b,train,x\n3,c,test,z|x\n";
    fs::write(folder.path().join("m.csv"), text).unwrap();
    let mut config = ManifestConfig { root: "m.csv".into(), ..ManifestConfig::default() };
    config.min_count = 2;
    let rare = config.load(Some(folder.path())).unwrap();
    assert_eq!(rare.tags, ["x"]);
    assert!(rare.notes[0].contains("fewer than 2 tracks: 2"), "{:?}", rare.notes);
    config.min_count = 0;
    config.tags = vec!["z".into(), "x".into()];
    let chosen = config.load(Some(folder.path())).unwrap();
    assert_eq!(chosen.tags, ["z", "x"]);
    assert_eq!(chosen.tracks[2].tags, [0, 1]);
    config.tags.push("q".into());
    let error = config.load(Some(folder.path())).unwrap_err().to_string();
    assert!(error.contains("tags is \"q\": no track has") && error.contains("x, y, z"), "{error}");
    config.tags = vec!["z".into(), "z".into()];
    let error = config.load(Some(folder.path())).unwrap_err().to_string();
    assert!(error.contains("tags is \"z\": name it once"), "{error}");
    config.tags.clear();
    config.min_count = 4;
    let error = config.load(Some(folder.path())).unwrap_err().to_string();
    assert!(error.contains("min_count is 4") && error.contains("is on 3"), "{error}");
}

#[test]
fn audio_on_both_sides_of_a_split_is_noted() {
    let text = "id,path,split,tags,artist,offset_s,duration_s\n\
                1,a,train,x,,,10\n2,a,test,x,,10,\n3,a,valid,x,,20,\n4,b,train,x,,,\n5,b,,x,,,\n";
    let notes = load(text).unwrap().notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("more than one split uses: 1 (the first at track 2)"), "{notes:?}");
    assert!(
        load(text.replace("test", "train").replace("valid", "train")).unwrap().notes.is_empty()
    );
}

#[test]
fn paths_may_wind_as_long_as_they_stay_inside() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::write(folder.path().join("x.mp3"), b"x").unwrap();
    let text = "id,path,split,tags\n1,a/b/../../x.mp3,train,t\n2,./x.mp3,train,t\n3,gone/../y,,t\n";
    fs::write(folder.path().join("manifest.csv"), text).unwrap();
    let config = ManifestConfig { root: folder.path().into(), ..ManifestConfig::default() };
    assert_eq!(config.load(None).unwrap().tracks.len(), 3);
}

#[test]
fn what_is_written_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id,path,split,tags,artist,offset_s,duration_s\n\
                \"a,1\",\"s/\"\"q\"\".mp3\",train,x|y,\u{c4},0.1,1e-7\nb,b.mp3,,,,,\n\
                c,b.mp3,test,\"z \"\"z\"\", z\",\"C, D\",123456789.125,\nd, d.mp3,valid,y,,1e300,3\n";
    fs::write(folder.path().join("in.csv"), text).unwrap();
    let load = |name: &str| {
        let root = folder.path().join(name);
        ManifestConfig { root, ..ManifestConfig::default() }.load(None).unwrap()
    };
    let collection = load("in.csv");
    write_manifest(&collection, &folder.path().join("out.csv")).unwrap();
    let back = load("out.csv");
    assert_eq!((&back.tracks, &back.tags), (&collection.tracks, &collection.tags));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

    let absolute = String::from_utf8(to_csv(&collection, Paths::Absolute).unwrap()).unwrap();
    for line in absolute.lines().skip(1) {
        assert!(line.contains(folder.path().to_str().unwrap()), "{line}");
    }
    // Below another folder, the paths are absolute too, and the reader says so.
    let other = tempfile::tempdir().unwrap();
    write_manifest(&collection, &other.path().join("manifest.csv")).unwrap();
    assert_eq!(fs::read_to_string(other.path().join("manifest.csv")).unwrap(), absolute);
    let root = other.path().to_owned();
    let error = ManifestConfig { root, ..ManifestConfig::default() }.load(None).unwrap_err();
    assert!(error.to_string().contains("is absolute"), "{error}");
}

#[test]
fn music_made_by_the_program_is_written_by_name() {
    let config = crate::tracks::synthetic::SyntheticConfig { tracks: 30, ..Default::default() };
    let collection = config.load().unwrap();
    let text = String::from_utf8(to_csv(&collection, Paths::Absolute).unwrap()).unwrap();
    assert_eq!(text.lines().count(), 31);
    assert!(text.lines().skip(1).all(|line| line.contains(",synthetic:1:")), "{text}");
}

#[test]
fn what_no_manifest_can_say_is_refused() {
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
fn a_name_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let mut collection = load("id,path,split,tags\na,a.mp3,train,x\n").unwrap();
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"/music/caf\xe9.mp3"));
    collection.tracks[0].audio = Audio::File { path, offset_s: 0.0, duration_s: None };
    let error = to_csv(&collection, Paths::Absolute).unwrap_err().to_string();
    assert!(error.contains("not UTF-8") && error.contains("rename the file"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_manifest_reached_by_a_link_names_its_files_relatively() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, folder.path().join("door")).unwrap();
    let mut collection = load("id,path,split,tags\na,a.mp3,train,x\n").unwrap();
    for (files, manifest) in [("real", "door"), ("door", "real"), ("door", "door")] {
        let path = folder.path().join(files).join("a.mp3");
        collection.tracks[0].audio = Audio::File { path, offset_s: 0.0, duration_s: None };
        let out = folder.path().join(manifest).join("manifest.csv");
        write_manifest(&collection, &out).unwrap();
        assert!(fs::read_to_string(&out).unwrap().contains("\na,a.mp3,train,x,,,\n"));
    }
}

#[test]
fn a_million_rows_load_in_seconds() {
    let mut text = String::from("id,path,split,tags\n");
    for i in 0..1_000_000 {
        text += &format!("{i},{i}.mp3,train,t{}|t{}\n", i % 50, i % 7);
    }
    let started = std::time::Instant::now();
    assert_eq!(load(text).unwrap().tracks.len(), 1_000_000);
    // A twentieth of this on an idle machine.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
