//! The stub's server: HTTP/1.1 with kept connections on one thread, 50 ms for each call of AWS's, none for the bench's own.
//!
//! Half of the 50 ms pass before the call takes effect and half after, as on a network.

use crate::cloudformation::{Fields, Refusal, World};
use crate::{AFTER_WAVE_3, cloudwatch};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const HALF_A_CALL: Duration = Duration::from_millis(25);

/// What every stack is made from.
pub const TEMPLATE: &str = include_str!("../../tests/fixtures/setting-v1.yaml");

struct Stub {
    world: World,
    calls: BTreeMap<String, usize>,
    /// The metric goes bad once wave 3 is done, and well again when every stack is as it was.
    breaks: bool,
    unknown: Vec<String>,
}

struct Request {
    path: String,
    region: String,
    body: Vec<u8>,
}

struct Reply {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
}

/// Serves on a free port, whose address is printed, until the process is killed.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let stub = Stub { world: World::new(TEMPLATE), calls: BTreeMap::new(), breaks: false, unknown: vec![] };
        let stub = Arc::new(Mutex::new(stub));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let stub = Arc::clone(&stub);
            tokio::spawn(async move {
                let _ = connection(stream, &stub).await;
            });
        }
    });
}

async fn connection(stream: TcpStream, stub: &Mutex<Stub>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        let reply = if request.path.starts_with("/control/") {
            stub.lock().unwrap().control(&request.path)
        } else {
            tokio::time::sleep(HALF_A_CALL).await;
            let reply = stub.lock().unwrap().aws(&request);
            tokio::time::sleep(HALF_A_CALL).await;
            reply
        };
        let protocol = if reply.kind == CBOR { "smithy-protocol: rpc-v2-cbor\r\n" } else { "" };
        let mut out = format!(
            "HTTP/1.1 {} X\r\ncontent-type: {}\r\n{protocol}content-length: {}\r\n\r\n",
            reply.status,
            reply.kind,
            reply.body.len()
        )
        .into_bytes();
        out.extend(reply.body);
        stream.get_mut().write_all(&out).await?;
    }
    Ok(())
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut request =
        Request { path: line.split(' ').nth(1).unwrap_or("").to_owned(), region: String::new(), body: vec![] };
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            request.body.resize(value.trim().parse().unwrap_or(0), 0);
        } else if name.eq_ignore_ascii_case("authorization") {
            // Credential=KEY/DATE/REGION/SERVICE/aws4_request
            let scope = value.split_once("Credential=").map_or("", |(_, scope)| scope);
            request.region = scope.split('/').nth(2).unwrap_or("").to_owned();
        }
    }
    stream.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

const XML: &str = "text/xml";
const CBOR: &str = "application/cbor";

impl Stub {
    fn aws(&mut self, request: &Request) -> Reply {
        if let Some((_, operation)) = request.path.split_once("/operation/") {
            return self.cloudwatch(operation, &request.body);
        }
        let fields: Fields = form(&request.body);
        let action = fields.get("Action").cloned().unwrap_or_default();
        *self.calls.entry(action.clone()).or_default() += 1;
        let answer = match action.as_str() {
            "AssumeRole" => Ok(SESSION.to_owned()),
            _ => self.world.answer(&action, &request.region, &fields),
        };
        match answer {
            Ok(result) => {
                let xml = format!(
                    "<{action}Response><{action}Result>{result}</{action}Result>\
                     <ResponseMetadata><RequestId>stub</RequestId></ResponseMetadata></{action}Response>"
                );
                Reply { status: 200, kind: XML, body: xml.into_bytes() }
            }
            Err(Refusal(status, code, message)) => {
                self.unknown.push(format!("{action}: {code}: {message}"));
                let xml = format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                     <RequestId>stub</RequestId></ErrorResponse>"
                );
                Reply { status, kind: XML, body: xml.into_bytes() }
            }
        }
    }

    fn cloudwatch(&mut self, operation: &str, body: &[u8]) -> Reply {
        *self.calls.entry(operation.to_owned()).or_default() += 1;
        let bad = self.breaks && self.world.updated() >= AFTER_WAVE_3;
        match cloudwatch::answer(operation, body, bad, jiff::Timestamp::now().as_second()) {
            Ok(body) => Reply { status: 200, kind: CBOR, body },
            Err(message) => {
                self.unknown.push(message);
                Reply { status: 400, kind: CBOR, body: vec![0xa0] }
            }
        }
    }

    /// The bench's own door.
    fn control(&mut self, path: &str) -> Reply {
        match path {
            "/control/break-after-wave-3" => self.breaks = true,
            "/control/report" => {}
            _ => return Reply { status: 404, kind: XML, body: vec![] },
        }
        let (original, changed) = self.world.original_and_changed();
        let report = serde_json::json!({
            "calls": self.calls,
            "executes": self.world.executes,
            "original": original,
            "changed": changed,
            "refused": self.unknown,
        });
        Reply { status: 200, kind: "application/json", body: report.to_string().into_bytes() }
    }
}

const SESSION: &str = "<Credentials><AccessKeyId>111111111111</AccessKeyId><SecretAccessKey>stub</SecretAccessKey>\
     <SessionToken>stub</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
     <AssumedRoleUser><AssumedRoleId>stub:stub</AssumedRoleId><Arn>arn:aws:sts::111111111111:assumed-role/stub/stub</Arn></AssumedRoleUser>";

fn form(body: &[u8]) -> Fields {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The calls of a report, one line each.
pub fn show_calls(calls: &serde_json::Value) -> String {
    calls.as_object().into_iter().flatten().fold(String::new(), |mut out, (action, count)| {
        let _ = write!(out, "{action} {count}  ");
        out
    })
}
