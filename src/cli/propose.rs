//! `propose`: hand a change set to the daemon, and follow it if asked.

use super::args::{Common, ProposeArgs};
use super::call::{ask, complain, connect, odd, runtime, show_json};
use super::draw::say;
use super::exit::Exit;
use super::files;
use super::watch::{self, Watcher};
use crate::api::verbs::{Request, Response, Submission};
use crate::model::change_set;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// `wavegate propose`
pub fn run(common: &Common, args: &ProposeArgs) -> Exit {
    let submission = match submission(&args.change_set) {
        Ok(submission) => submission,
        Err(exit) => return exit,
    };
    let request = Request::Propose { submission };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let done = runtime.block_on(async {
        let mut client = connect(common).await?;
        match ask(&mut client, &request).await? {
            Response::Proposed { rollout, again } => {
                match args.json {
                    true => show_json(&serde_json::json!({ "rollout": rollout, "again": again })),
                    false => say::say(rollout.as_str()),
                }
                if !args.wait {
                    return Ok(Exit::Success);
                }
                let patience = args.give_up_after.map(|span| Duration::from_millis(span.0));
                watch::follow(Watcher::new(common, client, rollout, patience), args.json).await
            }
            other => Err(odd(&other)),
        }
    });
    done.unwrap_or_else(|exit| exit)
}

/// A change set as it is handed in.
///
/// # Errors
/// [`Exit::BadUsage`], explained.
pub fn submission(path: &Path) -> Result<Submission, Exit> {
    match gather(path) {
        Ok((text, templates)) => Ok(Submission { file: path.display().to_string(), text, templates }),
        Err(message) => {
            complain(&message);
            Err(Exit::BadUsage)
        }
    }
}

/// A change set's text, and the template files that it names (read beside it), by path.
///
/// # Errors
/// Words for people: every fault of the file, found before anything is sent.
pub fn gather(path: &Path) -> Result<(String, BTreeMap<String, String>), String> {
    let shown = path.display().to_string();
    let bytes = files::read_bounded(path).map_err(|e| e.to_string())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let found = std::cell::RefCell::new(BTreeMap::new());
    let beside = |name: &str| {
        let template = files::read_bounded(&folder.join(name)).map_err(|e| e.to_string())?;
        if let Ok(text) = String::from_utf8(template.clone()) {
            found.borrow_mut().insert(name.to_owned(), text);
        }
        Ok(template)
    };
    change_set::read::read(&shown, &bytes, &beside).map_err(|diagnostics| diagnostics.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{shown}` is not UTF-8"))?;
    Ok((text, found.into_inner()))
}
