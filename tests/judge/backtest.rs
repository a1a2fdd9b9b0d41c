//! A past that is read back in pieces, and changes that never were.

use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Mutex;
use wavegate::cli::args::Showing;
use wavegate::cli::backtest::{events, fetch, record, slide};
use wavegate::cli::judge::{read, subject::Subject};
use wavegate::cloud::Health;
use wavegate::engine::health::replay::Replay;
use wavegate::model::observation::{AlarmView, Completeness, MetricQuery, ProviderError, Series};
use wavegate::model::stack::Scope;
use wavegate::model::time::Millis;
use wavegate::model::verdict::Verdict;

const PIPELINE: &str = r#"
version: 1
name: orders
fleet:
  cells:
    - {name: a, account: "111111111111", region: eu-west-1, environment: production, stacks: {orders: orders-a}}
    - {name: b, account: "111111111111", region: eu-west-1, environment: production, stacks: {orders: orders-b}}
    - {name: c, account: "111111111111", region: us-east-1, environment: production, stacks: {orders: orders-c}}
waves:
  - {name: one-box, select: {count: 1}, one_box: true, bake: 30m}
  - {name: rest, select: {remaining: true}, bake: 30m}
health:
  metrics:
    - {name: errors, namespace: Shop, metric: Errors, dimensions: {Cell: "{cell}"}, statistic: Average, period: 60s, fail_when: "> 5"}
"#;

fn noon(minutes: i64) -> Timestamp {
    "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

/// Answers every minute with 1, and cell `b` with 9 from 13:05 to 13:15.
#[derive(Default)]
struct Past {
    asked: Mutex<Vec<(Timestamp, Timestamp)>>,
    partial: bool,
}

impl Health for Past {
    async fn metrics(
        &self,
        _: &Scope,
        queries: &[(MetricQuery, bool)],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Series>, ProviderError> {
        self.asked.lock().unwrap().push((from, to));
        let first = (from.as_second() + 59).div_euclid(60);
        let minutes = (first..).map(|minute| Timestamp::from_second(minute * 60).unwrap()).take_while(|at| *at < to);
        let minutes: Vec<Timestamp> = minutes.collect();
        let value = |query: &MetricQuery, at: Timestamp| {
            let bad = query.cell.as_str() == "b" && at >= noon(65) && at < noon(75);
            if bad { 9.0 } else { 1.0 }
        };
        let series = queries.iter().map(|(query, _)| Series {
            cell: query.cell.clone(),
            metric: query.metric.clone(),
            completeness: if self.partial { Completeness::Partial } else { Completeness::Complete },
            points: minutes.iter().map(|at| (*at, value(query, *at))).collect(),
            samples: Vec::new(),
            unit: None,
        });
        Ok(series.collect())
    }

    async fn alarms(&self, _: &Scope, _: &[String]) -> Result<BTreeMap<String, Option<AlarmView>>, ProviderError> {
        unreachable!("no past of alarms is asked for")
    }
}

fn subject(dir: &std::path::Path) -> Subject {
    let path = dir.join("pipeline.yaml");
    std::fs::write(&path, PIPELINE).unwrap();
    Subject::read(&path).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_past_is_read_without_gaps_and_comes_back_from_its_recording() {
    let dir = tempfile::tempdir().unwrap();
    let subject = subject(dir.path());
    let past = Past::default();
    let mut recording = block_on(fetch::fetch(&past, &subject.setting, noon(0), noon(60 * 24 * 40))).unwrap();
    let points = &recording.cells[&"a".into()]["errors"].points;
    assert!(points.first().unwrap().0 < noon(0), "what thresholds look back on is read too");
    assert!(points.windows(2).all(|pair| pair[1].0.duration_since(pair[0].0) == SignedDuration::from_mins(1)));
    assert!(past.asked.lock().unwrap().len() > 2, "forty days are read in pieces");
    recording.events = events(&[("b".to_owned(), noon(50))], noon(80));
    let path = dir.path().join("r.jsonl");
    record::write(&path, &recording).unwrap();
    assert_eq!(read::read(&path, &subject.setting.health).unwrap(), recording);
    let mut replay = Replay::new(&subject.setting, &recording, &recording.events).unwrap();
    while replay.tick().is_some() {}
    let outcome = replay.outcome();
    assert_eq!((outcome.verdict, outcome.decided_at), (Verdict::Fail, noon(70)), "three bad points, and the lag");
}

#[test]
fn half_a_past_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let past = Past { partial: true, ..Past::default() };
    let said = block_on(fetch::fetch(&past, &subject(dir.path()).setting, noon(0), noon(60))).unwrap_err();
    assert_eq!(
        said,
        "`errors` of `a` came back in part only: no past is judged on half of it; try again, or a shorter past"
    );
}

#[test]
fn changes_that_never_were_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let subject = subject(dir.path());
    let recording = block_on(fetch::fetch(&Past::default(), &subject.setting, noon(0), noon(120))).unwrap();
    assert_eq!(slide::steps(noon(0), noon(120), Millis::from_secs(1800)).len(), 4);
    let showing = Showing { format: None, picture: None, quiet: true, go_on: false };
    let tally = slide::slide(&subject, &recording, (noon(0), noon(120)), Millis::from_secs(1800), &showing).unwrap();
    let expected = slide::Tally { pseudo_rollouts: 12, reverted: 1, passed: 11, inconclusive: 0, error: 0 };
    assert_eq!(tally, expected, "cell b, taken as changed at 13:00, is the one that was ill");
}
