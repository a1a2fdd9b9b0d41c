//! One metric of the health section: its period, its threshold, and what it asks of the data.

use super::super::{Comparison, Metric, MetricScope, MetricSource, MissingData, RatioPart, Threshold, Worse};
use super::{compare, named, source};
use crate::model::document::fields::Faults;
use crate::model::document::{Fields, Node};

/// A metric as written: whether it is compared is known when the whole section is.
pub struct Written {
    /// The metric, not compared yet.
    pub metric: Metric,
    /// Its word on comparison, where there is one; none inside: `off`.
    pub word: Option<Option<Worse>>,
}

const KEYS: [&str; 19] = [
    "name",
    "namespace",
    "metric",
    "dimensions",
    "statistic",
    "unit",
    "expression",
    "inputs",
    "ratio",
    "prometheus",
    "period",
    "fail_when",
    "datapoints_to_alarm",
    "evaluation_periods",
    "missing_data",
    "min_samples",
    "scope",
    "compare",
    "detect",
];

const MISSING_DATA: [(&str, MissingData); 6] = [
    ("hold", MissingData::Hold),
    ("breaching", MissingData::Fail),
    ("fail", MissingData::Fail),
    ("not_breaching", MissingData::NotBreaching),
    ("ignore", MissingData::Ignore),
    ("missing", MissingData::Missing),
];

/// One metric of the health section.
pub fn metric(node: &Node, faults: &Faults) -> Option<Written> {
    let fields = Fields::of(node, &KEYS, faults)?;
    let name = fields
        .need_text("name", "errors")
        .filter(|_| named(&fields, "name", is_metric_name, "letters, digits, `-` and `_`"));
    let source = source::source(&fields);
    let promql = source.as_ref().is_some_and(is_promql);
    let period_s = fields.need("period", "60s").and_then(|node| period(&fields, node, promql));
    let fail_when = fields.text("fail_when").and_then(|text| threshold(&fields, &text));
    let datapoints_to_alarm = fields.whole("datapoints_to_alarm", 1..=1440).unwrap_or(3);
    let evaluation_periods = fields.whole("evaluation_periods", 1..=1440).unwrap_or(5);
    let missing_data = fields.word("missing_data", &MISSING_DATA).unwrap_or_default();
    let min_samples = min_samples(&fields, source.as_ref());
    let scope = fields.word("scope", &[("cell", MetricScope::Cell), ("wave", MetricScope::Wave)]).unwrap_or_default();
    refuse_average(&fields, scope, source.as_ref());
    let word = compare::word(&fields);
    let detect = fields.number("detect", compare::DETECT);
    let metric = Metric {
        name: name?,
        source: source?,
        period_s: period_s?,
        fail_when,
        datapoints_to_alarm,
        evaluation_periods,
        missing_data,
        min_samples,
        scope,
        compare: None,
        detect,
    };
    Some(Written { metric, word })
}

fn is_metric_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn is_promql(source: &MetricSource) -> bool {
    let part = |part: &RatioPart| matches!(part, RatioPart::Prometheus(_));
    match source {
        MetricSource::Prometheus(_) => true,
        MetricSource::Ratio { bad, total, .. } => part(bad) && part(total),
        MetricSource::Metric(_) | MetricSource::Expression { .. } => false,
    }
}

/// What is written, or what a percentile needs.
fn min_samples(fields: &Fields<'_>, source: Option<&MetricSource>) -> u32 {
    let written = fields.whole("min_samples", 0..=1_000_000_000);
    match (written, source) {
        (Some(asked), Some(MetricSource::Prometheus(_))) if asked > 0 => {
            if let Some(node) = fields.get("min_samples") {
                let fix = "remove it, or write a `ratio`: there the total is asked";
                fields.faults().at(node, "Prometheus tells no sample counts: every point would be missing", fix);
            }
            0
        }
        (Some(asked), _) => asked,
        (None, Some(MetricSource::Metric(stat))) if !fields.has("min_samples") => percentile_needs(&stat.statistic),
        (None, _) => 0,
    }
}

/// How many samples a percentile needs: 10/(1-p) for the upper half, 10/p for the lower one; fewer are an accident (CloudWatch User Guide,
/// "Percentile-based alarms and low data samples"). 0 for what is no percentile; p0 and p100 are Minimum and Maximum.
fn percentile_needs(statistic: &str) -> u32 {
    let percent = statistic.strip_prefix('p').and_then(|p| p.parse::<f64>().ok());
    let Some(tail) = percent.map(|p| p.min(100.0 - p)).filter(|tail| *tail > 0.0) else { return 0 };
    // 100 - 99.9 is a hair below 0.1: without the allowance a sample more would be asked.
    let needed = (1000.0 / tail - 1e-6).ceil().clamp(0.0, 1e9);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let needed = needed as u32;
    needed
}

fn refuse_average(fields: &Fields<'_>, scope: MetricScope, source: Option<&MetricSource>) {
    let ratio = matches!(source, None | Some(MetricSource::Ratio { .. }));
    if let (MetricScope::Wave, false, Some(node)) = (scope, ratio, fields.get("scope")) {
        let message = "`scope: wave` adds counts up, and only a `ratio` has counts: an average of percentiles is not a percentile";
        fields.faults().at(
            node,
            message,
            "write the metric as a `ratio`, or remove `scope`: each cell is judged by itself",
        );
    }
}

/// CloudWatch, `MetricStat.Period`: 1, 5, 10, 20, 30 or any multiple of 60 seconds; less than 60 for custom metrics that were stored
/// with one-second resolution. Prometheus takes any step.
fn period(fields: &Fields<'_>, node: &Node, promql: bool) -> Option<u32> {
    let span = fields.duration("period")?;
    let seconds = if span.0 % 1000 == 0 { u32::try_from(span.0 / 1000).unwrap_or(0) } else { 0 };
    if promql {
        if (1..=86_400).contains(&seconds) {
            return Some(seconds);
        }
        fields.faults().at(node, "a period is whole seconds, at most a day", "write `period: 60s`");
        return None;
    }
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
