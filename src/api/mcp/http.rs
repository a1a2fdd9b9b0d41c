//! Streamable HTTP in the daemon. It keeps no sessions: each request is whole in itself and is answered as whoever its own credential
//! proves. So no session can be taken over by somebody with another token, none is lost when the daemon starts again, and none fills
//! the memory.

use super::{Ask, Entrance, McpServer, NoAnswer};
use crate::api::code::Code;
use crate::api::doors::Doors;
use crate::api::metrics::Metrics;
use crate::api::service::Service;
use crate::api::verbs::{Request, Response};
use crate::model::principal::{Caller, Door};
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use futures_util::future::BoxFuture;
use rmcp::model::Extensions;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::sync::Arc;

/// The largest request: a change set's text and its templates (`input::TEMPLATES_MAX`), with what JSON adds to them.
pub const BODY_MAX: usize = 16 * 1024 * 1024;

/// The door, to be nested at `/mcp` behind the middleware that puts the [`Caller`] into the request's extensions and that checks `Host`
/// and `Origin`. A request without a caller is refused here, too.
pub fn router(doors: Doors) -> Router {
    with_metrics(doors.service, doors.metrics)
}

/// The door over the verbs alone, which are all that it needs.
pub fn of_service(service: Arc<Service>) -> Router {
    with_metrics(service, Metrics::default())
}

fn with_metrics(service: Arc<Service>, metrics: Metrics) -> Router {
    let server = McpServer::new(Arc::new(AtTheDoor { service })).counting(metrics);
    // Hosts and origins: the operator's list is checked before the request comes here. A second list would only disagree with it.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(BODY_MAX)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let service =
        StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
    Router::new().route_service("/", service).layer(middleware::from_fn(callers_only))
}

/// Nobody is let in whose identity is not proven, not even to see the list of tools.
async fn callers_only(request: axum::extract::Request, next: Next) -> axum::response::Response {
    if request.extensions().get::<Caller>().is_some() {
        return next.run(request).await;
    }
    let code = Code::Unauthenticated;
    let problem = serde_json::json!({
        "title": code.title(), "status": code.status(), "code": code.name(), "detail": NOBODY,
    });
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    (status, [(CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
}

const NOBODY: &str = "no credential: send `Authorization: Bearer TOKEN` with every request";

struct AtTheDoor {
    service: Arc<Service>,
}

impl Entrance for AtTheDoor {
    fn enter(&self, call: &Extensions) -> Result<Arc<dyn Ask>, NoAnswer> {
        let caller = call.get::<Parts>().and_then(|parts| parts.extensions.get::<Caller>());
        let caller = caller.ok_or_else(|| NoAnswer::new(Code::Unauthenticated, NOBODY))?;
        let caller = Caller { door: Door::Mcp, ..caller.clone() };
        Ok(Arc::new(Known { caller, service: Arc::clone(&self.service) }))
    }
}

/// One caller, for one call.
struct Known {
    caller: Caller,
    service: Arc<Service>,
}

impl Ask for Known {
    fn ask(&self, request: Request, key: Option<String>) -> BoxFuture<'_, Result<Response, NoAnswer>> {
        Box::pin(async move {
            let answered = self.service.answer(&self.caller, request, key.as_deref()).await;
            answered.map_err(|stopped| NoAnswer::new(Code::Stopped, stopped.to_string()))
        })
    }
}
