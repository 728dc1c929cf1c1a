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
/// colour, to 255, the last; colours between `stops` are interpolated. Without pixels, `data:,`.
///
/// # Panics
/// If the number of values is not `width * height`.
pub fn data_uri(width: usize, height: usize, values: &[u8], stops: &[Rgb]) -> String {
    if width * height == 0 {
        return "data:,".into();
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(ramp(stops).concat());
    let written = encoder.write_header().and_then(|mut image| {
        image.write_image_data(values)?;
        image.finish()
    });
    written.expect("an image in memory has as many values as pixels");
    format!("data:image/png;base64,{}", BASE64.encode(&file))
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
        let file = BASE64.decode(uri.strip_prefix("data:image/png;base64,").unwrap().as_bytes());
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file.unwrap()));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut image = decoder.read_info().unwrap();
        let mut colours = [0; 3 * 3 * 2];
        image.next_frame(&mut colours).unwrap();
        assert_eq!((image.info().width, image.info().height), (3, 2));
        let red: Vec<u8> = colours.iter().step_by(3).copied().collect();
        let blue: Vec<u8> = colours.iter().skip(2).step_by(3).copied().collect();
        assert_eq!((&red[..], &blue[..]), (&[0, 1, 2, 255, 128, 7][..], &[0, 0, 0, 10, 5, 0][..]));
    }

    #[test]
    fn an_image_without_pixels_is_empty() {
        assert_eq!(data_uri(0, 2, &[], &DIVERGING), "data:,");
    }

    #[test]
    fn a_ramp_passes_through_its_stops() {
        let palette = ramp(&[[0, 0, 0], [255, 0, 10], [255, 255, 255]]);
        assert_eq!((palette[0], palette[255]), ([0; 3], [255; 3]));
        assert!(palette.windows(2).all(|pair| pair[0][1] <= pair[1][1]));
    }
}
