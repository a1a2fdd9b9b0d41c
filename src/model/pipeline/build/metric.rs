//! One metric of the health section: where its values come from, their period and their threshold.

use super::super::{Comparison, Metric, MetricSource, MissingData, StatTemplate, Threshold};
use super::named;
use crate::model::document::fields::{Faults, known_or};
use crate::model::document::{Fields, Node, Value};
use std::collections::BTreeMap;

/// One metric of the health section.
pub fn metric(node: &Node, faults: &Faults) -> Option<Metric> {
    const KEYS: [&str; 14] = [
        "name",
        "namespace",
        "metric",
        "dimensions",
        "statistic",
        "unit",
        "expression",
        "inputs",
        "period",
        "fail_when",
        "datapoints_to_alarm",
        "evaluation_periods",
        "missing_data",
        "min_samples",
    ];
    let fields = Fields::of(node, &KEYS, faults)?;
    let name = fields
        .need_text("name", "errors")
        .filter(|_| named(&fields, "name", is_metric_name, "letters, digits, `-` and `_`"));
    let source = metric_source(&fields);
    let period_s = fields.need("period", "60s").and_then(|node| period(&fields, node));
    let fail_when = fields.need_text("fail_when", "\"> 5\"").and_then(|text| threshold(&fields, &text));
    let datapoints_to_alarm = fields.whole("datapoints_to_alarm", 1..=1440).unwrap_or(3);
    let evaluation_periods = fields.whole("evaluation_periods", 1..=1440).unwrap_or(5);
    let missing_data = [("hold", MissingData::Hold), ("fail", MissingData::Fail), ("ignore", MissingData::Ignore)];
    let missing_data = fields.word("missing_data", &missing_data).unwrap_or_default();
    let min_samples = fields.whole("min_samples", 0..=1_000_000_000).unwrap_or(0);
    Some(Metric {
        name: name?,
        source: source?,
        period_s: period_s?,
        fail_when: fail_when?,
        datapoints_to_alarm,
        evaluation_periods,
        missing_data,
        min_samples,
    })
}

fn is_metric_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn metric_source(fields: &Fields<'_>) -> Option<MetricSource> {
    match (fields.get("expression"), fields.get("metric")) {
        (Some(_), Some(metric)) => {
            fields.faults().at(
                metric,
                "`expression` and `metric` at once",
                "keep `metric` for one series, or `expression` with `inputs`",
            );
            None
        }
        (Some(_), None) => {
            let inert = ["namespace", "dimensions", "statistic", "unit"];
            refuse_inert(
                fields,
                &inert,
                "says nothing beside `expression`",
                "move it into an entry of `inputs`, or remove it",
            );
            expression(fields)
        }
        (None, _) => {
            refuse_inert(
                fields,
                &["inputs"],
                "says nothing without `expression`",
                "add `expression: …` over them, or remove it",
            );
            stat(fields).map(MetricSource::Metric)
        }
    }
}

/// A key that nothing would read is refused: whoever wrote it believes that it counts.
fn refuse_inert(fields: &Fields<'_>, keys: &[&str], words: &str, fix: &str) {
    for (key, node) in keys.iter().filter_map(|key| Some((key, fields.get(key)?))) {
        fields.faults().at(node, format!("`{key}` {words}"), fix);
    }
}

fn stat(fields: &Fields<'_>) -> Option<StatTemplate> {
    let namespace = fields.need_text("namespace", "AWS/ApplicationELB");
    let name = fields.need_text("metric", "HTTPCode_Target_5XX_Count");
    let statistic = fields.need_text("statistic", "Sum").filter(|_| {
        named(
            fields,
            "statistic",
            is_statistic,
            "`Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, or a percentile as `p99`",
        )
    });
    let dimensions = fields.texts("dimensions").into_iter().map(|(_, key, _, value)| (key, value)).collect();
    let unit = fields.text("unit");
    Some(StatTemplate { namespace: namespace?, name: name?, dimensions, statistic: statistic?, unit })
}

/// CloudWatch User Guide, "CloudWatch statistics definitions".
fn is_statistic(text: &str) -> bool {
    let bare = |prefix: &str| {
        text.strip_prefix(prefix).and_then(|n| n.parse::<f64>().ok()).is_some_and(|n| (0.0..=100.0).contains(&n))
    };
    let ranged = |prefix: &str| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('(') && rest.ends_with(')') && rest.contains(':'))
    };
    matches!(text, "Sum" | "Average" | "Minimum" | "Maximum" | "SampleCount" | "IQM")
        || ["p", "tm", "tc", "ts", "wm"].into_iter().any(bare)
        || ["TM", "TC", "TS", "WM", "PR"].into_iter().any(ranged)
}

fn expression(fields: &Fields<'_>) -> Option<MetricSource> {
    let expression = fields.text("expression")?;
    let inputs_node = fields.need("inputs", "{errors: {…}}")?;
    let Value::Map(entries) = &inputs_node.value else {
        fields.faults().at(
            inputs_node,
            "`inputs` must be a mapping of names to metrics",
            "write `inputs:` and entries as `errors: {namespace: …}`",
        );
        return None;
    };
    if entries.is_empty() {
        fields.faults().at(
            inputs_node,
            "`inputs` is empty",
            "give the expression the metrics that it is over, as `errors: {namespace: …}`",
        );
    }
    let before = fields.faults().count();
    undeclared_inputs(fields, &expression, entries);
    let all_declared = fields.faults().count() == before;
    let mut inputs = BTreeMap::new();
    for (key, node) in entries {
        let Value::Text(id, _) = &key.value else { continue };
        if !is_math_id(id) {
            fields.faults().at(
                key,
                format!("`{id}` is no name for an input"),
                "begin with a lower-case letter; letters, digits and `_` may follow",
            );
        } else if all_declared && !mentions(&expression, id) {
            fields.faults().at(key, format!("the expression does not use `{id}`"), "use it, or remove it");
        }
        let input = Fields::of(node, &["namespace", "metric", "dimensions", "statistic", "unit"], fields.faults())
            .and_then(|f| stat(&f));
        if let Some(input) = input {
            inputs.insert(id.clone(), input);
        }
    }
    Some(MetricSource::Expression { expression, inputs })
}

/// Names that the expression uses and nobody declares: CloudWatch would refuse the query in the middle of a bake. Functions and
/// keywords are in capitals; what stands in quotes is no name.
fn undeclared_inputs(fields: &Fields<'_>, expression: &str, entries: &[(Node, Node)]) {
    let Some(node) = fields.get("expression") else { return };
    let declared = |word: &str| entries.iter().any(|(key, _)| matches!(&key.value, Value::Text(id, _) if id == word));
    let outside_quotes = expression.split(['\'', '"']).step_by(2);
    let mut words: Vec<&str> =
        outside_quotes.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).collect();
    words.sort_unstable();
    words.dedup();
    for word in words.into_iter().filter(|word| is_math_id(word) && !declared(word)) {
        let known: Vec<&str> = entries
            .iter()
            .filter_map(|(key, _)| if let Value::Text(id, _) = &key.value { Some(id.as_str()) } else { None })
            .collect();
        let fix = known_or(word, &known, &format!("add `{word}` to `inputs`"));
        fields.faults().at(node, format!("the expression uses `{word}`, which is no input"), fix);
    }
}

/// CloudWatch, `MetricDataQuery.Id`: a lower-case letter, then letters, digits and `_`.
fn is_math_id(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn mentions(expression: &str, id: &str) -> bool {
    expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == id)
}

/// CloudWatch, `MetricStat.Period`: 1, 5, 10, 20, 30 or any multiple of 60 seconds; less than 60 for custom metrics that were stored
/// with one-second resolution.
fn period(fields: &Fields<'_>, node: &Node) -> Option<u32> {
    let span = fields.duration("period")?;
    let seconds = if span.0 % 1000 == 0 { u32::try_from(span.0 / 1000).unwrap_or(0) } else { 0 };
    if matches!(seconds, 1 | 5 | 10 | 20 | 30) || (seconds > 0 && seconds <= 86_400 && seconds % 60 == 0) {
        return Some(seconds);
    }
    fields.faults().at(node, "CloudWatch has no such period", "use 1s, 5s, 10s, 20s, 30s or whole minutes up to a day");
    None
}

fn threshold(fields: &Fields<'_>, text: &str) -> Option<Threshold> {
    let text = text.trim();
    let operators =
        [(">=", Comparison::AtLeast), ("<=", Comparison::AtMost), (">", Comparison::Above), ("<", Comparison::Below)];
    let found = operators.into_iter().find_map(|(word, op)| Some((op, text.strip_prefix(word)?)));
    // "inf" and "NaN" are numbers to the parser, and thresholds that nothing or everything passes.
    let threshold = found.and_then(|(op, rest)| {
        let value = rest.trim().parse::<f64>().ok().filter(|v| v.is_finite())?;
        Some(Threshold { op, value })
    });
    if let (None, Some(node)) = (threshold, fields.get("fail_when")) {
        fields.faults().at(
            node,
            format!("`{text}` is no threshold"),
            "write one of `>`, `>=`, `<`, `<=` and a number, as \"> 5\"",
        );
    }
    threshold
}
