//! The doors, as somebody outside uses them: over the daemon's own socket, its kill file, its listeners.

use super::{DrillSetup, Remote};
use crate::api::socket::Client;
use crate::api::verbs::{Request, Response};
use crate::cloud::drill_http;
use crate::daemon::kill_file;
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::RolloutId;
use crate::model::principal::Caller;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// What stands as the reason of a drill's kill.
const REASON: &str = "kill drill";
/// Where a drill's kill file is written.
const DRAFT: &str = ".KILL.drill";
/// Where a kill file is taken to, to be looked at. Not the draft: a crash may leave that one and the kill file as two names of one file,
/// and to rename one into the other does nothing.
const ASIDE: &str = ".KILL.drill.aside";

/// A door by which a kill is given.
pub trait DoorUnderDrill: Send + Sync {
    /// Which.
    fn door(&self) -> KillDoor;
    /// Gives the order. The error says why it could not be given.
    fn kill<'a>(&'a self, scope: &'a KillScope, mode: KillMode) -> BoxFuture<'a, Result<(), String>>;
    /// Takes away what the order has left outside of the record. The error is for people.
    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        async { Ok(()) }.boxed()
    }
}

/// The daemon's HTTP door, and a credential that is good for one check.
#[derive(Clone)]
pub struct RemoteAccess {
    /// As `http://127.0.0.1:8443`, without a path.
    pub url: String,
    /// The certificate that it shows, where it speaks TLS.
    pub certificate: Option<CertificateDer<'static>>,
    /// A bearer token of a person, short-lived.
    pub token: String,
    /// Whether the door also speaks the Model Context Protocol.
    pub mcp: bool,
}

/// The doors that can be drilled in this process, and those that cannot, in words.
pub(super) fn all(setup: &DrillSetup, caller: &Caller) -> (Vec<Box<dyn DoorUnderDrill>>, Vec<String>) {
    let dir = || setup.state_dir.clone();
    let mut doors: Vec<Box<dyn DoorUnderDrill>> = vec![Box::new(Cli(dir())), Box::new(File(dir()))];
    let mut not = Vec::new();
    let borrowed = setup.remote.as_ref().map(|remote| Borrow { remote: Arc::clone(remote), caller: caller.clone() });
    match borrowed.map(|borrow| ((borrow.remote)(&borrow.caller), borrow)) {
        None | Some((Ok(None), _)) => {
            not.push("http: not drilled, this daemon has no HTTP door".to_owned());
            not.push("mcp: not drilled, this daemon has no HTTP door".to_owned());
        }
        Some((Ok(Some(access)), borrow)) => {
            if access.mcp {
                doors.push(Box::new(Mcp(borrow.clone())));
            } else {
                not.push("mcp: not drilled, the HTTP door does not speak it".to_owned());
            }
            doors.push(Box::new(Http(borrow)));
        }
        Some((Err(why), _)) => {
            doors.push(Box::new(Shut(KillDoor::Http, why.clone())));
            doors.push(Box::new(Shut(KillDoor::Mcp, why)));
        }
    }
    (doors, not)
}

/// Borrows the HTTP door with a credential of its own for each check: a credential is good for minutes, and a drill in a sandbox may take
/// hours.
#[derive(Clone)]
struct Borrow {
    remote: Remote,
    caller: Caller,
}

impl Borrow {
    fn access(&self) -> Result<RemoteAccess, String> {
        (self.remote)(&self.caller)?.ok_or_else(|| "the HTTP door is not open any more".into())
    }
}

/// The command line, over the daemon's socket, as the local user.
struct Cli(PathBuf);

impl DoorUnderDrill for Cli {
    fn door(&self) -> KillDoor {
        KillDoor::Cli
    }

    fn kill<'a>(&'a self, scope: &'a KillScope, mode: KillMode) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let mut client = Client::connect(&self.0, None).await.map_err(|error| error.to_string())?;
            let request = Request::Kill { scope: scope.clone(), mode, reason: REASON.into() };
            match client.call(&request).await.map_err(|error| error.to_string())? {
                Response::Killed(_) => Ok(()),
                Response::Refused { message, .. } | Response::BadInput { message } => Err(message),
                other => Err(format!("an odd answer: {other:?}")),
            }
        }
        .boxed()
    }
}

/// The kill file in the state directory. One that is there already is somebody else's, and is never written over.
struct File(PathBuf);

impl DoorUnderDrill for File {
    fn door(&self) -> KillDoor {
        KillDoor::File
    }

    fn kill<'a>(&'a self, scope: &'a KillScope, mode: KillMode) -> BoxFuture<'a, Result<(), String>> {
        let (draft, file) = (self.0.join(DRAFT), kill_file::path(&self.0));
        let text = kill_file::text(mode, scope, REASON);
        async move {
            let _turn = kill_file::turn(&file);
            let not_written = |error: std::io::Error| format!("the kill file cannot be written: {error}");
            // One that a crash has left may be one with the kill file, and what is written into it stands in both.
            gone(&draft).map_err(not_written)?;
            std::fs::write(&draft, text).map_err(not_written)?;
            // Whole or not at all, and never in the place of another one.
            let linked = std::fs::hard_link(&draft, &file).map_err(not_written);
            std::fs::remove_file(&draft).map_err(not_written)?;
            linked
        }
        .boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        let dir = self.0.clone();
        async move { remove(&dir, |scope| matches!(scope, KillScope::Rollout(_))).map_err(|error| error.to_string()) }
            .boxed()
    }
}

/// Removes a kill file that a drill of before a crash has left. One of anybody else stays.
pub(super) fn remove_left_over(dir: &Path, drills: &[RolloutId]) -> std::io::Result<()> {
    remove(dir, |scope| matches!(scope, KillScope::Rollout(rollout) if drills.contains(rollout)))
}

/// Removes the kill file if a drill wrote it. It is taken aside first: what somebody writes in the same moment is not lost.
fn remove(dir: &Path, ours: impl Fn(&KillScope) -> bool) -> std::io::Result<()> {
    let (file, aside) = (kill_file::path(dir), dir.join(ASIDE));
    let _turn = kill_file::turn(&file);
    // What somebody has added to it is theirs, and keeps the whole file.
    let is_ours = |kills: &[Kill]| matches!(kills, [kill] if kill.reason == REASON && ours(&kill.scope));
    // What a crash has left of this very work. A draft that cannot be removed is in the way of the next order, and says so there.
    let _ = gone(&dir.join(DRAFT));
    settle(&aside, &file, is_ours)?;
    if !is_ours(&kill_file::read(&file, Timestamp::UNIX_EPOCH)) {
        return Ok(());
    }
    std::fs::rename(&file, &aside)?;
    settle(&aside, &file, is_ours)
}

/// Removes what was taken aside if it is ours. Anybody else's goes back, unless there is a still newer one.
fn settle(aside: &Path, file: &Path, is_ours: impl Fn(&[Kill]) -> bool) -> std::io::Result<()> {
    match kill_file::read(aside, Timestamp::UNIX_EPOCH).as_slice() {
        [] => Ok(()),
        kills if is_ours(kills) => std::fs::remove_file(aside),
        _ => match std::fs::hard_link(aside, file) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => std::fs::remove_file(aside),
        },
    }
}

/// Removes a file that need not be there.
fn gone(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `POST /v1/kills` at the daemon's own listener.
struct Http(Borrow);

impl DoorUnderDrill for Http {
    fn door(&self) -> KillDoor {
        KillDoor::Http
    }

    fn kill<'a>(&'a self, scope: &'a KillScope, mode: KillMode) -> BoxFuture<'a, Result<(), String>> {
        let body = json!({ "scope": scope.to_string(), "mode": mode, "reason": REASON });
        async move {
            let access = self.0.access()?;
            let url = format!("{}/v1/kills", access.url.trim_end_matches('/'));
            let answer =
                drill_http::post(&url, access.certificate.as_ref(), &access.token, "application/json", &body).await?;
            (200..300).contains(&answer.status).then_some(()).ok_or_else(|| answer.complaint())
        }
        .boxed()
    }
}

/// The tool `stop_rollout` at the daemon's own listener.
struct Mcp(Borrow);

impl DoorUnderDrill for Mcp {
    fn door(&self) -> KillDoor {
        KillDoor::Mcp
    }

    fn kill<'a>(&'a self, scope: &'a KillScope, mode: KillMode) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let KillScope::Rollout(rollout) = scope else { return Err("a drill stops one rollout".into()) };
            let arguments = json!({ "rollout": rollout, "mode": mode, "reason": REASON });
            let body = json!({
                "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": { "name": "stop_rollout", "arguments": arguments },
            });
            let access = self.0.access()?;
            let url = format!("{}/mcp", access.url.trim_end_matches('/'));
            let answer = drill_http::post(
                &url,
                access.certificate.as_ref(),
                &access.token,
                "application/json, text/event-stream",
                &body,
            )
            .await?;
            match answer.json().as_ref().and_then(|said| said.get("result")) {
                Some(Value::Object(result)) if result.get("isError") != Some(&Value::Bool(true)) => Ok(()),
                _ => Err(answer.complaint()),
            }
        }
        .boxed()
    }
}

/// A door that is there and that the drill has no credential for.
struct Shut(KillDoor, String);

impl DoorUnderDrill for Shut {
    fn door(&self) -> KillDoor {
        self.0
    }

    fn kill<'a>(&'a self, _: &'a KillScope, _: KillMode) -> BoxFuture<'a, Result<(), String>> {
        async { Err(self.1.clone()) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::principal::{Door, Principal, PrincipalKind, Role};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A listener that takes one request, answers with these bytes, and tells what it was asked.
    fn listener(answer: &'static str) -> (RemoteAccess, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            let mut bytes = [0; 4096];
            // The body is JSON: it ends with the last brace.
            while !asked.ends_with('}') {
                let n = stream.read(&mut bytes).unwrap();
                asked.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
            stream.write_all(answer.as_bytes()).unwrap();
            asked
        });
        (RemoteAccess { url, certificate: None, token: "t0ken".into(), mcp: true }, asked)
    }

    /// A door that is always lent with this credential.
    fn lent(access: RemoteAccess) -> Borrow {
        Borrow { remote: Arc::new(move |_| Ok(Some(access.clone()))), caller: caller() }
    }

    fn caller() -> Caller {
        let principal = Principal {
            name: "ada".into(),
            kind: PrincipalKind::Human,
            party: String::new(),
            groups: Default::default(),
        };
        Caller {
            principal,
            roles: [Role::Operator].into(),
            credential: "uid 0".into(),
            door: Door::Socket,
            named: true,
        }
    }

    /// One that was lent at the start is over before the last check of a long drill.
    #[tokio::test]
    async fn each_check_borrows_a_credential_of_its_own() {
        let (access, asked) = listener("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        let lent = AtomicUsize::new(0);
        let remote: Remote = Arc::new(move |caller| {
            assert_eq!(caller.principal.name, "ada");
            match lent.fetch_add(1, Ordering::Relaxed) {
                // The last one: nothing is left to be lent.
                2 => Ok(None),
                n => Ok(Some(RemoteAccess { token: format!("token-{n}"), ..access.clone() })),
            }
        });
        let borrow = Borrow { remote, caller: caller() };
        assert_eq!(borrow.access().unwrap().token, "token-0");
        let http = Http(borrow);
        http.kill(&scope(), KillMode::Halt).await.unwrap();
        assert!(asked.join().unwrap().contains("authorization: Bearer token-1\r\n"));
        assert!(http.kill(&scope(), KillMode::Halt).await.unwrap_err().contains("not open any more"));
    }

    fn scope() -> KillScope {
        KillScope::Rollout("r-1".into())
    }

    #[tokio::test]
    async fn http_posts_the_order_with_the_token() {
        let (access, asked) = listener("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        Http(lent(access)).kill(&scope(), KillMode::Halt).await.unwrap();
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("POST /v1/kills HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer t0ken\r\n"), "{asked}");
        assert!(asked.contains("\"mode\":\"halt\"") && asked.contains("\"scope\":\"rollout=r-1\""), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_is_said_and_the_token_is_not() {
        let (access, _asked) =
            listener("HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{\"code\":\"forbid\"}");
        let why = Http(lent(access)).kill(&scope(), KillMode::Halt).await.unwrap_err();
        assert!(why.starts_with("answered 403") && !why.contains("t0ken"), "{why}");
        // Nobody listens there any more.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let access =
            RemoteAccess { url: format!("http://{closed}"), certificate: None, token: "t0ken".into(), mcp: false };
        let why = Http(lent(access)).kill(&scope(), KillMode::Halt).await.unwrap_err();
        assert!(why.starts_with("no answer") && !why.contains("t0ken"), "{why}");
    }

    #[tokio::test]
    async fn mcp_calls_the_tool_and_reads_events_and_errors() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n";
        let (access, asked) = listener(ok);
        Mcp(lent(access)).kill(&scope(), KillMode::Pause).await.unwrap();
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("POST /mcp HTTP/1.1\r\n") && asked.contains("\"stop_rollout\""), "{asked}");
        for wrong in [
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"isError\":true,\"content\":[]}}",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601}}",
        ] {
            let (access, _asked) = listener(wrong);
            assert!(Mcp(lent(access)).kill(&scope(), KillMode::Pause).await.is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn the_file_of_somebody_else_is_neither_written_over_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = kill_file::path(dir.path());
        std::fs::write(&file, "halt\nall\nfire\n").unwrap();
        let door = File(dir.path().to_owned());
        assert!(door.kill(&scope(), KillMode::Pause).await.is_err());
        door.clear().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "halt\nall\nfire\n");
        std::fs::remove_file(&file).unwrap();
        door.kill(&scope(), KillMode::Pause).await.unwrap();
        assert_eq!(kill_file::read(&file, Timestamp::UNIX_EPOCH)[0].scope, scope());
        // After a crash only what is known to be a drill's is removed.
        remove_left_over(dir.path(), &["r-2".into()]).unwrap();
        assert!(file.exists());
        remove_left_over(dir.path(), &["r-1".into()]).unwrap();
        assert!(!file.exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// A crash between the link and the removal of the draft, and one between the taking aside and the putting back.
    #[test]
    fn what_a_crash_has_left_of_the_file_is_put_right() {
        let dir = tempfile::tempdir().unwrap();
        let (file, draft) = (kill_file::path(dir.path()), dir.path().join(DRAFT));
        std::fs::write(&draft, kill_file::text(KillMode::Halt, &scope(), REASON)).unwrap();
        std::fs::hard_link(&draft, &file).unwrap();
        remove_left_over(dir.path(), &["r-1".into()]).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(dir.path().join(ASIDE), "halt\nall\nfire\n").unwrap();
        remove_left_over(dir.path(), &[]).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "halt\nall\nfire\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
