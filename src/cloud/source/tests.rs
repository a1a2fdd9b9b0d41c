//! The way to the right source and back, with sources that answer from memory.

use super::*;
use crate::model::observation::{MetricStat, ProviderErrorKind};

/// Answers every query with its own position as the value; fails where it is told to.
struct Counting {
    fails: bool,
    asked: std::sync::Mutex<Vec<Vec<String>>>,
}

impl Counting {
    fn new(fails: bool) -> Self {
        Self { fails, asked: std::sync::Mutex::default() }
    }

    fn asked(&self) -> Vec<Vec<String>> {
        self.asked.lock().unwrap().clone()
    }
}

impl MetricSource for Counting {
    async fn read(
        &self,
        _: &Scope,
        queries: Queries<'_>,
        from: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<Series>, ProviderError> {
        self.asked.lock().unwrap().push(queries.iter().map(|(query, _)| query.metric.clone()).collect());
        if self.fails {
            let (kind, message) = (ProviderErrorKind::Unavailable, "away".to_owned());
            return Err(ProviderError { operation: "read".into(), kind, code: String::new(), message });
        }
        let series = |(query, _): &(MetricQuery, bool)| Series {
            completeness: Completeness::Complete,
            points: vec![(from, 1.0)],
            ..unread(query, "")
        };
        Ok(queries.iter().map(series).collect())
    }
}

fn queries() -> Vec<(MetricQuery, bool)> {
    let prometheus = |query: &str| QuerySource::Prometheus { server: "http://127.0.0.1:1".into(), query: query.into() };
    let stat = MetricStat {
        namespace: "App".into(),
        name: "m".into(),
        dimensions: vec![],
        statistic: "Sum".into(),
        unit: None,
    };
    let query = |(metric, source): (&str, QuerySource)| {
        (MetricQuery { cell: "one".into(), metric: metric.into(), source, period_s: 60 }, false)
    };
    [("p1", prometheus("a")), ("c1", QuerySource::Metric(stat.clone())), ("p2", prometheus("b"))]
        .into_iter()
        .chain([("c2", QuerySource::Expression { expression: "1".into(), inputs: vec![("m".into(), stat)] })])
        .map(query)
        .collect()
}

async fn ask(
    cloudwatch: &Counting,
    prometheus: &Counting,
    queries: &[(MetricQuery, bool)],
) -> Result<Vec<Series>, ProviderError> {
    let scope = Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None };
    read(cloudwatch, prometheus, &scope, queries, (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)).await
}

fn names(series: &[Series]) -> Vec<&str> {
    series.iter().map(|series| series.metric.as_str()).collect()
}

#[tokio::test]
async fn each_source_has_its_own_and_the_order_stays() {
    let (cloudwatch, prometheus) = (Counting::new(false), Counting::new(false));
    let series = ask(&cloudwatch, &prometheus, &queries()).await.unwrap();
    assert_eq!(names(&series), ["p1", "c1", "p2", "c2"]);
    assert!(series.iter().all(|series| series.points.len() == 1));
    assert_eq!(cloudwatch.asked(), [["c1", "c2"]]);
    assert_eq!(prometheus.asked(), [["p1", "p2"]]);
}

#[tokio::test]
async fn a_source_that_is_away_does_not_hide_the_other() {
    let series = ask(&Counting::new(false), &Counting::new(true), &queries()).await.unwrap();
    assert_eq!(names(&series), ["p1", "c1", "p2", "c2"]);
    assert!(matches!(&series[0].completeness, Completeness::Unknown(why) if why.contains("away")));
    assert_eq!(series[1].completeness, Completeness::Complete);
    let series = ask(&Counting::new(true), &Counting::new(false), &queries()).await.unwrap();
    assert_eq!(series[0].completeness, Completeness::Complete);
    assert!(matches!(&series[1].completeness, Completeness::Unknown(why) if why.contains("away")));
}

#[tokio::test]
async fn a_source_that_nobody_asks_for_is_left_alone() {
    let (cloudwatch, prometheus) = (Counting::new(false), Counting::new(true));
    let ours: Vec<_> = queries().into_iter().filter(|(query, _)| query.metric.starts_with('c')).collect();
    assert_eq!(ask(&cloudwatch, &prometheus, &ours).await.unwrap().len(), 2);
    assert!(prometheus.asked().is_empty());
    // An error of the whole says that the scope cannot be read, of which Prometheus is no part.
    let error = ask(&Counting::new(true), &prometheus, &ours).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Unavailable);
    let theirs: Vec<_> = queries().into_iter().filter(|(query, _)| query.metric.starts_with('p')).collect();
    let series = ask(&cloudwatch, &prometheus, &theirs).await.unwrap();
    assert!(matches!(&series[1].completeness, Completeness::Unknown(why) if why.contains("away")));
    assert_eq!(ask(&cloudwatch, &prometheus, &[]).await, Ok(vec![]));
}
