//! HE-AAC, whose upper half of the spectrum symphonia would leave out.
//!
//! An HE-AAC stream is an AAC-LC stream at half the sample rate with spectral band replication (SBR) in fill elements. A
//! decoder that does not know SBR decodes it to half of the bandwidth. SBR is declared in the header of an MP4 file, in one
//! of two ways, or not at all.
//!
//! Source: ISO/IEC 14496-3, sections 1.6.2.1 (AudioSpecificConfig), 1.6.6 (signalling) and 4.4.2.7 (fill elements).

/// The audio object type of AAC-LC, SBR and parametric stereo.
const LC: u32 = 2;
const SBR: u32 = 5;
const PS: u32 = 29;

/// Frames that decide whether a stream without a declaration contains SBR.
const FRAMES: usize = 32;
/// Frames with SBR that it must have.
const LEAST: usize = 3;

/// Reads bits from the highest of each byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: usize) -> Option<u32> {
        (self.at + count <= 8 * self.bytes.len()).then(|| {
            let bit = |at: usize| u32::from(self.bytes[at / 8] >> (7 - at % 8) & 1);
            let value = (self.at..self.at + count).fold(0, |sum, at| sum << 1 | bit(at));
            self.at += count;
            value
        })
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.read(5)? {
            31 => Some(32 + self.read(6)?),
            number => Some(number),
        }
    }

    fn sample_rate(&mut self) -> Option<()> {
        let is_explicit = self.read(4)? == 15;
        self.read(if is_explicit { 24 } else { 0 }).map(drop)
    }
}

/// The name of the object type in a header (AudioSpecificConfig), if it is not AAC-LC without SBR.
pub(super) fn other_type(config: &[u8]) -> Option<String> {
    let mut bits = Bits { bytes: config, at: 0 };
    let name = match bits.object_type()? {
        LC => return declares_sbr(bits).unwrap_or(false).then(|| HE_AAC.into()),
        SBR | PS => HE_AAC,
        1 => "AAC Main",
        3 => "AAC SSR",
        4 => "AAC LTP",
        23 => "AAC-LD",
        39 => "AAC-ELD",
        42 => "xHE-AAC",
        other => return Some(format!("AAC of object type {other}")),
    };
    Some(name.into())
}

/// The name of AAC with SBR in messages.
pub(super) const HE_AAC: &str =
    "HE-AAC, whose upper half of the spectrum (spectral band replication) would be lost,";

/// Whether SBR is declared behind the header of AAC-LC, in the way that older decoders ignore.
fn declares_sbr(mut bits: Bits<'_>) -> Option<bool> {
    bits.sample_rate()?;
    let _channels = bits.read(4)?;
    let _short_frames = bits.read(1)?;
    if bits.read(1)? == 1 {
        let _core_delay = bits.read(14)?;
    }
    let _extension = bits.read(1)?;
    Some(bits.read(11)? == 0x2b7 && bits.object_type()? == SBR && bits.read(1)? == 1)
}

/// Finds SBR in streams that do not declare it.
#[derive(Default)]
pub(super) struct SbrDetector {
    frames: usize,
    with_sbr: usize,
}

impl SbrDetector {
    /// Adds a frame (`raw_data_block`). Returns whether the frames up to here show that the stream contains SBR.
    pub fn add(&mut self, frame: &[u8]) -> bool {
        if self.frames < FRAMES {
            self.frames += 1;
            self.with_sbr += usize::from(ends_with_sbr(frame));
        }
        self.with_sbr >= LEAST && 2 * self.with_sbr > self.frames
    }
}

/// Whether the last elements of a frame are fill elements with SBR among them.
///
/// A frame ends with a mark of three ones and zeros up to the next byte. A fill element in front of it has its identifier
/// (6) and its length right where they must be for this length. By chance this is so in about one of 60 frames.
fn ends_with_sbr(frame: &[u8]) -> bool {
    let Some(last) = frame.iter().rposition(|byte| *byte != 0) else { return false };
    let end = 8 * (last + 1) - frame[last].trailing_zeros() as usize;
    let field = |at: usize, count: usize| Bits { bytes: frame, at }.read(count);
    let Some(mut end) = end.checked_sub(3).filter(|end| field(*end, 3) == Some(7)) else {
        return false;
    };
    // Start of the element and its payload, for one of this many bytes.
    let element = |end: usize, count: usize| {
        let head = if count < 15 { 7 } else { 15 };
        let start = end.checked_sub(8 * count + head)?;
        let declared = match field(start + 3, 4)? {
            15 => 14 + field(start + 7, 8)? as usize,
            short => short as usize,
        };
        let is_fill = field(start, 3) == Some(6) && declared == count;
        is_fill.then_some((start, start + head))
    };
    let longest = 14 + 255;
    // Padding may follow SBR.
    for _ in 0..4 {
        let elements = || (1..=longest).filter_map(|count| element(end, count));
        let kind = |payload: usize| field(payload, 4);
        if elements().any(|(_, payload)| matches!(kind(payload), Some(13 | 14))) {
            return true;
        }
        match elements().find(|(_, payload)| kind(*payload) == Some(0)) {
            Some((start, _)) => end = start,
            None => return false,
        }
    }
    false
}
