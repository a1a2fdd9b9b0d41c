//! Bytes → [`Pipeline`]: the only way to get one.

use super::beside::{Beside, FindFile};
use super::{Health, Pipeline, build, check, yaml};
use crate::model::document::diagnostic::{Diagnostic, Diagnostics};
use crate::model::document::fields::Faults;
use crate::model::document::{self, Node};
use crate::model::ids::Digest;

/// As [`read_with`], for a pipeline that has no files beside it: one that is named cannot be read, and that is a fault.
///
/// # Errors
/// As [`read_with`].
pub fn read(file: &str, bytes: &[u8]) -> Result<Pipeline, Diagnostics> {
    read_with(file, bytes, &|path| Err(format!("`{path}` cannot be read: this pipeline came without files beside it")))
}

/// Reads and checks a pipeline, and the files that it names. `file` is named in faults, and kept for whoever is refused.
///
/// # Errors
/// Every fault of the file and of those that it names, each with its place and a fix.
pub fn read_with(file: &str, bytes: &[u8], find: FindFile<'_>) -> Result<Pipeline, Diagnostics> {
    let root = document::read(file, bytes)?;
    let source = String::from_utf8_lossy(bytes);
    let faults = Faults::default();
    let beside = Beside::new(file, &source, find);
    let built = build::pipeline(&root, Digest::of_bytes(bytes), &beside, &faults);
    if let Some(built) = &built {
        check::check(built, &faults);
    }
    let all = faults.all();
    match built {
        // A part that was left out without a fault would be a hole in this reader: never go on with half a pipeline.
        Some(built) if all.is_empty() && is_whole(&built) => {
            shaped(file, &source, &root)?;
            Ok(built.pipeline)
        }
        _ if all.is_empty() => {
            Err(Diagnostics::of_file(file, "the document is no pipeline", "see pipelines/README.md"))
        }
        _ => Err(Diagnostics::new(file, &source, all).and(beside.into_broken())),
    }
}

/// What a gate is read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    /// A whole pipeline.
    Pipeline(Box<Pipeline>),
    /// A health section by itself, to be tried: nothing can be rolled out by it.
    Alone {
        /// The file's `name`.
        name: String,
        /// How health is judged. That it fits waves and cells is not known.
        health: Health,
    },
}

/// Reads a pipeline, or a file that has only `version`, `name` and `health`.
///
/// # Errors
/// As [`read_with`].
pub fn read_gate(file: &str, bytes: &[u8], find: FindFile<'_>) -> Result<Gate, Diagnostics> {
    let root = document::read(file, bytes)?;
    let has = |key: &str| root.entry(key).is_some();
    if has("fleet") || has("waves") || !has("health") {
        return read_with(file, bytes, find).map(|pipeline| Gate::Pipeline(Box::new(pipeline)));
    }
    let faults = Faults::default();
    let built = build::gate(&root, Digest::of_bytes(bytes), &faults);
    if let Some(built) = &built {
        check::check_gate(built, &faults);
    }
    let all = faults.all();
    match built {
        Some(built) if all.is_empty() && built.health_whole => {
            Ok(Gate::Alone { name: built.pipeline.name, health: built.pipeline.health })
        }
        _ => Err(Diagnostics::new(file, &String::from_utf8_lossy(bytes), all)),
    }
}

fn is_whole(built: &build::Built<'_>) -> bool {
    built.fleet_whole
        && built.waves_whole
        && built.health_whole
        && built.autonomy_whole
        && built.approvals_whole
        && built.safeguards_whole
}

/// The schema that editors are given must accept what is accepted here: the typed reading runs over every sound file.
fn shaped(file: &str, source: &str, root: &Node) -> Result<(), Diagnostics> {
    let fault = |path: &str, message: String| {
        let node = find(root, path).unwrap_or(root);
        let fix = "write it as `wavegate schema` describes it";
        Diagnostics::one(file, source, Diagnostic::new(node.span.clone(), &node.path, message, fix))
    };
    let typed: Result<yaml::PipelineYaml, _> =
        serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(source));
    typed.map(drop).map_err(|e| fault(&e.path().to_string(), e.inner().to_string()))
}

fn find<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    use crate::model::document::Value;
    if node.path == path {
        return Some(node);
    }
    match &node.value {
        Value::List(items) => items.iter().find_map(|item| find(item, path)),
        Value::Map(entries) => entries.iter().find_map(|(_, value)| find(value, path)),
        _ => None,
    }
}
