//! The HTML page of a map, in one file that needs no network.

use std::path::{Path, PathBuf};

use maud::{DOCTYPE, PreEscaped, html};
use serde::Serialize;

use super::MapError;
use crate::io::files::write_atomic;
use crate::listening::matrix::Matrix;
use crate::report::format;

/// Title and description of the page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// Heading and browser title.
    pub title: &'a str,
    /// Text below the title: what is mapped, and by which run.
    pub note: &'a str,
}

/// Data of the script.
#[derive(Serialize)]
struct Data<'a> {
    /// x and y of each point, from 0 to [`EXTENT`].
    points: Vec<u16>,
    titles: &'a [String],
    /// Tags in descending order of frequency.
    tags: Vec<&'a str>,
    counts: Vec<u32>,
    /// Tags of each track, as positions in `tags`.
    tagged: Vec<Vec<u32>>,
    /// URLs; empty for tracks without a file.
    audio: Vec<String>,
}

/// Resolution of the coordinates, finer than a point on the screen at any zoom.
const EXTENT: f32 = 65535.0;

/// Writes the page to `out` atomically.
///
/// `audio` is the file of each track, if it is available; relative paths are relative to the page.
/// Titles, tags and paths may contain any characters.
///
/// # Shapes
/// - `points`: `[track, 2]`; `titles`, `tags`, `audio`: `[track]`
///
/// # Errors
/// If the lengths differ, a coordinate is NaN or infinite, or writing fails.
pub fn page(
    points: &Matrix,
    titles: &[String],
    tags: &[Vec<String>],
    audio: &[Option<PathBuf>],
    about: &Page,
    out: &Path,
) -> Result<(), MapError> {
    Ok(write_atomic(out, render(points, titles, tags, audio, about)?.as_bytes())?)
}

/// The HTML of [`page`].
///
/// # Errors
/// If the lengths differ, or a coordinate is NaN or infinite.
pub fn render(
    points: &Matrix,
    titles: &[String],
    tags: &[Vec<String>],
    audio: &[Option<PathBuf>],
    about: &Page,
) -> Result<String, MapError> {
    let n = points.rows();
    if n == 0 {
        return Err(MapError::NoPoints);
    }
    if points.columns() != 2 {
        return Err(MapError::NotFlat { columns: points.columns() });
    }
    for (what, count) in
        [("titles", titles.len()), ("lists of tags", tags.len()), ("audio files", audio.len())]
    {
        if count != n {
            return Err(MapError::Lengths { what, count, points: n });
        }
    }
    points.check_finite("map")?;

    let mut counts = std::collections::HashMap::<&str, u32>::new();
    for tag in tags.iter().flatten() {
        *counts.entry(tag).or_default() += 1;
    }
    let mut names: Vec<(&str, u32)> = counts.into_iter().collect();
    names.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let numbers: std::collections::HashMap<&str, u32> =
        names.iter().enumerate().map(|(number, name)| (name.0, number as u32)).collect();
    let data = Data {
        points: whole(points),
        titles,
        tags: names.iter().map(|name| name.0).collect(),
        counts: names.iter().map(|name| name.1).collect(),
        tagged: tags
            .iter()
            .map(|tags| tags.iter().map(|tag| numbers[tag.as_str()]).collect())
            .collect(),
        audio: audio.iter().map(|path| path.as_deref().map(address).unwrap_or_default()).collect(),
    };
    // Only `<` can end a script or open a comment; JSON allows to escape it.
    let json = serde_json::to_string(&data).expect("names and numbers serialize as JSON");
    let json = json.replace('<', "\\u003c");
    let title = if about.title.trim().is_empty() { "Map of tracks" } else { about.title };
    let heard = data.audio.iter().filter(|audio| !audio.is_empty()).count();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Only local audio can be fetched, whatever a name in the data contains.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src 'self' file:";
                title { (title) }
                style {
                    (PreEscaped(include_str!("../report/report.css")))
                    (PreEscaped(include_str!("map.css")))
                }
            }
            body class="map" {
                header {
                    div {
                        h1 { (title) }
                        button id="theme" type="button" hidden aria-label="Switch between light and dark" { "◐" }
                    }
                    @if !about.note.trim().is_empty() { p class="note" { (about.note) } }
                }
                main {
                    div class="tools" {
                        input id="search" type="search" placeholder="Search titles" aria-label="Search titles" autocomplete="off" spellcheck="false";
                        span id="found" class="note" role="status" {}
                        label class="pick" { "Colour " select id="colour" {} }
                        span class="zoom" {
                            button id="in" type="button" aria-label="Zoom in" { "+" }
                            button id="out" type="button" aria-label="Zoom out" { "−" }
                            button id="all" type="button" { "Show all" }
                        }
                    }
                    ul id="legend" class="legend" {}
                    div id="stage" {
                        canvas id="map" tabindex="0" aria-label="Map of the tracks. Arrow keys move it, plus and minus zoom, 0 shows all." {}
                        ul id="matches" hidden {}
                        aside id="card" hidden {
                            button id="close" type="button" aria-label="Close" { "×" }
                            h2 {}
                            p id="has" class="note" {}
                            audio id="player" controls preload="none" hidden {}
                            p id="silent" class="note" {}
                        }
                    }
                    p class="note" {
                        (format::count(n, "track"))
                        ", projected by t-SNE: neighbours are similar; distances between groups and sizes of groups have little meaning. "
                        @if heard > 0 { "Click a track to play it." } @else { "No audio files are available." }
                    }
                    noscript { p class="remark" { "This page needs JavaScript to draw the map." } }
                }
                footer { "Written by tonotopy " (env!("CARGO_PKG_VERSION")) "." }
                script type="application/json" id="data" { (PreEscaped(json)) }
                script { (PreEscaped(include_str!("map.js"))) }
            }
        }
    };
    Ok(page.into_string())
}

/// Coordinates as integers with the same scale on both axes and the y axis pointing down.
fn whole(points: &Matrix) -> Vec<u16> {
    let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    for point in points.data().chunks_exact(2) {
        for axis in 0..2 {
            low[axis] = low[axis].min(f64::from(point[axis]));
            high[axis] = high[axis].max(f64::from(point[axis]));
        }
    }
    let extent = (high[0] - low[0]).max(high[1] - low[1]);
    let scale = if extent > 0.0 { f64::from(EXTENT) / extent } else { 0.0 };
    // The shorter axis is centred.
    let at = |value: f32, axis: usize| {
        let middle = 0.5 * (low[axis] + high[axis]);
        (f64::from(EXTENT) / 2.0 + (f64::from(value) - middle) * scale).round()
    };
    let pairs = points.data().chunks_exact(2);
    pairs.flat_map(|p| [at(p[0], 0) as u16, (f64::from(EXTENT) - at(p[1], 1)) as u16]).collect()
}

/// The URL of a file: relative to the page, or `file://` with the absolute path.
fn address(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    // What Windows puts before a path with resolved links.
    let bytes = if cfg!(windows) { bytes.strip_prefix(br"\\?\").unwrap_or(bytes) } else { bytes };
    let mut address = String::with_capacity(bytes.len() + 8);
    address.push_str(match (path.is_absolute(), bytes.first()) {
        (true, Some(b'/')) => "file://",
        // On Windows, the path begins with a drive letter.
        (true, _) => "file:///",
        // Without it, text before a colon would be a scheme.
        (false, _) => "./",
    });
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                address.push(char::from(byte));
            }
            b'\\' if cfg!(windows) => address.push('/'),
            b':' if cfg!(windows) => address.push(':'),
            _ => address.push_str(&std::format!("%{byte:02X}")),
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_has_a_url() {
        let of = |path: &str| address(Path::new(path));
        assert_eq!(of("a/b c.mp3"), "./a/b%20c.mp3");
        assert_eq!(of("javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(
            of("50% \"quoted\" #1?<b>\n.ogg"),
            "./50%25%20%22quoted%22%20%231%3F%3Cb%3E%0A.ogg"
        );
        assert_eq!(of("é"), "./%C3%A9");
        if cfg!(windows) {
            for path in [r"C:\music\x y.mp3", r"\\?\C:\music\x y.mp3", "C:/music/x y.mp3"] {
                assert_eq!(of(path), "file:///C:/music/x%20y.mp3");
            }
        } else {
            assert_eq!(of("/music/x.mp3"), "file:///music/x.mp3");
        }
    }

    #[test]
    fn coordinates_fill_the_extent_with_one_scale() {
        let points = Matrix::new(3, 2, vec![-1.0, 0.0, 1.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(whole(&points), [0, 49151, 65535, 49151, 32768, 16384]);
        let one = Matrix::new(1, 2, vec![5.0, -3.0]).unwrap();
        assert_eq!(whole(&one), [32768, 32767]);
        let wide = Matrix::new(2, 2, vec![f32::MIN, 0.0, f32::MAX, 0.0]).unwrap();
        assert_eq!(whole(&wide)[..3], [0, 32767, 65535]);
    }

    fn made(titles: &[&str], tags: &[&[&str]], audio: &[Option<&str>]) -> Result<String, MapError> {
        let points = crate::listening::matrix::tests::noise(1, 2, 2);
        let titles: Vec<String> = titles.iter().map(|title| title.to_string()).collect();
        let tags: Vec<Vec<String>> =
            tags.iter().map(|tags| tags.iter().map(|tag| tag.to_string()).collect()).collect();
        let audio: Vec<Option<PathBuf>> =
            audio.iter().map(|path| path.map(PathBuf::from)).collect();
        render(&points, &titles, &tags, &audio, &Page { title: "<T>", note: "a & b" })
    }

    #[test]
    fn names_are_escaped() {
        let bad = "</script><script>alert('1')</script><!-- \"quoted\" \n\u{2028}\0 \\";
        let html = made(&[bad, "b"], &[&[bad, "x"], &["x"]], &[Some(bad), None]).unwrap();
        // Only the two scripts of the page, and no comment.
        assert_eq!(html.matches("<script").count(), 2);
        assert_eq!(html.matches("</script").count(), 2);
        assert!(!html.contains("<!-- \"quoted\""));
        assert!(html.contains("<title>&lt;T&gt;</title>") && html.contains("a &amp; b"));
        let start = html.find("id=\"data\">").unwrap() + 10;
        let json = &html[start..start + html[start..].find("</script>").unwrap()];
        let data: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(data["titles"][0], bad);
        assert_eq!(data["tags"], serde_json::json!(["x", bad]));
        assert_eq!(data["counts"], serde_json::json!([2, 1]));
        assert_eq!(data["tagged"], serde_json::json!([[1, 0], [0]]));
        assert!(
            data["audio"][0].as_str().unwrap().starts_with("./%3C%2Fscript")
                || data["audio"][0].as_str().unwrap().starts_with("./%3C/script")
        );
        assert_eq!(data["audio"][1], "");
        // Nothing is fetched from anywhere.
        assert!(!html.contains("http://") && !html.contains("https://"));
    }

    #[test]
    fn errors_name_the_lengths_that_differ() {
        let error = |result: Result<String, MapError>| result.unwrap_err().to_string();
        let two: &[&[&str]] = &[&[], &[]];
        assert_eq!(
            error(made(&["a"], two, &[None, None])),
            "2 points do not match 1 titles; give one per point"
        );
        assert!(error(made(&["a", "b"], &[], &[None, None])).contains("0 lists of tags"));
        assert!(error(made(&["a", "b"], two, &[])).contains("0 audio files"));
        let none = Matrix::new(0, 2, vec![]).unwrap();
        let about = Page::default();
        assert!(error(render(&none, &[], &[], &[], &about)).starts_with("no points"));
        let three = Matrix::new(1, 3, vec![0.0; 3]).unwrap();
        let (titles, tags) = (vec!["a".to_owned()], vec![vec![]]);
        let failed = error(render(&three, &titles, &tags, &[None], &about));
        assert!(failed.starts_with("the points have 3 coordinates"), "{failed}");
        let nan = Matrix::new(1, 2, vec![0.0, f32::NAN]).unwrap();
        let failed = error(render(&nan, &titles, &tags, &[None], &about));
        assert!(failed.starts_with("row 0, column 1 of the map is NaN"), "{failed}");

        let one = Matrix::new(1, 2, vec![0.0; 2]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("map.html");
        page(&one, &titles, &tags, &[None], &about, &out).unwrap();
        assert!(std::fs::read_to_string(&out).unwrap().contains("<title>Map of tracks</title>"));
        let absent = folder.path().join("absent/map.html");
        assert!(page(&one, &titles, &tags, &[None], &about, &absent).is_err());
    }
}
