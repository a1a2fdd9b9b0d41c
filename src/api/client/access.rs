//! What a caller shows a daemon: a token, a certificate; and whom they trust. The token is never printed, not by `Debug` either.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The largest token. A signed one (JWT) has a few kilobytes; an HTTP server takes no longer header.
const TOKEN_MAX: u64 = 16 * 1024;

/// What is shown, and who is trusted.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The bearer token; none: whoever has opened the socket, or the certificate.
    pub token: Option<Token>,
    /// PEM of the authority that has signed the server's certificate; none: the system's authorities.
    pub ca: Option<PathBuf>,
    /// PEM of the client's certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A bearer token.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token as the environment holds it.
    ///
    /// # Errors
    /// Words for people, without the token.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text {
            "" => Err("it is empty".into()),
            _ if text.len() as u64 > TOKEN_MAX => Err(format!("it is longer than {TOKEN_MAX} bytes")),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err("it holds spaces or other characters that no token has".into())
            }
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// A token from its file, which nobody else may read.
    ///
    /// # Errors
    /// Words for people, without the token.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| format!("the token file `{shown}` cannot be read: {error}");
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!(
                "the token file `{shown}` may be used by others (mode {mode:03o}): `chmod 600 {shown}`, and have the token replaced if \
                 somebody else may have read it"
            ));
        }
        let mut text = String::new();
        file.take(TOKEN_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        Self::new(&text).map_err(|why| format!("the token file `{shown}` holds no token: {why}"))
    }

    /// The token itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};

    #[test]
    fn a_token_file_is_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        write(&path, "  canary-token\n").unwrap();
        for (mode, good) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false), (0o601, false)]
        {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match Token::from_file(&path) {
                Ok(token) => assert!(good && token.reveal() == "canary-token", "{mode:o}"),
                Err(why) => assert!(!good && why.contains("chmod 600") && !why.contains("canary"), "{mode:o}: {why}"),
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        let long = "x".repeat(20_000);
        for text in ["", "  \n", "canary two", "canary\u{7}", "canary\r\nX-Header: 1", &long] {
            let why = Token::new(text).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
        assert_eq!(format!("{:?}", Token::new("canary").unwrap()), "Token(…)");
    }

    #[test]
    fn a_file_that_is_too_long_or_away_is_said_to_be_so() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        assert!(Token::from_file(&path).unwrap_err().contains("cannot be read"));
        write(&path, "x".repeat(17 * 1024)).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(Token::from_file(&path).unwrap_err().contains("longer than 16384 bytes"));
    }
}
