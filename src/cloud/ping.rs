//! One request to an outside monitor that must hear from us: sent once, its answer's body not read.

use super::web::{self, Clients, is_loopback};
use reqwest::{StatusCode, Url};
use std::time::Duration;

/// From the connection to the answer's head. The next beat is never far: nothing is repeated.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why it did not arrive. The address is in none of it: it may be all the secret there is.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// The address is none.
    #[error("the monitor's address is none; write it as `https://monitor.example/name`")]
    Address,
    /// In plain text whoever listens could keep the monitor quiet for us.
    #[error("the monitor's address must begin with `https://`; `http://` is for this machine alone")]
    PlainText,
    /// No connection, no answer, or none in time.
    #[error("the monitor cannot be reached")]
    Unreached(#[source] reqwest::Error),
    /// It answered something else than a success.
    #[error("the monitor answered with status {}", .0.as_u16())]
    Refused(StatusCode),
}

/// Its clients.
#[derive(Debug, Default)]
pub struct Pinger {
    clients: Clients,
}

impl Pinger {
    /// One GET.
    ///
    /// # Errors
    /// [`PingError`].
    pub async fn ping(&self, url: &str) -> Result<(), PingError> {
        let url = Url::parse(url).map_err(|_| PingError::Address)?;
        let tls = match url.scheme() {
            "https" => true,
            "http" if is_loopback(&url) => false,
            "http" => return Err(PingError::PlainText),
            _ => return Err(PingError::Address),
        };
        let unreached = |error: reqwest::Error| PingError::Unreached(error.without_url());
        // A connection that is kept tells nothing about the next one.
        let client = self.clients.get(tls, || web::client(TIMEOUT).pool_max_idle_per_host(0)).map_err(unreached)?;
        let response = client.get(url).send().await.map_err(unreached)?;
        if response.status().is_success() { Ok(()) } else { Err(PingError::Refused(response.status())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_pinged_is_not_repeated() {
        let pinger = Pinger::default();
        for url in
            ["canary", "ftp://canary/x", "http://canary.example/x", "http://canary:80:80", "http://127.0.0.1:1/canary"]
        {
            let error = pinger.ping(url).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
        assert!(matches!(pinger.ping("http://10.0.0.1/x").await, Err(PingError::PlainText)));
    }
}
