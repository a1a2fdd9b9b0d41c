//! Asking a daemon: by the socket of its state directory, or over HTTP. Whoever asks does not see which: the same requests, the same
//! answers, the same events.

pub mod access;
mod answer;
mod http;
pub(super) mod lines;
mod route;
mod sse;

use super::code::Code;
use super::listing::AuditEntry;
use super::socket;
use super::verbs::{Request, Response};
use crate::model::ids::RolloutId;
use access::Access;
use http::Server;
use std::path::PathBuf;
use std::time::Duration;

/// After a lost connection, before a request that may be repeated is repeated: a daemon that was started anew needs a moment.
const BEFORE_AGAIN: Duration = Duration::from_millis(500);
/// A request with the same key is being answered still: so often it is asked for again, a second apart.
const IN_FLIGHT_AGAIN: u32 = 5;

/// Why the daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens: nothing was asked.
    #[error("no daemon answers at `{place}`{why}; {next}")]
    Unreachable {
        /// The socket's path, or the address.
        place: String,
        /// Empty, or `: ` and the reason.
        why: String,
        /// What to do.
        next: &'static str,
    },
    /// It listened and gave no usable answer.
    #[error(
        "the daemon at `{place}` gave no usable answer: {reason}; the order may or may not have been taken, `wavegate status` tells"
    )]
    NoAnswer {
        /// The socket's path, or the address.
        place: String,
        /// Why.
        reason: String,
    },
    /// It does not let the caller follow its events.
    #[error("{message}")]
    Refused {
        /// Stable.
        code: Code,
        /// Why, and what to do.
        message: String,
    },
    /// The way to it is given wrongly; nothing was asked.
    #[error("{0}")]
    Setup(String),
}

impl CallError {
    /// It may pass by itself: the daemon is away or busy, and somebody who follows waits.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => true,
            Self::Refused { code, .. } => may_pass(*code),
            Self::Setup(_) => false,
        }
    }
}

/// The daemon does not answer now, and may a little later.
pub fn may_pass(code: Code) -> bool {
    matches!(code, Code::Busy | Code::Stopped | Code::TooManyRequests | Code::Timeout)
}

/// Where a daemon is.
#[derive(Clone, Debug)]
pub enum Place {
    /// The socket in this state directory.
    StateDir(PathBuf),
    /// An HTTP door at this address.
    Server(String),
}

/// A way to a daemon.
pub enum Client {
    /// Through its socket.
    Socket(socket::Client),
    /// Over HTTP.
    Http(Server),
}

impl Client {
    /// Connects. Over HTTP nothing is sent yet.
    ///
    /// # Errors
    /// [`CallError`]; nothing was asked.
    pub async fn connect(place: &Place, access: &Access) -> Result<Self, CallError> {
        match place {
            Place::StateDir(dir) => {
                let token = access.token.as_ref().map(|token| token.reveal().to_owned());
                Ok(Self::Socket(socket::Client::connect(dir, token).await?))
            }
            Place::Server(address) => Ok(Self::Http(Server::new(address, access).map_err(CallError::Setup)?)),
        }
    }

    /// Asks, and waits for the answer. A proposal goes under a new idempotency key. When the connection is lost it is asked once more,
    /// with the same key; so is what only looks. Other orders are not repeated: whether they were taken is not known then.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&mut self, request: &Request) -> Result<Response, CallError> {
        self.call_with_key(request, &uuid::Uuid::now_v7().to_string()).await
    }

    /// The same, under a key that the caller has chosen.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_with_key(&mut self, request: &Request, key: &str) -> Result<Response, CallError> {
        let repeats = may_be_repeated(request);
        let lost = match self.once(request, key).await {
            Err(CallError::NoAnswer { place, reason }) if repeats => CallError::NoAnswer { place, reason },
            other => return other,
        };
        tokio::time::sleep(BEFORE_AGAIN).await;
        if let Self::Socket(socket) = self
            && socket.reconnect().await.is_err()
        {
            return Err(lost);
        }
        let mut left = IN_FLIGHT_AGAIN;
        loop {
            match self.once(request, key).await {
                Ok(Response::Refused { code: Code::KeyInFlight, .. }) if left > 0 => {
                    left -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // The first one may have been taken: that nobody listens any more does not say that it was not.
                Err(CallError::Unreachable { .. }) => return Err(lost),
                other => return other,
            }
        }
    }

    async fn once(&mut self, request: &Request, key: &str) -> Result<Response, CallError> {
        match self {
            Self::Socket(socket) => socket.call_with_key(request, Some(key)).await,
            Self::Http(server) => server.call(request, key).await,
        }
    }

    /// Follows events that come after a position: of one rollout, or all of them. It has a connection of its own.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn follow(&self, rollout: Option<&RolloutId>, after: u64) -> Result<Following, CallError> {
        match self {
            Self::Socket(socket) => Ok(Following::Socket(socket.follow(rollout, after).await?)),
            Self::Http(server) => Ok(Following::Http(server.follow(rollout, after).await?)),
        }
    }
}

/// Events as they come.
pub enum Following {
    /// Through the socket.
    Socket(socket::Following),
    /// As Server-Sent Events.
    Http(http::Following),
}

impl Following {
    /// The next events, at least one, in order.
    ///
    /// # Errors
    /// [`CallError::NoAnswer`] when the connection is lost: follow again from the last position that was seen.
    pub async fn next(&mut self) -> Result<Vec<AuditEntry>, CallError> {
        match self {
            Self::Socket(following) => following.next().await,
            Self::Http(following) => following.next().await,
        }
    }
}

/// How long an answer is waited for. A kill is answered within two seconds: somebody waits to use another door.
pub(super) fn answer_within(request: &Request) -> Duration {
    match request {
        Request::Kill { .. } => Duration::from_secs(6),
        _ => Duration::from_secs(30),
    }
}

/// A proposal has a key of its own, and what only looks changes nothing: either may be asked twice.
fn may_be_repeated(request: &Request) -> bool {
    match request {
        Request::Withdraw { .. }
        | Request::Pause { .. }
        | Request::Resume { .. }
        | Request::Revert { .. }
        | Request::Kill { .. }
        | Request::Lift { .. }
        | Request::Answer { .. }
        | Request::Drill { .. } => false,
        Request::Propose { .. }
        | Request::Preview { .. }
        | Request::Status { .. }
        | Request::Rollouts { .. }
        | Request::Plan { .. }
        | Request::Findings { .. }
        | Request::Kills { .. }
        | Request::Approvals
        | Request::Explain { .. }
        | Request::Pipelines
        | Request::Pipeline { .. }
        | Request::Check { .. }
        | Request::Audit { .. }
        | Request::Drills
        | Request::Me
        | Request::Version => true,
    }
}
