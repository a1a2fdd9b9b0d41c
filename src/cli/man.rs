//! `man`: manual pages, made of the same words as `--help`.

use super::args::{Args, ManArgs};
use super::call::{complain, show_json};
use super::complain::is_json;
use super::draw::say::say;
use super::exit::Exit;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use std::path::Path;

/// `wavegate man`
pub fn run(args: &ManArgs) -> Exit {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let pages = match pages(&command) {
        Ok(pages) => pages,
        Err(error) => {
            complain(&format!("the pages cannot be made: {error}"));
            return Exit::Failed;
        }
    };
    match &args.dir {
        Some(dir) => write(dir, &pages),
        None => {
            let page = pages.first().map(|(_, text)| text.trim_end()).unwrap_or_default();
            match is_json() {
                true => show_json(&serde_json::json!({ "name": "wavegate.1", "page": page })),
                false => say(page),
            }
            Exit::Success
        }
    }
}

/// Each page with its file's name: the program's own first, then one a command.
fn pages(command: &Command) -> std::io::Result<Vec<(String, String)>> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text)?;
    let mut all = vec![(man.get_filename(), String::from_utf8_lossy(&text).into_owned())];
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        all.extend(pages(sub)?);
    }
    Ok(all)
}

fn write(dir: &Path, pages: &[(String, String)]) -> Exit {
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| pages.iter().try_for_each(|(name, text)| std::fs::write(dir.join(name), text)));
    if let Err(error) = written {
        complain(&format!("the pages cannot be written into `{}`: {error}", dir.display()));
        return Exit::Failed;
    }
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    match is_json() {
        true => show_json(&serde_json::json!({ "dir": dir.display().to_string(), "pages": names })),
        false => {
            say(&format!("{} pages in {dir}; look at one: man -l {dir}/wavegate.1", names.len(), dir = dir.display()))
        }
    }
    Exit::Success
}
