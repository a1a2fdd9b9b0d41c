//! Who agreed to what: the safeguards of the plans that ask, the voices that answer, and S6 and S7 by a count of its own, from the
//! recorded events alone.

use crate::properties::Broken;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use wavegate::engine::answer::{PersonsAnswer, Says};
use wavegate::engine::decide::Input;
use wavegate::model::approval::ApprovalRule;
use wavegate::model::class::{Autonomy, ChangeClass};
use wavegate::model::event::{Direction, Event};
use wavegate::model::principal::{Principal, PrincipalKind};
use wavegate::model::safeguards::*;
use wavegate::model::state::State;
use wavegate::model::time::Millis;

fn principal(name: &str, kind: PrincipalKind, party: &str) -> Principal {
    Principal { name: name.into(), kind, party: party.into(), groups: BTreeSet::new() }
}

/// Who proposes.
pub fn proposer() -> Principal {
    principal("kiro", PrincipalKind::Agent, "orders")
}

fn set<T>(is: T) -> Set<T> {
    Set { is, line: 1 }
}

/// Two people; an approval counts for half an hour; after an hour and a half it is another judgement.
pub fn asked() -> Arc<Safeguards> {
    let person = |name: &str, party: &str| (name.to_lowercase(), principal(name, PrincipalKind::Human, party));
    let approvals = Approvals {
        people: BTreeMap::from([
            person("Ada", "platform"),
            person("Bob", "platform"),
            person("Dave", "orders"),
            // Somebody has put an agent on the list of people.
            person("kiro", "platform"),
        ]),
        agents: BTreeMap::from([("kiro".into(), proposer())]),
        two: set(ApprovalRule { count: 2, parties: 1, groups: BTreeMap::new() }),
        valid_for: Millis::from_secs(1_800),
        ..Approvals::default()
    };
    let (drifted, unknown) = (set(Autonomy::TwoApprovals), set(Autonomy::TwoApprovals));
    let drift = Drift { drifted, unknown, max_age: Millis::from_secs(5_400) };
    let guardrails = Guardrails { drift: Some(guardrail(drift)), ..Guardrails::default() };
    Arc::new(Safeguards { approvals, guardrails, ..Safeguards::default() })
}

/// Nobody is asked, and one cell at a time may be in motion.
pub fn shared() -> Arc<Safeguards> {
    let free = ChangeClass::ALL.into_iter().map(|class| (class, set(Autonomy::Autonomous))).collect();
    let autonomy = AutonomyTable { rows: BTreeMap::from([("production".into(), free)]), earned: None };
    let mut limits = BlastRadius::default();
    limits.at_once.max_failure_domains = Some(set(1));
    limits.at_once.failure_domain = FailureDomain::Cell;
    let guardrails = Guardrails { blast_radius: Some(guardrail(limits)), ..Guardrails::default() };
    Arc::new(Safeguards { autonomy, guardrails, ..Safeguards::default() })
}

fn guardrail<T>(rule: T) -> Guardrail<T> {
    Guardrail { rule, dry_run: false, line: 1 }
}

/// Who says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// One person says yes.
    Ada,
    /// The same, under another spelling.
    AdaAgain,
    /// The same, to the first wave alone.
    AdaNarrow,
    /// The same, not any more.
    AdaRevokes,
    /// Another one says yes.
    Bob,
    /// To something that nobody asked for.
    BobElsewhere,
    /// Says no.
    BobRejects,
    /// Somebody of the party that proposes.
    Dave,
    /// The agent itself.
    Kiro,
}

impl Voice {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Ada,
        Self::AdaAgain,
        Self::AdaNarrow,
        Self::AdaRevokes,
        Self::Bob,
        Self::BobElsewhere,
        Self::BobRejects,
        Self::Dave,
        Self::Kiro,
    ];

    /// As it comes in; none: nothing is asked.
    pub fn says(self, state: &State) -> Option<Input> {
        let rollout = state.open_rollouts().next()?;
        let request = rollout.admission.judged.as_ref()?.request.as_ref()?;
        let yes = |digest: &str, through_wave| Says::Approve {
            digest: digest.to_owned(),
            through_wave,
            confirm: request.key_figure.clone(),
        };
        let digest = request.digest.as_str();
        let (by, says) = match self {
            Self::Ada => ("Ada", yes(digest, None)),
            Self::AdaAgain => (" ADA", yes(digest, None)),
            Self::AdaNarrow => ("Ada", yes(digest, Some(0))),
            Self::AdaRevokes => ("Ada", Says::Revoke),
            Self::Bob => ("Bob", yes(digest, None)),
            Self::BobElsewhere => ("Bob", yes("0123456789abcdef", None)),
            Self::BobRejects => ("Bob", Says::Reject { reason: String::new() }),
            Self::Dave => ("Dave", yes(digest, None)),
            Self::Kiro => ("kiro", yes(digest, None)),
        };
        Some(Input::Answer(PersonsAnswer { rollout: rollout.plan.rollout.clone(), by: by.into(), party: None, says }))
    }
}

/// One answer on record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Said {
    by: String,
    what: u64,
    through_wave: usize,
    hour: u8,
}

/// What is on record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Consent {
    /// What is asked; none: nothing yet.
    asked: Option<u64>,
    given: Vec<Said>,
    /// What was used last: for what, through which wave, in which hour, whose.
    used: Option<(u64, usize, u8, Vec<Said>)>,
    rejected: bool,
    /// An answer was used that was not there.
    conjured: bool,
    /// Answers were used, or a call was intended, after somebody had said no.
    overruled: bool,
    /// Answers became void.
    void: bool,
}

fn number(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Consent {
    /// Takes a record in.
    pub fn record(&mut self, event: &Event, hour: u8) {
        match event {
            Event::GuardrailsJudged { judged, .. } => {
                let asked = judged.request.as_ref().map(|request| number(&request.digest));
                if self.asked != asked {
                    self.void |= !self.given.is_empty();
                    self.given.clear();
                }
                self.asked = asked;
            }
            Event::ApprovalGiven { approval } => self.given.push(Said {
                by: approval.by.name.trim().to_lowercase(),
                what: number(&approval.digest),
                through_wave: approval.through_wave,
                hour,
            }),
            Event::ApprovalRevoked { by, .. } => {
                let by = by.trim().to_lowercase();
                self.given.retain(|said| said.by != by);
            }
            Event::ApprovalRejected { .. } => self.rejected = true,
            // A call that was intended before somebody said no may still arrive; none is intended after it.
            Event::OperationIntended { operation, .. } if operation.direction == Direction::Forward => {
                self.overruled |= self.rejected;
            }
            Event::ApprovalsUsed { digest, by, through_wave, .. } => {
                self.overruled |= self.rejected;
                let mut used = Vec::new();
                for name in by.iter().map(|name| name.trim().to_lowercase()) {
                    match self.given.iter().position(|said| said.by == name) {
                        Some(at) => used.push(self.given.remove(at)),
                        None => self.conjured = true,
                    }
                }
                self.used = Some((number(digest), *through_wave, hour, used));
            }
            _ => {}
        }
    }

    /// True while people are asked.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// How much was said.
    pub fn answers(&self) -> (usize, bool) {
        (self.given.len(), self.rejected)
    }

    /// True when what was used is for the first wave alone.
    pub fn is_narrow(&self) -> bool {
        self.used.as_ref().is_some_and(|(_, through, ..)| *through == 0)
    }

    /// True when answers were given to what is not asked any more.
    pub fn was_void(&self) -> bool {
        self.void
    }

    /// S6 and S7, where a call of this wave has its effect.
    pub fn at_start(&self, wave: usize) -> u32 {
        let Some((what, through, hour, said)) = &self.used else { return Broken::S7 };
        let for_this = self.asked == Some(*what) && *through >= wave;
        let each = said.iter().all(|s| s.what == *what && s.through_wave >= wave && s.hour == *hour);
        let people: BTreeSet<&str> = said.iter().map(|s| s.by.as_str()).collect();
        let apart = people.len() == 2 && people.iter().all(|name| ["ada", "bob"].contains(name));
        let fresh = for_this && each && !self.conjured && !self.overruled;
        (if fresh { Broken::NONE } else { Broken::S7 }) | (if apart { Broken::NONE } else { Broken::S6 })
    }
}
