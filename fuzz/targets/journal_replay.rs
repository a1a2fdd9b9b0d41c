//! Sequences of well-formed records in any order: the transition table, where `journal_record` tries the reader of records.
//!
//! No sequence panics; a refused record leaves the state as it was; an accepted one survives being written, so that a replay
//! comes to the same state. In every state that the table lets arise: no wave has begun whose gates before it have not passed,
//! nothing is intended without a restore point, and an ended rollout has nothing open.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use wavegate::model::event::{
    Direction, Event, Left, Operation, OperationCall, Outcome, Prepared, RestoredBy, Settlement, StartSeen,
};
use wavegate::model::halt::{Hold, Kill, KillDoor, KillMode, KillScope, RevertReason, StuckReason};
use wavegate::model::ids::{Attempt, Digest, Epoch, KillId, RolloutId};
use wavegate::model::plan::Plan;
use wavegate::model::preview::PreviewCounts;
use wavegate::model::stack::{RestorePoint, StackStatus};
use wavegate::model::state::{Phase, RolloutPhase, State};
use wavegate::model::time::Millis;
use wavegate::model::verdict::Verdict;
use wavegate_fuzz::records::{apply, assert_survives, plan, restore_point};

const PIPELINE: &str = "
version: 1
name: small
fleet:
  cells:
    - {name: one, account: \"111111111111\", region: eu-west-1, environment: production, stacks: {a: a-1, b: b-1}}
    - {name: two, account: \"111111111111\", region: us-east-1, environment: production, stacks: {a: a-2}}
waves:
  - {name: first, select: {count: 1}, bake: 10m}
  - {name: rest, select: {remaining: true}, bake: 10m}
health: {alarms: [{name: pages}]}
revert: {irreversible: allow}
";
const CHANGE_SET: &str =
    "{version: 1, agent: a, title: t, reasoning: r, pipeline: small, stacks: {a: {tags: {}}, b: {action: delete}}}";

static PLAN: LazyLock<(Arc<Plan>, Digest)> = LazyLock::new(|| {
    let plan = plan(PIPELINE, CHANGE_SET);
    let digest = plan.digest().expect("a plan has a digest");
    (Arc::new(plan), digest)
});

/// One record; numbers pick from a few values, so that records often fit each other.
#[derive(Arbitrary, Debug)]
enum Step {
    Lead(u8),
    Propose,
    Capture { target: u8, absent: bool },
    Request { target: u8, back: bool, attempt: u8, epoch: u8 },
    Prepare { target: u8, deletion: bool, digest: u8 },
    Gone(u8),
    Intend { target: u8, back: bool, call: u8, attempt: u8, epoch: u8 },
    Started(u8),
    NotStarted(u8),
    Cancel(u8),
    OperationEnded { target: u8, status: u8 },
    Settle { target: u8, how: u8 },
    Overdue(u8),
    Wave(u8),
    Bake(u8),
    Judge { wave: u8, elapsed: u8, verdict: u8 },
    Gate { wave: u8, ours: bool },
    Hold,
    Resume,
    Revert,
    End(u8),
    Kill { id: u8, mode: u8 },
    Acknowledge(u8),
    Lift { id: u8, second: u8 },
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let mut state = State::default();
    apply(&mut state, &event(&Step::Lead(1)));
    apply(&mut state, &event(&Step::Propose));
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        let event = event(&step);
        if apply(&mut state, &event) {
            assert_survives(&event);
            assert_sound(&state);
        }
    }
});

fn assert_sound(state: &State) {
    for rollout in state.rollouts.values() {
        if let RolloutPhase::Rolling { wave } | RolloutPhase::Baking { wave } = rollout.phase {
            assert!(rollout.gates_open_for(wave), "S1: wave {wave} with the gates {:?}", rollout.gates);
        }
        for (id, target) in &rollout.targets {
            assert!(target.operation().is_none() || target.restore_point.is_some(), "S13: {id} {target:?}");
            assert!(!rollout.is_ended() || target.is_clean(), "ended, and {id} is open: {target:?}");
            assert!(
                rollout.outcome() != Some(Outcome::Cancelled) || !target.is_touched(),
                "cancelled: {id} {target:?}"
            );
            let applied = rollout.is_ended() && rollout.outcome() != Some(Outcome::Succeeded) && target.is_applied();
            assert!(!applied, "taken back, and {id} is applied");
            if let Phase::Ready { direction: Direction::Forward, digest, .. } = &target.phase {
                assert_eq!(Some(digest), target.approved.as_ref(), "S5: {id} is ready with what was not approved");
            }
        }
        assert!(!rollout.is_ended() || rollout.hold.is_none(), "ended, and held");
        // What others ask of any state.
        let _ = (state.kill_mode(rollout), state.has_stale_work());
    }
    for kill in state.kills.values() {
        let _ = state.pending_of(&kill.kill);
        assert!(kill.lifted_by.as_ref().is_none_or(|[first, second]| first != second), "one person lifted {kill:?}");
    }
}

fn event(step: &Step) -> Event {
    let rollout = RolloutId::from("r-1");
    let id = |n: u8| PLAN.0.targets.keys().nth(usize::from(n) % PLAN.0.targets.len()).expect("a target").clone();
    let wave = |n: u8| usize::from(n % 4);
    let attempt = |n: u8| Attempt(u64::from(n % 8));
    let epoch = |n: u8| Epoch(u64::from(n % 8));
    let at = Timestamp::UNIX_EPOCH;
    let way = |back: bool| if back { Direction::Revert } else { Direction::Forward };
    let digest = |n: u8| Digest::of_bytes(&[n % 2]);
    match *step {
        Step::Lead(n) => Event::LeaderStarted { epoch: epoch(n), holder: "fuzz".into(), version: "0".into() },
        Step::Propose => Event::RolloutProposed { plan: Arc::clone(&PLAN.0), digest: PLAN.1.clone(), by: "a".into(), handed_in: None },
        Step::Capture { target, absent } => {
            let restore_point =
                Arc::new(if absent { RestorePoint::Absent } else { restore_point(id(target).as_str()) });
            Event::RestorePointCaptured { rollout, target: id(target), restore_point, digest: digest(0) }
        }
        Step::Request { target, back, attempt: a, epoch: e } => Event::ChangeSetRequested {
            rollout,
            target: id(target),
            direction: way(back),
            name: "wg".into(),
            attempt: attempt(a),
            epoch: epoch(e),
        },
        Step::Prepare { target, deletion, digest: d } => Event::TargetPrepared {
            rollout,
            target: id(target),
            prepared: match deletion {
                true => Prepared::Deletion { stack_id: "arn".into() },
                false => Prepared::ChangeSet { arn: "arn".into(), name: "wg".into(), epoch: epoch(1) },
            },
            digest: digest(d),
            counts: PreviewCounts::default(),
            changes: Vec::new(),
            classified: None,
            context: None,
        },
        Step::Gone(n) => Event::ChangeSetGone { rollout, target: id(n), why: String::new() },
        Step::Intend { target, back, call, attempt: a, epoch: e } => {
            let operation = Operation {
                direction: way(back),
                call: match call % 3 {
                    0 => OperationCall::ExecuteChangeSet { arn: "arn".into(), digest: digest(0), stack_id: None },
                    1 => OperationCall::DeleteStack { stack_id: "arn".into() },
                    _ => OperationCall::ContinueRollback { stack_id: "arn".into() },
                },
                token: "t".into(),
                attempt: attempt(a),
                epoch: epoch(e),
                intended_at: at,
                before: None,
            };
            Event::OperationIntended { rollout, target: id(target), operation }
        }
        Step::Started(n) => Event::OperationStarted { rollout, target: id(n), seen: StartSeen::Found },
        Step::NotStarted(n) => Event::OperationNotStarted { rollout, target: id(n), why: String::new() },
        Step::Cancel(n) => Event::CancelIntended { rollout, target: id(n) },
        Step::OperationEnded { target, status } => Event::OperationEnded {
            rollout,
            target: id(target),
            status: [StackStatus::UpdateComplete, StackStatus::UpdateRollbackFailed][usize::from(status % 2)].clone(),
            reason: None,
            failures: Vec::new(),
        },
        Step::Settle { target, how } => {
            let left = Left { content: None, stack_id: "arn".into(), last_updated: None };
            let settlement = match how % 4 {
                0 => Settlement::Applied { left },
                1 => Settlement::Unchanged,
                2 => Settlement::Restored { by: RestoredBy::Revert },
                _ => Settlement::Stuck { reason: StuckReason::Irreversible, evidence: None },
            };
            Event::TargetSettled { rollout, target: id(target), settlement }
        }
        Step::Overdue(n) => Event::OperationOverdue { rollout, target: id(n), last_event: None },
        Step::Wave(n) => Event::WaveStarted { rollout, wave: wave(n) },
        Step::Bake(n) => Event::BakeStarted { rollout, wave: wave(n), at },
        Step::Judge { wave: n, elapsed, verdict } => Event::HealthJudged {
            rollout,
            wave: wave(n),
            elapsed: Millis(u64::from(elapsed)),
            verdict: [Verdict::Pass, Verdict::Inconclusive, Verdict::Error, Verdict::Fail][usize::from(verdict % 4)],
            findings: Vec::new(),
        },
        Step::Gate { wave: n, ours } => {
            let plan = if ours { PLAN.1.clone() } else { digest(0) };
            Event::GatePassed { rollout, wave: wave(n), plan, readings: 0 }
        }
        Step::Hold => Event::RolloutHeld { rollout, hold: Hold::Paused { by: "a".into() } },
        Step::Resume => Event::RolloutResumed { rollout, by: "a".into() },
        Step::Revert => Event::RevertStarted { rollout, reason: RevertReason::PlanOnly },
        Step::End(n) => {
            let outcomes = [Outcome::Succeeded, Outcome::Reverted, Outcome::Stuck, Outcome::Cancelled];
            Event::RolloutEnded { rollout, outcome: outcomes[usize::from(n % 4)] }
        }
        Step::Kill { id, mode } => {
            let mode = [KillMode::Pause, KillMode::Halt, KillMode::Revert][usize::from(mode % 3)];
            let (id, by) = (kill_id(id), "a".to_owned());
            let door = KillDoor::Cli;
            Event::KillRequested { kill: Kill { id, scope: KillScope::All, mode, by, door, at, reason: String::new() } }
        }
        Step::Acknowledge(n) => Event::KillAcknowledged { kill: kill_id(n) },
        Step::Lift { id, second } => {
            let people = ["a", "b"][usize::from(second % 2)];
            Event::KillLifted { kill: kill_id(id), by: ["a".into(), people.into()] }
        }
    }
}

fn kill_id(n: u8) -> KillId {
    ["k-1", "k-2"][usize::from(n % 2)].into()
}
