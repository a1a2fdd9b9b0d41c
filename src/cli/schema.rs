//! `schema`: JSON Schema for editors.

use super::args::SchemaArgs;
use super::draw::say::say;
use super::exit::Exit;
use crate::model::{change_set, pipeline};

/// `wavegate schema`
pub fn run(args: &SchemaArgs) -> Exit {
    let schema = match args.of.as_str() {
        "change-set" => change_set::read::json_schema(),
        _ => pipeline::yaml::json_schema(),
    };
    say(&format!("{schema:#}"));
    Exit::Success
}
