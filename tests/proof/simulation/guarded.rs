//! What a part of the seeds ask besides: safeguards, limits, and people who answer, also those who must not. All of it is drawn from a
//! generator of its own, so that every other seed stands for what it always did.

use super::fleet::{self, Kind, START};
use super::scenario::{Disturbance, Proposal, Scenario, Theme, When, ms};
use fastrand::Rng;
use jiff::civil::DateTime;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use wavegate::model::approval::ApprovalRule;
use wavegate::model::calendar::{Calendar, Proposers, Span};
use wavegate::model::class::{Autonomy, ChangeClass};
use wavegate::model::pipeline::{Irreversible, OnFailure};
use wavegate::model::plan::Plan;
use wavegate::model::principal::{Principal, PrincipalKind};
use wavegate::model::safeguards::*;
use wavegate::model::stack::Template;
use wavegate::model::time::Millis;

/// What somebody says.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Yes, in a way.
    Approve(&'static str, How),
    /// Not any more.
    Revoke(&'static str),
    /// No.
    Reject(&'static str),
    /// The environment is as it should be.
    SignOff(&'static str),
    /// Go on: what an agent must not say.
    Resume(&'static str),
}

/// In which way somebody says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As it should be.
    Right,
    /// To something else.
    OtherDigest,
    /// To the first wave alone.
    Narrower,
    /// To more waves than are asked for.
    Wider,
    /// Without saying what it does.
    Silent,
}

impl Act {
    /// Its name in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Approve(_, How::Right) => "approval",
            Self::Approve(_, How::Narrower) => "approval of the first wave",
            Self::Approve(..) => "approval of something else",
            Self::Revoke(_) => "approval taken back",
            Self::Reject(_) => "rejection",
            Self::SignOff(_) => "sign-off",
            Self::Resume(_) => "resume by an agent",
        }
    }
}

/// People who may approve, as far as they are not of the party that proposes: with their party and group.
const PEOPLE: [(&str, &str, &str); 7] = [
    ("Ada", "platform", "database"),
    ("Bob", "platform", "operations"),
    ("Carol", "security", "operations"),
    ("Erin", "support", "database"),
    // The proposers' party.
    ("Dave", "orders", "database"),
    // Nobody knows for whom she acts.
    ("Mallory", "", "database"),
    // An agent that somebody has put on the list of people.
    ("robot", "platform", "database"),
];
/// Agents, by name and party.
const AGENTS: [(&str, &str); 2] = [("kiro", "orders"), ("robot", "platform")];
/// Who is asked when all faults have stopped: they give what is asked.
pub const HONEST: [&str; 4] = ["Ada", "Carol", "Erin", "Bob"];
/// Names under which answers come in: other spellings, agents, strangers.
const NAMES: [&str; 14] =
    ["Ada", "ada", " ADA ", "Bob", "bob", "Carol", "Carol", "Erin", "Dave", "dave ", "Mallory", "robot", "kiro", "zoe"];

/// Adds to a scenario what its seed asks for.
pub fn add(scenario: &mut Scenario) {
    let mut rng = Rng::with_seed(scenario.seed.rotate_left(23) ^ 0x6775_6172_6465_6421);
    // Of the seeds to which anything may happen a quarter, and half of those in which calls are late.
    let some = match scenario.theme {
        Theme::Guarded | Theme::Crowded => true,
        Theme::Anything => matches!((scenario.seed / 16) % 8, 0 | 5),
        Theme::Late => scenario.seed % 16 == 4 && (scenario.seed / 16) % 2 == 1,
        _ => false,
    };
    if !some {
        return;
    }
    match scenario.theme {
        Theme::Guarded => scenario.proposals = proposals(&mut rng, scenario.cells, false),
        Theme::Crowded => scenario.proposals = proposals(&mut rng, scenario.cells, true),
        _ => {}
    }
    let crowded = scenario.theme == Theme::Crowded;
    let safeguards = Arc::new(safeguards(&mut rng, crowded));
    for (n, proposal) in scenario.proposals.iter_mut().enumerate() {
        proposal.plan.proposer = Some(proposer(&mut rng));
        proposal.plan.safeguards = Some(Arc::clone(&safeguards));
        proposal.by = *rng.choice(&["kiro", "kiro", "kiro", "Bob", "Dave", "somebody"]).unwrap();
        if !crowded {
            scenario.disturbances.extend(answers(&mut rng, n, safeguards.approvals.valid_for.duration()));
        }
    }
}

fn proposer(rng: &mut Rng) -> Principal {
    match rng.u8(0..8) {
        0 => principal("Dave", PrincipalKind::Human, "orders", "database"),
        // Nobody knows for whom it acts.
        1 => principal("kiro", PrincipalKind::Agent, "", ""),
        _ => principal("kiro", PrincipalKind::Agent, "orders", ""),
    }
}

fn principal(name: &str, kind: PrincipalKind, party: &str, group: &str) -> Principal {
    let groups = if group.is_empty() { BTreeSet::new() } else { BTreeSet::from([group.to_owned()]) };
    Principal { name: name.into(), kind, party: party.into(), groups }
}

/// What people say to the n-th change set, wrong and right.
fn answers(rng: &mut Rng, n: usize, valid_for: Duration) -> Vec<(When, Disturbance)> {
    let mut after = ms(rng.u64(500..5_000));
    let mut answers = Vec::new();
    for _ in 0..rng.usize(0..=8) {
        let who = *rng.choice(&NAMES).unwrap();
        let act = match rng.u8(0..24) {
            0..13 => Act::Approve(who, How::Right),
            13 => Act::Approve(who, How::OtherDigest),
            14 | 15 => Act::Approve(who, How::Narrower),
            16 => Act::Approve(who, How::Wider),
            17 => Act::Approve(who, How::Silent),
            18 | 19 => Act::Revoke(who),
            20 if rng.u8(0..4) == 0 => Act::Reject(who),
            21 => Act::SignOff(who),
            22 => Act::Resume(rng.choice(&["kiro", "robot", "ROBOT"]).unwrap()),
            _ => Act::Approve(who, How::Right),
        };
        answers.push((When::Asked(n, after), Disturbance::Says(n, act)));
        let slow = rng.u8(0..5) == 0;
        after += if slow { valid_for.mul_f64(0.6 + rng.f64()) } else { ms(rng.u64(200..20_000)) };
    }
    answers
}

fn safeguards(rng: &mut Rng, crowded: bool) -> Safeguards {
    let set = |is| Set { is, line: 1 };
    let rule = |rng: &mut Rng, count: u32| ApprovalRule {
        count,
        parties: rng.u32(1..=count),
        groups: match rng.u8(0..3) {
            0 => BTreeMap::from([("database".into(), 1)]),
            _ => BTreeMap::new(),
        },
    };
    let named = |(name, party, group): (&str, &str, &str)| {
        (name.to_lowercase(), principal(name, PrincipalKind::Human, party, group))
    };
    let agent = |(name, party): (&str, &str)| (name.to_lowercase(), principal(name, PrincipalKind::Agent, party, ""));
    let autonomy = match crowded {
        true => AutonomyTable { rows: all_free(), earned: None },
        false => table(rng),
    };
    Safeguards {
        file: "pipeline.yaml".into(),
        autonomy,
        approvals: Approvals {
            people: PEOPLE.into_iter().map(named).collect(),
            agents: AGENTS.into_iter().map(agent).collect(),
            one: set(rule(rng, 1)),
            two: set(rule(rng, 2)),
            valid_for: Millis::from_secs(*rng.choice(&[90, 90, 600, 3_600]).unwrap()),
        },
        guardrails: guardrails(rng, crowded),
        policies: Vec::new(),
    }
}

const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

fn all_free() -> BTreeMap<String, BTreeMap<ChangeClass, Set<Autonomy>>> {
    let free = |class| (class, Set { is: Autonomy::Autonomous, line: 1 });
    let row = |environment: &str| (environment.to_owned(), ChangeClass::ALL.into_iter().map(free).collect());
    ENVIRONMENTS.into_iter().map(row).collect()
}

/// Some classes in some environments, the others as shipped.
fn table(rng: &mut Rng) -> AutonomyTable {
    let mut rows: BTreeMap<String, BTreeMap<ChangeClass, Set<Autonomy>>> = BTreeMap::new();
    for environment in ENVIRONMENTS {
        for class in ChangeClass::ALL {
            let level = match rng.u8(0..10) {
                0 | 1 => Autonomy::Autonomous,
                2 | 3 => Autonomy::OneApproval,
                4 | 5 => Autonomy::TwoApprovals,
                6 if rng.bool() => Autonomy::Forbidden,
                _ => continue,
            };
            rows.entry(environment.to_owned()).or_default().insert(class, Set { is: level, line: 1 });
        }
    }
    let earned = (rng.u8(0..3) == 0).then(|| Earned { return_after: Set { is: rng.u32(1..=2), line: 1 } });
    AutonomyTable { rows, earned }
}

fn guardrails(rng: &mut Rng, crowded: bool) -> Guardrails {
    let asks = |rng: &mut Rng, of: u8| rng.u8(0..of) == 0;
    let mut guardrails = Guardrails::default();
    if crowded || asks(rng, 3) {
        guardrails.blast_radius = Some(guardrail(blast_radius(rng)));
    }
    if asks(rng, 4) {
        guardrails.calendar = Some(guardrail(calendar(rng)));
    }
    if !crowded && asks(rng, 4) {
        guardrails.environment_order = Some(guardrail(EnvironmentOrder {
            order: Set { is: ENVIRONMENTS.map(str::to_owned).to_vec(), line: 1 },
            sign_off: Set { is: if rng.bool() { vec!["staging".to_owned()] } else { Vec::new() }, line: 1 },
        }));
    }
    guardrails
}

fn guardrail<T>(rule: T) -> Guardrail<T> {
    Guardrail { rule, dry_run: false, line: 1 }
}

fn blast_radius(rng: &mut Rng) -> BlastRadius {
    let set = |is| Some(Set { is, line: 1 });
    let mut rule = BlastRadius::default();
    if rng.bool() {
        rule.at_once.max_targets = set(rng.u32(1..=2));
    }
    if rng.bool() {
        rule.at_once.max_failure_domains = set(rng.u32(1..=2));
        rule.at_once.failure_domain = if rng.u8(0..4) == 0 { FailureDomain::Cell } else { FailureDomain::Region };
    }
    if rng.u8(0..3) == 0 {
        rule.at_once.min_capacity_percent = Some(Set { is: f64::from(rng.u32(96..=98)), line: 1 });
    }
    if rng.u8(0..3) == 0 {
        let reach = Reach { max_targets: set(rng.u32(3..=5)), ..Reach::default() };
        let per = Millis::from_secs(rng.u64(120..1_200));
        rule.window = Some(ReachWindow { per, agent: Reach::default(), pipeline: Reach::default(), fleet: reach });
    }
    rule
}

/// Closed for a while, from the start or later.
fn calendar(rng: &mut Rng) -> Calendar {
    let start: jiff::Timestamp = START.parse().unwrap();
    let at = |seconds: u64| -> DateTime {
        let seconds = i64::try_from(seconds).unwrap();
        (start + jiff::SignedDuration::from_secs(seconds)).to_zoned(jiff::tz::TimeZone::UTC).datetime()
    };
    let begins = if rng.bool() { 0 } else { rng.u64(0..300) };
    let ends = begins + rng.u64(60..900);
    let span = Span { from: at(begins), to: at(ends), reason: "an event".into(), applies_to: Proposers::Everyone };
    Calendar {
        time_zone: "Etc/UTC".into(),
        weekly_windows: Vec::new(),
        one_time_windows: Vec::new(),
        freezes: vec![span],
    }
}

/// Change sets of a seed that is only about safeguards.
fn proposals(rng: &mut Rng, cells: usize, crowded: bool) -> Vec<Proposal> {
    let number = if crowded { rng.usize(2..=4) } else { rng.usize(1..=3) };
    let mut at = ms(rng.u64(0..2_000));
    let mut proposals = Vec::new();
    // Each of a crowd has cells of its own: one rollout at a time owns a target.
    let mut free: Vec<usize> = (0..cells).collect();
    rng.shuffle(&mut free);
    for n in 0..number {
        let kind = if crowded { *rng.choice(&[Kind::Good, Kind::Good, Kind::Values]).unwrap() } else { kind(rng) };
        let chosen: Vec<usize> = match crowded {
            true => free.split_off(free.len() - free.len().div_ceil(number - n)),
            false => (0..cells).filter(|_| rng.u8(0..3) > 0).take(4).collect(),
        };
        if chosen.is_empty() {
            continue;
        }
        let plan = plan(rng, proposals.len(), kind, chosen);
        proposals.push(Proposal { at, kind, plan, by: "kiro" });
        at += ms(if crowded { rng.u64(0..3_000) } else { rng.u64(0..400_000) });
    }
    proposals
}

fn kind(rng: &mut Rng) -> Kind {
    match rng.u8(0..20) {
        0..5 => Kind::Good,
        5..7 => Kind::Values,
        7..12 => Kind::Removes,
        12..15 => Kind::Opaque,
        15..17 => Kind::Bad,
        17 => Kind::Fails,
        18 => Kind::Creates,
        _ => Kind::Deletes,
    }
}

fn plan(rng: &mut Rng, number: usize, kind: Kind, chosen: Vec<usize>) -> Plan {
    let template = Template::new(kind.template(rng.u32(20..30_000)));
    let mut plan = fleet::empty_plan(rng, format!("r-{number}").into(), &template);
    plan.look_only &= rng.bool();
    plan.revert.on_failure = OnFailure::Revert;
    plan.revert.irreversible = Irreversible::Allow;
    for (wave, mine) in waves(rng, chosen).into_iter().enumerate() {
        let targets = mine.iter().map(|n| fleet::add_target(&mut plan, *n, wave, kind, &template)).collect();
        plan.waves.push(fleet::planned_wave(rng, wave, targets));
    }
    plan
}

/// By environment, by region, or any way.
fn waves(rng: &mut Rng, mut chosen: Vec<usize>) -> Vec<Vec<usize>> {
    let by: fn(usize) -> usize = match rng.u8(0..3) {
        0 => |n| usize::from(n >= 2),
        1 => |n| n % 3,
        _ => {
            rng.shuffle(&mut chosen);
            let waves = rng.usize(1..=chosen.len().min(3));
            return (0..waves).map(|wave| chosen.iter().copied().skip(wave).step_by(waves).collect()).collect();
        }
    };
    let mut waves: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for n in chosen {
        waves.entry(by(n)).or_default().push(n);
    }
    waves.into_values().collect()
}
