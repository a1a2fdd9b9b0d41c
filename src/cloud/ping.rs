//! One request to an outside monitor that must hear from us: sent once, its answer's body not read.

use reqwest::{Client, StatusCode, Url};
use std::sync::OnceLock;
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

/// The clients, made when they are first needed: the one for plain text needs no trusted roots.
#[derive(Debug, Default)]
pub struct Pinger {
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
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
        let client = self.client(tls).map_err(unreached)?;
        let response = client.get(url).send().await.map_err(unreached)?;
        if response.status().is_success() { Ok(()) } else { Err(PingError::Refused(response.status())) }
    }

    fn client(&self, tls: bool) -> reqwest::Result<Client> {
        let slot = if tls { &self.tls } else { &self.plain };
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let builder = Client::builder()
            .user_agent("wavegate")
            // A redirect would show the address to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(TIMEOUT)
            // A connection that is kept tells nothing about the next one.
            .pool_max_idle_per_host(0);
        // A proxy of the environment would read plain text.
        let client =
            if tls { builder.https_only(true).build() } else { builder.no_proxy().tls_certs_only([]).build() }?;
        Ok(slot.get_or_init(|| client).clone())
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
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
