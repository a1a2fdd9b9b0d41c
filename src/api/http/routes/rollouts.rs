//! Rollouts: seen, held, let go on, sent back.

use super::Limit;
use crate::api::admission::Explanation;
use crate::api::http::extract::{Asked, Asking, Body, Named, Nothing};
use crate::api::http::reply::{self, Reply};
use crate::api::listing::{Page, PlanView, RolloutSummary};
use crate::api::verbs::Request;
use crate::api::view::RolloutView;
use serde::Deserialize;

/// Which rollouts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only open ones (true), only ended ones (false).
    open: Option<bool>,
    /// Those after this one, in the order of the list.
    #[param(max_length = 200)]
    after: Option<String>,
    /// So many at most.
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Rollouts in short, newest first.
#[utoipa::path(get, path = "/v1/rollouts", tag = "rollouts", params(Wanted), responses((status = 200, description = "As asked", body = Page<RolloutSummary>)))]
pub async fn list(asking: Asking, Asked(wanted): Asked<Wanted>) -> Reply {
    let Wanted { open, after, limit: Limit(limit) } = wanted;
    reply::of(asking.ask(Request::Rollouts { open, after: after.map(Into::into), limit }).await?, "")
}

/// One rollout, with the previews' resources.
#[utoipa::path(get, path = "/v1/rollouts/{rollout}", tag = "rollouts", responses((status = 200, description = "As asked", body = RolloutView)))]
pub async fn one(asking: Asking, Named(rollout): Named) -> Reply {
    reply::one_rollout(asking.ask(Request::Status { rollout: Some(rollout.into()), full: true }).await?)
}

/// A rollout's plan.
#[utoipa::path(get, path = "/v1/rollouts/{rollout}/plan", tag = "rollouts", responses((status = 200, description = "As asked", body = PlanView)))]
pub async fn plan(asking: Asking, Named(rollout): Named) -> Reply {
    reply::of(asking.ask(Request::Plan { rollout: rollout.into() }).await?, "")
}

/// Why a rollout does not go on, who can release it, what would make it pass.
#[utoipa::path(get, path = "/v1/rollouts/{rollout}/explanation", tag = "rollouts", responses((status = 200, description = "As asked", body = Explanation)))]
pub async fn explanation(asking: Asking, Named(rollout): Named) -> Reply {
    reply::of(asking.ask(Request::Explain { rollout: rollout.into() }).await?, "")
}

/// Holds a rollout.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/pause", tag = "rollouts", responses((status = 204, description = "The order was taken and is durable")))]
pub async fn pause(asking: Asking, Named(rollout): Named, _: Body<Nothing>) -> Reply {
    reply::of(asking.ask(Request::Pause { rollout: rollout.into() }).await?, "")
}

/// Lets a held rollout go on.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/resume", tag = "rollouts", responses((status = 204, description = "The order was taken and is durable")))]
pub async fn resume(asking: Asking, Named(rollout): Named, _: Body<Nothing>) -> Reply {
    reply::of(asking.ask(Request::Resume { rollout: rollout.into() }).await?, "")
}

/// Takes a rollout back.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/revert", tag = "rollouts", responses((status = 204, description = "The order was taken and is durable")))]
pub async fn revert(asking: Asking, Named(rollout): Named, _: Body<Nothing>) -> Reply {
    reply::of(asking.ask(Request::Revert { rollout: rollout.into() }).await?, "")
}

/// Takes back what one proposed.
#[utoipa::path(post, path = "/v1/rollouts/{rollout}/withdraw", tag = "rollouts", responses((status = 204, description = "The order was taken and is durable")))]
pub async fn withdraw(asking: Asking, Named(rollout): Named, _: Body<Nothing>) -> Reply {
    reply::of(asking.ask(Request::Withdraw { rollout: rollout.into() }).await?, "")
}
