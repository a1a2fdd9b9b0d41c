//! What handlers take out of a request, each with a problem for what cannot be read.

use super::Http;
use super::problem::Problem;
use crate::api::code::Code;
use crate::api::verbs::{Request, Response};
use crate::model::principal::Caller;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Somebody who asks something, by name: the guard before every route has found out who.
pub struct Asking {
    pub(super) http: Arc<Http>,
    pub(super) caller: Caller,
    key: Option<Key>,
}

/// The idempotency key of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub(super) String);

impl Asking {
    /// What the service says to it.
    ///
    /// # Errors
    /// A problem: refused, wrong, or the daemon has stopped.
    pub async fn ask(&self, request: Request) -> Result<Response, Problem> {
        let key = self.key.as_ref().map(|key| key.0.as_str());
        match self.http.doors.service.answer(&self.caller, request, key).await {
            Ok(Response::Refused { code, message }) => Err(Problem::new(code, message)),
            Ok(Response::BadInput { message }) => Err(Problem::new(Code::BadInput, message)),
            Ok(response) => Ok(response),
            Err(stopped) => Err(Problem::new(Code::Stopped, stopped.to_string())),
        }
    }
}

impl FromRequestParts<Arc<Http>> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        // Without the guard there is no caller, and without a caller no answer.
        let caller = caller.ok_or_else(|| Problem::new(Code::Unauthenticated, "no credential was checked"))?;
        Ok(Self { http: Arc::clone(http), caller, key: parts.extensions.get::<Key>().cloned() })
    }
}

/// The name in the path.
pub struct Named(pub String);

/// Names are short: nothing longer was ever made.
const NAME_MAX: usize = 200;

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name): Path<String> = Path::from_request_parts(parts, state).await.map_err(|error| {
            Problem::new(Code::BadRequest, format!("the path cannot be read: {}", error.body_text()))
        })?;
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(Problem::new(
                Code::BadRequest,
                format!("the name in the path is no name: at most {NAME_MAX} characters, no control characters"),
            ));
        }
        Ok(Self(name))
    }
}

/// The query.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::from_request_parts(parts, state).await.map_err(|error| {
            Problem::new(Code::BadRequest, format!("the query cannot be read: {}", error.body_text()))
        })?;
        Ok(Self(query))
    }
}

/// A body in JSON. Its media type and size were looked at when it came in (`intake`). Nothing at all is the empty object.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Problem::new(Code::BadRequest, "the body did not arrive whole"))?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // A list would be read as an object's members in their order.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::new(Code::BadInput, "the body is not what this address takes: it is an object"));
        }
        let reader = &mut serde_json::Deserializer::from_slice(bytes);
        let read = serde_path_to_error::deserialize(&mut *reader).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.into_inner());
            let place = if path == "." { String::new() } else { format!("`{path}`: ") };
            let code = if inner.is_data() { Code::BadInput } else { Code::BadRequest };
            Problem::new(code, format!("the body is not what this address takes: {place}{inner}"))
        })?;
        reader
            .end()
            .map_err(|error| Problem::new(Code::BadRequest, format!("the body goes on after its end: {error}")))?;
        Ok(Self(read))
    }
}

/// The body of an order that has none: nothing, or the empty object.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}
