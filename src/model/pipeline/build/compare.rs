//! Comparison: the section `compare`, and each metric's word on it.

use super::super::{Compare, Comparison, Metric, Worse};
use super::metric::Written;
use crate::model::document::fields::Faults;
use crate::model::document::{Fields, Node};
use crate::model::time::Millis;

/// The ratios that a gate may be asked to see.
pub const DETECT: std::ops::RangeInclusive<f64> = 1.1..=100.0;
/// A chance of 0 can never be met. One in a million is less than what breaks the network between two looks.
const ALPHA: std::ops::RangeInclusive<f64> = 1e-6..=0.1;
/// Less says nothing of a cell's ordinary noise, and more of another day.
const HISTORY: std::ops::RangeInclusive<Millis> = Millis::from_secs(30 * 60)..=Millis::from_secs(24 * 3600);

/// The section `compare`.
pub fn section(node: &Node, faults: &Faults) -> Option<Compare> {
    let fields = Fields::of(node, &["alpha", "history", "margin", "detect"], faults)?;
    let default = Compare::default();
    let history = fields.duration("history").unwrap_or(default.history);
    if let (false, Some(node)) = (HISTORY.contains(&history), fields.get("history")) {
        let message = format!("`history` must be from {} to {}", HISTORY.start(), HISTORY.end());
        faults.at(node, message, "write `history: 4h`");
    }
    Some(Compare {
        alpha: fields.number("alpha", ALPHA).unwrap_or(default.alpha),
        history,
        margin: fields.percent("margin", true).map_or(default.margin, |percent| percent / 100.0),
        detect: fields.number("detect", DETECT).unwrap_or(default.detect),
    })
}

/// A metric's word; none inside: `off`.
pub fn word(fields: &Fields<'_>) -> Option<Option<Worse>> {
    let words = [
        ("higher_is_worse", Some(Worse::Higher)),
        ("lower_is_worse", Some(Worse::Lower)),
        ("either", Some(Worse::Either)),
        ("off", None),
    ];
    fields.word("compare", &words)
}

/// What follows for a metric from its word and from the section: which direction is worse, or that it is not compared. A metric that
/// would not be judged at all is refused.
pub fn resolved(written: Written, node: &Node, section: bool, faults: &Faults) -> Metric {
    let Written { metric, word } = written;
    let value = |key: &str| node.entry(key).map_or(node, |(_, value)| value);
    let compare = match (section, word) {
        (false, Some(_)) => {
            let fix = "add `compare: {}` to `health`, or remove the word";
            faults.at(value("compare"), "nothing is compared: `health` has no section `compare`", fix);
            None
        }
        (false, None) => None,
        (true, Some(word)) => word,
        (true, None) => metric.fail_when.map(|threshold| match threshold.op {
            Comparison::Above | Comparison::AtLeast => Worse::Higher,
            Comparison::Below | Comparison::AtMost => Worse::Lower,
        }),
    };
    if let (None, Some(_)) = (compare, metric.detect) {
        let message = "`detect` says nothing of a metric that is not compared";
        faults.at(value("detect"), message, "remove it, or compare the metric");
    }
    // Where the word is refused, that is the fault.
    if metric.fail_when.is_none() && compare.is_none() && (section || word.is_none()) {
        let message =
            format!("metric `{}` is never judged: it has no `fail_when`, and it is not compared", metric.name);
        let fix = match section {
            true => "add `fail_when: \"> 5\"`, or say which direction is worse: `compare: higher_is_worse`",
            false => "add `fail_when: \"> 5\"`",
        };
        faults.at(value("name"), message, fix);
    }
    Metric { compare, ..metric }
}
