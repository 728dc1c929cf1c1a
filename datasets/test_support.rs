//! Helpers of the tests.

use std::path::{Path, PathBuf};

/// A directory of real data that is not part of the repository.
pub fn shared(name: &str) -> PathBuf {
    let root = std::env::var_os("TONOTOPY_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| "../../shared/data".into());
    let directory = root.join(name);
    assert!(
        directory.is_dir(),
        "{} is missing (TONOTOPY_SHARED names its parent)",
        directory.display()
    );
    directory
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
