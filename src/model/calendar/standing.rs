//! Whether a change may start now, by the pipeline's calendar, and when it next may.

use super::{Calendar, Day, Span, WeeklyWindow};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// How many days ahead of now, and of the end of each freeze, an opening is looked for. Weekly windows open within eight.
const AHEAD_DAYS: i64 = 9;

/// What a calendar says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A change may start.
    Open,
    /// It may not.
    Closed {
        /// The freeze that closes it; none: no window is open.
        freeze: Option<Span>,
        /// When it may next; none: not within the calendar's reach.
        opens_at: Option<Timestamp>,
    },
    /// The calendar names a time zone that this release does not know (S24).
    UnknownTimeZone,
}

/// Whether a change of an agent (`agent`) or a person may start at `at`.
pub fn standing(calendar: &Calendar, agent: bool, at: Timestamp) -> Standing {
    let Ok(zone) = TimeZone::get(&calendar.time_zone) else { return Standing::UnknownTimeZone };
    match look(calendar, agent, local(&zone, at)) {
        Look::Open => Standing::Open,
        closed => {
            let freeze = if let Look::Frozen(span) = closed { Some(span.clone()) } else { None };
            Standing::Closed { freeze, opens_at: next_opening(calendar, agent, &zone, at) }
        }
    }
}

/// True when there is a moment at or after `from` at which a change may start: a calendar that never opens is a mistake.
pub fn ever_opens(calendar: &Calendar, agent: bool, from: Timestamp) -> bool {
    match standing(calendar, agent, from) {
        Standing::Open => true,
        Standing::Closed { opens_at, .. } => opens_at.is_some(),
        Standing::UnknownTimeZone => false,
    }
}

enum Look<'a> {
    Open,
    Shut,
    Frozen(&'a Span),
}

/// What the calendar says to a reading of the local clock.
fn look(calendar: &Calendar, agent: bool, clock: DateTime) -> Look<'_> {
    let within = |span: &&Span| span.applies_to.include(agent) && span.from <= clock && clock < span.to;
    if let Some(freeze) = calendar.freezes.iter().find(within) {
        return Look::Frozen(freeze);
    }
    let mut weekly = calendar.weekly_windows.iter().filter(|w| w.applies_to.include(agent)).peekable();
    // Windows for agents alone do not close the calendar for people. The other way round they do: stricter for agents.
    let free = weekly.peek().is_none() && (!agent || calendar.weekly_windows.is_empty());
    if free || weekly.any(|w| is_within(w, clock)) || calendar.one_time_windows.iter().any(|w| within(&w)) {
        Look::Open
    } else {
        Look::Shut
    }
}

fn is_within(window: &WeeklyWindow, clock: DateTime) -> bool {
    let opened_on = |date: Option<Date>| date.is_some_and(|d| window.days.contains(&Day::from(d.weekday())));
    let (today, time) = (clock.date(), clock.time());
    let yesterday = today.checked_sub(1.day()).ok();
    match window.from < window.to {
        true => opened_on(Some(today)) && window.from <= time && time < window.to,
        // Over midnight: the hours after it are those of the day before.
        false => (opened_on(Some(today)) && window.from <= time) || (opened_on(yesterday) && time < window.to),
    }
}

/// The first moment after `at` at which the calendar is open. It opens only where a window begins, a freeze ends, or the local clock
/// jumps; those moments are tried in order.
fn next_opening(calendar: &Calendar, agent: bool, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let mut moments: Vec<Timestamp> = Vec::new();
    let spans = calendar.one_time_windows.iter().chain(&calendar.freezes);
    let mut starts: Vec<Date> = vec![local(zone, at).date()];
    for span in spans {
        moments.extend(instants(zone, span.from));
        moments.extend(instants(zone, span.to));
        starts.push(span.to.date());
    }
    for date in starts.iter().flat_map(|start| (-1..=AHEAD_DAYS).filter_map(|n| start.checked_add(n.days()).ok())) {
        for window in &calendar.weekly_windows {
            moments.extend(instants(zone, date.to_datetime(window.from)));
        }
        let midnight = zone.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok();
        moments.extend(midnight.into_iter().flat_map(|from| jumps(zone, from)));
    }
    moments.sort_unstable();
    moments.dedup();
    let opens = |moment: &Timestamp| *moment > at && matches!(look(calendar, agent, local(zone, *moment)), Look::Open);
    moments.into_iter().find(opens)
}

/// The moments at which the local clock reads this time: one, two where an hour is repeated, and where it is skipped, the moment of
/// the jump.
fn instants(zone: &TimeZone, clock: DateTime) -> Vec<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(clock);
    let mut moments: Vec<Timestamp> =
        [ambiguous.earlier(), ambiguous.later()].into_iter().filter_map(Result::ok).collect();
    moments.dedup();
    moments
}

/// The jumps of the local clock within the day after `from`.
fn jumps(zone: &TimeZone, from: Timestamp) -> Vec<Timestamp> {
    let day = from.checked_add(jiff::SignedDuration::from_hours(26)).unwrap_or(Timestamp::MAX);
    zone.following(from).map(|transition| transition.timestamp()).take_while(|at| *at <= day).take(2).collect()
}

fn local(zone: &TimeZone, at: Timestamp) -> DateTime {
    zone.to_datetime(at)
}
