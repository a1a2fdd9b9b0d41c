//! Document → [`Safeguards`]: autonomy, approvals, guardrails and policies, each value with the line that set it.

mod approvals;
mod autonomy;
mod blast_radius;
mod calendar;
mod limits;
mod policies;

use crate::model::class::Autonomy;
use crate::model::document::fields::{Faults, text};
use crate::model::document::{Fields, Node, Value};
use crate::model::pipeline::beside::Beside;
use crate::model::safeguards::{Guardrail, Guardrails, Safeguards, Set};

/// The safeguards, and which parts of them are sound: nothing is concluded from what has a fault of its own.
#[derive(Debug)]
pub struct BuiltSafeguards {
    /// The values; of guardrails only the sound ones.
    pub safeguards: Safeguards,
    /// The table is sound, or not there.
    pub autonomy_whole: bool,
    /// Who approves is sound, or not there.
    pub approvals_whole: bool,
    /// Every part is sound, or not there.
    pub whole: bool,
}

/// The sections of a pipeline that this reads.
pub const SECTIONS: [&str; 4] = ["autonomy", "approvals", "guardrails", "policies"];

/// Takes the safeguards out of a pipeline's root.
pub fn safeguards(root: &Fields<'_>, beside: &Beside<'_>) -> BuiltSafeguards {
    let faults = root.faults();
    let before = faults.count();
    let autonomy = root.get("autonomy").map(|node| faults.sound(|| autonomy::autonomy(node, beside, faults)));
    let approvals = root.get("approvals").map(|node| faults.sound(|| approvals::approvals(node, beside, faults)));
    let guardrails = root.get("guardrails").and_then(|node| guardrails(node, beside, faults)).unwrap_or_default();
    let policies = policies::policies(root, beside);
    BuiltSafeguards {
        autonomy_whole: !matches!(autonomy, Some(None)),
        approvals_whole: !matches!(approvals, Some(None)),
        whole: faults.count() == before,
        safeguards: Safeguards {
            file: beside.file.to_owned(),
            autonomy: autonomy.flatten().unwrap_or_default(),
            approvals: approvals.flatten().unwrap_or_default(),
            guardrails,
            policies,
        },
    }
}

fn guardrails(node: &Node, beside: &Beside<'_>, faults: &Faults) -> Option<Guardrails> {
    const KEYS: [&str; 8] =
        ["blast_radius", "calendar", "rate", "cost", "dependents", "drift", "environment_order", "kill_drill"];
    let fields = Fields::of(node, &KEYS, faults)?;
    Some(Guardrails {
        blast_radius: guardrail(&fields, "blast_radius", &blast_radius::KEYS, beside, blast_radius::blast_radius),
        calendar: guardrail(&fields, "calendar", &calendar::KEYS, beside, calendar::calendar),
        rate: guardrail(&fields, "rate", &["per", "agent", "pipeline", "fleet"], beside, limits::rate),
        cost: guardrail(&fields, "cost", &["price_book", "max_monthly_increase", "over"], beside, limits::cost),
        dependents: guardrail(&fields, "dependents", &["imported"], beside, limits::dependents),
        drift: guardrail(&fields, "drift", &["drifted", "unknown", "max_age"], beside, limits::drift),
        environment_order: guardrail(&fields, "environment_order", &["order", "sign_off"], beside, limits::order),
        kill_drill: guardrail(&fields, "kill_drill", &["max_age"], beside, limits::kill_drill),
    })
}

/// One guardrail, where it is there and sound.
fn guardrail<T>(
    section: &Fields<'_>,
    key: &str,
    keys: &[&str],
    beside: &Beside<'_>,
    read: fn(&Fields<'_>, &Beside<'_>) -> Option<T>,
) -> Option<Guardrail<T>> {
    let node = section.get(key)?;
    let known: Vec<&str> = keys.iter().copied().chain(["dry_run"]).collect();
    section.faults().sound(|| {
        let fields = Fields::of(node, &known, section.faults())?;
        let line = beside.set(section, key, ()).line;
        let dry_run = fields.flag("dry_run");
        Some(Guardrail { rule: read(&fields, beside)?, dry_run, line })
    })
}

/// What people must say. The strictest that still goes on stands first: it is what a fix proposes.
const LEVELS: [(&str, Autonomy); 4] = [
    ("one_approval", Autonomy::OneApproval),
    ("two_approvals", Autonomy::TwoApprovals),
    ("forbidden", Autonomy::Forbidden),
    ("autonomous", Autonomy::Autonomous),
];

fn level(fields: &Fields<'_>, key: &str, beside: &Beside<'_>) -> Option<Set<Autonomy>> {
    fields.word(key, &LEVELS).map(|level| beside.set(fields, key, level))
}

/// An upper limit. One of 0 lets nothing through, and one below says nothing at all.
fn limit(fields: &Fields<'_>, key: &str, beside: &Beside<'_>) -> Option<Set<u32>> {
    const MOST: u32 = 1_000_000;
    let node = fields.get(key)?;
    let fault = |message: String, fix: String| {
        fields.faults().at(node, message, fix);
        None
    };
    match node.value {
        Value::Int(0) => {
            let fix = format!("write `{key}: 1` or more; what shall never happen is `forbidden` in `autonomy`");
            fault(format!("`{key}: 0` lets nothing through"), fix)
        }
        Value::Int(n @ ..0) => {
            fault(format!("`{key}` is a limit, and {n} is negative"), format!("write `{key}: 1` or more"))
        }
        Value::Int(n) if n <= i64::from(MOST) => u32::try_from(n).ok().map(|n| beside.set(fields, key, n)),
        _ => fault(format!("`{key}` must be a whole number from 1 to {MOST}"), format!("write `{key}: 1`")),
    }
}

/// A duration that is longer than nothing.
fn lasting(fields: &Fields<'_>, key: &str) -> Option<crate::model::time::Millis> {
    let span = fields.duration(key)?;
    if let (0, Some(node)) = (span.0, fields.get(key)) {
        fields.faults().at(node, format!("`{key}` is 0"), format!("write `{key}: 1h`, as long as it is to count"));
        return None;
    }
    Some(span)
}

/// Names of people, parties and groups: bounded, in one line, without what a terminal would obey (S21).
fn plain_name(node: &Node, what: &str, faults: &Faults) -> Option<String> {
    const MOST: usize = 100;
    let name = text(node, faults)?;
    let hidden = |c: char| crate::model::document::diagnostic::is_hidden(c) || c.is_control();
    if name.trim() != name || name.chars().count() > MOST || name.chars().any(hidden) {
        let fix = format!("use one line of at most {MOST} characters, without spaces around it");
        faults.at(node, format!("this is no name of {what}"), fix);
        return None;
    }
    Some(name)
}
