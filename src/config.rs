//! What the environment says, read once, here.

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

/// The local user's name, for the record. Not a proof of who it is: tokens come with named people.
pub fn user() -> String {
    let name = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "local user".into());
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// `WAVEGATE_PROMETHEUS_TOKEN_FILE`: the file with the bearer token for Prometheus servers. The file is read anew for each look, so
/// that a token may be rotated.
pub fn prometheus_token_file() -> Option<PathBuf> {
    variable("WAVEGATE_PROMETHEUS_TOKEN_FILE").map(PathBuf::from)
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
