//! Puts labelled recordings before a judge that is a program, and counts: how many good changes it would have reverted, how many bad
//! ones it found, and how soon.

use super::jsonl::LABELS;
use super::label::Entry;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What a judge says about a recording; it stands on the last line that the judge writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    Inconclusive,
    Error,
}

/// The judge's last line; what else it holds is not looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    pub verdict: Verdict,
    pub decided_at: Option<Timestamp>,
}

/// A recording, what was said about it, and how late.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub entry: Entry,
    #[serde(flatten)]
    pub said: Said,
    /// From the start of the first treated tick to the decision, in ticks, begun ones counted whole.
    pub after: Option<u64>,
}

/// How the judge is run.
#[derive(Clone, Debug)]
pub struct Runs {
    /// A program and its arguments; the recording's path is added.
    pub command: Vec<String>,
    /// How many at once.
    pub processes: usize,
    /// Seconds by which the judge waits for late points; not counted as its delay.
    pub lag_s: i64,
    /// Stop after so many recordings, healthy and bad ones alike.
    pub limit: usize,
}

/// Runs the judge on every recording of a folder. Error: the first recording that it says nothing readable about.
pub fn score(folder: &Path, runs: &Runs) -> Result<Vec<Outcome>> {
    let path = folder.join(LABELS);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let entries: Vec<Entry> = text.lines().take(runs.limit).map(serde_json::from_str).collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Outcome)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(at) else { return Ok(done) };
            done.push((at, judge(folder, entry, runs)?));
        }
    };
    let mut all = thread::scope(|scope| {
        let workers: Vec<_> = (0..runs.processes.max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            let Ok(done) = worker.join() else { bail!("a worker died") };
            all.extend(done?);
        }
        Ok(all)
    })?;
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
}

fn judge(folder: &Path, entry: &Entry, runs: &Runs) -> Result<Outcome> {
    let path = folder.join(format!("{}.jsonl", entry.label.name));
    let Some((program, arguments)) = runs.command.split_first() else { bail!("no command was given") };
    let mut command = Command::new(program);
    command.args(arguments).arg(&path).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let said: Said = serde_json::from_str(last).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("{}: {program} ended with `{last}`, which is no verdict\n{errors}", path.display())
    })?;
    let after = said.decided_at.and_then(|at| delay(entry, at, runs.lag_s));
    Ok(Outcome { entry: entry.clone(), said, after })
}

fn delay(entry: &Entry, decided: Timestamp, lag_s: i64) -> Option<u64> {
    let seconds = decided.as_second() - entry.applied.as_second() - lag_s;
    Some(u64::try_from(seconds).ok()?.div_ceil(u64::from(entry.period_s.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::label::Label;

    #[test]
    fn begun_ticks_count_whole_and_the_wait_for_late_points_does_not() {
        let word = String::new;
        let label = Label { name: word(), case: word(), service: word(), bad: true, fault: word() };
        let entry = Entry { label, applied: Timestamp::constant(600, 0), period_s: 60 };
        let after = |second, lag| delay(&entry, Timestamp::constant(second, 0), lag);
        assert_eq!(after(660, 0), Some(1));
        assert_eq!(after(661, 0), Some(2));
        assert_eq!(after(780, 120), Some(1));
        assert_eq!(after(540, 0), None);
    }
}
