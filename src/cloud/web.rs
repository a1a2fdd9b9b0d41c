//! HTTP to others, as far as all of its clients have it in common: TLS, or plain text without a proxy; no redirects; a bounded time; answers of
//! a bounded size.

use reqwest::{Client, ClientBuilder, Response, Url};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

/// Clients, made when they are first needed. The one for plain text needs no trusted roots, and works where there are none.
#[derive(Debug, Default)]
pub(super) struct Clients {
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
}

impl Clients {
    /// The one with TLS, or the other one.
    pub(super) fn get(&self, tls: bool, builder: impl FnOnce() -> ClientBuilder) -> reqwest::Result<Client> {
        let slot = if tls { &self.tls } else { &self.plain };
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let client = secured(builder(), tls).build()?;
        Ok(slot.get_or_init(|| client).clone())
    }
}

/// TLS and nothing else, or plain text on the way that the address names: a proxy of the environment would read it.
pub(super) fn secured(builder: ClientBuilder, tls: bool) -> ClientBuilder {
    if tls { builder.https_only(true) } else { builder.no_proxy().tls_certs_only([]) }
}

/// A client that goes where it is sent and nowhere else: what a redirect leads to is not whom the configuration names, and it would get
/// the token, the signature or the address. `timeout` is from the connection to the end of the answer.
pub(super) fn client(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("wavegate/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .timeout(timeout)
}

/// It leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It is larger than was allowed for.
    TooLarge,
    /// It broke off.
    Broken(reqwest::Error),
}

/// The whole body, of `most` bytes at most.
pub(super) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if body.len().saturating_add(chunk.len()) > most {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error with its causes, in one line.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |cause| cause.source()).take(8);
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        let is = |address: &str| is_loopback(&Url::parse(address).unwrap());
        for address in ["http://localhost/x", "http://127.0.0.1:9", "http://127.9.9.9", "http://[::1]:80/"] {
            assert!(is(address), "{address}");
        }
        for address in ["http://localhost.example", "http://127.0.0.1.example", "http://10.0.0.1", "http://[::2]/"] {
            assert!(!is(address), "{address}");
        }
    }
}
