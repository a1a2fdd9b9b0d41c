//! What `query_range` answers, in the model's terms: one series on the grid of periods, or why there is none that counts.

use crate::model::observation::Completeness;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};

/// Points that a server gives for a series in one answer.
/// Source: Prometheus, `web/api/v1`, "exceeded maximum resolution of 11,000 points per timeseries".
const POINTS_PER_CALL: i64 = 11_000;

/// Calls for one query. Ten are a week of minutes.
const MAX_CALLS: i64 = 10;

/// Series that are named in a message.
const NAMED: usize = 3;

/// The periods that lie whole within an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// Seconds.
    pub(super) period: i64,
    /// The end of the first period, in seconds since 1970.
    pub(super) first: i64,
    /// How many periods.
    pub(super) count: i64,
}

impl Grid {
    /// Periods of `period_s` that begin at `from` or later and end at `to` or earlier, counted from 1970 as CloudWatch does.
    /// A period that is not over has no value yet: evaluated now, it would be a part of it, or an older one.
    pub(super) fn new(from: Timestamp, to: Timestamp, period_s: u32) -> Self {
        let period = i64::from(period_s.max(1));
        let begins = from.as_second() + i64::from(from.subsec_nanosecond() > 0);
        let first = (begins + period - 1).div_euclid(period) * period + period;
        let last = to.as_second().div_euclid(period) * period;
        Self { period, first, count: ((last - first).div_euclid(period) + 1).max(0) }
    }

    /// The first and the last instant of each call. None: there would be too many calls.
    pub(super) fn calls(self) -> Option<Vec<(i64, i64)>> {
        if self.count > POINTS_PER_CALL * MAX_CALLS {
            return None;
        }
        let calls = (self.count + POINTS_PER_CALL - 1) / POINTS_PER_CALL;
        let at = |n: i64| self.first + n * self.period;
        let bounds = |call: i64| {
            let end = ((call + 1) * POINTS_PER_CALL).min(self.count) - 1;
            (at(call * POINTS_PER_CALL), at(end))
        };
        Some((0..calls).map(bounds).collect())
    }

    fn holds(self, instant: i64) -> bool {
        let after = instant - self.first;
        after >= 0 && after.rem_euclid(self.period) == 0 && after.div_euclid(self.period) < self.count
    }
}

#[derive(Deserialize)]
struct Body {
    status: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    histograms: Option<IgnoredAny>,
}

/// One query's answers over all calls.
#[derive(Debug)]
pub(super) struct Gathered {
    grid: Grid,
    points: BTreeMap<Timestamp, f64>,
    series: BTreeSet<String>,
    trouble: Option<String>,
}

impl Gathered {
    /// Nothing yet.
    pub(super) fn new(grid: Grid) -> Self {
        Self { grid, points: BTreeMap::new(), series: BTreeSet::new(), trouble: None }
    }

    /// Takes the body of a call.
    pub(super) fn add(&mut self, body: &[u8]) {
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { status, data: Some(data), warnings }) if status == "success" && data.result_type == "matrix" => {
                // What a server warns of may be missing data, as when one of several stores did not answer. Its `infos` are
                // advice on how a query is written, and come with every answer to it.
                if let Some(warning) = warnings.first() {
                    self.trouble(format!("the server warns, so the answer may be partial: {warning}"));
                }
                data.result.into_iter().for_each(|found| self.add_series(found));
            }
            Ok(_) => self.trouble("the answer is no matrix".to_owned()),
            Err(error) => self.trouble(format!("the answer cannot be read: {error}")),
        }
    }

    /// Says what keeps the series from being complete. The first thing said counts.
    pub(super) fn trouble(&mut self, words: String) {
        self.trouble.get_or_insert(words);
    }

    fn add_series(&mut self, found: Found) {
        let labels: Vec<String> = found.metric.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        self.series.insert(format!("{{{}}}", labels.join(", ")));
        if found.histograms.is_some() {
            self.trouble("the query gives histograms; take a number of them with histogram_quantile(...)".to_owned());
        }
        for (instant, value) in found.values {
            match (self.start_of_period(instant), number(&value)) {
                (Some(start), Some(value)) => drop(self.points.insert(start, value)),
                (None, _) => self.trouble(format!("a point at {instant}, which was not asked for")),
                (_, None) => self.trouble(format!("a value that is no number: {value:?}")),
            }
        }
    }

    /// The start of the period that ends at this instant.
    fn start_of_period(&self, instant: f64) -> Option<Timestamp> {
        // Prometheus counts milliseconds; our instants are whole seconds.
        let text = format!("{instant:.3}");
        let instant: i64 = text.strip_suffix(".000")?.parse().ok()?;
        self.grid.holds(instant).then(|| Timestamp::from_second(instant - self.grid.period).ok())?
    }

    /// The points, oldest first, by the start of their periods, and how complete they are. Several series have no points:
    /// which of them would be the cell's?
    pub(super) fn finish(self) -> (Completeness, Vec<(Timestamp, f64)>) {
        if self.series.len() > 1 {
            let named: Vec<&str> = self.series.iter().take(NAMED).map(String::as_str).collect();
            let more = if self.series.len() > NAMED { " …" } else { "" };
            let said = format!(
                "the query gives {} series where one is wanted: {}{more}; aggregate with sum(...)",
                self.series.len(),
                named.join(", ")
            );
            return (Completeness::Unknown(crate::cloud::classify::clean(&said)), Vec::new());
        }
        let completeness = match self.trouble {
            Some(words) => Completeness::Unknown(crate::cloud::classify::clean(&words)),
            None => Completeness::Complete,
        };
        (completeness, self.points.into_iter().collect())
    }
}

/// A sample's value as Prometheus writes it: `NaN`, `+Inf` and `-Inf` are values too, and the judge refuses them.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn only_whole_periods_count() {
        for (from, to, first, count) in [
            (0, 180, 60, 3),
            (1, 180, 120, 2),
            (0, 179, 60, 2),
            (0, 59, 60, 0),
            (30, 90, 120, 0),
            (-60, 60, 0, 2),
            (500, 100, 600, 0),
        ] {
            let grid = Grid::new(at(from), at(to), 60);
            assert_eq!((grid.first, grid.count), (first, count), "{from}..{to}");
        }
        let late: Timestamp = "1970-01-01T00:00:00.5Z".parse().unwrap();
        assert_eq!(Grid::new(late, at(180), 60).first, 120);
    }

    #[test]
    fn long_intervals_are_split() {
        let grid = |count| Grid { period: 60, first: 600, count };
        assert_eq!(grid(0).calls(), Some(vec![]));
        assert_eq!(grid(1).calls(), Some(vec![(600, 600)]));
        assert_eq!(grid(11_000).calls(), Some(vec![(600, 600 + 10_999 * 60)]));
        let two = vec![(600, 600 + 10_999 * 60), (600 + 11_000 * 60, 600 + 11_000 * 60)];
        assert_eq!(grid(11_001).calls(), Some(two));
        assert_eq!(grid(110_000).calls().unwrap().len(), 10);
        assert_eq!(grid(110_001).calls(), None);
    }

    fn gathered(bodies: &[&str]) -> (Completeness, Vec<(Timestamp, f64)>) {
        let mut gathered = Gathered::new(Grid { period: 60, first: 60, count: 3 });
        bodies.iter().for_each(|body| gathered.add(body.as_bytes()));
        gathered.finish()
    }

    fn matrix(result: &str, rest: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}{rest}}}"#)
    }

    #[test]
    fn points_carry_the_start_of_their_period() {
        let first = matrix(r#"{"metric":{"a":"b"},"values":[[60,"1.5"],[120.000,"NaN"]]}"#, "");
        let second = matrix(r#"{"metric":{"a":"b"},"values":[[180,"+Inf"]]}"#, r#","infos":["name it _total"]"#);
        let (completeness, points) = gathered(&[&first, &second]);
        assert_eq!(completeness, Completeness::Complete);
        assert_eq!(points.iter().map(|(at, _)| at.as_second()).collect::<Vec<_>>(), [0, 60, 120]);
        assert_eq!(points[0].1, 1.5);
        assert!(points[1].1.is_nan() && points[2].1 == f64::INFINITY);
        assert_eq!(gathered(&[&matrix("", "")]), (Completeness::Complete, vec![]));
    }

    #[test]
    fn what_does_not_fit_is_not_complete() {
        let one = |values: &str| matrix(&format!(r#"{{"metric":{{}},"values":[{values}]}}"#), "");
        for (body, word) in [
            (one(r#"[61,"1"]"#), "not asked for"),
            (one(r#"[60.5,"1"]"#), "not asked for"),
            (one(r#"[240,"1"]"#), "not asked for"),
            (one(r#"[0,"1"]"#), "not asked for"),
            (one(r#"[1e300,"1"]"#), "not asked for"),
            (one(r#"[60,"one"]"#), "no number"),
            (matrix(r#"{"metric":{},"histograms":[]}"#, ""), "histogram_quantile"),
            (matrix("", r#","warnings":["a store is away"]"#), "a store is away"),
            (r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#.into(), "no matrix"),
            (r#"{"status":"error"}"#.into(), "no matrix"),
            ("<html>".into(), "cannot be read"),
        ] {
            let (completeness, _) = gathered(&[&body]);
            assert!(matches!(&completeness, Completeness::Unknown(said) if said.contains(word)), "{completeness:?}");
        }
    }

    #[test]
    fn several_series_are_named() {
        let series = |n: i32| format!(r#"{{"metric":{{"pod":"p{n}"}},"values":[[60,"1"]]}}"#);
        let (completeness, points) = gathered(&[&matrix(&(0..5).map(series).collect::<Vec<_>>().join(","), "")]);
        let Completeness::Unknown(said) = completeness else { panic!("{completeness:?}") };
        assert!(said.contains("5 series") && said.contains("{pod=\"p0\"}") && said.contains("sum(...)"), "{said}");
        assert!(points.is_empty());
        // Also when each call has one of them.
        let (completeness, _) = gathered(&[&matrix(&series(1), ""), &matrix(&series(2), "")]);
        assert!(matches!(completeness, Completeness::Unknown(_)));
    }

    proptest::proptest! {
        /// Whatever comes: no point lies off the grid, and what is complete is one series at most.
        #[test]
        fn any_answer_is_read_or_told(
            instants in proptest::collection::vec((-100_i64..400, "[0-9.NaInf+e-]{0,6}"), 0..6),
            labels in proptest::collection::vec("[ab]", 0..3),
            torn in 0_usize..400,
        ) {
            let values: Vec<String> = instants.iter().map(|(at, value)| format!("[{at},{value:?}]")).collect();
            let series = labels.iter().map(|l| format!(r#"{{"metric":{{"l":"{l}"}},"values":[{}]}}"#, values.join(",")));
            let body = matrix(&series.collect::<Vec<_>>().join(","), "");
            let whole = torn >= body.len();
            let (completeness, points) = gathered(&[body.get(..torn).unwrap_or(&body)]);
            let complete = completeness == Completeness::Complete;
            proptest::prop_assert!(points.iter().all(|(at, _)| [0, 60, 120].contains(&at.as_second())));
            proptest::prop_assert!(!complete || (whole && labels.windows(2).all(|pair| pair[0] == pair[1])));
        }
    }
}
