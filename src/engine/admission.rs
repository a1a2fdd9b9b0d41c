//! May this wave start? The guardrails' judgement of the plan, what people said to it, and what waits without anybody's doing.
//! Design §6; S5–S7, S10.
//!
//! The judgement is made when every target has been previewed, journaled, and made again at the moment at which the first wave would
//! start: if it has become another one by then, whatever people agreed to is void.

use super::approval::{self, Standing};
use super::guardrail::blast_radius::Moment;
use super::guardrail::exposure::{Exposure, LOOK_BACK_MAX};
use super::guardrail::{finding, judge};
use super::wave;
use crate::guard::{self, Guard};
use crate::model::decision::{Consequence, Decision, Found, Judged};
use crate::model::drill::is_drill;
use crate::model::event::Event;
use crate::model::halt::{Hold, RevertReason};
use crate::model::ids::TargetId;
use crate::model::state::{Admission, Rollout, RolloutPhase, State};
use crate::model::time::Now;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a wave may start.
#[must_use]
#[derive(Debug, PartialEq)]
pub enum Gate {
    /// It may; these facts belong to its start.
    Open(Vec<Event>),
    /// It may not, yet or ever.
    Shut {
        /// Facts to record.
        events: Vec<Event>,
        /// When to look again, where time alone may open it.
        until: Option<Timestamp>,
    },
}

impl Gate {
    fn shut(event: Event) -> Self {
        Self::Shut { events: vec![event], until: None }
    }
}

/// Whether `wave` may start now, as far as guardrails and people are asked.
pub fn gate(rollout: &Rollout, wave: usize, state: &State, now: Now) -> Gate {
    // A rollout of before there were safeguards goes on as it was let in.
    if rollout.plan.safeguards.is_none() {
        return Gate::Open(Vec::new());
    }
    let admission = &rollout.admission;
    let Some(judged) = &admission.judged else { return judged_now(rollout, state, now) };
    if let Some(refused) = refused(rollout, judged) {
        return Gate::shut(refused);
    }
    let Some(used) = use_approvals(rollout, judged, wave, now) else {
        return Gate::Shut { events: Vec::new(), until: None };
    };
    let found = judge::waits(state, rollout, wave, now.wall);
    let mut events = Vec::new();
    if found != admission.waits {
        events.push(Event::RolloutWaits { rollout: rollout.plan.rollout.clone(), found: found.clone() });
    }
    let blocking: Vec<&Found> = found.iter().filter(|found| !found.dry_run).collect();
    if !blocking.is_empty() {
        return Gate::Shut { events, until: opens_at(&blocking) };
    }
    events.extend(used);
    Gate::Open(events)
}

/// The judgement, when it is not there yet.
pub fn judged_now(rollout: &Rollout, state: &State, now: Now) -> Gate {
    let id = rollout.plan.rollout.clone();
    match judge::judge(state, rollout, now.wall) {
        Ok(judged) => Gate::shut(Event::GuardrailsJudged { rollout: id, judged: Arc::new(judged) }),
        // INVARIANT: S24. What has no digest cannot be approved.
        Err(error) if rollout.hold.is_none() => {
            let hold = Hold::NotJudged { reason: error.to_string() };
            Gate::shut(Event::RolloutHeld { rollout: id, hold })
        }
        Err(_) => Gate::Shut { events: Vec::new(), until: None },
    }
}

/// What a first wave's start records: the facts of its gate and the start itself; or another judgement, where it has become another one.
pub fn start(rollout: &Rollout, state: &State, opening: Vec<Event>, now: Now) -> Vec<Event> {
    let id = rollout.plan.rollout.clone();
    if let Some(before) = &rollout.admission.judged {
        match judge::judge(state, rollout, now.wall) {
            Ok(judged) if judged.digest == before.digest => {}
            Ok(judged) => return vec![Event::GuardrailsJudged { rollout: id, judged: Arc::new(judged) }],
            Err(error) => {
                return vec![Event::RolloutHeld { rollout: id, hold: Hold::NotJudged { reason: error.to_string() } }];
            }
        }
    }
    let mut events = opening;
    events.push(Event::WaveStarted { rollout: id, wave: 0 });
    events
}

fn refused(rollout: &Rollout, judged: &Judged) -> Option<Event> {
    let reason = match (&rollout.admission.rejected, judged.decision) {
        (Some((by, reason)), _) => RevertReason::Rejected { by: by.clone(), reason: reason.clone() },
        (None, Decision::Deny) => RevertReason::Denied,
        _ => return None,
    };
    Some(Event::RevertStarted { rollout: rollout.plan.rollout.clone(), reason })
}

/// INVARIANT: S6, S7. The fact that approvals were used for this wave, where people are asked and none were used for it yet; none: too
/// few have agreed.
fn use_approvals(rollout: &Rollout, judged: &Judged, wave: usize, now: Now) -> Option<Option<Event>> {
    if rollout.admission.covers(wave) || !guard::holds(Guard::ApprovalBeforeWave) {
        return Some(None);
    }
    let request = judged.request.as_ref()?;
    let given = &rollout.admission.given;
    match approval::standing(request, given, now.wall) {
        Standing::Granted { through_wave } if through_wave >= wave => Some(Some(Event::ApprovalsUsed {
            rollout: rollout.plan.rollout.clone(),
            digest: judged.digest.clone(),
            by: approval::counting(request, given, now.wall).map(|given| given.by.name.clone()).collect(),
            through_wave,
            at: now.wall,
        })),
        Standing::Granted { .. } | Standing::Wanting(_) => None,
    }
}

/// When time alone opens it: the latest of what it waits for; none where something waits for more than time.
fn opens_at(blocking: &[&Found]) -> Option<Timestamp> {
    let times = blocking.iter().map(|found| match found.follows {
        Consequence::Waits { until } => until,
        Consequence::Needs(_) => None,
    });
    times.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
}

/// INVARIANT: S6, S7. The issuer's look, from the record alone: approvals that were used for this wave are there, and each of them
/// counted at the time.
pub fn is_covered(admission: &Admission, wave: usize) -> bool {
    let Some(judged) = &admission.judged else { return false };
    match judged.decision {
        Decision::Allow | Decision::Wait => true,
        Decision::Deny => false,
        Decision::NeedApproval => {
            let (Some(request), Some(used)) = (&judged.request, &admission.used) else { return false };
            let granted = approval::standing(request, &used.approvals, used.at);
            used.digest == judged.digest
                && used.through_wave >= wave
                && matches!(granted, Standing::Granted { through_wave } if through_wave >= wave)
        }
    }
}

/// Targets that may start now.
#[derive(Debug, Default)]
pub struct Room {
    /// Which.
    pub may: BTreeSet<TargetId>,
    /// When time alone may let another one start.
    pub until: Option<Timestamp>,
}

impl Room {
    fn of(may: BTreeSet<TargetId>) -> Self {
        Self { may, until: None }
    }
}

/// INVARIANT: S10. Of the targets of a wave that could start now, those that may. `motion` is what is in motion in this pass, over
/// every rollout, and what this pass lets go besides; it is only counted where a limit asks for it.
pub fn within_limits(
    state: &State,
    rollout: &Rollout,
    wave: usize,
    chosen: BTreeSet<TargetId>,
    motion: &mut Option<Exposure>,
    at: Timestamp,
) -> Room {
    if is_drill(&rollout.plan) {
        return Room::of(chosen);
    }
    if chosen.is_empty() || !state.open_rollouts().any(has_limits) || !guard::holds(Guard::BlastRadiusAtIssue) {
        return Room::of(chosen);
    }
    let exposure = motion.get_or_insert_with(|| in_motion(state, at));
    let room = match Moment::new(rollout, wave, exposure, at) {
        Some(moment) => that_may(rollout, chosen, moment),
        None => Room::of(chosen),
    };
    *exposure = exposure.with(rollout, wave, &room.may, at);
    room
}

fn that_may(rollout: &Rollout, chosen: BTreeSet<TargetId>, mut moment: Moment<'_>) -> Room {
    let mut room = Room::default();
    for id in chosen {
        let resources = rollout.targets.get(&id).map_or(u32::MAX, finding::resources_of);
        match moment.judge(&id, resources).filter(|found| !found.dry_run) {
            Some(met) => room.until = room.until.into_iter().chain(opens_at(&[&met])).min(),
            None => {
                moment.begin(&id, resources);
                room.may.insert(id);
            }
        }
    }
    room
}

fn in_motion(state: &State, at: Timestamp) -> Exposure {
    Exposure::of(state, finding::before(at, LOOK_BACK_MAX))
}

fn has_limits(rollout: &Rollout) -> bool {
    rollout.plan.safeguards.as_ref().is_some_and(|s| s.guardrails.blast_radius.is_some())
}

/// Why operations that could start now do not: the limits of the moment that they meet, each once.
pub fn stalled(state: &State, rollout: &Rollout, at: Timestamp) -> Vec<Found> {
    let RolloutPhase::Rolling { wave } = rollout.phase else { return Vec::new() };
    let exposure = in_motion(state, at);
    let Some(moment) = Moment::new(rollout, wave, &exposure, at) else { return Vec::new() };
    let mut found: Vec<Found> = Vec::new();
    for id in wave::next_targets(rollout, wave) {
        let resources = rollout.targets.get(&id).map_or(u32::MAX, finding::resources_of);
        found.extend(moment.judge(&id, resources).filter(|met| !found.contains(met)));
    }
    found
}
