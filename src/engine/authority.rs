//! Who may ask for what. Every door asks this before a verb does anything; the engine's own checks of approvals and kills follow.
//!
//! | verb | agent | service | person |
//! |---|---|---|---|
//! | look | any role | any role | any role |
//! | read the whole record | auditor, operator | auditor, operator | auditor, operator |
//! | preview, propose | proposer, in its own name | proposer | proposer (preview: author, too) |
//! | withdraw | its own | its own | its own |
//! | stop | a rollout or itself; `revert` its own | operator | anybody |
//! | pause, revert | – | operator | operator |
//! | resume, lift, drill | – | – | operator |
//! | approve, revoke, reject, sign off | – | – | approver |
//!
//! INVARIANT: S6, S23. Agents stop, and never approve, resume, widen or lift. One person stops everything.

use crate::model::halt::{KillMode, KillScope};
use crate::model::ids::RolloutId;
use crate::model::principal::{Caller, PrincipalKind, Role, is_same_name};
use crate::model::state::{Rollout, State};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To see how things stand.
    Look,
    /// To read the whole record.
    Audit,
    /// To have a pipeline checked.
    Check,
    /// To see what a change would do.
    Preview {
        /// The change set's agent.
        agent: String,
    },
    /// To hand a change set in.
    Propose {
        /// The change set's agent.
        agent: String,
    },
    /// To take a change back that one proposed.
    Withdraw(RolloutId),
    /// To hold a rollout.
    Pause,
    /// To let a held rollout go on.
    Resume,
    /// To send a rollout back.
    Revert,
    /// To stop.
    Kill {
        /// What.
        scope: KillScope,
        /// How hard.
        mode: KillMode,
    },
    /// To lift a stop order.
    Lift,
    /// To agree to a change, take that back, refuse it, or sign an environment off.
    Answer,
    /// To hold a kill drill.
    Drill,
}

impl Verb {
    /// In one word, for messages and the record.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Audit => "audit",
            Self::Check => "check",
            Self::Preview { .. } => "preview",
            Self::Propose { .. } => "propose",
            Self::Withdraw(_) => "withdraw",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Revert => "revert",
            Self::Kill { .. } => "kill",
            Self::Lift => "lift",
            Self::Answer => "answer",
            Self::Drill => "drill",
        }
    }
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Agents and services never do this.
    #[error("`{name}` is {kind}: only people may {verb}; ask a person")]
    NotAPerson {
        /// Who.
        name: String,
        /// `an agent` or `a service`.
        kind: &'static str,
        /// What was asked for.
        verb: &'static str,
    },
    /// Agents never do this.
    #[error("`{name}` is an agent: agents propose and stop, and may not {verb}; ask a person")]
    NotForAgents {
        /// Who.
        name: String,
        /// What was asked for.
        verb: &'static str,
    },
    /// A role is wanting.
    #[error("`{name}` may not {verb}: that takes the role {wanted}")]
    NoRole {
        /// Who.
        name: String,
        /// What was asked for.
        verb: &'static str,
        /// `operator`, or `auditor or operator`.
        wanted: String,
    },
    /// Two names count as two people only where somebody has said whose they are.
    #[error(
        "`{name}` is known by the user id alone, which may be one of several that one person has: a lift takes people with a token, or \
         named under `identity` of the configuration"
    )]
    NotNamed {
        /// Who.
        name: String,
    },
    /// An agent speaks for itself only.
    #[error("`{name}` is an agent and may propose in its own name only, not as `{agent}`")]
    AnotherAgent {
        /// Who.
        name: String,
        /// In whose name.
        agent: String,
    },
    /// Only whoever proposed it takes it back.
    #[error("`{name}` did not propose rollout `{rollout}`: only its own proposer withdraws it")]
    NotOwn {
        /// Who.
        name: String,
        /// Which.
        rollout: RolloutId,
    },
    /// An agent stops rollouts and itself.
    #[error("`{name}` is an agent and may stop one rollout, or itself (`agent={name}`), not `{scope}`; ask a person")]
    WideKill {
        /// Who.
        name: String,
        /// What it wanted to stop.
        scope: KillScope,
    },
    /// An agent sends back what it proposed itself, and nothing else.
    #[error("`{name}` is an agent and may revert only what it proposed; `pause` and `halt` stop any rollout")]
    NotOwnRevert {
        /// Who.
        name: String,
    },
}

/// Whether this caller may, as things stand.
///
/// # Errors
/// Why not.
pub fn may(state: &State, caller: &Caller, verb: &Verb) -> Result<(), Denied> {
    let asks = Asks { caller, verb: verb.name() };
    match verb {
        Verb::Look => asks.role(&Role::ALL),
        Verb::Audit => asks.role(&[Role::Auditor, Role::Operator]),
        Verb::Check => asks.role(&[Role::Author, Role::Operator]),
        Verb::Preview { agent } => {
            asks.role(&[Role::Proposer, Role::Author])?;
            asks.own_name(agent)
        }
        Verb::Propose { agent } => {
            asks.role(&[Role::Proposer])?;
            asks.own_name(agent)
        }
        Verb::Withdraw(rollout) => match state.rollouts.get(rollout) {
            Some(known) if !is_own(known, caller) => {
                Err(Denied::NotOwn { name: asks.name(), rollout: rollout.clone() })
            }
            // One that is not known is refused as that.
            _ => asks.role(&Role::ALL),
        },
        Verb::Kill { scope, mode } => may_kill(state, &asks, scope, *mode),
        Verb::Pause | Verb::Revert => match caller.principal.kind {
            PrincipalKind::Agent => Err(Denied::NotForAgents { name: asks.name(), verb: asks.verb }),
            PrincipalKind::Service | PrincipalKind::Human => asks.role(&[Role::Operator]),
        },
        // INVARIANT: S23. Two people: whoever runs the daemon and root are two users, and may be one person.
        Verb::Lift if !caller.named => Err(Denied::NotNamed { name: asks.name() }),
        Verb::Resume | Verb::Lift | Verb::Drill => {
            asks.person()?;
            asks.role(&[Role::Operator])
        }
        Verb::Answer => {
            asks.person()?;
            asks.role(&[Role::Approver])
        }
    }
}

/// True for whoever proposed the rollout, or handed it in.
pub fn is_own(rollout: &Rollout, caller: &Caller) -> bool {
    let who = &caller.principal;
    let as_agent = who.kind == PrincipalKind::Agent && is_same_name(&who.name, &rollout.plan.change_set.agent);
    let handed_in = rollout.handed_in.as_ref();
    as_agent || handed_in.is_some_and(|known| known.by.kind == who.kind && known.by.is_same_person(who))
}

fn may_kill(state: &State, asks: &Asks<'_>, scope: &KillScope, mode: KillMode) -> Result<(), Denied> {
    match asks.caller.principal.kind {
        // INVARIANT: S23. One person, and nothing else.
        PrincipalKind::Human => Ok(()),
        PrincipalKind::Service => asks.role(&[Role::Operator]),
        PrincipalKind::Agent => {
            let name = &asks.caller.principal.name;
            let own = match scope {
                KillScope::Rollout(rollout) => state.rollouts.get(rollout).is_some_and(|r| is_own(r, asks.caller)),
                KillScope::Agent(agent) if is_same_name(agent, name) => true,
                _ => return Err(Denied::WideKill { name: asks.name(), scope: scope.clone() }),
            };
            match mode == KillMode::Revert && !own {
                true => Err(Denied::NotOwnRevert { name: asks.name() }),
                false => asks.role(&Role::ALL),
            }
        }
    }
}

struct Asks<'a> {
    caller: &'a Caller,
    verb: &'static str,
}

impl Asks<'_> {
    fn name(&self) -> String {
        self.caller.principal.name.clone()
    }

    /// One of these roles is enough.
    fn role(&self, any: &[Role]) -> Result<(), Denied> {
        if any.iter().any(|role| self.caller.roles.contains(role)) {
            return Ok(());
        }
        let wanted = any.iter().map(|role| role.name()).collect::<Vec<_>>().join(" or ");
        Err(Denied::NoRole { name: self.name(), verb: self.verb, wanted })
    }

    fn person(&self) -> Result<(), Denied> {
        let kind = match self.caller.principal.kind {
            PrincipalKind::Human => return Ok(()),
            PrincipalKind::Agent => "an agent",
            PrincipalKind::Service => "a service",
        };
        Err(Denied::NotAPerson { name: self.name(), kind, verb: self.verb })
    }

    fn own_name(&self, agent: &str) -> Result<(), Denied> {
        let own = is_same_name(&self.caller.principal.name, agent);
        match self.caller.principal.kind == PrincipalKind::Agent && !own {
            true => Err(Denied::AnotherAgent { name: self.name(), agent: agent.to_owned() }),
            false => Ok(()),
        }
    }
}
