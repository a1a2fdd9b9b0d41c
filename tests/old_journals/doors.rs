//! A journal of what came in by the doors: who handed a change in, who was refused, who asked for a lift, an alarm, a drill, tokens.
//! Made by hand, as `words`.

use super::sim::{Change, V2, plan};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use wavegate::journal::Journal;
use wavegate::model::drill::{Drill, DrillCheck, DrillPlace};
use wavegate::model::event::Event;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope, RevertReason};
use wavegate::model::ids::{Digest, Epoch};
use wavegate::model::principal::{Door, HandedIn, Principal, PrincipalKind, RefusedOrder, Role};
use wavegate::model::rate::{ChangeRateAlarm, RateOf};
use wavegate::model::time::Millis;
use wavegate::model::token::{TokenEnd, TokenGrant};

fn at() -> jiff::Timestamp {
    "2026-11-22T08:00:00Z".parse().unwrap()
}

pub fn write(to: &Path) {
    let mut journal = Journal::open(to).unwrap();
    journal.take_lead(None, "test").unwrap();
    let leader =
        Event::LeaderStarted { epoch: Epoch(1), holder: "test".into(), version: env!("CARGO_PKG_VERSION").into() };
    journal
        .append(at(), &[vec![leader], handed_in_and_withdrawn(), refused(), lifted(), watched(), tokens()].concat())
        .unwrap();
}

fn agent() -> Principal {
    Principal {
        name: "orders-bot".into(),
        kind: PrincipalKind::Agent,
        party: "orders".into(),
        groups: BTreeSet::from(["bots".into()]),
    }
}

fn handed_in_and_withdrawn() -> Vec<Event> {
    let mut plan = plan(&[1], &Change::update(V2));
    plan.rollout = "r-doors".into();
    plan.health.metrics.clear();
    plan.templates.clear();
    plan.cells.clear();
    let digest = plan.digest().unwrap();
    let handed_in = HandedIn {
        by: agent(),
        credential: "token t-1a2b3c4d".into(),
        door: Door::Mcp,
        key: Some(Digest::of_bytes(b"key")),
        content: Digest::of_bytes(b"content"),
    };
    let proposed = Event::RolloutProposed {
        plan: Arc::new(plan),
        digest,
        by: "orders-bot".into(),
        handed_in: Some(Box::new(handed_in)),
    };
    let reason = RevertReason::Withdrawn { by: "orders-bot".into() };
    vec![proposed, Event::RevertStarted { rollout: "r-doors".into(), reason }]
}

fn refused() -> Vec<Event> {
    let doors = [Door::Socket, Door::Http, Door::Mcp];
    let refused = |(n, door): (usize, Door)| RefusedOrder {
        by: (n > 0).then(agent),
        credential: format!("credential {n}"),
        door,
        verb: "approve".into(),
        about: (n > 1).then(|| "r-doors".into()),
        code: "forbidden".into(),
        why: "only people may answer".into(),
        times: 1 + n as u64,
        at: at(),
    };
    doors.into_iter().enumerate().map(|n| Event::OrderRefused { refused: Box::new(refused(n)) }).collect()
}

fn lifted() -> Vec<Event> {
    let kill = |id: &str, door| Event::KillRequested {
        kill: Kill {
            id: id.into(),
            scope: KillScope::All,
            mode: KillMode::Halt,
            by: "anna".into(),
            door,
            at: at(),
            reason: "latency".into(),
        },
    };
    vec![
        kill("k-1", KillDoor::Http),
        kill("k-2", KillDoor::Mcp),
        Event::KillLiftAsked { kill: "k-1".into(), by: "anna".into(), at: at() },
        Event::KillLifted { kill: "k-1".into(), by: ["anna".into(), "ben".into()] },
        Event::KillLiftAsked { kill: "k-2".into(), by: "ben".into(), at: at() },
    ]
}

fn watched() -> Vec<Event> {
    let alarm = |of| ChangeRateAlarm { of, seen: 20, usual: 1.25, threshold: 7, window: Millis(3_600_000), at: at() };
    let check = |door, mode, passed: bool| DrillCheck {
        door,
        mode,
        rollout: "r-drill".into(),
        acknowledged_after: passed.then_some(Millis(120)),
        evidence: "nothing forward started".into(),
        passed,
    };
    let drill = |id: &str, place, checks| Drill {
        id: id.into(),
        place,
        by: "anna".into(),
        at: at(),
        checks,
        not_drilled: vec!["mcp: no door".into()],
    };
    let all = vec![check(KillDoor::Cli, KillMode::Pause, true), check(KillDoor::Signal, KillMode::Halt, false)];
    let sandbox = DrillPlace::Sandbox { pipeline: "orders".into() };
    vec![
        Event::ChangeRateAlarmed { alarm: Box::new(alarm(RateOf::Agent("orders-bot".into()))) },
        Event::ChangeRateAlarmed { alarm: Box::new(alarm(RateOf::Fleet)) },
        Event::DrillEnded { drill: Box::new(drill("d-1", DrillPlace::Embedded, all)) },
        Event::DrillEnded { drill: Box::new(drill("d-2", sandbox, vec![])) },
    ]
}

fn tokens() -> Vec<Event> {
    let grant = |id: &str, kind, roles: &[Role]| TokenGrant {
        id: id.into(),
        name: format!("holder of {id}"),
        kind,
        party: "orders".into(),
        roles: roles.iter().copied().collect(),
        groups: BTreeSet::from(["sre".into()]),
        tag: "0123456789abcdef".into(),
        created_by: "anna".into(),
        created_at: at(),
        expires_at: at() + jiff::SignedDuration::from_hours(24),
    };
    let listed = |token, changed| Event::TokenListed { token: Box::new(token), changed };
    let ended = |id: &str, end| Event::TokenEnded { token: id.into(), name: format!("holder of {id}"), end };
    vec![
        listed(grant("1a2b3c4d", PrincipalKind::Agent, &[Role::Proposer]), false),
        listed(grant("5e6f7a8b", PrincipalKind::Human, &[Role::Author, Role::Auditor]), false),
        listed(grant("5e6f7a8b", PrincipalKind::Human, &[Role::Author, Role::Approver, Role::Operator]), true),
        listed(grant("9c0d1e2f", PrincipalKind::Service, &[Role::Auditor]), false),
        ended("1a2b3c4d", TokenEnd::Revoked { by: "ben".into(), at: at() }),
        ended("9c0d1e2f", TokenEnd::Removed),
    ]
}
