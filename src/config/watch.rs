//! How the daemon itself is watched.

use super::notify::is_loopback;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A beat more often than this tells a monitor nothing new, and costs it something.
const BEAT_MIN: Duration = Duration::from_secs(10);
/// One that is missed after hours is missed by nobody.
const BEAT_MAX: Duration = Duration::from_secs(3600);
/// Below a minute each batch of an agent is a burst.
const WINDOW_MIN: Duration = Duration::from_secs(60);
/// The usual rate is learnt by the day.
const WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);

/// How the daemon itself is watched.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchConfig {
    /// From when on a rate of changes is an alarm.
    #[serde(default)]
    pub change_rate: ChangeRateConfig,
    /// The dead-man signal; none: nothing is sent.
    pub heartbeat: Option<HeartbeatConfig>,
    /// Where traces go; none: nowhere.
    pub traces: Option<TracesConfig>,
}

/// From when on a rate of changes is an alarm. What is not said is as shipped (`engine::rate`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRateConfig {
    /// Changes are counted in a window of this length: a minute to a day.
    #[serde(default, deserialize_with = "some_span")]
    pub window: Option<Duration>,
    /// So many times the usual number: at least 1.
    pub factor: Option<f64>,
    /// Never below so many changes: at least 1.
    pub minimum: Option<u32>,
    /// What is taken for usual, in a window, while less than a day is on record.
    pub floor: Option<f64>,
}

/// The dead-man signal: an outside monitor that misses it raises the alarm.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// A file with the address, read anew for each beat.
    pub url_file: Option<PathBuf>,
    /// The address itself, where it holds no secret.
    pub url: Option<Hidden>,
    /// How often: 10 seconds to an hour.
    #[serde(default = "every_minute", deserialize_with = "span")]
    pub every: Duration,
}

/// Where traces go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The collector's address for OTLP over HTTP, with its path: `http://localhost:4318/v1/traces`.
    pub endpoint: String,
    /// A file with headers for it, one `name: value` on each line: where a collector asks for a token.
    pub headers_file: Option<PathBuf>,
}

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The text, for where it must go.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

fn every_minute() -> Duration {
    Duration::from_secs(60)
}

/// `90s`, `1m`, `1h 30m`.
fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let span = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.ok_or_else(|| D::Error::custom(format!("`{text}` is no length of time; write it as `90s`, `1m` or `1h 30m`")))
}

fn some_span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    span(from).map(Some)
}

impl WatchConfig {
    /// What a reader of the shape alone cannot see.
    ///
    /// # Errors
    /// What is wrong, beginning with its place in the file.
    pub fn check(&self) -> Result<(), String> {
        self.change_rate.check()?;
        self.heartbeat.as_ref().map_or(Ok(()), HeartbeatConfig::check)?;
        self.traces.as_ref().map_or(Ok(()), TracesConfig::check)
    }
}

impl ChangeRateConfig {
    fn check(&self) -> Result<(), String> {
        let wrong = |field: &str, why: &str| Err(format!("watch.change_rate.{field}: {why}"));
        if self.window.is_some_and(|window| !(WINDOW_MIN..=WINDOW_MAX).contains(&window)) {
            return wrong("window", "it must be between `1m` and `24h`");
        }
        if self.factor.is_some_and(|factor| !(1.0..=1000.0).contains(&factor)) {
            return wrong("factor", "it must be between 1 and 1000");
        }
        if self.minimum == Some(0) {
            return wrong("minimum", "it must be at least 1");
        }
        if self.floor.is_some_and(|floor| !(0.0..=10_000.0).contains(&floor)) {
            return wrong("floor", "it must be between 0 and 10000");
        }
        Ok(())
    }
}

impl HeartbeatConfig {
    fn check(&self) -> Result<(), String> {
        match (&self.url, &self.url_file) {
            (Some(_), Some(_)) | (None, None) => {
                return Err("watch.heartbeat: say either `url_file` or `url`".into());
            }
            // The address may be all the secret there is: it is not repeated.
            (Some(url), None) if !is_http(url.reveal()) => {
                return Err("watch.heartbeat.url: it must begin with `https://` or `http://`".into());
            }
            _ => {}
        }
        if !(BEAT_MIN..=BEAT_MAX).contains(&self.every) {
            return Err("watch.heartbeat.every: it must be between `10s` and `1h`".into());
        }
        Ok(())
    }
}

impl TracesConfig {
    fn check(&self) -> Result<(), String> {
        if !cfg!(feature = "otel") {
            return Err("watch.traces: this build sends no traces; build it with `--features otel`".into());
        }
        if !is_http(&self.endpoint) {
            return Err("watch.traces.endpoint: it must begin with `https://` or `http://`".into());
        }
        // It is shown in the log; a token belongs into a header.
        if self.endpoint.contains(['@', '?', '#']) {
            return Err(
                "watch.traces.endpoint: it must hold no credentials, `?` or `#`; put a token into the file that \
                        `headers_file` names"
                    .into(),
            );
        }
        self.check_headers()
    }

    /// What a file of headers holds is a secret: in clear it stays on this machine.
    fn check_headers(&self) -> Result<(), String> {
        let in_clear = self.endpoint.strip_prefix("http://").filter(|_| self.headers_file.is_some());
        match in_clear.map(|rest| rest.split('/').next().unwrap_or_default()) {
            Some(authority) if !is_loopback(authority) => Err(
                "watch.traces.endpoint: with `headers_file` use `https://`; over `http://` headers go to this machine \
                 alone (127.0.0.1), or anybody on the way could read them"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::parse;

    fn watch(text: &str) -> Result<WatchConfig, String> {
        let text = format!("version: 1\nwatch:\n{text}");
        parse("config.yaml", &text).map(|config| config.watch).map_err(|error| error.to_string())
    }

    #[test]
    fn all_of_it_is_read() {
        let read = watch(
            "  change_rate: {window: 30m, factor: 2.5, minimum: 8, floor: 6}\n  \
             heartbeat: {url_file: /run/secrets/beat, every: 90s}\n",
        );
        let read = read.unwrap();
        assert_eq!(read.change_rate.window, Some(Duration::from_secs(1800)));
        assert_eq!(read.change_rate.minimum, Some(8));
        assert_eq!(read.heartbeat.unwrap().every, Duration::from_secs(90));
        assert!(read.traces.is_none());
        let plain = watch("  heartbeat: {url: \"https://beat.example/x\"}\n").unwrap();
        assert_eq!(plain.heartbeat.unwrap().every, Duration::from_secs(60));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, expected) in [
            ("  change_rate: {window: 5s}\n", "watch.change_rate.window"),
            ("  change_rate: {window: soon}\n", "`soon` is no length of time"),
            ("  change_rate: {factor: 0.5}\n", "watch.change_rate.factor"),
            ("  change_rate: {factor: .nan}\n", "watch.change_rate.factor"),
            ("  change_rate: {minimum: 0}\n", "watch.change_rate.minimum"),
            ("  change_rate: {floor: -1}\n", "watch.change_rate.floor"),
            ("  heartbeat: {every: 1m}\n", "either `url_file` or `url`"),
            ("  heartbeat: {url: \"https://canary\", url_file: x}\n", "either `url_file` or `url`"),
            ("  heartbeat: {url: \"ftp://canary\"}\n", "must begin with"),
            ("  heartbeat: {url: \"https://canary\", every: 1s}\n", "between `10s` and `1h`"),
            ("  heartbeat: {url: [\"https://canary\"]}\n", "heartbeat"),
            ("  heartbeat: {url: \"https://canary\", retries: 3}\n", "retries"),
        ] {
            let error = watch(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("canary"), "{text}: {error}");
        }
        let kept = watch("  heartbeat: {url: \"https://canary\"}\n").unwrap();
        assert!(!format!("{kept:?}").contains("canary"), "{kept:?}");
    }

    #[test]
    fn headers_go_in_clear_to_this_machine_alone() {
        let check = |endpoint: &str, headers: bool| {
            let headers_file = headers.then(|| PathBuf::from("/etc/headers"));
            TracesConfig { endpoint: endpoint.into(), headers_file }.check_headers()
        };
        for sound in [
            "https://otel.example/v1/traces",
            "http://127.0.0.1:4318/v1/traces",
            "http://localhost",
            "http://[::1]:4318/",
        ] {
            assert_eq!(check(sound, true), Ok(()), "{sound}");
        }
        for wrong in ["http://otel.example:4318/v1/traces", "http://10.0.0.1/", "http://127.0.0.1.example", "http://"] {
            let error = check(wrong, true).unwrap_err();
            assert!(error.contains("watch.traces.endpoint") && error.contains("https://"), "{wrong}: {error}");
            assert_eq!(check(wrong, false), Ok(()), "nothing secret goes along");
        }
    }

    #[cfg(feature = "otel")]
    #[test]
    fn a_collector_has_no_secret_in_its_address() {
        let traces = |endpoint: &str| watch(&format!("  traces: {{endpoint: \"{endpoint}\"}}\n"));
        assert!(traces("http://localhost:4318/v1/traces").is_ok());
        for wrong in ["localhost:4318", "https://me:pw@host/v1/traces", "https://host/v1/traces?key=1"] {
            assert!(traces(wrong).unwrap_err().contains("watch.traces.endpoint"), "{wrong}");
        }
    }

    #[cfg(not(feature = "otel"))]
    #[test]
    fn a_build_without_traces_says_so() {
        let error = watch("  traces: {endpoint: \"http://localhost:4318/v1/traces\"}\n").unwrap_err();
        assert!(error.contains("--features otel"), "{error}");
    }
}
