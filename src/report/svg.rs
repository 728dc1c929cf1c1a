//! Axes and lines as inline SVG. Colours are CSS classes, which both themes define.

use std::fmt::Write;

use maud::{Markup, html};

/// An axis, which maps values to pixels.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis over at least `low..=high`, extended to whole ticks if `round`.
    pub fn new(label: &str, low: f64, high: f64, round: bool, ticks: usize) -> Self {
        let (mut low, mut high) = if low.is_finite() && high.is_finite() {
            (low.min(high), low.max(high))
        } else {
            (0.0, 1.0)
        };
        // An empty range, or one below the resolution of the numbers.
        if high - low <= low.abs().max(high.abs()) * 1e-9 {
            let spare = if low == 0.0 { 0.5 } else { low.abs() * 0.05 };
            (low, high) = (low - spare, high + spare);
        }
        let step = nice_step((high - low) / ticks.max(1) as f64);
        if round {
            low = (low / step + 1e-9).floor() * step;
            high = (high / step - 1e-9).ceil() * step;
        }
        let first = (low / step - 1e-9).ceil();
        let ticks = (0..)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|&tick| tick <= high + 1e-9 * step)
            .take(50)
            // Rounding errors around zero become zero.
            .map(|tick| if tick.abs() < step * 1e-6 { 0.0 } else { tick })
            .collect();
        Self { label: label.to_owned(), low, high, from: 0.0, to: 1.0, ticks }
    }

    /// The pixel of a value.
    pub fn pixel(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// An axis of rows, which have no scale: it only spans the grid.
    pub fn of_rows() -> Self {
        Self { ticks: Vec::new(), ..Self::new("", 0.0, 1.0, false, 1) }
    }

    fn text(&self, tick: f64) -> String {
        let step = match self.ticks.as_slice() {
            [a, b, ..] => b - a,
            _ => self.high - self.low,
        };
        tick_text(tick, step)
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= rough * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

/// A tick with as many decimals as the step needs; thousands and millions are abbreviated.
fn tick_text(value: f64, step: f64) -> String {
    for (unit, name) in [(1e6, "M"), (1e3, "k")] {
        if step >= unit / 10.0 && value.abs() >= unit {
            let decimals = usize::from(step < unit);
            return format!("{:.*}{name}", decimals, value / unit).replace('-', "−");
        }
    }
    let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}").replace('-', "−")
}

/// Size of a chart and the margins around its plot, in SVG units.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Frame {
    pub const fn new(width: f64, height: f64) -> Self {
        Self { width, height, left: 52.0, right: 12.0, top: 12.0, bottom: 44.0 }
    }

    /// Places both axes along the edges of the plot.
    pub fn fit(&self, x: &mut Axis, y: &mut Axis) {
        (x.from, x.to) = (self.left, self.width - self.right);
        (y.from, y.to) = (self.height - self.bottom, self.top);
    }

    /// The chart: axes, grid, and `content` above them. Screen readers read `description`.
    pub fn draw(&self, description: &str, x: &Axis, y: &Axis, content: &Markup) -> Markup {
        let (left, right) = (self.left, self.width - self.right);
        let (top, bottom) = (self.top, self.height - self.bottom);
        html! {
            svg class="chart" viewBox=(format!("0 0 {} {}", self.width, self.height)) role="img"
                aria-label=(description)
                data-x=(axis_data(x)) data-y=(axis_data(y))
                data-x-label=(x.label) data-plot=(format!("{left} {top} {right} {bottom}")) {
                g class="grid" {
                    @for &tick in &y.ticks {
                        line x1=(px(left)) x2=(px(right)) y1=(px(y.pixel(tick))) y2=(px(y.pixel(tick))) {}
                    }
                }
                g class="ticks" {
                    @for &tick in &y.ticks {
                        text x=(px(left - 7.0)) y=(px(y.pixel(tick) + 4.0)) text-anchor="end" { (y.text(tick)) }
                    }
                    @for &tick in &x.ticks {
                        line x1=(px(x.pixel(tick))) x2=(px(x.pixel(tick))) y1=(px(bottom)) y2=(px(bottom + 4.0)) {}
                        text x=(px(x.pixel(tick))) y=(px(bottom + 17.0)) text-anchor="middle" { (x.text(tick)) }
                    }
                }
                (content)
                line class="base" x1=(px(left)) x2=(px(right)) y1=(px(bottom)) y2=(px(bottom)) {}
                text class="label" x=(px((left + right) / 2.0)) y=(px(self.height - 6.0))
                    text-anchor="middle" { (x.label) }
                @if !y.label.is_empty() {
                    text class="label" text-anchor="middle"
                        transform=(format!("translate(12 {}) rotate(-90)", px((top + bottom) / 2.0))) { (y.label) }
                }
            }
        }
    }
}

/// Lowest and highest value and their pixels, for the script that shows values under the pointer.
fn axis_data(axis: &Axis) -> String {
    format!("{} {} {} {}", axis.low, axis.high, px(axis.from), px(axis.to))
}

/// A coordinate rounded to tenths, in the shortest form; 0 if it is not finite.
pub fn px(value: f64) -> String {
    let tenths = (value * 10.0).round();
    let tenths = if tenths.is_finite() { tenths.clamp(-1e7, 1e7) } else { 0.0 };
    // Adding 0 turns -0 into 0.
    format!("{}", tenths / 10.0 + 0.0)
}

/// The path through `points` (values on the axes), with a gap where a value is not finite.
pub fn line(points: impl IntoIterator<Item = (f64, f64)>, x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    // Points since the last gap.
    let mut length = 0;
    // A single point becomes a line of length 0, which is drawn as a dot.
    let end = |path: &mut String, length| path.push_str(if length == 1 { "h0" } else { "" });
    for (a, b) in points {
        if a.is_finite() && b.is_finite() {
            let command = if length == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{} {}", px(x.pixel(a)), px(y.pixel(b)));
            length += 1;
        } else {
            end(&mut path, std::mem::take(&mut length));
        }
    }
    end(&mut path, length);
    path
}

/// The closed path around `(x, low, high)`.
pub fn area(points: &[(f64, f64, f64)], x: &Axis, y: &Axis) -> String {
    if points.len() < 2 {
        return String::new();
    }
    let upper = points.iter().map(|point| (point.0, point.2));
    let lower = points.iter().rev().map(|point| (point.0, point.1));
    format!("{}Z", line(upper.chain(lower), x, y))
}

/// Lowest and highest finite value.
pub fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|value| value.is_finite()).fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_inside_the_range() {
        let axis = Axis::new("", 0.13, 0.87, true, 5);
        assert_eq!((axis.low, axis.high), (0.0, 1.0));
        let texts: Vec<String> = axis.ticks.iter().map(|&tick| axis.text(tick)).collect();
        assert_eq!(texts, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let axis = Axis::new("", 0.0, 1500.0, false, 4);
        let texts: Vec<String> = axis.ticks.iter().map(|&tick| axis.text(tick)).collect();
        assert_eq!(texts, ["0", "500", "1.0k", "1.5k"]);
        let axis = Axis::new("", -0.02, 0.03, true, 5);
        let texts: Vec<String> = axis.ticks.iter().map(|&tick| axis.text(tick)).collect();
        assert_eq!(texts, ["−0.02", "−0.01", "0.00", "0.01", "0.02", "0.03"]);
    }

    #[test]
    fn every_range_has_an_axis() {
        let odd = [(0.0, 0.0), (5.0, 5.0), (-1e300, 1e300), (1e-300, 2e-300), (3.0, 1.0)];
        for (low, high) in odd.into_iter().chain([(f64::NAN, 1.0), (0.0, f64::INFINITY)]) {
            let mut axis = Axis::new("", low, high, true, 5);
            (axis.from, axis.to) = (0.0, 100.0);
            let (low, high) = (axis.low, axis.high);
            assert!(low < high && axis.ticks.len() <= 50, "{axis:?}");
            assert!((axis.pixel(low), axis.pixel(high)) == (0.0, 100.0), "{axis:?}");
        }
    }

    #[test]
    fn paths_have_gaps_at_values_that_are_not_finite() {
        let (mut x, mut y) =
            (Axis::new("", 0.0, 10.0, false, 5), Axis::new("", 0.0, 1.0, false, 5));
        (x.from, x.to, y.from, y.to) = (0.0, 100.0, 50.0, 0.0);
        let points = [(0.0, 0.0), (1.0, 0.5), (2.0, f64::NAN), (3.0, 1.0), (4.0, f64::INFINITY)];
        assert_eq!(line(points, &x, &y), "M0 50L10 25M30 0h0");
        assert_eq!(area(&[(0.0, 0.0, 1.0), (10.0, 0.5, 1.0)], &x, &y), "M0 0L100 0L100 25L0 50Z");
        assert_eq!(area(&[], &x, &y), "");
    }

    #[test]
    fn coordinates_are_short() {
        let shown: Vec<String> = [1.0, 2.25, -0.04, -0.3, f64::NAN, -7.5].map(px).into();
        assert_eq!(shown, ["1", "2.3", "0", "-0.3", "0", "-7.5"]);
    }

    #[test]
    fn the_extent_ignores_values_that_are_not_finite() {
        assert_eq!(extent([f64::NAN, 2.0, -1.0, f64::INFINITY]), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
    }
}
