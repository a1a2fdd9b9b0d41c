//! `policy`: examples that policies are tested with, proofs for all requests, and the schema.

mod cases;
#[cfg(feature = "prove")]
mod prove;
mod test;

use super::args::{PolicyCommand, ProveArgs};
use super::call::{complain, print_json};
use super::complain::is_json;
use super::draw::say;
use super::exit::Exit;
use super::files;
use crate::config;
use crate::engine::policy::schema;
use crate::model::document::Diagnostics;
use crate::model::ids::Digest;
use crate::model::safeguards::PolicyFile;
use std::io::IsTerminal as _;
use std::path::Path;

/// `wavegate policy`
pub fn run(command: &PolicyCommand) -> Exit {
    match command {
        PolicyCommand::Test(args) => test::run(args),
        PolicyCommand::Prove(args) => prove(args),
        PolicyCommand::Schema if is_json() => print_json(&serde_json::json!({ "schema": schema::text() })),
        PolicyCommand::Schema => {
            schema::text().lines().for_each(say::say);
            Exit::Success
        }
    }
}

#[cfg(feature = "prove")]
fn prove(args: &ProveArgs) -> Exit {
    prove::run(args)
}

#[cfg(not(feature = "prove"))]
fn prove(args: &ProveArgs) -> Exit {
    let (policies, never) = (args.policies.len(), args.never.len());
    complain(&format!(
        "this build cannot prove ({policies} policy files, {never} NEVER files); build one that can with \
         `cargo build --release --features prove`, and have the solver `cvc5` on PATH or named by CVC5"
    ));
    Exit::BadUsage
}

/// A policy file as a person names it.
fn load(path: &Path) -> Result<PolicyFile, Exit> {
    let refused = |words: String| {
        complain(&words);
        Exit::BadUsage
    };
    let bytes = files::read_bounded(path).map_err(|error| refused(error.to_string()))?;
    let digest = Digest::of_bytes(&bytes);
    let text = String::from_utf8(bytes).map_err(|_| refused(format!("`{}` is not UTF-8", path.display())))?;
    Ok(PolicyFile { file: path.display().to_string(), digest, text, dry_run: false, line: 0 })
}

/// Every fault, in its place.
fn report(faults: &Diagnostics) {
    match std::io::stderr().is_terminal() && !config::no_color() {
        _ if is_json() => complain(&faults.to_string()),
        true => eprintln!("{}\n", faults.coloured()),
        false => eprintln!("{faults}\n"),
    }
}
