//! Asking the daemon: what every command does that talks to it.

use super::args::Common;
use super::exit::Exit;
use crate::api::service::{Request, Response};
use crate::api::socket::{CallError, Client};
use crate::config;
use std::path::PathBuf;

/// Prints an error for people.
pub fn complain(message: &str) {
    eprintln!("error: {}", message.strip_prefix("error: ").unwrap_or(message));
}

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
/// [`Exit::Unreachable`], explained.
pub async fn connect(common: &Common) -> Result<Client, Exit> {
    let dir = state_dir(common)?;
    Client::connect(&dir).await.map_err(|error| failed(&error))
}

/// Explains a call that gave no answer.
pub fn failed(error: &CallError) -> Exit {
    complain(&error.to_string());
    match error {
        CallError::Unreachable { .. } => Exit::Unreachable,
        CallError::NoAnswer { .. } => Exit::Failed,
    }
}

/// Asks once.
///
/// # Errors
/// The exit code of a daemon that gives no answer, refuses, or finds the input wrong; explained.
pub async fn ask(client: &mut Client, request: &Request) -> Result<Response, Exit> {
    match client.call(request).await {
        Ok(Response::Refused { message }) => {
            complain(&message);
            Err(Exit::Refused)
        }
        Ok(Response::BadInput { message }) => {
            complain(&message);
            Err(Exit::BadUsage)
        }
        Ok(response) => Ok(response),
        Err(error) => Err(failed(&error)),
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
