//! `policy test`: asks the policies about each example, and says where the answer is another one than expected.

use super::cases::{self, Case};
use crate::cli::args::PolicyTestArgs;
use crate::cli::call::{complain, show_json};
use crate::cli::complain::is_json;
use crate::cli::draw::say;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::engine::policy::{Policies, findings};
use crate::model::class::Autonomy;
use crate::model::decision::{Consequence, Found, Reason};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// `wavegate policy test`
pub fn run(args: &PolicyTestArgs) -> Exit {
    let mut worst = Exit::Success;
    for file in &args.files {
        match test_file(file) {
            Ok(true) => {}
            Ok(false) if worst == Exit::Success => worst = Exit::Refused,
            Ok(false) => {}
            Err(exit) => worst = exit,
        }
    }
    worst
}

/// True when every example is as expected.
fn test_file(path: &Path) -> Result<bool, Exit> {
    let shown = path.display().to_string();
    let bytes = files::read_bounded(path).map_err(|error| {
        complain(&error.to_string());
        Exit::BadUsage
    })?;
    let cases = cases::read(&shown, &bytes).map_err(|faults| {
        super::report(&faults);
        Exit::BadUsage
    })?;
    let beside = path.parent().unwrap_or_else(|| Path::new(""));
    let files = cases.policies.iter().map(|name| super::load(&beside.join(name))).collect::<Result<Vec<_>, _>>()?;
    let policies = Policies::compile(&files).map_err(|faults| {
        faults.iter().for_each(super::report);
        Exit::BadUsage
    })?;
    let wrong: Vec<String> = cases.all.iter().filter_map(|case| judge(&policies, case)).collect();
    let good = cases.all.len() - wrong.len();
    if is_json() {
        let examples = cases.all.len();
        show_json(
            &json!({ "file": shown, "ok": wrong.is_empty(), "examples": examples, "as_expected": good, "wrong": wrong }),
        );
        return Ok(wrong.is_empty());
    }
    for words in &wrong {
        say::say(&format!("{shown}:{words}"));
    }
    let ok = if wrong.is_empty() { "ok " } else { "NOT" };
    say::say(&format!("{ok} {shown}  {good} of {} examples are as expected", cases.all.len()));
    Ok(wrong.is_empty())
}

/// What is not as expected, in words that begin with the example's line.
fn judge(policies: &Policies, case: &Case) -> Option<String> {
    let found = findings(policies, &case.question());
    let level = found.iter().map(|found| level(found.follows)).max().unwrap_or(Autonomy::Autonomous);
    // Only those that ask for the most are its cause.
    let causes: Vec<&Found> = found.iter().filter(|found| level == self::level(found.follows)).collect();
    let by: BTreeSet<&str> = causes.iter().map(|found| policy(found)).collect();
    let expected: Option<BTreeSet<&str>> = case.by.as_ref().map(|ids| ids.iter().map(String::as_str).collect());
    if level == case.expect && expected.as_ref().is_none_or(|expected| *expected == by) {
        return None;
    }
    let listed = |ids: &BTreeSet<&str>| ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let wanted = expected.map(|ids| format!(" by {}", listed(&ids))).unwrap_or_default();
    let places: Vec<String> = causes.iter().filter_map(|found| found.cause.as_ref()).map(place).collect();
    let said = match (by.is_empty(), places.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!(" by {}", listed(&by)),
        (false, false) => format!(" by {} ({})", listed(&by), places.join(", ")),
    };
    let words = |level: Autonomy| match level {
        Autonomy::Autonomous => "allow",
        Autonomy::Forbidden => "forbid",
        Autonomy::OneApproval | Autonomy::TwoApprovals => level.as_str(),
    };
    Some(format!(
        "{}: {}: expected `{}`{wanted}; the policies say `{}`{said}",
        case.line,
        case.name,
        words(case.expect),
        words(level)
    ))
}

fn place(cause: &crate::model::decision::Cause) -> String {
    format!("{}:{}", cause.file, cause.line)
}

fn level(follows: Consequence) -> Autonomy {
    match follows {
        Consequence::Needs(level) => level,
        Consequence::Waits { .. } => Autonomy::Forbidden,
    }
}

fn policy(found: &Found) -> &str {
    match &found.what {
        Reason::PolicyForbids { policy, .. } | Reason::PolicyFailed { policy, .. } => policy,
        _ => "permit",
    }
}
