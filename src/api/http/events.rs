//! The stream of events (server-sent events). Whoever comes back with `Last-Event-ID` goes on where they were: without a gap, and
//! without seeing anything twice.

use super::extract::{Asked, Asking, Named};
use super::problem::Problem;
use super::reply::Reply;
use crate::api::code::Code;
use crate::api::feed::{Filter, Follower};
use crate::api::verbs::Request;
use crate::model::ids::RolloutId;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;

/// A stream that says nothing for so long says that it is still there: proxies cut what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The first words: they send the head off, and tell when to come back.
const OPENING: &[u8] = b"retry: 1000\n: follows\n\n";

/// From where on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// Events after this position. The header `Last-Event-ID` wins.
    after: Option<u64>,
}

/// What happens to a rollout, from its beginning on.
#[utoipa::path(get, path = "/v1/rollouts/{rollout}/events", tag = "events", params(Since), responses((status = 200, description = "Server-sent events, without end: `id` is the position, `event` the event's name, `data` an AuditEntry as JSON. A comment every 15 s says that the stream is still there", body = String, content_type = "text/event-stream")))]
pub async fn of_rollout(
    asking: Asking,
    Named(rollout): Named,
    Asked(since): Asked<Since>,
    headers: HeaderMap,
) -> Reply {
    let rollout: RolloutId = rollout.into();
    // The shortest look at a rollout: it tells who may not look, and what is not there.
    asking.ask(Request::Findings { rollout: Some(rollout.clone()), after: 0, limit: 1 }).await?;
    let after = position(&headers, &since)?.unwrap_or(0);
    follow(asking, Filter { rollout: Some(rollout) }, after).await
}

/// What happens, from now on.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(Since), responses((status = 200, description = "Server-sent events, without end: `id` is the position, `event` the event's name, `data` an AuditEntry as JSON. A comment every 15 s says that the stream is still there", body = String, content_type = "text/event-stream")))]
pub async fn of_everything(asking: Asking, Asked(since): Asked<Since>, headers: HeaderMap) -> Reply {
    // All of the record is for those who may read it, here as by `/v1/audit`.
    asking.ask(Request::Audit { after: i64::MAX.unsigned_abs(), limit: 1 }).await?;
    let after = position(&headers, &since)?.unwrap_or_else(|| asking.http.doors.feed.newest());
    follow(asking, Filter::default(), after).await
}

fn position(headers: &HeaderMap, since: &Since) -> Result<Option<u64>, Problem> {
    let Some(last) = headers.get("last-event-id") else { return Ok(since.after) };
    let last = last.to_str().ok().and_then(|last| last.trim().parse().ok());
    last.map(Some).ok_or_else(|| Problem::new(Code::BadRequest, "`Last-Event-ID` is the `id` of an event: a number"))
}

async fn follow(asking: Asking, filter: Filter, after: u64) -> Reply {
    let doors = &asking.http.doors;
    let newest = doors.service.orders().look(|core| core.seq().0).await;
    let newest = newest.map_err(|stopped| Problem::new(Code::Stopped, stopped.to_string()))?;
    if after > newest {
        // Somebody who follows another daemon's journal would wait without a word, and miss what happens until then.
        return Err(Problem::new(
            Code::BadRequest,
            format!("there is no event {after} yet; the newest one is {newest}"),
        ));
    }
    let follower = (doors.feed.follow(filter, after), doors.metrics.follows());
    let first = futures_util::stream::once(async { Ok::<_, Infallible>(Bytes::from_static(OPENING)) });
    let rest = futures_util::stream::unfold(follower, |(follower, counted)| async {
        let (chunk, follower) = step(follower).await?;
        Some((chunk, (follower, counted)))
    });
    let stream = futures_util::StreamExt::chain(first, rest);
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response())
}

/// The next bytes: events, or a sign of life. None: the daemon stops, or its journal cannot be read; the client comes back by itself.
async fn step(mut follower: Follower) -> Option<(Result<Bytes, Infallible>, Follower)> {
    match tokio::time::timeout(KEEP_ALIVE, follower.next_chunk()).await {
        Ok(Ok(Some(chunk))) => Some((Ok(chunk), follower)),
        Ok(Ok(None)) => None,
        Ok(Err(error)) => {
            tracing::warn!(%error, "a stream of events ends early");
            None
        }
        Err(_) => Some((Ok(Bytes::from_static(b": still here\n\n")), follower)),
    }
}
