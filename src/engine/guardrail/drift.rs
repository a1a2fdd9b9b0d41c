//! Whether the stacks are as their templates say: what the provider found when it last looked.

use super::finding::{Origin, changing};
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::ids::TargetId;
use crate::model::stack::{DriftStatus, RestorePoint};
use crate::model::state::{Rollout, Target};
use crate::model::time::{Millis, since};
use jiff::Timestamp;

enum Look {
    AsItShouldBe,
    Drifted,
    Unknown,
}

/// One finding for each drifted target, and one for all of which nothing is known.
pub fn findings(rollout: &Rollout, at: Timestamp) -> Vec<Found> {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Vec::new() };
    let Some(guardrail) = &safeguards.guardrails.drift else { return Vec::new() };
    let (origin, rule) = (Origin::new(safeguards, guardrail.dry_run), guardrail.rule);
    let mut found = Vec::new();
    let mut unknown: Option<(u32, &TargetId)> = None;
    for (id, _, target) in changing(rollout) {
        match look(target, rule.max_age, at) {
            Look::AsItShouldBe => {}
            Look::Drifted => {
                let what = Reason::Drifted { target: id.clone() };
                let follows = Consequence::Needs(rule.drifted.is);
                found.push(origin.found(what, rule.drifted.line, "guardrails.drift.drifted", follows));
            }
            Look::Unknown => {
                let (targets, example) = unknown.unwrap_or((0, id));
                unknown = Some((targets.saturating_add(1), example));
            }
        }
    }
    if let Some((targets, example)) = unknown {
        let what = Reason::DriftUnknown { targets, example: example.clone() };
        let follows = Consequence::Needs(rule.unknown.is);
        found.push(origin.found(what, rule.unknown.line, "guardrails.drift.unknown", follows));
    }
    found
}

fn look(target: &Target, max_age: Millis, at: Timestamp) -> Look {
    let view = match target.restore_point.as_deref() {
        // A stack that is created has nothing to drift from.
        Some(RestorePoint::Absent) => return Look::AsItShouldBe,
        Some(RestorePoint::Stack(record)) => record.view.drift.as_ref(),
        None => None,
    };
    let Some(view) = view else { return Look::Unknown };
    match &view.status {
        // However long ago: nobody has seen it mended since.
        DriftStatus::Drifted => Look::Drifted,
        DriftStatus::InSync if view.checked_at.is_some_and(|checked| is_recent(checked, max_age, at)) => {
            Look::AsItShouldBe
        }
        DriftStatus::InSync | DriftStatus::Unknown_ | DriftStatus::NotChecked | DriftStatus::Unknown(_) => {
            Look::Unknown
        }
    }
}

/// The provider's clock may be a little ahead of ours; a look from far in the future says nothing.
fn is_recent(checked: Timestamp, max_age: Millis, at: Timestamp) -> bool {
    let age = since(checked, at).max(since(at, checked));
    age <= max_age.duration()
}
