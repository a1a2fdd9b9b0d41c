//! What every door needs.

use super::auth::Auth;
use super::feed::Feed;
use super::metrics::Metrics;
use super::service::Service;
use std::sync::Arc;

/// What every door needs. A clone is another hand on the same.
#[derive(Clone)]
pub struct Doors {
    /// The verbs.
    pub service: Arc<Service>,
    /// Who is calling.
    pub auth: Arc<Auth>,
    /// What happens.
    pub feed: Arc<Feed>,
    /// What is counted.
    pub metrics: Metrics,
}
