//! What the durable record and the embedded provider say of a check. Neither is what the loop says of itself.

use super::stage::Stage;
use crate::cloud::sim::Operation;
use crate::daemon::core::Core;
use crate::daemon::driver::Stopped;
use crate::daemon::split::DrillWorld;
use crate::model::event::{Direction, Event};
use crate::model::ids::{KillId, RolloutId, Seq, TargetId, Token};
use crate::model::stack::{StackRecord, Template};
use std::collections::BTreeSet;

/// So many records of a check are read at most: a check of four targets writes about fifty, and other rollouts write between them.
const RECORDS_MAX: usize = 20_000;

/// What the record says of a check.
#[derive(Clone, Debug, Default)]
pub(super) struct Tale {
    /// Forward calls that were intended, by their tokens.
    pub forward: BTreeSet<Token>,
    /// Targets whose forward call was intended after the order was on record.
    pub after_order: BTreeSet<TargetId>,
    /// Targets whose forward call was seen to start after the order had been acknowledged.
    pub after_acknowledgement: BTreeSet<TargetId>,
    /// Targets whose running operation was cancelled.
    pub cancelled: BTreeSet<TargetId>,
}

/// Reads what was recorded of the rollout since `from`.
pub(super) async fn tell(
    stage: &Stage,
    rollout: &RolloutId,
    kill: &KillId,
    from: Seq,
) -> Result<Result<Tale, String>, Stopped> {
    let (rollout, kill) = (rollout.clone(), kill.clone());
    let read = move |core: &Core| match core.journal().entries_after(from, RECORDS_MAX) {
        Ok(entries) if entries.len() < RECORDS_MAX => Ok(told(entries.iter().map(|e| &e.event), &rollout, &kill)),
        Ok(_) => Err("more was recorded beside this check than is read".to_owned()),
        Err(error) => Err(format!("the record cannot be read: {error}")),
    };
    stage.orders.look(read).await
}

fn told<'a>(events: impl Iterator<Item = &'a Event>, rollout: &RolloutId, kill: &KillId) -> Tale {
    let mut tale = Tale::default();
    let (mut ordered, mut acknowledged) = (false, false);
    let mut going_forward = BTreeSet::new();
    for event in events {
        match event {
            Event::KillRequested { kill: order } if order.id == *kill => ordered = true,
            Event::KillAcknowledged { kill: order } if order == kill => acknowledged = true,
            Event::OperationIntended { rollout: of, target, operation } if of == rollout => {
                if operation.direction != Direction::Forward {
                    going_forward.remove(target);
                    continue;
                }
                going_forward.insert(target.clone());
                tale.forward.insert(operation.token.clone());
                if ordered {
                    tale.after_order.insert(target.clone());
                }
            }
            Event::OperationStarted { rollout: of, target, .. }
                if of == rollout && acknowledged && going_forward.contains(target) =>
            {
                tale.after_acknowledgement.insert(target.clone());
            }
            Event::CancelIntended { rollout: of, target } if of == rollout => {
                tale.cancelled.insert(target.clone());
            }
            _ => {}
        }
    }
    tale
}

/// The tokens of all calls that started an operation at the embedded provider, forward or back, by its own log.
pub(super) fn started(world: &DrillWorld) -> BTreeSet<Token> {
    let starts = |operation| matches!(operation, Operation::ExecuteChangeSet | Operation::DeleteStack);
    let calls = world.world().calls();
    calls.into_iter().filter(|call| call.took_effect && starts(call.operation)).filter_map(|call| call.token).collect()
}

/// How many cancellations took effect at the embedded provider.
pub(super) fn cancelled(world: &DrillWorld) -> usize {
    let calls = world.world().calls();
    calls.iter().filter(|call| call.took_effect && call.operation == Operation::CancelUpdate).count()
}

/// The stacks of the embedded world that are not as they were at the beginning.
pub(super) fn changed(world: &DrillWorld) -> BTreeSet<String> {
    let first = Template::new(world.template());
    let is_first = |record: &StackRecord| record.template.digest() == first.digest();
    let sim = world.world();
    let all = world.cells().iter().flat_map(|cell| cell.stacks.values().map(move |stack| (cell.scope(), stack)));
    let changed = all.filter(|(scope, stack)| !sim.stack(scope, stack).is_some_and(|record| is_first(&record)));
    changed.map(|(_, stack)| stack.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Operation as Started, OperationCall, StartSeen};
    use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
    use crate::model::ids::{Attempt, Digest, Epoch};
    use jiff::Timestamp;

    fn intended(rollout: &str, target: &str, direction: Direction) -> Event {
        let call = OperationCall::ExecuteChangeSet { arn: "a".into(), digest: Digest::of_bytes(b"x"), stack_id: None };
        let operation = Started {
            direction,
            call,
            token: Token::new(format!("{rollout}-{target}-{direction:?}")),
            attempt: Attempt::default(),
            epoch: Epoch::default(),
            intended_at: Timestamp::UNIX_EPOCH,
            before: None,
        };
        Event::OperationIntended { rollout: rollout.into(), target: TargetId::new(target), operation }
    }

    fn started(target: &str) -> Event {
        Event::OperationStarted { rollout: "r".into(), target: TargetId::new(target), seen: StartSeen::Accepted }
    }

    fn ordered() -> Event {
        let scope = KillScope::Rollout("r".into());
        let (id, by, at, reason) = ("k".into(), "ann".into(), Timestamp::UNIX_EPOCH, String::new());
        Event::KillRequested { kill: Kill { id, scope, mode: KillMode::Halt, by, door: KillDoor::Cli, at, reason } }
    }

    fn tale(events: &[Event]) -> Tale {
        told(events.iter(), &"r".into(), &"k".into())
    }

    #[test]
    fn a_kill_that_is_heeded_leaves_nothing_to_find() {
        let back = intended("r", "t1", Direction::Revert);
        let acknowledged = Event::KillAcknowledged { kill: "k".into() };
        let others = intended("other", "t9", Direction::Forward);
        let events = [
            intended("r", "t1", Direction::Forward),
            started("t1"),
            ordered(),
            acknowledged,
            others,
            back,
            started("t1"),
        ];
        let tale = tale(&events);
        assert_eq!(tale.forward.len(), 1);
        assert_eq!((tale.after_order.len(), tale.after_acknowledgement.len()), (0, 0));
    }

    #[test]
    fn what_goes_forward_after_the_order_or_its_acknowledgement_is_found() {
        let acknowledged = Event::KillAcknowledged { kill: "k".into() };
        let late = tale(&[ordered(), intended("r", "t1", Direction::Forward)]);
        assert_eq!(late.after_order, BTreeSet::from([TargetId::new("t1")]));
        let late = tale(&[intended("r", "t1", Direction::Forward), ordered(), acknowledged, started("t1")]);
        assert_eq!(late.after_acknowledgement, BTreeSet::from([TargetId::new("t1")]));
    }
}
