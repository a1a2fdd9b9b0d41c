//! What the calendar asks.

use crate::fixture::*;
use wavegate::engine::guardrail::windows;
use wavegate::model::calendar::{Calendar, Proposers, Span};
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Consequence, Reason};
use wavegate::model::safeguards::{Guardrails, Safeguards};

fn frozen(time_zone: &str, applies_to: Proposers) -> Safeguards {
    let (from, to) = ("2027-01-15T00:00".parse().unwrap(), "2027-01-16T00:00".parse().unwrap());
    let freeze = Span { from, to, reason: "sale".into(), applies_to };
    let rule = Calendar {
        time_zone: time_zone.into(),
        weekly_windows: Vec::new(),
        one_time_windows: Vec::new(),
        freezes: vec![freeze],
    };
    Safeguards {
        guardrails: Guardrails { calendar: guardrail(rule), ..Guardrails::default() },
        ..Safeguards::default()
    }
}

#[test]
fn a_freeze_waits_until_it_is_over() {
    let safeguards = frozen("UTC", Proposers::Agents);
    assert_eq!(windows::findings(&safeguards, false, NOW), []);
    let found = windows::findings(&safeguards, true, NOW);
    let end: jiff::Timestamp = "2027-01-16T00:00Z".parse().unwrap();
    let opens_at = Some(end);
    assert_eq!(found[0].what, Reason::Closed { freeze: Some("sale".into()), opens_at });
    assert_eq!(found[0].follows, Consequence::Waits { until: opens_at });
    assert_eq!(windows::findings(&safeguards, true, end), []);
    assert_eq!(found[0].cause.as_ref().unwrap().line, 5);
}

#[test]
fn a_time_zone_that_nobody_knows_stops_everybody_and_a_dry_run_nobody() {
    let mut safeguards = frozen("Mars/Olympus", Proposers::Everyone);
    safeguards.guardrails.calendar.as_mut().unwrap().dry_run = true;
    let found = windows::findings(&safeguards, false, NOW);
    assert_eq!(found[0].what, Reason::UnknownTimeZone { time_zone: "Mars/Olympus".into() });
    assert_eq!(found[0].follows, Consequence::Needs(Autonomy::Forbidden));
    assert!(found[0].dry_run);
    assert_eq!(windows::findings(&Safeguards::default(), true, NOW), []);
}
