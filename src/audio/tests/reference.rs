//! Files of many encoders, compared with what FFmpeg decodes.

use super::*;

/// Samples by which the start of a file may differ: what FFmpeg removes and we keep, because only it reads edit lists and
/// assumes the delay of an encoder that declares none.
const SHIFTS: [usize; 6] = [0, 529, 1_024, 1_105, 2_112, 2_048];

#[test]
#[ignore = "needs the files of benches/faults/audio_reference.sh in TONOTOPY_AUDIO_REFERENCE"]
fn files_of_many_encoders_equal_what_ffmpeg_decodes() {
    let folder = std::env::var_os("TONOTOPY_AUDIO_REFERENCE").expect("TONOTOPY_AUDIO_REFERENCE");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with(".reference.wav"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut wrong = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy();
        let reference = path.with_file_name(format!("{name}.reference.wav"));
        match (whole(path), reference.exists()) {
            (Err(error), false) => eprintln!("{name}: refused: {error}"),
            (Err(error), true) => wrong.push(format!("{name}: {error}")),
            (Ok(_), false) => wrong.push(format!("{name}: decoded, and it should be refused")),
            (Ok(wave), true) => {
                let expected = whole(&reference).unwrap();
                assert_eq!(wave.sample_rate, expected.sample_rate, "{name}");
                let largest = |shift: usize| {
                    let pairs = wave.samples.iter().skip(shift).zip(&expected.samples);
                    pairs
                        .map(|(a, b)| (a - b).abs())
                        .fold(0f32, |m, d| if d > m || d.is_nan() { d } else { m })
                };
                let (error, shift) = SHIFTS
                    .map(|shift| (largest(shift), shift))
                    .into_iter()
                    .min_by(|a, b| a.0.total_cmp(&b.0))
                    .unwrap();
                let lengths = (wave.samples.len(), expected.samples.len());
                let difference = (lengths.0 - shift) as i64 - lengths.1 as i64;
                let line = format!(
                    "{name}: largest error {error:e}, shift {shift}, {} samples, {difference:+} of FFmpeg's",
                    lengths.0
                );
                // The two round differently.
                match error < 1.0 / 4_096.0 && difference.abs() <= 1_200 {
                    true => eprintln!("{line}"),
                    false => wrong.push(line),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
