//! An alarm as the API shows it, in the model's terms: its state, and what speaks against taking it for a signal.
//!
//! A mute rule is not among that: it keeps an alarm's actions from being done, while the alarm is evaluated as before, and
//! `DescribeAlarms` does not tell of it. (API reference, `PutAlarmMuteRule`.)

use super::timestamp;
use crate::cloud::classify::clean;
use crate::model::observation::{AlarmState, AlarmView};
use aws_sdk_cloudwatch::types::{CompositeAlarm, MetricAlarm, StateValue};

pub(super) fn of_metric(alarm: MetricAlarm) -> AlarmView {
    let since = alarm.state_transitioned_timestamp.or(alarm.state_updated_timestamp);
    AlarmView {
        several_series: has_several_series(&alarm),
        muted: disabled(alarm.actions_enabled),
        name: alarm.alarm_name.unwrap_or_default(),
        state: state(alarm.state_value.as_ref()),
        reason: alarm.state_reason.unwrap_or_default(),
        since: since.as_ref().and_then(timestamp),
        evaluation_trouble: alarm.evaluation_state.map(|word| word.as_str().to_owned()),
        composite: false,
    }
}

pub(super) fn of_composite(alarm: CompositeAlarm) -> AlarmView {
    let since = alarm.state_transitioned_timestamp.or(alarm.state_updated_timestamp);
    AlarmView {
        muted: disabled(alarm.actions_enabled).or_else(|| suppressed(&alarm)),
        several_series: false,
        name: alarm.alarm_name.unwrap_or_default(),
        state: state(alarm.state_value.as_ref()),
        reason: alarm.state_reason.unwrap_or_default(),
        since: since.as_ref().and_then(timestamp),
        evaluation_trouble: None,
        composite: true,
    }
}

/// Somebody has switched the alarm off, if only its actions: it is being worked on, or is known to cry wolf.
fn disabled(actions_enabled: Option<bool>) -> Option<String> {
    (actions_enabled == Some(false)).then(|| "its actions are disabled (ActionsEnabled is false)".to_owned())
}

/// A composite alarm that is held down by its suppressor, or for a while before and after that.
fn suppressed(alarm: &CompositeAlarm) -> Option<String> {
    let by = alarm.actions_suppressed_by.as_ref()?;
    let suppressor = alarm.actions_suppressor.as_deref().unwrap_or("its suppressor");
    let reason = alarm.actions_suppressed_reason.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
    Some(clean(&format!("its actions are suppressed by {suppressor} ({}){reason}", by.as_str())))
}

/// Queries that find their series anew at each evaluation. A series that is gone is not among them, so that its cell reads OK
/// whatever `TreatMissingData` says. (User guide, "Create alarms on Metrics Insights queries": an alarm of several time series.)
fn has_several_series(alarm: &MetricAlarm) -> bool {
    // The criteria of a PromQL alarm, or of a kind to come: each element of the answer is a series of its own.
    let by_criteria = alarm.evaluation_criteria.is_some();
    by_criteria || alarm.metrics().iter().filter_map(|query| query.expression()).any(groups)
}

/// A Metrics Insights query with `GROUP BY`, whatever its case; within quotes the words are a name.
fn groups(expression: &str) -> bool {
    let mut bare = String::with_capacity(expression.len());
    let mut quote = None;
    for c in expression.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => bare.push(c.to_ascii_uppercase()),
        }
    }
    let words: Vec<&str> =
        bare.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    words.first() == Some(&"SELECT") && words.windows(2).any(|pair| pair == ["GROUP", "BY"])
}

fn state(value: Option<&StateValue>) -> AlarmState {
    match value.map_or("", |value| value.as_str()) {
        "OK" => AlarmState::Ok,
        "ALARM" => AlarmState::Alarm,
        "INSUFFICIENT_DATA" => AlarmState::InsufficientData,
        other => AlarmState::Unknown(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grouped_queries_have_several_series() {
        for expression in [
            "SELECT AVG(CPUUtilization) FROM SCHEMA(\"AWS/EC2\", InstanceId) GROUP BY InstanceId",
            "select max(x)\nfrom \"AWS/SQS\"\ngroup\n  by QueueName order by max() desc",
            "SELECT SUM(e) FROM A WHERE n = 'it' GROUP BY \"a b\"",
        ] {
            assert!(groups(expression), "{expression}");
        }
        for expression in [
            "SELECT AVG(CPUUtilization) FROM SCHEMA(\"AWS/EC2\", InstanceId)",
            "SELECT SUM(x) FROM A WHERE name = 'group by' AND b = \"GROUP BY\"",
            "m1 / m2",
            "",
        ] {
            assert!(!groups(expression), "{expression}");
        }
    }
}
