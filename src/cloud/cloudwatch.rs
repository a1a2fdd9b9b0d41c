//! CloudWatch's calls in the model's terms: series with everything that says whether they may be trusted, and alarms.
//!
//! No judgement: a gap, a partial answer or a refused series goes on as such. Requests are made in `request`, metric
//! math is rewritten in `expression`, alarms are read in `alarm`.

mod alarm;
mod expression;
mod request;

use super::Priority;
use super::aws::timestamp;
use super::call::{Call, Caller, Operation};
use super::classify::{clean, unusable_answer};
use crate::model::observation::{AlarmView, Completeness, MetricQuery, ProviderError, Series};
use crate::model::stack::Scope;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{AlarmType, MessageData, MetricDataResult, ScanBy};
use jiff::Timestamp;
use request::{Batch, Part};
use std::collections::BTreeMap;

/// Pages of one batch of series. A page holds 100,800 points; 500 series of a day at one minute fill eight.
const MAX_METRIC_PAGES: u32 = 30;

/// Alarm names in one request, by the API reference.
const MAX_ALARM_NAMES: usize = 100;

/// Pages of one request for alarms: their number is that of the names, so more than a few mean that something is wrong.
const MAX_ALARM_PAGES: u32 = 10;

/// CloudWatch in one scope.
#[derive(Debug)]
pub struct CloudWatch<'a> {
    /// The SDK's client for the scope.
    pub client: Client,
    /// The way out.
    pub caller: &'a Caller,
    /// Where it is.
    pub scope: &'a Scope,
}

type Answer<T> = Result<T, ProviderError>;
type Points = BTreeMap<Timestamp, f64>;

/// What came back under one id, over all pages.
#[derive(Debug, Default)]
struct Gathered {
    status: Option<String>,
    points: Points,
    trouble: Option<String>,
}

impl CloudWatch<'_> {
    fn call(&self, operation: Operation) -> Call<'_> {
        // Few calls, and each may be the one that stops a rollout: they do not wait behind forward work.
        Call { operation, scope: self.scope, priority: Priority::Reserved }
    }

    pub(super) async fn metrics(
        &self,
        queries: &[(MetricQuery, bool)],
        from: Timestamp,
        to: Timestamp,
    ) -> Answer<Vec<Series>> {
        let empty = |(query, _): &(MetricQuery, bool)| Collected::new(query);
        let mut all: Vec<Collected> = queries.iter().map(empty).collect();
        let plan = request::plan(queries);
        for (index, reason) in plan.refused {
            if let Some(collected) = all.get_mut(index) {
                collected.lower(Completeness::Unknown(reason));
            }
        }
        for batch in plan.batches {
            let gathered = self.fetch(&batch, from, to).await?;
            for (id, (indexes, part)) in batch.parts {
                for index in indexes {
                    if let Some(collected) = all.get_mut(index) {
                        collected.add(part, gathered.get(&id));
                    }
                }
            }
        }
        Ok(all.into_iter().map(Collected::finish).collect())
    }

    /// One batch, all pages, by id.
    async fn fetch(&self, batch: &Batch, from: Timestamp, to: Timestamp) -> Answer<BTreeMap<String, Gathered>> {
        let mut gathered: BTreeMap<String, Gathered> = BTreeMap::new();
        let mut said = None;
        let mut token = None;
        for _ in 0..MAX_METRIC_PAGES {
            let send = || {
                let request = self.client.get_metric_data().start_time(date_time(from)).end_time(date_time(to));
                let request = request.scan_by(ScanBy::TimestampAscending).set_next_token(token.clone());
                request.set_metric_data_queries(Some(batch.queries.clone())).send()
            };
            let page = self.caller.call(self.call(Operation::GetMetricData), send).await?;
            said = said.or_else(|| serious(page.messages()));
            for result in page.metric_data_results.unwrap_or_default() {
                let id = result.id.clone().unwrap_or_default();
                gathered.entry(id).or_default().add(result);
            }
            token = page.next_token;
            if token.is_none() {
                // A message of the whole answer: "as much of the operation as possible is still executed" (API reference),
                // so that any of its series may lack something.
                if let Some(said) = said {
                    gathered.values_mut().for_each(|series| series.trouble = Some(said.clone()));
                }
                return Ok(gathered);
            }
        }
        // Pages are left: what is here is not all, whatever its code says.
        gathered.values_mut().for_each(|series| series.status = Some("PartialData".to_owned()));
        Ok(gathered)
    }

    pub(super) async fn alarms(&self, names: &[String]) -> Answer<BTreeMap<String, Option<AlarmView>>> {
        let mut views: BTreeMap<String, Option<AlarmView>> = names.iter().map(|name| (name.clone(), None)).collect();
        for chunk in names.chunks(MAX_ALARM_NAMES) {
            for view in self.alarm_chunk(chunk).await? {
                if let Some(slot) = views.get_mut(&view.name) {
                    *slot = Some(view);
                }
            }
        }
        Ok(views)
    }

    async fn alarm_chunk(&self, names: &[String]) -> Answer<Vec<AlarmView>> {
        let mut views = Vec::new();
        let mut token = None;
        for _ in 0..MAX_ALARM_PAGES {
            let send = || {
                let request = self.client.describe_alarms().set_alarm_names(Some(names.to_vec()));
                let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
                request.set_next_token(token.clone()).send()
            };
            let page = self.caller.call(self.call(Operation::DescribeAlarms), send).await?;
            views.extend(page.metric_alarms.unwrap_or_default().into_iter().map(alarm::of_metric));
            views.extend(page.composite_alarms.unwrap_or_default().into_iter().map(alarm::of_composite));
            token = page.next_token;
            if token.is_none() {
                return Ok(views);
            }
        }
        // To leave an alarm out would say that it does not exist.
        Err(unusable_answer(Operation::DescribeAlarms, "the alarms have too many pages"))
    }
}

impl Gathered {
    fn add(&mut self, result: MetricDataResult) {
        if let Some(said) = serious(result.messages()) {
            self.trouble = Some(said);
        }
        self.status = result.status_code.map(|code| code.as_str().to_owned());
        let (times, values) = (result.timestamps.unwrap_or_default(), result.values.unwrap_or_default());
        if times.len() != values.len() {
            self.trouble = Some(format!("{} timestamps with {} values", times.len(), values.len()));
        }
        for (time, value) in times.iter().zip(values) {
            match timestamp(time) {
                // The newest page knows best.
                Some(at) => drop(self.points.insert(at, value)),
                None => self.trouble = Some("a timestamp outside of the calendar".to_owned()),
            }
        }
    }

    fn completeness(&self) -> Completeness {
        if let Some(trouble) = &self.trouble {
            return Completeness::Unknown(trouble.clone());
        }
        match self.status.as_deref() {
            Some("Complete") => Completeness::Complete,
            Some("PartialData") => Completeness::Partial,
            Some("InternalError") => Completeness::InternalError,
            Some("Forbidden") => Completeness::Forbidden,
            Some(other) => Completeness::Unknown(other.to_owned()),
            None => Completeness::Unknown("no status code".to_owned()),
        }
    }
}

/// The first message that speaks of something other than points without a number. Those (as a rate without requests gives) are
/// dropped, and so are missing as they should be.
fn serious(messages: &[MessageData]) -> Option<String> {
    let serious = |message: &&MessageData| message.code() != Some("ArithmeticError");
    let words = |message: &MessageData| {
        clean(&format!("{}: {}", message.code().unwrap_or_default(), message.value().unwrap_or_default()))
    };
    messages.iter().find(serious).map(words)
}

/// One query's series while its parts come in.
#[derive(Debug)]
struct Collected {
    series: Series,
    samples: Points,
}

impl Collected {
    fn new(query: &MetricQuery) -> Self {
        let series = Series {
            cell: query.cell.clone(),
            metric: query.metric.clone(),
            completeness: Completeness::Complete,
            points: Vec::new(),
            samples: Vec::new(),
            unit: None,
        };
        Self { series, samples: Points::new() }
    }

    fn add(&mut self, part: Part, gathered: Option<&Gathered>) {
        let Some(gathered) = gathered else {
            return self.lower(Completeness::Unknown("not returned".to_owned()));
        };
        self.lower(gathered.completeness());
        match part {
            Part::Value => self.series.points = gathered.points.iter().map(|(at, value)| (*at, *value)).collect(),
            Part::Samples => {
                for (at, count) in &gathered.points {
                    // Inputs that publish nothing while nothing happens (as counts of errors do) do not count here.
                    self.samples.entry(*at).and_modify(|least| *least = least.min(*count)).or_insert(*count);
                }
            }
        }
    }

    /// A series is as complete as the least complete of its parts: values whose sample counts are missing prove nothing.
    fn lower(&mut self, to: Completeness) {
        let rank = |completeness: &Completeness| match completeness {
            Completeness::Complete => 0,
            Completeness::Partial => 1,
            Completeness::InternalError => 2,
            Completeness::Forbidden => 3,
            Completeness::Unknown(_) => 4,
        };
        if rank(&to) > rank(&self.series.completeness) {
            self.series.completeness = to;
        }
    }

    fn finish(self) -> Series {
        Series { samples: self.samples.into_iter().collect(), ..self.series }
    }
}

fn date_time(at: Timestamp) -> DateTime {
    // A timestamp's parts have the same sign; the SDK wants the fraction counted upwards.
    let (seconds, nanos) = (at.as_second(), at.subsec_nanosecond());
    match u32::try_from(nanos) {
        Ok(nanos) => DateTime::from_secs_and_nanos(seconds, nanos),
        Err(_) => DateTime::from_secs_and_nanos(seconds - 1, (1_000_000_000 + nanos).unsigned_abs()),
    }
}

#[cfg(test)]
mod tests;
