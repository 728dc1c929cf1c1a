//! Real music, if it is available.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use datasets::tracks::folders::EXTENSIONS;

use super::*;

fn audio_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            audio_below(&path, found);
        } else if path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known)) {
            found.push(path);
        }
    }
}

#[test]
#[ignore = "needs rendered, nsynth and soundtracks below TONOTOPY_SHARED"]
fn real_music_is_usable() {
    let shared = std::env::var_os("TONOTOPY_SHARED").map_or("../shared/data".into(), PathBuf::from);
    let mut paths = Vec::new();
    for name in ["rendered", "nsynth", "soundtracks"] {
        let folder = shared.join(name);
        audio_below(&folder, &mut paths);
    }
    paths.sort();
    let tracks: Vec<Track> = paths
        .iter()
        .enumerate()
        .map(|(index, path)| track(&index.to_string(), file(path)))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(folder.path()).unwrap();
    for round in ["decoded", "from the cache"] {
        let start = Instant::now();
        let report = super::super::scan(
            &tracks,
            16_000,
            &cache,
            &ScanOptions { min_seconds: 1.0, ..ScanOptions::default() },
            &AtomicBool::new(false),
            &|_| {},
        )
        .unwrap();
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{round}: {} tracks, {:.0} s of audio in {seconds:.2} s; {:?} {:?}",
            tracks.len(),
            report.seconds_of_audio,
            report.codecs,
            report.source_rates
        );
        // A few notes of NSynth are digital silence.
        for entry in &report.quarantine {
            eprintln!("{}", entry.message);
            assert_eq!(entry.reason, Reason::Silent, "{}", entry.message);
        }
        assert!(report.quarantine.len() * 100 <= tracks.len());
    }
}
