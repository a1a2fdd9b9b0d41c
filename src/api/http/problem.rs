//! What went wrong, as every answer that is no success says it: problem details (RFC 9457) with a stable code.

use crate::api::code::Code;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type of RFC 9457.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem, on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// A problem, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProblemBody {
    /// `/problems/` and the code: a name, no page to open.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, in one line.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What it was this time, and what to do. For people: it changes.
    pub detail: String,
    /// Stable: what programs branch on.
    pub code: Code,
}

impl Problem {
    /// A problem with what it was this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let header = match code {
            Code::Unauthenticated => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Code::Busy | Code::Stopped | Code::KeyInFlight => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        };
        Self { code, detail: detail.into(), header }
    }

    /// Too many requests: come back after so many seconds.
    pub fn later(detail: impl Into<String>, seconds: u64) -> Self {
        let header = Some((RETRY_AFTER, HeaderValue::from(seconds)));
        Self { header, ..Self::new(Code::TooManyRequests, detail) }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What it was.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ProblemBody {
            kind: format!("/problems/{}", self.code),
            title: self.code.title().into(),
            status: status.as_u16(),
            detail: self.detail,
            code: self.code,
        };
        // Text and numbers cannot fail to be written.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], body).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_code_is_a_problem_of_its_status() {
        for code in Code::ALL {
            let response = Problem::new(code, "it was \"this\"").into_response();
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let wanted = serde_json::json!({
                "type": format!("/problems/{code}"), "title": code.title(), "status": code.status(),
                "detail": "it was \"this\"", "code": code.name(),
            });
            assert_eq!(body, wanted);
        }
    }

    #[test]
    fn whoever_is_not_known_hears_how_to_be() {
        let response = Problem::new(Code::Unauthenticated, "").into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(Problem::later("", 3).into_response().headers()[RETRY_AFTER], "3");
    }
}
