//! Who imports what the changed stacks export.

use super::finding::{Origin, changing};
use crate::model::change_set::Action;
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::ids::TargetId;
use crate::model::plan::PlannedTarget;
use crate::model::state::{Rollout, Target};
use std::collections::BTreeMap;

/// One finding for each target whose exports others import, or of which nobody could say.
///
/// An importer that is a target of the same rollout counts like any other: it is changed before or after, not with it, and in between
/// it rests on an export that may be gone.
pub fn findings(rollout: &Rollout) -> Vec<Found> {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Vec::new() };
    let Some(guardrail) = &safeguards.guardrails.dependents else { return Vec::new() };
    let (origin, level) = (Origin::new(safeguards, guardrail.dry_run), guardrail.rule.imported);
    let reasons = changing(rollout).filter_map(|(id, planned, target)| look(id, planned, target));
    let rule = "guardrails.dependents.imported";
    reasons.map(|what| origin.found(what, level.line, rule, Consequence::Needs(level.is))).collect()
}

fn look(id: &TargetId, planned: &PlannedTarget, target: &Target) -> Option<Reason> {
    // Nobody imports from a stack that does not exist yet.
    if planned.action == Action::Create {
        return None;
    }
    let Some(exports) = target.context.as_ref().and_then(|context| context.exports.as_ref()) else {
        return Some(Reason::ImportersUnknown { target: id.clone() });
    };
    let imported = exports.iter().filter(|(_, importers)| !importers.is_empty());
    let exports: BTreeMap<_, _> = imported.map(|(export, importers)| (export.clone(), importers.clone())).collect();
    (!exports.is_empty()).then(|| Reason::Imported { target: id.clone(), exports })
}
