//! What people answer: yes, no, not any more, and "this environment is as it should be". Who somebody is, and for whom they act, is
//! what the plan's pipeline says of their name. Design §6; S6, S7.

use super::approval;
use super::react::{Refusal, open};
use crate::guard::{self, Guard};
use crate::model::approval::{Approval, ApprovalRequest};
use crate::model::event::Event;
use crate::model::ids::{Digest, RolloutId};
use crate::model::plan::Plan;
use crate::model::principal::{Principal, PrincipalKind};
use crate::model::state::{Rollout, RolloutPhase, State};
use crate::model::time::Now;
use std::collections::BTreeSet;

/// So many characters of a digest tell it apart: a person copies them from a screen.
pub const DIGEST_MIN: usize = 12;

/// One person's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonsAnswer {
    /// To which rollout.
    pub rollout: RolloutId,
    /// Whose.
    pub by: String,
    /// The party that their credential names; none: nobody proved who it is.
    pub party: Option<String>,
    /// What they say.
    pub says: Says,
}

/// What a person says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// Yes.
    Approve {
        /// The digest of what they looked at, or its first [`DIGEST_MIN`] characters.
        digest: String,
        /// Index of the last wave that they agree to; none: all that are asked for.
        through_wave: Option<usize>,
        /// The key figure, in their words.
        confirm: Option<String>,
    },
    /// Not any more.
    Revoke,
    /// No.
    Reject {
        /// Why.
        reason: String,
    },
    /// This environment is as it should be.
    SignOff {
        /// Which.
        environment: String,
    },
}

/// What an answer means.
///
/// # Errors
/// [`Refusal`]: why it does not count.
pub fn take(state: &State, answer: PersonsAnswer, now: Now) -> Result<Vec<Event>, Refusal> {
    let rollout = open(state, &answer.rollout)?;
    let by = person(&rollout.plan, &answer.by);
    let not_counted =
        |why: String| Refusal::NotCounted { rollout: answer.rollout.clone(), by: Box::new(by.clone()), why };
    if by.kind != PrincipalKind::Human && guard::holds(Guard::PeopleApprove) {
        let why = format!("`{}` is no person: only people approve, reject and sign off", by.name);
        return Err(not_counted(why));
    }
    // INVARIANT: S6. A credential of one party does not speak for a person of another.
    if let Some(party) = answer.party.as_deref().filter(|party| !party.trim().is_empty() && !by.is_of_party(party)) {
        let why = format!("`{}` comes with a credential of party `{party}`, and is of `{}` here", by.name, by.party);
        return Err(not_counted(why));
    }
    // INVARIANT: S24. One no is enough, and what goes back is not stopped by a yes: neither would fit the state.
    if rollout.admission.rejected.is_some() || rollout.phase == RolloutPhase::Reverting {
        return Err(Refusal::Reverting(answer.rollout));
    }
    match answer.says {
        Says::Approve { digest, through_wave, confirm } => {
            let request = asked(rollout)?;
            known_approver(rollout, &by).map_err(not_counted)?;
            let approval = Approval {
                rollout: answer.rollout.clone(),
                digest: whole_digest(request, &digest),
                by: by.clone(),
                through_wave: through_wave.unwrap_or(request.through_wave),
                confirm,
                at: now.wall,
            };
            approval::admit(request, &rollout.admission.given, &approval, now.wall)
                .map_err(|objection| not_counted(objection.to_string()))?;
            Ok(vec![Event::ApprovalGiven { approval }])
        }
        Says::Revoke => {
            asked(rollout)?;
            let theirs = |given: &&Approval| given.by.is_same_person(&by);
            match rollout.admission.given.iter().find(theirs) {
                Some(given) => Ok(vec![Event::ApprovalRevoked { rollout: answer.rollout, by: given.by.name.clone() }]),
                None => Err(Refusal::NothingToRevoke { rollout: answer.rollout, by: by.name }),
            }
        }
        Says::Reject { reason } => {
            asked(rollout)?;
            known_approver(rollout, &by).map_err(not_counted)?;
            Ok(vec![Event::ApprovalRejected { rollout: answer.rollout, by, reason }])
        }
        Says::SignOff { environment } => {
            if !waits_for_sign_off(rollout, &environment) {
                return Err(Refusal::NoSignOff { rollout: answer.rollout, environment });
            }
            known_approver(rollout, &by).map_err(&not_counted)?;
            if !is_apart(rollout, &by) {
                let why = format!("`{}` is of the party that proposed the change: somebody else signs off", by.name);
                return Err(not_counted(why));
            }
            Ok(vec![Event::EnvironmentSignedOff { rollout: answer.rollout, environment, by }])
        }
    }
}

/// Whoever the plan's pipeline knows by this name: a person, an agent, or somebody of whom nothing is known.
pub fn person(plan: &Plan, name: &str) -> Principal {
    let key = name.trim().to_lowercase();
    if is_agent_of(plan, name) {
        return Principal {
            name: name.trim().to_owned(),
            kind: PrincipalKind::Agent,
            party: String::new(),
            groups: BTreeSet::new(),
        };
    }
    let known = plan.safeguards.as_ref().and_then(|s| s.approvals.people.get(&key)).cloned();
    known.unwrap_or_else(|| Principal {
        name: name.trim().to_owned(),
        kind: PrincipalKind::Human,
        party: String::new(),
        groups: BTreeSet::new(),
    })
}

/// True for the name of the agent that proposes, and of every other one that the pipeline knows.
pub fn is_agent_of(plan: &Plan, name: &str) -> bool {
    let key = name.trim().to_lowercase();
    let proposes =
        plan.proposer.as_ref().is_some_and(|p| p.kind == PrincipalKind::Agent && p.name.trim().to_lowercase() == key);
    proposes || plan.safeguards.as_ref().is_some_and(|s| s.approvals.agents.contains_key(&key))
}

/// Whoever handed the change set in, where the pipeline knows them, or a door proved who it was: their party proposes, too.
pub fn handed_in_by(rollout: &Rollout) -> Option<Principal> {
    let people = rollout.plan.safeguards.as_ref().map(|s| &s.approvals.people);
    let listed = people.and_then(|people| people.get(&rollout.by.trim().to_lowercase()));
    listed
        .or_else(|| rollout.handed_in.as_ref().map(|proven| &proven.by).filter(|by| !by.party.trim().is_empty()))
        .cloned()
}

/// Who proposes. An agent of no known party acts for whoever handed its change in.
pub fn proposer(rollout: &Rollout) -> Principal {
    let mut proposer = rollout.plan.proposer.clone().unwrap_or_else(|| Principal {
        name: rollout.plan.change_set.agent.clone(),
        kind: PrincipalKind::Agent,
        party: String::new(),
        groups: BTreeSet::new(),
    });
    if proposer.party.trim().is_empty()
        && let Some(person) = handed_in_by(rollout)
    {
        proposer.party = person.party;
    }
    proposer
}

/// True for a person of the pipeline's list who may sign an environment off for this rollout.
pub fn may_sign_off(rollout: &Rollout, listed: &Principal) -> bool {
    let by = person(&rollout.plan, &listed.name);
    by.kind == PrincipalKind::Human && is_apart(rollout, &by)
}

fn is_apart(rollout: &Rollout, by: &Principal) -> bool {
    !approval::is_proposers_party(Some(&proposer(rollout)), handed_in_by(rollout).as_ref(), by)
}

fn asked(rollout: &Rollout) -> Result<&ApprovalRequest, Refusal> {
    let judged = rollout.admission.judged.as_ref();
    let not_asked = || Refusal::NotAsked(rollout.plan.rollout.clone());
    judged.and_then(|judged| judged.request.as_ref()).ok_or_else(not_asked)
}

fn known_approver(rollout: &Rollout, by: &Principal) -> Result<(), String> {
    let Some(safeguards) = &rollout.plan.safeguards else { return Err("this rollout has no approvers".into()) };
    if safeguards.approvals.people.contains_key(&by.name.trim().to_lowercase()) {
        return Ok(());
    }
    let people: Vec<&str> = safeguards.approvals.people.values().map(|p| p.name.as_str()).collect();
    Err(format!("`{}` is not among `approvals.people` of {} ({})", by.name, safeguards.file, people.join(", ")))
}

/// The digest that is asked for, where enough of it was given; else one that fits nothing.
fn whole_digest(request: &ApprovalRequest, given: &str) -> Digest {
    let given = given.trim().to_ascii_lowercase();
    match given.len() >= DIGEST_MIN && request.digest.as_str().starts_with(&given) {
        true => request.digest.clone(),
        false => Digest::of_bytes(given.as_bytes()),
    }
}

fn waits_for_sign_off(rollout: &Rollout, environment: &str) -> bool {
    let order = rollout.plan.safeguards.as_ref().and_then(|s| s.guardrails.environment_order.as_ref());
    let Some(rule) = order.map(|order| &order.rule) else { return false };
    // Where an earlier rollout brought the same change there, the one that goes on from there is what waits.
    let from = rule.order.is.iter().skip_while(|name| *name != environment);
    let reached: BTreeSet<&str> = from.map(String::as_str).chain([environment]).collect();
    rule.sign_off.is.iter().any(|name| name == environment)
        && rollout.plan.targets.values().any(|target| reached.contains(target.environment.as_str()))
        && !rollout.admission.signed_off.contains(environment)
}
