//! What keeps a stream of events open: a place, and a credential that still holds. INVARIANT: S23. Whoever may not come in any more does
//! not stay in either.

use super::Http;
use super::guard::Shown;
use super::problem::Problem;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;

/// So often the credential behind a stream is looked at again.
const LOOK: Duration = Duration::from_secs(5);

/// It is one.
pub fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    kind.starts_with(b"text/event-stream")
}

/// The same response; its body keeps a place, and ends soon after its credential: revoked, expired, or one of somebody with other roles.
/// Whoever comes back is told why.
///
/// # Errors
/// Busy.
pub fn keep(http: &Arc<Http>, shown: Shown, response: Response) -> Result<Response, Problem> {
    let place = http.limits.stream(shown.kind())?;
    let http = Arc::clone(http);
    let ended = async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if !shown.holds(&http).await {
                return;
            }
        }
    };
    let (head, body) = response.into_parts();
    let held = body.into_data_stream().take_until(Box::pin(ended)).map(move |chunk| {
        let _ = &place;
        chunk
    });
    Ok(Response::from_parts(head, Body::from_stream(held)))
}
