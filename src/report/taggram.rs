//! Taggrams: tag probabilities over time as an SVG file.

use maud::{PreEscaped, html};

use super::figures::shorten;
use super::heat_map::{self, DARK, LIGHT, Rgb};

/// The data of a taggram.
pub struct Taggram<'a> {
    /// Heading, such as the name of the file.
    pub title: &'a str,
    /// Names of the columns of `values`.
    pub tags: &'a [String],
    /// Probabilities, `[window][tag]`.
    pub values: &'a [Vec<f32>],
    /// Time from one window to the next in seconds.
    pub hop_s: f64,
    /// Length of a window in seconds.
    pub window_s: f64,
}

/// Most tags that are drawn: those with the highest probability at any time.
const ROWS: usize = 16;

/// Most columns of pixels; a column of a longer recording shows the maximum of several windows.
const COLUMNS: usize = 2_000;

/// Height of a row, width of the names, width of the rows and height of the heading, in pixels.
const ROW: f64 = 20.0;
const LEFT: f64 = 150.0;
const WIDTH: f64 = 760.0;
const TOP: f64 = 46.0;

impl Taggram<'_> {
    /// The taggram as an SVG file with a light and a dark theme.
    pub fn to_svg(&self) -> String {
        let peak = |tag: usize| self.values.iter().map(|window| window[tag]).fold(0.0, f32::max);
        let mut order: Vec<usize> = (0..self.tags.len()).collect();
        order.sort_by(|&a, &b| peak(b).total_cmp(&peak(a)));
        order.truncate(ROWS);
        let together = self.values.len().div_ceil(COLUMNS).max(1);
        let columns = self.values.len().div_ceil(together);
        let mut pixels = Vec::with_capacity(order.len() * columns);
        for &tag in &order {
            for windows in self.values.chunks(together) {
                let value = windows.iter().map(|window| window[tag]).fold(0.0, f32::max);
                pixels.push((255.0 * value.clamp(0.0, 1.0)).round() as u8);
            }
        }
        let seconds = self.values.len() as f64 * self.hop_s;
        let height = ROW * order.len() as f64;
        let bottom = TOP + height;
        let x = |time: f64| LEFT + WIDTH * time / seconds.max(1e-9);
        let ticks = ticks(seconds);
        let picture = |class: &str, stops: &[Rgb]| {
            let uri = heat_map::data_uri(columns, order.len(), &pixels, stops);
            html! {
                image class=(class) x=(LEFT) y=(TOP) width=(WIDTH) height=(height)
                    preserveAspectRatio="none" href=(uri) {}
            }
        };
        let legend = |class: &str, stops: &[Rgb]| {
            let values: Vec<u8> = (0..=255).collect();
            html! {
                image class=(class) x=(LEFT + WIDTH - 120.0) y=(bottom + 34.0) width="90" height="8"
                    preserveAspectRatio="none" href=(heat_map::data_uri(256, 1, &values, stops)) {}
            }
        };
        let about = format!("Probabilities of {} tags over {seconds:.0} seconds", order.len());
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {} {}", LEFT + WIDTH + 24.0, bottom + 54.0))
                width=(LEFT + WIDTH + 24.0) role="img" aria-label=(about) {
                style { (PreEscaped(STYLE)) }
                rect class="page" width="100%" height="100%" {}
                text class="title" x=(LEFT) y="26" { (self.title) }
                (picture("light", &LIGHT)) (picture("dark", &DARK))
                @for (row, &tag) in order.iter().enumerate() {
                    text x=(LEFT - 8.0) y=(TOP + ROW * (row as f64 + 0.5) + 4.0) text-anchor="end" {
                        title { (self.tags[tag]) }
                        (shorten(&self.tags[tag], 22))
                    }
                }
                @for tick in &ticks {
                    line x1=(x(*tick)) x2=(x(*tick)) y1=(bottom) y2=(bottom + 4.0) {}
                    text x=(x(*tick)) y=(bottom + 17.0) text-anchor="middle" { (clock(*tick)) }
                }
                text class="faint" x=(LEFT) y=(bottom + 42.0) {
                    (format!("each column covers the {:.1} s that follow", self.window_s))
                }
                text x=(LEFT + WIDTH - 126.0) y=(bottom + 42.0) text-anchor="end" { "0" }
                (legend("light", &LIGHT)) (legend("dark", &DARK))
                text x=(LEFT + WIDTH - 24.0) y=(bottom + 42.0) { "1" }
            }
        };
        svg.into_string()
    }
}

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#222}.title{font-size:15px;font-weight:600}\
    .faint{fill:#767676}.page{fill:#fff}line{stroke:#999}image{image-rendering:pixelated}.dark{display:none}\
    @media(prefers-color-scheme:dark){text{fill:#ddd}.faint{fill:#999}.page{fill:#16181c}.light{display:none}\
    .dark{display:inline}}";

/// About ten round times in seconds.
fn ticks(seconds: f64) -> Vec<f64> {
    const STEPS: [f64; 14] = [
        0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0,
    ];
    let step = STEPS.into_iter().find(|step| seconds / step <= 10.0).unwrap_or(7_200.0);
    (0..=(seconds / step) as usize).map(|tick| tick as f64 * step).take(100).collect()
}

/// A time as `minutes:seconds`.
pub fn clock(seconds: f64) -> String {
    let tenths = (10.0 * seconds).round() as u64;
    let (minutes, rest) = (tenths / 600, tenths % 600);
    match rest % 10 {
        0 => format!("{minutes}:{:02}", rest / 10),
        tenth => format!("{minutes}:{:02}.{tenth}", rest / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_ordered_by_their_maximum_and_escaped() {
        let tags: Vec<String> = ["low", "<script>", "mid"].map(String::from).to_vec();
        let values = vec![vec![0.1, 0.9, 0.2], vec![0.05, 0.3, 0.5]];
        let svg =
            Taggram { title: "a & b", tags: &tags, values: &values, hop_s: 3.0, window_s: 3.0 }
                .to_svg();
        let at = |text: &str| svg.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(at("&lt;script&gt;") < at("mid") && at("mid") < at("low"));
        assert!(svg.contains("a &amp; b") && !svg.contains("<script>"));
    }

    #[test]
    fn times_are_minutes_and_seconds() {
        let found = [0.0, 59.96, 61.5, 3_600.0].map(clock);
        assert_eq!(found, ["0:00", "1:00", "1:01.5", "60:00"]);
    }

    #[test]
    fn recordings_of_any_length_have_few_ticks() {
        for seconds in [0.1, 3.0, 29.0, 300.0, 36_000.0] {
            assert!((1..=11).contains(&ticks(seconds).len()), "{seconds}");
        }
    }
}
