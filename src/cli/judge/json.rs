//! A replay for programs: one JSON line a tick, and a last one.

use super::unfinished;
use crate::api::{comparing, words};
use crate::engine::health::replay::{Outcome, Phase, Replay, Tick};
use crate::model::verdict::{Finding, Verdict};
use serde_json::{Value, json};

/// One tick.
pub fn tick(tick: &Tick, replay: &Replay<'_>) -> String {
    let (phase, wave) = match tick.phase {
        Phase::Before => ("before", None),
        Phase::Rolling => ("rolling", None),
        Phase::Baking(wave) => ("baking", Some(wave)),
        Phase::Between => ("between", None),
    };
    let comparison = replay.baseline().map(|baseline| {
        let mut view = json!(comparing::view(baseline, replay.compared()));
        if let Value::Object(view) = &mut view {
            view.insert("verdict".into(), json!(tick.comparison));
        }
        view
    });
    json!({
        "at": tick.at,
        "until": tick.end,
        "phase": phase,
        "wave": wave,
        "verdict": tick.verdict,
        "reasons": reasons(tick.verdict, &tick.findings, why(tick)),
        "treated": tick.treated,
        "judges": {
            "thresholds": { "verdict": tick.thresholds, "readings": tick.readings },
            "comparison": comparison,
        },
    })
    .to_string()
}

/// Why a tick without a finding is no pass.
pub fn why(tick: &Tick) -> Option<&'static str> {
    match (tick.verdict, tick.phase) {
        (Verdict::Inconclusive, Phase::Before | Phase::Rolling) => Some("no bake has begun: only a fail counts"),
        (Verdict::Inconclusive, Phase::Between) => Some("no bake runs: only a fail counts"),
        _ => None,
    }
}

/// The last line.
pub fn outcome(outcome: &Outcome) -> String {
    json!({
        "verdict": outcome.verdict,
        "decided_at": outcome.decided_at,
        "ticks": outcome.ticks,
        "reasons": reasons(outcome.verdict, &outcome.findings, unfinished(outcome).as_deref()),
    })
    .to_string()
}

/// Findings as words and as data. Of a pass there are none.
fn reasons(verdict: Verdict, findings: &[Finding], beside: Option<&str>) -> Vec<Value> {
    let beside = beside.filter(|_| verdict != Verdict::Pass).map(|text| json!({ "text": text }));
    let told = findings.iter().map(|finding| {
        json!({
            "text": words::finding(finding),
            "verdict": finding.problem.verdict(),
            "cell": finding.cell,
            "signal": finding.signal,
            "problem": finding.problem,
        })
    });
    beside.into_iter().chain(told).collect()
}
