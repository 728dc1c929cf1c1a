//! Valid and invalid tables, as they occur in practice.

use super::*;
use crate::random::{Purpose, Stream};

fn read(text: impl AsRef<[u8]>) -> Result<Interactions, DatasetError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plays.csv");
    std::fs::write(&path, text).unwrap();
    Interactions::read(&path)
}

/// All plays as user id, item id and count.
fn triplets(interactions: &Interactions) -> Vec<(String, String, f32)> {
    let name = |play: Play| {
        let (user, item) = (play.user as usize, play.item as usize);
        (interactions.users()[user].clone(), interactions.items()[item].clone(), play.count)
    };
    interactions.plays().map(name).collect()
}

fn expect(text: impl AsRef<[u8]>, expected: &[(&str, &str, f32)]) -> Interactions {
    let interactions = read(text).unwrap();
    let expected: Vec<_> =
        expected.iter().map(|(u, i, c)| (u.to_string(), i.to_string(), *c)).collect();
    assert_eq!(triplets(&interactions), expected);
    interactions
}

#[test]
fn common_formats_are_read() {
    let same = [("anna", "x", 3.0), ("anna", "y", 1.0), ("ben", "x", 2.5)];
    for text in [
        "anna,x,3\nanna,y,1\nben,x,2.5\n",
        "anna;x;3\r\nanna;y;1\r\nben;x;2.5\r\n",
        "anna\tx\t3\nanna\ty\t1\nben\tx\t2.5",
        "\r\n\nanna\tx\t3\nanna\ty\t1\nben\tx\t2.5",
        "user,item,count\nanna,x,3\nanna,y,1\nben,x,2.5\n",
        "\u{feff}user,item,count\nanna,x,3\nanna,y,1\nben,x,2.5\n",
        "count,item,user\n3,x,anna\n1,y,anna\n2.5,x,ben\n",
        "userID\tartistID\tweight\r\nanna\tx\t3\r\nanna\ty\t1\r\nben\tx\t2.5\r\n",
        "user_id,when,song_id,play_count\nanna,1,x,3\nanna,2,y,1\nben,3,x,2.5\n",
        "\"anna\",\"x\",\"3\"\n\nanna,y,1e0\nben,x, 2.5\n",
    ] {
        let interactions = expect(text, &same);
        assert!(interactions.notes.is_empty(), "{text}: {:?}", interactions.notes);
        assert_eq!(interactions.users(), ["anna", "ben"]);
    }
    let pairs =
        expect("1,10\n1,11\n2,10\n", &[("1", "10", 1.0), ("1", "11", 1.0), ("2", "10", 1.0)]);
    assert_eq!(pairs.notes.len(), 1);
    assert!(pairs.notes[0].contains("no counts"), "{:?}", pairs.notes);
    // Numeric ids without a header.
    expect("7,8,9\n", &[("7", "8", 9.0)]);
}

#[test]
fn ids_may_be_any_text() {
    expect(
        "user,item,count\n\"a, b\",\"say \"\"x\"\"\",1\nJosé,東京; 1,2\n",
        &[("a, b", "say \"x\"", 1.0), ("José", "東京; 1", 2.0)],
    );
    // Quoted separators do not determine the delimiter.
    expect("\"a, b, c\";x;1\nd;y;2\n", &[("a, b, c", "x", 1.0), ("d", "y", 2.0)]);
    expect("\"a;b;c;d\",x,1\n", &[("a;b;c;d", "x", 1.0)]);
    expect("12\" single\tx\t1\n", &[("12\" single", "x", 1.0)]);
    // Between tabs quotes are ordinary characters, as in published files.
    expect("a\t\"weird\" al\t3\nb\t\"\t1\n", &[("a", "\"weird\" al", 3.0), ("b", "\"", 1.0)]);
}

#[test]
fn repeated_rows_are_summed_and_zeros_skipped() {
    let interactions = expect(
        "b,y,1\na,x,2\nb,y,4\nb,x,0\na,x,0.5\na,z,1\nb,y,1\n",
        &[("b", "y", 6.0), ("a", "x", 2.5), ("a", "z", 1.0)],
    );
    let notes = interactions.notes.join("; ");
    assert!(notes.contains("skipped because their count is 0: 1"), "{notes}");
    assert!(notes.contains("added to an earlier row of the same user and item: 3"), "{notes}");
    // Ids are in order of appearance; an item that nobody played is kept.
    assert_eq!(
        (interactions.users(), interactions.items()),
        (&["b".to_string(), "a".into()][..], &["y".to_string(), "x".into(), "z".into()][..])
    );
    assert_eq!(interactions.len(), 3);
    assert_eq!(interactions.of_user(1), (&[1, 2][..], &[2.5, 1.0][..]));
    let parts = interactions.into_parts();
    assert_eq!(parts.offsets, [0, 1, 3]);
    assert_eq!(parts.columns, [0, 1, 2]);
}

#[test]
fn errors_name_line_value_and_remedy() {
    for (text, line, words) in [
        ("a,x,1\na,y,-2\n", 2, "\"-2\" is negative"),
        ("a,x,1\r\n\r\na,y,NaN\r\n", 3, "\"NaN\" is not finite"),
        ("a,x,1\na,y,inf\n", 2, "not finite"),
        ("a,x,1\na,y,1e39\n", 2, "not finite"),
        ("user,item,count\na,x,1\na,y,often\n", 3, "\"often\" is not a number"),
        ("a,x,1\na,y,\n", 2, "\"\" is not a number"),
        ("a,x,1\na,y\n", 2, "the row has 2 values, the first line has 3"),
        ("a,x,1\n,y,1\n", 2, "the user is empty"),
        ("a,x,1\na, ,1\n", 2, "the item is empty"),
        ("a,x,1\na,\"y,1\nb,y,2\n", 2, "the row has 2 values"),
        ("a,x,1\n\"b\nc\",y,1\n", 2, "line break"),
        ("a,b,c,d\n", 1, "has no user column"),
        ("1,2,3,4\n", 1, "4 columns and no header"),
        ("user,song,artist,count\n", 1, "are both names for item"),
        ("user,thing,count\na,x,1\n", 1, "no item column"),
        ("user,item,when\na,x,1\n", 1, "no count column"),
        ("abc\n", 1, "one value"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}: ")), "{text:?}: {error}");
        assert!(error.contains(words), "{text:?}: {error}");
    }
    let error = read(b"a,x,1\nb\xe9,x,1\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("not UTF-8"), "{error}");
    for text in ["", "\n\n"] {
        assert!(read(text).unwrap_err().to_string().contains("the file is empty"));
    }
    let error = read("user,item,count\n").unwrap_err().to_string();
    assert!(error.contains("no rows below the header"), "{error}");
    let error = read("user,item,count\na,x,0\nb,y,0.0\n").unwrap_err().to_string();
    assert!(error.contains("all 2 counts are 0"), "{error}");
    let error = read("user\titem\tcount\na\tx\t3,5\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("decimals with a point"), "{error}");
    let error = read("user,item,count\na,x,3,5\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("decimals with a point"), "{error}");
    for header in ["person,song", "Username;track_id", "listener\tartist"] {
        let separator = header.chars().find(|c| ",;\t".contains(*c)).unwrap();
        let plays = read(format!("{header}\na{separator}x\nb{separator}x\n")).unwrap();
        assert_eq!(
            (plays.users(), plays.items()),
            (&["a".into(), "b".into()][..], &["x".into()][..])
        );
    }
    let error = Interactions::read(Path::new("/nowhere/plays.csv")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/plays.csv is missing"), "{error}");
}

/// Replaces every byte of a valid table, and cuts it off there: the result is an error of one line or a valid matrix.
#[test]
fn damaged_tables_do_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plays.csv");
    let mut loaded = 0;
    for good in [
        "\u{feff}user,item,count\r\n\"a,\"\"b\",x,1.5\r\nb,\u{e9},2\r\nb,x,0\r\n",
        "a\tx\t1\n\nb\ty\t2e1\na\tx\t3",
    ] {
        let mut check = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            match Interactions::read(&path) {
                Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
                Ok(read) => {
                    loaded += 1;
                    for user in 0..read.users().len() {
                        let (items, counts) = read.of_user(user);
                        assert!(items.is_sorted_by(|a, b| a < b));
                        assert!(items.iter().all(|&item| (item as usize) < read.items().len()));
                        assert!(counts.iter().all(|count| count.is_finite() && *count > 0.0));
                    }
                }
            }
        };
        for at in 0..good.len() {
            for byte in [b'"', b',', b';', b'\t', b'\n', b'\r', b'-', b'e', 0, 0xff] {
                let mut damaged = good.as_bytes().to_vec();
                damaged[at] = byte;
                check(&damaged);
            }
            check(&good.as_bytes()[..at]);
        }
    }
    assert!(loaded > 100, "{loaded}");
}

#[test]
fn sums_above_the_largest_float_are_clamped() {
    let read = read("a,x,3e38\na,x,3e38\nb,x,1\n").unwrap();
    assert_eq!(read.of_user(0).1, [f32::MAX]);
    assert!(
        read.notes.iter().any(|note| note.starts_with("sums clamped to") && note.ends_with(": 1")),
        "{:?}",
        read.notes
    );
}

/// The line is found in a large file with any line ends.
#[test]
fn line_numbers_are_right_in_large_files() {
    for (end, lines) in [("\n", 3_000_000_usize), ("\r\n", 2_700_000)] {
        let mut text = format!("u1,i1,1{end}").repeat(lines - 1);
        text.push_str("u1,i1,-1");
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(&format!("line {lines}: ")), "{error}");
    }
}

/// Prints time and memory for ten million rows; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement: writes 650 MB"]
fn ten_million_rows() {
    use std::io::Write;

    const USERS: usize = 200_000;
    const ROWS_PER_USER: usize = 50;
    const ITEMS: u64 = 400_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plays.tsv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for user in 0..USERS {
        let mut stream = Stream::new(1, user as u64, Purpose::Plays, 0);
        let name = blake3::hash(&user.to_le_bytes()).to_hex();
        for _ in 0..ROWS_PER_USER {
            // The cube makes a few items popular.
            let item = (stream.unit().powi(3) * ITEMS as f64) as u64;
            let count = 1 + stream.below(20);
            writeln!(file, "{}\tSO{item:016X}\t{count}", &name[..40]).unwrap();
        }
    }
    file.into_inner().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    // Processor time on Linux in hundredths of a second; wall time depends on other load.
    let processor = || -> Option<f64> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    };
    let before = processor();
    let start = std::time::Instant::now();
    let interactions = Interactions::read(&path).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let busy = before.zip(processor()).map_or(f64::NAN, |(before, after)| (after - before) / 100.0);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
    println!(
        "{} rows, {} MB: {seconds:.1} s, {busy:.1} s of processor time, {} users, {} items, {} pairs, {peak}",
        USERS * ROWS_PER_USER,
        size / 1_000_000,
        interactions.users().len(),
        interactions.items().len(),
        interactions.len(),
    );
    assert_eq!(interactions.users().len(), USERS);
}
