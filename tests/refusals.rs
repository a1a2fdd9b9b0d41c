//! Refusals go on record, each of them counted, and a flood of them does not fill the disk.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use wavegate::api::code::Code;
use wavegate::api::refusals::{Refusals, Refused};
use wavegate::cloud::sim::{SimOptions, SimWorld};
use wavegate::daemon::clock::Clock;
use wavegate::daemon::core::Core;
use wavegate::daemon::driver::{Driver, Orders};
use wavegate::journal::Journal;
use wavegate::model::event::Event;
use wavegate::model::ids::Seq;
use wavegate::model::principal::{Caller, Door, Principal, PrincipalKind, RefusedOrder};

const START: Timestamp = Timestamp::constant(1_795_161_600, 0);

/// Runs `what` beside a daemon, and gives the refusals that are on record then.
fn recorded(what: impl AsyncFnOnce(Refusals)) -> Vec<RefusedOrder> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        let orders = daemon(&file);
        what(Refusals::new(orders.clone())).await;
        // Longer than the window in which the same ones are counted.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let entries = orders.look(|core| core.journal().entries_after(Seq(0), 100_000)).await.unwrap().unwrap();
        let refused = entries.into_iter().filter_map(|entry| match entry.event {
            Event::OrderRefused { refused } => Some(*refused),
            _ => None,
        });
        refused.collect()
    })
}

fn daemon(file: &std::path::Path) -> Orders {
    let mut journal = Journal::open(file).unwrap();
    journal.take_lead(None, "test").unwrap();
    let clock = Clock::world(START);
    let core = Core::new(journal, "test", None, clock.now()).unwrap();
    let (driver, orders) = Driver::new(core, Arc::new(SimWorld::new(SimOptions::default())), clock, None);
    tokio::spawn(async move { driver.run(&mut |_, _| ()).await });
    orders
}

fn refused(credential: &str) -> Refused<'_> {
    Refused { credential, code: Code::Unauthenticated, why: "no credential", ..Refused::at(Door::Http) }
}

#[test]
fn one_refusal_is_on_record_at_once() {
    let found = recorded(async |refusals| {
        refusals.note(refused("addr 127.0.0.1"), Some("r-1".into()), START);
    });
    assert_eq!(found.len(), 1);
    let only = &found[0];
    assert_eq!((only.times, only.code.as_str(), only.credential.as_str()), (1, "unauthenticated", "addr 127.0.0.1"));
    assert_eq!(only.about, Some("r-1".into()));
}

#[test]
fn the_same_refusal_again_and_again_is_two_records_with_every_one_counted() {
    let found = recorded(async |refusals| {
        for _ in 0..50_000 {
            refusals.note(refused("addr 127.0.0.1"), None, START);
        }
    });
    assert_eq!(found.iter().map(|one| one.times).collect::<Vec<_>>(), [1, 49_999]);
}

#[test]
fn a_flood_of_different_ones_is_bounded_and_every_one_counted() {
    let found = recorded(async |refusals| {
        for n in 0..20_000 {
            refusals.note(refused(&format!("addr {n}")), None, START);
        }
    });
    assert!(found.len() <= 34, "{} records", found.len());
    assert_eq!(found.iter().map(|one| one.times).sum::<u64>(), 20_000);
}

fn caller(name: &str) -> Caller {
    let principal = Principal { name: name.into(), kind: PrincipalKind::Agent, party: "p".into(), groups: [].into() };
    let credential = format!("token t-{name}");
    Caller { principal, roles: [].into(), credential, door: Door::Http, named: true }
}

/// Whoever fills the record from many addresses takes nobody's name out of it.
#[test]
fn strangers_take_no_callers_name_away() {
    let eve = caller("eve");
    let found = recorded(async |refusals| {
        for n in 0..1_000 {
            refusals.note(refused(&format!("addr {n}")), None, START);
        }
        refusals.note(Refused { caller: Some(&eve), verb: "approve", ..refused("") }, Some("r-1".into()), START);
    });
    let eves: Vec<_> = found.iter().filter(|one| one.by.as_ref() == Some(&eve.principal)).collect();
    assert_eq!((eves.len(), eves[0].verb.as_str(), &eves[0].about), (1, "approve", &Some("r-1".into())));
}

#[test]
fn however_many_callers_are_refused_each_is_on_record_by_name() {
    let found = recorded(async |refusals| {
        for n in 0..300 {
            let caller = caller(&format!("a{n}"));
            for about in ["r-1", "r-2"] {
                refusals.note(Refused { caller: Some(&caller), ..refused("") }, Some(about.into()), START);
            }
        }
    });
    assert_eq!(found.iter().map(|one| one.times).sum::<u64>(), 600);
    let names: std::collections::BTreeSet<_> = found.iter().map(|one| one.by.as_ref().unwrap().name.clone()).collect();
    assert_eq!(names.len(), 300);
    // One that is beyond the bound is one record at once and one with the count.
    assert!(found.len() <= 256 + 2 * 172, "{}", found.len());
}

/// Whoever is refused in a thousand ways stays on record by name, and hides nobody else.
#[test]
fn one_callers_flood_is_theirs_and_hides_nobody() {
    let found = recorded(async |refusals| {
        for n in 0..1_000 {
            refusals.note(refused("token t-1"), Some(format!("r-{n}").as_str().into()), START);
        }
        refusals.note(Refused { verb: "approve", ..refused("token t-2") }, Some("r-1".into()), START);
    });
    let of_first: Vec<_> = found.iter().filter(|one| one.credential == "token t-1").collect();
    assert_eq!(of_first.iter().map(|one| one.times).sum::<u64>(), 1_000);
    assert!(of_first.len() <= 18, "{}", of_first.len());
    assert!(found.iter().any(|one| one.credential == "token t-2" && one.verb == "approve" && one.about.is_some()));
}

#[test]
fn a_later_one_is_a_record_of_its_own() {
    let found = recorded(async |refusals| {
        refusals.note(refused("a"), None, START);
        tokio::time::sleep(Duration::from_secs(11)).await;
        refusals.note(refused("a"), None, START);
    });
    assert_eq!(found.iter().map(|one| one.times).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn what_is_long_is_cut() {
    let long = "x".repeat(100_000);
    let found = recorded(async |refusals| {
        refusals.note(Refused { why: &long, verb: &long, ..refused(&long) }, None, START);
    });
    assert!(found[0].why.len() <= 500 && found[0].credential.len() <= 500 && found[0].verb.len() <= 100);
}
