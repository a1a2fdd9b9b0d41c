//! The way over HTTP: the address, the token that only goes where nobody can read along, bounded answers.

use super::access::Access;
use super::answer;
use super::route::{self, Route};
use super::sse::Events;
use super::{CallError, answer_within, may_pass};
use crate::api::listing::AuditEntry;
use crate::api::verbs::{Request, Response};
use crate::model::ids::RolloutId;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, Identity, RequestBuilder, Url};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// To reach a server at all: one lost packet in each handshake is allowed for.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the first event of a stream may take.
const STREAM_WITHIN: Duration = Duration::from_secs(30);
/// A stream of events on which nothing comes for this long is dead: the daemon keeps it open with a comment at least twice as often.
const SILENCE: Duration = Duration::from_secs(60);
/// The largest answer: the status of a thousand targets with their previews has some megabytes.
const ANSWER_MAX: usize = 64 << 20;
/// The largest file of certificates.
const PEM_MAX: u64 = 1 << 20;

/// A daemon's HTTP door.
pub struct Server {
    base: Url,
    client: Client,
    authorization: Option<HeaderValue>,
}

impl Server {
    /// Checks the address, and reads the certificates. Sends nothing.
    ///
    /// # Errors
    /// Words for people, without the token.
    pub(super) fn new(address: &str, access: &Access) -> Result<Self, String> {
        let base = base(address)?;
        let tls = base.scheme() == "https";
        let mut builder = Client::builder()
            .user_agent(concat!("wavegate/", env!("CARGO_PKG_VERSION")))
            // A redirect or a proxy would take the token elsewhere, and what answers there is not the server that was named.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_WITHIN);
        if let Some(ca) = access.ca.as_deref().filter(|_| tls) {
            let authorities = Certificate::from_pem_bundle(&pem(ca)?);
            let authorities =
                authorities.ok().filter(|all| !all.is_empty()).ok_or_else(|| no_pem(ca, "certificate"))?;
            builder = builder.tls_certs_only(authorities);
        }
        if let Some((certificate, key)) = access.certificate.as_ref().filter(|_| tls) {
            let both = [pem(certificate)?, b"\n".to_vec(), pem(key)?].concat();
            let identity = Identity::from_pem(&both).map_err(|_| no_pem(certificate, "certificate with its key"))?;
            builder = builder.identity(identity);
        }
        let builder = if tls { builder.https_only(true) } else { builder.tls_certs_only([]) };
        let client = builder.build().map_err(|error| {
            format!("no HTTPS client can be made ({}); name the server's authority with `--ca`", causes(&error))
        })?;
        let authorization = access.token.as_ref().map(|token| {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let authorization = authorization.transpose().map_err(|_| "the token cannot stand in a header".to_owned())?;
        Ok(Self { base, client, authorization })
    }

    /// The address without anything else.
    pub fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Asks once.
    pub(super) async fn call(&self, request: &Request, key: &str) -> Result<Response, CallError> {
        let route = match route::route(request) {
            Ok(route) => route,
            Err(message) => return Ok(Response::BadInput { message }),
        };
        let exchange = async {
            let response = self.send(self.request(&route, key)).await?;
            let status = response.status().as_u16();
            Ok::<_, CallError>((status, self.body(response).await?))
        };
        let within = answer_within(request);
        let Ok(answered) = tokio::time::timeout(within, exchange).await else {
            return Err(self.no_answer(format!("nothing came within {} s", within.as_secs())));
        };
        let (status, body) = answered?;
        let read = if (200..300).contains(&status) {
            answer::success(route.holds, &body)
        } else {
            answer::problem(status, &body)
        };
        read.map_err(|reason| self.no_answer(reason))
    }

    /// Follows events.
    pub(super) async fn follow(&self, rollout: Option<&RolloutId>, after: u64) -> Result<Following, CallError> {
        let path = route::events(rollout).map_err(CallError::Setup)?;
        let request = self.client.get(self.url(&path)).header(ACCEPT, "text/event-stream");
        let request = self.authorized(request).header("last-event-id", after);
        let Ok(response) = tokio::time::timeout(STREAM_WITHIN, self.send(request)).await else {
            return Err(self.no_answer(format!("nothing came within {} s", STREAM_WITHIN.as_secs())));
        };
        let response = response?;
        let status = response.status().as_u16();
        let is_stream =
            response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if status == 200 && is_stream {
            return Ok(Following { response, events: Events::default(), place: self.address() });
        }
        let body = self.body(response).await?;
        match answer::problem(status, &body) {
            Ok(Response::Refused { code, message }) if !may_pass(code) => Err(CallError::Refused { code, message }),
            Ok(Response::Refused { message, .. } | Response::BadInput { message }) => Err(self.no_answer(message)),
            Ok(_) => Err(self.no_answer("no stream of events".into())),
            Err(reason) => Err(self.no_answer(reason)),
        }
    }

    fn request(&self, route: &Route, key: &str) -> RequestBuilder {
        let url = self.url(&route.path);
        let request = match &route.body {
            Some(body) => self.client.post(url).header("idempotency-key", key).json(body),
            None => self.client.get(url),
        };
        self.authorized(request).header(ACCEPT, "application/json, application/problem+json")
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// The paths are encoded already: they are set behind the address as they are.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address())
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, CallError> {
        request.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                CallError::Unreachable {
                    place: self.address(),
                    why: format!(": {}", causes(&error)),
                    next: "is the address right, and is the daemon's HTTP door open there?",
                }
            } else {
                self.no_answer(causes(&error))
            }
        })
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, CallError> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.no_answer(causes(&error)))? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_MAX {
                return Err(self.no_answer(format!("an answer larger than {ANSWER_MAX} bytes")));
            }
        }
        Ok(body)
    }

    fn no_answer(&self, reason: String) -> CallError {
        CallError::NoAnswer { place: self.address(), reason }
    }
}

/// A stream of events.
pub struct Following {
    response: reqwest::Response,
    events: Events,
    place: String,
}

impl Following {
    /// The next events, at least one.
    pub(super) async fn next(&mut self) -> Result<Vec<AuditEntry>, CallError> {
        let lost = |place: &String, reason: String| CallError::NoAnswer { place: place.clone(), reason };
        loop {
            let part = match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(part))) => part,
                Ok(Ok(None)) => return Err(lost(&self.place, "it ended the stream of events".into())),
                Ok(Err(error)) => return Err(lost(&self.place, causes(&error))),
                Err(_) => return Err(lost(&self.place, format!("nothing came within {} s", SILENCE.as_secs()))),
            };
            let entries = self.events.push(&part).map_err(|reason| lost(&self.place, reason))?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }
}

/// The address that was named, checked.
///
/// INVARIANT: S20. A token goes over TLS, or does not leave this machine.
fn base(address: &str) -> Result<Url, String> {
    let bad = |why: &str| format!("the server's address cannot be used: {why}; name it as https://HOST:PORT");
    let url = Url::parse(address.trim()).map_err(|error| bad(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a user or a password, which show in every list of processes"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it goes on after the path"));
    }
    match url.scheme() {
        "https" if url.host_str().is_some() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(bad("http:// is for this machine alone, since whoever is in between would read the token")),
        other => Err(bad(&format!("`{other}` is not spoken here"))),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn pem(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(PEM_MAX).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

fn no_pem(path: &Path, what: &str) -> String {
    format!("`{}` holds no {what} in PEM", path.display())
}

/// The innermost cause says most; the address is said elsewhere.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::access::Token;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for good in [
            "https://wavegate.example",
            "https://10.0.0.1:8443/",
            "http://127.0.0.1:80",
            "http://[::1]:1",
            "http://localhost:9",
        ] {
            assert!(base(good).is_ok(), "{good}");
        }
        for bad in [
            "http://wavegate.example",
            "http://10.0.0.1",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://127.0.0.1@evil.example",
            "https://user:canary@host",
            "https://host/?token=canary",
            "ftp://127.0.0.1",
            "unix:/run/x",
            "wavegate.example:8443",
            "",
        ] {
            let why = base(bad).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
    }

    #[test]
    fn the_token_is_in_no_text() {
        let access = Access { token: Some(Token::new("canary").unwrap()), ..Access::default() };
        let server = Server::new("http://127.0.0.1:1", &access).unwrap();
        let request = server.request(&route::route(&Request::Me).unwrap(), "key").build().unwrap();
        let shown = format!("{request:?} {access:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert_eq!(request.url().as_str(), "http://127.0.0.1:1/v1/me");
    }

    #[test]
    fn paths_stay_as_they_are_encoded() {
        let server = Server::new("http://127.0.0.1:1/prefix/", &Access::default()).unwrap();
        let route = route::route(&Request::Explain { rollout: "a/../b".into() }).unwrap();
        let request = server.request(&route, "key").build().unwrap();
        assert_eq!(request.url().path(), "/prefix/v1/rollouts/a%2F..%2Fb/explanation");
    }
}
