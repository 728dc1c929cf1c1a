//! Helpers of the tests.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A directory of real data that is not part of the repository. If it does not exist, a line on stderr says
/// that the test was skipped.
pub fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TONOTOPY_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| "../../shared/data".into());
    let directory = root.join(name);
    if directory.is_dir() {
        return Some(directory);
    }
    // `eprintln!` would be captured.
    let _ = writeln!(
        std::io::stderr(),
        "skipped: {} is missing (TONOTOPY_SHARED names its parent)",
        directory.display()
    );
    None
}

/// Creates empty files and the directories that contain them.
pub fn touch<'a>(root: &Path, files: impl IntoIterator<Item = &'a str>) {
    for file in files {
        let path = root.join(file);
        if std::fs::File::create(&path).is_err() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(&path).unwrap();
        }
    }
}
