//! A journal in which guardrails judge and people answer: every finding, and every answer. Made by hand, as `words`.

use super::sim::{Change, V2, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use wavegate::journal::Journal;
use wavegate::model::approval::{Approval, ApprovalRequest, ApprovalRule};
use wavegate::model::class::{Autonomy, ChangeClass, Reversibility};
use wavegate::model::decision::*;
use wavegate::model::event::Event;
use wavegate::model::ids::{Digest, Epoch, RolloutId};
use wavegate::model::pipeline;
use wavegate::model::principal::{Principal, PrincipalKind};
use wavegate::model::time::Millis;

fn at() -> jiff::Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

pub fn write(to: &Path) {
    let mut journal = Journal::open(to).unwrap();
    journal.take_lead(None, "test").unwrap();
    let leader =
        Event::LeaderStarted { epoch: Epoch(1), holder: "test".into(), version: env!("CARGO_PKG_VERSION").into() };
    journal.append(at(), &[vec![leader], agreed(), rejected()].concat()).unwrap();
}

/// A pipeline with every section, as an SRE writes it.
fn proposed(rollout: &str) -> Event {
    let find = |path: &str| match path {
        path if path.ends_with(".yaml") => Ok(include_bytes!("../bad_input/sound_prices.yaml").to_vec()),
        _ => Ok(b"forbid (principal, action == Action::\"opaque\", resource);\n".to_vec()),
    };
    let text = include_bytes!("../bad_input/sound_safeguards.yaml");
    let read = pipeline::read::read_with("sound.yaml", text, &find).unwrap_or_else(|faults| panic!("{faults}"));
    let mut plan = plan(&[1], &Change::update(V2));
    plan.rollout = rollout.into();
    plan.health.metrics.clear();
    plan.templates.clear();
    plan.cells.clear();
    plan.proposer = Some(person("kiro", PrincipalKind::Agent, "orders"));
    plan.safeguards = Some(read.safeguards);
    let digest = plan.digest().unwrap();
    Event::RolloutProposed { plan: Arc::new(plan), digest, by: "test".into(), handed_in: None }
}

fn person(name: &str, kind: PrincipalKind, party: &str) -> Principal {
    Principal { name: name.into(), kind, party: party.into(), groups: BTreeSet::from(["sre".into()]) }
}

fn digest() -> Digest {
    Digest::of_bytes(b"judged")
}

fn judged(rollout: &RolloutId) -> Event {
    let request = ApprovalRequest {
        rollout: rollout.clone(),
        digest: digest(),
        rule: ApprovalRule { count: 2, parties: 2, groups: BTreeMap::from([("sre".into(), 1)]) },
        proposer: person("kiro", PrincipalKind::Agent, "orders"),
        handed_in_by: Some(person("robin", PrincipalKind::Human, "orders")),
        through_wave: 0,
        key_figure: Some("replaces 1 database".into()),
        valid_for: Millis::from_secs(3_600),
    };
    let scope = ScopeFigures {
        targets: 1,
        resources: 2,
        cells: BTreeMap::from([("production".into(), 1)]),
        percent_of_traffic: 12.5,
        deeds: vec![DeedCount { deed: Deed::Replaces, thing: "database".into(), count: 1 }],
        classes: ChangeClass::ALL.into(),
        reversibility: Reversibility::Irreversible,
        monthly: Some(-3.25),
    };
    let judged = Judged {
        decision: Decision::NeedApproval,
        level: Autonomy::TwoApprovals,
        found: reasons().into_iter().enumerate().map(found).collect(),
        scope,
        request: Some(request),
        digest: digest(),
        at: at(),
    };
    Event::GuardrailsJudged { rollout: rollout.clone(), judged: Arc::new(judged) }
}

fn found((nth, what): (usize, Reason)) -> Found {
    let follows = [
        Consequence::Needs(Autonomy::Autonomous),
        Consequence::Needs(Autonomy::OneApproval),
        Consequence::Needs(Autonomy::TwoApprovals),
        Consequence::Needs(Autonomy::Forbidden),
        Consequence::Waits { until: Some(at()) },
        Consequence::Waits { until: None },
    ];
    let cause = Cause { file: "sound.yaml".into(), line: 7, rule: "guardrails.cost".into() };
    Found { what, cause: (nth % 2 == 0).then_some(cause), follows: follows[nth % 6], dry_run: nth % 5 == 0 }
}

fn reasons() -> Vec<Reason> {
    let target = || "cell-00/orders".into();
    let (of, per) = (SumOf::Agent("kiro".into()), Millis::from_secs(86_400));
    vec![
        Reason::Class { environment: "production".into(), class: ChangeClass::Opaque, targets: 1, resources: 2 },
        Reason::AutonomyLost { agent: "kiro".into(), reverted: "r-0".into(), clean: 1, needed: 5 },
        Reason::RolloutTooLarge { measure: Measure::Resources, reaches: 9.0, max: 8.0 },
        Reason::WindowTooLarge { of: of.clone(), measure: Measure::Targets, used: 3.0, adds: 1.0, max: 3.0, per },
        Reason::WindowTooLarge {
            of: SumOf::Fleet,
            measure: Measure::PercentOfTraffic,
            used: 0.5,
            adds: 1.0,
            max: 1.25,
            per,
        },
        Reason::TooManyTargets { in_flight: 3, max: 3 },
        Reason::FailureDomainsBusy { wants: "a".into(), busy: BTreeSet::from(["b".into()]), max: 1 },
        Reason::TooLittleCapacity { left: 70.5, min: 75.0 },
        Reason::Closed { freeze: Some("year's end".into()), opens_at: Some(at()) },
        Reason::UnknownTimeZone { time_zone: "Europe/Atlantis".into() },
        Reason::TooOften { of: SumOf::Pipeline("default".into()), started: 2, max: 2, per },
        Reason::Costs {
            monthly: 12.5,
            max: 10.0,
            currency: "USD".into(),
            unpriced: BTreeMap::from([("AWS::X::Y".into(), 2)]),
            outdated: true,
        },
        Reason::Imported { target: target(), exports: BTreeMap::from([("vpc".into(), vec!["network".into()])]) },
        Reason::ImportersUnknown { target: target() },
        Reason::Drifted { target: target() },
        Reason::DriftUnknown { targets: 2, example: target() },
        Reason::EnvironmentNotPassed { environment: "production".into(), before: "staging".into() },
        Reason::NotSignedOff { environment: "staging".into(), wanted: "production".into() },
        Reason::PolicyForbids { policy: "p".into(), message: Some("no".into()), targets: 1, example: target() },
        Reason::PolicyPermitsNot { targets: 1, example: target() },
        Reason::PolicyFailed { policy: "p".into(), error: "overflow".into() },
        Reason::NobodyMayApprove { level: Autonomy::TwoApprovals, eligible: 1, needed: 2 },
    ]
}

fn approval(rollout: &RolloutId, by: Principal) -> Event {
    let confirm = Some("replaces 1 database".into());
    let rollout = rollout.clone();
    Event::ApprovalGiven { approval: Approval { rollout, digest: digest(), by, through_wave: 0, confirm, at: at() } }
}

fn agreed() -> Vec<Event> {
    let rollout: RolloutId = "r-agreed".into();
    let (dana, sam) =
        (person("dana", PrincipalKind::Human, "platform"), person("sam", PrincipalKind::Human, "security"));
    let agent = person("kiro", PrincipalKind::Agent, "orders");
    let service = person("ci", PrincipalKind::Service, "platform");
    vec![
        proposed("r-agreed"),
        judged(&rollout),
        Event::ApprovalRefused { rollout: rollout.clone(), by: agent, why: "is no person".into() },
        Event::ApprovalRefused { rollout: rollout.clone(), by: service, why: "is no person".into() },
        approval(&rollout, dana.clone()),
        Event::ApprovalRevoked { rollout: rollout.clone(), by: "dana".into() },
        approval(&rollout, dana.clone()),
        approval(&rollout, sam),
        Event::RolloutWaits { rollout: rollout.clone(), found: vec![found((4, reasons().remove(8)))] },
        Event::RolloutWaits { rollout: rollout.clone(), found: Vec::new() },
        Event::EnvironmentSignedOff { rollout: rollout.clone(), environment: "staging".into(), by: dana },
        Event::ApprovalsUsed {
            rollout,
            digest: digest(),
            by: vec!["dana".into(), "sam".into()],
            through_wave: 0,
            at: at(),
        },
    ]
}

fn rejected() -> Vec<Event> {
    let rollout: RolloutId = "r-rejected".into();
    let dana = person("dana", PrincipalKind::Human, "platform");
    vec![
        proposed("r-rejected"),
        judged(&rollout),
        Event::ApprovalRejected { rollout, by: dana, reason: "not today".into() },
    ]
}
