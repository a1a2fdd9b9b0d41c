//! Messages that leave the house: webhooks, Slack, SNS. Each way sends what it is given, once, and says how that went; when it is tried
//! again is for whoever keeps the messages.

mod http;
pub mod slack;
pub mod sns;
pub mod webhook;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

/// One attempt, from the reading of its secret to the last byte of its answer. A receiver that works longer than this should take the
/// message first and work then.
pub const ATTEMPT: Duration = Duration::from_secs(10);

/// The largest secret or address that is read from a file.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// One message, ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// Names the message: the same with every attempt, so that a receiver can drop what it has.
    pub id: &'a str,
    /// Of this attempt, in seconds since 1970.
    pub at: i64,
    /// What is sent, as the way wants it.
    pub body: &'a str,
    /// One line, where a way has room for it.
    pub subject: &'a str,
    /// Messages of one group are kept in order, where a way can.
    pub group: &'a str,
}

/// Why a message is not known to have arrived. The words hold no secret and nothing that the receiver wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It may arrive at another time.
    #[error("{why}")]
    Again {
        /// What happened.
        why: String,
        /// Not before this, says the receiver.
        after: Option<Duration>,
    },
    /// The receiver refuses it, by a key, a name or a way that may be wrong for a moment or until somebody mends it.
    #[error("{why}")]
    Refused {
        /// What happened.
        why: String,
    },
    /// The receiver will never take it.
    #[error("{why}")]
    Never {
        /// What happened.
        why: String,
    },
}

impl Undelivered {
    /// True when it does not pass by waiting alone: somebody should look, though it is tried again.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// It may arrive at another time.
    pub fn again(why: impl Into<String>) -> Self {
        Self::Again { why: why.into(), after: None }
    }
}

/// A way to people.
///
/// Contract: one attempt, which ends within [`ATTEMPT`] and a second. `Ok` promises that the receiver has acknowledged the message.
/// `Again` leaves open whether it has it (an answer may be lost): the same parcel may be sent again, and the receiver tells by its id that
/// it is the same. `Refused` promises that the receiver does not have it, and leaves open whether it will take it. `Never` promises that the receiver will not
/// take this message, whenever it comes. Files with secrets are read for each attempt, so that they can be
/// exchanged while the daemon runs.
pub trait Deliver: Send + Sync {
    /// Sends it once.
    fn deliver(&self, parcel: &Parcel<'_>) -> impl Future<Output = Result<(), Undelivered>> + Send;
}

/// Any of the ways.
#[derive(Debug)]
pub enum Way {
    /// A signed webhook.
    Webhook(webhook::Webhook),
    /// An incoming webhook of Slack.
    Slack(slack::Slack),
    /// A topic of SNS.
    Sns(Box<sns::Sns>),
}

impl Deliver for Way {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), Undelivered> {
        let attempt = async {
            match self {
                Self::Webhook(way) => way.deliver(parcel).await,
                Self::Slack(way) => way.deliver(parcel).await,
                Self::Sns(way) => Box::pin(way.deliver(parcel)).await,
            }
        };
        let over = || Undelivered::again(format!("no answer within {} s", ATTEMPT.as_secs()));
        tokio::time::timeout(ATTEMPT, attempt).await.unwrap_or_else(|_| Err(over()))
    }
}

/// A secret's text, without the white space around it.
///
/// INVARIANT: S20. A file that others may read holds no secret; the words name the file, and never what is in it.
fn read_secret(file: &Path) -> Result<String, Undelivered> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    let name = file.display();
    let unreadable = |e: std::io::Error| Undelivered::again(format!("the file `{name}` cannot be read: {e}"));
    let open = std::fs::File::open(file).map_err(unreadable)?;
    let known = open.metadata().map_err(unreadable)?;
    if !known.is_file() {
        return Err(Undelivered::again(format!("`{name}` is no file")));
    }
    let mode = known.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Undelivered::again(format!(
            "the file `{name}` may be used by others (mode {mode:o}); `chmod 600` it, and exchange the secret"
        )));
    }
    let mut text = String::new();
    open.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    match text.trim() {
        "" => Err(Undelivered::again(format!("the file `{name}` is empty"))),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_that_others_may_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, " s3cret\n").unwrap();
        let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o600);
        assert_eq!(read_secret(&file), Ok("s3cret".into()));
        for mode in [0o640, 0o604, 0o620, 0o601] {
            set(mode);
            let error = read_secret(&file).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && !error.contains("s3cret"), "{error}");
        }
        assert!(read_secret(dir.path()).is_err());
        assert!(read_secret(&dir.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }
}
