//! Who may ask for what, held against the sentences of the design and not against the code: agents stop and never let go on, one person
//! stops everything, two people lift. S6, S23, S26.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use wavegate::engine::authority::{self, Denied, Verb};
use wavegate::engine::decide::{self, Input, Refusal};
use wavegate::engine::react::LIFT_WITHIN;
use wavegate::engine::session::Session;
use wavegate::model::event::Event;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use wavegate::model::ids::{Digest, RolloutId};
use wavegate::model::plan::Plan;
use wavegate::model::principal::{Caller, Door, HandedIn, Principal, PrincipalKind, Role};
use wavegate::model::state::State;
use wavegate::model::time::Now;

const KINDS: [PrincipalKind; 3] = [PrincipalKind::Agent, PrincipalKind::Service, PrincipalKind::Human];

fn principal(name: &str, kind: PrincipalKind) -> Principal {
    Principal { name: name.into(), kind, party: "orders".into(), groups: BTreeSet::new() }
}

fn caller(name: &str, kind: PrincipalKind, roles: &[Role]) -> Caller {
    let roles = roles.iter().copied().collect();
    Caller { principal: principal(name, kind), roles, credential: "test".into(), door: Door::Http, named: true }
}

/// Every set of roles that there is.
fn role_sets() -> Vec<Vec<Role>> {
    (0..32_u32)
        .map(|bits| Role::ALL.into_iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, r)| r).collect())
        .collect()
}

fn handed_in(by: Principal, key: Option<&str>) -> Box<HandedIn> {
    Box::new(HandedIn {
        by,
        credential: "test".into(),
        door: Door::Http,
        key: key.map(|key| Digest::of_bytes(key.as_bytes())),
        content: Digest::of_bytes(b"content"),
    })
}

/// A state with one rollout, proposed by the agent `agent` and handed in by `lee`.
fn state() -> (State, RolloutId) {
    let mut plan = sim::plan(&[1], &sim::Change::create(sim::V2));
    plan.proposer = Some(principal("agent", PrincipalKind::Agent));
    assert_eq!(plan.change_set.agent, "agent");
    let (rollout, digest) = (plan.rollout.clone(), plan.digest().unwrap());
    let mut state = State::default();
    let handed_in = Some(handed_in(principal("lee", PrincipalKind::Human), Some("first")));
    state.apply(&Event::RolloutProposed { plan: Arc::new(plan), digest, by: "lee".into(), handed_in }).unwrap();
    (state, rollout)
}

fn kill_of(scope: KillScope, mode: KillMode) -> Verb {
    Verb::Kill { scope, mode }
}

#[test]
fn no_agent_ever_approves_resumes_widens_or_lifts_whatever_its_roles() {
    let (state, rollout) = state();
    let never = [Verb::Resume, Verb::Lift, Verb::Answer, Verb::Drill, Verb::Pause, Verb::Revert];
    let wide = [
        KillScope::All,
        KillScope::Environment("production".into()),
        KillScope::Region("eu-west-1".into()),
        KillScope::Cell("cell-00".into()),
        KillScope::Pipeline("test".into()),
        KillScope::Agent("another".into()),
    ];
    for roles in role_sets() {
        for name in ["agent", "another-agent", "lee"] {
            let agent = caller(name, PrincipalKind::Agent, &roles);
            for verb in &never {
                authority::may(&state, &agent, verb).unwrap_err();
            }
            for scope in wide.iter().filter(|scope| **scope != KillScope::Agent(name.into())) {
                authority::may(&state, &agent, &kill_of(scope.clone(), KillMode::Pause)).unwrap_err();
            }
        }
        // Only its own goes back by its word, and it is itself in its change sets.
        let another = caller("another-agent", PrincipalKind::Agent, &roles);
        authority::may(&state, &another, &kill_of(KillScope::Rollout(rollout.clone()), KillMode::Revert)).unwrap_err();
        authority::may(&state, &another, &Verb::Withdraw(rollout.clone())).unwrap_err();
        authority::may(&state, &another, &Verb::Propose { agent: "agent".into() }).unwrap_err();
        // A person who handed it in is not an agent of the same name.
        let namesake = caller("lee", PrincipalKind::Agent, &roles);
        authority::may(&state, &namesake, &Verb::Withdraw(rollout.clone())).unwrap_err();
    }
}

#[test]
fn an_agent_proposes_withdraws_and_stops() {
    let (state, rollout) = state();
    let agent = caller("Agent ", PrincipalKind::Agent, &[Role::Proposer]);
    let own = KillScope::Rollout(rollout.clone());
    for verb in [
        Verb::Look,
        Verb::Propose { agent: "agent".into() },
        Verb::Preview { agent: "agent".into() },
        Verb::Withdraw(rollout),
        kill_of(own.clone(), KillMode::Pause),
        kill_of(own, KillMode::Revert),
    ] {
        authority::may(&state, &agent, &verb).unwrap_or_else(|denied| panic!("{verb:?}: {denied}"));
    }
    let another = caller("another", PrincipalKind::Agent, &[Role::Proposer]);
    let halt = kill_of(KillScope::Rollout("r-unknown".into()), KillMode::Halt);
    authority::may(&state, &another, &halt).unwrap();
    authority::may(&state, &another, &kill_of(KillScope::Agent("another".into()), KillMode::Halt)).unwrap();
}

#[test]
fn one_person_of_any_role_stops_everything_and_a_role_is_needed_for_all_else() {
    let (state, rollout) = state();
    let nobody = caller("ada", PrincipalKind::Human, &[]);
    for mode in [KillMode::Pause, KillMode::Halt, KillMode::Revert] {
        authority::may(&state, &nobody, &kill_of(KillScope::All, mode)).unwrap();
    }
    let all = [
        Verb::Look,
        Verb::Audit,
        Verb::Check,
        Verb::Preview { agent: "x".into() },
        Verb::Propose { agent: "x".into() },
        Verb::Pause,
        Verb::Resume,
        Verb::Revert,
        Verb::Lift,
        Verb::Answer,
        Verb::Drill,
        Verb::Withdraw(rollout),
    ];
    for verb in &all {
        for kind in KINDS {
            authority::may(&state, &caller("ada", kind, &[]), verb).unwrap_err();
        }
    }
}

#[test]
fn people_only_answer_resume_lift_and_drill_and_each_with_its_role() {
    let (state, _) = state();
    for roles in role_sets() {
        let service = caller("ci", PrincipalKind::Service, &roles);
        let person = caller("ada", PrincipalKind::Human, &roles);
        for verb in [Verb::Answer, Verb::Resume, Verb::Lift, Verb::Drill] {
            let denied = authority::may(&state, &service, &verb).unwrap_err();
            assert!(matches!(denied, Denied::NotAPerson { .. }), "{denied}");
            let wanted = if verb == Verb::Answer { Role::Approver } else { Role::Operator };
            assert_eq!(authority::may(&state, &person, &verb).is_ok(), roles.contains(&wanted), "{verb:?} {roles:?}");
        }
        let audit = roles.contains(&Role::Auditor) || roles.contains(&Role::Operator);
        assert_eq!(authority::may(&state, &person, &Verb::Audit).is_ok(), audit, "{roles:?}");
    }
}

fn now(at: Timestamp) -> Now {
    Now { wall: at, monotonic: Duration::ZERO }
}

fn react(state: &mut State, input: Input, at: Timestamp) -> Result<Vec<Event>, Refusal> {
    let events = decide::react(state, &mut Session::default(), input, now(at))?;
    events.iter().for_each(|event| state.apply(event).unwrap());
    Ok(events)
}

fn killed() -> (State, Timestamp) {
    let (mut state, _) = state();
    let at: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
    let kill = Kill {
        id: "k-1".into(),
        scope: KillScope::All,
        mode: KillMode::Pause,
        by: "ada".into(),
        door: KillDoor::Http,
        at,
        reason: String::new(),
    };
    react(&mut state, Input::Kill(kill), at).unwrap();
    (state, at)
}

fn lift(state: &mut State, by: &str, at: Timestamp) -> Result<bool, Refusal> {
    react(state, Input::Lift { kill: "k-1".into(), by: by.into() }, at)?;
    Ok(!state.kills.values().next().unwrap().in_force())
}

/// `wavegate lift; sudo wavegate lift` is one person.
#[test]
fn whoever_is_known_by_the_user_id_alone_lifts_nothing() {
    let (state, _) = killed();
    let named = caller("ada", PrincipalKind::Human, &[Role::Operator]);
    let root = Caller { named: false, ..caller("root", PrincipalKind::Human, &Role::ALL) };
    assert_eq!(authority::may(&state, &named, &Verb::Lift), Ok(()));
    let denied = authority::may(&state, &root, &Verb::Lift);
    assert_eq!(denied, Err(Denied::NotNamed { name: "root".into() }));
    assert_eq!(authority::may(&state, &root, &kill_of(KillScope::All, KillMode::Halt)), Ok(()));
}

/// What is stopped does not go on under another spelling of its name.
#[test]
fn a_kill_covers_every_spelling_of_a_name() {
    let (state, rollout) = state();
    let mut plan = (*state.rollouts[&rollout].plan).clone();
    let covers = |plan: &Plan, scope: KillScope| scope.covers(plan);
    for spelling in ["Agent", " AGENT ", "agent"] {
        plan.change_set.agent = spelling.into();
        assert!(covers(&plan, KillScope::Agent("agent".into())), "{spelling}");
    }
    plan.change_set.agent = "other".into();
    assert!(covers(&plan, KillScope::Agent("AGENT".into())), "by whoever is known to have proposed it");
    assert!(!covers(&plan, KillScope::Agent("agents".into())));
    let environment = plan.targets.values().next().unwrap().environment.to_uppercase();
    assert!(covers(&plan, KillScope::Environment(environment)));
    let stops_itself = caller("Agent", PrincipalKind::Agent, &[Role::Proposer]);
    let itself = kill_of(KillScope::Agent("agent".into()), KillMode::Revert);
    assert_eq!(authority::may(&state, &stops_itself, &itself), Ok(()));
}

#[test]
fn two_people_lift_a_kill_one_after_the_other() {
    let (mut state, at) = killed();
    assert_eq!(lift(&mut state, "ada", at), Ok(false));
    for same in ["ada", "Ada", " ADA "] {
        assert_eq!(lift(&mut state, same, at), Err(Refusal::OnePerson(same.into())));
    }
    assert_eq!(lift(&mut state, "agent", at), Err(Refusal::AgentMayNot("agent".into())));
    assert_eq!(lift(&mut state, " ", at), Err(Refusal::OnePerson(" ".into())));
    assert_eq!(lift(&mut state, "ben", at), Ok(true));
    assert_eq!(lift(&mut state, "ben", at), Err(Refusal::UnknownKill("k-1".into())));
}

#[test]
fn the_first_ones_word_does_not_last_and_no_clock_makes_it_last() {
    let (mut state, at) = killed();
    assert_eq!(lift(&mut state, "ada", at), Ok(false));
    let late = at + SignedDuration::try_from(LIFT_WITHIN).unwrap() + SignedDuration::from_secs(1);
    assert_eq!(lift(&mut state, "ben", late), Ok(false), "an hour later ben is the first one");
    // The clock is set back: ben's word is one of the future.
    assert_eq!(lift(&mut state, "ada", at), Ok(false));
    assert_eq!(lift(&mut state, "ben", at), Ok(true));
}

#[test]
fn one_idempotency_key_proposes_once() {
    let (mut state, rollout) = state();
    let at = "2026-11-22T08:00:00Z".parse().unwrap();
    let mut plan = sim::plan(&[1], &sim::Change::create(sim::V2));
    plan.rollout = "r-second".into();
    plan.targets.clear();
    let digest = plan.digest().unwrap();
    let plan = Arc::new(plan);
    let propose = |key: &str| Input::Propose {
        plan: Arc::clone(&plan),
        digest: digest.clone(),
        by: "lee".into(),
        handed_in: Some(handed_in(principal("lee", PrincipalKind::Human), Some(key))),
    };
    assert_eq!(react(&mut state, propose("first"), at), Err(Refusal::KeyUsed(rollout)));
    react(&mut state, propose("second"), at).unwrap();
}
