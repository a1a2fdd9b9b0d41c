//! Where series come from: one small trait, and the way from a mixed batch to the sources and back.
//!
//! A further source is a variant of [`QuerySource`], an implementation of [`MetricSource`] and a line in [`read`].

use crate::model::observation::{Completeness, MetricQuery, ProviderError, QuerySource, Series};
use crate::model::stack::Scope;
use jiff::Timestamp;
use std::future::Future;

/// A batch of queries with the word whether each one's sample counts are wanted.
pub type Queries<'a> = &'a [(MetricQuery, bool)];

/// Something that has series.
pub trait MetricSource: Send + Sync + 'static {
    /// The queries' series over `[from, to)`. Contract:
    ///
    /// - One [`Series`] for each query, in the same order, with the query's cell and metric, whatever its quality. What
    ///   concerns one query alone (a refusal, a gap, several answers) is said in its [`Completeness`].
    /// - A point carries the start of its period. Points are in order, and none is there twice.
    /// - All pages are followed, or the series is not complete.
    /// - It ends within a bounded time, and changes nothing.
    ///
    /// # Errors
    /// When nothing at all could be read.
    fn read(
        &self,
        scope: &Scope,
        queries: Queries<'_>,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Future<Output = Result<Vec<Series>, ProviderError>> + Send;
}

/// Asks each source for what is its own, all at the same time, and puts the answers back in the order of the queries. A source
/// that cannot be read does not hide what the other one saw: its queries have series that say why they are empty. So it is always
/// with Prometheus, which is no part of the scope: that it is away must not make the scope unreadable.
///
/// # Errors
/// When `CloudWatch` could not be read, and nothing else was asked for.
pub async fn read(
    cloudwatch: &impl MetricSource,
    prometheus: &impl MetricSource,
    scope: &Scope,
    queries: Queries<'_>,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Series>, ProviderError> {
    let is_prometheus = |query: &MetricQuery| matches!(query.source, QuerySource::Prometheus { .. });
    let (theirs, ours) = (pick(queries, is_prometheus), pick(queries, |query| !is_prometheus(query)));
    let (ours_queries, theirs_queries) = (chosen(queries, &ours), chosen(queries, &theirs));
    let (ours_answer, theirs_answer) = futures_util::future::join(
        ask(cloudwatch, scope, &ours_queries, from, to),
        ask(prometheus, scope, &theirs_queries, from, to),
    )
    .await;
    let said =
        |error: ProviderError| theirs_queries.iter().map(|(query, _)| unread(query, &error.to_string())).collect();
    let theirs_answer = Ok(theirs_answer.unwrap_or_else(said));
    in_order(queries, vec![(ours, ours_answer), (theirs, theirs_answer)])
}

async fn ask(
    source: &impl MetricSource,
    scope: &Scope,
    queries: Queries<'_>,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Series>, ProviderError> {
    // A source that nobody asks for is not touched: it may not even be there.
    if queries.is_empty() { Ok(Vec::new()) } else { source.read(scope, queries, from, to).await }
}

/// The positions of the queries that are meant.
fn pick(queries: Queries<'_>, meant: impl Fn(&MetricQuery) -> bool) -> Vec<usize> {
    queries.iter().enumerate().filter(|(_, (query, _))| meant(query)).map(|(position, _)| position).collect()
}

fn chosen(queries: Queries<'_>, positions: &[usize]) -> Vec<(MetricQuery, bool)> {
    positions.iter().filter_map(|position| queries.get(*position).cloned()).collect()
}

/// An answer to the queries at these positions.
pub(super) type Part = (Vec<usize>, Result<Vec<Series>, ProviderError>);

/// One series for each query. A part that failed gives empty series with its reason, unless every part failed.
pub(super) fn in_order(queries: Queries<'_>, parts: Vec<Part>) -> Result<Vec<Series>, ProviderError> {
    let said = |part: &Part| !part.0.is_empty() && part.1.is_ok();
    let some = parts.iter().any(said);
    let mut all: Vec<Series> = queries.iter().map(|(query, _)| unread(query, "not returned")).collect();
    for (positions, answer) in parts.into_iter().filter(|(positions, _)| !positions.is_empty()) {
        let series = match answer {
            Ok(series) => series,
            Err(error) if !some => return Err(error),
            Err(error) => {
                let queries = positions.iter().filter_map(|position| queries.get(*position));
                queries.map(|(query, _)| unread(query, &error.to_string())).collect()
            }
        };
        for (position, series) in positions.into_iter().zip(series) {
            if let Some(slot) = all.get_mut(position) {
                *slot = series;
            }
        }
    }
    Ok(all)
}

/// A query's series without a point, and why.
pub(super) fn unread(query: &MetricQuery, why: &str) -> Series {
    Series {
        cell: query.cell.clone(),
        metric: query.metric.clone(),
        completeness: Completeness::Unknown(why.to_owned()),
        points: Vec::new(),
        samples: Vec::new(),
        unit: None,
    }
}

#[cfg(test)]
mod tests;
