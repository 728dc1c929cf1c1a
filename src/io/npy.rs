//! NumPy's `.npy` files, versions 1 to 3 (NumPy Enhancement Proposal 1).
//!
//! A file holds magic bytes, a version, the length of a header, the header (a Python dictionary of `descr`,
//! `fortran_order` and `shape`) and the values of one array. This module writes float32 and reads float16, float32 and
//! float64 of either byte order.

use std::io::{Error, ErrorKind, Read, Result, Write};

use burn::tensor::f16;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The offset of the values is a multiple of this, so that the file can be memory-mapped.
const ALIGNMENT: usize = 64;

/// Longest header that is read, in bytes.
const LONGEST: usize = 1 << 16;

/// The header of an array file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of the values, such as `<f4`: byte order, kind, bytes per value.
    pub descr: String,
    /// Whether the first index varies fastest.
    pub fortran_order: bool,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<usize>,
}

/// Writes a float32 array in C order.
///
/// # Errors
/// If writing fails or the shape does not fit into a header.
pub fn write(out: &mut impl Write, shape: &[usize], values: &[f32]) -> Result<()> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    // The magic is followed by two bytes of version and two of length; a line feed ends the header.
    let before = MAGIC.len() + 4;
    let length = (before + dict.len() + 1).next_multiple_of(ALIGNMENT) - before;
    let size = u16::try_from(length)
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "the shape has too many dimensions"))?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&size.to_le_bytes())?;
    writeln!(out, "{dict:<width$}", width = length - 1)?;
    for value in values {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// Reads the header and leaves `file` at the first value.
///
/// # Errors
/// [`ErrorKind::InvalidData`] if this is not an array file, or any error of `file`.
pub fn read_header(file: &mut impl Read) -> Result<Header> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if start[..6] != MAGIC[..] {
        return Err(wrong("it does not start with the magic bytes"));
    }
    let length = match start[6] {
        1 => {
            let mut bytes = [0; 2];
            file.read_exact(&mut bytes)?;
            usize::from(u16::from_le_bytes(bytes))
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes)?;
            u32::from_le_bytes(bytes) as usize
        }
        version => return Err(wrong(&format!("version {version} is not supported"))),
    };
    if length > LONGEST {
        return Err(wrong("the header is too long"));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| wrong("the header is not UTF-8"))?;
    parse(&text).ok_or_else(|| wrong(&format!("the header {:?} is malformed", text.trim())))
}

/// Parses the header dictionary; `None` if NumPy would not write it so.
fn parse(text: &str) -> Option<Header> {
    let value = |key: &str| -> Option<&str> {
        let at = [format!("'{key}'"), format!("\"{key}\"")]
            .iter()
            .find_map(|quoted| Some(text.find(quoted.as_str())? + quoted.len()))?;
        Some(text[at..].trim_start().strip_prefix(':')?.trim_start())
    };
    let descr = value("descr")?;
    let quote = descr.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let descr = descr[1..].split(quote).next()?.to_owned();
    let fortran_order = match value("fortran_order")? {
        rest if rest.starts_with("True") => true,
        rest if rest.starts_with("False") => false,
        _ => return None,
    };
    let (shape, _) = value("shape")?.strip_prefix('(')?.split_once(')')?;
    // Python 2 writes long integers with an `L`.
    let plain = |size| str::strip_suffix(size, "L").unwrap_or(size);
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(plain);
    let shape: Option<Vec<usize>> = sizes.map(|size| size.parse().ok()).collect();
    Some(Header { descr, fortran_order, shape: shape? })
}

/// The bytes per value of a type that [`read_values`] reads; `None` for others.
pub fn bytes_per_value(descr: &str) -> Option<usize> {
    match descr {
        "<f2" | ">f2" => Some(2),
        "<f4" | ">f4" => Some(4),
        "<f8" | ">f8" => Some(8),
        _ => None,
    }
}

/// Reads `count` values as float32; float64 is rounded. `None` if `descr` is another type.
///
/// The caller bounds `count` by the size of the file, because memory is allocated first.
///
/// # Errors
/// If `file` ends earlier or cannot be read.
pub fn read_values(file: &mut impl Read, descr: &str, count: usize) -> Option<Result<Vec<f32>>> {
    fn all<const N: usize>(
        file: &mut impl Read,
        count: usize,
        value: impl Fn([u8; N]) -> f32,
    ) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(count);
        let mut bytes = [0; N];
        for _ in 0..count {
            file.read_exact(&mut bytes)?;
            values.push(value(bytes));
        }
        Ok(values)
    }
    Some(match descr {
        "<f2" => all(file, count, |bytes| f16::from_le_bytes(bytes).to_f32()),
        ">f2" => all(file, count, |bytes| f16::from_be_bytes(bytes).to_f32()),
        "<f4" => all(file, count, f32::from_le_bytes),
        ">f4" => all(file, count, f32::from_be_bytes),
        "<f8" => all(file, count, |bytes| f64::from_le_bytes(bytes) as f32),
        ">f8" => all(file, count, |bytes| f64::from_be_bytes(bytes) as f32),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of `numpy.save` in NumPy 2 for `numpy.array([[1.5, -2], [0, 3]], dtype="<f4")`.
    const SAVED: &[u8] = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }                                                          \n\x00\x00\xc0?\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00@@";

    #[test]
    fn bytes_equal_numpy_and_are_read_back() {
        let mut written = Vec::new();
        write(&mut written, &[2, 2], &[1.5, -2.0, 0.0, 3.0]).unwrap();
        assert_eq!(written, SAVED);
        let mut rest = SAVED;
        let header = read_header(&mut rest).unwrap();
        assert_eq!((header.fortran_order, &header.shape[..]), (false, &[2, 2][..]));
        let values = read_values(&mut rest, &header.descr, 4).unwrap().unwrap();
        assert_eq!(values, [1.5, -2.0, 0.0, 3.0]);
        assert!(rest.is_empty());
    }

    #[test]
    fn shape_is_written_as_a_python_tuple() {
        for (shape, text) in [(&[][..], "()"), (&[3], "(3,)"), (&[3, 1, 0], "(3, 1, 0)")] {
            let mut written = Vec::new();
            write(&mut written, shape, &[]).unwrap();
            assert_eq!(written.len() % ALIGNMENT, 0);
            assert!(String::from_utf8_lossy(&written).contains(&format!("'shape': {text}, ")));
            assert_eq!(read_header(&mut &written[..]).unwrap().shape, shape);
        }
    }

    /// Sign, exponent and fraction by the definition of IEEE 754 binary16; subnormal numbers and infinity included.
    #[test]
    fn float16_is_read_in_both_byte_orders() {
        let bits = [0x3c00_u16, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x0400, 0x3555, 0x8000, 0x7c00];
        let by_definition = |bits: u16| {
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let (exponent, fraction) =
                (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
            sign * match exponent {
                0 => fraction * 2.0_f64.powi(-14),
                31 => f64::INFINITY,
                _ => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
            }
        };
        let little: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let big: Vec<u8> = bits.iter().flat_map(|bits| bits.to_be_bytes()).collect();
        for (descr, bytes) in [("<f2", little), (">f2", big)] {
            assert_eq!(bytes_per_value(descr), Some(2));
            let values = read_values(&mut &bytes[..], descr, bits.len()).unwrap().unwrap();
            for (value, bits) in values.iter().zip(bits) {
                assert_eq!(f64::from(*value), by_definition(bits), "{bits:#x}");
            }
        }
        assert_eq!(by_definition(0x3c00), 1.0);
    }

    /// Output of `numpy.save` in Python 2, where sizes can be long integers.
    #[test]
    fn headers_of_python_2_are_read() {
        for (text, shape) in [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (9L, 4L), }", &[9, 4][..]),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (9L,), }", &[9]),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (9, 4L), }", &[9, 4]),
        ] {
            assert_eq!(parse(text).unwrap().shape, shape, "{text}");
        }
        for shape in ["(9M, 4)", "(L, 4)", "(9LL, 4)", "(9 L, 4)", "(-9L, 4)"] {
            let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
            assert_eq!(parse(&text), None, "{shape}");
        }
    }

    #[test]
    fn malformed_files_are_refused() {
        for bytes in [&b""[..], b"\x93NUMPY", b"not numpy at all", b"\x93NUMPY\x09\x00\x00\x00"] {
            assert!(read_header(&mut &bytes[..]).is_err());
        }
        for text in [
            "{}",
            "{'descr': '<f4'}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(read_values(&mut &b"12345678"[..], "<i8", 1).is_none());
        assert!(read_values(&mut &b"123"[..], "<f4", 1).unwrap().is_err());
    }
}
