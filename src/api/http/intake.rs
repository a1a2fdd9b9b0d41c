//! The body of a POST: JSON, whole, not too large and in time; with its idempotency key. What was begun goes on to its end, also when
//! the caller hangs up: the answer is kept for when they ask again.

use super::Http;
use super::extract::Key;
use super::guard::is_kill;
use super::idempotency::{Asked, Known};
use super::problem::Problem;
use crate::api::code::Code;
use crate::model::ids::Digest;
use crate::model::principal::{Caller, PrincipalKind};
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;

/// A change set with its templates, or a pipeline: as much as the socket takes.
pub const LARGE_MAX: usize = 16 * 1024 * 1024;
/// Everything else: a digest and a sentence.
pub const SMALL_MAX: usize = 64 * 1024;
/// The longest idempotency key. A UUID has 36 characters.
pub const KEY_MAX: usize = 200;

/// Addresses whose bodies are large.
const LARGE: [&str; 3] = ["/v1/change-sets", "/v1/previews", "/v1/pipelines/check"];

/// Takes a POST in. Other methods have no body that counts.
pub async fn intake(State(http): State<Arc<Http>>, request: Request, next: Next) -> Response {
    if *request.method() != Method::POST {
        return next.run(request).await;
    }
    taken_in(http, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

/// Bounds the body of another protocol's request, and nothing else.
pub async fn bounded(State(http): State<Arc<Http>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    // One that does not say how large it is counts as large.
    let small = body.size_hint().upper().is_some_and(|most| most <= SMALL_MAX as u64);
    let kind = head.extensions.get::<Caller>().map_or(PrincipalKind::Agent, |caller| caller.principal.kind);
    let space = if small { Ok(None) } else { http.limits.large(kind).map(Some) };
    let read = async {
        let space = space?;
        Ok::<_, Problem>((space, read(&head.headers, body, LARGE_MAX, http.limits.time).await?))
    };
    match read.await {
        Ok((_space, body)) => next.run(Request::from_parts(head.clone(), Body::from(body))).await,
        Err(problem) => problem.into_response(),
    }
}

async fn taken_in(http: Arc<Http>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut head, body) = request.into_parts();
    let key = key(&head.headers)?;
    is_json(&head.headers, &body)?;
    let kill = is_kill(&head.method, &head.uri);
    let large = LARGE.contains(&head.uri.path());
    let caller = head.extensions.get::<Caller>().map(|caller| caller.principal.clone());
    let kind = caller.as_ref().map_or(PrincipalKind::Agent, |caller| caller.kind);
    let space = if large { Some(http.limits.large(kind)?) } else { None };
    let (max, time) = match (large, kill) {
        (true, _) => (LARGE_MAX, http.limits.time),
        (false, true) => (SMALL_MAX, http.limits.head_time),
        (false, false) => (SMALL_MAX, http.limits.time),
    };
    let body = read(&head.headers, body, max, time).await?;
    let place = if kill { Some(http.limits.kill(kind).await?) } else { None };
    let content =
        Digest::of_bytes(format!("{}\n{}", head.uri.query().unwrap_or_default(), Digest::of_bytes(&body)).as_bytes());
    // INVARIANT: S23. No stop order is refused, or answered from memory, for its key.
    let asked = key.as_ref().zip(caller).filter(|_| !kill).map(|(key, by)| Asked {
        by: (by.kind, by.name, by.party),
        what: format!("{} {}", head.method, head.uri.path()),
        key: key.0.clone(),
    });
    let begun = match asked.map(|asked| http.answers.begin(asked, content)) {
        None => None,
        Some(Known::New(begun)) => Some(begun),
        Some(Known::Answered(answer)) => return Ok(answer),
        Some(Known::Refused(problem)) => return Err(problem),
    };
    if let Some(key) = key {
        head.extensions.insert(key);
    }
    let request = Request::from_parts(head, Body::from(body));
    let answering = tokio::spawn(async move {
        let response = next.run(request).await;
        drop((place, space));
        match begun {
            Some(begun) => begun.answered(response).await,
            None => response,
        }
    });
    let answered = http.limits.in_time(answering).await?;
    answered.map_err(|_| Problem::new(Code::Internal, "the request could not be answered; the log says why"))
}

/// The key, if there is one.
fn key(headers: &HeaderMap) -> Result<Option<Key>, Problem> {
    let wrong = || {
        Problem::new(Code::BadRequest, format!("`Idempotency-Key` is 1 to {KEY_MAX} visible ASCII characters, once"))
    };
    let mut given = headers.get_all("idempotency-key").iter();
    let (Some(value), more) = (given.next(), given.next()) else { return Ok(None) };
    let text = value.to_str().map_err(|_| wrong())?;
    let visible = text.bytes().all(|c| c.is_ascii_graphic());
    if more.is_some() || !visible || !(1..=KEY_MAX).contains(&text.len()) {
        return Err(wrong());
    }
    Ok(Some(Key(text.to_owned())))
}

/// A body is JSON, and says so. A page in a browser cannot say that without asking first.
fn is_json(headers: &HeaderMap, body: &Body) -> Result<(), Problem> {
    let said = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let kind = said.map(|said| said.split(';').next().unwrap_or_default().trim());
    match kind {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Ok(()),
        None if http_body_is_empty(body) => Ok(()),
        _ => Err(Problem::new(Code::UnsupportedMediaType, "send the body as `Content-Type: application/json`")),
    }
}

fn http_body_is_empty(body: &Body) -> bool {
    use axum::body::HttpBody as _;
    body.is_end_stream()
}

async fn read(headers: &HeaderMap, body: Body, max: usize, time: Duration) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::TooLarge, format!("this address takes {max} bytes at most"));
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| usize::try_from(said).map_or(true, |said| said > max)) {
        return Err(too_large());
    }
    let whole = async {
        let mut bytes = Vec::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Problem::new(Code::BadRequest, "the body did not arrive whole"))?;
            if bytes.len() + chunk.len() > max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(bytes))
    };
    let late = || Problem::new(Code::Timeout, format!("the body did not arrive within {} s", time.as_secs()));
    tokio::time::timeout(time, whole).await.unwrap_or_else(|_| Err(late()))
}
