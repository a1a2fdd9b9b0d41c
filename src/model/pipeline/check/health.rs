//! How the parts of the health section fit together, and into the fleet.

use super::super::build::Built;
use super::super::{Metric, MetricSource, RatioPart, StatTemplate};
use super::{at_key, first_key, node_has};
use crate::model::document::fields::Faults;
use crate::model::document::{Node, Value};
use crate::model::ids::CellId;
use crate::model::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// Notes every fault of the health section as a whole.
pub fn check(built: &Built<'_>, faults: &Faults) {
    let health = &built.pipeline.health;
    let Some(section) = built.health else { return };
    if built.health_whole && built.metrics.is_empty() && built.alarms.is_empty() {
        faults.at(
            &first_key(section),
            "a gate without metrics and alarms can never say no",
            "give it at least one metric or alarm that can be read",
        );
    }
    if health.interval == Millis(0) {
        faults.at(&at_key(section, "interval"), "`interval` is 0", "write `interval: 30s`");
    }
    let mut names = BTreeSet::new();
    for (metric, node) in health.metrics.iter().zip(&built.metrics) {
        if !names.insert(&metric.name) {
            faults.at(
                &at_key(node, "name"),
                format!("there are two metrics `{}`", metric.name),
                "give each metric a name of its own",
            );
        }
        if metric.datapoints_to_alarm > metric.evaluation_periods {
            let message =
                format!("{} bad points of {} can never be", metric.datapoints_to_alarm, metric.evaluation_periods);
            let fix = "make `datapoints_to_alarm` (default 3) at most `evaluation_periods` (default 5)";
            let key = if node_has(node, "datapoints_to_alarm") { "datapoints_to_alarm" } else { "evaluation_periods" };
            faults.at(&at_key(node, key), message, fix);
        }
        check_placeholders(built, node, &templates(metric), faults);
    }
    let compared = health.metrics.iter().any(|metric| metric.compare.is_some());
    if built.health_whole && health.compare.is_some() && !compared {
        let fix = "give a metric `compare: higher_is_worse`, or remove the section";
        faults.at(&at_key(section, "compare"), "no metric is compared", fix);
    }
    check_prometheus(built, section, faults);
    let mut alarms = BTreeSet::new();
    for (alarm, node) in health.alarms.iter().zip(&built.alarms) {
        if !alarms.insert(&alarm.name) {
            faults.at(&at_key(node, "name"), format!("the alarm `{}` stands twice", alarm.name), "keep one of them");
        }
        check_placeholders(built, node, &[Template { text: &alarm.name, promql: false }], faults);
    }
}

/// A text with placeholders, and how it is filled.
struct Template<'a> {
    text: &'a str,
    promql: bool,
}

fn templates(metric: &Metric) -> Vec<Template<'_>> {
    match &metric.source {
        MetricSource::Metric(stat) => dimensions(stat),
        MetricSource::Expression { inputs, .. } => inputs.values().flat_map(dimensions).collect(),
        MetricSource::Ratio { bad, total, .. } => [bad, total]
            .into_iter()
            .flat_map(|part| match part {
                RatioPart::Metric(stat) => dimensions(stat),
                RatioPart::Prometheus(query) => vec![Template { text: query, promql: true }],
            })
            .collect(),
        MetricSource::Prometheus(query) => vec![Template { text: query, promql: true }],
    }
}

fn dimensions(stat: &StatTemplate) -> Vec<Template<'_>> {
    stat.dimensions.values().map(|text| Template { text, promql: false }).collect()
}

/// `prometheus` queries have a server, and a server has queries.
fn check_prometheus(built: &Built<'_>, section: &Node, faults: &Faults) {
    let health = &built.pipeline.health;
    let asked = |metric: &Metric| templates(metric).iter().any(|template| template.promql);
    let first = health.metrics.iter().zip(&built.metrics).find(|(metric, _)| asked(metric));
    match (first, &health.prometheus) {
        (Some((metric, node)), None) if !node_has(section, "prometheus") => {
            let message = format!("metric `{}` asks Prometheus, and `health` names no server", metric.name);
            let fix = "add `prometheus: http://127.0.0.1:9090` to `health`, with your server's address";
            faults.at(&at_key(node, "name"), message, fix);
        }
        (None, Some(_)) if built.health_whole => {
            let fix = "remove it, or give a metric a `prometheus` query";
            faults.at(&at_key(section, "prometheus"), "no metric asks this server", fix);
        }
        (_, Some(server)) => {
            check_placeholders(built, section, &[Template { text: server, promql: false }], faults);
        }
        _ => {}
    }
}

/// Every placeholder has a value in every cell. One fault for a placeholder, with the first cell that lacks it and how many do.
fn check_placeholders(built: &Built<'_>, node: &Node, templates: &[Template<'_>], faults: &Faults) {
    let mut missing: BTreeMap<String, (&CellId, BTreeSet<&CellId>, &str)> = BTreeMap::new();
    for Template { text, promql } in templates {
        for cell in &built.pipeline.cells {
            let filled = if *promql { cell.fill_promql(text) } else { cell.fill(text) };
            if let Err(placeholder) = filled {
                missing.entry(placeholder).or_insert_with(|| (&cell.name, BTreeSet::new(), text)).1.insert(&cell.name);
            }
        }
    }
    for (placeholder, (cell, cells, template)) in missing {
        let place = holding(node, template).map_or_else(|| first_key(node), Node::clone);
        let more = if cells.len() > 1 { format!(" and {} more", cells.len() - 1) } else { String::new() };
        if template.matches('{').count() > template.matches('}').count() {
            faults.at(&place, "a placeholder that is not closed", "close it with `}`");
            continue;
        }
        let fix = match placeholder.strip_prefix("cell.") {
            Some(key) => format!("give the cell `attributes: {{{key}: …}}`"),
            None => "use `{cell}`, `{account}`, `{region}`, `{environment}` or `{cell.KEY}`".to_owned(),
        };
        faults.at(&place, format!("no value for `{{{placeholder}}}` in cell `{cell}`{more}"), fix);
    }
}

/// The node of a text.
fn holding<'a>(node: &'a Node, text: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Text(found, _) if found == text => Some(node),
        Value::List(items) => items.iter().find_map(|item| holding(item, text)),
        Value::Map(entries) => entries.iter().find_map(|(_, value)| holding(value, text)),
        _ => None,
    }
}
