//! What is beside a pipeline's document: the files that it names, relative to its folder, and nothing outside of that.

use crate::model::document::diagnostic::Diagnostics;
use crate::model::document::fields::{Faults, text};
use crate::model::document::{Fields, Lines, Node};
use crate::model::safeguards::Set;
use std::cell::RefCell;

/// Finds a file's bytes by the path that the pipeline names, which is relative to its folder and does not lead out of it; the error
/// is for people.
pub type FindFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// What reading needs beside the nodes.
pub struct Beside<'a> {
    /// The pipeline's file, as it was named.
    pub file: &'a str,
    /// Of the pipeline.
    pub lines: Lines,
    find: FindFile<'a>,
    broken: RefCell<Vec<Diagnostics>>,
}

impl<'a> Beside<'a> {
    /// Of the pipeline with this text.
    pub fn new(file: &'a str, source: &str, find: FindFile<'a>) -> Self {
        Self { file, lines: Lines::of(source), find, broken: RefCell::default() }
    }

    /// A value with the line of its key.
    pub fn set<T>(&self, fields: &Fields<'_>, key: &str, is: T) -> Set<T> {
        Set { is, line: fields.key(key).map_or(0, |key| self.lines.line(key)) }
    }

    /// A file that the node names: its path and its bytes.
    pub fn read(&self, node: &Node, faults: &Faults) -> Option<(String, Vec<u8>)> {
        let path = text(node, faults)?;
        let outside = path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| part == "..");
        if outside {
            let fix = "put the file beside the pipeline, or in a folder there, and name it relative to that";
            faults.at(node, format!("`{path}` leads out of the pipeline's folder"), fix);
            return None;
        }
        match (self.find)(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                faults.at(node, error, "name a file beside the pipeline");
                None
            }
        }
    }

    /// Notes that a file which the node names has faults of its own; they are shown after the pipeline's.
    pub fn broken(&self, node: &Node, other: Diagnostics, faults: &Faults) {
        let count = other.all.len();
        let s = if count == 1 { "" } else { "s" };
        faults.at(node, format!("`{}` has {count} fault{s}", other.file), "mend that file; its faults are shown below");
        self.broken.borrow_mut().push(other);
    }

    /// The faults of other files.
    pub fn into_broken(self) -> Vec<Diagnostics> {
        self.broken.into_inner()
    }
}
