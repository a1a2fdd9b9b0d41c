//! AWS with answers from the fuzzer: the real SDK, our real calls over it, and a connector that opens no socket.
//!
//! Clock and runtime are one thread's, and the clock is paused: a pause before a retry, or a turn in the call budget, costs
//! no time. When the answers are used up, the provider refuses: no call hangs on a page that never comes.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use wavegate::cloud::aws::{Aws, AwsOptions};
use wavegate::cloud::budget::BudgetOptions;
use wavegate::model::stack::Scope;

/// What stands between two answers in an input.
pub const SEPARATOR: u8 = 0x1e;

/// How an answer reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// To its end.
    Whole,
    /// It breaks off in the middle of its body.
    Torn,
    /// The connection is reset before it comes.
    Reset,
    /// It does not come in time.
    Late,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 100 to 999.
    pub status: u16,
    /// How it comes.
    pub arrival: Arrival,
    /// What is in it.
    pub body: Vec<u8>,
}

impl Answer {
    /// `503 body`: three digits, a sign of how it arrives, and the body. What has no status is a success.
    fn read(part: &[u8]) -> Self {
        let head = part.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|d| d.parse().ok());
        let (status, rest) = match head {
            Some(status @ 100..=999) => (status, part.get(3..).unwrap_or_default()),
            _ => (200, part),
        };
        let (arrival, body) = match rest.split_first() {
            Some((b' ', body)) => (Arrival::Whole, body),
            Some((b'/', body)) => (Arrival::Torn, body),
            Some((b'!', body)) => (Arrival::Reset, body),
            Some((b'?', body)) => (Arrival::Late, body),
            _ => (Arrival::Whole, rest),
        };
        Self { status, arrival, body: body.to_vec() }
    }

    /// All of it came.
    pub fn whole(&self) -> bool {
        self.arrival == Arrival::Whole
    }

    /// A success, received to its end.
    pub fn is_success(&self) -> bool {
        self.whole() && (200..300).contains(&self.status)
    }

    /// The provider's own word that it did nothing, by the rule in `cloud/classify.rs`: an answer below 500, or a refusal for
    /// its rate.
    pub fn proves_refusal(&self) -> bool {
        self.whole() && !self.is_success() && (self.status < 500 || self.says_throttled())
    }

    /// The words by which AWS refuses a call for its rate.
    pub fn says_throttled(&self) -> bool {
        let words: [&[u8]; 4] = [b"Throttl", b"RequestLimitExceeded", b"RequestThrottled", b"TooManyRequestsException"];
        self.status == 429 || words.iter().any(|word| self.says(word))
    }

    /// Whether these bytes are in it.
    pub fn says(&self, word: &[u8]) -> bool {
        self.body.windows(word.len()).any(|window| window == word)
    }
}

/// The answers of an input, at most as many as a call could use for pages and retries.
pub fn answers(input: &[u8]) -> VecDeque<Answer> {
    input.split(|byte| *byte == SEPARATOR).take(6).map(Answer::read).collect()
}

#[derive(Debug, Default)]
struct Wire {
    coming: VecDeque<Answer>,
    given: Vec<Answer>,
}

/// One thread's world.
pub struct World {
    runtime: tokio::runtime::Runtime,
    aws: Aws,
    wire: Arc<Mutex<Wire>>,
    /// Where every call goes.
    pub scope: Scope,
}

impl World {
    /// A world that speaks the protocol of this content type.
    pub fn new(content_type: &'static str) -> Self {
        let wire = Arc::new(Mutex::new(Wire::default()));
        let credentials = Credentials::new("a", "b", None, None, "fuzz");
        let base = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(SharedHttpClient::new(Connector { wire: Arc::clone(&wire), content_type }))
            .build();
        let budget = BudgetOptions { burst: u32::MAX, per_second: 1e9, ..BudgetOptions::default() };
        let scope = Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let aws = Aws::with_config(&base, &AwsOptions { budget, seed: 1 });
        Self { runtime: runtime.expect("a runtime"), aws, wire, scope }
    }

    /// Runs a call against these answers; gives what it said, and the answers that it was given.
    pub fn play<'a, T, F>(&'a self, answers: VecDeque<Answer>, call: impl FnOnce(&'a Aws) -> F) -> (T, Vec<Answer>)
    where
        F: Future<Output = T>,
    {
        *lock(&self.wire) = Wire { coming: answers, given: Vec::new() };
        let said = self.runtime.block_on(call(&self.aws));
        (said, std::mem::take(&mut lock(&self.wire).given))
    }
}

fn lock(wire: &Mutex<Wire>) -> std::sync::MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug)]
struct Connector {
    wire: Arc<Mutex<Wire>>,
    content_type: &'static str,
}

impl HttpConnector for Connector {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let mut wire = lock(&self.wire);
        let nothing_left = || Answer { status: 400, arrival: Arrival::Whole, body: b"nothing left".to_vec() };
        let answer = wire.coming.pop_front().unwrap_or_else(nothing_left);
        wire.given.push(answer.clone());
        HttpConnectorFuture::ready(self.response(answer))
    }
}

impl Connector {
    fn response(&self, answer: Answer) -> Result<HttpResponse, ConnectorError> {
        let reset = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let body = match answer.arrival {
            Arrival::Reset => return Err(ConnectorError::io(Box::new(reset()))),
            Arrival::Late => return Err(ConnectorError::timeout("no answer".into())),
            Arrival::Whole => SdkBody::from(answer.body),
            Arrival::Torn => SdkBody::from_body_1_x(Torn(Some(answer.body))),
        };
        let status = StatusCode::try_from(answer.status).map_err(|e| ConnectorError::other(Box::new(e), None))?;
        let mut response = HttpResponse::new(status, body);
        response.headers_mut().insert("content-type", self.content_type);
        if self.content_type == CBOR {
            response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        }
        Ok(response)
    }
}

/// CloudWatch's protocol.
pub const CBOR: &str = "application/cbor";
/// CloudFormation's.
pub const XML: &str = "text/xml";

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A body that ends in an error.
struct Torn(Option<Vec<u8>>);

impl http_body::Body for Torn {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(first) => Ok(http_body::Frame::data(first.into())),
            None => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }))
    }
}
