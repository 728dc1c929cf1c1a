//! The file format of a track in the audio cache, which [`cache`](super::cache) documents.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::SpooledTempFile;

use super::source::SourceInfo;

/// Version of this format; part of the cache key.
pub(super) const FORMAT: u32 = 1;
/// Bytes before the samples.
pub(super) const HEADER: usize = 128;
const MAGIC: [u8; 8] = *b"TONOTOPY";
/// Offset of the checksum, and length of the part of the header that it covers.
const CHECKSUM: usize = 96;
/// Length of the codec name, in bytes.
const CODEC: usize = 24;
/// Samples per write.
const PIECE: usize = 1 << 14;

/// The header of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub sample_rate: u32,
    pub samples: u64,
    pub scale: f32,
    pub peak: f32,
    pub source: SourceInfo,
    pub key: [u8; 32],
}

impl Header {
    /// Length of the entry in bytes.
    pub fn file_length(&self) -> u64 {
        file_length(self.samples)
    }

    fn encode(&self) -> [u8; CHECKSUM] {
        let mut bytes = [0; CHECKSUM];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(8, &FORMAT.to_le_bytes());
        put(12, &self.sample_rate.to_le_bytes());
        put(16, &self.samples.to_le_bytes());
        put(24, &self.scale.to_le_bytes());
        put(28, &self.peak.to_le_bytes());
        put(32, &self.source.sample_rate.to_le_bytes());
        put(36, &(self.source.channels as u16).to_le_bytes());
        put(38, &u16::from(self.source.ends_early).to_le_bytes());
        let codec = self.source.codec.as_bytes();
        put(40, &codec[..codec.len().min(CODEC)]);
        put(64, &self.key);
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Header, &'static str> {
        let word = |at: usize| bytes[at..at + 4].try_into().expect("four bytes");
        if bytes[..8] != MAGIC {
            return Err("it is not a cache entry");
        }
        if u32::from_le_bytes(word(8)) != FORMAT {
            return Err("its format has another version");
        }
        let codec = bytes[40..40 + CODEC].split(|&byte| byte == 0).next().unwrap_or_default();
        let header = Header {
            sample_rate: u32::from_le_bytes(word(12)),
            samples: u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes")),
            scale: f32::from_le_bytes(word(24)),
            peak: f32::from_le_bytes(word(28)),
            source: SourceInfo {
                codec: String::from_utf8_lossy(codec).into_owned(),
                sample_rate: u32::from_le_bytes(word(32)),
                channels: u32::from_le_bytes(word(36)) & 0xffff,
                ends_early: u32::from_le_bytes(word(36)) >> 16 == 1,
            },
            key: bytes[64..96].try_into().expect("32 bytes"),
        };
        match header.scale.is_finite() && header.scale > 0.0 && header.samples < 1 << 48 {
            true => Ok(header),
            false => Err("its header is invalid"),
        }
    }
}

/// Length in bytes of an entry with this number of samples.
pub(super) fn file_length(samples: u64) -> u64 {
    HEADER as u64 + 2 * samples
}

/// Reads the header of an entry and checks its key and length. The inner error says what is wrong with the entry.
pub(super) fn open(path: &Path, key: &[u8; 32]) -> io::Result<Result<Header, &'static str>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length < HEADER as u64 {
        return Ok(Err("it is shorter than its header"));
    }
    let mut bytes = [0; HEADER];
    file.read_exact(&mut bytes)?;
    Ok(Header::decode(&bytes).and_then(|header| match () {
        () if header.key != *key => Err("it has another key"),
        () if header.file_length() != length => Err("its length does not match its header"),
        () => Ok(header),
    }))
}

/// Verifies the checksum of an entry and returns its content hash; `None` if the checksum is wrong.
pub(super) fn verify(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let mut file = File::open(path)?;
    let mut header = [0; HEADER];
    if let Err(error) = file.read_exact(&mut header) {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(error),
        };
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[..CHECKSUM]);
    let mut content = content_hasher(&header);
    let mut bytes = vec![0; 1 << 18];
    loop {
        match file.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&bytes[..count]);
                content.update(&bytes[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let is_whole = hasher.finalize().as_bytes() == &header[CHECKSUM..];
    Ok(is_whole.then(|| *content.finalize().as_bytes()))
}

/// A hasher of what is heard: the sample rate and the scale from the header, then the samples.
fn content_hasher(header: &[u8]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[12..16]).update(&header[24..28]);
    hasher
}

/// A mono signal of any length: in memory while it is short, else in a temporary file.
pub(super) struct SampleBuffer {
    /// The samples as little-endian float32.
    file: SpooledTempFile,
    bytes: Vec<u8>,
    samples: u64,
    peak: f32,
    finite: bool,
    content: [u8; 32],
}

impl SampleBuffer {
    /// A buffer that keeps up to `limit` samples in memory and more in a file in `folder`.
    pub fn new(folder: &Path, limit: usize) -> SampleBuffer {
        SampleBuffer {
            file: SpooledTempFile::new_in(4 * limit, folder),
            bytes: Vec::new(),
            samples: 0,
            peak: 0.0,
            finite: true,
            content: [0; 32],
        }
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Largest absolute sample.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// Whether all samples are finite.
    pub fn is_finite(&self) -> bool {
        self.finite
    }

    /// Appends samples.
    pub fn push(&mut self, samples: &[f32]) -> io::Result<()> {
        self.samples += samples.len() as u64;
        let peak = kernels::pcm16::peak(samples);
        self.finite &= peak.is_finite();
        self.peak = self.peak.max(peak);
        self.bytes.resize(4 * samples.len(), 0);
        for (bytes, sample) in self.bytes.as_chunks_mut::<4>().0.iter_mut().zip(samples) {
            *bytes = sample.to_le_bytes();
        }
        self.file.write_all(&self.bytes)
    }

    /// The content hash of the entry that [`write`](Self::write) wrote.
    pub fn content_hash(&self) -> [u8; 32] {
        self.content
    }

    /// Writes the samples as an entry with this key and source.
    pub fn write(
        &mut self,
        file: &mut File,
        sample_rate: u32,
        source: SourceInfo,
        key: [u8; 32],
    ) -> io::Result<Header> {
        // A sample of +1.0 is one step out of range and is stored as the largest step.
        let scale = match self.peak <= 1.0 {
            true => 1.0 / 32_768.0,
            false => self.peak / 32_767.0,
        };
        let header =
            Header { sample_rate, samples: self.samples, scale, peak: self.peak, source, key };
        let head = header.encode();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head);
        let mut content = content_hasher(&head);
        let mut writer = BufWriter::new(&mut *file);
        writer.write_all(&[0; HEADER])?;
        self.file.rewind()?;
        let (mut samples, mut stored) = (Vec::with_capacity(PIECE), Vec::new());
        let mut left = self.samples;
        while left > 0 {
            let count = left.min(PIECE as u64);
            self.bytes.resize(4 * count as usize, 0);
            self.file.read_exact(&mut self.bytes)?;
            samples.clear();
            samples
                .extend(self.bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)));
            stored.clear();
            kernels::pcm16::quantise(&samples, scale, &mut stored);
            hasher.update(&stored);
            content.update(&stored);
            writer.write_all(&stored)?;
            left -= count;
        }
        writer.flush()?;
        drop(writer);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&head)?;
        file.write_all(hasher.finalize().as_bytes())?;
        self.content = *content.finalize().as_bytes();
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(samples: &[f32], limit: usize) -> (Header, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let mut buffer = SampleBuffer::new(folder.path(), limit);
        for piece in samples.chunks(777) {
            buffer.push(piece).unwrap();
        }
        let path = folder.path().join("entry");
        let codec = "pcm_s16le".into();
        let source = SourceInfo { codec, sample_rate: 8_000, channels: 2, ends_early: true };
        let header =
            buffer.write(&mut File::create(&path).unwrap(), 16_000, source, [7; 32]).unwrap();
        assert_eq!(verify(&path).unwrap(), Some(buffer.content_hash()));
        assert_eq!(open(&path, &[7; 32]).unwrap().unwrap(), header);
        assert!(open(&path, &[8; 32]).unwrap().is_err());
        (header, std::fs::read(&path).unwrap())
    }

    #[test]
    fn bytes_are_laid_out_as_documented() {
        let (_, bytes) = written(&[0.5, -1.0, 0.25], 10);
        let expected: [&[u8]; 10] = [
            b"TONOTOPY",
            &[1, 0, 0, 0],
            &[0x80, 0x3e, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0x38], // 2^-15
            &[0, 0, 0x80, 0x3f],
            &[0x40, 0x1f, 0, 0],
            &[2, 0, 1, 0],
            b"pcm_s16le\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            &[7; 32],
        ];
        assert_eq!(bytes[..96], expected.concat());
        assert_eq!(bytes[128..], [0x00, 0x40, 0x00, 0x80, 0x00, 0x20]);
        let mut hashed = bytes[..96].to_vec();
        hashed.extend_from_slice(&bytes[128..]);
        assert_eq!(bytes[96..128], *blake3::hash(&hashed).as_bytes());
    }

    #[test]
    fn every_16_bit_sample_is_stored_exactly() {
        let samples: Vec<f32> = (-32_768..32_768).map(|s| s as f32 / 32_768.0).collect();
        let (header, bytes) = written(&samples, 1 << 20);
        let read: Vec<f32> = bytes[HEADER..]
            .chunks(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) * header.scale)
            .collect();
        assert_eq!(read, samples);
    }

    #[test]
    fn signal_louder_than_1_is_not_clipped() {
        let (header, bytes) = written(&[0.1, -2.5, 1.0], 10);
        assert_eq!(header.peak, 2.5);
        let low = i16::from_le_bytes([bytes[130], bytes[131]]);
        assert!((f32::from(low) * header.scale + 2.5).abs() < 1e-6);
    }

    /// By the definition: BLAKE3 of the rate, the scale and the samples as they are stored.
    #[test]
    fn content_hash_covers_rate_scale_and_samples() {
        let (_, bytes) = written(&[0.5, -1.0, 0.25], 10);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        std::fs::write(&path, &bytes).unwrap();
        let heard = [&bytes[12..16], &bytes[24..28], &bytes[128..]].concat();
        assert_eq!(verify(&path).unwrap(), Some(*blake3::hash(&heard).as_bytes()));
        let mut other = bytes.clone();
        other[129] ^= 1;
        std::fs::write(&path, other).unwrap();
        assert_eq!(verify(&path).unwrap(), None);
    }

    #[test]
    fn signal_in_a_temporary_file_gives_the_same_entry() {
        let samples: Vec<f32> = (0..100_000).map(|n| (n as f32 * 0.01).sin()).collect();
        assert_eq!(written(&samples, 1 << 20), written(&samples, 5_000));
    }
}
