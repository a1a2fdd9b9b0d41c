//! What people are asked, and what they say.

use crate::api::http::extract::{Asking, Body, Named, Nothing};
use crate::api::http::reply::{self, ApprovalsView, Reply};
use crate::api::verbs::{Request, Says};
use serde::Deserialize;

/// Yes, to what this digest covers.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its first twelve characters, or all of it.
    digest: String,
    /// The name of the last wave that they agree to; none: all that are asked for.
    through: Option<String>,
    /// The key figure of a destructive change, in their words.
    confirm: Option<String>,
}

/// No.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// Why.
    reason: String,
}

/// This environment is as it should be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignOff {
    /// Which.
    environment: String,
}

/// What people are asked, of every rollout that asks.
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", responses((status = 200, description = "As asked", body = ApprovalsView)))]
pub async fn asked(asking: Asking) -> Reply {
    reply::of(asking.ask(Request::Approvals).await?, "")
}

/// A person agrees to what a digest covers.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/approvals", tag = "approvals", request_body = Approval, responses((status = 204, description = "The order was taken and is durable")))]
pub async fn approve(asking: Asking, Named(rollout): Named, Body(said): Body<Approval>) -> Reply {
    let Approval { digest, through, confirm } = said;
    answer(asking, rollout, Says::Approve { digest, through, confirm }).await
}

/// A person takes their approval back.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/approvals/revoke", tag = "approvals", responses((status = 204, description = "The order was taken and is durable")))]
pub async fn revoke(asking: Asking, Named(rollout): Named, _: Body<Nothing>) -> Reply {
    answer(asking, rollout, Says::Revoke {}).await
}

/// A person says no.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/rejection", tag = "approvals", request_body = Rejection, responses((status = 204, description = "The order was taken and is durable")))]
pub async fn reject(asking: Asking, Named(rollout): Named, Body(said): Body<Rejection>) -> Reply {
    answer(asking, rollout, Says::Reject { reason: said.reason }).await
}

/// A person says that an environment is as it should be.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/sign-offs", tag = "approvals", request_body = SignOff, responses((status = 204, description = "The order was taken and is durable")))]
pub async fn sign_off(asking: Asking, Named(rollout): Named, Body(said): Body<SignOff>) -> Reply {
    answer(asking, rollout, Says::SignOff { environment: said.environment }).await
}

async fn answer(asking: Asking, rollout: String, says: Says) -> Reply {
    reply::of(asking.ask(Request::Answer { rollout: rollout.into(), says }).await?, "")
}
