//! Figures of learned filters: spectra, waveforms, and the filters of pools.

use std::ops::Range;

use maud::{Markup, html};

use super::analysis::Group;
use super::evaluated_run::{EvaluatedRun, Filters, ReportError};
use super::filters::{FilterBank, PoolFit, PoolFits, mel_centre};
use super::heat_map::{self, DARK, LIGHT};
use super::svg::{Axis, Frame, line, px};
use super::{figures, format};

/// Frequency bands of the picture of spectra.
const SPECTRUM_ROWS: usize = 160;
/// Most filters that are drawn as waveforms.
const EXAMPLES: usize = 24;
/// Most pools that are drawn from the top of the list.
const POOLS: usize = 6;
/// Periods of the dominant frequency over which the filters of a pool are drawn.
const PERIODS: usize = 12;
/// Most points of a waveform.
const MAX_TAPS: usize = 512;

/// The learned filters of one run of a group.
///
/// # Errors
/// If the weights do not fit their shape.
pub fn section(
    index: usize,
    group: &Group,
    run: &EvaluatedRun,
    learned: &Filters,
) -> Result<Markup, ReportError> {
    let bank = FilterBank::new(&run.name, learned)?;
    let fits = bank.pool_fits();
    let silent = bank.order().iter().filter(|&&filter| bank.dominant(filter).is_none()).count();
    let milliseconds = learned.length as f64 * 1000.0 / f64::from(learned.sample_rate);
    Ok(html! {
        section class="filters" {
            h3 { (figures::swatch(index)) (group.name) }
            p class="note" {
                (format::count(bank.len(), "filter")) " of " (learned.length) " samples ("
                (format!("{milliseconds:.1}")) " ms at " (format::frequency(f64::from(learned.sample_rate)))
                "), seed " (run.seed) "."
                @if silent > 0 { " " (format::count(silent, "filter")) " without a spectrum: all weights are 0, or one is not finite." }
            }
            div class="panels filters" {
                figure class="wide" {
                    figcaption { "Spectra, sorted by dominant frequency" }
                    (spectra(&bank))
                    p class="note" { (spectra_note(&bank)) }
                }
                figure class="wide" {
                    figcaption { "Example filters from low to high frequency" }
                    (examples(&bank))
                }
            }
            @if let Some(fits) = &fits {
                h4 { "Pools" }
                p class="note" { (pool_note(fits, learned)) }
                (pools(&bank, fits))
            }
        }
    })
}

fn spectra_note(bank: &FilterBank) -> Markup {
    let corner = 2000.0;
    let bands = bank.len();
    let mel = (0..bands).filter(|&i| mel_centre(i, bands, bank.nyquist()) < corner).count();
    html! {
        "One column per filter; each magnitude spectrum is scaled to a maximum of 1. The dashed line marks the centre "
        "frequencies of as many bands on the mel scale. "
        @if let Some(share) = bank.share_below(corner) && bank.nyquist() > corner {
            (format!("{:.0} %", share * 100.0)) " of the filters have their peak below 2 kHz; on the mel scale, "
            (format!("{:.0} %", mel as f64 * 100.0 / bands as f64)) " of the bands do."
        }
    }
}

fn pool_note(fits: &PoolFits, learned: &Filters) -> Markup {
    let (kind, size) = learned.pool.map_or(("", 0), |pool| (pool.kind.title(), pool.size));
    html! {
        (format::count(fits.pools.len(), &format!("{kind} pool"))) " of " (size) " filters. Similarity is the maximum of the "
        "normalised cross-correlation over all shifts, averaged over the filters of a pool relative to the filter with "
        "the most energy; 1 means shifted copies. "
        @if let (Some(median), Some(chance)) = (fits.median(), fits.chance) {
            "The median is " (format!("{median:.2}")) " over pools, and " (format!("{chance:.2}"))
            " over pairs of filters from different pools. "
        }
        "Shifts are in samples. The waveforms span " (PERIODS) " periods around the centre of the energy, or the whole filter."
    }
}

/// Spectra as columns, sorted by dominant frequency, with the centre frequencies of as many mel bands.
fn spectra(bank: &FilterBank) -> Markup {
    let count = bank.len();
    let mut pixels = vec![0u8; count * SPECTRUM_ROWS];
    for (column, &filter) in bank.order().iter().enumerate() {
        for (row, value) in bank.bands(filter, SPECTRUM_ROWS).into_iter().enumerate() {
            let top = SPECTRUM_ROWS - 1 - row;
            pixels[top * count + column] = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    }
    // As wide as on the page, so that its font size equals that of other charts.
    let frame = Frame::new(680.0, 450.0);
    let mut x = Axis::new("filter, by dominant frequency", 0.0, count as f64, false, 8);
    let mut y = Axis::new("frequency / kHz", 0.0, bank.nyquist() / 1000.0, false, 8);
    frame.fit(&mut x, &mut y);
    let mel = (0..count)
        .map(|index| (index as f64 + 0.5, mel_centre(index, count, bank.nyquist()) / 1000.0));
    let peaks = bank.order().iter().enumerate().map(|(column, &filter)| {
        (column as f64 + 0.5, bank.dominant(filter).map_or(f64::NAN, |hertz| hertz / 1000.0))
    });
    let picture = |class: &str, stops: &[heat_map::Rgb]| {
        html! {
            image class=(format!("heat {class}")) x=(px(frame.left)) y=(px(frame.top))
                width=(px(frame.width - frame.left - frame.right))
                height=(px(frame.height - frame.top - frame.bottom))
                preserveAspectRatio="none"
                href=(heat_map::data_uri(count, SPECTRUM_ROWS, &pixels, stops)) {}
        }
    };
    let content = html! {
        (picture("on-light", &LIGHT))
        (picture("on-dark", &DARK))
        path class="mel halo" d=(line(mel.clone(), &x, &y)) {}
        path class="mel" data-name="mel scale" data-unit="kHz" d=(line(mel, &x, &y)) {}
        path class="line peaks" data-name="dominant frequency" data-unit="kHz" d=(line(peaks, &x, &y)) {}
    };
    frame.draw("Magnitude spectra of the filters, sorted by dominant frequency", &x, &y, &content)
}

/// Waveforms of filters, evenly chosen in the order of dominant frequency.
fn examples(bank: &FilterBank) -> Markup {
    let known: Vec<usize> =
        bank.order().iter().copied().filter(|&filter| bank.dominant(filter).is_some()).collect();
    let shown = known.len().min(EXAMPLES);
    html! {
        div class="grid-small" {
            @for index in 0..shown {
                @let filter = known[index * known.len().saturating_sub(1) / shown.saturating_sub(1).max(1)];
                figure class="small" {
                    (waveforms(&[(bank.taps(filter), 0)], 0..bank.filters().length, &format!("Filter {filter}"), 150.0, 64.0))
                    figcaption { (bank.dominant(filter).map_or(format::NONE.into(), format::frequency)) }
                }
            }
        }
    }
}

/// Filters of the most similar pools, the median pool and the least similar pool, as learned and
/// aligned by their shifts.
fn pools(bank: &FilterBank, fits: &PoolFits) -> Markup {
    let known: Vec<&PoolFit> = fits.pools.iter().filter(|fit| fit.similarity.is_some()).collect();
    let best = known.len().min(POOLS);
    let mut shown: Vec<(String, &PoolFit)> = known[..best]
        .iter()
        .enumerate()
        .map(|(rank, &fit)| (format!("rank {} of {}", rank + 1, known.len()), fit))
        .collect();
    if known.len() > POOLS + 2 {
        shown.push(("median pool".into(), known[known.len() / 2]));
        shown.push(("least similar pool".into(), known[known.len() - 1]));
    }
    html! {
        div class="grid-pools" {
            @for (name, fit) in &shown {
                figure class="small pool" {
                    figcaption {
                        b { (name) } br;
                        "similarity " (fit.similarity.map_or(format::NONE.into(), |s| format!("{s:.2}").replace('-', "−")))
                    }
                    @let as_learned: Vec<_> = fit.members.iter().map(|m| (bank.taps(m.filter), 0)).collect();
                    @let aligned: Vec<_> = fit.members.iter().map(|m| (bank.taps(m.filter), m.shift)).collect();
                    span class="what" { "as learned" }
                    @let window = middle(bank, fit.anchor);
                    (waveforms(&as_learned, window.clone(), "The filters of the pool as learned", 210.0, 74.0))
                    span class="what" {
                        "shifted by "
                        @for (index, member) in fit.members.iter().enumerate() {
                            @if index > 0 { ", " }
                            (member.shift.to_string().replace('-', "−"))
                        }
                    }
                    (waveforms(&aligned, window, "The filters of the pool, aligned", 210.0, 74.0))
                }
            }
        }
    }
}

/// The [`PERIODS`] of a filter around the centre of its energy, in samples.
fn middle(bank: &FilterBank, filter: usize) -> Range<usize> {
    let taps = bank.taps(filter);
    let length = taps.len();
    let period = bank.dominant(filter).map_or(f64::INFINITY, |hertz| 2.0 * bank.nyquist() / hertz);
    // Infinity becomes the largest integer.
    let wanted = ((PERIODS as f64 * period).ceil() as usize).clamp(1, length);
    let energy = |tap: &f32| f64::from(*tap).powi(2);
    let total: f64 = taps.iter().map(energy).sum();
    let moment: f64 = taps.iter().enumerate().map(|(at, tap)| at as f64 * energy(tap)).sum();
    let centre = if total > 0.0 { moment / total } else { length as f64 / 2.0 };
    let first = (centre - wanted as f64 / 2.0).round().clamp(0.0, (length - wanted) as f64);
    first as usize..first as usize + wanted
}

/// The samples `window` of waveforms in one chart, each scaled to its own peak and delayed by its
/// shift in samples.
fn waveforms(
    filters: &[(&[f32], isize)],
    window: Range<usize>,
    title: &str,
    width: f64,
    height: f64,
) -> Markup {
    let (first, last) = (window.start, window.end.saturating_sub(1));
    let (mut x, mut y) =
        (Axis::new("", first as f64, last as f64, false, 1), Axis::new("", -1.0, 1.0, false, 1));
    Frame { width, height, left: 2.0, right: 2.0, top: 3.0, bottom: 3.0 }.fit(&mut x, &mut y);
    let stride = window.len().div_ceil(MAX_TAPS).max(1);
    html! {
        svg class="wave" viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(title) {
            line class="base" x1="0" x2=(px(width)) y1=(px(height / 2.0)) y2=(px(height / 2.0)) {}
            @for (index, (taps, shift)) in filters.iter().enumerate() {
                @let peak = taps.iter().fold(0.0f32, |peak, tap| peak.max(tap.abs())).max(f32::MIN_POSITIVE);
                @let points = taps.iter().enumerate().step_by(stride).filter_map(|(tap, &value)| {
                    let at = tap as isize + shift;
                    (first as isize..=last as isize).contains(&at)
                        .then(|| (at as f64, f64::from(value) / f64::from(peak)))
                });
                path class=(format!("tap t{}", index % 4)) d=(line(points, &x, &y)) {}
            }
        }
    }
}
