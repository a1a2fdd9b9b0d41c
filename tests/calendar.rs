//! Change windows and freezes, over midnight, through daylight-saving changes, for agents and for people.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use jiff::Timestamp;
use wavegate::engine::guardrail::calendar::{Standing, ever_opens, standing};
use wavegate::model::calendar::{Calendar, Day, Proposers, Span, WeeklyWindow};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(days: &[Day], from: &str, to: &str, applies_to: Proposers) -> WeeklyWindow {
    WeeklyWindow {
        days: days.iter().copied().collect(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        applies_to,
    }
}

fn span(from: &str, to: &str, reason: &str, applies_to: Proposers) -> Span {
    Span { from: from.parse().unwrap(), to: to.parse().unwrap(), reason: reason.into(), applies_to }
}

fn berlin(weekly_windows: Vec<WeeklyWindow>) -> Calendar {
    Calendar { time_zone: "Europe/Berlin".into(), weekly_windows, one_time_windows: Vec::new(), freezes: Vec::new() }
}

const WORKDAYS: [Day; 4] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu];

fn is_open(calendar: &Calendar, agent: bool, when: &str) -> bool {
    standing(calendar, agent, at(when)) == Standing::Open
}

fn opens_at(calendar: &Calendar, agent: bool, when: &str) -> Option<Timestamp> {
    match standing(calendar, agent, at(when)) {
        Standing::Closed { opens_at, .. } => opens_at,
        other => panic!("{when}: {other:?}"),
    }
}

#[test]
fn a_weekly_window_is_by_the_local_clock_in_summer_and_in_winter() {
    let calendar = berlin(vec![window(&WORKDAYS, "09:00", "16:00", Proposers::Everyone)]);
    // 09:00 in Berlin is 07:00 UTC in July and 08:00 UTC in December.
    assert!(is_open(&calendar, true, "2026-07-01T07:00:00Z"));
    assert!(!is_open(&calendar, true, "2026-07-01T06:59:59Z"));
    assert!(!is_open(&calendar, true, "2026-12-02T07:00:00Z"));
    assert!(is_open(&calendar, true, "2026-12-02T08:00:00Z"));
    assert!(!is_open(&calendar, true, "2026-12-02T15:00:00Z"));
    // Thursday evening: it opens on Monday.
    assert_eq!(opens_at(&calendar, true, "2026-12-03T18:00:00Z"), Some(at("2026-12-07T08:00:00Z")));
    // Over the change of clocks on 25 October 2026: Monday 09:00 is an hour later in UTC than it was on Thursday.
    assert_eq!(opens_at(&calendar, true, "2026-10-22T18:00:00Z"), Some(at("2026-10-26T08:00:00Z")));
}

#[test]
fn a_window_over_midnight_is_of_the_day_on_which_it_opens() {
    let calendar = berlin(vec![window(&[Day::Fri], "22:00", "02:00", Proposers::Everyone)]);
    assert!(is_open(&calendar, true, "2026-11-20T21:00:00Z"));
    assert!(is_open(&calendar, true, "2026-11-21T00:59:59Z"));
    assert!(!is_open(&calendar, true, "2026-11-21T01:00:00Z"));
    assert!(!is_open(&calendar, true, "2026-11-20T00:30:00Z"));
}

#[test]
fn an_hour_that_is_skipped_does_not_open_and_one_that_is_repeated_opens_twice() {
    let calendar = berlin(vec![window(&[Day::Sun], "02:15", "02:45", Proposers::Everyone)]);
    // 29 March 2026, 02:00 → 03:00: nothing within the gap; the next is a week later.
    assert!(!is_open(&calendar, true, "2026-03-29T01:15:00Z"));
    assert_eq!(opens_at(&calendar, true, "2026-03-29T00:30:00Z"), Some(at("2026-04-05T00:15:00Z")));
    // 25 October 2026, 03:00 → 02:00.
    assert!(is_open(&calendar, true, "2026-10-25T00:15:00Z"));
    assert!(!is_open(&calendar, true, "2026-10-25T00:50:00Z"));
    assert!(is_open(&calendar, true, "2026-10-25T01:15:00Z"));
    assert_eq!(opens_at(&calendar, true, "2026-10-25T00:50:00Z"), Some(at("2026-10-25T01:15:00Z")));
    // A window that begins within the gap opens when the clock has jumped past its beginning.
    let long = berlin(vec![window(&[Day::Sun], "02:15", "04:00", Proposers::Everyone)]);
    assert_eq!(opens_at(&long, true, "2026-03-29T00:30:00Z"), Some(at("2026-03-29T01:00:00Z")));
}

#[test]
fn a_freeze_closes_whatever_is_open_and_says_until_when() {
    let mut calendar = berlin(vec![window(&WORKDAYS, "09:00", "16:00", Proposers::Everyone)]);
    calendar.freezes = vec![span("2026-12-19T00:00", "2027-01-05T12:00", "holidays", Proposers::Everyone)];
    match standing(&calendar, true, at("2026-12-22T10:00:00Z")) {
        Standing::Closed { freeze: Some(freeze), opens_at } => {
            assert_eq!(freeze.reason, "holidays");
            // In the middle of Tuesday's window.
            assert_eq!(opens_at, Some(at("2027-01-05T11:00:00Z")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_one_time_window_opens_outside_of_the_weekly_ones() {
    let mut calendar = berlin(vec![window(&WORKDAYS, "09:00", "16:00", Proposers::Everyone)]);
    calendar.one_time_windows = vec![span("2026-12-05T22:00", "2026-12-06T02:00", "migration", Proposers::People)];
    assert!(is_open(&calendar, false, "2026-12-05T22:00:00Z"));
    assert!(!is_open(&calendar, true, "2026-12-05T22:00:00Z"));
    assert_eq!(opens_at(&calendar, false, "2026-12-05T20:00:00Z"), Some(at("2026-12-05T21:00:00Z")));
}

#[test]
fn it_is_stricter_for_agents() {
    let for_people = berlin(vec![window(&WORKDAYS, "09:00", "16:00", Proposers::People)]);
    assert!(!ever_opens(&for_people, true, at("2026-12-02T10:00:00Z")));
    let for_agents = berlin(vec![window(&WORKDAYS, "09:00", "16:00", Proposers::Agents)]);
    assert!(is_open(&for_agents, false, "2026-12-05T22:00:00Z"));
    assert!(!is_open(&for_agents, true, "2026-12-05T22:00:00Z"));
}

#[test]
fn what_is_never_open_and_what_nobody_knows_is_closed() {
    let always = berlin(Vec::new());
    assert!(is_open(&always, true, "2026-12-05T22:00:00Z"));
    let nowhere = Calendar { time_zone: "Europe/Atlantis".into(), ..always };
    assert_eq!(standing(&nowhere, true, at("2026-12-05T22:00:00Z")), Standing::UnknownTimeZone);
}
