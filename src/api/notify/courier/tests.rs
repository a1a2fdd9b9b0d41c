//! The courier over a journal that is written by hand.

use super::*;
use crate::api::notify::Notifier;
use crate::config::notify::NotifyConfig;
use crate::daemon::clock::Clock;
use crate::journal::outbox::{Outbox, PENDING_MAX};
use crate::model::event::Event;
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use jiff::ToSpan as _;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Everything that was written is durable.
const ALL: Seq = Seq(u64::MAX);

struct House {
    dir: tempfile::TempDir,
    journal: Journal,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("journal.db")).unwrap();
        journal.take_lead(None, "test").unwrap();
        Self { dir, journal }
    }

    fn kill(&mut self, id: &str, at: Timestamp) {
        let (scope, reason) = (KillScope::All, String::new());
        let kill =
            Kill { id: id.into(), scope, mode: KillMode::Halt, by: "dana".into(), door: KillDoor::Cli, at, reason };
        self.journal.append(at, &[Event::KillRequested { kill }]).unwrap();
    }

    fn open(&self) -> Arc<Shared> {
        let text = "channels: [{name: a, slack: {url_file: /none}}, {name: b, slack: {url_file: /none}, only: [held]}]";
        let config: NotifyConfig = serde_yaml::from_str(text).unwrap();
        Notifier::open(&config, self.dir.path(), Clock::system(), Default::default()).unwrap().shared.unwrap()
    }
}

/// Kind and about of what waits, with each id; twice the same id is impossible.
fn waiting(shared: &Shared) -> Vec<String> {
    let due = lock(&shared.outbox).due("a", shared.now(), 1_000).unwrap();
    due.into_iter().map(|letter| format!("{} {}", letter.letter.kind, letter.letter.about)).collect()
}

#[test]
fn what_is_new_is_told_once_and_the_cursor_survives() {
    let mut house = House::new();
    let shared = house.open();
    let now = shared.now();
    let mut reader = Reader::default();
    house.kill("k-1", now);
    assert!(!reader.read_on(&shared, ALL).unwrap());
    assert!(!reader.read_on(&shared, ALL).unwrap());
    assert_eq!(waiting(&shared), ["kill k-1"]);
    assert!(lock(&shared.outbox).due("b", now, 9).unwrap().is_empty());
    drop((shared, reader));
    house.kill("k-2", now);
    let shared = house.open();
    Reader::default().read_on(&shared, ALL).unwrap();
    assert_eq!(waiting(&shared), ["kill k-1", "kill k-2"]);
    assert_eq!(lock(&shared.outbox).cursor().unwrap(), Seq(2));
}

#[test]
fn a_stop_order_that_stays_pending_is_told_and_not_every_second() {
    let mut house = House::new();
    let shared = house.open();
    let now = shared.now();
    house.kill("k-1", now - 11.seconds());
    house.kill("k-2", now);
    house.kill("k-3", now - 11.seconds());
    house.journal.append(now, &[Event::KillAcknowledged { kill: "k-3".into() }]).unwrap();
    let mut reader = Reader::default();
    for _ in 0..3 {
        reader.read_on(&shared, ALL).unwrap();
        reader.look_around(&shared).unwrap();
    }
    // The second letter about one order waits for the first.
    let all: BTreeSet<String> = waiting(&shared).into_iter().collect();
    assert_eq!(all, ["kill k-1", "kill k-2", "kill k-3"].map(str::to_owned).into());
    let first = lock(&shared.outbox).due("a", shared.now(), 1).unwrap()[0].letter.id.clone();
    lock(&shared.outbox).delivered(&first).unwrap();
    assert!(waiting(&shared).contains(&"kill_pending k-1".to_owned()));
    assert_eq!(lock(&shared.outbox).holds().unwrap().pending["a"].0, 3);
}

#[test]
fn what_is_older_than_a_day_is_no_news() {
    let mut house = House::new();
    let shared = house.open();
    house.kill("k-1", shared.now() - 25.hours());
    house.kill("k-2", shared.now() - 1.hour());
    house
        .journal
        .append(shared.now(), &[Event::KillLifted { kill: "k-1".into(), by: ["a".into(), "b".into()] }])
        .unwrap();
    Reader::default().read_on(&shared, ALL).unwrap();
    assert!(waiting(&shared).iter().all(|letter| letter != "kill k-1"), "{:?}", waiting(&shared));
    assert!(waiting(&shared).contains(&"kill_lifted k-1".to_owned()));
}

/// The same record makes the same ids, so that a receiver drops what it has: after a crash between the making and the cursor, and from
/// memory when the file is lost.
#[test]
fn made_again_a_message_has_the_same_id() {
    let mut house = House::new();
    let shared = house.open();
    house.kill("k-1", shared.now());
    let id = |shared: &Shared| {
        Reader::default().read_on(shared, ALL).unwrap();
        lock(&shared.outbox).due("a", shared.now(), 1).unwrap()[0].letter.id.clone()
    };
    let first = id(&shared);
    *lock(&shared.outbox) = Outbox::in_memory(Seq(0)).unwrap();
    assert_eq!(id(&shared), first);
}

/// A record whose fsync failed may be in the file: nobody is told of it before the loop has said that it is durable.
#[test]
fn what_the_loop_did_not_acknowledge_is_not_told() {
    let mut house = House::new();
    let shared = house.open();
    house.kill("k-1", shared.now());
    house.kill("k-2", shared.now());
    let mut reader = Reader::default();
    reader.read_on(&shared, Seq(1)).unwrap();
    assert_eq!(waiting(&shared), ["kill k-1"]);
    reader.read_on(&shared, Seq(2)).unwrap();
    assert_eq!(waiting(&shared), ["kill k-1", "kill k-2"]);
}

#[test]
fn an_outbox_that_fails_loses_nothing_that_was_read() {
    let mut house = House::new();
    let shared = house.open();
    let mut reader = Reader::default();
    reader.read_on(&shared, ALL).unwrap();
    let spoil = || {
        let other = Outbox::open_existing(&house.dir.path().join("outbox.db")).unwrap();
        other.spoil();
    };
    spoil();
    house.kill("k-1", shared.now());
    let error = reader.read_on(&shared, ALL).unwrap_err();
    assert!(reader.read_on(&shared, ALL).is_err());
    let NotifyError::Outbox(error) = error else { panic!("{error}") };
    shared.fall_back(&error);
    house.kill("k-2", shared.now());
    reader.read_on(&shared, ALL).unwrap();
    assert_eq!(waiting(&shared), ["kill k-1", "kill k-2"]);
    shared.refresh();
    shared.recovered();
    assert!(lock(&shared.view).trouble.as_ref().unwrap().contains("kept in memory"));
}

#[test]
fn a_journal_that_was_restored_from_a_copy_is_told_from_its_end() {
    let mut house = House::new();
    let shared = house.open();
    lock(&shared.outbox).take_in(Seq(900), &[], shared.now()).unwrap();
    house.kill("k-1", shared.now());
    let mut reader = Reader::default();
    reader.read_on(&shared, ALL).unwrap();
    house.kill("k-2", shared.now());
    reader.read_on(&shared, ALL).unwrap();
    assert_eq!(waiting(&shared), ["kill k-2"]);
}

/// A clock that was set back makes an order one of the future: whoever is to be paged is not kept waiting for it.
#[test]
fn a_clock_that_was_set_back_does_not_put_off_what_is_critical() {
    let mut house = House::new();
    let shared = house.open();
    house.kill("k-1", shared.now() + 1.hour());
    Reader::default().read_on(&shared, ALL).unwrap();
    assert_eq!(lock(&shared.outbox).holds().unwrap().pending["a"].0, 2, "the order, and that it is pending");
}

/// What is dead as it comes in is counted, and told by the other channel once; a report that is dead at once is only counted.
#[test]
fn what_comes_on_top_of_too_many_is_counted_and_told_by_the_others() {
    let mut house = House::new();
    let text = "channels: [{name: a, slack: {url_file: /none}, only: [kill]}, {name: b, slack: {url_file: /none}, only: [undelivered]}]";
    let config: NotifyConfig = serde_yaml::from_str(text).unwrap();
    let notifier = Notifier::open(&config, house.dir.path(), Clock::system(), Default::default()).unwrap();
    let shared = notifier.shared.clone().unwrap();
    let fill = |channel: &str| {
        let letter = |n| NewLetter {
            channel: channel.into(),
            id: format!("{channel}{n}"),
            kind: crate::model::notice::NoticeKind::Held,
            about: String::new(),
            body: String::new(),
        };
        let full: Vec<NewLetter> = (0..PENDING_MAX).map(letter).collect();
        lock(&shared.outbox).take_in(Seq(0), &full, shared.now()).unwrap();
    };
    fill("a");
    let mut reader = Reader::default();
    for kill in ["k-1", "k-2"] {
        house.kill(kill, shared.now());
        reader.read_on(&shared, ALL).unwrap();
    }
    let due = lock(&shared.outbox).due("b", shared.now(), 9).unwrap();
    assert_eq!(due.len(), 1);
    assert!(due[0].letter.body.contains("were waiting already"), "{due:?}");
    let dead = || ["a", "b"].map(|name| notifier.counts()[name].dead);
    assert_eq!(dead(), [2, 0]);
    fill("b");
    lock(&shared.outbox).tell("undelivered/a", std::time::Duration::ZERO, &[], shared.now() - 2.hours()).unwrap();
    house.kill("k-3", shared.now());
    reader.read_on(&shared, ALL).unwrap();
    assert_eq!(dead(), [3, 1]);
}

/// A file that was locked for a while holds messages that wait: they go out once it can be used again, and what memory held with them.
#[test]
fn a_file_that_can_be_used_again_has_its_messages_and_those_of_memory() {
    let mut house = House::new();
    let shared = house.open();
    let mut reader = Reader::default();
    house.kill("k-1", shared.now());
    reader.read_on(&shared, ALL).unwrap();
    let file = Outbox::open_existing(&house.dir.path().join("outbox.db")).unwrap();
    file.spoil();
    house.kill("k-2", shared.now());
    let NotifyError::Outbox(error) = reader.read_on(&shared, ALL).unwrap_err() else { panic!("the journal is fine") };
    shared.fall_back(&error);
    reader.read_on(&shared, ALL).unwrap();
    assert_eq!(waiting(&shared), ["kill k-2"]);
    lock(&shared.outbox).tell("x", Duration::from_secs(60), &[], shared.now()).unwrap();
    file.mend();
    let now = Instant::now();
    assert!(!shared.back_to_file(now), "it is not tried every second");
    assert_eq!(waiting(&shared), ["kill k-2"]);
    assert!(!shared.back_to_file(now + Duration::from_secs(61)), "memory had all that followed");
    shared.recovered();
    assert_eq!(lock(&shared.view).trouble, None);
    reader.read_on(&shared, ALL).unwrap();
    assert_eq!(waiting(&shared), ["kill k-1", "kill k-2"]);
    assert_eq!(file.due("a", shared.now(), 9).unwrap().len(), 2, "it is the file");
    assert_eq!(file.cursor().unwrap(), Seq(2));
    let mut outbox = lock(&shared.outbox);
    assert_eq!(outbox.tell("x", Duration::from_secs(60), &[], shared.now()).unwrap(), None, "told already");
}

/// What was written while no daemon ran, and the file could not be read at the start.
#[test]
fn what_lies_before_memory_is_told_from_the_file() {
    let mut house = House::new();
    let path = house.dir.path().join("outbox.db");
    let now = house.open().now();
    let good = std::fs::read(&path).unwrap();
    house.kill("k-1", now);
    std::fs::write(&path, "no database at all ".repeat(500)).unwrap();
    let shared = house.open();
    house.kill("k-2", shared.now());
    let mut reader = Reader::default();
    reader.read_on(&shared, ALL).unwrap();
    assert_eq!(waiting(&shared), ["kill k-2"]);
    std::fs::write(&path, good).unwrap();
    assert!(shared.back_to_file(Instant::now() + Duration::from_secs(61)));
    Reader::default().read_on(&shared, ALL).unwrap();
    let told: BTreeSet<String> = waiting(&shared).into_iter().collect();
    assert_eq!(told, ["kill k-1", "kill k-2"].map(str::to_owned).into());
    assert_eq!(lock(&shared.outbox).holds().unwrap().pending["a"].0, 2, "none of them twice");
}

fn courier(shared: &Arc<Shared>) -> Courier {
    Courier { shared: Arc::clone(shared), reader: Reader::default(), failed: 0 }
}

/// A journal that cannot be read for a while is no trouble of the outbox.
#[tokio::test]
async fn only_what_fails_at_the_outbox_counts_against_it() {
    let mut house = House::new();
    let shared = house.open();
    let mut courier = courier(&shared);
    house.kill("k-1", shared.now());
    let journal = house.dir.path().join("journal.db");
    let aside = house.dir.path().join("aside.db");
    std::fs::rename(&journal, &aside).unwrap();
    for _ in 0..GIVE_UP_OUTBOX {
        assert_eq!(courier.turn(ALL).await, Turn::Failed);
    }
    std::fs::rename(&aside, &journal).unwrap();
    let file = Outbox::open_existing(&house.dir.path().join("outbox.db")).unwrap();
    file.spoil();
    assert_eq!(courier.turn(ALL).await, Turn::Failed);
    assert!(lock(&shared.memory).is_none());
    file.mend();
    assert_eq!(courier.turn(ALL).await, Turn::Done);
    assert_eq!(waiting(&shared), ["kill k-1"]);
}

/// Nobody would know that nothing is told any more; and one record is not to silence all that follow it.
#[tokio::test]
async fn a_record_that_breaks_the_courier_is_shown_and_then_left_out_with_a_word() {
    let mut house = House::new();
    let shared = house.open();
    let mut courier = courier(&shared);
    for kill in ["k-1", "k-2", "k-3"] {
        house.kill(kill, shared.now());
    }
    shared.making.spoilt.store(2, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(courier.turn(ALL).await, Turn::Failed);
        let trouble = lock(&shared.view).trouble.clone().unwrap();
        assert!(trouble.contains("broke off at record 2"), "{trouble}");
    }
    assert_eq!(courier.turn(ALL).await, Turn::Done);
    assert_eq!(lock(&shared.view).trouble, None);
    assert_eq!(waiting(&shared), ["kill k-1", "defect ", "kill k-3"]);
    let due = lock(&shared.outbox).due("a", shared.now(), 9).unwrap();
    assert!(due[1].letter.body.contains("record 2 of the journal"), "{due:?}");
}
