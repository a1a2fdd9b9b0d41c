//! Traces out: spans to a collector, by OTLP over HTTP. Only with the feature `otel`.
//!
//! The exporter is OpenTelemetry's own, and so are its variables of the environment: what `OTEL_EXPORTER_OTLP_HEADERS` says is sent
//! along. The address and everything about when and what is sent comes from us.

use super::web;
use jiff::Timestamp;
use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// From the connection to the end of the answer, the exporter's own retries included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Spans in one request: with their attributes about a quarter of a megabyte, below what collectors take (4 MiB).
const AT_ONCE: usize = 512;
/// The largest file of headers that is read.
const HEADERS_MAX: u64 = 64 << 10;

/// One span, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Of which trace.
    pub trace: [u8; 16],
    /// Its own id.
    pub id: [u8; 8],
    /// Within which span.
    pub parent: Option<[u8; 8]>,
    /// One of a few words; never text of somebody else.
    pub name: String,
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// What is said about it.
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened in it.
    pub events: Vec<SpanEvent>,
    /// So many more events happened.
    pub dropped: u32,
    /// What went wrong in it.
    pub error: Option<String>,
}

/// Something that happened in a span.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// One of a few words.
    pub name: &'static str,
    /// When.
    pub at: Timestamp,
    /// What is said about it.
    pub attributes: Vec<(&'static str, Value)>,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// In words.
    Text(String),
    /// In a number.
    Number(i64),
}

/// Why spans did not get to the collector.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file with headers.
    #[error("the file of headers `{path}` cannot be used: {why}; write one `name: value` on each line")]
    Headers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what it says.
        why: String,
    },
    /// No exporter can be made.
    #[error("no exporter can be made for `{endpoint}`: {why}")]
    Unusable {
        /// Where to.
        endpoint: String,
        /// Why.
        why: String,
    },
    /// The collector does not want these spans, now or later.
    #[error("the collector does not take it: {0}")]
    Refused(String),
    /// It cannot be reached, or is busy: it may work later.
    #[error("the collector did not take it: {0}")]
    Failed(String),
}

/// The way to one collector.
#[derive(Debug)]
pub struct Exporter {
    endpoint: String,
    headers_file: Option<PathBuf>,
    client: reqwest::Client,
}

impl Exporter {
    /// Sends nothing yet; reads the file of headers once, to say at the start what is wrong with it.
    ///
    /// # Errors
    /// [`ExportError::Headers`], [`ExportError::Unusable`].
    pub fn new(endpoint: &str, headers_file: Option<PathBuf>) -> Result<Self, ExportError> {
        let client = web::secured(web::client(TIMEOUT), endpoint.starts_with("https://")).build();
        let unusable = |why: String| ExportError::Unusable { endpoint: endpoint.to_owned(), why };
        let client = client.map_err(|error| unusable(error.to_string()))?;
        let exporter = Self { endpoint: endpoint.to_owned(), headers_file, client };
        exporter.build()?;
        Ok(exporter)
    }

    /// Sends all of them, some at a time. What is sent twice is the same span twice: ids do not change.
    ///
    /// # Errors
    /// [`ExportError`]; some may have been sent.
    pub async fn export(&self, spans: Vec<Span>) -> Result<(), ExportError> {
        // Made anew: a token in the headers may have been replaced.
        let exporter = self.build()?;
        let mut spans = spans.into_iter().map(data).peekable();
        while spans.peek().is_some() {
            let some = spans.by_ref().take(AT_ONCE).collect();
            exporter.export(some).await.map_err(|error| failure(&error.to_string()))?;
        }
        Ok(())
    }

    fn build(&self) -> Result<SpanExporter, ExportError> {
        let builder = SpanExporter::builder()
            .with_http()
            .with_http_client(self.client.clone())
            .with_endpoint(self.endpoint.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .with_headers(self.headers()?);
        let unusable = |why: String| ExportError::Unusable { endpoint: self.endpoint.clone(), why };
        let mut exporter = builder.build().map_err(|error| unusable(error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder_empty().with_service_name("wavegate").with_attribute(version).build();
        exporter.set_resource(&resource);
        Ok(exporter)
    }

    fn headers(&self) -> Result<HashMap<String, String>, ExportError> {
        let Some(path) = &self.headers_file else { return Ok(HashMap::new()) };
        let wrong = |why: String| ExportError::Headers { path: path.clone(), why };
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(HEADERS_MAX).read_to_string(&mut text));
        read.map_err(|error| wrong(error.to_string()))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let headers = lines.map(|(number, line)| {
            let (name, value) =
                line.split_once(':').ok_or_else(|| wrong(format!("line {} is no header", number + 1)))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        });
        headers.collect()
    }
}

/// The exporter's error is a text. It holds neither the address nor the answer (opentelemetry-otlp 0.33, `export_http_once`).
fn failure(words: &str) -> ExportError {
    let code = words.rsplit_once("status code: ").and_then(|(_, rest)| rest.trim().parse::<u16>().ok());
    match code {
        // Throttled, or too slow: as a collector that is away. 401 and 403: a token that will be replaced.
        Some(401 | 403 | 404 | 408 | 429) => ExportError::Failed(words.to_owned()),
        Some(300..=499) => ExportError::Refused(words.to_owned()),
        _ => ExportError::Failed(words.to_owned()),
    }
}

fn data(span: Span) -> SpanData {
    let trace = TraceId::from_bytes(span.trace);
    let context =
        SpanContext::new(trace, SpanId::from_bytes(span.id), TraceFlags::SAMPLED, false, TraceState::default());
    let mut events = SpanEvents::default();
    events.dropped_count = span.dropped;
    events.events = span
        .events
        .into_iter()
        .map(|event| Event::new(event.name, SystemTime::from(event.at), pairs(event.attributes), 0))
        .collect();
    SpanData {
        span_context: context,
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: span.name.into(),
        start_time: SystemTime::from(span.start),
        end_time: SystemTime::from(span.end),
        attributes: pairs(span.attributes),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, |description| Status::Error { description: description.into() }),
        instrumentation_scope: InstrumentationScope::builder("wavegate")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn pairs(attributes: Vec<(&'static str, Value)>) -> Vec<KeyValue> {
    let pair = |(name, value)| match value {
        Value::Text(text) => KeyValue::new(name, text),
        Value::Number(number) => KeyValue::new(name, number),
    };
    attributes.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_work_later_is_told_from_what_never_will() {
        let status = |code: u16| failure(&format!("HTTP export failed with status code: {code}"));
        for code in [401, 403, 404, 408, 429, 500, 502, 503] {
            assert!(matches!(status(code), ExportError::Failed(_)), "{code}");
        }
        for code in [301, 400, 413, 415, 422] {
            assert!(matches!(status(code), ExportError::Refused(_)), "{code}");
        }
        assert!(matches!(failure("HTTP export failed: network error"), ExportError::Failed(_)));
    }

    #[test]
    fn headers_are_read_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headers");
        std::fs::write(&file, "Authorization: Bearer canary\n\nx-team: platform\n").unwrap();
        let exporter = Exporter::new("http://127.0.0.1:1/v1/traces", Some(file.clone())).unwrap();
        assert_eq!(exporter.headers().unwrap().get("Authorization").map(String::as_str), Some("Bearer canary"));
        assert!(!format!("{exporter:?}").contains("canary"));
        std::fs::write(&file, "canary\n").unwrap();
        let error = exporter.headers().unwrap_err().to_string();
        assert!(error.contains("line 1 is no header") && !error.contains("canary"), "{error}");
    }
}
