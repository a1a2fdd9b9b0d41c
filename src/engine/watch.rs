//! When health is looked at, and what a judgement leads to: before the first wave, while later waves roll, and in every bake.

use super::effect::{Call, Class, Effect};
use super::health::evidence::{self, Evidence};
use super::health::threshold::{self, Question};
use super::session::{Purpose, Session, Watch};
use super::{admission, comparison};
use crate::guard::{self, Guard};
use crate::model::event::Event;
use crate::model::halt::{Hold, RevertReason};
use crate::model::ids::CellId;
use crate::model::pipeline::{Cell, OnFailure};
use crate::model::state::{Bake, Phase, Rollout, RolloutPhase, State};
use crate::model::time::{Millis, Now};
use crate::model::verdict::{Finding, Judgement, Problem, Verdict};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// So many looks in a row that could not be read, before the first wave, end in a hold.
const UNREADABLE: u32 = 3;
/// Two looks are never closer than this, however short a bake is.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest time between two looks that counts as watched, beyond two intervals: a stall is not watching (S26).
const STALL: Duration = Duration::from_secs(5);

/// What looking at one rollout's health yields now.
#[derive(Debug, Default)]
pub struct Looked {
    /// What follows from a judgement.
    pub events: Vec<Event>,
    /// Reads of a look that begins.
    pub effects: Vec<Effect>,
}

/// Which cells are watched in this phase; none: health is not looked at.
fn watched(rollout: &Rollout) -> Option<usize> {
    match rollout.phase {
        // Somebody who only looks wants to know what the gates can see.
        RolloutPhase::Previewing
            if is_previewed(rollout) && (!rollout.plan.look_only || rollout.plan.health.compare.is_some()) =>
        {
            rollout.plan.waves.len().checked_sub(1)
        }
        RolloutPhase::Rolling { wave } => wave.checked_sub(1),
        // Also while a passed gate waits for a kill to be lifted: what it saw must not grow old.
        RolloutPhase::Baking { wave } => Some(wave),
        _ => None,
    }
}

/// Every target has been previewed.
pub fn is_previewed(rollout: &Rollout) -> bool {
    rollout.targets.values().all(|t| matches!(t.phase, Phase::Ready { .. }) || t.is_settled())
}

/// What a rollout may do once its health is known.
#[derive(Debug)]
pub struct Leave {
    /// Nothing stops it: no kill, no hold, no fence.
    pub may_go: bool,
    /// Its first wave may start, as far as guardrails and people are asked: what its start records.
    pub opening: Option<Vec<Event>>,
}

/// Looks at a rollout's health: begins a look that is due, or judges one whose reads have all come back.
pub fn look(session: &mut Session, rollout: &Rollout, state: &State, leave: Leave, now: Now) -> Looked {
    let Some(through) = watched(rollout) else { return Looked::default() };
    let id = &rollout.plan.rollout;
    let watch = session.watches.entry(id.clone()).or_default();
    if watch.phase != Some(rollout.phase) {
        *watch = Watch {
            phase: Some(rollout.phase),
            next: now.monotonic,
            judgement: watch.judgement.take(),
            ..Watch::default()
        };
    }
    let waits = !rollout.plan.look_only && (!leave.may_go || leave.opening.is_none());
    if matches!(rollout.phase, RolloutPhase::Previewing) && waits {
        // What was read for a start that did not come is old by the time of the next one.
        *watch = Watch { phase: watch.phase, next: watch.next, judgement: watch.judgement.take(), ..Watch::default() };
        return Looked::default();
    }
    match (watch.round.is_some(), watch.outstanding.is_empty()) {
        (true, true) => conclude(session, rollout, state, through, leave, now),
        (true, false) => Looked::default(),
        (false, _) if now.monotonic >= watch.next => {
            Looked { events: Vec::new(), effects: begin(session, rollout, through, now) }
        }
        (false, _) => {
            let next = watch.next;
            session.wake_at(next);
            Looked::default()
        }
    }
}

fn begin(session: &mut Session, rollout: &Rollout, through: usize, now: Now) -> Vec<Effect> {
    let plan = &rollout.plan;
    let id = &plan.rollout;
    let watched = comparison::read_cells(plan).unwrap_or_else(|| cells(rollout, through));
    let reads = evidence::reads(&plan.health, watched);
    // Of a bake also what was before it: a series that was there and has stopped is told from one that never was.
    let back = evidence::lookback(&plan.health);
    let from = bake_of(rollout).map_or(now.wall, |bake| bake.since.min(now.wall));
    let from = Now { wall: from, ..now }.wall_before(back);
    let from = comparison::reads_from(rollout, now.wall).map_or(from, |at| at.min(from));
    let mut effects = Vec::new();
    for (scope, chunks) in reads.metrics {
        for queries in chunks {
            let call = Call::ReadMetrics { queries, from, to: now.wall };
            effects.push(session.effect(Purpose::Health(id.clone(), scope.clone()), Class::Read, false, &scope, call));
        }
    }
    for (scope, names) in reads.alarms {
        let call = Call::ReadAlarms(names.into_iter().collect());
        effects.push(session.effect(Purpose::Health(id.clone(), scope.clone()), Class::Read, false, &scope, call));
    }
    if let Some(watch) = session.watches.get_mut(id) {
        watch.round = Some(Evidence { to: Some(now.wall), ..Evidence::default() });
        watch.outstanding = effects.iter().map(|e| e.id).collect();
    }
    effects
}

/// The cells that are watched, with what reads them.
fn cells(rollout: &Rollout, through: usize) -> Vec<&Cell> {
    rollout.plan.cells_through(through).into_iter().filter_map(|id| rollout.plan.cells.get(id)).collect()
}

fn bake_of(rollout: &Rollout) -> Option<&Bake> {
    match rollout.phase {
        RolloutPhase::Baking { wave } => rollout.bake.as_ref().filter(|b| b.wave == wave),
        _ => None,
    }
}

fn conclude(session: &mut Session, rollout: &Rollout, state: &State, through: usize, leave: Leave, now: Now) -> Looked {
    let Some(watch) = session.watches.get_mut(&rollout.plan.rollout) else { return Looked::default() };
    let evidence = watch.round.take().unwrap_or_default();
    let (judgement, recorded) = judge(rollout, through, &evidence, now);
    let watched_for = watch.last.map_or(Duration::ZERO, |last| now.monotonic.saturating_sub(last));
    let interval = rollout.plan.health.interval.duration();
    let longest = if guard::holds(Guard::StallIsNoWatching) { interval * 2 + STALL } else { Duration::MAX };
    let counted = Millis::of(watched_for.min(longest));
    watch.last = Some(now.monotonic);
    watch.judgement = Some(judgement.clone());
    watch.unreadable = if judgement.verdict == Verdict::Error { watch.unreadable + 1 } else { 0 };
    let unreadable = watch.unreadable;
    let elapsed = bake_of(rollout).map_or(Millis(0), |bake| bake.elapsed.plus(counted));
    watch.next = now.monotonic + next_look(rollout, elapsed, interval);
    let next = watch.next;
    let judged = match rollout.phase {
        RolloutPhase::Previewing => before_start(rollout, state, judgement, unreadable, leave.opening, now),
        RolloutPhase::Rolling { .. } => while_rolling(rollout, through, judgement),
        RolloutPhase::Baking { wave } => in_bake(rollout, wave, elapsed, judgement, leave.may_go),
        RolloutPhase::Reverting | RolloutPhase::Ended(_) => Vec::new(),
    };
    session.wake_at(next);
    // A baseline is history only for a rollout that starts from it, and for somebody who only looks.
    let takes = judged.iter().any(|event| matches!(event, Event::WaveStarted { .. }))
        || (rollout.plan.look_only && rollout.baseline.is_none());
    let recorded = recorded.into_iter().filter(|event| takes || !matches!(event, Event::BaselineTaken { .. }));
    Looked { events: recorded.chain(judged).collect(), effects: Vec::new() }
}

/// Thresholds and alarms, then the comparison: what both say, and what is recorded before it.
fn judge(rollout: &Rollout, through: usize, evidence: &Evidence, now: Now) -> (Judgement, Vec<Event>) {
    let question = question(rollout, through, now);
    let changed = question.bake_since;
    let judgement = threshold::judge(&question, evidence);
    let added = match rollout.phase {
        RolloutPhase::Previewing => comparison::baseline(rollout, evidence, now.wall).unwrap_or_default(),
        _ => comparison::step(rollout, evidence, now.wall, Some(changed)),
    };
    let witnesses = comparison::witnesses(rollout);
    let judgement = match witnesses.len() {
        0 => judgement,
        of => {
            let baking = witnesses.iter().map(|cell| &cell.name).collect();
            let beside = Question { cells: witnesses, baking, ..question };
            comparison::attribute(judgement, &threshold::judge(&beside, evidence), of)
        }
    };
    let findings = judgement.findings.into_iter().chain(added.findings).collect();
    (Judgement::of(findings, judgement.readings), added.events)
}

fn question<'a>(rollout: &'a Rollout, through: usize, now: Now) -> Question<'a> {
    let plan = &*rollout.plan;
    let bake = bake_of(rollout);
    let wave = bake.and_then(|b| plan.waves.get(b.wave));
    let baking: BTreeSet<&CellId> = match bake {
        Some(bake) => plan.targets.values().filter(|t| t.wave == bake.wave).map(|t| &t.cell).collect(),
        None => BTreeSet::new(),
    };
    Question {
        health: &plan.health,
        // INVARIANT: S11. A repaired alarm is waived only until the change is in every cell.
        waived: waived(rollout),
        cells: cells(rollout, through),
        baking,
        bake_since: bake.map_or(now.wall, |b| b.since.max(newest_change(rollout, b.wave))),
        need_points: wave.map_or(0, |w| w.bake_datapoints),
        as_of_now: wave.is_none_or(|w| w.bake == Millis(0) && w.bake_datapoints == 0),
        now: now.wall,
    }
}

/// When the provider says that the newest change of the wave began. INVARIANT: S26. Where our own clock was slow when the bake
/// began, evidence of before the change must not count as the bake's.
fn newest_change(rollout: &Rollout, wave: usize) -> Timestamp {
    let left = rollout.wave_states(wave).filter_map(|t| t.left.as_ref());
    left.filter_map(|left| left.last_updated).max().unwrap_or(Timestamp::MIN)
}

fn waived(rollout: &Rollout) -> BTreeSet<&str> {
    let last = rollout.plan.waves.len().saturating_sub(1);
    match rollout.phase {
        RolloutPhase::Baking { wave } if wave == last => BTreeSet::new(),
        _ => rollout.plan.repairs.iter().map(String::as_str).collect(),
    }
}

fn next_look(rollout: &Rollout, elapsed: Millis, interval: Duration) -> Duration {
    let bake = match rollout.phase {
        RolloutPhase::Baking { wave } => rollout.plan.waves.get(wave).map_or(Millis(0), |w| w.bake),
        _ => return interval,
    };
    let left = bake.duration().saturating_sub(elapsed.duration());
    if left.is_zero() { interval } else { left.clamp(SHORTEST, interval.max(SHORTEST)) }
}

/// Red before we began is not our doing: the rollout does not start. What could not be read is not known to be green.
fn before_start(
    rollout: &Rollout,
    state: &State,
    judgement: Judgement,
    unreadable: u32,
    opening: Option<Vec<Event>>,
    now: Now,
) -> Vec<Event> {
    // A gate that has nothing to compare with would never pass: better not to begin.
    let red =
        |f: &Finding| matches!(f.problem, Problem::Breach { .. } | Problem::AlarmOpen { .. } | Problem::NoHistory);
    let id = rollout.plan.rollout.clone();
    if judgement.findings.iter().any(red) || unreadable >= UNREADABLE {
        return vec![Event::RolloutHeld { rollout: id, hold: Hold::RedBeforeStart { findings: judgement.findings } }];
    }
    match opening {
        Some(opening) if judgement.verdict != Verdict::Error => admission::start(rollout, state, opening, now),
        _ => Vec::new(),
    }
}

fn while_rolling(rollout: &Rollout, wave: usize, judgement: Judgement) -> Vec<Event> {
    let mut events = vec![judged(rollout, wave, Millis(0), &judgement)];
    if judgement.verdict == Verdict::Fail && guard::holds(Guard::RevertOnFail) {
        events.extend(unhealthy(rollout, RevertReason::GateFailed { wave, findings: judgement.findings }));
    }
    events
}

fn judged(rollout: &Rollout, wave: usize, elapsed: Millis, judgement: &Judgement) -> Event {
    Event::HealthJudged {
        rollout: rollout.plan.rollout.clone(),
        wave,
        elapsed,
        verdict: judgement.verdict,
        findings: judgement.findings.clone(),
    }
}

fn in_bake(rollout: &Rollout, wave: usize, elapsed: Millis, judgement: Judgement, may_go: bool) -> Vec<Event> {
    let Some(planned) = rollout.plan.waves.get(wave) else { return Vec::new() };
    let id = rollout.plan.rollout.clone();
    let mut events = vec![judged(rollout, wave, elapsed, &judgement)];
    match judgement.verdict {
        Verdict::Fail if guard::holds(Guard::RevertOnFail) => {
            events.extend(unhealthy(rollout, RevertReason::GateFailed { wave, findings: judgement.findings }))
        }
        // A gate does not pass while the rollout is held: what it saw would be old by the time that it may go on.
        Verdict::Pass if is_baked(elapsed, planned.bake) && may_go && !rollout.gates.contains(&wave) => {
            events.push(Event::GatePassed {
                rollout: id,
                wave,
                plan: rollout.plan_digest.clone(),
                readings: u32::try_from(judgement.readings.len()).unwrap_or(u32::MAX),
            })
        }
        Verdict::Inconclusive | Verdict::Error if elapsed >= planned.max_bake && rollout.hold.is_none() => {
            let hold = Hold::BakeInconclusive { wave, after: elapsed, findings: judgement.findings };
            events.push(Event::RolloutHeld { rollout: id, hold });
        }
        _ => {}
    }
    events
}

/// INVARIANT: S11, S26. Watched time counts, and all of it.
fn is_baked(elapsed: Millis, bake: Millis) -> bool {
    elapsed >= bake || !guard::holds(Guard::WholeBake)
}

/// What broken health, or a failed wave, leads to by the pipeline's policy.
pub fn unhealthy(rollout: &Rollout, reason: RevertReason) -> Option<Event> {
    let id = rollout.plan.rollout.clone();
    match rollout.plan.revert.on_failure {
        OnFailure::Revert => Some(Event::RevertStarted { rollout: id, reason }),
        OnFailure::Hold if rollout.hold.is_none() => {
            Some(Event::RolloutHeld { rollout: id, hold: Hold::Unhealthy { reason } })
        }
        OnFailure::Hold => None,
    }
}
