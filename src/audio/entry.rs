//! One track in the audio cache, as a file; [`cache`](super::cache) documents its bytes.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::decoding::SourceInfo;

/// Version of this format; part of the cache key.
pub(super) const FORMAT: u32 = 1;
/// Bytes before the samples.
pub(super) const HEADER: usize = 128;
const MAGIC: [u8; 8] = *b"TONOTOPY";
/// Where the checksum stands, and how far it covers the header.
const CHECKSUM: usize = 96;
const CODEC: usize = 24;
/// Samples that are handled at once.
const PIECE: usize = 1 << 14;

/// What an entry says of its samples.
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
    /// Bytes of the whole entry.
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
        put(36, &self.source.channels.to_le_bytes());
        let codec = self.source.codec.as_bytes();
        put(40, &codec[..codec.len().min(CODEC)]);
        put(64, &self.key);
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Header, &'static str> {
        let word = |at: usize| bytes[at..at + 4].try_into().expect("four bytes");
        if bytes[..8] != MAGIC {
            return Err("it does not begin as one");
        }
        if u32::from_le_bytes(word(8)) != FORMAT {
            return Err("it has another version");
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
                channels: u32::from_le_bytes(word(36)),
            },
            key: bytes[64..96].try_into().expect("32 bytes"),
        };
        match header.scale.is_finite() && header.scale > 0.0 && header.samples < 1 << 48 {
            true => Ok(header),
            false => Err("its header makes no sense"),
        }
    }
}

/// Bytes of an entry of so many samples.
pub(super) fn file_length(samples: u64) -> u64 {
    HEADER as u64 + 2 * samples
}

/// Reads the header of an entry and compares key and length; the inner error says what is wrong.
pub(super) fn open(path: &Path, key: &[u8; 32]) -> io::Result<Result<Header, &'static str>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length < HEADER as u64 {
        return Ok(Err("it is shorter than its header"));
    }
    let mut bytes = [0; HEADER];
    file.read_exact(&mut bytes)?;
    Ok(Header::decode(&bytes).and_then(|header| match () {
        () if header.key != *key => Err("it belongs to another key"),
        () if header.file_length() != length => Err("its length does not match its header"),
        () => Ok(header),
    }))
}

/// Whether the checksum of an entry matches its content.
pub(super) fn verify(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut header = [0; HEADER];
    if let Err(error) = file.read_exact(&mut header) {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(false),
            _ => Err(error),
        };
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[..CHECKSUM]);
    hasher.update_reader(&mut file)?;
    Ok(hasher.finalize().as_bytes() == &header[CHECKSUM..])
}

/// A mono signal of any length: in memory while it is short, else in a temporary file.
pub(super) struct SampleBuffer<'a> {
    folder: &'a Path,
    memory: Vec<f32>,
    spilled: Option<BufWriter<File>>,
    /// Samples that may be kept in memory.
    limit: usize,
    samples: u64,
    peak: f32,
    finite: bool,
}

impl<'a> SampleBuffer<'a> {
    /// Holds `limit` samples in memory; more go to a file in `folder`.
    pub fn new(folder: &'a Path, limit: usize) -> SampleBuffer<'a> {
        SampleBuffer {
            folder,
            memory: Vec::new(),
            spilled: None,
            limit,
            samples: 0,
            peak: 0.0,
            finite: true,
        }
    }

    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Largest absolute sample.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// Whether no sample is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.finite
    }

    pub fn push(&mut self, samples: &[f32]) -> io::Result<()> {
        self.samples += samples.len() as u64;
        let peak = kernels::pcm16::peak(samples);
        self.finite &= peak.is_finite();
        self.peak = self.peak.max(peak);
        self.memory.extend_from_slice(samples);
        match self.memory.len() > self.limit {
            true => self.spill(),
            false => Ok(()),
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(BufWriter::new(tempfile::tempfile_in(self.folder)?)),
        };
        for sample in self.memory.drain(..) {
            file.write_all(&sample.to_le_bytes())?;
        }
        Ok(())
    }

    /// Writes the entry. `key` and `source` go into its header.
    pub fn write(
        mut self,
        file: &mut File,
        sample_rate: u32,
        source: SourceInfo,
        key: [u8; 32],
    ) -> io::Result<Header> {
        // +1.0 is one step out of range, and takes the last one.
        let scale = match self.peak <= 1.0 {
            true => 1.0 / 32_768.0,
            false => self.peak / 32_767.0,
        };
        let header =
            Header { sample_rate, samples: self.samples, scale, peak: self.peak, source, key };
        let bytes = header.encode();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        let mut writer = BufWriter::new(&mut *file);
        writer.write_all(&[0; HEADER])?;

        let mut stored = Vec::with_capacity(2 * PIECE);
        let mut store = |samples: &[f32]| {
            stored.clear();
            kernels::pcm16::quantise(samples, scale, &mut stored);
            hasher.update(&stored);
            writer.write_all(&stored)
        };
        if self.spilled.is_some() {
            self.spill()?;
        }
        if let Some(spilled) = self.spilled {
            let mut file = spilled.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            let mut reader = BufReader::new(file);
            let mut left = self.samples;
            let mut bytes = vec![0; 4 * PIECE];
            let mut samples = Vec::with_capacity(PIECE);
            while left > 0 {
                let count = left.min(PIECE as u64) as usize;
                reader.read_exact(&mut bytes[..4 * count])?;
                samples.clear();
                samples.extend(bytes[..4 * count].chunks_exact(4).map(|word| {
                    f32::from_le_bytes(word.try_into().expect("chunks of four bytes"))
                }));
                store(&samples)?;
                left -= count as u64;
            }
        } else {
            for samples in self.memory.chunks(PIECE) {
                store(samples)?;
            }
        }
        writer.flush()?;
        drop(writer);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&bytes)?;
        file.write_all(hasher.finalize().as_bytes())?;
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
        let source = SourceInfo { codec: "pcm_s16le".into(), sample_rate: 8_000, channels: 2 };
        let header =
            buffer.write(&mut File::create(&path).unwrap(), 16_000, source, [7; 32]).unwrap();
        assert!(verify(&path).unwrap());
        assert_eq!(open(&path, &[7; 32]).unwrap().unwrap(), header);
        assert!(open(&path, &[8; 32]).unwrap().is_err());
        (header, std::fs::read(&path).unwrap())
    }

    #[test]
    fn the_bytes_are_where_the_documentation_says() {
        let (_, bytes) = written(&[0.5, -1.0, 0.25], 10);
        let expected: [&[u8]; 10] = [
            b"TONOTOPY",
            &[1, 0, 0, 0],
            &[0x80, 0x3e, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0x38], // 2^-15
            &[0, 0, 0x80, 0x3f],
            &[0x40, 0x1f, 0, 0],
            &[2, 0, 0, 0],
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
    fn every_16_bit_sample_survives() {
        let samples: Vec<f32> = (-32_768..32_768).map(|s| s as f32 / 32_768.0).collect();
        let (header, bytes) = written(&samples, 1 << 20);
        let read: Vec<f32> = bytes[HEADER..]
            .chunks(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) * header.scale)
            .collect();
        assert_eq!(read, samples);
    }

    #[test]
    fn what_is_louder_than_1_keeps_its_peak() {
        let (header, bytes) = written(&[0.1, -2.5, 1.0], 10);
        assert_eq!(header.peak, 2.5);
        let low = i16::from_le_bytes([bytes[130], bytes[131]]);
        assert!((f32::from(low) * header.scale + 2.5).abs() < 1e-6);
    }

    #[test]
    fn a_long_signal_goes_through_a_file_unchanged() {
        let samples: Vec<f32> = (0..100_000).map(|n| (n as f32 * 0.01).sin()).collect();
        assert_eq!(written(&samples, 1 << 20), written(&samples, 5_000));
    }
}
