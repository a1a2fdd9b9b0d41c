//! Changes that never were: every cell in turn is taken as changed at every step of a bake. Whatever is reverted is a false alarm, or an
//! incident that nobody rolled out.

use crate::api::words;
use crate::cli::args::Showing;
use crate::cli::draw::{one_line, say};
use crate::cli::judge::is_json;
use crate::cli::judge::subject::Subject;
use crate::engine::health::recording::{Happening, Recording, What};
use crate::engine::health::replay::{Outcome, Replay, ReplayError};
use crate::model::ids::CellId;
use crate::model::time::Millis;
use crate::model::verdict::Verdict;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// So many are replayed at most.
pub const COUNT_MAX: u64 = 200_000;

/// What all of them came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many there were.
    pub pseudo_rollouts: u32,
    /// Of these, by verdict.
    pub reverted: u32,
    /// Passed at the bake's end.
    pub passed: u32,
    /// Could not be decided by the bake's end.
    pub inconclusive: u32,
    /// Could not be judged.
    pub error: u32,
}

impl Tally {
    /// Adds one.
    pub fn count(&mut self, verdict: Verdict) {
        let of = match verdict {
            Verdict::Pass => &mut self.passed,
            Verdict::Fail => &mut self.reverted,
            Verdict::Inconclusive => &mut self.inconclusive,
            Verdict::Error => &mut self.error,
        };
        *of = of.saturating_add(1);
        self.pseudo_rollouts = self.pseudo_rollouts.saturating_add(1);
    }

    /// Reverted ones, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * f64::from(self.reverted) / f64::from(self.pseudo_rollouts.max(1))
    }
}

/// Replays all of them, and prints those that would have been reverted (all, as JSON) and the tally.
///
/// # Errors
/// The recording cannot be replayed.
pub fn slide(
    subject: &Subject,
    recording: &Recording,
    (from, to): (Timestamp, Timestamp),
    bake: Millis,
    showing: &Showing,
) -> Result<Tally, ReplayError> {
    let json = is_json(showing.format);
    let mut tally = Tally::default();
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    for (start, end) in steps(from, to, bake) {
        for cell in recording.cells.keys() {
            let outcome = pseudo(subject, recording, cell, start, end)?;
            tally.count(outcome.verdict);
            for finding in outcome.findings.iter().take(1) {
                *reasons.entry(finding.signal.clone()).or_default() += u32::from(outcome.verdict == Verdict::Fail);
            }
            if showing.quiet || say::is_gone() {
                continue;
            }
            match (json, outcome.verdict) {
                (true, _) => say::say(&line(cell, start, &outcome)),
                (false, Verdict::Fail) => say::say(&one_line(&format!(
                    "{start:.0}  {cell} taken as changed: would have been reverted at {:.0}: {}",
                    outcome.decided_at,
                    words::all(&outcome.findings)
                ))),
                _ => {}
            }
        }
    }
    say::say(&if json {
        json!({ "tally": tally, "percent": tally.percent() }).to_string()
    } else {
        sentence(&tally, &reasons)
    });
    Ok(tally)
}

/// The times at which changes are taken to be, each with the end of its bake.
pub fn steps(from: Timestamp, to: Timestamp, bake: Millis) -> Vec<(Timestamp, Timestamp)> {
    let Ok(bake) = SignedDuration::try_from(bake.duration()) else { return Vec::new() };
    let starts = std::iter::successors(Some(from), |at| at.checked_add(bake).ok());
    let ends =
        starts.map_while(|at| at.checked_add(bake).ok().filter(|end| *end <= to && *end > at).map(|end| (at, end)));
    ends.collect()
}

fn pseudo(
    subject: &Subject,
    recording: &Recording,
    cell: &CellId,
    start: Timestamp,
    end: Timestamp,
) -> Result<Outcome, ReplayError> {
    let events = [
        Happening { at: start, what: What::Applied(cell.clone()) },
        Happening { at: start, what: What::BakeStart(1) },
        Happening { at: end, what: What::BakeEnd(1) },
    ];
    let mut replay = Replay::new(&subject.setting, recording, &events)?;
    while let Some(tick) = replay.tick() {
        if tick.verdict == Verdict::Fail {
            break;
        }
    }
    Ok(replay.outcome())
}

fn line(cell: &CellId, start: Timestamp, outcome: &Outcome) -> String {
    json!({
        "at": start,
        "cell": cell,
        "verdict": outcome.verdict,
        "decided_at": outcome.decided_at,
        "ticks": outcome.ticks,
        "reasons": outcome.findings.iter().map(words::finding).collect::<Vec<_>>(),
    })
    .to_string()
}

fn sentence(tally: &Tally, reasons: &BTreeMap<String, u32>) -> String {
    let by: Vec<String> = reasons.iter().filter(|(_, n)| **n > 0).map(|(signal, n)| format!("{signal} {n}")).collect();
    let by = if by.is_empty() { String::new() } else { format!(" by {}", one_line(&by.join(", "))) };
    format!(
        "{} pseudo-rollouts, {} would have been reverted ({:.1} %){by}; {} passed, {} would have waited for a person",
        tally.pseudo_rollouts,
        tally.reverted,
        tally.percent(),
        tally.passed,
        tally.inconclusive + tally.error
    )
}
