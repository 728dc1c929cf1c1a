//! A folder of factors: what factorising listening data leaves, in files that NumPy reads.
//!
//! | file | holds |
//! |---|---|
//! | `user_factors.npy`, `item_factors.npy` | `[user, factor]`, `[item, factor]`, float32, C order |
//! | `user_biases.npy`, `item_biases.npy` | one number a row; only if the model has biases |
//! | `users.txt`, `items.txt` | an id a line (UTF-8), in the order of the rows |
//! | `checksums.json` | the BLAKE3 of each; folders of other programs may do without |
//!
//! A score is the inner product of two rows of factors, plus both biases if there are any.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::checksums::{CHECKSUMS, Checksums};
use crate::io::files::{create_folder, create_whole, full, write_together};
use crate::io::npy;

/// File of the users' factors, `[user, factor]` in float32.
pub const USER_FACTORS: &str = "user_factors.npy";
/// File of the items' factors, `[item, factor]` in float32.
pub const ITEM_FACTORS: &str = "item_factors.npy";
/// File of the users' biases, `[user]`, if the model has any.
pub const USER_BIASES: &str = "user_biases.npy";
/// File of the items' biases, `[item]`, if the model has any.
pub const ITEM_BIASES: &str = "item_biases.npy";
/// File of the users' ids, one a line, in the order of the rows.
pub const USERS: &str = "users.txt";
/// File of the items' ids, one a line, in the order of the rows.
pub const ITEMS: &str = "items.txt";

/// One side's factors with the ids of their rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// One a row, each once.
    pub ids: Vec<String>,
    /// `[id, factor]`.
    pub factors: Vec<f32>,
    /// One a row, if the model has them.
    pub biases: Option<Vec<f32>>,
}

/// The factors of users and items.
#[derive(Clone, Debug, PartialEq)]
pub struct FactorTables {
    /// Those who listen.
    pub users: Side,
    /// What is listened to.
    pub items: Side,
    /// Length of a row of factors.
    pub n_factors: usize,
}

impl Side {
    /// Takes apart rows whose last value is the bias, if `bias`.
    ///
    /// # Shapes
    /// - `rows`: `[id, factor]` or `[id, factor + 1]`
    pub fn from_rows(ids: Vec<String>, rows: Vec<f32>, n_factors: usize, bias: bool) -> Side {
        if !bias {
            return Side { ids, factors: rows, biases: None };
        }
        let biases = rows.chunks_exact(n_factors + 1).map(|row| row[n_factors]).collect();
        let factors =
            rows.chunks_exact(n_factors + 1).flat_map(|row| &row[..n_factors]).copied().collect();
        Side { ids, factors, biases: Some(biases) }
    }

    /// The opposite of [`Side::from_rows`].
    pub fn into_rows(self, n_factors: usize) -> Vec<f32> {
        let Some(biases) = self.biases else { return self.factors };
        let rows = self.factors.chunks_exact(n_factors).zip(biases);
        rows.flat_map(|(row, bias)| row.iter().copied().chain([bias])).collect()
    }
}

/// Refuses ids that a file with an id a line cannot hold.
///
/// # Errors
/// [`Error::Data`] with the first such id.
pub fn check_ids(what: &str, ids: &[String]) -> Result<()> {
    match ids.iter().position(|id| id.contains(['\n', '\r']) || id.is_empty()) {
        None => Ok(()),
        Some(row) => Err(Error::Data(format!(
            "{what} {} (row {row} from 0): {:?} is no id for a file with an id a line; rename it",
            row + 1,
            ids[row]
        ))),
    }
}

/// Writes the folder, whole or not at all: beside it first, then by a rename.
///
/// # Errors
/// If something of that name is there, an id has a line break, or writing fails.
pub fn write(folder: &Path, tables: &FactorTables) -> Result<()> {
    if folder.exists() {
        return Err(Error::Config(format!(
            "{} is there already; remove it or choose another name",
            folder.display()
        )));
    }
    check_ids("user", &tables.users.ids)?;
    check_ids("item", &tables.items.ids)?;
    create_whole(folder, |beside| write_files(beside, tables))
}

fn write_files(folder: &Path, tables: &FactorTables) -> Result<()> {
    let sides = [
        (&tables.users, USERS, USER_FACTORS, USER_BIASES),
        (&tables.items, ITEMS, ITEM_FACTORS, ITEM_BIASES),
    ];
    for (side, ids, factors, biases) in sides {
        let rows = side.ids.len();
        let mut text = side.ids.join("\n");
        if !side.ids.is_empty() {
            text.push('\n');
        }
        write_synced(&folder.join(ids), text.len(), |file| file.write_all(text.as_bytes()))?;
        let shape = [rows, tables.n_factors];
        write_array(&folder.join(factors), &shape, &side.factors)?;
        if let Some(values) = &side.biases {
            write_array(&folder.join(biases), &[rows], values)?;
        }
    }
    let mut names = vec![USERS, USER_FACTORS, ITEMS, ITEM_FACTORS];
    if tables.users.biases.is_some() {
        names.extend([USER_BIASES, ITEM_BIASES]);
    }
    Checksums::of_files(folder, &names)?.write()
}

/// Compares what the folder holds with its checksums, if it has any.
fn check(folder: &Path) -> Result<()> {
    let Some(checksums) = Checksums::read(folder)? else { return Ok(()) };
    checksums.names().try_for_each(|name| checksums.read_file(name).map(drop))
}

/// Writes a file of `size` bytes.
fn write_synced(
    path: &Path,
    size: usize,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<()> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    write(&mut file)
        .and_then(|()| file.flush())
        .and_then(|()| file.get_ref().sync_all())
        .map_err(|error| Error::io("write", path)(full(error, size)))
}

fn write_array(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    write_synced(path, 4 * values.len(), |file| npy::write(file, shape, values))
}

/// How many factors a row of a folder's item factors has.
///
/// # Errors
/// As [`read`], which reads much more.
pub fn width(folder: &Path) -> Result<usize> {
    let path = folder.join(ITEM_FACTORS);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let header = npy::read_header(&mut BufReader::new(file)).map_err(|error| {
        wrong(&path, format!("this is no whole .npy file ({error}): copy it again"))
    })?;
    match header.shape[..] {
        [_, width] if width > 0 => Ok(width),
        _ => Err(wrong(&path, format!("the shape is {:?}; it must be [id, factor]", header.shape))),
    }
}

/// Writes the factors of items alone: `item_factors.npy` and `items.txt`, in place of what is there.
///
/// # Errors
/// If an id has a line break, or writing fails.
pub fn write_items(folder: &Path, ids: &[String], factors: &[f32]) -> Result<()> {
    check_ids("item", ids)?;
    create_folder(folder)?;
    // While the files change, they are of no list.
    let list = folder.join(CHECKSUMS);
    if list.exists() {
        fs::remove_file(&list).map_err(Error::io("replace", &list))?;
    }
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let mut bytes = Vec::new();
    let shape = [ids.len(), factors.len().checked_div(ids.len()).unwrap_or(0)];
    npy::write(&mut bytes, &shape, factors).expect("a vector takes all");
    let (list, array) = (folder.join(ITEMS), folder.join(ITEM_FACTORS));
    write_together(&[(&list, text.as_bytes()), (&array, &bytes)])?;
    Checksums::of_files(folder, &[ITEMS, ITEM_FACTORS])?.write()
}

/// Reads a folder of factors. float64 is taken too, and rounded.
///
/// # Errors
/// [`Error::Data`] or [`Error::Io`] if a file is missing or damaged, shapes do not fit the lists
/// of ids or each other, or a value is not finite.
pub fn read(folder: &Path) -> Result<FactorTables> {
    check(folder)?;
    let (users, n_factors) = read_side(folder, USERS, USER_FACTORS, USER_BIASES)?;
    let (items, other) = read_side(folder, ITEMS, ITEM_FACTORS, ITEM_BIASES)?;
    if n_factors != other {
        return Err(Error::Data(format!(
            "{}: {USER_FACTORS} has {n_factors} factors a row, {ITEM_FACTORS} has {other}; they \
             are not of one factorisation: take both from one",
            folder.display()
        )));
    }
    if users.biases.is_some() != items.biases.is_some() {
        return Err(Error::Data(format!(
            "{}: only one of {USER_BIASES} and {ITEM_BIASES} is there: put both there, or none",
            folder.display()
        )));
    }
    Ok(FactorTables { users, items, n_factors })
}

/// Reads the factors of items alone; see [`write_items`].
///
/// # Errors
/// As [`read`].
pub fn read_items(folder: &Path) -> Result<(Side, usize)> {
    check(folder)?;
    read_side(folder, ITEMS, ITEM_FACTORS, ITEM_BIASES)
}

fn read_side(folder: &Path, ids: &str, factors: &str, biases: &str) -> Result<(Side, usize)> {
    let list = folder.join(ids);
    let ids = read_ids(&list)?;
    let path = folder.join(factors);
    let (shape, factors) = read_array(&path)?;
    let [rows, n_factors] = shape[..] else {
        return Err(wrong(&path, format!("the shape is {shape:?}; it must be [id, factor]")));
    };
    check_rows(&path, rows, &list, ids.len())?;
    let path = folder.join(biases);
    let biases = match path.exists() {
        false => None,
        true => {
            let (shape, values) = read_array(&path)?;
            let [rows] = shape[..] else {
                return Err(wrong(&path, format!("the shape is {shape:?}; it must be [id]")));
            };
            check_rows(&path, rows, &list, ids.len())?;
            Some(values)
        }
    };
    Ok((Side { ids, factors, biases }, n_factors))
}

fn check_rows(path: &Path, rows: usize, list: &Path, ids: usize) -> Result<()> {
    if rows == ids {
        return Ok(());
    }
    Err(wrong(
        path,
        format!(
            "it has {rows} rows, but {} has {ids} ids; there must be one a row",
            list.display()
        ),
    ))
}

fn wrong(path: &Path, problem: String) -> Error {
    Error::Data(format!("{}: {problem}", path.display()))
}

fn read_ids(path: &Path) -> Result<Vec<String>> {
    let text = crate::io::files::read_text(path)?;
    let ids: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut seen = HashSet::with_capacity(ids.len());
    for (line, id) in ids.iter().enumerate() {
        let problem = match id.as_str() {
            "" => "is empty: every row needs one",
            id if !seen.insert(id) => "stands in an earlier line already: each must be there once",
            _ => continue,
        };
        return Err(wrong(path, format!("line {}: the id {id:?} {problem}", line + 1)));
    }
    Ok(ids)
}

/// Shape and values.
fn read_array(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let damaged = |error: std::io::Error| {
        wrong(path, format!("this is no whole .npy file ({error}): copy it again"))
    };
    let mut file = BufReader::with_capacity(1 << 20, file);
    let npy::Header { descr, fortran_order, shape } =
        npy::read_header(&mut file).map_err(damaged)?;
    if fortran_order && shape.len() > 1 {
        let remedy = "columns lie together (Fortran order); save numpy.ascontiguousarray of it";
        return Err(wrong(path, remedy.into()));
    }
    let size = match descr.as_str() {
        "<f4" | ">f4" => 4,
        _ => 8,
    };
    // A damaged header must not ask for more memory than the file could fill.
    let count = shape.iter().try_fold(1, |product: usize, &n| product.checked_mul(n));
    let count =
        count.filter(|count| count.checked_mul(size).is_some_and(|bytes| bytes as u64 <= length));
    let Some(count) = count else {
        return Err(wrong(
            path,
            format!("the header says {shape:?} values, the file is shorter: copy it again"),
        ));
    };
    let Some(values) = npy::read_values(&mut file, &descr, count) else {
        return Err(wrong(path, format!("values are {descr}; float32 or float64 is needed")));
    };
    let values = values.map_err(damaged)?;
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let row = at / shape.get(1).copied().unwrap_or(1).max(1);
        let value = values[at];
        return Err(wrong(
            path,
            format!("row {row} (from 0) has the value {value}, not finite: factorise anew"),
        ));
    }
    Ok((shape, values))
}

#[cfg(test)]
mod tests;
