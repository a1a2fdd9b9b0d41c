//! A receiver of messages on this machine, which does what it is told to: take, refuse, hang, be away.

use crate::support::http::{self, Message};
use crate::support::wait_for;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// Nothing, for longer than anybody waits.
    Hang,
}

#[derive(Debug)]
struct Inner {
    seen: Mutex<Vec<Message>>,
    next: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Answer>,
    closed: AtomicBool,
}

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let inner = Arc::new(Inner {
            seen: Mutex::default(),
            next: Mutex::default(),
            otherwise: Mutex::new(Answer::Status(200)),
            closed: AtomicBool::new(false),
        });
        let (address, of_thread) = (listener.local_addr().unwrap(), Arc::clone(&inner));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.closed.load(Ordering::SeqCst) {
                    return;
                }
                let inner = Arc::clone(&of_thread);
                std::thread::spawn(move || inner.serve(stream));
            }
        });
        Self { address, inner }
    }

    /// From now on, and the answers before that.
    pub fn answers(&self, first: &[Answer], otherwise: Answer) {
        self.inner.next.lock().unwrap().extend(first);
        *self.inner.otherwise.lock().unwrap() = otherwise;
    }

    pub fn seen(&self) -> Vec<Message> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// What came in of this kind, each attempt.
    pub fn of(&self, kind: &str) -> Vec<Message> {
        self.seen().into_iter().filter(|message| json(message)["data"]["kind"] == kind).collect()
    }

    /// Waits for the n-th attempt of a kind.
    pub fn wait(&self, kind: &str, n: usize) -> Message {
        wait_for(&format!("message {n} of {kind}"), LIMIT, || self.of(kind).into_iter().nth(n - 1))
    }

    /// It is away.
    pub fn close(self) -> SocketAddr {
        self.inner.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        std::thread::sleep(Duration::from_millis(50));
        self.address
    }
}

impl Inner {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Ok(Some(message)) = http::read(&mut reader) {
            let answer = self.next.lock().unwrap().pop_front().unwrap_or(*self.otherwise.lock().unwrap());
            self.seen.lock().unwrap().push(message);
            let status = match answer {
                Answer::Status(status) => status,
                Answer::Hang => return std::thread::sleep(Duration::from_secs(120)),
            };
            // What a receiver says is nobody's business but its own.
            let body = b"CANARY-answer".to_vec();
            let headers = vec![("location".to_owned(), "http://127.0.0.1:1/elsewhere".to_owned())];
            let message = Message { start: format!("HTTP/1.1 {status} x"), headers, body };
            if message.write(&mut stream, "keep-alive").is_err() {
                return;
            }
        }
    }
}

/// The body.
pub fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.body).unwrap_or_default()
}

/// Verifies a message as a receiver does: by the headers, the raw body and its secret.
pub fn is_signed(message: &Message, secret: &str) -> bool {
    let header = |name: &str| message.header(name).unwrap_or_else(|| panic!("no {name}: {message:?}"));
    let at: i64 = header("webhook-timestamp").parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(at.unsigned_abs()) < 300, "an old message");
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{at}.", header("webhook-id")).as_bytes());
    mac.update(&message.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    header("webhook-signature").split(' ').any(|signature| signature == expected)
}
