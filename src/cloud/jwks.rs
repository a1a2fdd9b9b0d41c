//! Public documents of an issuer of tokens: its configuration and its keys, over HTTPS, small and within a short time. What they mean
//! is decided where tokens are checked.

use futures_util::future::BoxFuture;
use reqwest::{Client, StatusCode, Url};
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// From the request to the end of the answer. Somebody waits at a door for it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest document that is read. The keys of the largest public issuers have 20 KiB.
const SIZE_MAX: usize = 256 << 10;

/// Where documents come from.
///
/// Contract: it ends within a bounded time; the document is of a bounded size; the error holds no secret. May be repeated.
pub trait Documents: fmt::Debug + Send + Sync {
    /// The document at this address, or why there is none, in words.
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>>;
}

/// Documents from the network.
#[derive(Debug, Default)]
pub struct Web {
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
}

impl Documents for Web {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        Box::pin(self.fetch(url))
    }
}

impl Web {
    async fn fetch(&self, text: &str) -> Result<Vec<u8>, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no address ({error})"))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" if is_loopback(&url) => false,
            _ => return Err(format!("`{text}` is not asked: keys come over https, or from this machine")),
        };
        let client = self.client(tls).map_err(|error| format!("no HTTPS client can be made ({})", causes(&error)))?;
        let failed = |error: reqwest::Error| format!("`{text}` does not answer ({})", causes(&error.without_url()));
        let mut response = client.get(url).header("accept", "application/json").send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("`{text}` answers with HTTP {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > SIZE_MAX {
                return Err(format!("the answer of `{text}` is larger than {} KiB", SIZE_MAX >> 10));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The client for plain text needs no trusted roots, and works where there are none.
    fn client(&self, tls: bool) -> reqwest::Result<Client> {
        let slot = if tls { &self.tls } else { &self.plain };
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let builder = Client::builder()
            .user_agent("wavegate")
            // What answers elsewhere is not the issuer that was named.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(TIMEOUT);
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

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |cause| cause.source()).take(8);
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}
