//! Is it alive, does it lead, its numbers, and the document of this door.

use super::Http;
use super::problem::Problem;
use super::reply::{self, Reply};
use crate::api::code::Code;
use crate::daemon::core::Core;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// The loop answers a look within milliseconds; one that takes longer is stuck. A kill must be acknowledged in the same time (L3).
const LOOK: Duration = Duration::from_secs(2);

/// A probe that went well.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Sound {
    /// Always `ok`.
    pub status: String,
}

impl Sound {
    fn reply() -> Reply {
        reply::json(StatusCode::OK, &Self { status: "ok".into() })
    }
}

/// Is it alive: does the loop answer?
#[utoipa::path(get, path = "/healthz", tag = "probes", responses((status = 200, description = "As asked", body = Sound)))]
pub async fn healthy(State(http): State<Arc<Http>>) -> Reply {
    look(&http, |_| ()).await?;
    Sound::reply()
}

/// Does it lead, and can its journal be read?
#[utoipa::path(get, path = "/readyz", tag = "probes", responses((status = 200, description = "As asked", body = Sound)))]
pub async fn ready(State(http): State<Arc<Http>>) -> Reply {
    let leads = look(&http, |core| core.journal().must_lead().and_then(|()| core.journal().newest_seq())).await?;
    leads.map_err(|error| Problem::new(Code::Stopped, error.to_string()))?;
    Sound::reply()
}

async fn look<T: Send + 'static>(http: &Http, look: impl FnOnce(&Core) -> T + Send + 'static) -> Result<T, Problem> {
    match tokio::time::timeout(LOOK, http.doors.service.orders().look(look)).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(stopped)) => Err(Problem::new(Code::Stopped, stopped.to_string())),
        Err(_) => Err(Problem::new(Code::Busy, format!("the loop did not answer within {} s", LOOK.as_secs()))),
    }
}

/// Numbers about the daemon, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses((status = 200, description = "As asked", body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(http): State<Arc<Http>>) -> Reply {
    match &http.settings.metrics {
        Some(metrics) => Ok(([(CONTENT_TYPE, crate::api::metrics::CONTENT_TYPE)], metrics().await).into_response()),
        None => Err(Problem::new(Code::NotFound, "this daemon shows no numbers")),
    }
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "probes", responses((status = 200, description = "As asked", body = Object, content_type = "application/json")))]
pub async fn document(State(http): State<Arc<Http>>) -> Reply {
    Ok(([(CONTENT_TYPE, "application/json")], http.document.clone()).into_response())
}
