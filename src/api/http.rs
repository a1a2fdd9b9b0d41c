//! The HTTP door: JSON under `/v1`, a stream of events, probes and the document that describes it all. Every route hands on to the
//! one list of verbs ([`super::service`]); nothing is decided here but whether a request comes through the door at all.
//!
//! | module | what |
//! |---|---|
//! | `listen` | connections: their number, their time, TLS |
//! | `arrivals` | how many from one address, before they say who they are |
//! | `tls` | certificates, ours and theirs |
//! | `guard` | host, origin, credential, rate: before any route, known or not |
//! | `limits` | how much at once, with a share that only kills have |
//! | `intake` | the body of a POST, and its idempotency key |
//! | `idempotency` | answers that were given, to be given again |
//! | `routes` | every address with its handler |
//! | `events`, `streams` | the stream, and what keeps it open |
//! | `probes` | is it alive, does it lead, its numbers |
//! | `extract`, `reply`, `problem` | from HTTP to the verbs and back |
//! | `openapi` | what the document says beside the routes |

pub mod arrivals;
pub mod events;
pub mod extract;
pub mod guard;
pub mod idempotency;
pub mod intake;
pub mod limits;
pub mod listen;
pub mod openapi;
pub mod probes;
pub mod problem;
pub mod reply;
pub mod routes;
pub mod streams;
pub mod tls;

use super::code::Code;
use super::doors::Doors;
use crate::config::http::HttpConfig;
use axum::Router;
use axum::body::Bytes;
use axum::middleware;
use futures_util::future::BoxFuture;
use idempotency::Answers;
use limits::Limits;
use problem::Problem;
use std::net::SocketAddr;
use std::sync::Arc;

/// Numbers about the daemon, as Prometheus reads them.
pub type Metrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// What the door is like, beside what it is a door to.
#[derive(Clone)]
pub struct Settings {
    /// The configuration.
    pub config: HttpConfig,
    /// Where it listens in fact: with the port that the system gave.
    pub address: SocketAddr,
    /// What `/metrics` shows; none: there is nothing at that address.
    pub metrics: Option<Metrics>,
}

impl Settings {
    /// Of a door that listens at `address`.
    pub fn new(config: HttpConfig, address: SocketAddr) -> Self {
        Self { config, address, metrics: None }
    }
}

/// What every request sees.
pub struct Http {
    doors: Doors,
    settings: Settings,
    names: guard::Names,
    limits: Limits,
    answers: Arc<Answers>,
    document: Bytes,
}

/// The door. `extra` is another protocol's router, which lies under `/mcp` behind the same guard.
pub fn router(doors: Doors, settings: Settings, extra: Option<Router>) -> Router {
    let (routes, described) = routes::routes();
    let http = Arc::new(Http {
        doors,
        names: guard::Names::of(&settings),
        limits: Limits::of(&settings.config.limits),
        answers: Arc::default(),
        document: openapi::text(described).into(),
        settings,
    });
    let taken_in = middleware::from_fn_with_state(Arc::clone(&http), intake::intake);
    let mut router = routes.with_state(Arc::clone(&http)).layer(taken_in);
    if let Some(extra) = extra {
        let bounded = middleware::from_fn_with_state(Arc::clone(&http), intake::bounded);
        router = router.nest("/mcp", extra.layer(bounded));
    }
    router.fallback(nothing_here).layer(middleware::from_fn_with_state(http, guard::guard))
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this address; `/v1/openapi.json` lists what there is")
}

async fn wrong_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "this address does not take that method; the header `Allow` lists those that it takes",
    )
}
