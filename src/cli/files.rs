//! Reading what people name on the command line, within limits.

use crate::model::document::tree::SIZE_MAX;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system's error.
    #[error("`{path}` cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too large; it was not read.
    #[error("`{path}` is larger than {SIZE_MAX} bytes; split it, or put templates into files of their own")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// A folder without pipelines.
    #[error("`{path}` holds no `*.yaml` or `*.yml` file; name a pipeline file or a folder of them")]
    Empty {
        /// Which folder.
        path: PathBuf,
    },
}

/// A file's bytes, or nothing of it when it is too large.
///
/// # Errors
/// [`FileError`].
pub fn read_bounded(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let limit = u64::try_from(SIZE_MAX).unwrap_or(u64::MAX);
    if file.metadata().map_err(unreadable)?.len() > limit {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    // A pipe or a growing file has no size beforehand.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > SIZE_MAX { Err(FileError::TooLarge { path: path.to_owned() }) } else { Ok(bytes) }
}

/// Reads files beside `path`, by names relative to its folder; the error is for people. Whoever asks has made sure that a name does
/// not lead out of the folder.
pub fn beside(path: &Path) -> impl Fn(&str) -> Result<Vec<u8>, String> + use<> {
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    move |name| read_bounded(&folder.join(name)).map_err(|error| error.to_string())
}

/// The YAML files of a folder, by name; a file is itself. Price books are among them.
///
/// # Errors
/// [`FileError`].
pub fn pipelines_in(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(FileError::Empty { path: path.to_owned() }) } else { Ok(files) }
}
