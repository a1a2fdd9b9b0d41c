//! HTTP/1.1 in its smallest form: one blocking client call, and the reading of one message from a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The most that one call may take: a hanging emulator fails the test and does not hang it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request or an answer, body read to its end.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    /// A header's value; names compare without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The status of an answer; 0 where the first line is none.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The path of a request.
    pub fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Writes it with a `Content-Length` and the given `Connection` header in place of the ones it came with.
    pub fn write(&self, to: &mut TcpStream, connection: &str) -> io::Result<()> {
        let mut head = format!("{}\r\n", self.start);
        let replaced = ["content-length", "transfer-encoding", "connection", "keep-alive"];
        for (name, value) in self.headers.iter().filter(|(name, _)| !replaced.contains(&name.to_lowercase().as_str())) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\nconnection: {connection}\r\n\r\n", self.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes)
    }
}

/// Reads one message; `None` when the peer closed before its first byte.
pub fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Message>> {
    let mut message = Message::default();
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    message.start = line.trim_end().to_owned();
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        message.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    message.body = read_body(from, &message)?;
    Ok(Some(message))
}

fn read_body(from: &mut BufReader<TcpStream>, message: &Message) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if message.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = line.split(';').next().unwrap_or("").trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            let start = body.len();
            body.resize(start + size, 0);
            from.read_exact(&mut body[start..])?;
            from.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    if let Some(length) = message.header("content-length") {
        body.resize(length.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?, 0);
        from.read_exact(&mut body)?;
    } else if message.start.starts_with("HTTP/") && !matches!(message.status(), 204 | 304) {
        from.read_to_end(&mut body)?;
    }
    Ok(body)
}

/// Sends one message on a connection of its own and reads the answer.
pub fn exchange(to: SocketAddr, message: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    message.write(&mut stream, "close")?;
    read(&mut BufReader::new(stream))?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// One call to `http://to/path`.
pub fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Message> {
    let mut message = Message { start: format!("{method} {path} HTTP/1.1"), headers: vec![], body: body.to_vec() };
    message.headers.push(("host".to_owned(), to.to_string()));
    message.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    exchange(to, &message)
}
