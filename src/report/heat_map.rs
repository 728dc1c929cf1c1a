//! Heat maps as PNG images in data URIs.

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

/// An image as `data:image/png;base64,...`: `[height, width]` values, row-major, from 0, the first
/// colour, to 255, the last; colours between `stops` are interpolated.
pub fn data_uri(width: usize, height: usize, values: &[u8], stops: &[Rgb]) -> String {
    let mut file = Vec::new();
    // An image of no pixels does not exist in PNG.
    if !values.is_empty() {
        encode(&mut file, width as u32, height as u32, values, stops)
            .expect("the values fill the image, and a vector takes any number of bytes");
    }
    format!("data:image/png;base64,{}", BASE64.encode(&file))
}

fn encode(
    file: &mut Vec<u8>,
    width: u32,
    height: u32,
    values: &[u8],
    stops: &[Rgb],
) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(ramp(stops).into_flattened());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(values)?;
    writer.finish()
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

    #[test]
    fn an_image_holds_its_values_and_colours() {
        let stops = [[0, 0, 0], [255, 0, 10]];
        let uri = data_uri(3, 2, &[0, 1, 2, 255, 128, 7], &stops);
        let file = BASE64.decode(uri.split(',').nth(1).unwrap().as_bytes()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let palette = reader.info().palette.clone().unwrap();
        assert_eq!(palette.as_ref(), ramp(&stops).as_flattened());
        let mut values = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut values).unwrap();
        assert_eq!((info.width, info.height), (3, 2));
        assert_eq!(values[..6], [0, 1, 2, 255, 128, 7]);
        assert_eq!(data_uri(0, 0, &[], &stops), "data:image/png;base64,");
    }

    #[test]
    fn a_ramp_passes_through_its_stops() {
        let palette = ramp(&[[0, 0, 0], [255, 0, 10], [255, 255, 255]]);
        assert_eq!((palette[0], palette[255]), ([0; 3], [255; 3]));
        assert!(palette.windows(2).all(|pair| pair[0][1] <= pair[1][1]));
    }
}
