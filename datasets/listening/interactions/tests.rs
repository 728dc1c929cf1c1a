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
        ("user,item,genre\na,x,1\n", 1, "no count column"),
        ("user,item,genre\na,x,1\n", 1, "keep only user and item"),
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

/// Users, items and counts of a table, and its notes.
fn read_with_notes(text: impl AsRef<[u8]>) -> (Vec<(String, String, f32)>, String) {
    let found = read(text).unwrap();
    (triplets(&found), found.notes.join("; "))
}

fn owned(expected: &[(&str, &str, f32)]) -> Vec<(String, String, f32)> {
    expected.iter().map(|(u, i, c)| (u.to_string(), i.to_string(), *c)).collect()
}

#[test]
fn columns_are_found_by_the_words_of_their_names() {
    let pairs = owned(&[("anna", "x", 1.0), ("ben", "x", 1.0)]);
    for header in [
        "pid,track_uri",
        "playlist_id,trackURI",
        "account,piece",
        "listenerHash,recording_mbid",
        "user_id:token,item_id:token",
        "visitorid,itemid",
        "member_id,Titles",
        "user,whatever",
        "SESSION ID,Song Name",
    ] {
        assert_eq!(
            triplets(&read(format!("{header}\nanna,x\nben,x\n")).unwrap()),
            pairs,
            "{header}"
        );
    }
    let swapped = read("spotify_track_uri,profile\nx,anna\nx,ben\n").unwrap();
    assert_eq!(triplets(&swapped), pairs);
    let counted = owned(&[("anna", "x", 3.0), ("ben", "y", 2.0)]);
    for header in [
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        "listener\trecording_msid\tnum_plays\tlisted_at",
        "user_name\tartist_id\tscrobbles\tartist_name",
        "account\ttitle\tfrequency\tnotes",
        "userid\tartistid\tplays\tartist",
    ] {
        let table = format!("{header}\nanna\tx\t3\t1\nben\ty\t2\t1\n");
        assert_eq!(triplets(&read(table).unwrap()), counted, "{header}");
    }
    // A log of plays has no counts.
    let (plays, notes) = read_with_notes(
        "user_id:token\titem_id:token\ttimestamp:float\na\tx\t1\na\tx\t2\nb\tx\t9\n",
    );
    assert_eq!(plays, owned(&[("a", "x", 2.0), ("b", "x", 1.0)]));
    assert!(notes.contains("each of the 3 rows is one play"), "{notes}");
    for ambiguous in ["user,artist_id,track,plays\n", "user,song_id,artist_id,plays\n"] {
        let error = read(ambiguous).unwrap_err().to_string();
        assert!(error.contains("are both names for item: rename one of them"), "{error}");
    }
}

#[test]
fn header_in_unknown_words_is_not_a_play() {
    let (plays, notes) = read_with_notes("hoerer;stueck\n1;10\n1;11\n2;10\n");
    assert_eq!(plays, owned(&[("1", "10", 1.0), ("1", "11", 1.0), ("2", "10", 1.0)]));
    assert!(notes.contains("\"hoerer, stueck\", is taken as a header"), "{notes}");
    let (plays, notes) = read_with_notes("hoerer,stueck\nanna,10\nben,11\n");
    assert_eq!(plays.len(), 2);
    assert!(notes.contains("is taken as a header"), "{notes}");
    // Nothing tells this header from a play: the note says what was done.
    let (plays, notes) = read_with_notes("hoerer,stueck\nanna,x\nben,x\nben,y\n");
    assert_eq!(plays.len(), 4);
    assert!(notes.contains("is counted as a play; if it is a header"), "{notes}");
    // A play of which neither the user nor the item is unique.
    let (_, notes) = read_with_notes("anna,x\nben,x\nben,y\n");
    assert!(!notes.contains("header"), "{notes}");
}

#[test]
fn quotes_between_tabs_are_removed_where_all_text_has_them() {
    let expected = owned(&[("anna", "3", 33.0), ("be \"n\"", "AC\\DC", 2.0), ("ben", "x\"", 1.0)]);
    let rows = "\"anna\"\t\"3\"\t33\n\"be \\\"n\\\"\"\t\"AC\\DC\"\t2\n\"ben\"\t\"x\"\"\"\t1\n";
    assert_eq!(triplets(&read(rows).unwrap()), expected);
    let header = format!("\"user\"\t\"item\"\t\"count\"\n{rows}");
    assert_eq!(triplets(&read(&header).unwrap()), expected);
    assert_eq!(triplets(&read(header.replace('\n', "\r\n")).unwrap()), expected);
    assert_eq!(triplets(&read(format!("\u{feff}{header}")).unwrap()), expected);
    // Only the header is quoted, and a name within the table has quotes of its own.
    let some = read("\"user\"\t\"item\"\t\"count\"\na\t\"weird\" al\t3\n").unwrap();
    assert_eq!(some.items(), ["\"weird\" al"]);

    // Names of rows that R writes by default: behind an empty name in CSV, without a name otherwise.
    let named = read("\"\",\"user\",\"item\",\"count\"\n\"1\",\"anna\",\"x\",3\n").unwrap();
    assert_eq!(triplets(&named), owned(&[("anna", "x", 3.0)]));
    let error = read("\"user\"\t\"item\"\t\"count\"\n\"1\"\t\"anna\"\t\"x\"\t3\n").unwrap_err();
    let error = error.to_string();
    assert!(error.contains("line 2") && error.contains("row.names = FALSE"), "{error}");
    let error =
        read("\"user\" \"item\" \"count\"\n\"1\" \"anna\" \"x\" 3\n").unwrap_err().to_string();
    assert!(
        error.contains("separate user, item and count") && error.contains("write.csv"),
        "{error}"
    );
    let error = read("user,item,count\n\"anna\",\"12\\\" single\",3\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("qmethod"), "{error}");
    // Blanks behind the separator.
    let (plays, notes) = read_with_notes("user, item, count\nanna, \"x y\", 3\nanna ,x y, 1\n");
    assert_eq!(plays, owned(&[("anna", "x y", 4.0)]));
    assert!(notes.contains("ids without the blanks around them: 1"), "{notes}");
}

#[test]
fn control_characters_are_part_of_an_id_and_line_breaks_are_not() {
    let table = "user\titem\tcount\nanna\tDon\u{92}t Stop\t3\nben\tDon\u{92}t Stop\t2\nb\u{1b}en\tWait\u{85}\t1\n";
    let plays = read(table).unwrap();
    assert_eq!(plays.items(), ["Don\u{92}t Stop", "Wait\u{85}"]);
    assert_eq!(plays.users()[2], "b\u{1b}en");
    let error = read("user,item,count\nanna,\"a\nb\",1\n").unwrap_err().to_string();
    assert!(error.contains("contains a line break"), "{error}");
    let error = read("user,item,count\nanna,a\0b,1\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("zero byte"), "{error}");
}

#[test]
fn thousands_separators_are_removed_or_named() {
    for (table, expected) in [
        ("user,item,count\na,x,\"33,000\"\na,y,7\n", 33_000.0),
        ("a,x,\"33,000\"\na,y,7\n", 33_000.0),
        ("a,x,\"1,234,567\"\na,y,7\n", 1_234_567.0),
        ("a,x,\"1,234.5\"\na,y,7\n", 1_234.5),
        ("a;x;1,234,567\na;y;7\n", 1_234_567.0),
        ("a;x;1.234.567\na;y;7\n", 1_234_567.0),
        ("a\tx\t33 000\na\ty\t7\n", 33_000.0),
        ("a\tx\t33\u{202f}000\na\ty\t7\n", 33_000.0),
        ("a\tx\t1'033'000\na\ty\t7\n", 1_033_000.0),
    ] {
        let (plays, notes) = read_with_notes(table);
        assert_eq!(plays, owned(&[("a", "x", expected), ("a", "y", 7.0)]), "{table}");
        assert!(notes.contains("counts with thousands separators: 1 ("), "{table}: {notes}");
    }
    // Behind a tab or a semicolon it could be a decimal comma.
    for table in ["user\titem\tcount\na\tx\t33,000\n", "user;item;count\na;x;33,000\n"] {
        let error = read(table).unwrap_err().to_string();
        for words in
            ["line 2", "\"33,000\"", "write 33000", "thousands separator", "decimals with a point"]
        {
            assert!(error.contains(words), "{error}");
        }
    }
    let error = read("a,x,1\na,x,33,000\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("thousands without a separator"), "{error}");
    for wrong in ["0,500", "1,23", "12,34,567", "1,2345", ",500", "1 2", "-33,000"] {
        let error = read(format!("a,x,1\na,y,\"{wrong}\"\n")).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("not a number"), "{wrong}: {error}");
    }
    // Points that could separate thousands are named, unless another count shows that they do not.
    let (plays, notes) = read_with_notes("a;x;33.000\na;y;7\n");
    assert_eq!(plays[0].2, 33.0);
    assert!(
        notes.contains("such as 33.000: if the point separates thousands, remove it"),
        "{notes}"
    );
    let (_, notes) = read_with_notes("a;x;33.000\na;y;0.500\n");
    assert_eq!(notes, "");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    file.write_all(bytes).unwrap();
    file.finish().unwrap()
}

#[test]
fn gzip_is_decompressed() {
    let table = "user,item,count\nanna,x,3\nben,y,1\n";
    let plain = read(table).unwrap();
    let packed = gzip(table.as_bytes());
    assert_eq!(read(&packed).unwrap(), plain);
    let error = read(gzip(b"user,item,count\nanna,x,3\nben,y,often\n")).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("\"often\""), "{error}");
    let error = read(&packed[..packed.len() - 9]).unwrap_err().to_string();
    assert!(error.contains("the gzip file is damaged or cut off"), "{error}");
    let lines = "{\"user\": 1, \"item\": \"x\", \"count\": 3}\n";
    assert_eq!(triplets(&read(gzip(lines.as_bytes())).unwrap()), owned(&[("1", "x", 3.0)]));
}

#[test]
fn other_formats_are_named() {
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, words) in [
        (&b"PK\x03\x04rest"[..], "zip archive or a spreadsheet"),
        (b"\xfd7zXZ\0rest", "xz"),
        (b"PAR1rest", "Parquet"),
        (b"\xff\xfeu\0s\0", "UTF-16"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"[\n  {\"user\": 1}]", "jq -c '.[]'"),
        (&tar, "tar archive"),
        (&gzip(&tar), "tar archive"),
        (&gzip(b"RDX3\nX\n"), "row.names = FALSE"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("is not read: "), "{error}");
    }
}

#[test]
fn json_lines_are_read() {
    let (plays, notes) = read_with_notes(
        "{\"user\":\"anna\",\"item\":3,\"count\":2.5}\n\n{\"count\":\"1\",\"user\":\"ben\",\"item\":\"x\"}\n",
    );
    assert_eq!(plays, owned(&[("anna", "3", 2.5), ("ben", "x", 1.0)]));
    assert_eq!(notes, "");
    let (plays, notes) = read_with_notes(
        "{\"listener\":7,\"track_uri\":\"x\"}\n{\"listener\":7,\"track_uri\":\"x\"}\n",
    );
    assert_eq!(plays, owned(&[("7", "x", 2.0)]));
    assert!(notes.contains("each of the 2 lines is one play"), "{notes}");
    for (text, words) in [
        ("{\n\"user\": 1}", "one object per line"),
        ("{\"user\":1,\"item\":2,\"count\":1}\n[1]\n", "line 2: the line is not a JSON object"),
        (
            "{\"user\":1,\"item\":2,\"count\":1}\n{\"user\":1,\"item\":2}\n",
            "line 2: the object has no count",
        ),
        ("{\"user\":1,\"item\":2,\"count\":-1}\n", "negative"),
        ("{\"user\":1,\"item\":null,\"count\":1}\n", "item is \"null\""),
        ("{\"name\":1,\"thing\":2,\"count\":1}\n", "has no user key"),
        ("{\"payload\":{\"listens\":[]}}\n", "jq -c '.payload.listens[]'"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn listens_of_listenbrainz_are_counted() {
    let listen = |more: &str, metadata: &str| {
        format!(
            "{{\"user_name\":\"anna\",\"listened_at\":1400000000{more},\"track_metadata\":\
             {{\"artist_name\":\"x, y\",\"track_name\":\"3\"{metadata}}}}}\n"
        )
    };
    let text = [
        listen(",\"recording_msid\":null", ""),
        listen("", ""),
        listen(",\"recording_msid\":\"m1\"", ""),
        listen("", ",\"additional_info\":{\"recording_msid\":\"m1\",\"recording_mbid\":\"\"}"),
        listen(",\"recording_msid\":\"m1\"", ",\"mbid_mapping\":{\"recording_mbid\":\"b1\"}"),
        listen("", ",\"additional_info\":{\"recording_mbid\":\"b1\"}").replace("anna", "ben"),
    ];
    let (plays, notes) = read_with_notes(text.concat());
    let expected =
        [("anna", "x, y - 3", 2.0), ("anna", "m1", 2.0), ("anna", "b1", 1.0), ("ben", "b1", 1.0)];
    assert_eq!(plays, owned(&expected));
    for words in ["2 by MusicBrainz id", "2 by MessyBrainz id", "2 by artist and title"] {
        assert!(notes.contains(words), "{notes}");
    }
    let error = read(listen("", "").replace("user_name", "name")).unwrap_err().to_string();
    assert!(error.contains("line 1: the listen has no user_name"), "{error}");
    let error = read(listen("", "").replace("track_name", "name")).unwrap_err().to_string();
    assert!(error.contains("the listen has no recording"), "{error}");
}

#[test]
fn lastfm_data_sets_without_header_are_read() {
    let user = "0123456789abcdef0123456789abcdef01234567";
    let id = "3bd73256-3905-4f3a-97e2-8b341527f805";
    let (plays, notes) = read_with_notes(format!(
        "{user}\t{id}\tbetty blowtorch\t2137\n{user}\t\t\"\t957\nsep 20, 2008\t{id}\tbetty blowtorch\t12\n\
         {user}\t\t\t5\n"
    ));
    assert_eq!(
        plays,
        owned(&[(user, id, 2137.0), (user, "\"", 957.0), ("sep 20, 2008", id, 12.0)])
    );
    assert!(notes.contains("named by their text because their id is empty: 1"), "{notes}");
    assert!(notes.contains("neither id nor text names their item: 1"), "{notes}");
    // A first line without an artist's id.
    let (plays, _) = read_with_notes(format!("{user}\t\tthe \"x\"\t3\n{user}\t{id}\ty\t2\n"));
    assert_eq!(plays, owned(&[(user, "the \"x\"", 3.0), (user, id, 2.0)]));
    let time = "2009-05-04T23:08:57Z";
    let (plays, _) = read_with_notes(format!(
        "user_000001\t{time}\t{id}\tSome Band\t\tSome Song\nuser_000001\t{time}\t{id}\tx\t{id}\ty\n\
         user_000001\t{time}\t{id}\tx\t{id}\ty\n"
    ));
    let expected = [("user_000001", "Some Band - Some Song", 1.0), ("user_000001", id, 2.0)];
    assert_eq!(plays, owned(&expected));
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
