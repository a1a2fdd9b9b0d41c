//! When changes may start.

use crate::model::calendar::{Calendar, Day, Proposers, Span, WeeklyWindow};
use crate::model::document::fields::{Faults, known_or, text};
use crate::model::document::{Fields, Node};
use crate::model::pipeline::beside::Beside;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// What it may say.
pub const KEYS: [&str; 4] = ["time_zone", "weekly_windows", "one_time_windows", "freezes"];

/// The guardrail.
pub fn calendar(fields: &Fields<'_>, _: &Beside<'_>) -> Option<Calendar> {
    let faults = fields.faults();
    let time_zone = fields.need("time_zone", "Europe/Berlin").and_then(|node| time_zone(node, faults));
    if ["weekly_windows", "one_time_windows", "freezes"].iter().all(|key| !fields.has(key)) {
        fields.fault("this calendar is always open", "add `weekly_windows` or `freezes`, or remove the guardrail");
    }
    let spans = |key: &str| fields.list(key).iter().filter_map(|node| span(node, faults)).collect();
    let weekly_windows = fields.list("weekly_windows").iter().filter_map(|node| window(node, faults)).collect();
    let (one_time_windows, freezes) = (spans("one_time_windows"), spans("freezes"));
    Some(Calendar { time_zone: time_zone?, weekly_windows, one_time_windows, freezes })
}

/// A name of the time zone database that comes with this release.
fn time_zone(node: &Node, faults: &Faults) -> Option<String> {
    let name = text(node, faults)?;
    if TimeZone::get(&name).is_ok() {
        return Some(name);
    }
    let all: Vec<String> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    // People often leave the continent out.
    let city = |zone: &&&str| zone.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&name));
    let fix = match all.iter().find(city) {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => known_or(&name, &all, "use a name of the IANA database, as `Europe/Berlin` or `UTC`"),
    };
    faults.at(node, format!("there is no time zone `{name}`"), fix);
    None
}

const PROPOSERS: [(&str, Proposers); 3] =
    [("everyone", Proposers::Everyone), ("agents", Proposers::Agents), ("people", Proposers::People)];

fn window(node: &Node, faults: &Faults) -> Option<WeeklyWindow> {
    let fields = Fields::of(node, &["days", "from", "to", "applies_to"], faults)?;
    let days = fields.need_list("days", "[mon, tue, wed, thu]");
    let days: BTreeSet<Day> = days.iter().filter_map(|node| day(node, faults)).collect();
    let from = fields.need("from", "\"09:00\"").and_then(|node| time(node, faults));
    let to = fields.need("to", "\"16:00\"").and_then(|node| time(node, faults));
    let applies_to = fields.word("applies_to", &PROPOSERS).unwrap_or_default();
    // A window without sound days is unsound; each of its days has been told.
    Some(WeeklyWindow { days, from: from?, to: to?, applies_to }).filter(|window| !window.days.is_empty())
}

fn day(node: &Node, faults: &Faults) -> Option<Day> {
    let name = text(node, faults)?;
    let found = Day::WEEK.iter().find(|(word, _)| *word == name).map(|(_, day)| *day);
    if found.is_none() {
        // `Monday`, `MON`: the first three letters tell.
        let short = name.to_lowercase().chars().take(3).collect::<String>();
        let known = Day::WEEK.map(|(word, _)| word);
        let fix = match known.contains(&short.as_str()) {
            true => format!("write `{short}`"),
            false => format!("use {}", known.join(", ")),
        };
        faults.at(node, format!("`{name}` is no day of the week"), fix);
    }
    found
}

/// A time of day. Seconds would be read by people as precision that a rollout does not have.
fn time(node: &Node, faults: &Faults) -> Option<Time> {
    let words = text(node, faults)?;
    let found = Some(words.as_str()).filter(|words| has_form(words, "00:00")).and_then(|words| words.parse().ok());
    if found.is_none() {
        let fix = match words.as_str() {
            "24:00" => "write \"00:00\": it is midnight at the end of the day",
            _ => "write it as \"09:00\", from \"00:00\" to \"23:59\"",
        };
        faults.at(node, format!("`{words}` is no time of day"), fix);
    }
    found
}

fn span(node: &Node, faults: &Faults) -> Option<Span> {
    let fields = Fields::of(node, &["from", "to", "reason", "applies_to"], faults)?;
    let from = fields.need("from", "\"2026-12-21T00:00\"").and_then(|node| date_time(node, faults));
    let to = fields.need("to", "\"2027-01-04T00:00\"").and_then(|node| date_time(node, faults));
    let reason = fields.need("reason", "…").and_then(|node| super::plain_name(node, "a reason", faults));
    let applies_to = fields.word("applies_to", &PROPOSERS).unwrap_or_default();
    if let (Some(from), Some(to), Some(node)) = (from, to, fields.get("to"))
        && to <= from
    {
        let message = if to == from { "it ends when it begins" } else { "it ends before it begins" };
        faults.at(node, message, "make `to` the later one: it is when the time is over");
        return None;
    }
    Some(Span { from: from?, to: to?, reason: reason?, applies_to })
}

/// A local time. The parser would take an offset as well, and leave it out of account: it is refused.
fn date_time(node: &Node, faults: &Faults) -> Option<DateTime> {
    let words = text(node, faults)?;
    let fits = Some(words.as_str()).filter(|words| has_form(words, "0000-00-00T00:00"));
    let found = fits.and_then(|words| words.parse().ok());
    if found.is_none() {
        let fix = "write it as \"2026-12-21T09:00\", by the clocks of the calendar's `time_zone`";
        faults.at(node, format!("`{words}` is no local time"), fix);
    }
    found
}

/// True when a text has digits where the form has zeros, and the form's characters elsewhere.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(c, f)| if f == b'0' { c.is_ascii_digit() } else { c == f })
}
