//! `mcp`: the Model Context Protocol on standard input and output, for one agent with a token of its own. Nothing but the protocol goes
//! to standard output; the log goes to standard error.
//!
//! It connects anew for each question, and reads the token anew: the daemon may be started again meanwhile, and a token may be replaced.

use super::args::Common;
use super::call::{access, complain, place, runtime};
use super::exit::Exit;
use super::serve::log_to_stderr;
use crate::api::client::access::Access;
use crate::api::client::{CallError, Client, Place};
use crate::api::code::Code;
use crate::api::listing::CallerView;
use crate::api::mcp::{Ask, NoAnswer, stdio};

use crate::api::verbs::{Request, Response};
use crate::model::principal::PrincipalKind;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A daemon that is being started again is back within this time; nothing has been sent before it is.
const UNREACHABLE_FOR: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const TRY_AGAIN: Duration = Duration::from_millis(200);

const NO_TOKEN: &str = "`wavegate mcp` needs an agent's own token, and acts as nobody else: set WAVEGATE_TOKEN_FILE (or WAVEGATE_TOKEN). \
`wavegate token create NAME --kind agent --party P --role proposer` makes one";

/// `wavegate mcp`
pub fn run(common: &Common) -> Exit {
    log_to_stderr(false);
    let place = match place(common) {
        Ok(place) => place,
        Err(exit) => return exit,
    };
    match runtime() {
        Ok(runtime) => {
            let exit = runtime.block_on(serve(common.clone(), place));
            // A read of standard input may hang in a thread; nobody waits for it.
            runtime.shutdown_background();
            exit
        }
        Err(exit) => exit,
    }
}

async fn serve(common: Common, place: Place) -> Exit {
    let daemon = Arc::new(Daemon { common, place, proven: Mutex::new(None) });
    // Asked before anything is served: a wrong token is told to whoever configured it, and not to the agent later.
    if let Err(error) = daemon.ask(Request::Me, None).await {
        complain(&error.message);
        return match error.code {
            UNREACHABLE => Exit::Unreachable,
            NO_ANSWER => Exit::Failed,
            _ => Exit::Refused,
        };
    }
    match stdio::serve(daemon).await {
        Ok(()) => Exit::Success,
        Err(message) => {
            complain(&message);
            Exit::Failed
        }
    }
}

const UNREACHABLE: &str = "unreachable";
const NO_ANSWER: &str = "no_answer";

/// The daemon that the arguments name.
struct Daemon {
    common: Common,
    place: Place,
    /// The token that the daemon has said is an agent's or a service's.
    proven: Mutex<Option<String>>,
}

impl Ask for Daemon {
    fn ask(&self, request: Request, key: Option<String>) -> BoxFuture<'_, Result<Response, NoAnswer>> {
        Box::pin(async move {
            let access = access(&self.common).map_err(|why| NoAnswer::new(Code::Unauthenticated, why))?;
            let Some(token) = access.token.as_ref().map(|token| token.reveal().to_owned()) else {
                return Err(NoAnswer::new(Code::Unauthenticated, NO_TOKEN));
            };
            let mut client = self.connect(&access).await?;
            if !self.is_proven(&token) {
                may_serve(client.call(&Request::Me).await.map_err(no_answer)?)?;
                *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
            }
            match key {
                Some(key) => client.call_with_key(&request, &key).await,
                None => client.call(&request).await,
            }
            .map_err(no_answer)
        })
    }
}

impl Daemon {
    fn is_proven(&self, token: &str) -> bool {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(token)
    }

    async fn connect(&self, access: &Access) -> Result<Client, NoAnswer> {
        let until = Instant::now() + UNREACHABLE_FOR;
        loop {
            match Client::connect(&self.place, access).await {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() >= until || !error.passes() => return Err(no_answer(error)),
                Err(_) => tokio::time::sleep(TRY_AGAIN).await,
            }
        }
    }
}

fn no_answer(error: CallError) -> NoAnswer {
    let code = match &error {
        CallError::Unreachable { .. } => UNREACHABLE,
        CallError::NoAnswer { .. } => NO_ANSWER,
        CallError::Refused { code, .. } => code.name(),
        CallError::Setup(_) => Code::BadRequest.name(),
    };
    NoAnswer { code, message: error.to_string() }
}

/// An agent must not act as its operator: whoever has a person's token is turned away.
fn may_serve(answer: Response) -> Result<(), NoAnswer> {
    match answer {
        Response::Me(CallerView { kind: PrincipalKind::Agent | PrincipalKind::Service, .. }) => Ok(()),
        Response::Me(CallerView { name, kind, .. }) => {
            Err(NoAnswer::new(Code::Forbidden, format!("the token is of `{name}`, who is a {kind}: {NO_TOKEN}")))
        }
        Response::Refused { code, message } => Err(NoAnswer::new(code, message)),
        _ => Err(NoAnswer::new(
            Code::Internal,
            "the daemon does not tell whose the token is; is it of the same release?",
        )),
    }
}
