//! Stop orders.

use super::Limit;
use crate::api::code::Code;
use crate::api::http::extract::{Asked, Asking, Body, Named, Nothing};
use crate::api::http::problem::Problem;
use crate::api::http::reply::{self, DrillStartedView, Reply};
use crate::api::listing::{LiftView, Page};
use crate::api::verbs::{Request, SandboxDrill};
use crate::api::view::KillView;
use crate::model::halt::KillMode;
use serde::Deserialize;

/// What is stopped, and how hard. Nothing said: everything pauses.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `all`, or one of `environment=`, `region=`, `cell=`, `pipeline=`, `agent=`, `rollout=` with a name.
    #[serde(default = "all")]
    scope: String,
    /// How hard.
    #[serde(default = "pause")]
    #[schema(value_type = String, pattern = "^(pause|halt|revert)$")]
    mode: KillMode,
    /// Why.
    #[serde(default)]
    reason: String,
}

fn all() -> String {
    "all".into()
}

fn pause() -> KillMode {
    KillMode::Pause
}

/// Where a drill is held.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillOrder {
    /// On the cells of a sandbox; none: over the embedded world of drills.
    #[serde(default)]
    sandbox: Option<SandboxDrill>,
}

/// Which stop orders.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Those after this one, in the order of the list.
    #[param(max_length = 200)]
    after: Option<String>,
    /// So many at most.
    #[serde(default)]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Stops. An answer comes within two seconds: acknowledged, or what is still pending.
#[utoipa::path(post, path = "/v1/kills", tag = "kills", request_body = Order, responses((status = 201, description = "In force, and acknowledged", body = KillView), (status = 202, description = "In force; what it names is still pending", body = KillView)))]
pub async fn kill(asking: Asking, Body(order): Body<Order>) -> Reply {
    let scope = order.scope.parse().map_err(|why: String| Problem::new(Code::BadInput, why))?;
    reply::of(asking.ask(Request::Kill { scope, mode: order.mode, reason: order.reason }).await?, "")
}

/// Stop orders, newest first.
#[utoipa::path(get, path = "/v1/kills", tag = "kills", params(Wanted), responses((status = 200, description = "As asked", body = Page<KillView>)))]
pub async fn list(asking: Asking, Asked(wanted): Asked<Wanted>) -> Reply {
    let Wanted { after, limit: Limit(limit) } = wanted;
    reply::of(asking.ask(Request::Kills { after: after.map(Into::into), limit }).await?, "")
}

/// Lifts a stop order: the first person asks, another one lifts.
#[utoipa::path(post, path = "/v1/kills/{kill}/lift", tag = "kills", responses((status = 200, description = "As asked", body = LiftView)))]
pub async fn lift(asking: Asking, Named(kill): Named, _: Body<Nothing>) -> Reply {
    reply::of(asking.ask(Request::Lift { kill: kill.into() }).await?, "")
}

/// Holds a kill drill: every door and mode is tried. `GET /v1/drills` tells how it goes and what came of it.
#[utoipa::path(post, path = "/v1/drills", tag = "kills", request_body = DrillOrder, responses((status = 202, description = "It has begun", body = DrillStartedView)))]
pub async fn drill(asking: Asking, Body(order): Body<DrillOrder>) -> Reply {
    reply::of(asking.ask(Request::Drill { sandbox: order.sandbox }).await?, "")
}
