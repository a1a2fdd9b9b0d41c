//! Alarms, evaluated from the same values that the series show.

use super::metrics::{Subject, newest_finished};
use super::operations::later;
use super::world::{Inner, Place};
use crate::model::observation::{AlarmState, AlarmView};
use jiff::Timestamp;
use std::time::Duration;

/// How many periods are read back to find when the state last changed.
const LOOK_BACK: i64 = 120;

/// A metric alarm: open while at least `datapoints_to_alarm` of the newest `evaluation_periods` are above `threshold`.
#[derive(Clone, Debug, PartialEq)]
pub struct SimAlarm {
    /// The metric's name.
    pub metric: String,
    /// Dimension values.
    pub dimension_values: Vec<String>,
    /// Above this is breaching.
    pub threshold: f64,
    /// Seconds per period.
    pub period_s: u32,
    /// N of M of N.
    pub evaluation_periods: u32,
    /// M of M of N.
    pub datapoints_to_alarm: u32,
    /// Shown as a composite alarm.
    pub composite: bool,
    /// `EvaluationState`, when it has trouble.
    pub evaluation_trouble: Option<String>,
    /// Held in this state since then.
    pub(super) forced: Option<(AlarmState, Timestamp)>,
}

impl SimAlarm {
    /// One of one period of 60 s above the threshold.
    pub fn above(metric: &str, dimension_value: &str, threshold: f64) -> Self {
        Self {
            metric: metric.to_owned(),
            dimension_values: vec![dimension_value.to_owned()],
            threshold,
            period_s: 60,
            evaluation_periods: 1,
            datapoints_to_alarm: 1,
            composite: false,
            evaluation_trouble: None,
            forced: None,
        }
    }

    /// The state that these values, of the periods that have any, put the alarm in.
    fn state_of(&self, values: impl Iterator<Item = f64>) -> AlarmState {
        let (mut seen, mut breaching) = (0_u32, 0_u32);
        for value in values {
            seen += 1;
            breaching += u32::from(value > self.threshold);
        }
        if breaching >= self.datapoints_to_alarm.max(1) {
            AlarmState::Alarm
        } else if seen == 0 {
            AlarmState::InsufficientData
        } else {
            AlarmState::Ok
        }
    }

    fn subject(&self) -> Subject<'_> {
        let dimensions = self.dimension_values.iter().map(String::as_str).collect();
        Subject { metric: &self.metric, dimensions, cell: None }
    }
}

impl Inner {
    /// The alarm as it stands at `now`; none when there is none of that name.
    pub(super) fn alarm_view(&self, place: &Place, name: &str, now: Timestamp) -> Option<AlarmView> {
        let alarm = self.alarms.get(&(place.clone(), name.to_owned()))?;
        let (state, since) = match &alarm.forced {
            Some((state, since)) => (state.clone(), Some(*since)),
            None => self.state_since(place, alarm, now),
        };
        let periods = alarm.evaluation_periods;
        Some(AlarmView {
            name: name.to_owned(),
            reason: match state {
                AlarmState::Alarm => {
                    format!(
                        "Threshold Crossed: {} of the last {periods} > {}",
                        alarm.datapoints_to_alarm, alarm.threshold
                    )
                }
                AlarmState::InsufficientData => "Insufficient Data".to_owned(),
                _ => format!("Threshold not crossed: the last {periods} <= {}", alarm.threshold),
            },
            state,
            since,
            evaluation_trouble: alarm.evaluation_trouble.clone(),
            composite: alarm.composite,
            muted: None,
            several_series: false,
        })
    }

    fn state_since(&self, place: &Place, alarm: &SimAlarm, now: Timestamp) -> (AlarmState, Option<Timestamp>) {
        let period = i64::from(alarm.period_s.max(1));
        let Some(newest) = newest_finished(period, now) else { return (AlarmState::InsufficientData, None) };
        let subject = alarm.subject();
        let influences = self.influences(place, &subject);
        let value = |start| self.value(place, &subject, &influences, start, period);
        let state_at = |newest| {
            let starts = (0..i64::from(alarm.evaluation_periods.max(1))).filter_map(|b| before(newest, b * period));
            let seen = starts.filter(|start| !self.is_blind(place, &subject, *start));
            alarm.state_of(seen.map(value))
        };
        let state = state_at(newest);
        let changed =
            (1..=LOOK_BACK).filter_map(|back| before(newest, back * period)).find(|start| state_at(*start) != state);
        // The state changed with the first period after the last one that was different.
        let since = changed.map(|start| later(start, Duration::from_secs(2 * period.unsigned_abs())));
        (state, since)
    }
}

fn before(at: Timestamp, seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(at.as_second().checked_sub(seconds)?).ok()
}
