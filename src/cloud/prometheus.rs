//! Prometheus as a source of series: PromQL over its HTTP API, one range query for each series.
//!
//! The value of the period `[start, start + period)` is the query evaluated at the period's end; points carry its start, as
//! CloudWatch's do. Only periods that are over are asked for. A query gives one series for its cell: none is missing data, and
//! several are an error, since they cannot be told apart. There are no sample counts: a metric with `min_samples` needs a ratio
//! of two queries, or has too few of them always.
//!
//! **Old samples.** An instant selector (`up`) gives a series' newest sample of the last five minutes, so that a cell that is
//! gone would look alive. A server that no longer finds a target ends its series itself; one that was restarted, or that is
//! written to from elsewhere, does not. So each query comes with `lookback_delta`, the period. Older servers (2.42 is one) do not
//! know it and do not say so; they are found out by a value that none accepts, and what reads instant selectors is then not
//! asked but refused: `last_over_time(up[1m])` says the same, and is bounded everywhere.
//!
//! HTTP is in `client`, answers are read in `answer`, selectors are found in `promql`.

mod answer;
mod client;
mod promql;

use super::source::{MetricSource, Queries, in_order};
use crate::model::observation::{Completeness, ProviderError, ProviderErrorKind, QuerySource, Series};
use crate::model::stack::Scope;
use answer::{Gathered, Grid};
use client::{Http, Server, Shared};
use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Requests under way at the same time, to all servers. A server runs 20 queries at once unless it is told otherwise
/// (`--query.max-concurrency`), and people look at their dashboards meanwhile.
const MAX_AT_ONCE: usize = 8;

/// One batch on one server. Longer than any single query may take with all its attempts.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// What may be set about Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusOptions {
    /// A file with a bearer token for all servers; read anew for each batch.
    pub token_file: Option<PathBuf>,
    /// From a request to the end of its answer; the server is told to give up a little earlier, and then says why.
    pub timeout: Duration,
    /// The seed of the retries' jitter.
    pub seed: u64,
}

impl Default for PrometheusOptions {
    /// No token, and 20 seconds: below a look's interval, and far above what a query should take that many looks repeat.
    fn default() -> Self {
        Self { token_file: None, timeout: Duration::from_secs(20), seed: 0 }
    }
}

/// Every Prometheus server that pipelines name.
#[derive(Debug)]
pub struct Prometheus {
    options: PrometheusOptions,
    http: Http,
    turns: Semaphore,
    batches: AtomicU64,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self::new(PrometheusOptions::default())
    }
}

/// What is asked of a server. Two metrics that ask the same are asked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question<'a> {
    expression: &'a str,
    period_s: u32,
}

type Said = (Completeness, Vec<(Timestamp, f64)>);

impl Prometheus {
    /// Sends nothing, and reads no file yet.
    pub fn new(options: PrometheusOptions) -> Self {
        Self {
            http: Http::new(options.timeout),
            options,
            turns: Semaphore::new(MAX_AT_ONCE),
            batches: AtomicU64::new(0),
        }
    }

    /// Everything that is asked of one server, in the order of `questions`.
    async fn ask(
        &self,
        name: &str,
        questions: &[Question<'_>],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Said>, ProviderError> {
        let seed = self.options.seed.wrapping_add(self.batches.fetch_add(1, Ordering::Relaxed));
        let token_file = self.options.token_file.as_deref();
        let server = Server::new(name, Shared { http: &self.http, turns: &self.turns, token_file, seed })?;
        let asking = async {
            let instants = questions.iter().any(|question| promql::reads_instants(question.expression));
            let bounded = !instants || bounds_lookback(&server).await?;
            let distinct: BTreeSet<Question<'_>> = questions.iter().copied().collect();
            let ranges = distinct.iter().map(|question| range(&server, *question, bounded, (from, to)));
            let said = try_join_all(ranges).await?;
            let said: BTreeMap<_, _> = distinct.iter().zip(said).collect();
            let nothing = || (Completeness::Unknown("not asked".to_owned()), Vec::new());
            Ok(questions.iter().map(|question| said.get(question).cloned().unwrap_or_else(nothing)).collect())
        };
        let late = || {
            let words = format!("{} queries were not answered within {BATCH_LIMIT:?}", questions.len());
            Err(server.error(ProviderErrorKind::Unavailable, "", &words))
        };
        tokio::time::timeout(BATCH_LIMIT, asking).await.unwrap_or_else(|_| late())
    }
}

impl MetricSource for Prometheus {
    async fn read(
        &self,
        _scope: &Scope,
        queries: Queries<'_>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Series>, ProviderError> {
        let mut servers: BTreeMap<&str, Vec<(usize, Question<'_>)>> = BTreeMap::new();
        for (position, (query, _)) in queries.iter().enumerate() {
            if let QuerySource::Prometheus { server, query: expression } = &query.source {
                let question = Question { expression, period_s: query.period_s };
                servers.entry(server.as_str()).or_default().push((position, question));
            }
        }
        let parts = servers.into_iter().map(|(server, asked)| async move {
            let (positions, questions): (Vec<usize>, Vec<Question<'_>>) = asked.into_iter().unzip();
            let said = self.ask(server, &questions, from, to).await;
            let series = said.map(|said| {
                let chosen = positions.iter().filter_map(|position| queries.get(*position));
                chosen
                    .zip(said)
                    .map(|((query, _), (completeness, points))| Series {
                        cell: query.cell.clone(),
                        metric: query.metric.clone(),
                        completeness,
                        points,
                        samples: Vec::new(),
                        unit: None,
                    })
                    .collect()
            });
            (positions, series)
        });
        in_order(queries, join_all(parts).await)
    }
}

/// Whether the server knows `lookback_delta`: one that does refuses a word that is no duration.
async fn bounds_lookback(server: &Server<'_>) -> Result<bool, ProviderError> {
    match server.post("query", &[("query", "1"), ("lookback_delta", "none")]).await {
        Ok(_) => Ok(false),
        Err(error) if error.code == "bad_data" => Ok(true),
        Err(error) => Err(error),
    }
}

/// One series, all calls. A query that the server refuses says so in its own series, and does not take the others with it.
async fn range(
    server: &Server<'_>,
    question: Question<'_>,
    bounded: bool,
    (from, to): (Timestamp, Timestamp),
) -> Result<Said, ProviderError> {
    let Question { expression, period_s } = question;
    let grid = Grid::new(from, to, period_s);
    let mut gathered = Gathered::new(grid);
    if !bounded && promql::reads_instants(expression) {
        gathered.trouble(format!(
            "this server would answer with samples that are up to 5 minutes old: it does not know `lookback_delta`; \
             give each selector a range, as last_over_time(up[{period_s}s]), or update the server"
        ));
        return Ok(gathered.finish());
    }
    let Some(calls) = grid.calls() else {
        gathered.trouble(format!("{} points are more than one query may have", grid.count));
        return Ok(gathered.finish());
    };
    let period = format!("{period_s}s");
    let timeout = format!("{}ms", server.timeout().as_millis() * 3 / 4);
    for (start, end) in calls {
        let (start, end) = (start.to_string(), end.to_string());
        let fields = [
            ("query", expression),
            ("start", &start),
            ("end", &end),
            ("step", &period),
            ("lookback_delta", &period),
            ("timeout", &timeout),
        ];
        match server.post("query_range", &fields).await {
            Ok(body) => gathered.add(&body),
            Err(error) if error.kind == ProviderErrorKind::Rejected => {
                gathered.trouble(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(gathered.finish())
}

#[cfg(test)]
mod tests;
