//! Does this approval count, and are there enough of them? Design §6; S6 and S7.
//!
//! An answer is looked at twice: when it is given ([`admit`]) and whenever something rests on it ([`standing`]). The second look takes
//! nothing from the first on trust.

use crate::guard::{self, Guard};
use crate::model::approval::{Approval, ApprovalRequest, ApprovalRule};
use crate::model::ids::Digest;
use crate::model::principal::{Principal, PrincipalKind};
use crate::model::time;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Why an answer does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// Agents and services never approve.
    #[error("`{name}` is no person: only people approve")]
    NotAPerson {
        /// Who it is.
        name: String,
    },
    /// Nobody approves what their own party proposed.
    #[error("`{name}` acts for `{party}`, which proposed the change: somebody of another party must approve it")]
    ProposersParty {
        /// Who it is.
        name: String,
        /// For whom.
        party: String,
    },
    /// One person counts once.
    #[error("`{name}` has approved it already: two approvals are two people")]
    Again {
        /// Who it is.
        name: String,
    },
    /// The plan, a preview, a finding or a policy is another one by now.
    #[error(
        "what was looked at ({given}) is not what is asked for now ({asked}): look at it again with `wavegate approvals`"
    )]
    OtherDigest {
        /// What is asked for.
        asked: Digest,
        /// What was approved.
        given: Digest,
    },
    /// An approval may be narrower than what is asked for, never wider.
    #[error("it is for the waves up to {given}, and only those up to {asked} are asked for")]
    TooWide {
        /// The last wave that is asked for, counted from 1.
        asked: usize,
        /// The last wave of the approval.
        given: usize,
    },
    /// A destructive change is approved by saying what it does.
    #[error("say what it does: repeat `{figure}`")]
    NotConfirmed {
        /// What must be repeated.
        figure: String,
    },
    /// It was given too long ago, or at a time that is still to come.
    #[error("the approval of `{name}` counts no longer")]
    Expired {
        /// Whose it is.
        name: String,
    },
}

/// What is still wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// So many more people.
    pub people: u32,
    /// Of so many more parties.
    pub parties: u32,
    /// So many more of each group.
    pub groups: BTreeMap<String, u32>,
}

impl Wanted {
    /// True when it is enough.
    pub fn is_nothing(&self) -> bool {
        self.people == 0 && self.parties == 0 && self.groups.is_empty()
    }
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The waves up to and including this one may start.
    Granted {
        /// Its index.
        through_wave: usize,
    },
    /// Not even the first wave may.
    Wanting(Wanted),
}

/// Whether an answer counts beside those that were given before.
///
/// # Errors
/// Why it does not.
pub fn admit(
    request: &ApprovalRequest,
    given: &[Approval],
    answer: &Approval,
    now: Timestamp,
) -> Result<(), Objection> {
    stands(request, answer, now)?;
    let again = given.iter().any(|other| other.by.is_same_person(&answer.by) && stands(request, other, now).is_ok());
    if again && guard::holds(Guard::TwoPeople) {
        Err(Objection::Again { name: answer.by.name.clone() })
    } else {
        Ok(())
    }
}

/// INVARIANT: S6, S7. Whether one answer counts at all, now.
fn stands(request: &ApprovalRequest, answer: &Approval, now: Timestamp) -> Result<(), Objection> {
    let name = || answer.by.name.clone();
    let is_person = answer.by.kind == PrincipalKind::Human && !answer.by.name.trim().is_empty();
    if !is_person && guard::holds(Guard::PeopleApprove) {
        return Err(Objection::NotAPerson { name: name() });
    }
    if is_proposers_party(Some(&request.proposer), request.handed_in_by.as_ref(), &answer.by) {
        return Err(Objection::ProposersParty { name: name(), party: request.proposer.party.clone() });
    }
    if answer.rollout != request.rollout || answer.digest != request.digest {
        return Err(Objection::OtherDigest { asked: request.digest.clone(), given: answer.digest.clone() });
    }
    if answer.through_wave > request.through_wave {
        return Err(Objection::TooWide { asked: request.through_wave + 1, given: answer.through_wave + 1 });
    }
    if let Some(figure) = &request.key_figure
        && answer.confirm.as_deref().map(str::trim) != Some(figure.as_str())
    {
        return Err(Objection::NotConfirmed { figure: figure.clone() });
    }
    // INVARIANT: S26. A clock that was set back makes an approval one of the future; that does not make it last longer.
    let age = time::since(answer.at, now);
    let counts = now >= answer.at && age < request.valid_for.duration();
    if !counts && guard::holds(Guard::ApprovalExpires) {
        return Err(Objection::Expired { name: name() });
    }
    Ok(())
}

/// True for whoever acts for the party that proposes, by the agent's operator or by whoever handed the change in. Somebody of whom no
/// party is known is not known to be of another one.
pub fn is_proposers_party(proposer: Option<&Principal>, handed_in_by: Option<&Principal>, who: &Principal) -> bool {
    let Some(proposer) = proposer else { return true };
    let is_theirs = |other: &Principal| who.is_of_party(&other.party) || who.is_same_person(other);
    // INVARIANT: S6.
    guard::holds(Guard::ProposersPartyApart) && (is_theirs(proposer) || handed_in_by.is_some_and(is_theirs))
}

/// Who of these people could agree, each as if they did now: for "who can release it", and for whether anybody can.
pub fn eligible<'a>(
    request: &'a ApprovalRequest,
    people: impl Iterator<Item = &'a Principal> + 'a,
) -> impl Iterator<Item = &'a Principal> + 'a {
    people.filter(|person| {
        person.kind == PrincipalKind::Human
            && !is_proposers_party(Some(&request.proposer), request.handed_in_by.as_ref(), person)
    })
}

/// What would be wanting if all of these people agreed; nothing: they could.
pub fn wanting_of<'a>(rule: &ApprovalRule, people: impl Iterator<Item = &'a Principal>) -> Wanted {
    wanted(rule, people)
}

/// The answers that count now.
pub fn counting<'a>(
    request: &'a ApprovalRequest,
    given: &'a [Approval],
    now: Timestamp,
) -> impl Iterator<Item = &'a Approval> {
    given.iter().filter(move |answer| stands(request, answer, now).is_ok())
}

/// Where the request stands with these answers. Each wave is looked at by itself, since an answer may be for fewer.
pub fn standing(request: &ApprovalRequest, given: &[Approval], now: Timestamp) -> Standing {
    let counting: Vec<&Approval> = counting(request, given, now).collect();
    let for_wave = |wave: usize| {
        let people = counting.iter().filter(|answer| answer.through_wave >= wave).map(|answer| &answer.by);
        wanted(&request.rule, people)
    };
    match (0..=request.through_wave).take_while(|wave| for_wave(*wave).is_nothing()).last() {
        Some(through_wave) => Standing::Granted { through_wave },
        None => Standing::Wanting(for_wave(0)),
    }
}

fn wanted<'a>(rule: &ApprovalRule, people: impl Iterator<Item = &'a Principal>) -> Wanted {
    let mut persons: BTreeMap<String, &Principal> = BTreeMap::new();
    for (nth, person) in people.enumerate() {
        // INVARIANT: S6. Two approvals are two people, whatever tokens they use.
        let apart = if guard::holds(Guard::TwoPeople) { String::new() } else { format!(" {nth}") };
        persons.entry(person.name.trim().to_lowercase() + &apart).or_insert(person);
    }
    let parties: BTreeSet<String> = persons.values().map(|p| p.party.trim().to_lowercase()).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let of_group = |group: &String| count(persons.values().filter(|p| p.groups.contains(group)).count());
    Wanted {
        people: rule.count.saturating_sub(count(persons.len())),
        parties: rule.parties.saturating_sub(count(parties.len())),
        groups: rule
            .groups
            .iter()
            .map(|(group, needed)| (group.clone(), needed.saturating_sub(of_group(group))))
            .filter(|(_, missing)| *missing > 0)
            .collect(),
    }
}
