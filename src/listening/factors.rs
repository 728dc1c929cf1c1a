//! A directory of factors: the result of factorizing listening data, in files that NumPy reads.
//!
//! | file | content |
//! |---|---|
//! | `user_factors.npy`, `item_factors.npy` | `[user, factor]`, `[item, factor]`, float32, C order |
//! | `user_biases.npy`, `item_biases.npy` | `[user]`, `[item]`; only if the model has biases |
//! | `users.txt`, `items.txt` | one id per line (UTF-8), in the order of the rows |
//! | `checksums.json` | BLAKE3 of each file; optional in directories that another program wrote |
//!
//! A score is the inner product of a user's and an item's factors, plus both biases if there are any.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::checksums::{CHECKSUMS, Checksums};
use crate::io::files::{create_folder, create_folder_atomic, with_needed_bytes, write_together};
use crate::io::npy;
use crate::listening::matrix::Matrix;

/// Factors of the users: `[user, factor]` in float32.
pub const USER_FACTORS: &str = "user_factors.npy";
/// Factors of the items: `[item, factor]` in float32.
pub const ITEM_FACTORS: &str = "item_factors.npy";
/// Biases of the users, if the model has biases: `[user]`.
pub const USER_BIASES: &str = "user_biases.npy";
/// Biases of the items, if the model has biases: `[item]`.
pub const ITEM_BIASES: &str = "item_biases.npy";
/// Ids of the users, one per line, in the order of the rows.
pub const USERS: &str = "users.txt";
/// Ids of the items, one per line, in the order of the rows.
pub const ITEMS: &str = "items.txt";

/// The factors of all users, or of all items.
#[derive(Clone, Debug, PartialEq)]
pub struct FactorTable {
    /// One unique id per row.
    pub ids: Vec<String>,
    /// `[id, factor]`
    pub factors: Vec<f32>,
    /// `[id]`, if the model has biases.
    pub biases: Option<Vec<f32>>,
}

/// The factors of users and items.
#[derive(Clone, Debug, PartialEq)]
pub struct FactorTables {
    /// One row per user.
    pub users: FactorTable,
    /// One row per item.
    pub items: FactorTable,
    /// The number of factors per row.
    pub n_factors: usize,
}

impl FactorTable {
    /// A table from rows whose last value is the bias, if `bias`.
    ///
    /// # Shapes
    /// - `rows`: `[id, factor]` or `[id, factor + 1]`
    pub fn from_rows(ids: Vec<String>, rows: Vec<f32>, n_factors: usize, bias: bool) -> Self {
        if !bias {
            return Self { ids, factors: rows, biases: None };
        }
        let rows = rows.chunks_exact(n_factors + 1);
        let biases = rows.clone().map(|row| row[n_factors]).collect();
        let factors = rows.flat_map(|row| &row[..n_factors]).copied().collect();
        Self { ids, factors, biases: Some(biases) }
    }

    /// The inverse of [`FactorTable::from_rows`].
    pub fn into_rows(self, n_factors: usize) -> Vec<f32> {
        let Some(biases) = self.biases else { return self.factors };
        let rows = self.factors.chunks_exact(n_factors).zip(biases);
        rows.flat_map(|(row, bias)| row.iter().copied().chain([bias])).collect()
    }

    /// The ids and the factors `[id, factor]`.
    ///
    /// # Errors
    /// If the table, which is from `folder`, has biases.
    pub(super) fn without_biases(
        self,
        n_factors: usize,
        folder: &Path,
    ) -> Result<(Vec<String>, Matrix)> {
        if self.biases.is_some() {
            return Err(Error::Config(format!(
                "the factors in {} have biases, which similarity by sound cannot use; factorize without --bias",
                folder.display()
            )));
        }
        let factors = Matrix::new(self.ids.len(), n_factors, self.factors)?;
        Ok((self.ids, factors))
    }
}

/// Whether `folder` holds factors and not a run.
pub fn is_factors(folder: &Path) -> bool {
    folder.join(ITEMS).is_file() && !folder.join("experiment.toml").exists()
}

/// Checks that ids can be written one per line.
///
/// # Errors
/// [`Error::Data`] with the first id that is empty or contains a line break.
pub fn check_ids(what: &str, ids: &[String]) -> Result<()> {
    match ids.iter().position(|id| id.contains(['\n', '\r']) || id.is_empty()) {
        None => Ok(()),
        Some(row) => Err(Error::Data(format!(
            "{what} {} (row {row} from 0): the id {:?} is empty or contains a line break; rename it",
            row + 1,
            ids[row]
        ))),
    }
}

/// Writes the directory atomically: to a temporary directory first, which is then renamed.
///
/// # Errors
/// If `folder` exists, an id has a line break, or writing fails.
pub fn write(folder: &Path, tables: &FactorTables) -> Result<()> {
    if folder.exists() {
        return Err(Error::Config(format!(
            "{} exists; remove it or choose another name",
            folder.display()
        )));
    }
    check_ids("user", &tables.users.ids)?;
    check_ids("item", &tables.items.ids)?;
    create_folder_atomic(folder, |beside| write_files(beside, tables))
}

fn write_files(folder: &Path, tables: &FactorTables) -> Result<()> {
    let sides = [
        (&tables.users, USERS, USER_FACTORS, USER_BIASES),
        (&tables.items, ITEMS, ITEM_FACTORS, ITEM_BIASES),
    ];
    for (table, ids, factors, biases) in sides {
        let rows = table.ids.len();
        let text: String = table.ids.iter().map(|id| format!("{id}\n")).collect();
        write_synced(&folder.join(ids), text.len(), |file| file.write_all(text.as_bytes()))?;
        let shape = [rows, tables.n_factors];
        write_array(&folder.join(factors), &shape, &table.factors)?;
        if let Some(values) = &table.biases {
            write_array(&folder.join(biases), &[rows], values)?;
        }
    }
    let mut names = vec![USERS, USER_FACTORS, ITEMS, ITEM_FACTORS];
    if tables.users.biases.is_some() {
        names.extend([USER_BIASES, ITEM_BIASES]);
    }
    Checksums::of_files(folder, &names)?.write()
}

/// Compares the files with their checksums, if the directory has any.
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
        .map_err(|error| Error::io("write", path)(with_needed_bytes(error, size)))
}

fn write_array(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    write_synced(path, 4 * values.len(), |file| npy::write(file, shape, values))
}

/// The number of factors per item. Reads only the header of `item_factors.npy`.
///
/// # Errors
/// Those of [`read`].
pub fn width(folder: &Path) -> Result<usize> {
    let path = folder.join(ITEM_FACTORS);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let header = npy::read_header(&mut BufReader::new(file)).map_err(damaged(&path))?;
    match header.shape[..] {
        [_, width] if width > 0 => Ok(width),
        _ => Err(wrong(&path, format!("the shape is {:?} and must be [id, factor]", header.shape))),
    }
}

/// Writes the factors of items only: replaces `item_factors.npy` and `items.txt`.
///
/// # Errors
/// If an id has a line break, or writing fails.
pub fn write_items(folder: &Path, ids: &[String], factors: &[f32]) -> Result<()> {
    check_ids("item", ids)?;
    create_folder(folder)?;
    // The old checksums do not match while the files are replaced.
    let list = folder.join(CHECKSUMS);
    if list.exists() {
        fs::remove_file(&list).map_err(Error::io("replace", &list))?;
    }
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let mut bytes = Vec::new();
    let shape = [ids.len(), factors.len().checked_div(ids.len()).unwrap_or(0)];
    npy::write(&mut bytes, &shape, factors).expect("writing to a vector cannot fail");
    let (list, array) = (folder.join(ITEMS), folder.join(ITEM_FACTORS));
    write_together(&[(&list, text.as_bytes()), (&array, &bytes)])?;
    Checksums::of_files(folder, &[ITEMS, ITEM_FACTORS])?.write()
}

/// Reads a directory of factors in float16, float32 or float64, which is rounded to float32.
///
/// # Errors
/// [`Error::Data`] or [`Error::Io`] if a file is missing or damaged, shapes do not match the lists of ids or each
/// other, or a value is not finite.
pub fn read(folder: &Path) -> Result<FactorTables> {
    check(folder)?;
    let (users, n_factors) = read_side(folder, USERS, USER_FACTORS, USER_BIASES)?;
    let (items, other) = read_side(folder, ITEMS, ITEM_FACTORS, ITEM_BIASES)?;
    if n_factors != other {
        return Err(Error::Data(format!(
            "{}: {USER_FACTORS} has {n_factors} factors per row and {ITEM_FACTORS} has {other}; both must come from \
             one factorization",
            folder.display()
        )));
    }
    if users.biases.is_some() != items.biases.is_some() {
        return Err(Error::Data(format!(
            "{}: only one of {USER_BIASES} and {ITEM_BIASES} exists; add the other, or remove both",
            folder.display()
        )));
    }
    Ok(FactorTables { users, items, n_factors })
}

/// Reads the factors of items only, and their number per item; see [`write_items`].
///
/// # Errors
/// Those of [`read`].
pub fn read_items(folder: &Path) -> Result<(FactorTable, usize)> {
    check(folder)?;
    read_side(folder, ITEMS, ITEM_FACTORS, ITEM_BIASES)
}

fn read_side(
    folder: &Path,
    ids: &str,
    factors: &str,
    biases: &str,
) -> Result<(FactorTable, usize)> {
    let list = folder.join(ids);
    let ids = read_ids(&list)?;
    let path = folder.join(factors);
    let (shape, factors) = read_array(&path)?;
    let [rows, n_factors] = shape[..] else {
        return Err(wrong(&path, format!("the shape is {shape:?} and must be [id, factor]")));
    };
    check_rows(&path, rows, &list, ids.len())?;
    let path = folder.join(biases);
    let biases = match path.exists() {
        false => None,
        true => {
            let (shape, values) = read_array(&path)?;
            let [rows] = shape[..] else {
                return Err(wrong(&path, format!("the shape is {shape:?} and must be [id]")));
            };
            check_rows(&path, rows, &list, ids.len())?;
            Some(values)
        }
    };
    Ok((FactorTable { ids, factors, biases }, n_factors))
}

fn check_rows(path: &Path, rows: usize, list: &Path, ids: usize) -> Result<()> {
    if rows == ids {
        return Ok(());
    }
    let list = list.display();
    Err(wrong(path, format!("{rows} rows, but {list} has {ids} ids; each row needs one id")))
}

fn damaged(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| wrong(path, format!("this is not a complete .npy file ({error}); copy it again"))
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
            "" => "is empty; every row needs an id",
            id if !seen.insert(id) => "is also on an earlier line; ids must be unique",
            _ => continue,
        };
        return Err(wrong(path, format!("line {}: the id {id:?} {problem}", line + 1)));
    }
    Ok(ids)
}

/// The shape and the values of a `.npy` file.
fn read_array(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut file = BufReader::with_capacity(1 << 20, file);
    let npy::Header { descr, fortran_order, shape } =
        npy::read_header(&mut file).map_err(damaged(path))?;
    if fortran_order && shape.len() > 1 {
        let remedy = "the array is in Fortran order; save numpy.ascontiguousarray(array) instead";
        return Err(wrong(path, remedy.into()));
    }
    let other_type =
        || wrong(path, format!("values are {descr}; they must be float16, float32 or float64"));
    let size = npy::bytes_per_value(&descr).ok_or_else(other_type)?;
    // A damaged header must not allocate more memory than the file can fill.
    let count = shape.iter().try_fold(1, |product: usize, &n| product.checked_mul(n));
    let count =
        count.filter(|count| count.checked_mul(size).is_some_and(|bytes| bytes as u64 <= length));
    let Some(count) = count else {
        return Err(wrong(
            path,
            format!("the file is shorter than its header says ({shape:?} values); copy it again"),
        ));
    };
    let Some(values) = npy::read_values(&mut file, &descr, count) else {
        return Err(other_type());
    };
    let values = values.map_err(damaged(path))?;
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let row = at / shape.get(1).copied().unwrap_or(1).max(1);
        let value = values[at];
        return Err(wrong(
            path,
            format!(
                "row {row} (from 0) contains {value}; values must be finite, so factorize again"
            ),
        ));
    }
    Ok((shape, values))
}

#[cfg(test)]
mod tests;
