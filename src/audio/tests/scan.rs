//! Scans of datasets: order, quarantine, progress, interruption.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn run(
    tracks: &[Track],
    cache: &AudioCache,
    options: &ScanOptions,
) -> Result<ScanReport, AudioError> {
    super::super::scan(tracks, 16_000, cache, options, &AtomicBool::new(false), &|_| {})
}

#[test]
fn usable_tracks_keep_their_order_and_others_go_into_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let cache = AudioCache::open(&here.join("cache")).unwrap();
    let mp3 = std::fs::read(fixture("mono-16k.mp3")).unwrap();
    let tone = chirp_at(16_000, 0.6);
    let bad = [
        ("missing", here.join("none.mp3")),
        ("is_directory", here.to_owned()),
        ("empty", write(here, "zero.wav", b"")),
        ("unsupported", write(here, "text.mp3", b"text, with \"quotes\"\n")),
        ("truncated", write(here, "cut.mp3", &mp3[..mp3.len() / 2])),
        ("silent", write(here, "still.wav", &wav(16_000, 1, Store::I16, &[0.00005; 16_000]))),
        ("too_short", write(here, "short.wav", &wav(16_000, 1, Store::I16, &tone[..7_999]))),
        ("non_finite", write(here, "nan.wav", &wav(16_000, 1, Store::F32, &[f64::NAN; 16_000]))),
        ("limit_exceeded", write(here, "slow.wav", &wav(900, 1, Store::I16, &tone))),
    ];
    let good = ["stereo-44k.mp3", "mono-22k.ogg", "stereo-44k.m4a", "mono-8k.flac", "mono-22k.aac"];
    let mut tracks = Vec::new();
    for (index, (reason, path)) in bad.iter().enumerate() {
        tracks.push(track(reason, file(path)));
        if let Some(name) = good.get(index) {
            tracks.push(track(name, file(&fixture(name))));
        }
    }
    tracks.push(track("piece", synthetic_piece()));

    let seen = Mutex::new(Vec::new());
    let report = super::super::scan(
        &tracks,
        16_000,
        &cache,
        &ScanOptions { threads: 3, ..ScanOptions::default() },
        &AtomicBool::new(false),
        &|progress| seen.lock().unwrap().push(progress),
    )
    .unwrap();
    assert_eq!(report.audio.len(), tracks.len());
    let reasons: Vec<(&str, &str)> =
        report.quarantine.iter().map(|entry| (entry.id.as_str(), entry.reason.name())).collect();
    let expected: Vec<(&str, &str)> = bad.iter().map(|(reason, _)| (*reason, *reason)).collect();
    assert_eq!(reasons, expected);
    for (track, audio) in tracks.iter().zip(&report.audio) {
        let quarantined = report.quarantine.iter().any(|entry| entry.id == track.id);
        assert_eq!(audio.is_none(), quarantined, "{}", track.id);
    }
    assert_eq!((report.decoded, report.from_cache), (good.len() + 1, 0));
    assert_eq!(report.codecs["flac"], 1);
    assert_eq!(report.source_rates[&22_050], 2);
    let total: f64 = report.audio.iter().flatten().map(CachedAudio::seconds).sum();
    assert!((report.seconds_of_audio - total).abs() < 1e-9 && total > 4.5);
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), tracks.len());
    assert_eq!(
        seen.last().copied(),
        Some(ScanProgress {
            total: tracks.len(),
            done: tracks.len(),
            decoded: good.len() + 1,
            from_cache: 0,
            quarantined: bad.len(),
        })
    );
    let text = String::from_utf8(quarantine_csv(&report.quarantine)).unwrap();
    assert_eq!(text.lines().count(), bad.len() + 1);

    // A second scan, also with `verify`, decodes nothing and gives the same result.
    for verify in [false, true] {
        let again =
            run(&tracks, &cache, &ScanOptions { verify, ..ScanOptions::default() }).unwrap();
        assert_eq!((again.decoded, again.from_cache), (0, good.len() + 1));
        assert_eq!(again.audio, report.audio);
        assert_eq!(again.quarantine, report.quarantine);
        assert_eq!(again.codecs, report.codecs);
    }
    // A lower limit admits the short track.
    let options = ScanOptions { min_seconds: 0.1, ..ScanOptions::default() };
    assert_eq!(run(&tracks, &cache, &options).unwrap().quarantine.len(), bad.len() - 1);
}

#[test]
fn replaced_entry_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let tracks = [track("a", file(&fixture("mono-8k.flac")))];
    let cache = AudioCache::open(folder.path()).unwrap();
    let options = ScanOptions::default();
    let first = run(&tracks, &cache, &options).unwrap();
    let path = first.audio[0].as_ref().unwrap().path().unwrap().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1_000] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let second = run(&tracks, &cache, &options).unwrap();
    assert_eq!(second.rebuilt.len(), 1);
    assert!(second.rebuilt[0].1.contains("checksum"));
    assert!(run(&tracks, &cache, &options).unwrap().rebuilt.is_empty());
}

#[test]
fn interrupted_scan_continues_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    let tracks: Vec<Track> = (0..20)
        .map(|n| {
            let tone: Vec<f64> =
                chirp_at(16_000, 0.6).iter().map(|x| x * (0.5 + 0.02 * f64::from(n))).collect();
            let path =
                write(folder.path(), &format!("{n}.wav"), &wav(16_000, 1, Store::I16, &tone));
            track(&n.to_string(), file(&path))
        })
        .collect();
    let stop = AtomicBool::new(false);
    let options = ScanOptions { threads: 1, ..ScanOptions::default() };
    let error = super::super::scan(&tracks, 16_000, &cache, &options, &stop, &|progress| {
        stop.store(progress.done >= 5, Ordering::Relaxed);
    })
    .unwrap_err();
    assert!(matches!(error, AudioError::Interrupted), "{error}");
    let report = run(&tracks, &cache, &options).unwrap();
    assert_eq!((report.from_cache, report.decoded), (5, 15));
}

#[test]
fn lost_cache_ends_the_scan() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(folder.path()).unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    std::fs::write(folder.path(), b"a file now").unwrap();
    let tracks = [track("a", file(&fixture("mono-8k.flac")))];
    let error = run(&tracks, &cache, &ScanOptions::default()).unwrap_err();
    assert!(error.reason().is_none(), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    std::fs::remove_file(folder.path()).unwrap();
}

#[test]
fn error_of_a_full_disk_names_directory_and_size() {
    // The environment variable names a directory on a small file system.
    let Some(small) = std::env::var_os("TONOTOPY_TEST_SMALL_DISK") else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: TONOTOPY_TEST_SMALL_DISK does not name a nearly full file system"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(&Path::new(&small).join("cache")).unwrap();
    let tone: Vec<f64> = (0..100).flat_map(|_| chirp_at(16_000, 0.9)).collect();
    let tracks: Vec<Track> = (0..5)
        .map(|n| {
            let path = write(
                folder.path(),
                &format!("{n}.wav"),
                &wav(16_000, 1, Store::I16, &tone[n * 1_000..]),
            );
            track(&n.to_string(), file(&path))
        })
        .collect();
    let error = run(&tracks, &cache, &ScanOptions::default()).unwrap_err();
    let AudioError::CacheFull { needed, remaining, .. } = &error else { panic!("{error}") };
    assert!(*needed > 2_000_000 && remaining.unwrap() >= *needed, "{error}");
    assert!(error.to_string().contains(&cache.folder().display().to_string()), "{error}");
    assert_eq!(std::fs::read_dir(cache.folder().join("tmp")).unwrap().count(), 0);
}

#[test]
fn options_out_of_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(folder.path()).unwrap();
    for min_seconds in [f64::NAN, -1.0, f64::INFINITY] {
        let options = ScanOptions { min_seconds, ..ScanOptions::default() };
        assert!(matches!(run(&[], &cache, &options), Err(AudioError::Argument(_))));
    }
    let tracks = [track("a", file(&fixture("mono-8k.flac")))];
    let stop = AtomicBool::new(false);
    let error = super::super::scan(&tracks, 10, &cache, &ScanOptions::default(), &stop, &|_| {})
        .unwrap_err();
    assert!(matches!(error, AudioError::Argument(_)), "{error}");
}

#[test]
fn file_that_ends_early_is_noted_by_every_scan() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(fixture("mono-16k.mp3")).unwrap();
    let cut = write(folder.path(), "cut.mp3", &bytes[..bytes.len() - 20]);
    let tracks = [track("cut", file(&cut)), track("whole", file(&fixture("stereo-44k.mp3")))];
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    // Decoded, and from the cache.
    for decoded in [2, 0] {
        let options = ScanOptions::default();
        let report =
            super::super::scan(&tracks, 16_000, &cache, &options, &AtomicBool::new(false), &|_| {});
        let report = report.unwrap();
        assert_eq!((report.decoded, report.quarantine.len()), (decoded, 0));
        assert_eq!(report.ends_early, ["cut"]);
        assert!(report.ends_early_note().unwrap().contains("cut: "));
    }
}
