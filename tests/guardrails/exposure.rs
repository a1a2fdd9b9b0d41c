//! The exposure in two ways: from the engine's state, and from the events alone. After every event that the state takes they agree.

use crate::fixture::*;
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use wavegate::engine::guardrail::exposure::{Exposure, Motion};
use wavegate::engine::guardrail::ledger::Ledger;
use wavegate::model::event::*;
use wavegate::model::halt::{RevertReason, StuckReason};
use wavegate::model::ids::{Digest, Epoch, RolloutId, TargetId};
use wavegate::model::preview::PreviewCounts;
use wavegate::model::safeguards::Safeguards;
use wavegate::model::stack::{RestorePoint, StackStatus};
use wavegate::model::state::{Phase, Rollout, State};

/// Both ways, side by side.
#[derive(Default)]
struct Both {
    state: State,
    ledger: Ledger,
    minutes: i64,
    /// What has been seen, so that a test can tell that it saw enough.
    seen: BTreeSet<String>,
}

impl Both {
    fn with(rollouts: &[&str]) -> Self {
        let mut both = Self::default();
        for name in rollouts {
            let cell = |n: usize| place(n / 2, format!("{name}{n}"), 1.0);
            // How it was let in is of no interest here.
            let mut plan = plan(name, Safeguards::default(), &[cell(0), cell(1), cell(2), cell(3)]);
            plan.safeguards = None;
            let digest = plan.digest().unwrap();
            assert!(both.take(Event::RolloutProposed {
                plan: Arc::new(plan),
                digest,
                by: "t".into(),
                handed_in: None
            }));
        }
        both
    }

    /// Takes the event if the state does, and compares.
    fn take(&mut self, event: Event) -> bool {
        if self.state.apply(&event).is_err() {
            return false;
        }
        self.ledger.record(&event);
        self.seen.insert(event.name().to_owned());
        let ours = Exposure::of(&self.state, Timestamp::MIN);
        assert_eq!(ours, self.ledger.exposure(), "after {event:?}");
        self.seen.extend(ours.touches().iter().map(|touch| format!("{:?}", touch.motion)));
        true
    }

    fn motions(&self) -> Vec<Motion> {
        self.ledger.exposure().touches().iter().map(|touch| touch.motion).collect()
    }

    fn now(&self) -> Timestamp {
        ago(-self.minutes)
    }
}

fn left() -> Left {
    Left { content: None, stack_id: "s".into(), last_updated: None }
}

fn operation(known: &Rollout, id: &TargetId, direction: Direction, at: Timestamp, choice: usize) -> Operation {
    let target = &known.targets[id];
    let (call, attempt) = match (&target.phase, choice % 2) {
        (Phase::Ready { prepared: Prepared::ChangeSet { arn, .. }, digest, .. }, _) => {
            let (arn, digest) = (arn.clone(), digest.clone());
            (OperationCall::ExecuteChangeSet { arn, digest, stack_id: None }, target.attempt)
        }
        (Phase::Ended { .. }, 0) => (OperationCall::ContinueRollback { stack_id: "s".into() }, target.attempt.next()),
        _ => (OperationCall::DeleteStack { stack_id: "s".into() }, target.attempt.next()),
    };
    Operation { direction, call, token: "t".into(), attempt, epoch: Epoch(1), intended_at: at, before: None }
}

/// An event that might come now; most that are asked for do not fit, and are not taken.
fn event(known: &Rollout, id: &TargetId, kind: usize, choice: usize, at: Timestamp) -> Event {
    let (rollout, target) = (known.plan.rollout.clone(), id.clone());
    let attempt = known.targets[id].attempt.next();
    let direction = if choice.is_multiple_of(2) { Direction::Forward } else { Direction::Revert };
    let wave = choice % 2;
    match kind {
        0 => {
            let restore_point = Arc::new(RestorePoint::Absent);
            Event::RestorePointCaptured { rollout, target, restore_point, digest: Digest::of_bytes(b"r") }
        }
        1 => {
            let name = "wg".to_owned();
            Event::ChangeSetRequested { rollout, target, direction, name, attempt, epoch: Epoch(1) }
        }
        2 => Event::TargetPrepared {
            rollout,
            target,
            prepared: match choice % 3 {
                0 => Prepared::Deletion { stack_id: "s".into() },
                _ => Prepared::ChangeSet { arn: "arn".into(), name: "wg".into(), epoch: Epoch(1) },
            },
            digest: Digest::of_bytes(b"approved"),
            counts: PreviewCounts { added: u32::try_from(choice % 5).unwrap(), ..PreviewCounts::default() },
            changes: Vec::new(),
            classified: (choice > 4).then(|| Box::new(classified(&[in_place(), in_place()]))),
            context: None,
        },
        3 => Event::ChangeSetGone { rollout, target, why: "test".into() },
        4 => Event::OperationIntended { operation: operation(known, id, direction, at, choice / 2), rollout, target },
        5 => Event::OperationStarted { rollout, target, seen: StartSeen::Accepted },
        6 => Event::OperationNotStarted { rollout, target, why: "test".into() },
        7 => {
            let status =
                if choice.is_multiple_of(2) { StackStatus::UpdateRollbackFailed } else { StackStatus::UpdateComplete };
            Event::OperationEnded { rollout, target, status, reason: None, failures: Vec::new() }
        }
        8 => {
            let settlement = match choice % 6 {
                0 => Settlement::Unchanged,
                1 => Settlement::Restored { by: RestoredBy::Provider },
                2 => Settlement::Stuck { reason: StuckReason::Irreversible, evidence: None },
                _ => Settlement::Applied { left: left() },
            };
            Event::TargetSettled { rollout, target, settlement }
        }
        9 => Event::WaveStarted { rollout, wave },
        10 => Event::BakeStarted { rollout, wave, at },
        11 => Event::GatePassed { rollout, wave, plan: known.plan_digest.clone(), readings: 1 },
        12 if choice == 0 => Event::RevertStarted { rollout, reason: RevertReason::PlanOnly },
        12 => Event::OperationOverdue { rollout, target, last_event: None },
        _ => {
            let outcomes = [Outcome::Succeeded, Outcome::Reverted, Outcome::Stuck, Outcome::Cancelled];
            Event::RolloutEnded { rollout, outcome: outcomes[choice % 4] }
        }
    }
}

/// Drives both through whatever chance proposes and the state takes.
fn drive(seed: u64, steps: usize) -> Both {
    let mut both = Both::with(&["r", "q"]);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..steps {
        both.minutes += random.i64(-1..5);
        let name: RolloutId = if random.u8(0..4) == 0 { "q".into() } else { "r".into() };
        let known = &both.state.rollouts[&name];
        let ids: Vec<&TargetId> = known.targets.keys().collect();
        let event = event(known, ids[random.usize(0..4)], random.usize(0..14), random.usize(0..12), both.now());
        both.take(event);
    }
    both
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn state_and_events_agree_on_what_is_in_motion(seed in any::<u64>()) {
        let mut both = drive(seed, 900);
        // What is forgotten is what the other way passes over.
        let since = ago(-both.minutes / 2);
        both.ledger.forget(since);
        prop_assert_eq!(Exposure::of(&both.state, since), both.ledger.exposure());
    }
}

#[test]
fn chance_comes_by_every_event_motion_and_end() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let both = drive(seed, 900);
        seen.extend(both.seen);
        let outcomes = both.state.rollouts.values().filter_map(Rollout::outcome);
        seen.extend(outcomes.map(|outcome| format!("{outcome:?}")));
    }
    let wanted = "restore_point_captured change_set_requested target_prepared change_set_gone operation_intended \
                  operation_started operation_not_started operation_ended target_settled wave_started bake_started \
                  gate_passed revert_started rollout_ended AtRest Claimed Watched InFlight Succeeded Reverted Stuck Cancelled";
    let missing: Vec<&str> = wanted.split_whitespace().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A rollout, step by step: kinds and choices as in [`event`], for a target by its number.
fn steps(both: &mut Both, steps: &[(usize, usize, usize)]) {
    for (target, kind, choice) in steps {
        both.minutes += 1;
        let known = &both.state.rollouts[&"r".into()];
        let id = known.targets.keys().nth(*target).unwrap().clone();
        let event = event(known, &id, *kind, *choice, both.now());
        assert!(both.take(event.clone()), "{event:?}");
    }
}

/// Up to where the target waits for its turn.
const READY: [(usize, usize); 3] = [(0, 0), (1, 0), (2, 1)];

fn on(target: usize, kinds: &[(usize, usize)]) -> Vec<(usize, usize, usize)> {
    kinds.iter().map(|(kind, choice)| (target, *kind, *choice)).collect()
}

fn apply(both: &mut Both, target: usize) {
    steps(both, &on(target, &READY));
    steps(both, &on(target, &[(4, 0), (5, 0), (7, 1), (8, 3)]));
}

#[test]
fn a_rollout_there() {
    use Motion::{AtRest, Claimed, InFlight, Watched};
    let mut both = Both::with(&["r"]);
    steps(&mut both, &[(0, 9, 0)]);
    steps(&mut both, &on(0, &READY));
    assert_eq!(both.motions(), []);
    steps(&mut both, &on(0, &[(4, 0)]));
    assert_eq!(both.motions(), [InFlight, Claimed]);
    steps(&mut both, &on(0, &[(5, 0), (7, 1)]));
    assert_eq!(both.motions(), [InFlight, Claimed]);
    steps(&mut both, &on(0, &[(8, 3)]));
    assert_eq!(both.motions(), [Watched, Claimed]);
    apply(&mut both, 1);
    steps(&mut both, &[(0, 10, 0)]);
    assert_eq!(both.motions(), [Watched, Watched]);
    steps(&mut both, &[(0, 11, 0)]);
    assert_eq!(both.motions(), [AtRest, AtRest]);
    steps(&mut both, &[(0, 9, 1)]);
    apply(&mut both, 2);
    assert_eq!(both.motions(), [AtRest, AtRest, Watched, Claimed]);
    // Nothing to do for the last one.
    steps(&mut both, &on(3, &[(8, 0)]));
    assert_eq!(both.motions(), [AtRest, AtRest, Watched]);
    steps(&mut both, &[(0, 10, 1), (0, 11, 1), (0, 13, 0)]);
    assert_eq!(both.motions(), [AtRest, AtRest, AtRest]);
    // The last one was touched later than the others.
    let last = both.ledger.exposure().touches()[2].at;
    both.ledger.forget(last);
    assert_eq!(both.motions(), [AtRest]);
}

#[test]
fn a_rollout_back() {
    use Motion::{AtRest, Claimed, InFlight, Watched};
    let mut both = Both::with(&["r"]);
    steps(&mut both, &[(0, 9, 0)]);
    apply(&mut both, 0);
    let first = both.ledger.exposure().touches()[0].at;
    assert_eq!(both.motions(), [Watched, Claimed]);
    steps(&mut both, &[(0, 12, 0)]);
    // It waits to be put back; what was claimed is not wanted any more.
    assert_eq!(both.motions(), [InFlight]);
    steps(&mut both, &on(0, &[(1, 1), (2, 1), (4, 1)]));
    assert_eq!(both.motions(), [InFlight]);
    // The call never started: it is where it was.
    steps(&mut both, &on(0, &[(6, 0), (1, 1), (2, 1), (4, 1), (5, 0), (7, 1)]));
    assert_eq!(both.motions(), [InFlight]);
    steps(&mut both, &on(0, &[(8, 1)]));
    assert_eq!(both.motions(), [AtRest]);
    steps(&mut both, &[(0, 13, 1)]);
    assert_eq!((both.motions(), both.ledger.exposure().touches()[0].at), (vec![AtRest], first));
}

#[test]
fn what_never_started_was_never_touched() {
    let mut both = Both::with(&["r"]);
    steps(&mut both, &[(0, 9, 0)]);
    steps(&mut both, &on(0, &READY));
    steps(&mut both, &on(0, &[(4, 0)]));
    let first = both.ledger.exposure().touches()[0].at;
    steps(&mut both, &on(0, &[(6, 0)]));
    assert_eq!(both.motions(), []);
    // The next time is the first time.
    steps(&mut both, &on(0, &[(1, 0), (2, 1), (4, 0)]));
    assert!(both.ledger.exposure().touches()[0].at > first);
}

#[test]
fn what_is_stuck_counts_until_its_wave_is_through() {
    let mut both = Both::with(&["r"]);
    steps(&mut both, &[(0, 9, 0)]);
    steps(&mut both, &on(0, &READY));
    steps(&mut both, &on(0, &[(4, 0), (5, 0), (7, 0), (8, 2)]));
    assert_eq!(both.motions()[0], Motion::Watched);
    steps(&mut both, &[(0, 12, 0), (0, 13, 2)]);
    assert_eq!(both.motions(), [Motion::AtRest]);
}

#[test]
fn the_ledger_knows_the_plans_of_open_rollouts_and_the_sizes_of_their_targets() {
    let mut both = Both::with(&["r"]);
    let (rollout, target) = ("r".into(), both.state.rollouts[&"r".into()].targets.keys().next().unwrap().clone());
    assert_eq!(both.ledger.resources(&rollout, &target), None);
    steps(&mut both, &on(0, &[(0, 0), (1, 0), (2, 4)]));
    assert_eq!(both.ledger.resources(&rollout, &target), Some(4));
    assert!(both.ledger.plan(&rollout).is_some());
    steps(&mut both, &[(0, 3, 0), (0, 12, 0), (0, 13, 3)]);
    assert!(both.ledger.plan(&rollout).is_none());
    assert_eq!(both.ledger.plan(&"nobody".into()), None);
}
