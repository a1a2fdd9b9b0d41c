//! Whether the kills have been tried lately: no start without a drill that passed.

use super::finding::{Origin, before};
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::drill::Drill;
use crate::model::state::{Rollout, State};
use jiff::Timestamp;

/// What a start waits for; empty: a drill that passed is recent enough. Asked before the first wave only: half a rollout is no safe
/// place to wait in, and it can be stopped by whatever worked when it began.
pub fn findings(rollout: &Rollout, state: &State, at: Timestamp) -> Vec<Found> {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Vec::new() };
    let Some(guardrail) = &safeguards.guardrails.kill_drill else { return Vec::new() };
    let (max_age, origin) = (guardrail.rule.max_age, Origin::new(safeguards, guardrail.dry_run));
    let newest = newest_passed(&state.drills, at);
    if newest.is_some_and(|newest| newest >= before(at, max_age.is)) {
        return Vec::new();
    }
    let what = Reason::KillDrill { newest, max_age: max_age.is };
    let follows = Consequence::Waits { until: None };
    vec![origin.found(what, max_age.line, "guardrails.kill_drill.max_age", follows)]
}

/// INVARIANT: S26. When the newest drill passed that is not of the future: a clock that was set back proves nothing.
fn newest_passed(drills: &[Drill], at: Timestamp) -> Option<Timestamp> {
    drills.iter().filter(|drill| drill.passed() && drill.at <= at).map(|drill| drill.at).max()
}
