//! Asking the daemon: what every command does that talks to it.

use super::args::Common;
use super::complain::complain_of;
use super::exit::Exit;
use crate::api::client::access::{Access, Token};
use crate::api::client::{CallError, Client, Place};
use crate::api::code::Code;
use crate::api::verbs::{Request, Response};
use crate::config;
use std::path::PathBuf;

pub use super::complain::complain;

/// The state directory, or the exit code of having none.
///
/// # Errors
/// [`Exit::BadUsage`], explained.
pub fn state_dir(common: &Common) -> Result<PathBuf, Exit> {
    config::state_dir(common.state_dir.clone()).map_err(|error| {
        complain(&error.to_string());
        Exit::BadUsage
    })
}

/// Where the daemon is that the command is about: an argument before the environment, and a state directory that is named before a
/// server that is not.
///
/// # Errors
/// [`Exit::BadUsage`], explained.
pub fn place(common: &Common) -> Result<Place, Exit> {
    let from_env = || config::server().filter(|_| common.state_dir.is_none());
    match common.server.clone().or_else(from_env) {
        Some(address) => Ok(Place::Server(address)),
        None => state_dir(common).map(Place::StateDir),
    }
}

/// What is shown to the daemon, read anew: tokens are replaced while somebody watches.
///
/// # Errors
/// Words for people.
pub(super) fn access(common: &Common) -> Result<Access, String> {
    let in_env = |text: String| Token::new(&text).map_err(|why| format!("WAVEGATE_TOKEN holds no token: {why}"));
    let token = match (&common.token_file, config::token(), config::token_file()) {
        (Some(file), ..) => Some(Token::from_file(file)?),
        (None, Some(text), _) => Some(in_env(text)?),
        (None, None, Some(file)) => Some(Token::from_file(&file)?),
        (None, None, None) => None,
    };
    let certificate = common.client_cert.clone().zip(common.client_key.clone());
    Ok(Access { token, ca: common.ca.clone().or_else(config::ca_file), certificate })
}

/// A runtime for the waiting that a command does.
///
/// # Errors
/// [`Exit::Failed`], explained.
pub fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        complain(&format!("the system gives no event queue: {error}"));
        Exit::Failed
    })
}

/// Connects to the daemon.
///
/// # Errors
/// [`Exit::Unreachable`], or [`Exit::BadUsage`]; explained.
pub async fn connect(common: &Common) -> Result<Client, Exit> {
    let place = place(common)?;
    try_connect(common, &place).await.map_err(|error| failed(&error))
}

/// Connects to the daemon, and says nothing when that fails.
///
/// # Errors
/// [`CallError`].
pub async fn try_connect(common: &Common, place: &Place) -> Result<Client, CallError> {
    let access = access(common).map_err(CallError::Setup)?;
    Client::connect(place, &access).await
}

/// Explains a call that gave no answer.
pub fn failed(error: &CallError) -> Exit {
    match error {
        CallError::Refused { code, message } => {
            complain_of(*code, message);
            return Exit::Refused;
        }
        other => complain(&other.to_string()),
    }
    match error {
        CallError::Unreachable { .. } => Exit::Unreachable,
        CallError::Setup(_) => Exit::BadUsage,
        CallError::NoAnswer { .. } | CallError::Refused { .. } => Exit::Failed,
    }
}

/// Asks once.
///
/// # Errors
/// The exit code of a daemon that gives no answer, refuses, or finds the input wrong; explained.
pub async fn ask(client: &mut Client, request: &Request) -> Result<Response, Exit> {
    match client.call(request).await {
        Ok(response) => taken(response),
        Err(error) => Err(failed(&error)),
    }
}

/// An answer that is no refusal.
///
/// # Errors
/// The exit code of a refusal, explained.
pub fn taken(response: Response) -> Result<Response, Exit> {
    match response {
        Response::Refused { code, message } => {
            complain_of(code, &message);
            Err(Exit::Refused)
        }
        Response::BadInput { message } => {
            complain_of(Code::BadInput, &message);
            Err(Exit::BadUsage)
        }
        response => Ok(response),
    }
}

/// Connects, asks once and hangs up.
///
/// # Errors
/// As [`ask`].
pub fn ask_once(common: &Common, request: &Request) -> Result<Response, Exit> {
    runtime()?.block_on(async {
        let mut client = connect(common).await?;
        ask(&mut client, request).await
    })
}

/// The answer was none that fits the question: two releases that do not understand each other.
pub fn odd(response: &Response) -> Exit {
    complain(&format!("the daemon answered something else: {response:?}; is it of the same release?"));
    Exit::Failed
}

/// Prints a value as one line of JSON.
pub fn print_json<T: serde::Serialize>(value: &T) -> Exit {
    match serde_json::to_string(value) {
        Ok(text) => {
            super::draw::say::say(&text);
            Exit::Success
        }
        Err(error) => {
            complain(&error.to_string());
            Exit::Failed
        }
    }
}

/// The same, where it is not the end of the command.
pub fn show_json<T: serde::Serialize>(value: &T) {
    // What cannot be printed was complained of.
    let _ = print_json(value);
}
