//! Of what people are told, and in which words: over the journals of earlier releases, in which nearly everything happens once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wavegate::api::notify::message::{self, Message};
use wavegate::engine::notice;
use wavegate::journal::{Journal, store::Entry};
use wavegate::model::drill::{Drill, DrillCheck, DrillPlace};
use wavegate::model::event::Event;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use wavegate::model::ids::Seq;
use wavegate::model::notice::NoticeKind;
use wavegate::model::rate::{ChangeRateAlarm, RateOf};
use wavegate::model::state::State;
use wavegate::model::time::Millis;

fn journals() -> Vec<Vec<Entry>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old_journals");
    let versions = std::fs::read_dir(corpus).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    let files = versions.flat_map(|version| std::fs::read_dir(version).unwrap().map(|e| e.unwrap().path()));
    let journals = files.filter(|p| p.extension().is_some_and(|e| e == "db"));
    journals.map(|p| Journal::open_read_only(&p).unwrap().entries_after(Seq(0), usize::MAX).unwrap()).collect()
}

fn told(entries: &[Entry]) -> Vec<(NoticeKind, Message)> {
    let mut state = State::default();
    let mut told = Vec::new();
    for entry in entries {
        state.apply(&entry.event).unwrap();
        if let Some(notice) = notice::of(&state, &entry.event) {
            told.push((notice.kind, message::of(&state, &notice, entry.seq.0, entry.at)));
        }
    }
    told
}

#[test]
fn every_message_says_what_is_the_case_and_what_to_do() {
    let mut kinds = BTreeSet::new();
    for (kind, message) in journals().iter().flat_map(|entries| told(entries)) {
        kinds.insert(kind.name());
        let data = &message.data;
        println!("{} | {} | {}", data.headline, data.why, data.next);
        for text in [&data.headline, &data.why, &data.next] {
            assert!(!text.is_empty() && text.chars().count() <= 1300 && !text.contains('\n'), "{kind}: {message:?}");
        }
        assert_eq!(message.name, format!("wavegate.{kind}"));
        assert_eq!(data.severity, kind.severity());
        assert_eq!(data.approval.is_some(), kind == NoticeKind::ApprovalWanted && !data.headline.contains("sign-off"));
        if let Some(approval) = &data.approval {
            assert!(approval.command.starts_with("wavegate approve r-"), "{approval:?}");
            assert!(!approval.scope.is_empty() && !approval.wanting.is_empty(), "{approval:?}");
        }
        let again: Message = serde_json::from_str(&serde_json::to_string(&message).unwrap()).unwrap();
        assert_eq!(again, message);
    }
    let wanted = [
        "approval_wanted",
        "gate_failed",
        "held",
        "kill",
        "kill_lifted",
        "overdue",
        "reverted",
        "reverting",
        "stuck",
        "succeeded",
    ];
    let missing: Vec<_> = wanted.iter().filter(|kind| !kinds.contains(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?} of {kinds:?}");
}

/// Nobody is told twice of one thing, and of one rollout no more than a person can read.
#[test]
fn no_rollout_talks_all_the_time() {
    for entries in journals() {
        let all = told(&entries);
        let distinct: BTreeSet<String> =
            all.iter().map(|(_, message)| serde_json::to_string(message).unwrap()).collect();
        assert_eq!(distinct.len(), all.len());
        let mut of_rollout: BTreeMap<_, usize> = BTreeMap::new();
        all.iter().for_each(|(_, message)| *of_rollout.entry(message.data.rollout.clone()).or_default() += 1);
        let most = of_rollout.iter().filter(|(rollout, _)| rollout.is_some()).map(|(_, count)| *count).max();
        assert!(most.is_none_or(|most| most <= 5), "{of_rollout:?}");
    }
}

fn kill() -> Kill {
    Kill {
        id: "k-1".into(),
        scope: KillScope::Agent("kiro".into()),
        mode: KillMode::Halt,
        by: "dana".into(),
        door: KillDoor::Http,
        at: "2026-11-21T12:00:00Z".parse().unwrap(),
        reason: "it runs wild".into(),
    }
}

#[test]
fn a_kill_is_told_when_it_comes_when_it_is_late_and_when_it_is_lifted() {
    let mut state = State::default();
    let requested = Event::KillRequested { kill: kill() };
    state.apply(&requested).unwrap();
    let notice = notice::of(&state, &requested).unwrap();
    let text = message::of(&state, &notice, 1, kill().at).data;
    assert_eq!((notice.kind, text.headline.as_str()), (NoticeKind::Kill, "KILL: halt on agent=kiro"));
    assert!(text.why.contains("dana: it runs wild") && text.next.contains("--lift k-1"), "{text:?}");
    let late = notice::of_pending(&state, &state.kills[&"k-1".into()]).unwrap();
    assert_eq!(late.kind, NoticeKind::KillPending);
    assert!(message::of(&state, &late, 1, kill().at).data.headline.starts_with("KILL STILL PENDING"));
    let acknowledged = Event::KillAcknowledged { kill: "k-1".into() };
    state.apply(&acknowledged).unwrap();
    assert_eq!(notice::of(&state, &acknowledged), None);
    assert_eq!(notice::of_pending(&state, &state.kills[&"k-1".into()]), None);
    let lifted = Event::KillLifted { kill: "k-1".into(), by: ["dana".into(), "sam".into()] };
    state.apply(&lifted).unwrap();
    let text = message::of(&state, &notice::of(&state, &lifted).unwrap(), 3, kill().at).data;
    assert!(text.why.contains("dana and sam"), "{text:?}");
}

#[test]
fn an_alarm_and_a_drill_that_failed_are_told_and_one_that_passed_is_not() {
    let at = kill().at;
    let mut state = State::default();
    let of = RateOf::Agent("kiro\nkiro <b>".into());
    let alarm = ChangeRateAlarm { of, seen: 40, usual: 2.5, threshold: 12, window: Millis::from_secs(3600), at };
    let event = Event::ChangeRateAlarmed { alarm: Box::new(alarm) };
    state.apply(&event).unwrap();
    let text = message::of(&state, &notice::of(&state, &event).unwrap(), 1, at).data;
    assert_eq!(
        (text.kind, text.headline.as_str()),
        (NoticeKind::ChangeRate, "changes come too fast: agent kiro kiro <b>")
    );
    assert!(text.why.contains("40 changes within 1h") && text.why.contains("2.50"), "{text:?}");
    let drill = |passed| {
        let check = DrillCheck {
            door: KillDoor::Http,
            mode: KillMode::Halt,
            rollout: "r-1".into(),
            acknowledged_after: None,
            evidence: "x".into(),
            passed,
        };
        let checks = vec![check];
        Event::DrillEnded {
            drill: Box::new(Drill {
                id: "d-1".into(),
                place: DrillPlace::Embedded,
                by: "dana".into(),
                at,
                checks,
                not_drilled: Vec::new(),
            }),
        }
    };
    assert_eq!(notice::of(&state, &drill(true)), None);
    let text = message::of(&state, &notice::of(&state, &drill(false)).unwrap(), 2, at).data;
    assert!(text.why.starts_with("1 of 1 checks of the drill that dana held failed"), "{text:?}");
}
