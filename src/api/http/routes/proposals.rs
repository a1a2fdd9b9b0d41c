//! Change sets are handed in, to be rolled out or only looked at.

use crate::api::http::extract::{Asking, Body, Named};
use crate::api::http::reply::{self, ProposedView, Reply};
use crate::api::verbs::{Request, Submission};
use crate::api::view::RolloutView;

/// Hands a change set in, to be rolled out.
#[utoipa::path(post, path = "/v1/change-sets", tag = "change sets", request_body = Submission, responses((status = 201, description = "Taken", body = ProposedView, headers(("Location" = String, description = "Where to look at it"))), (status = 200, description = "The same request had proposed it before", body = ProposedView, headers(("Location" = String, description = "Where to look at it")))))]
pub async fn propose(asking: Asking, Body(submission): Body<Submission>) -> Reply {
    reply::of(asking.ask(Request::Propose { submission }).await?, "/v1/rollouts")
}

/// Shows what a change set would do, without touching a resource.
#[utoipa::path(post, path = "/v1/previews", tag = "change sets", request_body = Submission, responses((status = 201, description = "Taken", body = ProposedView, headers(("Location" = String, description = "Where to look at it"))), (status = 200, description = "The same request had proposed it before", body = ProposedView, headers(("Location" = String, description = "Where to look at it")))))]
pub async fn preview(asking: Asking, Body(submission): Body<Submission>) -> Reply {
    reply::of(asking.ask(Request::Preview { submission }).await?, "/v1/previews")
}

/// What a preview has found.
#[utoipa::path(get, path = "/v1/previews/{rollout}", tag = "change sets", responses((status = 200, description = "As asked", body = RolloutView)))]
pub async fn previewed(asking: Asking, Named(rollout): Named) -> Reply {
    reply::one_rollout(asking.ask(Request::Status { rollout: Some(rollout.into()), full: true }).await?)
}
