//! How many rollouts have begun without a person within a time.

use super::finding::{Origin, agent_of, before};
use crate::model::class::Autonomy;
use crate::model::decision::{Consequence, Found, Reason, SumOf};
use crate::model::drill::is_drill;
use crate::model::plan::Plan;
use crate::model::safeguards::{Rate, Set};
use crate::model::state::{Rollout, State};
use jiff::Timestamp;

/// Whether one more may begin without a person; empty: it may. The rollout itself does not count. To be asked again when the first
/// wave begins: others may have begun since the judgement.
pub fn findings(rollout: &Rollout, state: &State, at: Timestamp) -> Vec<Found> {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Vec::new() };
    let Some(guardrail) = &safeguards.guardrails.rate else { return Vec::new() };
    let Rate { per, agent, pipeline, fleet } = &guardrail.rule;
    let begun = begun(rollout, state, before(at, *per));
    let own = agent_of(&rollout.plan);
    let through = &rollout.plan.pipeline.name;
    let rows: [(SumOf, &Option<Set<u32>>, &str, usize); 3] = [
        (SumOf::Agent(own.to_string()), agent, "agent", begun.iter().filter(|p| agent_of(p) == own).count()),
        (
            SumOf::Pipeline(through.clone()),
            pipeline,
            "pipeline",
            begun.iter().filter(|p| p.pipeline.name == *through).count(),
        ),
        (SumOf::Fleet, fleet, "fleet", begun.len()),
    ];
    let origin = Origin::new(safeguards, guardrail.dry_run);
    let too_often = rows.into_iter().filter_map(|(of, max, name, started)| {
        let max = (*max)?;
        let started = u32::try_from(started).unwrap_or(u32::MAX);
        let what = Reason::TooOften { of, started, max: max.is, per: *per };
        let rule = format!("guardrails.rate.{name}");
        (started >= max.is).then(|| origin.found(what, max.line, rule, Consequence::Needs(Autonomy::OneApproval)))
    });
    too_often.collect()
}

/// The plans of other rollouts that nobody was asked about and that were first touched after `since`.
fn begun<'a>(rollout: &Rollout, state: &'a State, since: Timestamp) -> Vec<&'a Plan> {
    let others = state.rollouts.values().filter(|other| other.plan.rollout != rollout.plan.rollout);
    let others = others.filter(|other| !is_drill(&other.plan));
    let alone = others.filter(|other| {
        // One of the time before there were judgements began without a person, too.
        other.admission.judged.as_ref().is_none_or(|judged| judged.level == Autonomy::Autonomous)
    });
    let recent = alone.filter(|other| {
        let first = other.targets.values().filter_map(|target| target.touched_at).min();
        first.is_some_and(|first| first > since)
    });
    recent.map(|other| &*other.plan).collect()
}
