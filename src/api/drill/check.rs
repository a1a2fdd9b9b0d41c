//! One door and one mode, from the proposal to the cleaning up.

use super::doors::DoorUnderDrill;
use super::stage::{Stage, Unseen};
use super::tale::{self, Tale};
use crate::api::words;
use crate::daemon::core::Core;
use crate::daemon::driver::Stopped;
use crate::engine::decide::Input;
use crate::model::drill::DrillCheck;
use crate::model::event::{Outcome, Settlement};
use crate::model::halt::{KillDoor, KillMode, KillScope};
use crate::model::ids::{KillId, RolloutId, TargetId, Token};
use crate::model::state::{Phase, Rollout, RolloutPhase, State};
use crate::model::time::Millis;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// An order is on record, and acknowledged or precisely pending, within this time (L3).
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What is known when the order has been given.
struct Ordered {
    kill: KillId,
    /// From the order until it was seen on record.
    recorded: Duration,
    /// From the order until its acknowledgement was seen.
    acknowledged: Duration,
    /// Targets that had been touched by then.
    touched: BTreeSet<TargetId>,
    /// What had started at the embedded provider by then.
    started: BTreeSet<Token>,
}

/// Tries one door and one mode. Whatever comes of it, the rollout is put back.
pub(super) async fn hold(stage: &Stage, door: &dyn DoorUnderDrill, mode: KillMode) -> Result<DrillCheck, Stopped> {
    let rollout = stage.surroundings.rollout_id();
    let mut check = DrillCheck {
        door: door.door(),
        mode,
        rollout,
        acknowledged_after: None,
        evidence: String::new(),
        passed: false,
    };
    match tried(stage, door, &mut check).await {
        Ok(evidence) => (check.passed, check.evidence) = (true, evidence),
        Err(Unseen::Never(why)) => check.evidence = why,
        Err(Unseen::Late) => check.evidence = "it took too long".into(),
        Err(Unseen::Stopped) => return Err(Stopped),
    }
    if let Err(why) = door.clear().await {
        check.passed = false;
        check.evidence.push_str(&format!("; what the door left could not be removed: {why}"));
    }
    match put_back(stage, &check.rollout).await {
        Ok(()) => {}
        Err(Unseen::Stopped) => return Err(Stopped),
        Err(why) => {
            check.passed = false;
            let why = if let Unseen::Never(why) = why { why } else { "it took too long".into() };
            check.evidence.push_str(&format!("; it was not put back: {why}"));
        }
    }
    Ok(check)
}

async fn tried(stage: &Stage, door: &dyn DoorUnderDrill, check: &mut DrillCheck) -> Result<String, Unseen> {
    if let Some(world) = &stage.world {
        world.renew(stage.surroundings.wall());
    }
    let from = stage.orders.look(|core| core.seq()).await?;
    stage.propose(check.rollout.clone()).await?.map_err(|why| never(format!("it could not be proposed: {why}")))?;
    let in_flight = in_flight(stage, &check.rollout).await?;
    let ordered = order(stage, door, check).await?;
    check.acknowledged_after = Some(Millis(u64::try_from(ordered.acknowledged.as_millis()).unwrap_or(u64::MAX)));
    let done = outcome(stage, check, &in_flight).await?;
    tokio::time::sleep(stage.limits.quiet).await;
    let tale = tale::tell(stage, &check.rollout, &ordered.kill, from).await?.map_err(Unseen::Never)?;
    nothing_forward(stage, &check.rollout, &ordered, &tale).await?;
    let provider = provider(stage, check.mode, &ordered, &tale)?;
    if check.mode == KillMode::Halt && !in_flight.is_subset(&tale.cancelled) {
        return Err(never("what was in flight was not cancelled, by the record".into()));
    }
    Ok(format!(
        "in flight: {}; on record after {} ms; {done}; nothing forward was intended after the order, by the record; {provider}",
        list(&in_flight),
        ordered.recorded.as_millis()
    ))
}

/// Waits until something is in flight, and gives it.
async fn in_flight(stage: &Stage, rollout: &RolloutId) -> Result<BTreeSet<TargetId>, Unseen> {
    let look = |core: &Core, rollout: &Rollout| {
        let running: BTreeSet<TargetId> = running(rollout);
        match stands_still(core.state(), rollout) {
            Some(why) => Err(format!("nothing was in flight: {why}")),
            None => Ok((!running.is_empty()).then_some(running)),
        }
    };
    match stage.until_rollout(rollout, stage.limits.start, look).await {
        Err(Unseen::Late) => Err(never("nothing was in flight in time".into())),
        other => other,
    }
}

/// Why the rollout does not go on; none: it does.
fn stands_still(state: &State, rollout: &Rollout) -> Option<String> {
    if rollout.is_ended() || rollout.phase == RolloutPhase::Reverting {
        return Some("the rollout went back, or ended, by itself".into());
    }
    if let Some(kill) = state.kill_on(rollout) {
        return Some(format!("the kill `{}` of `{}` is in force on it", kill.kill.id, kill.kill.by));
    }
    let asked = rollout.admission.judged.as_ref().and_then(|judged| judged.request.as_ref());
    if asked.is_some_and(|request| !rollout.admission.covers(request.through_wave)) {
        return Some("the change needs an approval; name one that needs none".into());
    }
    rollout.hold.as_ref().map(|hold| words::hold(hold).why)
}

/// Gives the order, and waits until it is acknowledged.
async fn order(stage: &Stage, door: &dyn DoorUnderDrill, check: &DrillCheck) -> Result<Ordered, Unseen> {
    let scope = KillScope::Rollout(check.rollout.clone());
    let began = Instant::now();
    let give = tokio::time::timeout(stage.limits.acknowledge, door.kill(&scope, check.mode));
    let (given, seen) = tokio::join!(give, acknowledgement(stage, door.door(), check, began));
    let given = given.unwrap_or_else(|_| Err("it did not answer in time".into()));
    given.map_err(|why| never(format!("the order could not be given by this door: {why}")))?;
    seen
}

async fn acknowledgement(stage: &Stage, door: KillDoor, check: &DrillCheck, began: Instant) -> Result<Ordered, Unseen> {
    let (mode, rollout) = (check.mode, check.rollout.clone());
    let scope = KillScope::Rollout(rollout.clone());
    let on_record = move |core: &Core| {
        let mut kills = core.state().kills.values().map(|k| &k.kill);
        Ok(kills.find(|k| k.door == door && k.mode == mode && k.scope == scope).map(|k| k.id.clone()))
    };
    let kill = match stage.until(ANSWER_WITHIN, on_record).await {
        Err(Unseen::Late) => return Err(never("the order was not on record within 2 s".into())),
        other => other?,
    };
    let recorded = began.elapsed();
    let wanted = kill.clone();
    let acknowledged = move |core: &Core, rollout: &Rollout| {
        let state = core.state();
        let Some(known) = state.kills.get(&wanted) else { return Err("the order is not on record any more".into()) };
        if known.acknowledged {
            let touched = rollout.targets.iter().filter(|(_, target)| target.is_touched());
            return Ok(Some(touched.map(|(id, _)| id.clone()).collect()));
        }
        // INVARIANT: L3. What it waits for is said, target by target, or it is acknowledged at once.
        match state.pending_of(&known.kill).is_empty() && began.elapsed() > ANSWER_WITHIN {
            true => Err("after 2 s it was neither acknowledged nor pending for any target".into()),
            false => Ok(None),
        }
    };
    let touched = match stage.until_rollout(&rollout, stage.limits.acknowledge, acknowledged).await {
        Err(Unseen::Late) => return Err(never("the order was not acknowledged in time".into())),
        other => other?,
    };
    let started = stage.world.as_ref().map(tale::started).unwrap_or_default();
    Ok(Ordered { kill, recorded, acknowledged: began.elapsed(), touched, started })
}

/// Waits until the mode has done what it must; in words.
async fn outcome(stage: &Stage, check: &DrillCheck, in_flight: &BTreeSet<TargetId>) -> Result<String, Unseen> {
    let (mode, wanted) = (check.mode, in_flight.clone());
    let look = move |_: &Core, rollout: &Rollout| match mode {
        KillMode::Revert => went_back(rollout),
        KillMode::Pause => settled(rollout, &wanted, "went to its end", |s| matches!(s, Settlement::Applied { .. })),
        KillMode::Halt => settled(rollout, &wanted, "was rolled back", |s| matches!(s, Settlement::Restored { .. })),
    };
    match stage.until_rollout(&check.rollout, stage.limits.outcome, look).await {
        Err(Unseen::Late) => Err(never(format!("{mode} was not done in time"))),
        other => other,
    }
}

fn settled(
    rollout: &Rollout,
    wanted: &BTreeSet<TargetId>,
    said: &str,
    as_wanted: impl Fn(&Settlement) -> bool,
) -> Result<Option<String>, String> {
    if rollout.is_ended() || rollout.phase == RolloutPhase::Reverting {
        return Err("the rollout went back, or ended, and nobody said so".into());
    }
    for (id, target) in rollout.targets.iter().filter(|(id, _)| wanted.contains(id)) {
        match &target.phase {
            Phase::Settled(settlement) if as_wanted(settlement) => {}
            Phase::Settled(_) => {
                return Err(format!("{id} is {}, and it should be that it {said}", target.phase.name()));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(format!("what was in flight {said}")))
}

fn went_back(rollout: &Rollout) -> Result<Option<String>, String> {
    match rollout.outcome() {
        None => Ok(None),
        Some(Outcome::Reverted) => {
            let left =
                rollout.targets.values().filter(|t| matches!(t.phase, Phase::Settled(Settlement::Applied { .. })));
            match left.count() {
                0 => Ok(Some("every touched target was put back".into())),
                n => Err(format!("{n} targets were left as they had become")),
            }
        }
        Some(_) => Err("the rollout ended without going back".into()),
    }
}

/// INVARIANT: S2. By the record: nothing forward was intended after the order, and nothing was touched after the acknowledgement.
async fn nothing_forward(stage: &Stage, rollout: &RolloutId, ordered: &Ordered, tale: &Tale) -> Result<(), Unseen> {
    if !tale.after_order.is_empty() {
        return Err(never(format!("forward calls were intended after the order: {}", list(&tale.after_order))));
    }
    if !tale.after_acknowledgement.is_empty() {
        let late = list(&tale.after_acknowledgement);
        return Err(never(format!("forward calls started after the acknowledgement, by the record: {late}")));
    }
    let wanted = rollout.clone();
    let look = move |core: &Core| -> BTreeSet<TargetId> {
        let targets = core.state().rollouts.get(&wanted).map(|rollout| &rollout.targets);
        let touched = targets.into_iter().flatten().filter(|(_, target)| target.is_touched());
        touched.map(|(id, _)| id.clone()).collect()
    };
    let touched = stage.orders.look(look).await?;
    match touched.is_subset(&ordered.touched) {
        true => Ok(()),
        false => Err(never(format!("targets were touched after the acknowledgement: {}", list(&touched)))),
    }
}

/// INVARIANT: S2. The same by the embedded provider's own log, and what the stacks are now.
fn provider(stage: &Stage, mode: KillMode, ordered: &Ordered, tale: &Tale) -> Result<String, Unseen> {
    let Some(world) = &stage.world else {
        return Ok("the provider's own log of calls is not at hand here: this is by the record alone".into());
    };
    let started = tale::started(world);
    let before = ordered.started.intersection(&tale.forward).count();
    let after = started.intersection(&tale.forward).filter(|token| !ordered.started.contains(*token)).count();
    if after > 0 {
        return Err(never(format!(
            "{after} forward calls started at the provider after the acknowledgement, by its log"
        )));
    }
    let changed = tale::changed(world);
    let wanted = if mode == KillMode::Pause { ordered.touched.len() } else { 0 };
    if changed.len() != wanted {
        let changed = changed.into_iter().collect::<Vec<_>>().join(", ");
        return Err(never(format!("{wanted} stacks should be changed at the provider, and there are: {changed}")));
    }
    let cancelled = tale::cancelled(world);
    if mode == KillMode::Halt && cancelled == 0 {
        return Err(never("no cancellation took effect at the provider, by its log".into()));
    }
    let cancelled = if cancelled > 0 { format!(", {cancelled} cancelled") } else { String::new() };
    Ok(format!(
        "by the provider's log {before} forward calls started before the acknowledgement and 0 after{cancelled}; {} of {} stacks are changed",
        changed.len(),
        world.cells().len()
    ))
}

/// Sends the rollout back if it has not ended, and waits until it has.
async fn put_back(stage: &Stage, rollout: &RolloutId) -> Result<(), Unseen> {
    let wanted = rollout.clone();
    let open = stage.orders.look(move |core| core.state().rollouts.get(&wanted).map(|r| !r.is_ended())).await?;
    match open {
        // It was never proposed.
        None => return Ok(()),
        Some(false) => {}
        Some(true) => {
            let by = stage.caller.principal.name.clone();
            // One that is on its way back is refused, and goes on.
            let _ = stage.orders.input(Input::Revert { rollout: rollout.clone(), by }).await?;
        }
    }
    let look = |_: &Core, rollout: &Rollout| match rollout.outcome() {
        None => Ok(None),
        Some(Outcome::Stuck) => Err("a target is stuck".to_owned()),
        Some(_) => Ok(Some(())),
    };
    stage.until_rollout(rollout, stage.limits.clean_up, look).await?;
    match stage.world.as_ref().map(tale::changed) {
        Some(changed) if !changed.is_empty() => {
            Err(never(format!("{} are still changed", changed.into_iter().collect::<Vec<_>>().join(", "))))
        }
        _ => Ok(()),
    }
}

fn running(rollout: &Rollout) -> BTreeSet<TargetId> {
    let running = rollout.targets.iter().filter(|(_, target)| matches!(target.phase, Phase::Running(_)));
    running.map(|(id, _)| id.clone()).collect()
}

fn never(why: String) -> Unseen {
    Unseen::Never(why)
}

fn list(targets: &BTreeSet<TargetId>) -> String {
    targets.iter().map(TargetId::as_str).collect::<Vec<_>>().join(", ")
}
