//! Who can let a rollout go on, asked of whole states: answers go through [`decide::react`] and [`State::apply`], and whether a wave
//! may start is what [`admission::gate`] says (S6, S7).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use wavegate::engine::admission::{self, Gate};
use wavegate::engine::answer::{PersonsAnswer, Says};
use wavegate::engine::decide::{self, Input, Refusal};
use wavegate::engine::session::Session;
use wavegate::model::approval::ApprovalRule;
use wavegate::model::class::{ChangeClass, ClassReason, Classified, ClassifiedChange, Fate, Reversibility};
use wavegate::model::decision::Decision;
use wavegate::model::event::{
    Direction, Event, Operation, OperationCall, Outcome, Prepared, RestoredBy, Settlement, StartSeen,
};
use wavegate::model::halt::RevertReason;
use wavegate::model::ids::{Attempt, Digest, Epoch, RolloutId, TargetId};
use wavegate::model::plan::Plan;
use wavegate::model::preview::PreviewCounts;
use wavegate::model::principal::{Principal, PrincipalKind};
use wavegate::model::safeguards::{
    Approvals, BlastRadius, EnvironmentOrder, Guardrail, Reach, ReachWindow, Safeguards, Set,
};
use wavegate::model::stack::{RestorePoint, StackStatus};
use wavegate::model::state::{Rollout, State};
use wavegate::model::time::{Millis, Now};

const WAVES: usize = 3;
const VALID_FOR: Millis = Millis::from_secs(3_600);
/// Whoever hands the change in.
const SENDERS: [&str; 3] = ["nobody", "Carol", "kiro"];
/// The only ones who may agree, by lower-case name and party; Carol only where she has not handed it in.
const APART: [(&str, &str); 3] = [("ada", "platform"), ("bob", "security"), ("carol", "support")];
/// Names under which answers come in.
const NAMES: [&str; 14] = [
    "Ada", "ada", " ADA ", "Bob", "BOB", "Carol", "carol ", "Dave", " dave", "Mallory", "robot", "Kiro", "kiro", "zoe",
];

fn at(minutes: i64) -> Timestamp {
    "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn now(minutes: i64) -> Now {
    Now { wall: at(minutes), monotonic: Duration::from_secs(60 * u64::try_from(minutes.max(0)).unwrap()) }
}

fn principal(name: &str, kind: PrincipalKind, party: &str) -> Principal {
    Principal { name: name.into(), kind, party: party.into(), groups: BTreeSet::new() }
}

fn safeguards() -> Safeguards {
    let people = [
        ("Ada", "platform"),
        ("Bob", "security"),
        ("Carol", "support"),
        // The party that proposes, one of whom no party is known, and two agents that somebody has put on the list.
        ("Dave", " Orders"),
        ("Mallory", ""),
        ("robot", "platform"),
        ("kiro", "platform"),
    ];
    let person = |(name, party): (&str, &str)| (name.to_lowercase(), principal(name, PrincipalKind::Human, party));
    let agent = |(name, party): (&str, &str)| (name.to_owned(), principal(name, PrincipalKind::Agent, party));
    let rule = ApprovalRule { count: 2, parties: 2, groups: BTreeMap::new() };
    let approvals = Approvals {
        people: people.into_iter().map(person).collect(),
        agents: [("kiro", "orders"), ("robot", "platform")].into_iter().map(agent).collect(),
        two: Set { is: rule, line: 1 },
        valid_for: VALID_FOR,
        ..Approvals::default()
    };
    Safeguards { approvals, ..Safeguards::default() }
}

/// A rollout that is previewed and judged, and asks two people, by each of [`SENDERS`].
static ASKED: LazyLock<Vec<(State, RolloutId)>> = LazyLock::new(|| SENDERS.into_iter().map(asked).collect());

fn asked(sender: &str) -> (State, RolloutId) {
    let mut plan = sim::plan(&[1; WAVES], &sim::Change::update(sim::V2));
    plan.proposer = Some(principal("kiro", PrincipalKind::Agent, "orders"));
    plan.safeguards = Some(Arc::new(safeguards()));
    let (state, rollout) = judged(plan, sender, destroys());
    assert!(asks(&state, &rollout).is_some(), "{:?}", state.rollouts[&rollout].admission);
    (state, rollout)
}

/// A rollout whose targets are all previewed, and which was judged.
fn judged(plan: Plan, sender: &str, classified: Classified) -> (State, RolloutId) {
    let (rollout, digest, plan) = (plan.rollout.clone(), plan.digest().unwrap(), Arc::new(plan));
    let mut state = State::default();
    let mut events = vec![
        Event::LeaderStarted { epoch: Epoch(1), holder: String::new(), version: String::new() },
        Event::RolloutProposed { plan: Arc::clone(&plan), digest, by: sender.into(), handed_in: None },
    ];
    for target in plan.targets.keys() {
        let restore_point = Arc::new(RestorePoint::Absent);
        let digest = restore_point.digest().unwrap();
        let (rollout, target) = (rollout.clone(), target.clone());
        events.push(Event::RestorePointCaptured {
            rollout: rollout.clone(),
            target: target.clone(),
            restore_point,
            digest,
        });
        events.push(Event::TargetPrepared {
            rollout,
            target,
            prepared: Prepared::Deletion { stack_id: "arn".into() },
            digest: Digest::of_bytes(b"preview"),
            counts: PreviewCounts { removed: 1, ..PreviewCounts::default() },
            changes: Vec::new(),
            classified: Some(Box::new(classified.clone())),
            context: None,
        });
    }
    events.iter().for_each(|event| state.apply(event).unwrap());
    let Gate::Shut { events, .. } = gate(&state, &rollout, 0, 0) else { panic!("nothing was judged") };
    events.iter().for_each(|event| state.apply(event).unwrap());
    (state, rollout)
}

fn destroys() -> Classified {
    let change = ClassifiedChange {
        path: "Table".into(),
        resource_type: "AWS::DynamoDB::Table".into(),
        classes: BTreeSet::from([ChangeClass::Destructive, ChangeClass::Irreversible]),
        reversibility: Reversibility::Irreversible,
        reasons: BTreeSet::from([ClassReason::Removed { old: Fate::Deleted }]),
    };
    Classified {
        classes: change.classes.clone(),
        reversibility: Reversibility::Irreversible,
        reasons: BTreeSet::new(),
        changes: vec![change],
    }
}

fn asks<'a>(state: &'a State, rollout: &RolloutId) -> Option<&'a wavegate::model::approval::ApprovalRequest> {
    state.rollouts[rollout].admission.judged.as_ref()?.request.as_ref()
}

fn gate(state: &State, rollout: &RolloutId, wave: usize, minutes: i64) -> Gate {
    admission::gate(&state.rollouts[rollout], wave, state, now(minutes))
}

/// How many waves, from the first one on, may start.
fn reach(state: &State, rollout: &RolloutId, minutes: i64) -> usize {
    (0..WAVES).take_while(|wave| matches!(gate(state, rollout, *wave, minutes), Gate::Open(_))).count()
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Approve {
        by: &'static str,
        right: bool,
        through_wave: Option<usize>,
        says: bool,
    },
    Revoke(&'static str),
    Resume(&'static str),
    /// The next wave starts, if it may.
    Start,
    /// Minutes pass, or the clock is set back.
    Minutes(i64),
}

fn step(names: &'static [&'static str]) -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(names);
    let often = prop::bool::weighted(0.85);
    let waves = prop_oneof![2 => Just(None), 1 => (0..=WAVES).prop_map(Some)];
    prop_oneof![
        8 => (name(), often, waves, often).prop_map(|(by, right, through_wave, says)| {
            Step::Approve { by, right, through_wave, says }
        }),
        2 => name().prop_map(Step::Revoke),
        1 => name().prop_map(Step::Resume),
        1 => Just(Step::Start),
        1 => (-90..90_i64).prop_map(Step::Minutes),
    ]
}

/// A state under way.
struct Case {
    state: State,
    rollout: RolloutId,
    minutes: i64,
    started: usize,
}

impl Case {
    fn new(sender: usize) -> Self {
        let (state, rollout) = ASKED[sender].clone();
        Self { state, rollout, minutes: 0, started: 0 }
    }

    fn input(&mut self, input: Input) {
        let mut session = Session::default();
        if let Ok(events) = decide::react(&self.state, &mut session, input, now(self.minutes)) {
            events.iter().for_each(|event| self.state.apply(event).unwrap());
        }
    }

    fn answer(&mut self, by: &str, says: Says) {
        let rollout = self.rollout.clone();
        self.input(Input::Answer(PersonsAnswer { rollout, by: by.into(), party: None, says }));
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Approve { by, right, through_wave, says } => {
                let request = asks(&self.state, &self.rollout).unwrap();
                let digest = if *right { request.digest.as_str() } else { "0123456789abcdef" };
                let confirm = request.key_figure.clone().filter(|_| *says);
                let says = Says::Approve { digest: digest.to_owned(), through_wave: *through_wave, confirm };
                self.answer(by, says);
            }
            Step::Revoke(by) => self.answer(by, Says::Revoke),
            Step::Resume(by) => {
                self.input(Input::Pause { rollout: self.rollout.clone(), by: "somebody".into() });
                self.input(Input::Resume { rollout: self.rollout.clone(), by: (*by).into() });
                if self.state.rollouts[&self.rollout].hold.is_some() {
                    self.input(Input::Resume { rollout: self.rollout.clone(), by: "a person".into() });
                } else {
                    let agent = ["kiro", "robot"].contains(&by.trim().to_lowercase().as_str());
                    assert!(!agent, "`{by}` let it go on");
                }
            }
            Step::Start => {
                // Gates of health are not asked here: only what people said is.
                if let Gate::Open(events) = gate(&self.state, &self.rollout, self.started, self.minutes)
                    && self.started < WAVES
                {
                    events.iter().for_each(|event| self.state.apply(event).unwrap());
                    self.started += 1;
                }
            }
            Step::Minutes(minutes) => self.minutes += minutes,
        }
    }

    fn reach(&self) -> usize {
        reach(&self.state, &self.rollout, self.minutes)
    }
}

/// Whoever is behind the approvals that let a wave go: those that would be used now, or were.
fn behind(rollout: &Rollout, opened: &[Event]) -> Vec<Principal> {
    let used = opened.iter().find_map(|event| match event {
        Event::ApprovalsUsed { by, .. } => Some(by),
        _ => None,
    });
    let admission = &rollout.admission;
    match used {
        Some(names) => admission.given.iter().filter(|a| names.contains(&a.by.name)).map(|a| a.by.clone()).collect(),
        None => admission.used.iter().flat_map(|used| &used.approvals).map(|a| a.by.clone()).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// S6: no sequence of principals lets the proposer's party, or any agent, approve. What opens a gate is always two people of two
    /// other parties.
    #[test]
    fn only_two_people_of_two_other_parties_open_a_gate(
        sender in 0..SENDERS.len(), steps in prop::collection::vec(step(&NAMES), 0..14),
    ) {
        let mut case = Case::new(sender);
        for step in &steps {
            case.take(step);
            for wave in 0..WAVES {
                let Gate::Open(opened) = gate(&case.state, &case.rollout, wave, case.minutes) else { continue };
                let who = behind(&case.state.rollouts[&case.rollout], &opened);
                let may = |person: &Principal| {
                    let name = person.name.trim().to_lowercase();
                    APART.iter().any(|(known, party)| *known == name && *party == person.party.as_str())
                        && (SENDERS[sender] != "Carol" || name != "carol")
                        && person.kind == PrincipalKind::Human
                };
                prop_assert!(who.iter().all(may), "{who:?} opened wave {wave}");
                let people: BTreeSet<String> = who.iter().map(|p| p.name.trim().to_lowercase()).collect();
                prop_assert!(people.len() >= 2, "{who:?} opened wave {wave}");
            }
        }
    }

    /// S6: with nobody else about, nothing ever opens.
    #[test]
    fn the_proposers_party_and_agents_alone_open_nothing(
        sender in 0..SENDERS.len(),
        steps in prop::collection::vec(step(&["Dave", " dave", "DAVE", "Mallory", "robot", "Kiro", "kiro ", "zoe", "", "Ada"]), 0..14),
    ) {
        let mut case = Case::new(sender);
        for step in &steps {
            case.take(step);
            prop_assert_eq!(case.reach(), 0, "{:?}", case.state.rollouts[&case.rollout].admission);
        }
    }

    /// Taking an approval away never lets more go on, whoever's it is.
    #[test]
    fn removing_an_approval_never_releases_a_hold(
        sender in 0..SENDERS.len(), steps in prop::collection::vec(step(&["Ada", " ada", "Bob", "Carol", "Dave"]), 1..12),
    ) {
        let mut case = Case::new(sender);
        for step in &steps {
            case.take(step);
            let before = case.reach();
            for given in case.state.rollouts[&case.rollout].admission.given.clone() {
                let mut fewer = Case { state: case.state.clone(), rollout: case.rollout.clone(), ..case };
                fewer.answer(&given.by.name, Says::Revoke);
                let left = &fewer.state.rollouts[&case.rollout].admission.given;
                prop_assert!(!left.contains(&given), "{} is still there", given.by.name);
                prop_assert!(fewer.reach() <= before, "without {}: {} > {before}", given.by.name, fewer.reach());
            }
        }
    }
}

/// The properties above mean something only if a gate can be opened.
#[test]
fn two_people_open_it_and_an_hour_later_it_is_shut() {
    let mut case = Case::new(0);
    let yes = |by| Step::Approve { by, right: true, through_wave: None, says: true };
    case.take(&yes("Ada"));
    assert_eq!(case.reach(), 0);
    case.take(&yes("Bob"));
    assert_eq!(case.reach(), WAVES);
    case.take(&Step::Minutes(60));
    assert_eq!(case.reach(), 0);
}

/// Staging comes before production, and somebody signs it off; the first wave is in `first`, the others in production.
fn in_order(first: &str, party: &str, sender: &str) -> (State, RolloutId) {
    let mut plan = sim::plan(&[1; WAVES], &sim::Change::update(sim::V2));
    for target in plan.targets.values_mut() {
        target.environment = if target.wave == 0 { first } else { "production" }.to_owned();
    }
    plan.proposer = Some(principal("kiro", PrincipalKind::Agent, party));
    let mut safeguards = safeguards();
    let set = |names: &[&str]| Set { is: names.iter().map(|name| (*name).to_owned()).collect(), line: 1 };
    let rule = EnvironmentOrder { order: set(&["staging", "production"]), sign_off: set(&["staging"]) };
    safeguards.guardrails.environment_order = Some(Guardrail { rule, dry_run: false, line: 1 });
    plan.safeguards = Some(Arc::new(safeguards));
    judged(plan, sender, Classified { classes: BTreeSet::from([ChangeClass::Additive]), ..Classified::default() })
}

fn sign_off(state: &State, rollout: &RolloutId, by: &str) -> Result<Vec<Event>, Refusal> {
    let says = Says::SignOff { environment: "staging".into() };
    let answer = PersonsAnswer { rollout: rollout.clone(), by: by.into(), party: None, says };
    decide::react(state, &mut Session::default(), Input::Answer(answer), now(0))
}

/// An agent of no known party acts for whoever handed its change in, also where a sign-off is asked.
#[test]
fn whoever_is_apart_from_the_sender_signs_off() {
    let (state, rollout) = in_order("staging", "", "Carol");
    assert!(sign_off(&state, &rollout, "Carol").is_err());
    assert!(sign_off(&state, &rollout, "Dave").is_ok());
    assert!(sign_off(&state, &rollout, "Ada").is_ok());
}

/// What nobody can ever release is refused at once, not held for ever.
#[test]
fn a_sign_off_that_nobody_can_give_is_refused_at_once() {
    let decision = |(state, rollout): (State, RolloutId)| {
        state.rollouts[&rollout].admission.judged.as_ref().map(|judged| judged.decision)
    };
    assert_eq!(decision(in_order("staging", "orders", "nobody")), Some(Decision::Allow));
    assert_eq!(decision(in_order("staging", "", "nobody")), Some(Decision::Deny));
    // Nothing of it comes before production.
    assert_eq!(decision(in_order("development", "orders", "nobody")), Some(Decision::Deny));
}

/// A change that brings to production what an earlier rollout brought to staging waits for a sign-off, and can be given it.
#[test]
fn the_rollout_that_waits_for_a_sign_off_takes_it() {
    let (mut state, rollout) = in_order("production", "orders", "nobody");
    let events = sign_off(&state, &rollout, "Ada").unwrap();
    events.iter().for_each(|event| state.apply(event).unwrap());
    assert!(state.rollouts[&rollout].admission.signed_off.contains("staging"));
    assert!(matches!(sign_off(&state, &rollout, "Bob"), Err(Refusal::NoSignOff { .. })));
}

/// A rollout of one target that is about to begin, under a limit of one target in ten minutes.
fn about_to_begin(state: &mut State, name: &str) -> (RolloutId, TargetId) {
    let mut plan = sim::plan(&[1], &sim::Change::update(sim::V2));
    let (rollout, target) = (RolloutId::new(name), plan.targets.keys().next().unwrap().clone());
    plan.rollout = rollout.clone();
    let mut safeguards = safeguards();
    let reach = Reach { max_targets: Some(Set { is: 1, line: 1 }), ..Reach::default() };
    let per = Millis::from_secs(600);
    let (agent, pipeline) = (Reach::default(), Reach::default());
    let window = Some(ReachWindow { per, agent, pipeline, fleet: reach });
    let rule = BlastRadius { window, ..BlastRadius::default() };
    safeguards.guardrails.blast_radius = Some(Guardrail { rule, dry_run: false, line: 1 });
    plan.safeguards = Some(Arc::new(safeguards));
    let classified = Classified { classes: BTreeSet::from([ChangeClass::Additive]), ..Classified::default() };
    let (judged, _) = judged(plan, "nobody", classified);
    state.rollouts.extend(judged.rollouts);
    state.epoch = judged.epoch;
    state.apply(&Event::WaveStarted { rollout: rollout.clone(), wave: 0 }).unwrap();
    (rollout, target)
}

/// L2: time passes for whoever waits for it, though nothing else happens.
#[test]
fn whoever_waits_for_room_within_a_time_is_woken_when_there_is_some() {
    let mut state = State::default();
    let (first, target) = about_to_begin(&mut state, "r-1");
    about_to_begin(&mut state, "r-2");
    let of = || (first.clone(), target.clone());
    let (rollout, target) = of();
    let operation = Operation {
        direction: Direction::Forward,
        call: OperationCall::DeleteStack { stack_id: "arn".into() },
        token: "t".into(),
        attempt: Attempt(1),
        epoch: Epoch(1),
        intended_at: at(0),
        before: None,
    };
    let (status, settlement) = (StackStatus::UpdateRollbackComplete, Settlement::Restored { by: RestoredBy::Provider });
    let reason = RevertReason::Requested { by: "ada".into() };
    let events = [
        Event::OperationIntended { rollout, target, operation },
        Event::OperationStarted { rollout: of().0, target: of().1, seen: StartSeen::Accepted },
        Event::OperationEnded { rollout: of().0, target: of().1, status, reason: None, failures: Vec::new() },
        Event::TargetSettled { rollout: of().0, target: of().1, settlement },
        Event::RevertStarted { rollout: of().0, reason },
        Event::RolloutEnded { rollout: of().0, outcome: Outcome::Reverted },
    ];
    events.iter().for_each(|event| state.apply(event).unwrap());
    let mut session = Session::default();
    let next = decide::advance(&state, &mut session, now(4));
    assert!(next.events.is_empty(), "{next:?}");
    assert_eq!(session.take_wake(), Some(now(10).monotonic));
}

/// S24: a decision always fits the state. Who says no to what goes back already is told so, and nothing is recorded.
#[test]
fn a_second_no_is_refused() {
    let (state, rollout) = ASKED[0].clone();
    let says = |state: &State, by: &str, says: Says| {
        let answer = PersonsAnswer { rollout: rollout.clone(), by: by.into(), party: None, says };
        decide::react(state, &mut Session::default(), Input::Answer(answer), now(0))
    };
    let no = || Says::Reject { reason: "not today".into() };
    let mut rejected = state.clone();
    says(&state, "Ada", no()).unwrap().iter().for_each(|event| rejected.apply(event).unwrap());
    let mut reverting = rejected.clone();
    let next = decide::advance(&rejected, &mut Session::default(), now(0));
    next.events.iter().for_each(|event| reverting.apply(event).unwrap());
    for state in [rejected, reverting] {
        let digest = asks(&state, &rollout).unwrap().digest.to_string();
        let yes =
            Says::Approve { digest, through_wave: None, confirm: asks(&state, &rollout).unwrap().key_figure.clone() };
        for again in [no(), yes] {
            assert!(matches!(says(&state, "Bob", again), Err(Refusal::Reverting(_))));
        }
    }
}
