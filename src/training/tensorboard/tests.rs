use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;

use super::*;

/// What a record holds, as far as the tests ask.
#[derive(Debug, PartialEq)]
enum Event {
    Version(String),
    Start { step: i64 },
    Scalar { step: i64, tag: String, value: f32 },
}

/// CRC-32C by its definition: polynomial division, a bit at a time (RFC 3720, B.4).
fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |c, _| if c & 1 == 1 { c >> 1 ^ 0x82F6_3B78 } else { c >> 1 },
        )
    })
}

fn unmask(masked: u32) -> u32 {
    masked.wrapping_sub(0xA282_EAD8).rotate_left(15)
}

/// The fields of a message: number, and either a number (of any width, as bits) or bytes.
fn fields(mut data: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
    fn take<'a>(data: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (head, tail) = data.split_at(count);
        *data = tail;
        head
    }
    fn varint(data: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = take(data, 1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data);
        let (bits, bytes) = match key & 7 {
            0 => (varint(&mut data), vec![]),
            1 => (u64::from_le_bytes(take(&mut data, 8).try_into().unwrap()), vec![]),
            2 => {
                let length = varint(&mut data) as usize;
                (0, take(&mut data, length).to_vec())
            }
            5 => (u32::from_le_bytes(take(&mut data, 4).try_into().unwrap()).into(), vec![]),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, bits, bytes));
    }
    found
}

/// Reads an event file, checksums included.
fn read(path: &Path) -> Vec<Event> {
    let data = fs::read(path).unwrap();
    let (mut at, mut events) = (0, Vec::new());
    let u32_at = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
    while at < data.len() {
        let length = u64::from_le_bytes(data[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(unmask(u32_at(at + 8)), crc(&data[at..at + 8]));
        let message = &data[at + 12..at + 12 + length];
        assert_eq!(unmask(u32_at(at + 12 + length)), crc(message));
        at += 16 + length;

        let mut step = 0;
        for (number, bits, bytes) in fields(message) {
            match number {
                1 => {
                    let seconds = f64::from_bits(bits);
                    assert!((seconds - wall_time()).abs() < 60.0, "wall time {seconds}");
                }
                2 => step = bits as i64,
                3 => events.push(Event::Version(String::from_utf8(bytes).unwrap())),
                5 => {
                    let value = fields(&fields(&bytes)[0].2);
                    events.push(Event::Scalar {
                        step,
                        tag: String::from_utf8(value[0].2.clone()).unwrap(),
                        value: f32::from_bits(value[1].1 as u32),
                    });
                }
                7 => {
                    assert_eq!(fields(&bytes), [(1, 1, vec![])]);
                    events.push(Event::Start { step });
                }
                other => panic!("field {other}"),
            }
        }
    }
    events
}

fn scalar(step: i64, tag: &str, value: f32) -> Event {
    Event::Scalar { step, tag: tag.into(), value }
}

#[test]
fn bytes_are_tensorboards_own() {
    // `reference.py` made these records with TensorBoard's messages and record writer.
    let long = format!("größe/{}", "x".repeat(150));
    let ours = [
        version_event(1400000000.25),
        start_event(1400000001.0, 12001),
        start_event(1400000001.5, 0),
        scalar_event(1400000002.125, 0, "loss/train", 0.7123),
        scalar_event(1400000003.5, 127, "roc_auc_macro", 0.5),
        scalar_event(1400000004.5, 128, "a", -1.5e-30),
        scalar_event(1400000005.0, 12_000_000, &long, f32::INFINITY),
        scalar_event(1400000006.0, i64::MAX, "zero", 0.0),
    ];
    let theirs: Vec<&str> = include_str!("reference.hex").lines().collect();
    assert_eq!(theirs.len(), ours.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let hex: String = record(ours).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, theirs);
    }
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    let [one] = files.as_slice() else { panic!("{files:?}") };
    one.clone()
}

#[test]
fn what_is_written_can_be_read() {
    // The check value of CRC-32C in the catalogues.
    assert_eq!(crc(b"123456789"), 0xE306_9283);
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path(), None).unwrap();
    writer.scalar("loss/train", 0, 0.7).unwrap();
    writer.scalar("loss/train", 300, f32::NAN).unwrap();
    writer.scalar("größe", i64::MAX, -1.0).unwrap();
    writer.flush().unwrap();
    let events = read(&only_file(folder.path()));
    assert_eq!(events[..2], [Event::Version("brain.Event:2".into()), scalar(0, "loss/train", 0.7)]);
    assert!(matches!(&events[2], Event::Scalar { step: 300, value, .. } if value.is_nan()));
    assert_eq!(events[3], scalar(i64::MAX, "größe", -1.0));
}

#[test]
fn a_dropped_writer_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path(), Some(7)).unwrap();
    // More than the buffer holds, so that records are written on the way as well.
    for step in 0..5_000 {
        writer.scalar("loss", step, 1.0).unwrap();
    }
    drop(writer);
    let events = read(&only_file(folder.path()));
    assert_eq!(events.len(), 5_002);
    assert_eq!(events[1], Event::Start { step: 8 });
    assert_eq!(events[5_001], scalar(4_999, "loss", 1.0));
}

#[test]
fn a_later_file_has_a_later_name() {
    let folder = tempfile::tempdir().unwrap();
    // As if the last run's clock had been an hour ahead.
    let ahead = wall_time() as u64 + 3600;
    fs::write(folder.path().join(format!("{PREFIX}{ahead}.zeus.99")), []).unwrap();
    for strange in ["", "x", "99999999999999999999", "18446744073709551615.a", "9999999999.a.1"] {
        fs::write(folder.path().join(format!("{PREFIX}{strange}")), []).unwrap();
    }
    let mut last = format!("{PREFIX}{ahead}.zeus.99");
    for _ in 0..3 {
        let (path, _) = create_file(folder.path()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name > last, "{name} is not after {last}");
        assert!(name.ends_with(&std::process::id().to_string()));
        last = name;
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let error = EventWriter::create(&absent, None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// Printed by `check.py`.
#[derive(Deserialize)]
struct Checked {
    file_version: f64,
    scalars: BTreeMap<String, Vec<(i64, String)>>,
}

#[test]
#[ignore = "needs Python with tensorboard"]
fn tensorboard_reads_it_and_forgets_what_was_done_again() {
    let python = std::env::var_os("TONOTOPY_PYTHON").unwrap_or_else(|| "python3".into());
    let folder = tempfile::tempdir().unwrap();
    let mut first = EventWriter::create(folder.path(), None).unwrap();
    for step in [1, 2, 3, 4, 5] {
        first.scalar("loss/train", step, step as f32 / 8.0).unwrap();
    }
    first.scalar("größe", 3, f32::NAN).unwrap();
    drop(first);
    // The checkpoint was at step 3.
    let mut second = EventWriter::create(folder.path(), Some(3)).unwrap();
    for step in [4, 5, 6] {
        second.scalar("loss/train", step, 1.0).unwrap();
    }
    second.flush().unwrap();

    let output = Command::new(&python)
        .arg("src/training/tensorboard/check.py")
        .arg(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let checked: Checked = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked.file_version, 2.0);
    let points = |tag: &str| -> Vec<(i64, f64)> {
        checked.scalars[tag].iter().map(|(step, value)| (*step, value.parse().unwrap())).collect()
    };
    let expected = [(1, 0.125), (2, 0.25), (3, 0.375), (4, 1.0), (5, 1.0), (6, 1.0)];
    assert_eq!(points("loss/train"), expected);
    let [(3, value)] = points("größe")[..] else { panic!("{:?}", points("größe")) };
    assert!(value.is_nan());
}
