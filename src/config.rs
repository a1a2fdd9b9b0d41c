//! What the environment says, read once, here; and the daemon's own configuration file.

pub mod file;
pub mod http;
pub mod identity;
pub mod notify;
pub mod watch;

use std::path::PathBuf;

/// Why there is no state directory.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("neither `--state-dir` nor WAVEGATE_STATE_DIR nor HOME is set; name a state directory with `--state-dir`")]
pub struct NoStateDir;

/// The state directory: as given, else `WAVEGATE_STATE_DIR`, else `wavegate` in the user's state directory (XDG base directory
/// specification: `XDG_STATE_HOME`, else `~/.local/state`).
///
/// # Errors
/// [`NoStateDir`] when none of them is set.
pub fn state_dir(given: Option<PathBuf>) -> Result<PathBuf, NoStateDir> {
    let from = |name: &str| variable(name).map(PathBuf::from);
    given
        .or_else(|| from("WAVEGATE_STATE_DIR"))
        .or_else(|| from("XDG_STATE_HOME").map(|home| home.join("wavegate")))
        .or_else(|| from("HOME").map(|home| home.join(".local/state/wavegate")))
        .ok_or(NoStateDir)
}

/// The local user's name, for the record: by the user id that this process has, and not by what its environment says of it.
pub fn user() -> String {
    let uid = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name);
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// `WAVEGATE_PROMETHEUS_TOKEN_FILE`: the file with the bearer token for Prometheus servers. The file is read anew for each look, so
/// that a token may be rotated.
pub fn prometheus_token_file() -> Option<PathBuf> {
    variable("WAVEGATE_PROMETHEUS_TOKEN_FILE").map(PathBuf::from)
}

/// `WAVEGATE_SERVER`: the address of the daemon's HTTP door, for commands that ask a daemon elsewhere.
pub fn server() -> Option<String> {
    variable("WAVEGATE_SERVER")
}

/// `WAVEGATE_TOKEN`: the bearer token itself. There is no argument for it: arguments are visible to everybody on the machine.
pub fn token() -> Option<String> {
    variable("WAVEGATE_TOKEN")
}

/// `WAVEGATE_TOKEN_FILE`: the file with the bearer token.
pub fn token_file() -> Option<PathBuf> {
    variable("WAVEGATE_TOKEN_FILE").map(PathBuf::from)
}

/// `WAVEGATE_CA`: the PEM file with the authority of the server's certificate.
pub fn ca_file() -> Option<PathBuf> {
    variable("WAVEGATE_CA").map(PathBuf::from)
}

/// This program's file, for a daemon that starts another one; none: the system does not tell.
pub fn program() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// Where directories are made that are gone again soon: `TMPDIR`, else the system's.
pub fn temporary() -> PathBuf {
    std::env::temp_dir()
}

/// `RUST_LOG`, for the log's filter.
pub fn log_filter() -> Option<String> {
    variable("RUST_LOG")
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `NO_COLOR` is set: nothing is coloured (no-color.org).
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}
