//! What every guardrail needs: which targets count, which number is too much, and how a finding names its rule.

use crate::model::decision::{Cause, Consequence, Found, Reason};
use crate::model::event::Settlement;
use crate::model::ids::TargetId;
use crate::model::plan::{Plan, PlannedTarget};
use crate::model::preview::PreviewCounts;
use crate::model::principal::PrincipalKind;
use crate::model::safeguards::Safeguards;
use crate::model::state::{Phase, Rollout, Target};
use crate::model::time::Millis;
use jiff::{SignedDuration, Timestamp};
use std::cmp::Ordering;
use std::sync::Arc;

/// Sums of shares such as 0.1 + 0.2 are a little off; limits are written with a few digits.
const TOLERANCE: f64 = 1e-6;

/// Where a guardrail's findings come from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub file: &'a str,
    pub dry_run: bool,
}

impl<'a> Origin<'a> {
    pub fn new(safeguards: &'a Safeguards, dry_run: bool) -> Self {
        Self { file: &safeguards.file, dry_run }
    }

    pub fn found(self, what: Reason, line: u32, rule: impl Into<String>, follows: Consequence) -> Found {
        let cause = Cause { file: self.file.to_owned(), line, rule: rule.into() };
        Found { what, cause: Some(cause), follows, dry_run: self.dry_run }
    }
}

/// True when `reach` is more than `max`, or one of them is no number (S24).
pub(super) fn exceeds(reach: f64, max: f64) -> bool {
    !matches!(reach.partial_cmp(&(max + TOLERANCE)), Some(Ordering::Less | Ordering::Equal))
}

/// `at` moved back by `span`, or the earliest time there is.
pub fn before(at: Timestamp, span: Millis) -> Timestamp {
    signed(span).and_then(|span| at.checked_sub(span).ok()).unwrap_or(Timestamp::MIN)
}

/// `at` moved on by `span`, or the latest time there is.
pub(super) fn after(at: Timestamp, span: Millis) -> Timestamp {
    signed(span).and_then(|span| at.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}

fn signed(span: Millis) -> Option<SignedDuration> {
    i64::try_from(span.0).ok().map(SignedDuration::from_millis)
}

/// Whom a plan comes from, in one spelling: another way to write a name is not another agent.
pub fn agent_of(plan: &Plan) -> Arc<str> {
    let name = plan.proposer.as_ref().map_or(&plan.change_set.agent, |proposer| &proposer.name);
    name.trim().to_lowercase().into()
}

/// True unless it is known that a person or a service proposed it: rules are stricter for agents.
pub fn is_of_agent(plan: &Plan) -> bool {
    plan.proposer.as_ref().is_none_or(|proposer| proposer.kind == PrincipalKind::Agent)
}

/// How many resources a preview changes, nested stacks' resources included.
pub(super) fn resources(counts: &PreviewCounts, classified: usize) -> u32 {
    let counted = counts.added.saturating_add(counts.modified).saturating_add(counts.replaced);
    counted.saturating_add(counts.removed).max(u32::try_from(classified).unwrap_or(u32::MAX))
}

/// How many resources of a target change, as far as it is previewed.
pub fn resources_of(target: &Target) -> u32 {
    resources(&target.counts, target.classified.as_ref().map_or(0, |classified| classified.changes.len()))
}

/// The targets with something to do: all but those that are as wanted already, or were left out.
pub(super) fn changing(rollout: &Rollout) -> impl Iterator<Item = (&TargetId, &PlannedTarget, &Target)> {
    // Both maps have the same keys (`Rollout::new`): side by side they need no look-up.
    let both = rollout.plan.targets.iter().zip(rollout.targets.values());
    both.map(|((id, planned), target)| (id, planned, target)).filter(|(_, _, target)| !is_unchanged(target))
}

pub(super) fn is_unchanged(target: &Target) -> bool {
    matches!(target.phase, Phase::Settled(Settlement::Unchanged))
}
