//! Heat maps as BMP images in data URIs.

use data_encoding::BASE64;

/// A colour: red, green and blue.
pub type Rgb = [u8; 3];

/// Colours from low to high values on a light page, even in lightness.
pub const LIGHT: [Rgb; 5] =
    [[250, 250, 248], [198, 219, 236], [109, 168, 212], [33, 102, 172], [8, 29, 68]];
/// Colours from low to high values on a dark page, even in lightness.
pub const DARK: [Rgb; 5] =
    [[20, 23, 28], [22, 56, 98], [30, 108, 168], [98, 176, 222], [226, 244, 255]];
/// Colours from negative over zero to positive values.
pub const DIVERGING: [Rgb; 5] =
    [[33, 102, 172], [146, 197, 222], [247, 247, 247], [244, 165, 130], [178, 24, 43]];

/// An image as `data:image/bmp;base64,...`: `[height, width]` values, row-major, from 0, the first
/// colour, to 255, the last; colours between `stops` are interpolated.
///
/// BMP stores such an image as a header, a palette and the values, so that no encoder is needed.
pub fn data_uri(width: usize, height: usize, values: &[u8], stops: &[Rgb]) -> String {
    /// Two headers (BITMAPFILEHEADER, BITMAPINFOHEADER) and a palette of 256 colours.
    const PIXELS_AT: u32 = 14 + 40 + 4 * 256;
    let row_bytes = width.next_multiple_of(4);
    let file_bytes = PIXELS_AT + (row_bytes * height) as u32;
    let mut file = b"BM".to_vec();
    let sizes = [file_bytes, 0, PIXELS_AT, 40, width as u32, height as u32];
    file.extend(sizes.into_iter().flat_map(u32::to_le_bytes));
    // One plane, 8 bits per pixel; uncompressed, the palette's size by default.
    file.extend([1, 0, 8, 0].into_iter().chain([0; 24]));
    file.extend(ramp(stops).into_iter().flat_map(|[red, green, blue]| [blue, green, red, 0]));
    // Rows from bottom to top.
    for row in values.chunks_exact(width.max(1)).take(height).rev() {
        file.extend(row.iter().copied().chain(std::iter::repeat_n(0, row_bytes - width)));
    }
    format!("data:image/bmp;base64,{}", BASE64.encode(&file))
}

/// 256 colours through `stops` at equal distances.
fn ramp(stops: &[Rgb]) -> Vec<Rgb> {
    let colour = |index: usize| {
        let position = index as f64 / 255.0 * stops.len().saturating_sub(1) as f64;
        let from = stops.get(position as usize).copied().unwrap_or_default();
        let to = stops.get(position as usize + 1).copied().unwrap_or(from);
        std::array::from_fn(|channel| {
            let (from, to) = (f64::from(from[channel]), f64::from(to[channel]));
            (from + (to - from) * position.fract()).round() as u8
        })
    };
    (0..256).map(colour).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of the file format's definition.
    #[test]
    fn an_image_holds_its_values_and_colours() {
        let stops = [[0, 0, 0], [255, 0, 10]];
        let uri = data_uri(3, 2, &[0, 1, 2, 255, 128, 7], &stops);
        let file = BASE64.decode(uri.split(',').nth(1).unwrap().as_bytes()).unwrap();
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        assert_eq!((&file[..2], number(2) as usize), (&b"BM"[..], file.len()));
        let pixels = number(10) as usize;
        assert_eq!((number(14), number(18), number(22)), (40, 3, 2));
        assert_eq!((file[26], file[28], number(30)), (1, 8, 0));
        assert_eq!(file[54 + 4 * 255..pixels], [10, 0, 255, 0]);
        // Two rows of four bytes, the lower one first.
        assert_eq!(file[pixels..], [255, 128, 7, 0, 0, 1, 2, 0]);
    }

    #[test]
    fn a_ramp_passes_through_its_stops() {
        let palette = ramp(&[[0, 0, 0], [255, 0, 10], [255, 255, 255]]);
        assert_eq!((palette[0], palette[255]), ([0; 3], [255; 3]));
        assert!(palette.windows(2).all(|pair| pair[0][1] <= pair[1][1]));
    }
}
