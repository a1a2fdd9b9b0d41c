//! The Unix socket in the state directory: one JSON line a request, one JSON line an answer. Who may open the directory may ask.

use super::service::{Request, Response, Service, Surroundings};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The socket's name.
const NAME: &str = "wavegate.sock";
/// The longest request: a change set with its templates. More is refused, not buffered.
const REQUEST_MAX: u64 = 16 * 1024 * 1024;
/// How long a client waits for an answer; a kill answers within two seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why the daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error(
        "no daemon answers at `{path}`; start one with `wavegate serve`, or name its state directory with `--state-dir`"
    )]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It listened and gave no usable answer.
    #[error(
        "the daemon at `{path}` gave no usable answer: {reason}; the order may or may not have been taken, `wavegate status` tells"
    )]
    NoAnswer {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
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
pub async fn serve<S: Surroundings + 'static>(listener: UnixListener, service: Arc<Service<S>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &service).await {
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

async fn converse<S: Surroundings>(stream: UnixStream, service: &Service<S>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = String::new();
        let got = (&mut lines).take(REQUEST_MAX).read_line(&mut line).await?;
        if got == 0 {
            return Ok(());
        }
        let response = match serde_json::from_str::<Request>(&line) {
            Ok(request) => match service.answer(request).await {
                Ok(response) => response,
                Err(stopped) => Response::Refused { message: stopped.to_string() },
            },
            Err(error) => Response::BadInput { message: format!("not a request that this release knows: {error}") },
        };
        let mut text = serde_json::to_string(&response).map_err(std::io::Error::other)?;
        text.push('\n');
        write.write_all(text.as_bytes()).await?;
    }
}

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects to the daemon of a state directory.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn connect(state_dir: &Path) -> Result<Self, CallError> {
        let path = path(state_dir);
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Self { stream: BufReader::new(stream), path }),
            Err(source) => Err(CallError::Unreachable { path, source }),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`CallError::NoAnswer`].
    pub async fn call(&mut self, request: &Request) -> Result<Response, CallError> {
        let path = self.path.clone();
        let no_answer = |reason: String| CallError::NoAnswer { path: path.clone(), reason };
        let mut text = serde_json::to_string(request).map_err(|e| no_answer(e.to_string()))?;
        text.push('\n');
        let exchange = async {
            self.stream.get_mut().write_all(text.as_bytes()).await?;
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line)
        };
        match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
            Ok(Ok(line)) if line.is_empty() => Err(no_answer("it hung up".into())),
            Ok(Ok(line)) => serde_json::from_str(&line).map_err(|e| no_answer(e.to_string())),
            Ok(Err(error)) => Err(no_answer(error.to_string())),
            Err(_) => Err(no_answer(format!("nothing came within {} s", ANSWER_WITHIN.as_secs()))),
        }
    }
}
