//! What was read, as a recording that `wavegate judge` reads.

use crate::engine::health::recording::{Happening, Recording, What};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Writes a recording in the order of time.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, recording: &Recording) -> io::Result<()> {
    let mut lines: Vec<(Timestamp, Value)> = recording.events.iter().map(|event| (event.at, happened(event))).collect();
    for (cell, series) in &recording.cells {
        for (name, recorded) in series {
            let samples: BTreeMap<Timestamp, f64> = recorded.samples.iter().copied().collect();
            for (at, value) in &recorded.points {
                let mut line = json!({ "at": at, "cell": cell, "metric": name, "value": value });
                if let Value::Object(line) = &mut line {
                    line.extend(recorded.unit.iter().map(|unit| ("unit".to_owned(), json!(unit))));
                    line.extend(samples.get(at).map(|samples| ("samples".to_owned(), json!(samples))));
                }
                lines.push((*at, line));
            }
        }
    }
    // Stable: events keep their order, and come before the points of the same time.
    lines.sort_by_key(|(at, _)| *at);
    let mut out = BufWriter::new(File::create(path)?);
    for (_, line) in &lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn happened(Happening { at, what }: &Happening) -> Value {
    match what {
        What::Applied(cell) => json!({ "at": at, "cell": cell, "event": "applied" }),
        What::BakeStart(wave) => json!({ "at": at, "event": "bake_start", "wave": wave }),
        What::BakeEnd(wave) => json!({ "at": at, "event": "bake_end", "wave": wave }),
    }
}
