//! The outbox by itself.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn new(channel: &str, id: &str, about: &str) -> NewLetter {
    NewLetter {
        channel: channel.into(),
        id: id.into(),
        kind: NoticeKind::Held,
        about: about.into(),
        body: format!("{{\"id\":\"{id}\"}}"),
    }
}

fn ids(outbox: &Outbox, channel: &str, now: Timestamp) -> Vec<String> {
    outbox.due(channel, now, 100).unwrap().into_iter().map(|letter| letter.letter.id).collect()
}

#[test]
fn it_begins_at_the_end_of_the_journal_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let mut outbox = Outbox::open(&path, Seq(7)).unwrap();
    assert_eq!(outbox.cursor().unwrap(), Seq(7));
    outbox.take_in(Seq(9), &[new("a", "1", "r")], at(0)).unwrap();
    drop(outbox);
    let outbox = Outbox::open(&path, Seq(900)).unwrap();
    assert_eq!(outbox.cursor().unwrap(), Seq(9));
    assert_eq!(ids(&outbox, "a", at(0)), ["1"]);
    assert_eq!(outbox.due("a", at(0), 1).unwrap()[0].give_up, at(24 * 3600));
}

#[test]
fn a_newer_layout_and_another_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    assert!(matches!(Outbox::open(&path, Seq(0)), Err(OutboxError::NewerLayout { found: 2, .. })));
    std::fs::write(&path, "no database at all, and long enough to be looked at by SQLite as one".repeat(20)).unwrap();
    assert!(matches!(Outbox::open(&path, Seq(0)), Err(OutboxError::Storage { .. })));
    assert!(Outbox::open_existing(&dir.path().join("none.db")).is_err());
}

#[test]
fn messages_about_one_thing_go_in_order_until_the_first_has_failed_often() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    let letters =
        [new("a", "1", "r"), new("a", "2", "r"), new("a", "3", "other"), new("a", "4", ""), new("b", "5", "r")];
    outbox.take_in(Seq(5), &letters, at(0)).unwrap();
    assert_eq!(ids(&outbox, "a", at(0)), ["1", "3", "4"]);
    assert_eq!(ids(&outbox, "b", at(0)), ["5"]);
    let first = "1";
    for n in 0..3 {
        assert!(!ids(&outbox, "a", at(0)).contains(&"2".to_owned()), "{n}");
        outbox.failed(first, at(60), "no").unwrap();
    }
    assert_eq!(ids(&outbox, "a", at(0)), ["2", "3", "4"]);
    assert_eq!(ids(&outbox, "a", at(60)), ["1", "2", "3", "4"]);
    outbox.died(first, at(61), "gone").unwrap();
    assert_eq!(ids(&outbox, "a", at(60)), ["2", "3", "4"]);
}

#[test]
fn a_dead_message_is_listed_and_can_be_tried_again_or_forgotten() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    outbox.take_in(Seq(1), &[new("a", "1", "r"), new("b", "2", "r")], at(0)).unwrap();
    for channel in ["a", "b"] {
        let id = outbox.due(channel, at(0), 1).unwrap()[0].letter.id.clone();
        outbox.died(&id, at(1), &"x".repeat(1000)).unwrap();
    }
    let dead = outbox.holds().unwrap().dead;
    assert_eq!(dead.len(), 2);
    assert_eq!((dead[0].tries, dead[0].why.as_ref().unwrap().len()), (1, WHY_MAX));
    assert_eq!(outbox.retry(Some("a"), at(2)).unwrap(), 1);
    assert_eq!(ids(&outbox, "a", at(2)), ["1"]);
    assert_eq!(outbox.due("a", at(2), 1).unwrap()[0].give_up, at(2 + 24 * 3600));
    assert_eq!(outbox.forget(None).unwrap(), 1);
    assert!(outbox.holds().unwrap().dead.is_empty());
}

#[test]
fn what_is_dead_for_a_week_is_forgotten_and_unknown_channels_are_dead() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    outbox.take_in(Seq(1), &[new("a", "1", ""), new("gone", "2", "")], at(0)).unwrap();
    outbox.tidy(&["a".into()], at(0)).unwrap();
    let holds = outbox.holds().unwrap();
    assert_eq!(holds.dead[0].letter.id, "2");
    assert_eq!(holds.pending["a"], (1, at(0)));
    outbox.tidy(&["a".into()], at(7 * 24 * 3600 + 1)).unwrap();
    assert!(outbox.holds().unwrap().dead.is_empty());
}

#[test]
fn a_flood_is_bounded_and_what_came_on_top_is_listed() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    let flood: Vec<NewLetter> = (0..PENDING_MAX + DEAD_MAX + 100).map(|n| new("a", &n.to_string(), "")).collect();
    let dead = outbox.take_in(Seq(1), &flood, at(0)).unwrap();
    assert_eq!(dead.len(), DEAD_MAX as usize + 100);
    assert_eq!(dead[0], ("a".to_owned(), NoticeKind::Held));
    // What is there already is not dead once more.
    assert_eq!(outbox.take_in(Seq(1), &flood, at(0)).unwrap(), []);
    assert_eq!(outbox.tell("x", Duration::ZERO, &[new("a", "more", "")], at(0)).unwrap().unwrap().len(), 1);
    outbox.tidy(&["a".into()], at(1)).unwrap();
    let holds = outbox.holds().unwrap();
    assert_eq!(holds.pending["a"].0, u64::from(PENDING_MAX));
    assert_eq!(holds.dead.len(), DEAD_MAX as usize);
    assert!(holds.dead[0].why.as_ref().unwrap().contains("were waiting"));
}

/// All that waited for a receiver that was away for a day is still listed.
#[test]
fn what_one_outage_has_killed_is_kept() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    let all: Vec<NewLetter> = (0..PENDING_MAX).map(|n| new("a", &n.to_string(), "")).collect();
    assert_eq!(outbox.take_in(Seq(1), &all, at(0)).unwrap(), []);
    all.iter().for_each(|letter| outbox.died(&letter.id, at(1), "away").unwrap());
    outbox.tidy(&["a".into()], at(2)).unwrap();
    assert_eq!(outbox.holds().unwrap().dead.len(), PENDING_MAX as usize);
}

#[test]
fn the_same_is_told_once_in_its_time_also_when_the_clock_goes_back() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    let hour = Duration::from_secs(3600);
    let mut tell = |id: &str, now| outbox.tell("x", hour, &[new("a", id, "")], now).unwrap().is_some();
    assert!(tell("1", at(0)));
    assert!(!tell("2", at(3599)));
    assert!(tell("3", at(3600)));
    assert!(tell("4", at(0)));
}

/// A try that was put off to a time far away, by a clock that was wrong, is not put off for ever.
#[test]
fn a_clock_that_was_wrong_does_not_silence_a_message() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    outbox.take_in(Seq(1), &[new("a", "1", "")], at(0)).unwrap();
    outbox.failed("1", at(300), "no").unwrap();
    assert!(ids(&outbox, "a", at(0)).is_empty());
    assert_eq!(ids(&outbox, "a", at(-10_000)), ["1"]);
    outbox.failed("1", at(1200), "no").unwrap();
    outbox.hurry("a", at(1)).unwrap();
    assert_eq!(ids(&outbox, "a", at(1)), ["1"]);
}

/// One that was on the wire when memory took the place of the file is settled by its name; in memory its row would be another's.
#[test]
fn a_message_of_another_outbox_settles_nothing_here() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    outbox.take_in(Seq(1), &[new("a", "2", "")], at(0)).unwrap();
    outbox.delivered("1").unwrap();
    outbox.died("1", at(1), "gone").unwrap();
    assert_eq!(ids(&outbox, "a", at(0)), ["2"]);
    assert!(outbox.holds().unwrap().dead.is_empty());
}

/// A receiver that was away while a thousand reports came still gets the page.
#[test]
fn what_is_more_severe_pushes_out_the_oldest_of_the_least_severe() {
    let mut outbox = Outbox::in_memory(Seq(0)).unwrap();
    let of = |id: u32, kind| NewLetter { kind, ..new("a", &id.to_string(), "") };
    let mut full: Vec<NewLetter> = (2..PENDING_MAX).map(|id| of(id, NoticeKind::Held)).collect();
    full.extend([of(0, NoticeKind::Reverted), of(1, NoticeKind::Reverted)]);
    assert_eq!(outbox.take_in(Seq(1), &full, at(0)).unwrap(), []);
    let more = [
        of(10_000, NoticeKind::Kill),
        of(10_001, NoticeKind::Held),
        of(10_002, NoticeKind::Stuck),
        of(10_003, NoticeKind::Held),
        of(10_000, NoticeKind::Kill),
    ];
    let dead = outbox.take_in(Seq(2), &more, at(1)).unwrap();
    let kinds: Vec<NoticeKind> = dead.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [NoticeKind::Reverted, NoticeKind::Reverted, NoticeKind::Held, NoticeKind::Held]);
    let holds = outbox.holds().unwrap();
    let gone: Vec<&str> = holds.dead.iter().map(|letter| letter.letter.id.as_str()).collect();
    assert_eq!(gone, ["2", "0", "1", "10003"]);
    assert!(holds.dead[0].why.as_ref().unwrap().contains("more severe"));
    assert_eq!(holds.pending["a"].0, u64::from(PENDING_MAX));
    let waiting = outbox.due("a", at(1), PENDING_MAX).unwrap();
    assert!(waiting.iter().any(|letter| letter.letter.kind == NoticeKind::Kill));
}

/// Also what memory held while a file could not be used is bounded when it comes in.
#[test]
fn what_is_taken_over_has_its_ids_tries_and_bound() {
    let (mut file, mut memory) = (Outbox::in_memory(Seq(0)).unwrap(), Outbox::in_memory(Seq(5)).unwrap());
    let full: Vec<NewLetter> = (0..PENDING_MAX).map(|n| new("a", &n.to_string(), "")).collect();
    file.take_in(Seq(5), &full, at(0)).unwrap();
    let kill = NewLetter { kind: NoticeKind::Kill, ..new("a", "kill", "r") };
    memory.take_in(Seq(9), &[new("a", "0", ""), kill, new("b", "b1", ""), new("b", "b2", "")], at(1)).unwrap();
    memory.failed("b1", at(60), "away").unwrap();
    memory.died("b2", at(2), "gone").unwrap();
    let dead = file.take_over(&memory, true, at(3)).unwrap();
    assert_eq!(dead, [("a".to_owned(), NoticeKind::Held)]);
    assert_eq!(file.cursor().unwrap(), Seq(9));
    assert!(ids(&file, "b", at(59)).is_empty());
    assert_eq!(file.due("b", at(60), 9).unwrap()[0].tries, 1);
    let holds = file.holds().unwrap();
    let gone: Vec<&str> = holds.dead.iter().map(|letter| letter.letter.id.as_str()).collect();
    assert_eq!(gone, ["0", "b2"]);
    assert_eq!(file.take_over(&memory, false, at(4)).unwrap(), []);
}
