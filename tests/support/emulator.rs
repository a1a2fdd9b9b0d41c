//! MiniStack, microburst and the recording proxy as one: started for a test, ended with it.

use super::place::Place;
use super::proxy::Proxy;
use super::{http, wait_for};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a Python program may take to answer on two busy cores; 0.3 s is usual.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The secret of every access key: MiniStack does not look at it.
pub const SECRET: &str = "not-a-secret";

/// A running emulator of AWS, with empty accounts.
pub struct Emulator {
    ministack: Running,
    microburst: Mutex<Option<Running>>,
    proxy: Proxy,
    bin: PathBuf,
    logs: tempfile::TempDir,
}

impl Emulator {
    /// Starts one; `None`, with the reason printed, when `WAVEGATE_EMULATOR` is unset.
    pub fn start() -> Option<Self> {
        if std::env::var_os("WAVEGATE_EMULATOR").is_none() {
            eprintln!("skipped: WAVEGATE_EMULATOR is unset (tests/run sets it up)");
            return None;
        }
        let bin =
            std::env::var_os("WAVEGATE_EMULATOR_BIN").expect("WAVEGATE_EMULATOR is set, WAVEGATE_EMULATOR_BIN is not");
        let bin = PathBuf::from(bin);
        let logs = tempfile::tempdir().unwrap();
        let ministack = Running::start("ministack", "/_ministack/health", logs.path(), |port| {
            let mut command = Command::new(bin.join("ministack"));
            command.env("BIND_HOST", "127.0.0.1").env("MINISTACK_HOST", "127.0.0.1").env("LOG_LEVEL", "WARNING");
            command.env("GATEWAY_PORT", port.to_string());
            command
        });
        let proxy = Proxy::start(ministack.address);
        Some(Self { ministack, microburst: Mutex::new(None), proxy, bin, logs })
    }

    /// What records, and what cuts, delays and holds.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Where the product is pointed to: the proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.proxy.address())
    }

    /// MiniStack itself, past proxy and faults.
    pub fn direct(&self) -> SocketAddr {
        self.ministack.address
    }

    /// The environment of the daemon and of its commands. `account` is the daemon's own account.
    pub fn env(&self, account: &str, region: &str) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_ACCESS_KEY_ID", account.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", region.to_owned()),
            // Neither a developer's own settings nor an instance's credentials may leak into a test.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// One account and region, for the test's own reads and writes.
    pub fn at(&self, account: &str, region: &str) -> Place {
        Place::new(self.direct(), account, region)
    }

    /// Empties every account, the record and all faults.
    pub fn reset(&self) {
        self.clear_faults();
        self.proxy.clear();
        let answer = http::send(self.direct(), "POST", "/_ministack/reset", &[], b"").unwrap();
        assert_eq!(answer.status(), 200, "reset: {}", answer.text());
    }

    /// Sets microburst's fault rules (it starts when first asked; then calls go through it), as
    /// `[{"service":"cloudformation","operation":"DescribeStacks","times":2,"error":{"code":"Throttling"}}]`.
    pub fn inject(&self, rules: &serde_json::Value) {
        self.set_rules(rules);
        self.proxy.set_upstream(self.microburst_address());
    }

    /// Takes microburst out of the way.
    pub fn clear_faults(&self) {
        self.proxy.set_upstream(self.direct());
        if self.microburst.lock().unwrap().is_some() {
            self.set_rules(&serde_json::json!([]));
            self.microburst("DELETE", "/_microburst/fired", b"");
        }
    }

    /// What microburst has injected.
    pub fn fired(&self) -> serde_json::Value {
        serde_json::from_slice(&self.microburst("GET", "/_microburst/fired", b"").body).unwrap()
    }

    fn set_rules(&self, rules: &serde_json::Value) {
        let answer = self.microburst("POST", "/_microburst/rules", rules.to_string().as_bytes());
        assert_eq!(answer.status(), 200, "rules {rules}: {}", answer.text());
    }

    fn microburst_address(&self) -> SocketAddr {
        let mut running = self.microburst.lock().unwrap();
        if let Some(running) = &*running {
            return running.address;
        }
        let upstream = format!("http://{}", self.direct());
        let started = Running::start("microburst", "/_microburst/rules", self.logs.path(), |port| {
            let mut command = Command::new(self.bin.join("microburst"));
            command.args(["--host", "127.0.0.1", "-p", &port.to_string(), "-u", &upstream]);
            command
        });
        warm_up(started.address);
        running.insert(started).address
    }

    fn microburst(&self, method: &str, path: &str, body: &[u8]) -> http::Message {
        let headers = [("content-type", "application/json")];
        http::send(self.microburst_address(), method, path, &headers, body).unwrap()
    }
}

/// Lets microburst fire one fault that nobody sees: the first one takes it seconds (it loads AWS's API models), which
/// would otherwise look like a provider that hangs.
fn warm_up(microburst: SocketAddr) {
    let rule = br#"[{"service":"cloudformation","operation":"ListExports","times":1,"error":{"code":"Throttling"}}]"#;
    let json = [("content-type", "application/json")];
    http::send(microburst, "POST", "/_microburst/rules", &json, rule).unwrap();
    let _ = Place::new(microburst, "111111111111", "us-east-1").send_form("cloudformation", "Action=ListExports");
    http::send(microburst, "POST", "/_microburst/rules", &json, b"[]").unwrap();
    http::send(microburst, "DELETE", "/_microburst/fired", &[], b"").unwrap();
}

/// A program that answers on a port, ended by its process id when it is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts a program on a free port and waits until `health` answers. A port that was taken in between is tried again.
    fn start(name: &str, health: &str, dir: &Path, command: impl Fn(u16) -> Command) -> Self {
        for attempt in 1..=3 {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let log = dir.join(format!("{name}-{attempt}.log"));
            let out = File::create(&log).unwrap();
            let mut command = command(address.port());
            command.current_dir(dir).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
            let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
            let mut running = Self { child, address };
            let up = wait_for(&format!("{name} answers"), START_LIMIT, || match running.child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => http::send(address, "GET", health, &[], b"").is_ok_and(|a| a.status() == 200).then_some(true),
            });
            if up {
                return running;
            }
            eprintln!("{name}, attempt {attempt}: {}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        panic!("{name} ended three times instead of answering");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a child by its process id: politely, and after two seconds for good.
pub fn end(child: &mut Child) {
    send_signal(child.id(), "TERM");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends a signal, as `TERM` or `USR1`, to one process.
pub fn send_signal(pid: u32, signal: &str) {
    let kill = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    assert!(kill.is_ok(), "the command `kill` is missing");
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
