//! What a stop order of a caller meets: one like it that is in force, nothing that it could stop, or neither.

use super::react::Refusal;
use crate::model::event::Event;
use crate::model::halt::{Kill, KillScope};
use crate::model::principal::{PrincipalKind, is_same_name};
use crate::model::state::State;

/// A reason is kept up to this length, in characters: it stands in records and messages for ever. No order is refused for its reason.
const REASON_MAX: usize = 2_000;

/// Takes it, unless it is in force already or stops nothing.
///
/// Each order stays on record for ever, and in force until two people lift it. So an agent that stops the same thing in a loop has stopped
/// it once, and one that makes up rollouts stops none. For a person every other reason is another order, and nothing is pointless: what
/// looks so to us may not be so to them.
pub(super) fn take(state: &State, kill: Kill, by: PrincipalKind) -> Result<Vec<Event>, Refusal> {
    let agent = by == PrincipalKind::Agent;
    if let (true, KillScope::Rollout(id)) = (agent, &kill.scope) {
        match state.rollouts.get(id) {
            None => return Err(Refusal::UnknownRollout(id.clone())),
            Some(rollout) if rollout.is_ended() => return Err(Refusal::Ended(id.clone())),
            Some(_) => {}
        }
    }
    let kill = Kill { reason: short(kill.reason), ..kill };
    // Somebody wants it lifted: who stops now stops anew.
    let current = state.kills.values().filter(|known| known.in_force() && known.lift_asked.is_none());
    let same = current.map(|known| &known.kill).find(|known| {
        let alike = known.scope.is_same(&kill.scope) && known.mode == kill.mode && is_same_name(&known.by, &kill.by);
        alike && (agent || known.reason == kill.reason)
    });
    match same {
        Some(known) => Err(Refusal::InForce(known.id.clone())),
        None => Ok(vec![Event::KillRequested { kill }]),
    }
}

/// At most so much of a reason.
fn short(reason: String) -> String {
    match reason.char_indices().nth(REASON_MAX) {
        None => reason,
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::model::halt::{KillDoor, KillMode};
    use jiff::Timestamp;

    fn order(id: &str, by: &str, scope: &KillScope, mode: KillMode, reason: &str) -> Kill {
        let (id, by, scope, reason) = (id.into(), by.into(), scope.clone(), reason.into());
        Kill { id, scope, mode, by, door: KillDoor::Http, at: Timestamp::UNIX_EPOCH, reason }
    }

    fn agent(name: &str) -> KillScope {
        KillScope::Agent(name.into())
    }

    fn state(by: &str, reason: &str) -> State {
        let mut state = State::default();
        let kill = order("k-1", by, &agent("bot"), KillMode::Halt, reason);
        state.apply(&Event::KillRequested { kill }).unwrap();
        state
    }

    #[test]
    fn the_same_order_again_is_the_one_in_force() {
        let (bot, ana) = (("Bot", PrincipalKind::Agent), ("ana", PrincipalKind::Human));
        let is_new = |state: &State, (by, kind): (&str, _), scope: &KillScope, mode, why: &str| match take(
            state,
            order("k-2", by, scope, mode, why),
            kind,
        ) {
            Ok(events) => !events.is_empty(),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::InForce("k-1".into()));
                false
            }
        };
        let known = agent("bot");
        assert!(!is_new(&state("bot", "x"), bot, &known, KillMode::Halt, "y"));
        assert!(is_new(&state("bot", "x"), bot, &known, KillMode::Revert, "x"));
        assert!(is_new(&state("bot", "x"), ana, &known, KillMode::Halt, "x"));
        assert!(!is_new(&state("ana", "x"), ana, &known, KillMode::Halt, "x"));
        assert!(is_new(&state("ana", "x"), ana, &known, KillMode::Halt, "worse now"));
        // However it is spelled: an agent does not fill the record with its own name.
        for spelling in ["Bot", " bot", "BOT  "] {
            assert!(!is_new(&state("bot", "x"), bot, &agent(spelling), KillMode::Halt, "x"), "{spelling:?}");
        }
        let long = "ä".repeat(REASON_MAX + 1);
        assert!(!is_new(&state("ana", &short(long.clone())), ana, &known, KillMode::Halt, &long));
        let mut asked = state("ana", "x");
        asked.apply(&Event::KillLiftAsked { kill: "k-1".into(), by: "ben".into(), at: Timestamp::UNIX_EPOCH }).unwrap();
        assert!(is_new(&asked, ana, &known, KillMode::Halt, "x"));
    }

    #[test]
    fn an_agent_stops_no_rollout_that_there_is_not() {
        let kill = || order("k-2", "bot", &KillScope::Rollout("r-none".into()), KillMode::Pause, "");
        let refused = take(&State::default(), kill(), PrincipalKind::Agent);
        assert_eq!(refused, Err(Refusal::UnknownRollout("r-none".into())));
        take(&State::default(), kill(), PrincipalKind::Human).unwrap();
    }

    #[test]
    fn a_reason_is_cut_and_never_refused() {
        assert_eq!(short("ä".repeat(REASON_MAX)), "ä".repeat(REASON_MAX));
        assert_eq!(short("ä".repeat(REASON_MAX + 1)), format!("{}…", "ä".repeat(REASON_MAX)));
    }
}
