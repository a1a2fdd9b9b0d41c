//! Public documents of an issuer of tokens: its configuration and its keys, over HTTPS, small and within a short time. What they mean
//! is decided where tokens are checked.

use super::web::{self, BodyError, Clients, causes, is_loopback};
use futures_util::future::BoxFuture;
use reqwest::{StatusCode, Url};
use std::fmt;
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
    clients: Clients,
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
        let client = self
            .clients
            .get(tls, || web::client(TIMEOUT))
            .map_err(|error| format!("no HTTPS client can be made ({})", causes(&error)))?;
        let failed = |error: reqwest::Error| format!("`{text}` does not answer ({})", causes(&error.without_url()));
        let response = client.get(url).header("accept", "application/json").send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("`{text}` answers with HTTP {}", response.status().as_u16()));
        }
        web::body(response, SIZE_MAX).await.map_err(|error| match error {
            BodyError::TooLarge => format!("the answer of `{text}` is larger than {} KiB", SIZE_MAX >> 10),
            BodyError::Broken(error) => failed(error),
        })
    }
}
