//! Notes, and the grid of bars, beats and chords.

/// The mode, determined by the third; `Open` music has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Major,
    Minor,
    Open,
}

impl Mode {
    /// Semitones above the tonic.
    pub(super) fn scale(self) -> &'static [i32] {
        match self {
            Self::Major => &[0, 2, 4, 5, 7, 9, 11],
            Self::Minor => &[0, 2, 3, 5, 7, 8, 10],
            Self::Open => &[0, 2, 5, 7],
        }
    }

    /// Chord progressions as degrees of the scale, from 0. They prefer chords with the mode's third, so that the mode
    /// is audible.
    pub(super) fn progressions(self) -> &'static [&'static [usize]] {
        match self {
            Self::Major => {
                &[&[0, 3, 4, 0], &[0, 4, 5, 3], &[0, 5, 3, 4], &[0, 3, 0, 4], &[0, 0, 3, 4]]
            }
            Self::Minor => {
                &[&[0, 3, 4, 0], &[0, 5, 2, 6], &[0, 3, 0, 4], &[0, 6, 5, 6], &[0, 0, 3, 0]]
            }
            Self::Open => &[&[0, 2, 3, 0], &[0, 0, 3, 2], &[0, 3, 0, 2], &[0, 0, 0, 0]],
        }
    }
}

/// The register of all parts except the bass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    Low,
    Middle,
    High,
}

/// The role of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Melody,
    Chords,
    Arpeggio,
    Bass,
}

/// A note.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Note {
    /// Seconds from the start of the piece; may be negative.
    pub start: f64,
    /// Seconds until the release.
    pub duration: f64,
    /// MIDI note number; 69 is 440 Hz.
    pub pitch: f64,
    /// From 0 to 1.
    pub velocity: f64,
}

/// The grid of bars, beats and chords.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Time of the first bar line in seconds, not after the start of the preroll.
    pub origin: f64,
    /// Seconds per beat.
    pub beat: f64,
    pub beats_per_bar: usize,
    pub bars: usize,
    /// Degree of the scale of each bar's root.
    pub chords: Vec<usize>,
    pub mode: Mode,
    /// MIDI note number of the tonic in the octave of middle C, with the piece's tuning.
    pub tonic: f64,
}

impl Grid {
    /// Time in seconds of a beat in a bar.
    pub(super) fn time(&self, bar: usize, beat: f64) -> f64 {
        self.origin + ((bar * self.beats_per_bar) as f64 + beat) * self.beat
    }

    /// Semitones above the tonic of a degree, which may be octaves above or below the scale.
    pub(super) fn semitones(&self, degree: i32) -> f64 {
        let scale = self.mode.scale();
        let n = scale.len() as i32;
        f64::from(scale[degree.rem_euclid(n) as usize] + 12 * degree.div_euclid(n))
    }

    /// The tones of a bar's chord in semitones above the tonic, from the root up.
    pub(super) fn chord(&self, bar: usize) -> [f64; 3] {
        let root = self.chords[bar % self.chords.len()] as i32;
        match self.mode {
            // Root, fifth and octave, without a third.
            Mode::Open => {
                let root = self.semitones(root);
                [root, root + 7.0, root + 12.0]
            }
            _ => [root, root + 2, root + 4].map(|degree| self.semitones(degree)),
        }
    }
}
