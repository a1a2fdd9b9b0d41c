//! The HTTP door: where it listens, under which names, with which certificate, and how much it takes.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The HTTP door.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where it listens, as `127.0.0.1:7443`. Port 0: any free one.
    pub listen: SocketAddr,
    /// Names under which callers know it, beside the loopback names and the address it listens on. A request for another name is
    /// refused: a page in somebody's browser may have pointed its own name here.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Pages in browsers that may call it, as `https://ops.example.com`. None: no browser at all.
    #[serde(default)]
    pub origins: Vec<String>,
    /// TLS. None: plain HTTP, on a loopback address only.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// How much it takes.
    #[serde(default)]
    pub limits: HttpLimits,
}

/// Files of the TLS side, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, with the chain behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whoever shows a certificate of this authority needs no token. None: certificates are not asked for.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// How much the door takes. Beyond each of these a caller is told to come back later, and nothing queues up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// Open connections. An idle one costs some 20 KB.
    pub connections: usize,
    /// Requests that are being answered, without streams and kills: kills have a share of their own.
    pub requests: usize,
    /// Open streams of events.
    pub streams: usize,
    /// Requests of one principal in a second, in the long run. Kills do not count.
    pub per_second: u32,
    /// Requests of one principal at once, after a pause.
    pub burst: u32,
    /// Seconds for a request's body to arrive, and again for its answer.
    pub request_seconds: u64,
    /// Seconds for a request's head, and for a TLS handshake.
    pub head_seconds: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            // Every stream of events, and as many again for everything else.
            connections: 4_096,
            // The loop takes one order at a time: more at once only wait for each other.
            requests: 256,
            streams: 2_000,
            per_second: 50,
            burst: 200,
            request_seconds: 30,
            head_seconds: 10,
        }
    }
}

/// No limit may be larger: a number beyond it is a mistake.
const LIMIT_MAX: usize = 1_000_000;
/// So many open files are left to all that is no connection: the journal and its readers, the socket, pipelines, the ways to AWS.
const FILES_KEPT: usize = 256;

impl HttpLimits {
    /// For a body to arrive, and again for the answer.
    pub fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }

    /// For a head to arrive, and for a TLS handshake.
    pub fn head_time(&self) -> Duration {
        Duration::from_secs(self.head_seconds)
    }

    /// Takes no more connections than there can be open files, less some for all else; where there are very few, half of them. True: they
    /// are fewer now than was configured.
    pub fn fit(&mut self, files: u64) -> bool {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let most = (files - FILES_KEPT.min(files / 2)).max(1);
        if self.connections <= most {
            return false;
        }
        self.connections = most;
        // What streams leave is for all that is asked beside them.
        self.streams = self.streams.min((most * 3 / 4).max(1));
        true
    }

    fn check(&self) -> Result<(), String> {
        let counts = [
            ("connections", self.connections),
            ("requests", self.requests),
            ("streams", self.streams),
            ("per_second", usize::try_from(self.per_second).unwrap_or(usize::MAX)),
            ("burst", usize::try_from(self.burst).unwrap_or(usize::MAX)),
        ];
        for (name, count) in counts {
            if !(1..=LIMIT_MAX).contains(&count) {
                return Err(format!("http.limits.{name}: {count} is not between 1 and {LIMIT_MAX}"));
            }
        }
        for (name, seconds) in [("request_seconds", self.request_seconds), ("head_seconds", self.head_seconds)] {
            if !(1..=3_600).contains(&seconds) {
                return Err(format!("http.limits.{name}: {seconds} is not between 1 and 3600"));
            }
        }
        Ok(())
    }
}

impl HttpConfig {
    /// A door on this address, with everything else as it is without being said.
    pub fn on(listen: SocketAddr) -> Self {
        Self { listen, hosts: Vec::new(), origins: Vec::new(), tls: None, limits: HttpLimits::default() }
    }

    /// What a reader of the shape alone cannot see.
    ///
    /// # Errors
    /// What is wrong, beginning with its place in the file.
    pub fn check(&self) -> Result<(), String> {
        if !self.listen.ip().is_loopback() && self.tls.is_none() {
            return Err(format!(
                "http.listen: `{}` can be reached from other machines, and tokens would cross the network in the clear; give `tls`, or listen on 127.0.0.1",
                self.listen
            ));
        }
        for host in &self.hosts {
            if !is_host(host) {
                return Err(format!("http.hosts: `{host}` is no host name; write it without scheme, port and path"));
            }
        }
        for origin in &self.origins {
            if !is_origin(origin) {
                return Err(format!(
                    "http.origins: `{origin}` is no origin; write it as browsers send it, as `https://ops.example.com`"
                ));
            }
        }
        self.limits.check()
    }
}

fn is_host(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.len() <= 253 && text.chars().all(name),
    }
}

fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    is_host(host) && !text.chars().any(|c| c.is_ascii_uppercase()) && port.is_none_or(|p| p.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HttpConfig, String> {
        let config: HttpConfig = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn an_address_is_enough_and_nothing_else_is_open() {
        let config = read("listen: 127.0.0.1:7443").unwrap();
        assert_eq!(config, HttpConfig::on("127.0.0.1:7443".parse().unwrap()));
        assert_eq!((config.limits.streams, config.limits.requests), (2_000, 256));
        assert!(read("{}").unwrap_err().contains("listen"));
    }

    #[test]
    fn there_are_no_more_connections_than_open_files() {
        let fitted = |files: u64| {
            let mut limits = HttpLimits::default();
            (limits.fit(files), limits.connections)
        };
        assert_eq!(fitted(u64::MAX), (false, 4_096));
        assert_eq!(fitted(4_096 + 256), (false, 4_096));
        assert_eq!(fitted(4_096), (true, 3_840));
        assert_eq!(fitted(1_024), (true, 768));
        assert_eq!((fitted(100), fitted(0)), ((true, 50), (true, 1)));
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        for listen in ["0.0.0.0:80", "10.0.0.1:80", "'[::]:80'"] {
            let why = read(&format!("listen: {listen}")).unwrap_err();
            assert!(why.starts_with("http.listen:") && why.contains("`tls`"), "{why}");
        }
        read("listen: 0.0.0.0:443\ntls: {certificate: a.pem, key: b.pem}").unwrap();
        read("listen: '[::1]:80'").unwrap();
    }

    #[test]
    fn what_is_no_host_origin_or_limit_is_named() {
        let wrong = [
            ("hosts: ['https://a.example']", "http.hosts"),
            ("hosts: ['a.example:80']", "http.hosts"),
            ("hosts: ['']", "http.hosts"),
            ("origins: ['a.example']", "http.origins"),
            ("origins: ['https://a.example/']", "http.origins"),
            ("origins: ['https://A.example']", "http.origins"),
            ("origins: ['https://a.example:x']", "http.origins"),
            ("origins: ['*']", "http.origins"),
            ("limits: {burst: 0}", "http.limits.burst"),
            ("limits: {head_seconds: 0}", "http.limits.head_seconds"),
            ("limits: {streams: 10000000}", "http.limits.streams"),
            ("limits: {steams: 1}", "unknown field"),
            ("tls: {certificate: a}", "key"),
        ];
        for (line, place) in wrong {
            let why = read(&format!("listen: 127.0.0.1:0\n{line}")).unwrap_err();
            assert!(why.contains(place), "{line}: {why}");
        }
        read("listen: 127.0.0.1:0\nhosts: [gate.example, '[::1]']\norigins: ['https://a.example', 'http://localhost:3000', 'http://[::1]:80']").unwrap();
    }
}
