//! Tests of the dataset as a whole.

use super::drums::{Drum, Hit, Kit};
use super::instruments::{Family, Instrument};
use super::notes::{Mode, Note, Role};
use super::*;
use crate::Split;
use crate::random::{Purpose, Stream};

fn piece(seed: u64, index: u64, seconds: f64) -> Piece {
    Piece { seed, index, seconds }
}

fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / samples.len() as f64
}

/// The results of `job` for `0..count`, computed on two threads.
fn in_parallel<T: Send>(count: u64, job: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let job = &job;
    std::thread::scope(|scope| {
        let half = count / 2;
        let first = scope.spawn(move || (0..half).map(job).collect::<Vec<T>>());
        let second: Vec<T> = (half..count).map(job).collect();
        let mut all = first.join().unwrap();
        all.extend(second);
        all
    })
}

/// Power spectrum of `samples` with a Hann window by the algorithm of Cooley and Tukey; the length is a power of 2.
fn power_spectrum(samples: &[f32]) -> Vec<f64> {
    fn transform(x: &mut [(f64, f64)]) {
        let n = x.len();
        if n == 1 {
            return;
        }
        let mut even: Vec<_> = x.iter().step_by(2).copied().collect();
        let mut odd: Vec<_> = x.iter().skip(1).step_by(2).copied().collect();
        transform(&mut even);
        transform(&mut odd);
        for k in 0..n / 2 {
            let (s, c) = (-std::f64::consts::TAU * k as f64 / n as f64).sin_cos();
            let t = (odd[k].0 * c - odd[k].1 * s, odd[k].0 * s + odd[k].1 * c);
            x[k] = (even[k].0 + t.0, even[k].1 + t.1);
            x[k + n / 2] = (even[k].0 - t.0, even[k].1 - t.1);
        }
    }
    let n = samples.len();
    let window = |i: usize| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / n as f64).cos();
    let mut x: Vec<_> =
        samples.iter().enumerate().map(|(i, x)| (f64::from(*x) * window(i), 0.0)).collect();
    transform(&mut x);
    x[..n / 2].iter().map(|(re, im)| re * re + im * im).collect()
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let default = SyntheticConfig::default;
    for (config, word) in [
        (SyntheticConfig { tracks: 0, ..default() }, "tracks"),
        (SyntheticConfig { tracks: usize::MAX, ..default() }, "tracks"),
        (SyntheticConfig { seconds: 0.0, ..default() }, "seconds"),
        (SyntheticConfig { seconds: -8.0, ..default() }, "seconds"),
        (SyntheticConfig { seconds: f64::NAN, ..default() }, "seconds"),
        (SyntheticConfig { seconds: f64::INFINITY, ..default() }, "seconds"),
        (SyntheticConfig { valid_share: -0.1, ..default() }, "valid_share"),
        (SyntheticConfig { test_share: f64::NAN, ..default() }, "test_share"),
        (SyntheticConfig { valid_share: 0.5, test_share: 0.5, ..default() }, "training"),
    ] {
        let error = config.load().unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("synthetic"), "{error}");
    }
}

/// Tags at the default size are unbalanced, and every split has a positive, for several seeds.
#[test]
fn tags_are_unbalanced_and_in_every_split() {
    for seed in 1..=8 {
        let collection = SyntheticConfig { seed, ..Default::default() }.load().unwrap();
        assert!(collection.tags.len() >= 20);
        let total = collection.tracks.len() as f64;
        let mut prevalences = Vec::new();
        for (tag, name) in collection.tags.iter().enumerate() {
            assert_eq!(name.split("---").count(), 2, "{name}");
            let count = |split: Split| {
                let bears = |t: &&Track| t.split == Some(split) && t.tags.contains(&tag);
                collection.tracks.iter().filter(bears).count()
            };
            let counts = [Split::Train, Split::Valid, Split::Test].map(count);
            assert!(counts.iter().all(|count| *count > 0), "{name}: {counts:?} with seed {seed}");
            prevalences.push(counts.iter().sum::<usize>() as f64 / total);
        }
        let least = prevalences.iter().copied().fold(1.0, f64::min);
        let most = prevalences.iter().copied().fold(0.0, f64::max);
        assert!((0.02..0.08).contains(&least), "{least} with seed {seed}");
        assert!((0.5..0.68).contains(&most), "{most} with seed {seed}");
        let sizes = [Split::Train, Split::Valid, Split::Test]
            .map(|split| collection.tracks.iter().filter(|t| t.split == Some(split)).count());
        assert_eq!(sizes, [480, 60, 60]);
        for track in &collection.tracks {
            assert!(track.tags.windows(2).all(|pair| pair[0] < pair[1]));
        }
        let ids: std::collections::BTreeSet<&str> =
            collection.tracks.iter().map(|track| track.id.as_str()).collect();
        assert_eq!(ids.len(), 600);
    }
}

/// Instruments, register, mode, tempo, metre, space and noise are uncorrelated.
#[test]
fn kinds_of_tags_are_independent() {
    let collection = SyntheticConfig { tracks: 4_000, ..Default::default() }.load().unwrap();
    let kind = |tag: usize| collection.tags[tag].split("---").next().unwrap();
    let free = ["instrument", "register", "mode", "tempo", "metre", "space", "quality"];
    let n = collection.tracks.len() as f64;
    let share = |bears: &dyn Fn(&Track) -> bool| {
        collection.tracks.iter().filter(|track| bears(track)).count() as f64 / n
    };
    for a in 0..collection.tags.len() {
        for b in 0..a {
            if kind(a) == kind(b) || !free.contains(&kind(a)) || !free.contains(&kind(b)) {
                continue;
            }
            let p = share(&|track| track.tags.contains(&a));
            let q = share(&|track| track.tags.contains(&b));
            let both = share(&|track| track.tags.contains(&a) && track.tags.contains(&b));
            let correlation = (both - p * q) / (p * (1.0 - p) * q * (1.0 - q)).sqrt();
            let names = (&collection.tags[a], &collection.tags[b]);
            assert!(correlation.abs() < 0.1, "{names:?}: {correlation}");
        }
    }
}

/// Derives the tags from the notes in another way than the vocabulary.
#[test]
fn tags_describe_the_score() {
    let collection = SyntheticConfig { tracks: 500, ..Default::default() }.load().unwrap();
    for (index, track) in collection.tracks.iter().enumerate() {
        let score = piece(1, index as u64, 8.0).score();
        let bears = |name: &str| track.tags.iter().any(|tag| collection.tags[*tag] == name);
        for (family, name) in [
            (Family::Plucked, "instrument---plucked"),
            (Family::Bowed, "instrument---bowed"),
            (Family::Flute, "instrument---flute"),
            (Family::Reed, "instrument---reed"),
            (Family::Organ, "instrument---organ"),
            (Family::Bell, "instrument---bell"),
            (Family::Mallet, "instrument---mallet"),
            (Family::Voice, "instrument---voice"),
        ] {
            let heard =
                score.parts.iter().filter(|part| part.family == family).any(|part| {
                    part.notes.iter().any(|n| n.start < 8.0 && n.start + n.duration > 0.0)
                });
            assert_eq!(bears(name), heard, "{} {name}", track.id);
        }
        let hits = score.drums.as_ref().map_or(&[][..], |drums| &drums.hits);
        let struck = |drum: Drum| hits.iter().filter(|hit| hit.drum == drum).count();
        assert_eq!(bears("drums---yes"), !hits.is_empty());
        assert_eq!(bears("drums---shaker"), struck(Drum::Shaker) > 0);
        if bears("drums---four-on-the-floor") {
            // The bass drum on every beat gives the tempo.
            let kicks: Vec<f64> =
                hits.iter().filter(|hit| hit.drum == Drum::Kick).map(|hit| hit.time).collect();
            let apart = (kicks[kicks.len() - 1] - kicks[0]) / (kicks.len() - 1) as f64;
            assert_eq!(bears("tempo---slow"), 60.0 / apart < 88.0);
            assert_eq!(bears("tempo---fast"), 60.0 / apart > 141.0);
        }
        // Whether a transposition of the scale contains all notes.
        let fits = |scale: &[i32]| {
            let tuning = score.parts[0].notes[0].pitch.rem_euclid(1.0);
            (0..12).any(|key| {
                score.parts.iter().flat_map(|part| &part.notes).all(|note| {
                    let class = (note.pitch - tuning).round() as i32;
                    scale.contains(&(class - key).rem_euclid(12))
                })
            })
        };
        if !score.parts.is_empty() {
            assert!(fits(score.mode.scale()), "{} leaves its scale", track.id);
            assert_eq!(bears("mode---open"), score.mode == Mode::Open);
            let chords = score.parts.iter().any(|part| part.role == Role::Chords);
            if score.mode != Mode::Open && chords {
                assert!(!fits(Mode::Open.scale()), "{} has no third", track.id);
            }
            let lone =
                |part: &score::Part| part.notes.iter().map(|n| n.duration).fold(0.0, f64::max);
            if bears("articulation---staccato") {
                assert!(score.parts.iter().all(|part| lone(part) < 1.5 * 60.0 / score.tempo));
            }
        } else {
            assert!(!bears("mode---major") && !bears("mode---minor") && !bears("mode---open"));
        }
    }
}

/// The number of tracks changes only the splits.
#[test]
fn tracks_do_not_depend_on_their_number() {
    let few = SyntheticConfig { tracks: 20, ..Default::default() }.load().unwrap();
    let many = SyntheticConfig { tracks: 50, ..Default::default() }.load().unwrap();
    for (a, b) in few.tracks.iter().zip(&many.tracks) {
        assert_eq!((&a.id, &a.audio, &a.tags), (&b.id, &b.audio, &b.tags));
    }
    let one = SyntheticConfig { tracks: 1, ..Default::default() }.load().unwrap();
    assert_eq!(one.tracks[0].split, Some(Split::Train));
}

#[test]
fn pieces_have_different_names() {
    assert_eq!(piece(3, 14, 8.0).to_string(), "synthetic:3:14");
    let identity = piece(3, 14, 8.5).identity();
    assert_eq!(identity, format!("synthetic-v{GENERATOR_VERSION}:3:14:8.5s"));
    assert_ne!(identity, piece(3, 14, 8.0).identity());
}

#[test]
fn samples_are_equal_at_every_call_and_on_every_thread() {
    let bits = |index: u64| -> Vec<u32> {
        piece(5, index, 2.0).render(16_000).iter().map(|x| x.to_bits()).collect()
    };
    let here: Vec<Vec<u32>> = (0..12).map(bits).collect();
    assert_eq!(here, in_parallel(12, bits));
    assert_ne!(here[0], here[1]);
    assert_ne!(piece(5, 0, 2.0).render(16_000), piece(6, 0, 2.0).render(16_000));
}

/// The samples of this version are equal on every machine. After an intended change, increase
/// [`GENERATOR_VERSION`] and update the hash.
#[test]
fn samples_change_only_with_the_version() {
    // FNV-1a over the bits of the samples.
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    for index in 0..24 {
        for sample in piece(1, index, 2.5).render(16_000) {
            for byte in sample.to_bits().to_le_bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    assert_eq!((GENERATOR_VERSION, format!("{digest:016x}").as_str()), (1, "fd599b9371c78030"));
}

#[test]
fn samples_are_finite_and_bounded_and_have_the_right_number() {
    for sample_rate in [1, 50, 1_000, 8_000, 16_000, 22_050, 44_100, 96_000] {
        for index in 0..6 {
            let seconds = 2.0 + 0.123 * index as f64;
            let samples = piece(2, index, seconds).render(sample_rate);
            assert_eq!(samples.len(), (seconds * f64::from(sample_rate)).round() as usize);
            assert!(samples.iter().all(|x| x.abs() <= 1.0), "NaN or too high at {sample_rate} Hz");
        }
    }
    assert!(piece(1, 0, 2.0).render(0).is_empty());
}

/// No piece is silent or has an offset, and levels range over about 20 dB.
#[test]
fn levels_vary_and_no_piece_is_silent() {
    let levels = in_parallel(300, |index| {
        let samples = piece(1, index, 4.0).render(8_000);
        let mean: f32 = samples.iter().sum::<f32>() / samples.len() as f32;
        let level = 10.0 * power(&samples).log10();
        assert!(f64::from(mean).powi(2) < 1e-3 * power(&samples), "offset {mean} in {index}");
        level
    });
    let least = levels.iter().copied().fold(0.0, f64::min);
    let most = levels.iter().copied().fold(-200.0, f64::max);
    assert!(least > -37.0 && most < -14.0 && most - least > 17.0, "{least} to {most} dB");
}

/// Compares the relative power of octave bands below 5.6 kHz at 16 000 and 22 050 Hz.
#[test]
fn bands_agree_between_sample_rates() {
    let bands = |index: u64, sample_rate: u32| -> Vec<f64> {
        let samples = piece(4, index, 6.0).render(sample_rate);
        let n = 8_192;
        let mut bands = [0.0f64; 7];
        for frame in samples.windows(n).step_by(n / 2) {
            for (i, p) in power_spectrum(frame).iter().enumerate() {
                let octave = (i as f64 * f64::from(sample_rate) / n as f64 / 44.2).log2().floor();
                if (0.0..7.0).contains(&octave) {
                    bands[octave as usize] += p;
                }
            }
        }
        let total: f64 = bands.iter().sum();
        bands.iter().map(|band| 10.0 * (band / total).log10()).collect()
    };
    let differences = in_parallel(40, |index| {
        let (a, b) = (bands(index, 16_000), bands(index, 22_050));
        let heard = a.iter().zip(&b).filter(|(a, _)| **a > -35.0);
        heard.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    });
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let most = differences.iter().copied().fold(0.0, f64::max);
    assert!(mean < 0.8 && most < 4.0, "mean {mean} dB, most {most} dB");
}

/// Power of the mean of `waves` relative to that of independent waves: 1 if their phases are random, their number if
/// they are equal.
fn coherence(waves: &[Vec<f32>]) -> f64 {
    let mut mean = vec![0.0f32; waves[0].len()];
    for wave in waves {
        let scale = 1.0 / power(wave).sqrt() as f32;
        for (mean, sample) in mean.iter_mut().zip(wave) {
            *mean += scale * sample;
        }
    }
    power(&mean) / waves.len() as f64
}

/// The mean waveform of the pieces with a tag has no more power than chance.
#[test]
fn phase_does_not_reveal_tags() {
    let waves = in_parallel(600, |index| piece(1, index, 4.0).render(4_000));
    let collection = SyntheticConfig { seconds: 4.0, ..Default::default() }.load().unwrap();
    for (tag, name) in collection.tags.iter().enumerate() {
        let bearers: Vec<Vec<f32>> = (0..600)
            .filter(|i| collection.tracks[*i].tags.contains(&tag))
            .map(|i| waves[i].clone())
            .collect();
        let coherence = coherence(&bearers);
        assert!((0.6..1.5).contains(&coherence), "{name}: {coherence} of {}", bearers.len());
    }
}

/// The same for notes and drum hits of one sound and pitch, from their onset on.
#[test]
fn onsets_have_random_phases() {
    for family in Family::ALL {
        let instrument = Instrument::draw(family, &mut Stream::new(9, 0, Purpose::Timbre, 0));
        let note = Note { start: 0.0, duration: 0.3, pitch: 60.0, velocity: 0.8 };
        let waves: Vec<Vec<f32>> = (0..300)
            .map(|i| {
                let mut wave = vec![0.0; 3_000];
                let tone = instrument.tone(&note, Stream::new(9, i, Purpose::Note, 0));
                tone.add_to(&mut wave, 16_000.0);
                wave
            })
            .collect();
        let coherence = coherence(&waves);
        assert!(coherence < 4.0, "{family:?}: {coherence}");
    }
    let kit = Kit::draw(&mut Stream::new(9, 0, Purpose::Kit, 0));
    for drum in [Drum::Kick, Drum::Snare, Drum::ClosedHat, Drum::OpenHat, Drum::Shaker, Drum::Clave]
    {
        let hit = Hit { time: 0.0, drum, velocity: 0.8 };
        let waves: Vec<Vec<f32>> = (0..300)
            .map(|i| {
                let mut wave = vec![0.0; 3_000];
                kit.strike(&hit, 1.0, &mut wave, 16_000.0, Stream::new(9, i, Purpose::Stroke, 0));
                wave
            })
            .collect();
        let coherence = coherence(&waves);
        assert!(coherence < 4.0, "{drum:?}: {coherence}");
    }
}

/// ROC-AUC of ridge regression from the means and standard deviations of 24 bands' log energies, on held-out tracks.
#[test]
fn instruments_are_learnable_but_not_trivial() {
    const TRACKS: u64 = 500;
    const BANDS: usize = 24;
    let features = in_parallel(TRACKS, |index| {
        let samples = piece(1, index, 4.0).render(8_000);
        let scale = 1.0 / power(&samples).sqrt() as f32;
        let samples: Vec<f32> = samples.iter().map(|x| x * scale).collect();
        let frames: Vec<Vec<f64>> = samples
            .chunks_exact(512)
            .map(|frame| {
                let mut bands = [1e-2; BANDS];
                for (i, p) in power_spectrum(frame).iter().enumerate() {
                    // Equal steps on a scale that is logarithmic above about 700 Hz.
                    let hertz = i as f64 * 8_000.0 / 512.0;
                    let place = (1.0 + hertz / 700.0).ln() / (1.0f64 + 4_000.0 / 700.0).ln();
                    bands[(place * BANDS as f64) as usize] += p;
                }
                bands.iter().map(|band| band.ln()).collect()
            })
            .collect();
        let n = frames.len() as f64;
        let mut row = vec![1.0];
        for band in 0..BANDS {
            let mean = frames.iter().map(|frame| frame[band]).sum::<f64>() / n;
            let spread = frames.iter().map(|frame| (frame[band] - mean).powi(2)).sum::<f64>() / n;
            row.extend([mean, spread.sqrt()]);
        }
        row
    });
    let collection =
        SyntheticConfig { seconds: 4.0, tracks: TRACKS as usize, ..Default::default() }
            .load()
            .unwrap();
    let held_out = 200;
    let scores: Vec<f64> = (0..Family::ALL.len())
        .map(|tag| {
            assert!(collection.tags[tag].starts_with("instrument---"));
            let truth: Vec<f64> = (0..TRACKS as usize)
                .map(|i| f64::from(u8::from(collection.tracks[i].tags.contains(&tag))))
                .collect();
            let weights = ridge(&features[held_out..], &truth[held_out..], 10.0);
            let score = |row: &[f64]| row.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>();
            let (mut above, mut pairs) = (0.0, 0.0);
            for (a, x) in truth[..held_out].iter().zip(&features) {
                for (b, y) in truth[..held_out].iter().zip(&features) {
                    if *a > *b {
                        pairs += 1.0;
                        above += f64::from(u8::from(score(x) > score(y)));
                    }
                }
            }
            above / pairs
        })
        .collect();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!(mean > 0.62 && mean < 0.95, "{scores:?}");
    assert!(scores.iter().all(|score| *score > 0.5 && *score < 0.99), "{scores:?}");
}

/// Weights w that minimise |X w - y|^2 + penalty |w|^2, by Gauss-Jordan elimination.
fn ridge(rows: &[Vec<f64>], targets: &[f64], penalty: f64) -> Vec<f64> {
    let n = rows[0].len();
    let mut system = vec![vec![0.0; n + 1]; n];
    for (row, target) in rows.iter().zip(targets) {
        for i in 0..n {
            for j in 0..n {
                system[i][j] += row[i] * row[j];
            }
            system[i][n] += row[i] * target;
        }
    }
    for (i, row) in system.iter_mut().enumerate() {
        row[i] += penalty;
    }
    for i in 0..n {
        let pivot: Vec<f64> = system[i].iter().map(|x| x / system[i][i]).collect();
        for (k, row) in system.iter_mut().enumerate() {
            let factor = if k == i { 0.0 } else { row[i] };
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
        }
        system[i] = pivot;
    }
    system.iter().map(|row| row[n]).collect()
}
