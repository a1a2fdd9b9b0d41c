//! One POST to a receiver: TLS only (or this machine), no redirect, a bounded time, and nothing of the answer but its status.

use super::{ATTEMPT, Undelivered};
use crate::cloud::web::{self, Clients, is_loopback};
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use std::time::Duration;

/// To reach a receiver at all; one lost packet in each handshake is allowed for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections are closed before a proxy in between closes them.
const POOL_IDLE: Duration = Duration::from_secs(15);
/// The longest pause that is understood. Whoever keeps the messages waits for less.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Its clients.
#[derive(Debug, Default)]
pub(super) struct Http {
    clients: Clients,
}

impl Http {
    /// A POST to this address, which is checked here: it may have come from a file.
    pub(super) fn post(&self, address: &str) -> Result<RequestBuilder, Undelivered> {
        // INVARIANT: S20. The address may be a secret: it is not repeated.
        let url = Url::parse(address).map_err(|_| Undelivered::again("its address is none; write `https://…`"))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" if is_loopback(&url) => false,
            _ => return Err(Undelivered::again("its address must begin with `https://`, or lead to this machine")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Undelivered::again("its address holds credentials, which are not sent"));
        }
        let client = || web::client(ATTEMPT).connect_timeout(CONNECT_TIMEOUT).pool_idle_timeout(POOL_IDLE);
        let client = self.clients.get(tls, client);
        let client = client
            .map_err(|_| Undelivered::again("no HTTPS client can be made; install the system's CA certificates"))?;
        Ok(client.post(url))
    }
}

/// Sends it, and judges by the status alone: the answer's body is not read.
pub(super) async fn send(request: RequestBuilder) -> Result<(), Undelivered> {
    match request.send().await {
        Ok(answer) => judge(answer.status(), retry_after(&answer)),
        Err(error) => Err(Undelivered::again(failure(&error))),
    }
}

/// 2xx: it has it. 400, 410, 413 and 422: the message itself is wrong there, or its place is gone for good. 408, 425, 429 and 5xx: at
/// another time. Any other (401, 403 and 404, a redirect, which is not followed) may be an ingress that is just exchanged, a clock that was
/// set, or a key that somebody is about to mend: the page is not given up for it.
fn judge(status: StatusCode, after: Option<Duration>) -> Result<(), Undelivered> {
    let why = format!("the receiver answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        400 | 410 | 413 | 422 => Err(Undelivered::Never { why }),
        408 | 425 | 429 => Err(Undelivered::Again { why, after }),
        300..=399 => Err(Undelivered::Refused { why: format!("{why}: a redirect, which is not followed") }),
        400..=499 => Err(Undelivered::Refused { why }),
        _ => Err(Undelivered::Again { why, after }),
    }
}

/// In seconds; the form with a date is left to our own pauses.
fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// What failed, by kind: the library's own words may hold the address.
fn failure(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection: the receiver is away, its name is unknown, or its certificate is not trusted"
    } else if error.is_builder() {
        "the request cannot be made: a header or the address has characters that do not belong there"
    } else {
        "the connection broke before there was an answer"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides() {
        let judged = |code: u16| judge(StatusCode::from_u16(code).unwrap(), None);
        for code in [200, 201, 204] {
            assert_eq!(judged(code), Ok(()));
        }
        for code in [400, 410, 413, 422] {
            assert!(matches!(judged(code), Err(Undelivered::Never { .. })), "{code}");
        }
        for code in [301, 307, 401, 403, 404, 405, 407, 421, 451] {
            assert!(matches!(judged(code), Err(Undelivered::Refused { .. })), "{code}");
        }
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(judged(code), Err(Undelivered::Again { .. })), "{code}");
        }
    }

    #[test]
    fn plain_text_stays_on_this_machine_and_no_address_is_repeated() {
        let http = Http::default();
        assert!(http.post("http://127.0.0.1:1/x").is_ok());
        for address in [
            "http://hooks.example/s3cret",
            "ftp://127.0.0.1/s3cret",
            "http://127.0.0.1.example/s3cret",
            "https://me:s3cret@hooks.example/",
            "s3cret",
        ] {
            let error = http.post(address).map(drop).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && !error.contains("example"), "{error}");
        }
    }
}
