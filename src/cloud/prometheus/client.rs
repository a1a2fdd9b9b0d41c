//! Requests to one Prometheus server: its address, the token, bounded answers, and what an error means.

use crate::cloud::classify::clean;
use crate::cloud::retry::{Failure, RetryPolicy, retry};
use crate::cloud::web::{self, BodyError, Clients, causes, is_loopback};
use crate::model::observation::{ProviderError, ProviderErrorKind};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Semaphore;

/// To reach a server at all; as for AWS, one lost packet in each handshake is allowed for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections are closed before a proxy in between closes them.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// The largest answer that is read. One series of 11,000 points has half a megabyte; what is larger has many series, and none
/// of them counts.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// The largest token that is read from its file.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// Short: a look is followed by the next one within a minute, and a server that is away should be said to be so.
const RETRIES: RetryPolicy = RetryPolicy { deadline: Duration::from_secs(10), max_attempts: 4, ..RetryPolicy::READ };

type Answer<T> = Result<T, ProviderError>;

/// HTTP clients.
#[derive(Debug)]
pub(super) struct Http {
    timeout: Duration,
    clients: Clients,
}

impl Http {
    /// From a request to the end of its answer no more than this.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, clients: Clients::default() }
    }

    fn client(&self, tls: bool) -> reqwest::Result<Client> {
        self.clients
            .get(tls, || web::client(self.timeout).connect_timeout(CONNECT_TIMEOUT).pool_idle_timeout(POOL_IDLE))
    }
}

/// What the requests to all servers share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared<'a> {
    /// The clients.
    pub(super) http: &'a Http,
    /// Requests under way at the same time.
    pub(super) turns: &'a Semaphore,
    /// Where the bearer token is, read anew for each batch, since tokens are rotated.
    pub(super) token_file: Option<&'a Path>,
    /// The seed of the retries' jitter.
    pub(super) seed: u64,
}

/// A server that can be asked.
#[derive(Debug)]
pub(super) struct Server<'a> {
    name: &'a str,
    url: Url,
    client: Client,
    token: Option<HeaderValue>,
    shared: Shared<'a>,
}

impl<'a> Server<'a> {
    /// Checks the address, and reads the token. Sends nothing.
    pub(super) fn new(name: &'a str, shared: Shared<'a>) -> Answer<Self> {
        let url = address(name).map_err(|why| error(name, ProviderErrorKind::Rejected, "", &why))?;
        let tls = url.scheme() == "https";
        let token = match shared.token_file {
            // INVARIANT: S20. A token in plain text stays on this machine.
            Some(_) if !tls && !is_loopback(&url) => {
                let why = "a bearer token is set, which goes over https or to this machine alone; use an https address";
                return Err(error(name, ProviderErrorKind::Denied, "", why));
            }
            Some(file) => Some(token(file).map_err(|why| error(name, ProviderErrorKind::Denied, "", &why))?),
            None => None,
        };
        let client = shared.http.client(tls).map_err(|e| {
            let why = format!("no HTTPS client can be made ({}); install the system's CA certificates", causes(&e));
            error(name, ProviderErrorKind::Unavailable, "", &why)
        })?;
        Ok(Self { name, url, client, token, shared })
    }

    /// One call of the API with these form fields; the body of a success. Repeated after throttling, and when the server is
    /// away.
    pub(super) async fn post(&self, call: &str, fields: &[(&str, &str)]) -> Answer<Vec<u8>> {
        // Held over all attempts: a turn that is waited for would use up their deadline.
        let Ok(_turn) = self.shared.turns.acquire().await else {
            return Err(self.error(ProviderErrorKind::Unavailable, "", "no more requests are made"));
        };
        let attempt = || async {
            self.attempt(call, fields).await.map_err(|error| match error.kind {
                ProviderErrorKind::Throttled | ProviderErrorKind::Unavailable => Failure::Again(error),
                _ => Failure::Final(error),
            })
        };
        let notify = |error: ProviderError, pause: Duration| {
            let pause_ms = pause.as_millis();
            tracing::debug!(server = self.name, call, kind = %error.kind, pause_ms, "Prometheus is asked again");
        };
        retry(&RETRIES, self.shared.seed, attempt, notify).await
    }

    async fn attempt(&self, call: &str, fields: &[(&str, &str)]) -> Answer<Vec<u8>> {
        let url = format!("{}api/v1/{call}", self.url);
        let request = self.client.post(url).form(fields);
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        };
        let (status, body) = self.send(request).await?;
        if status.is_success() { Ok(body) } else { Err(self.refusal(status, &body)) }
    }

    async fn send(&self, request: RequestBuilder) -> Answer<(StatusCode, Vec<u8>)> {
        let failed = |e: reqwest::Error| {
            let kind = if e.is_builder() { ProviderErrorKind::Rejected } else { ProviderErrorKind::Unavailable };
            self.error(kind, "", &causes(&e.without_url()))
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = web::body(response, MAX_ANSWER_BYTES).await.map_err(|error| match error {
            BodyError::Broken(error) => failed(error),
            BodyError::TooLarge => {
                let why = format!(
                    "the answer is larger than {} MiB: a query must give one series; aggregate with sum(...)",
                    MAX_ANSWER_BYTES >> 20
                );
                self.error(ProviderErrorKind::Rejected, "", &why)
            }
        })?;
        Ok((status, body))
    }

    /// Source: Prometheus documentation, "HTTP API": 400 for missing or wrong parameters, 422 when an expression cannot be
    /// executed, 503 when queries time out or abort; a body with `errorType` and `error`. The rest is HTTP's own, or a proxy's.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> ProviderError {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Refusal {
            error_type: String,
            error: String,
        }
        let kind = match status.as_u16() {
            429 => ProviderErrorKind::Throttled,
            401 | 403 | 407 => ProviderErrorKind::Denied,
            408 => ProviderErrorKind::Unavailable,
            300..=499 => ProviderErrorKind::Rejected,
            _ => ProviderErrorKind::Unavailable,
        };
        if let Ok(said) = serde_json::from_slice::<Refusal>(body) {
            return self.error(kind, &said.error_type, &said.error);
        }
        let why = match status.as_u16() {
            300..=399 => "it redirects, which is not followed; name the server itself".to_owned(),
            404 => "it has no such API; look at the address, which may need a path".to_owned(),
            _ => String::from_utf8_lossy(body).trim().to_owned(),
        };
        self.error(kind, &format!("HTTP {}", status.as_u16()), &why)
    }

    /// From a request to the end of its answer.
    pub(super) fn timeout(&self) -> Duration {
        self.shared.http.timeout
    }

    /// An error of this server.
    pub(super) fn error(&self, kind: ProviderErrorKind, code: &str, words: &str) -> ProviderError {
        error(self.name, kind, code, words)
    }
}

/// An error that names the server.
pub(super) fn error(server: &str, kind: ProviderErrorKind, code: &str, words: &str) -> ProviderError {
    let message = clean(&format!("Prometheus at {}: {words}", without_secrets(server)));
    ProviderError { operation: "query_range".to_owned(), kind, code: clean(code), message }
}

/// The address up to its path, which requests are appended to.
fn address(name: &str) -> Result<Url, String> {
    let mut url =
        Url::parse(name).map_err(|e| format!("its address is none ({e}); write it as http://127.0.0.1:9090"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("its address must begin with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its address holds credentials; put a bearer token into the file that \
                    WAVEGATE_PROMETHEUS_TOKEN_FILE names"
            .to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("its address must end with its path: no `?` and no `#`".to_owned());
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// INVARIANT: S20. An address that is refused for the password in it is not repeated with it.
fn without_secrets(server: &str) -> &str {
    server.rsplit_once('@').map_or(server, |(_, host)| host)
}

fn token(file: &Path) -> Result<HeaderValue, String> {
    let name = file.display();
    let mut text = String::new();
    let reading = std::fs::File::open(file).and_then(|file| file.take(MAX_TOKEN_BYTES).read_to_string(&mut text));
    reading.map_err(|e| format!("the file {name} with its bearer token cannot be read: {e}"))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("the file {name} holds no bearer token"));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| format!("the file {name} holds more than one line or characters that no bearer token has"))?;
    value.set_sensitive(true);
    Ok(value)
}
