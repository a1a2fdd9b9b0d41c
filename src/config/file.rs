//! The daemon's own configuration file: which doors are open, who is known, who is told. Checked once, at the start.

use super::http::HttpConfig;
use super::identity::IdentityConfig;
use super::notify::NotifyConfig;
use super::watch::WatchConfig;
use crate::model::shown::plain;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Everything that the file says. Without a file: the local socket and its owner, and nothing else.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonConfig {
    /// Of this format: 1.
    pub version: u32,
    /// The HTTP door; none: it is shut.
    pub http: Option<HttpConfig>,
    /// Who is known, beside the tokens of the state directory.
    #[serde(default)]
    pub identity: IdentityConfig,
    /// Who is told what.
    #[serde(default)]
    pub notify: NotifyConfig,
    /// How the daemon itself is watched.
    #[serde(default)]
    pub watch: WatchConfig,
}

/// Why the file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration `{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It says something that is not understood.
    #[error("{path}: {why}")]
    Wrong {
        /// The file, with line and column where they are known.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// Reads the file.
///
/// # Errors
/// [`ConfigError`], with file, line and column.
pub fn read(path: &Path) -> Result<DaemonConfig, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&path.display().to_string(), &text)
}

/// Reads a text.
///
/// # Errors
/// [`ConfigError::Wrong`].
pub fn parse(name: &str, text: &str) -> Result<DaemonConfig, ConfigError> {
    let reader = serde_yaml::Deserializer::from_str(text);
    // The file's own words stand in a fault.
    let config: DaemonConfig = serde_path_to_error::deserialize(reader).map_err(|error| {
        let (place, inner) = (error.path().to_string(), error.into_inner());
        let at = inner.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
        ConfigError::Wrong { path: format!("{name}{at}"), why: plain(&format!("{place}: {inner}")) }
    })?;
    if config.version != 1 {
        let why = format!("version: this release knows 1, and not {}", config.version);
        return Err(ConfigError::Wrong { path: name.to_owned(), why });
    }
    let checked = [
        config.http.as_ref().map_or(Ok(()), HttpConfig::check),
        config.identity.check(),
        config.notify.check(),
        config.watch.check(),
    ];
    match checked.into_iter().find_map(Result::err) {
        Some(why) => Err(ConfigError::Wrong { path: name.to_owned(), why: plain(&why) }),
        None => Ok(config),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn words_of_the_file_do_nothing_to_a_terminal() {
        let fault = parse("c.yaml", "\"8b2b1boX.o\\0\\e[2J\": 1\n").unwrap_err().to_string();
        assert!(fault.contains(r"8b2b1boX.o\u{0}\u{1b}[2J"), "{fault}");
    }
}
