//! As much of HTTP/1.1 as measuring needs: a request, an answer, a stream of events.

use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A connection that is kept.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
    token: String,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Connection {
    pub async fn open(host: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), host, token: token.to_owned() }
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) {
        let (host, token, length) = (self.host, &self.token, body.len());
        let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{content}Content-Length: {length}\r\n\r\n"
        );
        self.stream.get_mut().write_all((head + body).as_bytes()).await.unwrap();
    }

    /// The status, and how long the body is; none: it comes in chunks.
    async fn head(&mut self) -> (u16, Option<usize>) {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {line:?}")).parse().unwrap();
        let (mut length, mut chunked) = (0, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.unwrap();
            let lower = line.trim().to_ascii_lowercase();
            match lower.split_once(':') {
                Some(("content-length", n)) => length = n.trim().parse().unwrap(),
                Some(("transfer-encoding", how)) => chunked = how.trim() == "chunked",
                None if lower.is_empty() => return (status, (!chunked).then_some(length)),
                _ => {}
            }
        }
    }

    /// The next chunk; none: that was the last one.
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut bytes = vec![0; size + 2];
        self.stream.read_exact(&mut bytes).await.ok()?;
        bytes.truncate(size);
        (size > 0).then_some(bytes)
    }

    /// One request, one answer.
    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, body).await;
        let (status, length) = self.head().await;
        let mut bytes = vec![0; length.unwrap_or(0)];
        match length {
            Some(_) => drop(self.stream.read_exact(&mut bytes).await.unwrap()),
            None => {
                while let Some(chunk) = self.chunk().await {
                    bytes.extend(chunk);
                }
            }
        }
        Answer { status, body: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// The positions of a stream of events, until one of this name has come or the stream ends.
    pub async fn events(&mut self, path: &str, until: &str) -> Vec<u64> {
        self.send("GET", path, "").await;
        let (status, _) = self.head().await;
        assert_eq!(status, 200, "{path}");
        let (mut seen, mut rest, mut over) = (Vec::new(), Vec::new(), false);
        while let Some(chunk) = self.chunk().await {
            rest.extend(chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line = std::str::from_utf8(&line).unwrap().trim_end();
                if let Some(id) = line.strip_prefix("id:") {
                    seen.push(id.trim().parse().unwrap());
                }
                over |= line.strip_prefix("event:").is_some_and(|name| name.trim() == until);
                if over && line.is_empty() {
                    return seen;
                }
            }
        }
        seen
    }
}
