//! A recording from JSON Lines, line by line: every fault with its line, and no more of the file in memory than its points.

use super::line;
use crate::engine::health::recording::{Fault, Recorder, Recording};
use crate::model::pipeline::Health;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

/// The longest line: a point needs two hundred bytes.
const LINE_MAX: usize = 8 * 1024;
/// So many faults are told; then reading stops.
const FAULTS_MAX: usize = 20;

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be read.
    #[error("`{name}` cannot be read: {source}")]
    Unreadable {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Lines are wrong.
    #[error("{}{}", faults.join("\n"), if *more { "\nand perhaps more: reading stopped here" } else { "" })]
    Faulty {
        /// As `FILE:LINE: what is wrong: what to do`.
        faults: Vec<String>,
        /// The rest was not read.
        more: bool,
    },
}

/// Reads a recording for a health section; `-` is standard input.
///
/// # Errors
/// [`ReadError`].
pub fn read(path: &Path, health: &Health) -> Result<Recording, ReadError> {
    if path == Path::new("-") {
        return read_from("standard input", io::stdin().lock(), health);
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_from(&name, BufReader::new(file), health),
        Err(source) => Err(ReadError::Unreadable { name, source }),
    }
}

/// Reads lines that are named `name` in faults.
///
/// # Errors
/// [`ReadError`].
pub fn read_from(name: &str, mut from: impl BufRead, health: &Health) -> Result<Recording, ReadError> {
    let mut recorder = Recorder::new(health);
    let mut faults = Vec::new();
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        let limit = u64::try_from(LINE_MAX + 1).unwrap_or(u64::MAX);
        let unreadable = |source| ReadError::Unreadable { name: name.to_owned(), source };
        let count = from.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        let taken = take(&mut recorder, &bytes);
        let Err((fault, last)) = taken else { continue };
        faults.push(format!("{name}:{number}: {fault}"));
        if last || faults.len() >= FAULTS_MAX {
            return Err(ReadError::Faulty { faults, more: true });
        }
    }
    match faults.is_empty() {
        true => Ok(recorder.finish()),
        false => Err(ReadError::Faulty { faults, more: false }),
    }
}

/// Takes one line in; the error says also whether there is no use in going on.
fn take(recorder: &mut Recorder, bytes: &[u8]) -> Result<(), (String, bool)> {
    if bytes.len() > LINE_MAX {
        return Err((format!("a line of more than {LINE_MAX} bytes: write one JSON object a line"), true));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ("no UTF-8: save the recording as UTF-8".to_owned(), true))?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(());
    }
    let entry = line::parse(text).map_err(|fault| (fault, false))?;
    recorder.take(entry).map_err(|fault| (fault.to_string(), matches!(fault, Fault::TooMany { .. })))
}
