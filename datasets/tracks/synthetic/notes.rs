//! Notes, and the grid of bars, beats and chords that they are put on.

/// The third decides; `Open` music has none.
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

    /// Chord progressions, as degrees of the scale counted from 0. They lean on the chords that
    /// share the mode's third, so that the mode can be heard.
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

/// Where the music lies, its bass apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    Low,
    Middle,
    High,
}

/// What a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Melody,
    Chords,
    Arpeggio,
    Bass,
}

/// One pitch, from when to when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Note {
    /// Seconds from the start of the piece; negative before it.
    pub start: f64,
    /// Seconds until it is let go.
    pub duration: f64,
    /// MIDI note number, 69 being 440 Hz.
    pub pitch: f64,
    /// From 0 to 1.
    pub velocity: f64,
}

/// The grid that notes are put on.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Seconds of the first bar line, at or before the start of the preroll.
    pub origin: f64,
    /// Seconds.
    pub beat: f64,
    pub beats_per_bar: usize,
    pub bars: usize,
    /// Degree of the scale that each bar's chord stands on.
    pub chords: Vec<usize>,
    pub mode: Mode,
    /// MIDI note number of the tonic in the octave of middle C, with the piece's tuning.
    pub tonic: f64,
}

impl Grid {
    /// Seconds of beat `beat` of bar `bar`.
    pub(super) fn time(&self, bar: usize, beat: f64) -> f64 {
        self.origin + ((bar * self.beats_per_bar) as f64 + beat) * self.beat
    }

    /// Semitones above the tonic of a degree that may lie octaves above or below the scale.
    pub(super) fn semitones(&self, degree: i32) -> f64 {
        let scale = self.mode.scale();
        let n = scale.len() as i32;
        f64::from(scale[degree.rem_euclid(n) as usize] + 12 * degree.div_euclid(n))
    }

    /// The tones of a bar's chord, in semitones above the tonic, from its root up.
    pub(super) fn chord(&self, bar: usize) -> [f64; 3] {
        let root = self.chords[bar % self.chords.len()] as i32;
        match self.mode {
            // Root, fifth, octave: no third.
            Mode::Open => {
                let root = self.semitones(root);
                [root, root + 7.0, root + 12.0]
            }
            _ => [root, root + 2, root + 4].map(|degree| self.semitones(degree)),
        }
    }
}
