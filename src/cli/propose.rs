//! `propose`: hand a change set to the daemon, and follow it if asked.

use super::args::{Common, ProposeArgs};
use super::call::{ask, complain, connect, odd, runtime};
use super::exit::Exit;
use super::{files, watch};
use crate::api::service::{Request, Response};
use crate::config;
use crate::model::change_set;
use std::collections::BTreeMap;
use std::path::Path;

/// `wavegate propose`
pub fn run(common: &Common, args: &ProposeArgs) -> Exit {
    let (text, templates) = match gather(&args.change_set) {
        Ok(gathered) => gathered,
        Err(message) => {
            complain(&message);
            return Exit::BadUsage;
        }
    };
    let by = args.by.clone().unwrap_or_else(config::user);
    let request = Request::Propose { file: args.change_set.display().to_string(), text, templates, by };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let done = runtime.block_on(async {
        let mut client = connect(common).await?;
        match ask(&mut client, &request).await? {
            Response::Proposed { rollout } => {
                if args.json {
                    println!("{}", serde_json::json!({ "rollout": rollout }));
                } else {
                    println!("{rollout}");
                }
                if args.wait { watch::follow(&mut client, &rollout, args.json).await } else { Ok(Exit::Success) }
            }
            other => Err(odd(&other)),
        }
    });
    done.unwrap_or_else(|exit| exit)
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
