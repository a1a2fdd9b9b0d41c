//! Records in, spans out: one trace, stable ids, bounds.

use super::*;
use crate::engine::planner;
use crate::model::event::{OperationCall, StartSeen};
use crate::model::halt::{Hold, KillDoor, KillMode, KillScope, RevertReason};
use crate::model::ids::{Attempt, Digest, Epoch, RolloutId, Seq, Token};
use crate::model::{change_set, pipeline};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_219_200 + seconds).unwrap()
}

fn plan() -> Plan {
    let cell = |name: &str| {
        format!(
            "    - {{name: {name}, account: \"111111111111\", region: eu-west-1, environment: production, \
             stacks: {{orders: orders-{name}}}}}\n"
        )
    };
    let cells = [cell("a"), cell("b")].concat();
    let text = format!(
        "version: 1\nname: small\nfleet:\n  cells:\n{cells}waves:\n  \
         - {{name: first, select: {{cells: [a]}}, bake: 10m, bake_datapoints: 2}}\n  \
         - {{name: rest, select: {{remaining: true}}, bake: 30m, bake_datapoints: 2}}\nhealth:\n  interval: 1m\n  \
         alarms: [{{name: \"errors-{{cell}}\"}}]\n"
    );
    let pipeline = pipeline::read::read("pipeline", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
    let change = format!(
        "{{version: 1, agent: kiro, title: \"canary {}\", reasoning: secret thoughts, pipeline: small, stacks: {{orders: {{tags: {{}}}}}}}}",
        "x".repeat(180)
    );
    let change = change_set::read::read("change set", change.as_bytes(), &|_| Err("no files".to_owned()));
    let change = change.unwrap_or_else(|faults| panic!("{faults}"));
    planner::plan(&change, &pipeline, "r-1".into(), false, at(0)).unwrap()
}

fn rollout() -> RolloutId {
    "r-1".into()
}

fn operation(direction: Direction) -> Operation {
    let call = OperationCall::ExecuteChangeSet { arn: "arn".into(), digest: Digest::of_bytes(b"x"), stack_id: None };
    let token: Token = "t".into();
    Operation { direction, call, token, attempt: Attempt(1), epoch: Epoch(1), intended_at: at(0), before: None }
}

/// What happened, by the second: the whole of one rollout without its end.
fn happened() -> Vec<(i64, Event)> {
    let plan = Arc::new(plan());
    let targets: Vec<TargetId> = plan.waves.iter().flat_map(|wave| wave.targets.clone()).collect();
    let digest = plan.digest().unwrap();
    let left = crate::model::event::Left { content: None, stack_id: "arn".into(), last_updated: None };
    vec![
        (0, Event::RolloutProposed { plan, digest: digest.clone(), by: "pat".into(), handed_in: None }),
        (10, Event::WaveStarted { rollout: rollout(), wave: 0 }),
        (
            11,
            Event::OperationIntended {
                rollout: rollout(),
                target: targets[0].clone(),
                operation: operation(Direction::Forward),
            },
        ),
        (12, Event::OperationStarted { rollout: rollout(), target: targets[0].clone(), seen: StartSeen::Accepted }),
        (
            20,
            Event::TargetSettled {
                rollout: rollout(),
                target: targets[0].clone(),
                settlement: Settlement::Applied { left },
            },
        ),
        (21, Event::BakeStarted { rollout: rollout(), wave: 0, at: at(21) }),
        (25, Event::RolloutHeld { rollout: rollout(), hold: Hold::Paused { by: "pat".into() } }),
        (27, Event::RolloutResumed { rollout: rollout(), by: "pat".into() }),
        (30, Event::GatePassed { rollout: rollout(), wave: 0, plan: digest, readings: 3 }),
        (31, Event::WaveStarted { rollout: rollout(), wave: 1 }),
        (
            32,
            Event::OperationIntended {
                rollout: rollout(),
                target: targets[1].clone(),
                operation: operation(Direction::Forward),
            },
        ),
        (40, Event::RevertStarted { rollout: rollout(), reason: RevertReason::Requested { by: "pat".into() } }),
        (
            41,
            Event::OperationIntended {
                rollout: rollout(),
                target: targets[0].clone(),
                operation: operation(Direction::Revert),
            },
        ),
        (
            45,
            Event::TargetSettled {
                rollout: rollout(),
                target: targets[1].clone(),
                settlement: Settlement::Restored { by: RestoredBy::Provider },
            },
        ),
        (
            50,
            Event::TargetSettled {
                rollout: rollout(),
                target: targets[0].clone(),
                settlement: Settlement::Restored { by: RestoredBy::Revert },
            },
        ),
        (51, Event::RolloutEnded { rollout: rollout(), outcome: Outcome::Reverted }),
    ]
}

fn spans(happened: Vec<(i64, Event)>, kills: &[Kill]) -> Vec<Span> {
    let mut trace = Trace::default();
    for (index, (seconds, event)) in happened.into_iter().enumerate() {
        let seq = Seq(u64::try_from(index).unwrap());
        trace.add(&Entry { seq, at: at(seconds), epoch: Epoch(1), event });
    }
    trace.finish(kills)
}

fn kill(id: &str, seconds: i64) -> Kill {
    Kill {
        id: id.into(),
        scope: KillScope::All,
        mode: KillMode::Pause,
        by: "signal".into(),
        door: KillDoor::Signal,
        at: at(seconds),
        reason: String::new(),
    }
}

#[test]
fn a_rollout_is_one_trace() {
    let spans = spans(happened(), &[kill("k-1", 26), kill("k-2", -5), kill("k-3", 99)]);
    let shown: Vec<(String, i64, i64, bool)> = spans
        .iter()
        .map(|s| {
            let since = |t: Timestamp| t.as_second() - at(0).as_second();
            (s.name.clone(), since(s.start), since(s.end), s.error.is_some())
        })
        .collect();
    let expected = [
        ("rollout", 0, 51, true),
        ("preview", 0, 10, false),
        ("apply target", 11, 20, false),
        ("wave 1", 10, 21, false),
        ("bake 1", 21, 30, false),
        ("wave 2", 31, 40, false),
        ("apply target", 32, 45, true),
        ("revert target", 41, 50, false),
        ("revert", 40, 51, true),
    ];
    let expected: Vec<_> = expected.map(|(name, from, to, error)| (name.to_owned(), from, to, error)).into();
    assert_eq!(shown, expected);
    let root = &spans[0];
    assert!(spans.iter().all(|span| span.trace == trace_id("r-1")), "one trace");
    assert_eq!(root.parent, None);
    // Every parent is there, and every id is another one.
    let ids: std::collections::BTreeSet<[u8; 8]> = spans.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), spans.len());
    assert!(spans[1..].iter().all(|span| ids.contains(&span.parent.unwrap())), "{spans:?}");
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(of("revert target").parent, Some(of("revert").id));
    assert_eq!(of("apply target").parent, Some(of("wave 1").id));
    let names: Vec<&str> = root.events.iter().map(|event| event.name).collect();
    assert_eq!(names, ["held", "kill", "resumed"], "in order, and of its own time");
    assert!(root.events[0].attributes.contains(&("wavegate.why", Value::Text("paused".into()))));
}

/// A trace that is sent again is the same trace; its id can be reckoned by whoever knows the rollout.
#[test]
fn ids_are_made_of_the_rollout() {
    assert_eq!(spans(happened(), &[]), spans(happened(), &[]));
    let digest = Digest::of_bytes(b"wavegate tracer-1");
    let hex: String = trace_id("r-1").iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(digest.as_str().starts_with(&hex));
    assert_ne!(trace_id("r-1"), trace_id("r-2"));
}

#[test]
fn text_of_others_is_cut_and_in_no_name() {
    let spans = spans(happened(), &[]);
    assert!(spans.iter().all(|span| !span.name.contains("canary") && !span.name.contains("orders")));
    let title = spans[0].attributes.iter().find(|(name, _)| *name == "wavegate.title").unwrap();
    let Value::Text(title) = &title.1 else { panic!("{title:?}") };
    assert!(title.starts_with("canary") && title.chars().count() <= TEXT_MAX);
    assert!(!format!("{spans:?}").contains("secret thoughts"), "reasoning stays in the journal");
}

/// Whatever stands in the record, in whatever order: no panic, and no more than the bounds.
#[test]
fn it_is_bounded() {
    let mut many = happened();
    let end = many.pop().unwrap();
    let (held, target) = (many[6].clone(), many[2].clone());
    for n in 0..12_000 {
        many.push((60 + n, held.1.clone()));
        many.push((60 + n, target.1.clone()));
    }
    many.push((20_000, end.1));
    let found = spans(many, &[]);
    assert!(found.len() <= SPANS_MAX + 1, "{}", found.len());
    assert_eq!(found[0].name, "rollout");
    assert_eq!(found[0].events.len(), EVENTS_MAX);
    assert!(found[0].dropped > 11_000);
    for skip in 0..happened().len() {
        let part: Vec<_> = happened().into_iter().skip(skip).collect();
        let backwards: Vec<_> = part.iter().rev().cloned().collect();
        drop((spans(part, &[]), spans(backwards, &[])));
    }
}
