//! What there is to see beside rollouts and kills.

use super::{Limit, Position};
use crate::api::http::extract::{Asked, Asking, Body, Named};
use crate::api::http::reply::{self, CheckedView, Reply, VersionView};
use crate::api::listing::{AuditEntry, CallerView, FindingView, Page, PipelineSummary, PipelineView};
use crate::api::verbs::{DrillsView, Request};
use crate::api::view::StatusView;
use serde::Deserialize;

/// A pipeline's text, to be checked.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineText {
    /// The file's name, for messages.
    #[serde(default = "unnamed")]
    file: String,
    /// Its text.
    text: String,
}

fn unnamed() -> String {
    "pipeline".into()
}

/// Which findings.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WantedFindings {
    /// Only of this rollout; none: of every open one.
    #[param(max_length = 200)]
    rollout: Option<String>,
    /// Those after this position.
    #[serde(default)]
    #[param(value_type = Option<u64>)]
    after: Position,
    /// So many at most.
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Which records.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WantedRecords {
    /// Those after this position.
    #[serde(default)]
    #[param(value_type = Option<u64>)]
    after: Position,
    /// So many at most.
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// How things stand: everything.
#[utoipa::path(get, path = "/v1/status", tag = "looks", responses((status = 200, description = "As asked", body = StatusView)))]
pub async fn status(asking: Asking) -> Reply {
    reply::of(asking.ask(Request::Status { rollout: None, full: false }).await?, "")
}

/// What the guardrails found, in open rollouts or in one.
#[utoipa::path(get, path = "/v1/findings", tag = "looks", params(WantedFindings), responses((status = 200, description = "As asked", body = Page<FindingView>)))]
pub async fn findings(asking: Asking, Asked(wanted): Asked<WantedFindings>) -> Reply {
    let WantedFindings { rollout, after, limit: Limit(limit) } = wanted;
    reply::of(
        asking.ask(Request::Findings { rollout: rollout.map(Into::into), after: after.as_usize(), limit }).await?,
        "",
    )
}

/// Pipelines in short.
#[utoipa::path(get, path = "/v1/pipelines", tag = "pipelines", responses((status = 200, description = "As asked", body = Page<PipelineSummary>)))]
pub async fn pipelines(asking: Asking) -> Reply {
    reply::of(asking.ask(Request::Pipelines).await?, "")
}

/// One pipeline: its cells, waves, and what it asks.
#[utoipa::path(get, path = "/v1/pipelines/{name}", tag = "pipelines", responses((status = 200, description = "As asked", body = PipelineView)))]
pub async fn pipeline(asking: Asking, Named(name): Named) -> Reply {
    reply::of(asking.ask(Request::Pipeline { name }).await?, "")
}

/// Checks a pipeline's text.
#[utoipa::path(post, path = "/v1/pipelines/check", tag = "pipelines", request_body = PipelineText, responses((status = 200, description = "Every fault; none: it is sound", body = CheckedView)))]
pub async fn check(asking: Asking, Body(PipelineText { file, text }): Body<PipelineText>) -> Reply {
    reply::of(asking.ask(Request::Check { file, text }).await?, "")
}

/// The record, oldest first.
#[utoipa::path(get, path = "/v1/audit", tag = "looks", params(WantedRecords), responses((status = 200, description = "As asked", body = Page<AuditEntry>)))]
pub async fn audit(asking: Asking, Asked(wanted): Asked<WantedRecords>) -> Reply {
    let WantedRecords { after: Position(after), limit: Limit(limit) } = wanted;
    reply::of(asking.ask(Request::Audit { after, limit }).await?, "")
}

/// Kill drills, newest first.
#[utoipa::path(get, path = "/v1/drills", tag = "kills", responses((status = 200, description = "As asked", body = DrillsView)))]
pub async fn drills(asking: Asking) -> Reply {
    reply::of(asking.ask(Request::Drills).await?, "")
}

/// Who the caller is.
#[utoipa::path(get, path = "/v1/me", tag = "looks", responses((status = 200, description = "As asked", body = CallerView)))]
pub async fn me(asking: Asking) -> Reply {
    reply::of(asking.ask(Request::Me).await?, "")
}

/// Which release runs.
#[utoipa::path(get, path = "/v1/version", tag = "looks", responses((status = 200, description = "As asked", body = VersionView)))]
pub async fn version(asking: Asking) -> Reply {
    reply::of(asking.ask(Request::Version).await?, "")
}
