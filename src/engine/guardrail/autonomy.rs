//! What people must say to the classes of a change, and what an agent has lost by reverts.

use super::finding::{Origin, agent_of, changing, resources_of};
use crate::guard::{self, Guard};
use crate::model::class::{Autonomy, ChangeClass, Classified};
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::event::Outcome;
use crate::model::halt::RevertReason;
use crate::model::ids::RolloutId;
use crate::model::plan::Plan;
use crate::model::safeguards::{Earned, Safeguards};
use crate::model::state::{Rollout, State};
use std::collections::BTreeMap;

/// Targets and resources of one class, at [`ChangeClass::ALL`]'s index.
type Counts = [(u32, u32); ChangeClass::ALL.len()];

/// One finding for each class that occurs in an environment, and one for autonomy that was lost.
pub fn levels(rollout: &Rollout, state: &State) -> Vec<Found> {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Vec::new() };
    let origin = Origin::new(safeguards, false);
    let mut found = Vec::new();
    let mut highest: Option<Autonomy> = None;
    for (environment, counts) in count(rollout) {
        let judged = |class: ChangeClass| class != ChangeClass::Opaque || guard::holds(Guard::OpaqueIsWorst);
        let occur = ChangeClass::ALL.into_iter().zip(counts).filter(|(class, (n, _))| *n > 0 && judged(*class));
        for (class, (targets, resources)) in occur {
            let level = safeguards.autonomy.of(environment, class);
            highest = highest.max(Some(level.is));
            let what = Reason::Class { environment: environment.to_owned(), class, targets, resources };
            let rule = format!("autonomy.{environment}.{class}");
            found.push(origin.found(what, level.line, rule, Consequence::Needs(level.is)));
        }
    }
    let earned = safeguards.autonomy.earned.as_ref().zip(highest);
    found.extend(earned.and_then(|(earned, level)| lost(rollout, state, earned, level, safeguards)));
    found
}

fn count(rollout: &Rollout) -> BTreeMap<&str, Counts> {
    let mut environments: BTreeMap<&str, Counts> = BTreeMap::new();
    for (_, planned, target) in changing(rollout) {
        let counts = environments.entry(&planned.environment).or_default();
        match &target.classified {
            Some(classified) => add(counts, classified),
            // INVARIANT: S22, S24. What nobody has classified is opaque.
            None => note(counts, ChangeClass::Opaque, 1, resources_of(target)),
        }
    }
    environments
}

fn add(counts: &mut Counts, classified: &Classified) {
    let mut occurs = [false; ChangeClass::ALL.len()];
    let own = classified.classes.iter().map(|class| (class, 0));
    let theirs = classified.changes.iter().flat_map(|change| &change.classes).map(|class| (class, 1));
    // A class of the target as a whole (a macro) has no resource of its own.
    for (class, resources) in own.chain(theirs) {
        note(counts, *class, 0, resources);
        if let Some(occurs) = occurs.get_mut(index(*class)) {
            *occurs = true;
        }
    }
    for (class, _) in ChangeClass::ALL.into_iter().zip(occurs).filter(|(_, occurs)| *occurs) {
        note(counts, class, 1, 0);
    }
}

fn note(counts: &mut Counts, class: ChangeClass, targets: u32, resources: u32) {
    if let Some((known_targets, known_resources)) = counts.get_mut(index(class)) {
        *known_targets = known_targets.saturating_add(targets);
        *known_resources = known_resources.saturating_add(resources);
    }
}

fn index(class: ChangeClass) -> usize {
    ChangeClass::ALL.iter().position(|known| *known == class).unwrap_or(ChangeClass::ALL.len())
}

/// What an agent's rollouts through a pipeline have come to.
#[derive(Default)]
struct Record {
    /// Reverts that are not made good.
    owed: u32,
    /// Rollouts in a row that ended well.
    clean: u32,
    reverted: Option<RolloutId>,
}

fn lost(rollout: &Rollout, state: &State, earned: &Earned, level: Autonomy, safeguards: &Safeguards) -> Option<Found> {
    let needed = earned.return_after.is.max(1);
    let record = record(&rollout.plan, state, needed);
    let reverted = record.reverted.filter(|_| record.owed > 0)?;
    let dropped = (0..record.owed.min(2)).fold(level, |level, _| level.dropped());
    let agent = agent_of(&rollout.plan).to_string();
    let what = Reason::AutonomyLost { agent, reverted, clean: record.clean, needed };
    let origin = Origin::new(safeguards, false);
    Some(origin.found(what, earned.return_after.line, "autonomy.earned.return_after", Consequence::Needs(dropped)))
}

/// Goes through the agent's rollouts in the order in which they ended. Each revert takes one step; so many that ended well in a row
/// give one back.
fn record(plan: &Plan, state: &State, needed: u32) -> Record {
    let agent = agent_of(plan);
    let of_agent = |other: &&Rollout| other.plan.pipeline.name == plan.pipeline.name && agent_of(&other.plan) == agent;
    let ended = state.rollouts.values().filter_map(|other| other.ended.map(|ended| (ended, other)));
    let mut ended: Vec<(u64, &Rollout)> = ended.filter(|(_, other)| of_agent(other)).collect();
    ended.sort_by_key(|(ended, _)| *ended);
    let mut record = Record::default();
    for (_, other) in ended {
        if went_back(other) {
            record.owed = record.owed.saturating_add(1);
            record.clean = 0;
            record.reverted = Some(other.plan.rollout.clone());
        } else if other.outcome() == Some(Outcome::Succeeded) {
            record.clean += 1;
            if record.clean == needed {
                record.owed = record.owed.saturating_sub(1);
                record.clean = 0;
            }
        }
    }
    record
}

/// Something was touched and had to go back. What was refused, rejected or only looked at says nothing about the agent.
fn went_back(rollout: &Rollout) -> bool {
    let touched = matches!(rollout.outcome(), Some(Outcome::Reverted | Outcome::Stuck));
    touched
        && match rollout.revert {
            Some(RevertReason::PlanOnly | RevertReason::Denied | RevertReason::Rejected { .. }) => false,
            Some(
                RevertReason::GateFailed { .. }
                | RevertReason::WaveFailed { .. }
                | RevertReason::Killed { .. }
                | RevertReason::Requested { .. }
                | RevertReason::Withdrawn { .. },
            )
            | None => true,
        }
}
