//! Every address with its handler: from HTTP to one request to the service, and back.

mod approvals;
mod kills;
mod looks;
mod proposals;
mod rollouts;

use super::{Http, events, probes, wrong_method};
use axum::Router;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A page has so many lines, unless it is said.
const PAGE: usize = 50;
/// A page has so many lines at most: a thousand would hold the loop up for all others.
const PAGE_MAX: usize = 200;

/// Every address, and what the handlers say about themselves.
pub fn routes() -> (Router<Arc<Http>>, OpenApi) {
    let (router, document) = OpenApiRouter::default()
        .routes(routes!(proposals::propose))
        .routes(routes!(proposals::preview))
        .routes(routes!(proposals::previewed))
        .routes(routes!(rollouts::list))
        .routes(routes!(rollouts::one))
        .routes(routes!(rollouts::plan))
        .routes(routes!(rollouts::explanation))
        .routes(routes!(rollouts::pause))
        .routes(routes!(rollouts::resume))
        .routes(routes!(rollouts::revert))
        .routes(routes!(rollouts::withdraw))
        .routes(routes!(approvals::asked))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::revoke))
        .routes(routes!(approvals::reject))
        .routes(routes!(approvals::sign_off))
        .routes(routes!(kills::kill, kills::list))
        .routes(routes!(kills::lift))
        .routes(routes!(looks::status))
        .routes(routes!(looks::findings))
        .routes(routes!(looks::pipelines))
        .routes(routes!(looks::check))
        .routes(routes!(looks::pipeline))
        .routes(routes!(looks::audit))
        .routes(routes!(looks::drills, kills::drill))
        .routes(routes!(looks::me))
        .routes(routes!(looks::version))
        .routes(routes!(events::of_rollout))
        .routes(routes!(events::of_everything))
        .routes(routes!(probes::document))
        .routes(routes!(probes::healthy))
        .routes(routes!(probes::ready))
        .routes(routes!(probes::metrics))
        .split_for_parts();
    (router.method_not_allowed_fallback(wrong_method), document)
}

/// The largest position: what every reader of JSON counts without loss, and far more records than a disk holds.
pub(super) const POSITION_MAX: u64 = (1 << 53) - 1;

/// A position in a list or in the record.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "u64")]
pub struct Position(u64);

impl Position {
    fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TryFrom<u64> for Position {
    type Error = String;
    fn try_from(position: u64) -> Result<Self, String> {
        if position > POSITION_MAX { Err(format!("`after` is {POSITION_MAX} at most")) } else { Ok(Self(position)) }
    }
}

/// How many lines of a list: `limit`, 1 to 200.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "usize")]
pub struct Limit(usize);

impl Default for Limit {
    fn default() -> Self {
        Self(PAGE)
    }
}

impl TryFrom<usize> for Limit {
    type Error = String;
    fn try_from(limit: usize) -> Result<Self, String> {
        match limit {
            1..=PAGE_MAX => Ok(Self(limit)),
            _ => Err(format!("`limit` is between 1 and {PAGE_MAX}")),
        }
    }
}
