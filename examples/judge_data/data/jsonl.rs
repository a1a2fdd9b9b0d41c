//! Writes recordings as JSON Lines, as `wavegate judge` reads them, with their labels beside them.

use super::label::{Entry, Labelled};
use crate::recording::Recording;
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// The labels' file in a folder of recordings: an [`Entry`] a line.
pub const LABELS: &str = "labels.jsonl";

/// 2026-01-01T00:00:00Z.
const EPOCH: Timestamp = Timestamp::constant(1_767_225_600, 0);

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Point { at: Timestamp, cell: &'a str, metric: &'a str, value: f64 },
    Applied { at: Timestamp, cell: &'a str, event: &'static str },
    Bake { at: Timestamp, event: &'static str, wave: usize },
}

/// Start of a tick. All recordings begin in the same instant; nothing depends on which.
pub fn start_of(recording: &Recording, tick: usize) -> Timestamp {
    let seconds = i64::try_from(tick).unwrap_or(i64::MAX).saturating_mul(i64::from(recording.period_s));
    EPOCH.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Writes one recording: tick by tick, its events first, then its points. `series` limits it to those names; empty: all of them.
pub fn write(recording: &Recording, series: &[String], out: &mut impl Write) -> Result<()> {
    for tick in 0..=recording.ticks {
        let at = start_of(recording, tick);
        for line in events(recording, tick, at) {
            put(&line, out)?;
        }
        for (metric, cells) in recording.series.iter().zip(&recording.values) {
            if !series.is_empty() && !series.contains(metric) {
                continue;
            }
            for (cell, values) in recording.cells.iter().zip(cells) {
                if let Some(value) = values.get(tick).copied().flatten() {
                    put(&Line::Point { at, cell, metric, value }, out)?;
                }
            }
        }
    }
    Ok(())
}

fn events(recording: &Recording, tick: usize, at: Timestamp) -> Vec<Line<'_>> {
    let ends = (1..).zip(&recording.waves).filter(|(_, (_, end))| *end == tick);
    let ends = ends.map(|(wave, _)| Line::Bake { at, event: "bake_end", wave });
    let cells = recording.cells.iter().zip(&recording.applied).filter(|(_, when)| **when == Some(tick));
    let applied = cells.map(|(cell, _)| Line::Applied { at, cell, event: "applied" });
    let starts = (1..).zip(&recording.waves).filter(|(_, (start, _))| *start == tick);
    let starts = starts.map(|(wave, _)| Line::Bake { at, event: "bake_start", wave });
    ends.chain(applied).chain(starts).collect()
}

fn put(line: &Line<'_>, out: &mut impl Write) -> Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Writes each recording to `NAME.jsonl` in a folder, and their labels to [`LABELS`].
pub fn write_all(all: &[Labelled], series: &[String], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let create = |path: &Path| {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok::<_, anyhow::Error>(BufWriter::new(file))
    };
    let mut labels = create(&folder.join(LABELS))?;
    for one in all {
        let mut out = create(&folder.join(format!("{}.jsonl", one.label.name)))?;
        write(&one.recording, series, &mut out)?;
        out.flush()?;
        let applied = one.recording.applied.iter().flatten().min().copied().unwrap_or(one.recording.history);
        let applied = start_of(&one.recording, applied);
        let entry = Entry { label: one.label.clone(), applied, period_s: one.recording.period_s };
        serde_json::to_writer(&mut labels, &entry)?;
        labels.write_all(b"\n")?;
    }
    labels.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_has_its_events_first_and_lacks_what_was_not_measured() {
        let recording = Recording {
            cells: vec!["a".to_owned(), "b".to_owned()],
            series: vec!["p99".to_owned(), "other".to_owned()],
            period_s: 60,
            history: 1,
            ticks: 2,
            values: vec![vec![vec![Some(1.5), None], vec![None, Some(2.0)]], vec![vec![Some(0.0); 2]; 2]],
            applied: vec![None, Some(1)],
            waves: vec![(1, 2)],
        };
        let mut out = Vec::new();
        write(&recording, &["p99".to_owned()], &mut out).unwrap();
        let expected = "\
{\"at\":\"2026-01-01T00:00:00Z\",\"cell\":\"a\",\"metric\":\"p99\",\"value\":1.5}
{\"at\":\"2026-01-01T00:01:00Z\",\"cell\":\"b\",\"event\":\"applied\"}
{\"at\":\"2026-01-01T00:01:00Z\",\"event\":\"bake_start\",\"wave\":1}
{\"at\":\"2026-01-01T00:01:00Z\",\"cell\":\"b\",\"metric\":\"p99\",\"value\":2.0}
{\"at\":\"2026-01-01T00:02:00Z\",\"event\":\"bake_end\",\"wave\":1}
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
