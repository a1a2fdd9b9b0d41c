//! Calendars and windows that never open.
//!
//! There is no clock here, and the same file is sound today and tomorrow: a window that is over is not found fault with. What counts is
//! whether there is any time at which it lets something through.

use super::{items, place};
use crate::model::calendar::standing::ever_opens;
use crate::model::calendar::{Calendar, Span};
use crate::model::document::Node;
use crate::model::document::fields::Faults;
use crate::model::pipeline::build::Built;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Notes every fault.
pub fn check(built: &Built<'_>, faults: &Faults) {
    let Some(calendar) = built.pipeline.safeguards.guardrails.calendar.as_ref().map(|guardrail| &guardrail.rule) else {
        return;
    };
    let at = |key: &str| place(built.root, &["guardrails", "calendar", key]);
    let nodes = |key: &str| items(built.root, &["guardrails", "calendar", key]);
    if calendar.weekly_windows.is_empty() && !calendar.one_time_windows.is_empty() {
        let message = "without `weekly_windows` the calendar is always open, and these windows open nothing";
        faults.at(&at("one_time_windows"), message, "add the `weekly_windows` outside of which they open");
    }
    for (window, node) in calendar.one_time_windows.iter().zip(nodes("one_time_windows")) {
        if frozen(window, &calendar.freezes) {
            let place = node.entry("from").map_or(node, |(_, from)| from);
            let message = "this window never opens: freezes cover all of it";
            faults.at(place, message, "move it, or end the freeze before it; a freeze closes whatever is open");
        }
    }
    if !lets_agents_in(calendar) {
        let message = "no window ever opens for agents: one for people alone closes the calendar for them";
        let fix =
            "add a window that `applies_to: agents` or `everyone`; what agents shall never do is said in `autonomy`";
        faults.at(&at("weekly_windows"), message, fix);
        return;
    }
    check_endless(calendar, nodes("freezes"), faults);
}

/// True when there is something that opens for agents, freezes aside.
fn lets_agents_in(calendar: &Calendar) -> bool {
    let weekly = calendar.weekly_windows.iter().any(|window| window.applies_to.include(true));
    let once = calendar.one_time_windows.iter().any(|window| window.applies_to.include(true));
    calendar.weekly_windows.is_empty() || weekly || once
}

/// True when freezes cover a window for everybody whom it is for.
fn frozen(window: &Span, freezes: &[Span]) -> bool {
    let mut whose = [true, false].into_iter().filter(|agent| window.applies_to.include(*agent));
    whose.all(|agent| {
        let mut freezes: Vec<&Span> = freezes.iter().filter(|freeze| freeze.applies_to.include(agent)).collect();
        freezes.sort_by_key(|freeze| freeze.from);
        let covered = freezes.iter().fold(window.from, |until, freeze| match freeze.from <= until {
            true => until.max(freeze.to),
            false => until,
        });
        covered >= window.to
    })
}

/// A freeze after whose beginning nothing ever opens again. Weekly windows, or none at all, open after every other one.
fn check_endless(calendar: &Calendar, nodes: &[Node], faults: &Faults) {
    let Ok(zone) = TimeZone::get(&calendar.time_zone) else { return };
    let weekly = |agent: bool| {
        calendar.weekly_windows.is_empty()
            || !agent
            || calendar.weekly_windows.iter().any(|window| window.applies_to.include(agent))
    };
    for (freeze, node) in calendar.freezes.iter().zip(nodes) {
        let from = zone.to_timestamp(freeze.from).unwrap_or(Timestamp::MAX);
        let mut whose = [true, false].into_iter().filter(|agent| freeze.applies_to.include(*agent) && weekly(*agent));
        if whose.any(|agent| !ever_opens(calendar, agent, from)) {
            let place = node.entry("to").map_or(node, |(_, to)| to);
            let message = "no window ever opens again once this freeze has begun";
            faults.at(
                place,
                message,
                "give it an end; to stop everything until further notice there is `wavegate kill`",
            );
        }
    }
}
