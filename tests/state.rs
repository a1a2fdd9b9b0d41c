//! The transition table: an event that does not fit is refused, and leaves the state as it was.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use jiff::Timestamp;
use std::sync::Arc;
use wavegate::model::event::{Direction, Event, Operation, OperationCall, Prepared, StartSeen};
use wavegate::model::halt::RevertReason;
use wavegate::model::ids::{Attempt, Digest, Epoch, RolloutId, TargetId};
use wavegate::model::preview::PreviewCounts;
use wavegate::model::stack::RestorePoint;
use wavegate::model::state::State;
use wavegate::model::time::Millis;
use wavegate::model::verdict::Verdict;

fn proposed() -> (State, RolloutId, TargetId) {
    let plan = sim::plan(&[1], &sim::Change::create(sim::V2));
    let (rollout, target) = (plan.rollout.clone(), plan.targets.keys().next().unwrap().clone());
    let mut state = State::default();
    let digest = plan.digest().unwrap();
    state.apply(&Event::RolloutProposed { plan: Arc::new(plan), digest, by: "test".into(), handed_in: None }).unwrap();
    (state, rollout, target)
}

fn assert_refused(state: &mut State, event: &Event) {
    let before = state.clone();
    state.apply(event).unwrap_err();
    assert_eq!(*state, before, "{event:?}");
}

#[test]
fn a_judgement_that_comes_too_late_changes_nothing() {
    let (mut state, rollout, _) = proposed();
    state.apply(&Event::RevertStarted { rollout: rollout.clone(), reason: RevertReason::PlanOnly }).unwrap();
    let late =
        Event::HealthJudged { rollout, wave: 0, elapsed: Millis(1), verdict: Verdict::Fail, findings: Vec::new() };
    assert_refused(&mut state, &late);
}

#[test]
fn a_revert_cannot_be_cancelled_and_is_not_marked_so() {
    let (mut state, rollout, target) = proposed();
    let digest = Digest::of_bytes(b"");
    let (id, at) = (target.clone(), Timestamp::UNIX_EPOCH);
    let intend = |direction, call, attempt| Event::OperationIntended {
        rollout: rollout.clone(),
        target: id.clone(),
        operation: Operation {
            direction,
            call,
            token: "t".into(),
            attempt: Attempt(attempt),
            epoch: Epoch(1),
            intended_at: at,
            before: None,
        },
    };
    let (rollout_id, arn) = (rollout.clone(), "arn".to_owned());
    let ended = |status: &str| Event::OperationEnded {
        rollout: rollout_id.clone(),
        target: id.clone(),
        status: status.into(),
        reason: None,
        failures: Vec::new(),
    };
    let started =
        Event::OperationStarted { rollout: rollout.clone(), target: target.clone(), seen: StartSeen::Accepted };
    for event in [
        Event::RestorePointCaptured {
            rollout: rollout.clone(),
            target: target.clone(),
            restore_point: Arc::new(RestorePoint::Absent),
            digest: digest.clone(),
        },
        Event::ChangeSetRequested {
            rollout: rollout.clone(),
            target: target.clone(),
            direction: Direction::Forward,
            name: "wg".into(),
            attempt: Attempt(1),
            epoch: Epoch(1),
        },
        Event::TargetPrepared {
            rollout: rollout.clone(),
            target: target.clone(),
            prepared: Prepared::ChangeSet { arn: arn.clone(), name: "wg".into(), epoch: Epoch(1) },
            digest: digest.clone(),
            counts: PreviewCounts::default(),
            changes: Vec::new(),
            classified: None,
            context: None,
        },
        intend(Direction::Forward, OperationCall::ExecuteChangeSet { arn: arn.clone(), digest, stack_id: None }, 1),
        started.clone(),
        ended("ROLLBACK_COMPLETE"),
        intend(Direction::Revert, OperationCall::DeleteStack { stack_id: arn }, 2),
        started,
    ] {
        state.apply(&event).unwrap_or_else(|refusal| panic!("{refusal}"));
    }
    assert_refused(&mut state, &Event::CancelIntended { rollout, target });
}
