//! Small pictures with a palette, as PNG in a data URI.
//!
//! The pixels are stored, not compressed: pictures here are of some 20 kB, and no dependency is
//! worth half of that.
//!
//! # References
//! PNG specification, third edition (W3C), sections 5, 10 and 11; RFC 1950, RFC 1951.

/// A colour of the palette.
pub type Rgb = [u8; 3];

/// The longest stored block of a deflate stream.
const MAX_STORED: usize = 65_535;

/// An image of `width` by `height` palette indices, row-major, as `data:image/png;base64,...`.
/// Indices that are missing are 0.
pub fn data_uri(width: usize, height: usize, pixels: &[u8], palette: &[Rgb; 256]) -> String {
    format!("data:image/png;base64,{}", base64(&encode(width, height, pixels, palette)))
}

fn encode(width: usize, height: usize, pixels: &[u8], palette: &[Rgb; 256]) -> Vec<u8> {
    let mut raw = Vec::with_capacity((width + 1) * height);
    for row in 0..height {
        raw.push(0); // no filter
        raw.extend((0..width).map(|column| pixels.get(row * width + column).copied().unwrap_or(0)));
    }
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    header.extend([8, 3, 0, 0, 0]); // 8 bits, palette, deflate, no filter method, not interlaced
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"PLTE", palette.as_flattened());
    chunk(&mut file, b"IDAT", &stored(&raw));
    chunk(&mut file, b"IEND", &[]);
    file
}

/// A zlib stream of stored blocks.
fn stored(raw: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = raw.chunks(MAX_STORED).peekable();
    while let Some(block) = blocks.next() {
        stream.push(u8::from(blocks.peek().is_none()));
        let length = block.len() as u16;
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in raw {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) {
    file.extend((body.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(body);
    let sum = crc32(&file[start..]);
    file.extend(sum.to_be_bytes());
}

/// CRC-32 as PNG uses it: polynomial 0x04C11DB7, reflected.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shown = digit <= group.len();
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if shown { char::from(DIGITS[value]) } else { '=' });
        }
    }
    text
}

/// A ramp of 256 colours through `stops` at equal distances.
pub fn ramp(stops: &[Rgb]) -> [Rgb; 256] {
    let mut palette = [[0; 3]; 256];
    for (index, colour) in palette.iter_mut().enumerate() {
        let place = index as f64 / 255.0 * stops.len().saturating_sub(1) as f64;
        let from = stops.get(place as usize).copied().unwrap_or_default();
        let to = stops.get(place as usize + 1).copied().unwrap_or(from);
        for ((channel, from), to) in colour.iter_mut().zip(from).zip(to) {
            *channel =
                (f64::from(from) + (f64::from(to) - f64::from(from)) * place.fract()).round() as u8;
        }
    }
    palette
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_of_the_standards() {
        // The check value of CRC-32/ISO-HDLC, and the test vectors of RFC 4648, section 10.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        // RFC 1950's checksum of "Wikipedia" is a well-known example.
        assert!(stored(b"Wikipedia").ends_with(&[0x11, 0xE6, 0x03, 0x98]));
    }

    #[test]
    fn a_picture_is_whole() {
        let file = encode(2, 2, &[0, 1, 2, 255], &ramp(&[[0; 3], [255; 3]]));
        // 8 signature, 25 header, 12 + 768 palette, 12 + 2 + 5 + 6 + 4 pixels, 12 end.
        assert_eq!(file.len(), 8 + 25 + 780 + 29 + 12);
        assert_eq!(&file[16..24], [0, 0, 0, 2, 0, 0, 0, 2]);
        let large = stored(&vec![7; MAX_STORED + 1]);
        assert_eq!(large.len(), 2 + 2 * 5 + MAX_STORED + 1 + 4);
        assert_eq!((large[2], large[2 + 5 + MAX_STORED]), (0, 1));
    }

    #[test]
    fn a_ramp_goes_through_its_stops() {
        let palette = ramp(&[[0, 0, 0], [255, 0, 10], [255, 255, 255]]);
        assert_eq!((palette[0], palette[255]), ([0; 3], [255; 3]));
        assert!(palette.windows(2).all(|pair| pair[0][1] <= pair[1][1]));
    }
}
