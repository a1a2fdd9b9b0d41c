//! The health section.

use super::super::{AlarmGate, Health};
use super::{compare, metric, sound_parts};
use crate::model::document::fields::Faults;
use crate::model::document::{Fields, Node};
use crate::model::time::Millis;

/// The section with the nodes of its sound metrics and alarms.
pub type Parts<'a> = (Health, Vec<&'a Node>, Vec<&'a Node>);

/// The health section.
pub fn health<'a>(node: &'a Node, faults: &'a Faults) -> Option<Parts<'a>> {
    const KEYS: [&str; 7] = ["interval", "settle", "lag", "metrics", "alarms", "compare", "prometheus"];
    let fields = Fields::of(node, &KEYS, faults)?;
    let (written, metric_nodes, _) = sound_parts(fields.list("metrics"), faults, metric::metric);
    let (alarms, alarm_nodes, _) = sound_parts(fields.list("alarms"), faults, alarm);
    let compared = fields.get("compare").is_some();
    let metrics = written.into_iter().zip(&metric_nodes);
    let metrics = metrics.map(|(written, node)| compare::resolved(written, node, compared, faults)).collect();
    let default = none();
    let health = Health {
        interval: fields.duration("interval").unwrap_or(default.interval),
        settle: fields.duration("settle").unwrap_or(default.settle),
        lag: fields.duration("lag"),
        metrics,
        alarms,
        compare: fields.get("compare").and_then(|node| compare::section(node, faults)),
        prometheus: prometheus(&fields),
    };
    Some((health, metric_nodes, alarm_nodes))
}

/// What stands in for a section that is not there.
pub fn none() -> Health {
    Health {
        interval: Millis::from_secs(30),
        settle: Millis(0),
        lag: None,
        metrics: Vec::new(),
        alarms: Vec::new(),
        compare: None,
        prometheus: None,
    }
}

fn alarm(node: &Node, faults: &Faults) -> Option<AlarmGate> {
    let fields = Fields::of(node, &["name"], faults)?;
    Some(AlarmGate { name: fields.need_text("name", "\"orders-{cell}-5xx\"")? })
}

/// The server's address. It stands in plans and in the journal, so it holds no password.
fn prometheus(fields: &Fields<'_>) -> Option<String> {
    let node = fields.get("prometheus")?;
    let text = fields.text("prometheus")?;
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if let (true, Some(key)) = (text.contains('@'), fields.key("prometheus")) {
        let message = "an address with a user in it: a pipeline, and what is recorded of it, holds no secret";
        fields.faults().at_secret(key, message, "write it as `http://127.0.0.1:9090`");
        return None;
    }
    let fault = match host {
        None => "an address begins with `http://` or `https://`",
        Some(host) if host.is_empty() || host.starts_with(['/', ':']) => "an address without a host",
        Some(host) if host.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#')) => {
            "an address is a host, and perhaps a port and a path"
        }
        Some(_) => return Some(text),
    };
    fields.faults().at(node, fault, "write it as `http://127.0.0.1:9090`");
    None
}
