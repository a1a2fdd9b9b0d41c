//! What a stop order meets: one like it that is in force, nothing that it could stop, or neither.

use crate::engine::decide::Refusal;
use crate::model::halt::{KillMode, KillScope};
use crate::model::ids::KillId;
use crate::model::principal::{Principal, PrincipalKind, is_same_name};
use crate::model::state::State;

/// A reason is kept up to this length, in characters: it stands in records and messages for ever. No order is refused for its reason.
const REASON_MAX: usize = 2_000;

/// Where a new order stands among those that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing like it is in force.
    New,
    /// The same caller has given it, and nobody has asked to lift it: it is this one.
    InForce(KillId),
    /// It stops nothing.
    Pointless(Refusal),
}

/// Each order stays on record for ever, and in force until two people lift it. So an agent that stops the same thing in a loop has stopped
/// it once, and one that makes up rollouts stops none. For a person every other reason is another order, and nothing is pointless: what
/// looks so to us may not be so to them.
pub(super) fn standing(state: &State, who: &Principal, scope: &KillScope, mode: KillMode, reason: &str) -> Standing {
    let agent = who.kind == PrincipalKind::Agent;
    if let (true, KillScope::Rollout(id)) = (agent, scope) {
        match state.rollouts.get(id) {
            None => return Standing::Pointless(Refusal::UnknownRollout(id.clone())),
            Some(rollout) if rollout.is_ended() => return Standing::Pointless(Refusal::Ended(id.clone())),
            Some(_) => {}
        }
    }
    let same = state.kills.values().filter(|known| known.in_force() && known.lift_asked.is_none()).find(|known| {
        let kill = &known.kill;
        let alike = kill.scope == *scope && kill.mode == mode && is_same_name(&kill.by, &who.name);
        alike && (agent || kill.reason == reason)
    });
    same.map_or(Standing::New, |known| Standing::InForce(known.kill.id.clone()))
}

/// At most so much of a reason.
pub(super) fn short(reason: String) -> String {
    match reason.char_indices().nth(REASON_MAX) {
        None => reason,
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::model::event::Event;
    use crate::model::halt::{Kill, KillDoor};
    use jiff::Timestamp;

    fn who(name: &str, kind: PrincipalKind) -> Principal {
        Principal { name: name.into(), kind, party: String::new(), groups: Default::default() }
    }

    fn state(by: &str, reason: &str) -> State {
        let mut state = State::default();
        let (id, scope, by, reason) = ("k-1".into(), KillScope::Agent("bot".into()), by.into(), reason.into());
        let kill =
            Kill { id, scope, mode: KillMode::Halt, by, door: KillDoor::Http, at: Timestamp::UNIX_EPOCH, reason };
        state.apply(&Event::KillRequested { kill }).unwrap();
        state
    }

    #[test]
    fn the_same_order_again_is_the_one_in_force() {
        let scope = KillScope::Agent("bot".into());
        let of = |state: &State, who: &Principal, mode, why: &str| standing(state, who, &scope, mode, why);
        let known = Standing::InForce("k-1".into());
        let (bot, ana) = (who("Bot", PrincipalKind::Agent), who("ana", PrincipalKind::Human));
        assert_eq!(of(&state("bot", "x"), &bot, KillMode::Halt, "y"), known);
        assert_eq!(of(&state("bot", "x"), &bot, KillMode::Revert, "x"), Standing::New);
        assert_eq!(of(&state("bot", "x"), &ana, KillMode::Halt, "x"), Standing::New);
        assert_eq!(of(&state("ana", "x"), &ana, KillMode::Halt, "x"), known);
        assert_eq!(of(&state("ana", "x"), &ana, KillMode::Halt, "worse now"), Standing::New);
        // Somebody wants it lifted: who stops now stops anew.
        let mut asked = state("ana", "x");
        asked.apply(&Event::KillLiftAsked { kill: "k-1".into(), by: "ben".into(), at: Timestamp::UNIX_EPOCH }).unwrap();
        assert_eq!(of(&asked, &ana, KillMode::Halt, "x"), Standing::New);
    }

    #[test]
    fn an_agent_stops_no_rollout_that_there_is_not() {
        let scope = KillScope::Rollout("r-none".into());
        let of = |kind| standing(&State::default(), &who("bot", kind), &scope, KillMode::Pause, "");
        assert_eq!(of(PrincipalKind::Agent), Standing::Pointless(Refusal::UnknownRollout("r-none".into())));
        assert_eq!(of(PrincipalKind::Human), Standing::New);
    }

    #[test]
    fn a_reason_is_cut_and_never_refused() {
        assert_eq!(short("ä".repeat(REASON_MAX)), "ä".repeat(REASON_MAX));
        assert_eq!(short("ä".repeat(REASON_MAX + 1)), format!("{}…", "ä".repeat(REASON_MAX)));
    }
}
