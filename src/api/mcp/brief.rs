//! From the views that every door shows to what an agent needs of them, within bounds.

use super::shown::{
    Admission, Asks, Cell, Explained, Finding, Followed, Pipeline, PipelineLine, PipelineWave, Pipelines, Reason,
    Rejected, RolloutLine, Target, Wave, brief_text,
};
use crate::api::admission::{AdmissionView, Explanation, RequestView};
use crate::api::listing::{Page, PipelineSummary, PipelineView, RolloutSummary};
use crate::api::reasons::ReasonView;
use crate::api::view::{RolloutView, TargetView, WaveView};
use crate::api::words;
use crate::model::decision::Decision;
use crate::model::event::Outcome;
use crate::model::ids::Digest;
use crate::model::preview::ResourceChange;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// So many targets, cells and lines of one list: an agent that needs more asks for a part.
const LINES_MAX: usize = 60;
/// So many resources of one target.
const RESOURCES_MAX: usize = 20;
/// So many findings: what stands in the way comes first.
const FINDINGS_MAX: usize = 40;

/// A word of a value as it is serialized, for enums with stable names.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    texts.into_iter().take(LINES_MAX).map(|text| brief_text(text)).collect()
}

pub(super) fn pipelines(page: &Page<PipelineSummary>) -> Pipelines {
    let line = |pipeline: &PipelineSummary| PipelineLine {
        name: pipeline.name.clone(),
        waves: texts(&pipeline.waves),
        cells: pipeline.cells,
        stacks: pipeline.stacks.iter().take(LINES_MAX).cloned().collect(),
        fault: pipeline.fault.as_deref().map(brief_text),
    };
    Pipelines {
        pipelines: page.items.iter().take(LINES_MAX).map(line).collect(),
        left_out: page.items.len().saturating_sub(LINES_MAX),
    }
}

pub(super) fn pipeline(view: &PipelineView) -> Pipeline {
    Pipeline {
        name: view.name.clone(),
        stacks: view.stacks.iter().take(LINES_MAX).cloned().collect(),
        waves: view
            .waves
            .iter()
            .take(LINES_MAX)
            .map(|wave| PipelineWave { name: brief_text(&wave.name), bake_seconds: wave.bake.0 / 1000 })
            .collect(),
        cells: view
            .cells
            .iter()
            .take(LINES_MAX)
            .map(|cell| Cell {
                cell: cell.cell.to_string(),
                environment: cell.environment.clone(),
                region: cell.region.clone(),
                traffic_share: cell.traffic_share,
            })
            .collect(),
        cells_left_out: view.cells.len().saturating_sub(LINES_MAX),
        metrics: texts(&view.metrics),
        autonomy: view.autonomy.clone(),
        approvers: texts(&view.approvers),
    }
}

pub(super) fn rollout_line(line: &RolloutSummary) -> RolloutLine {
    RolloutLine {
        rollout: line.rollout.to_string(),
        title: brief_text(&line.title),
        agent: brief_text(&line.agent),
        pipeline: line.pipeline.clone(),
        created_at: line.created_at.to_string(),
        phase: line.phase.clone(),
        outcome: line.outcome.as_ref().map(word),
        preview: line.look_only,
        waves_passed: format!("{} of {}", line.waves_passed, line.waves),
        held: line.held,
        stopped: line.killed,
    }
}

pub(super) fn finding(view: &ReasonView) -> Finding {
    let mut numbers = match serde_json::to_value(&view.found.what) {
        Ok(Value::Object(what)) => what,
        _ => Map::new(),
    };
    let code = numbers.remove("code").and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default();
    Finding {
        code,
        decision: word(&view.found.follows.decision()),
        why: brief_text(&view.why),
        rule: brief_text(&view.rule),
        satisfied_by: brief_text(&view.satisfied_by),
        numbers: numbers.into_iter().map(|(name, value)| (name, bounded(value))).collect(),
    }
}

/// A value of which every list has an end.
fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(brief_text(&text)),
        Value::Array(items) => items.into_iter().take(RESOURCES_MAX).map(bounded).collect(),
        Value::Object(fields) => fields.into_iter().take(RESOURCES_MAX).map(|(k, v)| (k, bounded(v))).collect(),
        other => other,
    }
}

fn asks(view: &RequestView) -> Asks {
    Asks {
        who: view.asks.clone(),
        wanting: view.wanting.clone(),
        can_release: texts(&view.can_release),
        given: view.given.iter().take(LINES_MAX).map(|given| format!("{} ({})", given.by, given.party)).collect(),
        key_figure: view.key_figure.clone(),
        command_for_people: view.command.clone(),
    }
}

pub(super) fn admission(view: &AdmissionView) -> Admission {
    let counts = |found: &&ReasonView| !found.found.dry_run;
    let allowed = |found: &&ReasonView| found.found.follows.decision() == Decision::Allow;
    let findings = || view.found.iter().filter(counts).filter(|found| !allowed(found));
    Admission {
        decision: word(&view.decision),
        level: view.level.to_string(),
        scope: brief_text(&view.scope),
        findings: findings().take(FINDINGS_MAX).map(finding).collect(),
        findings_left_out: findings().count().saturating_sub(FINDINGS_MAX),
        noted: view.found.iter().filter(counts).filter(allowed).take(LINES_MAX).map(|f| brief_text(&f.why)).collect(),
        asks: view.request.as_ref().map(asks),
        rejected: view
            .rejected
            .as_ref()
            .map(|(by, reason)| Rejected { by: brief_text(by), reason: brief_text(reason) }),
    }
}

fn reason(explained: &words::Explained) -> Reason {
    Reason { why: brief_text(&explained.why), next: brief_text(&explained.next) }
}

pub(super) fn reasons(view: &Explanation) -> Vec<Reason> {
    view.reasons.iter().take(FINDINGS_MAX).map(reason).collect()
}

pub(super) fn explained(view: &Explanation) -> Explained {
    let waits = view.admission.iter().flat_map(|admission| &admission.waits).chain(&view.stalled);
    Explained {
        rollout: view.rollout.to_string(),
        standing: view.standing.clone(),
        reasons: reasons(view),
        admission: view.admission.as_ref().map(admission),
        waits: waits.take(FINDINGS_MAX).map(finding).collect(),
        health: view.health.iter().flat_map(|health| texts(&health.findings)).collect(),
    }
}

/// The targets of a rollout, and how many are left out.
pub(super) fn targets(view: &RolloutView) -> (Vec<Target>, usize) {
    let all = || view.waves.iter().flat_map(|wave| wave.targets.iter().map(move |target| (wave, target)));
    let shown = all().take(LINES_MAX).map(|(wave, target)| self::target(view, wave, target));
    (shown.collect(), all().count().saturating_sub(LINES_MAX))
}

fn target(view: &RolloutView, wave: &WaveView, target: &TargetView) -> Target {
    let reversibility = view.admission.as_ref().and_then(|admission| admission.reversibility.get(&target.target));
    Target {
        target: target.target.to_string(),
        environment: target.environment.clone(),
        wave: brief_text(&wave.name),
        state: target.state.clone(),
        added: target.counts.added,
        modified: target.counts.modified,
        replaced: target.counts.replaced,
        removed: target.counts.removed,
        reversibility: reversibility.map(word),
        resources: target.changes.iter().take(RESOURCES_MAX).map(resource).collect(),
        resources_left_out: target.changes.len().saturating_sub(RESOURCES_MAX),
    }
}

fn resource(change: &ResourceChange) -> String {
    let replaced = match &change.replacement {
        Some(replacement) => format!(", replacement: {}", word(replacement).to_lowercase()),
        None => String::new(),
    };
    brief_text(&format!(
        "{} {} ({}{replaced})",
        word(&change.action).to_lowercase(),
        change.logical_id,
        change.resource_type
    ))
}

/// How a rollout stands. `seen` is the cursor that the caller knows; none: nothing has changed.
pub(super) fn followed(view: &RolloutView, seen: Option<&str>) -> Followed {
    let mut followed = Followed {
        rollout: view.rollout.to_string(),
        changed: false,
        cursor: String::new(),
        done: view.phase == "ended",
        phase: view.phase.clone(),
        outcome: view.outcome.as_ref().map(word),
        decision: view.admission.as_ref().map(|admission| word(&admission.decision)),
        preview: view.look_only,
        waves: view.waves.iter().take(LINES_MAX).map(wave).collect(),
        hold: view.hold.as_ref().map(reason),
        reverting_because: view.revert.as_deref().map(brief_text),
        stopped_by: view.killed.as_deref().map(brief_text),
        health: view.health.as_ref().map(|health| health.verdict.to_string()),
        next: next(view),
    };
    followed.cursor = cursor(&followed);
    followed.changed = seen.is_some_and(|seen| seen != followed.cursor);
    followed
}

/// Names how a rollout stands, without the seconds of a bake: those change all the time and tell nothing new.
fn cursor(followed: &Followed) -> String {
    let waves: Vec<_> = followed.waves.iter().map(|wave| (&wave.name, &wave.state, &wave.targets)).collect();
    let hold = followed.hold.as_ref().map(|hold| &hold.why);
    let standing = serde_json::json!([
        followed.phase,
        followed.outcome,
        followed.decision,
        waves,
        hold,
        followed.reverting_because,
        followed.stopped_by,
        followed.health,
    ]);
    Digest::of_bytes(standing.to_string().as_bytes()).short().to_string()
}

fn wave(view: &WaveView) -> Wave {
    let mut targets = BTreeMap::new();
    for target in &view.targets {
        *targets.entry(target.state.clone()).or_insert(0) += 1;
    }
    Wave {
        name: brief_text(&view.name),
        state: view.state.clone(),
        targets,
        baked_seconds: view.baked.map(|baked| baked.0 / 1000),
        bake_seconds: view.bake.0 / 1000,
    }
}

/// What an agent does now.
fn next(view: &RolloutView) -> String {
    let decision = view.admission.as_ref().map(|admission| admission.decision);
    let rejected = view.admission.as_ref().is_some_and(|admission| admission.rejected.is_some());
    let wanting = view.admission.as_ref().and_then(|admission| admission.request.as_ref()?.wanting.as_ref());
    let text = match (&view.outcome, decision) {
        _ if view.look_only => "it only looks; explain_rollout tells what was found",
        (Some(Outcome::Succeeded), _) => "nothing: the change is out everywhere",
        (Some(Outcome::Stuck), _) => "tell a person: at least one target needs one",
        (Some(Outcome::Reverted), _) => "it is over, and what it changed was put back; explain_rollout tells why",
        (_, Some(Decision::Deny)) => {
            "nobody can approve this change; explain_rollout tells what would satisfy each finding; propose a smaller one"
        }
        // The reason for which it went back stays when it has ended: so this comes first.
        (Some(Outcome::Cancelled), _) => "it ended before it changed anything; explain_rollout tells why",
        _ if view.killed.is_some() => "somebody stopped it: only people let it go on; ask one, or withdraw_rollout",
        _ if view.revert.is_some() => "it goes back; follow_rollout until it has ended",
        _ if view.hold.is_some() || rejected => {
            "it waits for a person; explain_rollout tells why; withdraw_rollout takes it back"
        }
        (None, Some(Decision::NeedApproval)) if wanting.is_some() => {
            "people are asked; you cannot answer for them; follow_rollout, or withdraw_rollout"
        }
        (None, Some(Decision::Wait)) => {
            "it goes on by itself when what it waits for has passed; explain_rollout tells what"
        }
        (None, _) => "follow_rollout with `cursor`",
    };
    text.into()
}
