//! The invariants of `docs/architecture.md`, by number, judged from what a [`Ledger`] sees. Each says where it is judged: at a
//! record, at an act of the provider, or at the end of a turn.

use super::ledger::{Ledger, Promise, Truth};
use super::scenario::Kind;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use wavegate::cloud::Priority;
use wavegate::cloud::sim::{Act, Operation as Call};
use wavegate::daemon::issuer::Objection;
use wavegate::engine::effect::{Class, Effect};
use wavegate::journal::tap::Write;
use wavegate::model::event::{Direction, Event, Operation, OperationCall, Settlement};
use wavegate::model::ids::Epoch;
use wavegate::model::stack::{RestorePoint, Scope, StackStatus};
use wavegate::model::state::{Phase, Rollout, State, Target};
use wavegate::model::time::since;

/// Judged before a record is applied.
pub fn before_event(ledger: &mut Ledger, event: &Event, now: Timestamp, truth: &Truth) {
    match event {
        Event::RolloutProposed { .. } => invariant_s16(ledger, event),
        Event::RestorePointCaptured { .. } => {
            invariant_s24_captured(ledger, event);
        }
        Event::OperationIntended { .. } => invariant_s14(ledger, event),
        Event::OperationNotStarted { .. } => invariant_s9_not_started(ledger, event),
        Event::OperationEnded { .. } if truth.running => {
            ledger.broken("S9", format!("recorded as ended while it goes on: {event:?}"));
        }
        Event::TargetSettled { .. } => invariant_s9_settled(ledger, event, now, truth),
        Event::GatePassed { .. } => {
            invariant_s11(ledger, event, now);
            invariant_s26_bake(ledger, event);
        }
        Event::KillLifted { by, .. } => super::consent::invariant_s6_orders(ledger, by, "lifts a kill"),
        Event::KillAcknowledged { kill } => {
            let pending = ledger.state.kills.get(kill).map(|k| ledger.state.pending_of(&k.kill)).unwrap_or_default();
            if !pending.is_empty() {
                ledger.broken("S2", format!("{kill} is acknowledged while {pending:?} may still start"));
            }
        }
        _ => {}
    }
}

/// Judged after a record is applied.
pub fn after_event(ledger: &mut Ledger, event: &Event, now: Timestamp) {
    if let Event::LeaderStarted { .. } = event {
        // What was tried before is not known to the new one: it counts from its own start.
        ledger.free_since = now;
        invariant_l4(ledger, now);
    }
}

/// S4: no record of an older leader after one of a newer.
pub fn invariant_s4_writes(ledger: &mut Ledger, write: Write<'_>) {
    let newest = ledger.state.epoch;
    if write.epoch < newest {
        ledger.broken("S4", format!("the daemon of epoch {} writes while {newest} leads", write.epoch));
    }
}

/// S16: one rollout at a time owns a target.
fn invariant_s16(ledger: &mut Ledger, event: &Event) {
    let Event::RolloutProposed { plan, .. } = event else { return };
    if let Some(owner) = plan.targets.values().find_map(|t| ledger.state.owner_of(t)) {
        let owner = owner.plan.rollout.clone();
        ledger.broken("S16", format!("{} takes a target of {owner}", plan.rollout));
    }
}

/// S24: a stack in a status that is not known to be settled is not touched.
fn invariant_s24_captured(ledger: &mut Ledger, event: &Event) {
    let Event::RestorePointCaptured { target, restore_point, .. } = event else { return };
    if let RestorePoint::Stack(record) = &**restore_point
        && !record.view.status.is_settled_complete()
    {
        ledger.broken("S24", format!("{target} was taken in status {}", record.view.status));
    }
}

/// S14: no target of wave n is reverted while a touched target of a later wave is unsettled.
fn invariant_s14(ledger: &mut Ledger, event: &Event) {
    let Event::OperationIntended { rollout, target, operation } = event else { return };
    let Some(rollout) = ledger.state.rollouts.get(rollout) else { return };
    if operation.direction != Direction::Revert || matches!(operation.call, OperationCall::ContinueRollback { .. }) {
        return;
    }
    // A stack whose creation failed is deleted as part of the same try, not as a step of the revert.
    if rollout.targets.get(target).is_none_or(|t| matches!(t.phase, Phase::Ended { .. })) {
        return;
    }
    let Some(wave) = rollout.plan.targets.get(target).map(|t| t.wave) else { return };
    let later = (wave + 1..rollout.plan.waves.len()).find(|w| rollout.wave_states(*w).any(Target::needs_revert));
    if let Some(later) = later {
        ledger.broken("S14", format!("{target} of wave {wave} goes back before wave {later} is settled"));
    }
}

/// S9: what the provider has started is not recorded as not started.
fn invariant_s9_not_started(ledger: &mut Ledger, event: &Event) {
    let Event::OperationNotStarted { rollout, target, .. } = event else { return };
    let operation =
        ledger.state.rollouts.get(rollout).and_then(|r| r.targets.get(target)).and_then(|t| t.operation()).cloned();
    if operation.is_some_and(|op| ledger.accepted.contains(&op.token)) {
        ledger.broken("S9", format!("{target}: recorded as not started, and the provider has started it"));
    }
}

/// S9, S15, L1: applied and restored are what the provider shows.
fn invariant_s9_settled(ledger: &mut Ledger, event: &Event, now: Timestamp, truth: &Truth) {
    let Event::TargetSettled { rollout, target, settlement } = event else { return };
    let Some(planned) = ledger.planned(rollout, target).cloned() else { return };
    if let Settlement::Applied { left } = settlement
        && left.content.as_ref().is_some_and(|content| ledger.of_persons.contains(content))
    {
        ledger.broken("S9", format!("{target} is recorded as applied, and a person had changed it"));
    }
    let stack = planned.stack.clone();
    let wanted = planned.template.clone().or_else(|| truth.template.clone());
    if ledger.lately_edited(&stack, now) {
        return;
    }
    let restore_point = ledger.state.rollouts.get(rollout).and_then(|r| r.targets.get(target));
    let original = restore_point.and_then(|t| t.restore_point.as_deref()).and_then(|point| match point {
        RestorePoint::Stack(record) => record.content_digest().ok(),
        RestorePoint::Absent => None,
    });
    match settlement {
        Settlement::Applied { .. } if truth.template != wanted => {
            ledger.broken("S9", format!("{target} is recorded as applied, and {stack} has another template"));
        }
        Settlement::Restored { .. } if truth.content != original => {
            ledger.broken("S9", format!("{target} is recorded as restored, and {stack} is not as before"));
        }
        _ => {}
    }
}

/// S11: a gate passes only at the end of the whole bake, on evidence that can be trusted, of a service that is well.
fn invariant_s11(ledger: &mut Ledger, event: &Event, now: Timestamp) {
    let Event::GatePassed { rollout: id, wave, .. } = event else { return };
    let Some((rollout, bake)) = ledger.state.rollouts.get(id).zip(ledger.bakes.get(&(id.clone(), *wave))) else {
        return ledger.broken("S11", format!("{id} passes the gate of wave {wave}, which never baked"));
    };
    let planned = rollout.plan.waves.get(*wave).map_or(Duration::ZERO, |w| w.bake.duration());
    let lasted = since(bake.began, now);
    let began = bake.began;
    let cells = rollout.plan.cells_through(*wave);
    let untrusted = ledger.untrusted.iter().find(|(cell, at)| cells.contains(cell) && **at <= began);
    let untrusted = untrusted.map(|(cell, _)| cell.clone());
    // The provider's clock is known by the time stamps of its changes alone: where nothing was changed, a daemon whose clock is
    // slow by a year asks for the metrics of last year. It lets no change through by them.
    let changed = rollout.targets.values().any(|t| t.left.is_some());
    let untrusted = untrusted.filter(|_| changed || !ledger.slow_clock);
    // A metric that is good every other minute lies; a short bake may see a good minute alone.
    let lies = cells.iter().any(|cell| ledger.lying.contains(cell));
    let bad = ledger.kinds.get(id) == Some(&Kind::Bad) && !is_mended(ledger, rollout) && !lies;
    // The clock of the world has milliseconds.
    if lasted + Duration::from_millis(5) < planned {
        ledger.broken("S11", format!("{id} passes the gate of wave {wave} after {lasted:?} of {planned:?}"));
    }
    if let Some(cell) = untrusted {
        ledger
            .broken("S11", format!("{id} passes the gate of wave {wave} on evidence of {cell} that cannot be trusted"));
    }
    if bad {
        ledger.broken("S11", format!("{id} passes the gate of wave {wave} while the service is broken"));
    }
}

fn is_mended(ledger: &Ledger, rollout: &Rollout) -> bool {
    rollout.plan.targets.values().any(|t| ledger.edited.contains_key(&t.stack))
}

/// S26: watched time is the time between looks, and a stall is not watching: so many looks there must have been.
fn invariant_s26_bake(ledger: &mut Ledger, event: &Event) {
    let Event::GatePassed { rollout: id, wave, .. } = event else { return };
    let Some((rollout, bake)) = ledger.state.rollouts.get(id).zip(ledger.bakes.get(&(id.clone(), *wave))) else {
        return;
    };
    let planned = rollout.plan.waves.get(*wave).map_or(Duration::ZERO, |w| w.bake.duration());
    let longest = rollout.plan.health.interval.duration() * 2 + Duration::from_secs(6);
    let looks = bake.looks;
    if longest * looks < planned {
        ledger.broken("S26", format!("{id} passes the gate of wave {wave} after {looks} looks in {planned:?}"));
    }
}

/// L4: a dead leader is replaced within the lease and five seconds.
fn invariant_l4(ledger: &mut Ledger, now: Timestamp) {
    if let Some(dead) = ledger.leaderless_since.take() {
        let took = since(dead, now);
        if took > wavegate::daemon::leader::LEASE + Duration::from_secs(5) {
            ledger.broken("L4", format!("a dead leader was replaced after {took:?}"));
        }
    }
}

/// Judged when the provider acts on a call.
pub fn acted(ledger: &mut Ledger, act: &Act) {
    ledger.steps += 1;
    if !act.took_effect {
        return;
    }
    match act.record.operation {
        Call::CreateChangeSet => invariant_s4_names(ledger, act),
        Call::ExecuteChangeSet | Call::DeleteStack | Call::ContinueRollback => started(ledger, act),
        _ => {}
    }
}

/// S4 (rule R3): a change set's name carries its epoch and is never used twice.
fn invariant_s4_names(ledger: &mut Ledger, act: &Act) {
    let name = act.record.change_set.clone().unwrap_or_default();
    let epoch = name.rsplit_once("-e").and_then(|(_, epoch)| epoch.parse::<u64>().ok());
    if epoch.is_none_or(|epoch| epoch == 0) {
        ledger.broken("S4", format!("the change set {name} does not carry its epoch"));
    }
    let full = format!("{}/{name}", act.record.stack.as_deref().unwrap_or_default());
    // Delivered twice, or vanished and made anew by a repeated delivery: the same request under the same name.
    ledger.names.insert(full);
}

/// S3: without an intent nothing is removed but an empty stack.
fn invariant_s3_shell(ledger: &mut Ledger, act: &Act) {
    let found = act.found.as_ref().map(|found| found.status.clone());
    if found != Some(StackStatus::ReviewInProgress) {
        let stack = act.record.stack.clone().unwrap_or_default();
        let found = found.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
        ledger.broken("S3", format!("{stack} is removed as an empty stack, and is {found}"));
    }
}

fn operation_leads_back(operation: &Operation) -> bool {
    operation.direction == Direction::Revert || matches!(operation.call, OperationCall::ContinueRollback { .. })
}

fn started(ledger: &mut Ledger, act: &Act) {
    let Some(token) = act.record.token.clone() else { return };
    // A deletion that is delivered again, of a stack that is being deleted, starts nothing.
    let again = act
        .found
        .as_ref()
        .is_none_or(|f| matches!(f.status, StackStatus::DeleteInProgress | StackStatus::DeleteComplete));
    if act.record.operation == Call::DeleteStack && again {
        return;
    }
    if token.as_str() == "wg-remove-shell" {
        return invariant_s3_shell(ledger, act);
    }
    // S3: the intent is durable before the call can have an effect.
    let Some(intent) = ledger.intents.get(&token).cloned() else {
        return ledger.broken("S3", format!("the provider starts {token}, and no durable intent names it"));
    };
    let operation = &intent.operation;
    // A daemon that stood still after its last check sends what it was about to send. What nothing can fence then starts late; it can
    // only lead back.
    let unfenced = matches!(act.record.operation, Call::ContinueRollback | Call::DeleteStack);
    let late = unfenced && ledger.stood_still && operation_leads_back(operation);
    // S4: nothing of an older epoch after the first effect of a newer one.
    if operation.epoch < ledger.newest_effect && !late {
        let newest = ledger.newest_effect;
        ledger.broken("S4", format!("an effect of epoch {} starts after one of {newest}", operation.epoch));
    }
    ledger.newest_effect = ledger.newest_effect.max(operation.epoch);
    // S8: at most one operation for each target and attempt.
    if !ledger.accepted.insert(token.clone()) {
        ledger.broken("S8", format!("{} attempt {} starts twice", intent.target, operation.attempt));
    }
    // S9: what is recorded as not started never starts.
    if ledger.not_started.contains(&token) && !late {
        ledger.broken("S9", format!("{} starts after it was recorded as not started", intent.target));
    }
    let Some(rollout) = ledger.state.rollouts.get(&intent.rollout).cloned() else { return };
    let Some(target) = rollout.targets.get(&intent.target) else { return };
    if target.restore_point.is_none() {
        ledger.broken("S13", format!("{} is touched without a durable restore point", intent.target));
    }
    match (operation.direction, &operation.call) {
        (_, OperationCall::ContinueRollback { .. }) => {}
        (Direction::Forward, _) => started_forward(ledger, act, &rollout, target, &intent),
        (Direction::Revert, _) => invariant_s15(ledger, act, target, &intent),
    }
}

fn started_forward(ledger: &mut Ledger, act: &Act, rollout: &Rollout, target: &Target, intent: &super::ledger::Intent) {
    let wave = rollout.plan.targets.get(&intent.target).map_or(0, |t| t.wave);
    // S1: all gates before are durable.
    if let Some(missing) = (0..wave).find(|n| !rollout.gates.contains(n)) {
        ledger.broken("S1", format!("{} of wave {wave} starts, and gate {missing} has not passed", intent.target));
    }
    // S2: nothing forward after an acknowledged kill.
    let killed = ledger.state.kills_on(rollout).find(|k| k.acknowledged).map(|k| k.kill.id.clone());
    if let Some(kill) = killed {
        ledger.broken("S2", format!("{} starts after {kill} was acknowledged", intent.target));
    }
    super::consent::invariant_s6_s7_s22(ledger, act, rollout, intent);
    super::limits::started(ledger, rollout, intent);
    let Some(found) = &act.found else { return };
    // S13: what is overwritten is what the restore point holds.
    let captured = match target.restore_point.as_deref() {
        Some(RestorePoint::Stack(record)) => record.content_digest().ok(),
        _ => None,
    };
    if captured != found.content {
        ledger.broken("S13", format!("{} is changed, and is not what its restore point holds", intent.target));
    }
    // S5: what is executed is what was approved.
    if let (Some((described, template)), Some(approved)) = (&found.change_set, &target.approved) {
        let role = rollout.plan.targets.get(&intent.target).and_then(|t| t.scope.role.clone());
        let creates = target.restore_point.as_deref() == Some(&RestorePoint::Absent);
        let digest = described.approval_digest(template, role.as_deref(), creates).ok();
        // Nobody can compare what is altered after it was described; CloudFormation's change sets are immutable.
        let stack = rollout.plan.targets.get(&intent.target).map(|t| &t.stack);
        let altered = stack.and_then(|s| ledger.altered.get(s));
        let too_late = altered.is_some_and(|at| intent.described.is_some_and(|described| *at >= described));
        if digest.as_ref() != Some(approved) && !too_late {
            ledger.broken("S5", format!("{} executes what was not approved", intent.target));
        }
    }
}

/// S15: only the state that we left is reverted.
fn invariant_s15(ledger: &mut Ledger, act: &Act, target: &Target, intent: &super::ledger::Intent) {
    let Some(found) = act.found.as_ref().filter(|_| act.record.operation == Call::ExecuteChangeSet) else { return };
    let left = target.left.as_ref().and_then(|left| left.content.clone());
    if found.content != left {
        ledger.broken("S15", format!("the revert of {} overwrites what we did not leave", intent.target));
    }
}

/// Judged when an effect leaves a daemon that has not stood still since it decided.
pub fn issued(ledger: &mut Ledger, effect: &Effect, epoch: Epoch, kill_file: bool) {
    let plain = effect.class == Class::Read;
    if !plain && epoch < ledger.state.epoch {
        let newest = ledger.state.epoch;
        ledger.broken("S4", format!("the daemon of epoch {epoch} sends {:?} while {newest} leads", effect.class));
    }
    if effect.class == Class::Forward && kill_file {
        ledger.broken("S12", "a forward effect leaves while the kill file is there");
    }
}

/// Judged at the end of each turn.
pub fn turned(ledger: &mut Ledger, objections: &[(Effect, Objection)], now: Timestamp) {
    ledger.steps += 1;
    for (effect, objection) in objections {
        // S12: the engine and the record agree. A kill file may come in between.
        let by_file = matches!(objection, Objection::Killed(why) if why.ends_with("by the kill file"));
        if !by_file {
            ledger
                .broken("S12", format!("the engine lets out {:?}, and the record does not: {objection}", effect.call));
        }
    }
    invariant_l3(ledger);
    invariant_l5(ledger, now);
    invariant_l6(ledger, now);
}

/// L3: a kill is acknowledged, or what is pending has a name.
fn invariant_l3(ledger: &mut Ledger) {
    let open = ledger.state.kills.values().find(|k| k.in_force() && !k.acknowledged);
    if let Some(kill) = open.filter(|k| ledger.state.pending_of(&k.kill).is_empty()) {
        let id = kill.kill.id.clone();
        ledger.broken("L3", format!("{id} is neither acknowledged nor pending"));
    }
}

/// So long may a rollout stand without progress and without a hold. The retry budget is spent after about seven minutes.
const STILL: Duration = Duration::from_secs(1_000);

/// L5: no livelock: a spent retry budget ends in a hold.
fn invariant_l5(ledger: &mut Ledger, now: Timestamp) {
    if ledger.state.has_stale_work() {
        ledger.free_since = now;
    }
    let (state, free) = (&ledger.state, ledger.free_since);
    let still = state.open_rollouts().find(|r| {
        // What was judged waits for people, for a time or for room, and says so.
        let judged = r.phase == wavegate::model::state::RolloutPhase::Previewing && r.admission.judged.is_some();
        let waits = r.hold.is_some() || state.kill_mode(r).is_some() || judged;
        let works = matches!(r.phase, wavegate::model::state::RolloutPhase::Previewing)
            || r.targets.values().any(|t| matches!(t.phase, Phase::Preparing { .. } | Phase::Ended { .. }));
        let idle = ledger.progress.get(&r.plan.rollout).is_some_and(|at| since((*at).max(free), now) > STILL);
        !waits && works && idle && !r.plan.look_only
    });
    // A new leader that cannot fence keeps everything waiting; the rollout that it cannot fence is the one that pages.
    let fencing = state.has_stale_work() && state.open_rollouts().any(|r| r.hold.is_some());
    let calm = !fencing && ledger.undisturbed_since.is_none_or(|at| since(at, now) > STILL);
    if let Some(id) = still.map(|r| r.plan.rollout.clone()).filter(|_| calm) {
        ledger.broken("L5", format!("{id} makes no progress and is not held"));
    }
}

/// L6: an operation past its deadline is reported.
fn invariant_l6(ledger: &mut Ledger, now: Timestamp) {
    let Some(quiet) = ledger.undisturbed_since else { return };
    let late = ledger.state.open_rollouts().find_map(|r| {
        let deadline = r.plan.revert.operation_deadline.duration() + Duration::from_secs(120);
        let overdue = |t: &Target| {
            matches!(&t.phase, Phase::Running(op) if since(op.intended_at, now) > deadline && since(quiet, now) > deadline)
                && !t.overdue
        };
        r.targets.iter().find(|(_, t)| overdue(t)).map(|(id, _)| id.clone())
    });
    if let Some(target) = late {
        ledger.broken("L6", format!("the operation on {target} is overdue, and nobody said so"));
    }
}

/// S17, S19: what a daemon finds at its start is what was durable, and all that was promised.
pub fn started_from(ledger: &mut Ledger, state: &State) {
    if *state != ledger.state {
        ledger.broken("S19", "replay gives another state than the records");
    }
    let lost: Vec<Promise> = ledger
        .promised
        .iter()
        .filter(|promise| match promise {
            Promise::Kill(kill) => !state.kills.contains_key(kill),
            Promise::Rollout(rollout) => !state.rollouts.contains_key(rollout),
        })
        .cloned()
        .collect();
    if let Some(promise) = lost.first() {
        ledger.broken("S17", format!("acknowledged and lost: {promise:?}"));
    }
}

/// S25: what leaves stays within the budget, in both directions, and forward work leaves a share to reverts.
#[derive(Debug, Default)]
pub struct Meter {
    /// Burst and rate.
    pub limits: (f64, f64),
    /// For each place: how full the bucket is, and when it was last looked at; all calls, and those without a reserved share.
    levels: BTreeMap<(u64, String, bool), (f64, Duration)>,
}

/// Judged for each call that leaves a process: a budget is one daemon's. `at` is the time since the start.
pub fn invariant_s25(ledger: &mut Ledger, process: u64, scope: &Scope, priority: Priority, at: Duration) {
    let (burst, rate) = ledger.meter.limits;
    let shares = [(false, 1.0), (true, 0.8)];
    let mut over = None;
    for (normal, share) in shares.into_iter().filter(|(normal, _)| !normal || priority == Priority::Normal) {
        let level = ledger.meter.levels.entry((process, scope.region.to_string(), normal)).or_default();
        // What a full reserve does not hold is for everyone: both may be refilled at the full rate.
        let drained = at.saturating_sub(level.1).as_secs_f64() * rate;
        *level = ((level.0 - drained).max(0.0) + 1.0, at);
        // One call of slack for the rounding of the clock.
        if level.0 > burst * share + 2.0 {
            over = Some((normal, level.0));
        }
    }
    if let Some((normal, level)) = over {
        let whose = if normal { "forward work" } else { "all calls" };
        ledger.broken("S25", format!("{whose} in {} exceed the budget: {level:.0} of {burst:.0}", scope.region));
    }
}
