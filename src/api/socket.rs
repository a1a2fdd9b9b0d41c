//! The Unix socket in the state directory: one JSON line a request, one JSON line an answer; or one line that asks to follow events, and
//! then one line an event. Whoever comes without a token is who the kernel says they are.

use super::auth::Unauthenticated;
pub use super::client::CallError;
use super::client::lines::Lines;
use super::client::{answer_within, may_pass};
use super::code::Code;
use super::doors::Doors;
use super::feed::Filter;
use super::listing::AuditEntry;
use super::refusals::Refused;
use super::verbs::{Request, Response};
use crate::model::ids::RolloutId;
use crate::model::principal::{Caller, Door};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};

/// The socket's name.
const NAME: &str = "wavegate.sock";
/// The longest request: a change set with its templates. More is refused, not buffered.
const REQUEST_MAX: u64 = 16 * 1024 * 1024;
/// So often it is looked whether whoever follows may still come in.
const LOOK: Duration = Duration::from_secs(5);

/// One line to the daemon.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    /// A bearer token; none: whoever has opened the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// An idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Request>,
    /// Or what is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follow: Option<Follow>,
}

/// Events that somebody wants to see, one a line, until they hang up.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Follow {
    /// Only of this rollout.
    rollout: Option<RolloutId>,
    /// Those after this position.
    after: u64,
}

/// Where the socket is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// Listens in the state directory. Called by the leader alone, so that an old socket there is a dead one.
///
/// # Errors
/// The system's.
pub fn listen(state_dir: &Path) -> std::io::Result<UnixListener> {
    let path = path(state_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until the process ends.
pub async fn serve(listener: UnixListener, doors: Doors) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let doors = doors.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &doors).await {
                        tracing::debug!(%error, "a conversation on the socket ended early");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: the loop goes on without this door, and tries again.
                tracing::warn!(%error, "the socket cannot accept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, doors: &Doors) -> std::io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = String::new();
        let got = (&mut lines).take(REQUEST_MAX).read_line(&mut line).await?;
        if got == 0 {
            return Ok(());
        }
        let response = match serde_json::from_str::<Envelope>(&line) {
            Ok(Envelope { token, key, request: Some(request), follow: None }) => {
                answer(doors, uid, token.as_deref(), request, key.as_deref()).await
            }
            Ok(Envelope { token, request: None, follow: Some(follow), .. }) => {
                match may_follow(doors, uid, token.as_deref(), &follow).await {
                    // From here on the connection is for events alone.
                    None => return send_events(doors, uid, token.as_deref(), follow, (lines, write)).await,
                    Some(refused) => refused,
                }
            }
            Ok(_) => Response::BadInput { message: "a line is one `request`, or one `follow`".into() },
            // The line may hold a token: the error tells the place, and nothing of the text.
            Err(error) => Response::BadInput {
                message: format!("not a request that this release knows (column {})", error.column()),
            },
        };
        say(&mut write, &response).await?;
    }
}

async fn say(to: &mut OwnedWriteHalf, response: &Response) -> std::io::Result<()> {
    let mut text = serde_json::to_string(response).map_err(std::io::Error::other)?;
    text.push('\n');
    to.write_all(text.as_bytes()).await
}

/// Whoever may look at a rollout may follow it; all of the record is for those who may read it. The answer of a refusal.
async fn may_follow(doors: &Doors, uid: u32, token: Option<&str>, follow: &Follow) -> Option<Response> {
    let look = match &follow.rollout {
        // The shortest look at a rollout: it tells who may not look, and what is not there.
        Some(rollout) => Request::Findings { rollout: Some(rollout.clone()), after: 0, limit: 1 },
        None => Request::Audit { after: u64::MAX >> 1, limit: 0 },
    };
    let response = answer(doors, uid, token, look, None).await;
    matches!(response, Response::Refused { .. } | Response::BadInput { .. }).then_some(response)
}

async fn send_events(
    doors: &Doors,
    uid: u32,
    token: Option<&str>,
    follow: Follow,
    (mut from, mut to): (impl tokio::io::AsyncRead + Unpin, OwnedWriteHalf),
) -> std::io::Result<()> {
    let mut follower = doors.feed.follow(Filter { rollout: follow.rollout.clone() }, follow.after);
    let mut look = tokio::time::interval(LOOK);
    let mut known = None;
    let _counted = doors.metrics.follows();
    let mut ignored = [0; 64];
    loop {
        let frames = tokio::select! {
            frames = follower.next() => frames.map_err(std::io::Error::other)?,
            // They hang up; what else they say is not listened to.
            said = from.read(&mut ignored) => match said? {
                0 => return Ok(()),
                _ => continue,
            },
            // INVARIANT: S23. Whoever may not come in any more does not stay in either.
            _ = look.tick() => {
                let now = caller(doors, uid, token).await.ok();
                if (known.is_none() || now != known) && let Some(refused) = may_follow(doors, uid, token, &follow).await {
                    return say(&mut to, &refused).await;
                }
                known = now;
                continue;
            }
        };
        let Some(frames) = frames else { return Ok(()) };
        let mut text = String::new();
        for frame in frames {
            text.push_str(&frame.data);
            text.push('\n');
        }
        to.write_all(text.as_bytes()).await?;
    }
}

async fn answer(doors: &Doors, uid: u32, token: Option<&str>, request: Request, key: Option<&str>) -> Response {
    let caller = match caller(doors, uid, token).await {
        Ok(caller) => caller,
        Err(why) => {
            let (credential, why) = (format!("uid {uid}"), why.to_string());
            let refused = Refused {
                credential: &credential,
                code: Code::Unauthenticated,
                why: &why,
                ..Refused::at(Door::Socket)
            };
            doors.service.refuse(refused, None);
            doors.metrics.authentication_failed("socket");
            return Response::Refused { code: Code::Unauthenticated, message: why };
        }
    };
    match doors.service.answer(&caller, request, key).await {
        Ok(response) => response,
        Err(stopped) => Response::Refused { code: Code::Stopped, message: stopped.to_string() },
    }
}

async fn caller(doors: &Doors, uid: u32, token: Option<&str>) -> Result<Caller, Unauthenticated> {
    match token {
        Some(token) => doors.auth.bearer(token, Door::Socket).await,
        None => doors.auth.peer(uid),
    }
}

/// A connection to a daemon.
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    token: Option<String>,
}

impl Client {
    /// Connects to the daemon of a state directory; with a token as whoever has it, else as the local user.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn connect(state_dir: &Path, token: Option<String>) -> Result<Self, CallError> {
        let path = path(state_dir);
        Ok(Self { stream: dial(&path).await?, path, token })
    }

    /// Connects again, after the connection was lost.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn reconnect(&mut self) -> Result<(), CallError> {
        self.stream = dial(&self.path).await?;
        Ok(())
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`CallError::NoAnswer`].
    pub async fn call(&mut self, request: &Request) -> Result<Response, CallError> {
        self.call_with_key(request, None).await
    }

    /// The same, under an idempotency key.
    ///
    /// # Errors
    /// [`CallError::NoAnswer`].
    pub async fn call_with_key(&mut self, request: &Request, key: Option<&str>) -> Result<Response, CallError> {
        let path = self.path.clone();
        let no_answer = |reason: String| CallError::NoAnswer { place: path.display().to_string(), reason };
        let text = self.line(key, Some(request), None).map_err(|e| no_answer(e.to_string()))?;
        let exchange = async {
            self.stream.get_mut().write_all(text.as_bytes()).await?;
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line)
        };
        let within = answer_within(request);
        match tokio::time::timeout(within, exchange).await {
            Ok(Ok(line)) if line.is_empty() => Err(no_answer("it hung up".into())),
            Ok(Ok(line)) => serde_json::from_str(&line).map_err(|e| no_answer(e.to_string())),
            Ok(Err(error)) => Err(no_answer(error.to_string())),
            Err(_) => Err(no_answer(format!("nothing came within {} s", within.as_secs()))),
        }
    }

    /// Follows events on a connection of its own.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn follow(&self, rollout: Option<&RolloutId>, after: u64) -> Result<Following, CallError> {
        let place = self.path.display().to_string();
        let no_answer = |reason: String| CallError::NoAnswer { place: place.clone(), reason };
        let mut stream = dial(&self.path).await?.into_inner();
        let follow = Follow { rollout: rollout.cloned(), after };
        let text = self.line(None, None, Some(follow)).map_err(|e| no_answer(e.to_string()))?;
        stream.write_all(text.as_bytes()).await.map_err(|e| no_answer(e.to_string()))?;
        Ok(Following { stream, lines: Lines::default(), place })
    }

    fn line(&self, key: Option<&str>, request: Option<&Request>, follow: Option<Follow>) -> serde_json::Result<String> {
        let (token, key) = (self.token.clone(), key.map(str::to_owned));
        let envelope = Envelope { token, key, request: request.cloned(), follow };
        Ok(format!("{}\n", serde_json::to_string(&envelope)?))
    }
}

async fn dial(path: &Path) -> Result<BufReader<UnixStream>, CallError> {
    let unreachable = |_| CallError::Unreachable {
        place: path.display().to_string(),
        why: String::new(),
        next: "start one with `wavegate serve`, or name its state directory with `--state-dir`",
    };
    UnixStream::connect(path).await.map(BufReader::new).map_err(unreachable)
}

/// Events as they come.
pub struct Following {
    stream: UnixStream,
    lines: Lines,
    place: String,
}

impl Following {
    /// The next events, at least one, in order.
    ///
    /// # Errors
    /// [`CallError`]; after [`CallError::NoAnswer`], follow again from the last position that was seen.
    pub async fn next(&mut self) -> Result<Vec<AuditEntry>, CallError> {
        let lost = |place: &String, reason: String| CallError::NoAnswer { place: place.clone(), reason };
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let got = self.stream.read(&mut bytes).await.map_err(|e| lost(&self.place, e.to_string()))?;
            if got == 0 {
                return Err(lost(&self.place, "it hung up".into()));
            }
            let lines = self.lines.push(bytes.get(..got).unwrap_or_default());
            let lines = lines.map_err(|e| lost(&self.place, e.to_string()))?;
            let entries: Result<Vec<AuditEntry>, _> = lines.iter().map(|line| serde_json::from_str(line)).collect();
            match entries {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => return Ok(entries),
                Err(error) => return Err(self.refusal(&lines).unwrap_or_else(|| lost(&self.place, error.to_string()))),
            }
        }
    }

    /// Instead of an event the daemon may say why it sends none.
    fn refusal(&self, lines: &[String]) -> Option<CallError> {
        let reason = match serde_json::from_str(lines.last()?).ok()? {
            Response::Refused { code, message } if !may_pass(code) => {
                return Some(CallError::Refused { code, message });
            }
            Response::Refused { message, .. } | Response::BadInput { message } => message,
            _ => return None,
        };
        Some(CallError::NoAnswer { place: self.place.clone(), reason })
    }
}
