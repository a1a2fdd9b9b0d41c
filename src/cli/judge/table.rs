//! A replay for people: one line a tick, and what it comes to.

use super::json::why;
use super::subject::Subject;
use super::unfinished;
use crate::api::words;
use crate::cli::draw::{Paint, one_line};
use crate::engine::health::replay::{Outcome, Phase, Replay, Tick};
use crate::model::time::Millis;
use crate::model::verdict::{Finding, Verdict};

/// Findings that a line names; the rest is counted.
const NAMED_MAX: usize = 2;

/// What is replayed, and what the columns are.
pub fn head(subject: &Subject, replay: &Replay<'_>) -> Vec<String> {
    let course = replay.course();
    let (from, to) = replay.span();
    let numbers: Vec<String> =
        course.bakes.iter().map(|bake| format!("{} ({})", bake.number, bake.cells.len())).collect();
    let waves = if numbers.is_empty() { "none was baked".to_owned() } else { format!("waves {}", numbers.join(", ")) };
    let (changed, lag) = (course.changes.len(), Millis::of(subject.setting.health.lag()));
    let changed_cells = words::plural(u32::try_from(changed).unwrap_or(u32::MAX), "cell", "cells");
    vec![
        format!(
            "gate of {}: {changed} {changed_cells} changed, {waves}; {from:.0} to {to:.0}",
            one_line(&subject.name)
        ),
        format!("{:<20}  {:<8}  {:<12}  {:<16}  why", format!("closed (+{lag})"), "phase", "verdict", "evidence"),
    ]
}

/// One tick.
pub fn row(tick: &Tick, replay: &Replay<'_>, paint: Paint) -> String {
    let phase = match tick.phase {
        Phase::Before => "before".to_owned(),
        Phase::Rolling => "rolling".to_owned(),
        Phase::Baking(wave) => format!("bake {wave}"),
        Phase::Between => "between".to_owned(),
    };
    let evidence = replay.baseline().map_or_else(String::new, |baseline| {
        format!("{} of {}", words::number(replay.compared().ln_e.exp()), words::number(1.0 / baseline.alpha))
    });
    let why = told(&tick.findings, why(tick));
    let verdict = painted(tick.verdict, paint);
    format!("{:<20}  {phase:<8}  {verdict}  {evidence:<16}  {}", format!("{:.0}", tick.at), one_line(&why))
        .trim_end()
        .to_owned()
}

/// What it comes to.
pub fn end(outcome: &Outcome, paint: Paint) -> String {
    let ticks = words::plural(outcome.ticks, "tick", "ticks");
    let meaning = match outcome.verdict {
        Verdict::Pass => "every bake passed",
        Verdict::Fail => "it would have been reverted",
        Verdict::Inconclusive | Verdict::Error => "it would have waited for a person",
    };
    let why = told(&outcome.findings, unfinished(outcome).as_deref());
    let why = if why.is_empty() { String::new() } else { format!("\n  {}", one_line(&why)) };
    let verdict = painted(outcome.verdict, paint);
    format!(
        "{}: {meaning}, decided at {:.0}, {} {ticks} after the first changed cell had settled{why}",
        verdict.trim_end(),
        outcome.decided_at,
        outcome.ticks
    )
}

/// The worst findings first, so that what decides is not counted away.
fn told(findings: &[Finding], beside: Option<&str>) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.problem.verdict()));
    let named = sorted.iter().take(NAMED_MAX).map(|finding| words::finding(finding));
    let mut parts: Vec<String> = beside.map(str::to_owned).into_iter().chain(named).collect();
    if findings.len() > NAMED_MAX {
        parts.push(format!("and {} more", findings.len() - NAMED_MAX));
    }
    parts.join("; ")
}

fn painted(verdict: Verdict, paint: Paint) -> String {
    let word = format!("{:<12}", verdict.to_string());
    match verdict {
        Verdict::Pass => paint.good(&word),
        Verdict::Fail => paint.bad(&word),
        Verdict::Inconclusive | Verdict::Error => paint.busy(&word),
    }
}
