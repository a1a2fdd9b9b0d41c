//! Where a metric's values come from: one CloudWatch metric, metric math, a ratio of two counts, or PromQL.

use super::super::{MetricSource, RatioPart, StatTemplate};
use super::named;
use crate::model::document::fields::known_or;
use crate::model::document::{Fields, Node, Value};
use std::collections::BTreeMap;

/// The keys of one CloudWatch metric.
const STAT: [&str; 4] = ["namespace", "dimensions", "statistic", "unit"];

/// The source of a metric; none where its fields do not say one.
pub fn source(fields: &Fields<'_>) -> Option<MetricSource> {
    let kinds = ["expression", "ratio", "prometheus", "metric"];
    let mut given = kinds.into_iter().filter_map(|key| Some((key, fields.get(key)?)));
    let kind = match (given.next(), given.next()) {
        (Some((first, _)), Some((second, node))) => {
            let fix =
                "keep one: `metric` for one series, `expression` with `inputs`, `ratio` of two counts, or `prometheus`";
            fields.faults().at(node, format!("`{first}` and `{second}` at once"), fix);
            return None;
        }
        (Some((kind, _)), None) => kind,
        (None, _) => "metric",
    };
    match kind {
        "metric" => {}
        "expression" => {
            refuse_inert(
                fields,
                &STAT,
                "says nothing beside `expression`",
                "move it into an entry of `inputs`, or remove it",
            );
        }
        "ratio" => {
            refuse_inert(
                fields,
                &STAT,
                "says nothing beside `ratio`",
                "move it into its `bad` and `total`, or remove it",
            );
        }
        _ => refuse_inert(fields, &STAT, "says nothing beside `prometheus`", "say it in the query, or remove it"),
    }
    if kind != "expression" {
        refuse_inert(
            fields,
            &["inputs"],
            "says nothing without `expression`",
            "add `expression: …` over them, or remove it",
        );
    }
    match kind {
        "expression" => expression(fields),
        "ratio" => ratio(fields),
        "prometheus" => fields.text("prometheus").map(MetricSource::Prometheus),
        _ => stat(fields).map(MetricSource::Metric),
    }
}

/// `bad` of `total`: both are counts, so that they can be added over cells, and so that it is known how much a ratio rests on.
fn ratio(fields: &Fields<'_>) -> Option<MetricSource> {
    let node = fields.get("ratio")?;
    let ratio = Fields::of(node, &["bad", "total", "percent", "absent_bad"], fields.faults())?;
    let example = "{namespace: …, metric: …, statistic: Sum}";
    let bad = ratio.need("bad", example).and_then(|node| part(node, &ratio));
    let total = ratio.need("total", example).and_then(|node| part(node, &ratio));
    let scale = if ratio.flag("percent") { 100.0 } else { 1.0 };
    let absent_bad_is_zero = ratio.word("absent_bad", &[("missing", false), ("zero", true)]).unwrap_or(false);
    Some(MetricSource::Ratio { bad: bad?, total: total?, scale, absent_bad_is_zero })
}

fn part(node: &Node, ratio: &Fields<'_>) -> Option<RatioPart> {
    let faults = ratio.faults();
    let fields = Fields::of(node, &["namespace", "metric", "dimensions", "statistic", "unit", "prometheus"], faults)?;
    if fields.get("prometheus").is_some() {
        let inert = ["namespace", "metric", "dimensions", "statistic", "unit"];
        refuse_inert(&fields, &inert, "says nothing beside `prometheus`", "say it in the query, or remove it");
        return fields.text("prometheus").map(RatioPart::Prometheus);
    }
    let stat = stat(&fields)?;
    if !is_count(&stat.statistic) {
        if let Some(node) = fields.get("statistic") {
            let message = format!("`{}` is no count, and a ratio divides counts", stat.statistic);
            faults.at(
                node,
                message,
                "use `Sum` of a metric that counts, `SampleCount`, or a trimmed count as `TC(0.5:)`",
            );
        }
        return None;
    }
    Some(RatioPart::Metric(stat))
}

/// Statistics that say how many. A trimmed count between values, as `TC(0.5:)`, is how many took longer than half a second.
fn is_count(statistic: &str) -> bool {
    matches!(statistic, "Sum" | "SampleCount") || statistic.starts_with("TC(") || statistic.starts_with("tc")
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
