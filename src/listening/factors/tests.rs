use super::*;

fn tables(bias: bool) -> FactorTables {
    let ids = |letter: &str, n: usize| (0..n).map(|i| format!("{letter} {i}, \"ä\"")).collect();
    let numbers = |n: usize| (0..n).map(|i| (i as f32).sin()).collect::<Vec<f32>>();
    let columns = 3 + usize::from(bias);
    FactorTables {
        users: FactorTable::from_rows(ids("u", 4), numbers(4 * columns), 3, bias),
        items: FactorTable::from_rows(ids("i", 5), numbers(5 * columns), 3, bias),
        n_factors: 3,
    }
}

#[test]
fn written_factors_are_read_back() {
    for bias in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        let tables = tables(bias);
        write(&folder, &tables).unwrap();
        assert_eq!(read(&folder).unwrap(), tables);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), if bias { 7 } else { 5 });
        // No temporary files remain, and nothing is overwritten.
        assert_eq!(fs::read_dir(place.path().join("a")).unwrap().count(), 1);
        assert!(write(&folder, &tables).unwrap_err().to_string().contains("exists"));
        let rows = tables.users.clone().into_rows(3);
        assert_eq!(FactorTable::from_rows(tables.users.ids.clone(), rows, 3, bias), tables.users);
    }
}

#[test]
fn the_layout_is_that_of_numpy() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("factors");
    let tables = tables(false);
    write(&folder, &tables).unwrap();
    // NEP 1: magic, version, length of a header that is a Python dict, values.
    let bytes = fs::read(folder.join(USER_FACTORS)).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap().replace(' ', "");
    for part in ["'descr':'<f4'", "'fortran_order':False", "'shape':(4,3"] {
        assert!(header.contains(part), "{header}");
    }
    let values: Vec<u8> = tables.users.factors.iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(bytes[10 + length..], values);
    let text = fs::read_to_string(folder.join(USERS)).unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.ends_with("\"ä\"\n"));
}

/// A `.npy` file written out by hand.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let header = format!("{header:<117}\n");
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

#[test]
fn float16_and_float64_are_read_and_other_types_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("factors");
    write(&folder, &tables(false)).unwrap();
    // As another program would write it.
    fs::remove_file(folder.join(CHECKSUMS)).unwrap();
    let path = folder.join(USER_FACTORS);
    let doubles: Vec<u8> = (0..12).flat_map(|i| f64::from(i).to_le_bytes()).collect();
    let header = |kind: &str, order: &str, shape: &str| {
        format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}")
    };
    fs::write(&path, npy(&header("<f8", "False", "(4, 3)"), &doubles)).unwrap();
    let read_back = read(&folder).unwrap().users.factors;
    assert_eq!(read_back, (0..12).map(|i| i as f32).collect::<Vec<_>>());

    // Half precision: 1 is 0x3c00, and the exponent of 2^k is k higher.
    let halves: Vec<u8> = (0..12_u16).flat_map(|k| (0x3c00 + (k << 10)).to_le_bytes()).collect();
    fs::write(&path, npy(&header("<f2", "False", "(4L, 3L)"), &halves)).unwrap();
    let read_back = read(&folder).unwrap().users.factors;
    assert_eq!(read_back, (0..12).map(|k| 2.0_f32.powi(k)).collect::<Vec<_>>());

    let refused = |bytes: &[u8], part: &str| {
        fs::write(&path, bytes).unwrap();
        let error = read(&folder).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(part) && text.contains(USER_FACTORS), "{text}");
        assert_eq!(error.exit_code(), 3);
    };
    refused(&npy(&header("<f8", "True", "(4, 3)"), &doubles), "Fortran");
    refused(&npy(&header("<i8", "False", "(4, 3)"), &doubles), "float32 or float64");
    refused(&npy(&header("<f8", "False", "(12,)"), &doubles), "must be [id, factor]");
    refused(&npy(&header("<f8", "False", "(3, 4)"), &doubles), "3 rows, but");
    refused(&npy(&header("<f8", "False", "(4, 2)"), &doubles[..64]), "2 factors per row");
    refused(&npy(&header("<f8", "False", "(4, 3)"), &doubles[..80]), "not a complete .npy");
    refused(&npy(&header("<f2", "False", "(4, 3)"), &halves[..22]), "not a complete .npy");
    refused(&npy(&header("<f8", "False", "(4, 99999999999)"), &doubles), "shorter");
    refused(b"not numpy", "not a complete .npy");
    let mut bad = doubles.clone();
    bad[9 * 8..10 * 8].copy_from_slice(&f64::NAN.to_le_bytes());
    refused(&npy(&header("<f8", "False", "(4, 3)"), &bad), "row 3 (from 0)");
}

#[test]
fn lists_of_ids_are_checked() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("factors");
    for bad in ["line\nbreak", "", "\r"] {
        let mut tables = tables(false);
        tables.items.ids[2] = bad.into();
        let error = write(&folder, &tables).unwrap_err().to_string();
        assert!(error.contains("item 3 (row 2 from 0)"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
    write(&folder, &tables(true)).unwrap();
    fs::remove_file(folder.join(CHECKSUMS)).unwrap();
    let refused = |name: &str, text: &str, part: &str| {
        let before = fs::read(folder.join(name)).unwrap();
        fs::write(folder.join(name), text).unwrap();
        let error = read(&folder).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        fs::write(folder.join(name), before).unwrap();
    };
    refused(ITEMS, "a\nb\nc\nb\ne\n", "line 4: the id \"b\" is also on an earlier line");
    refused(ITEMS, "a\n\nc\nd\ne\n", "line 2: the id \"\" is empty");
    refused(USERS, "a\nb\nc\n", "4 rows, but");
    fs::remove_file(folder.join(USER_BIASES)).unwrap();
    assert!(read(&folder).unwrap_err().to_string().contains("only one of"));
    fs::remove_file(folder.join(ITEMS)).unwrap();
    assert!(read(&folder).unwrap_err().to_string().contains(ITEMS));
}

#[test]
fn changed_files_are_detected() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("factors");
    write(&folder, &tables(true)).unwrap();
    for name in [USERS, ITEMS, USER_FACTORS, ITEM_FACTORS, USER_BIASES, ITEM_BIASES] {
        let before = fs::read(folder.join(name)).unwrap();
        let mut changed = before.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(folder.join(name), changed).unwrap();
        let error = read(&folder).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("checksum"), "{error}");
        fs::write(folder.join(name), before).unwrap();
    }
    read(&folder).unwrap();
}

#[test]
fn every_flipped_bit_is_detected() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("factors");
    let tables = tables(true);
    write(&folder, &tables).unwrap();
    let (mut detected, mut harmless) = (0, Vec::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            // Every byte, and within eight bytes every bit.
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, bytes).unwrap();
            match read(&folder) {
                Err(_) => detected += 1,
                Ok(read) => {
                    assert_eq!(read, tables, "{} byte {at}", path.display());
                    harmless.push((path.clone(), good[at]));
                }
            }
        }
        fs::write(&path, good).unwrap();
    }
    assert!(detected > 1000, "{detected}");
    // Only the white space of the list itself may change.
    for (path, byte) in harmless {
        assert!(path.ends_with(CHECKSUMS) && byte.is_ascii_whitespace(), "{}", path.display());
    }
}
