//! `check`: every error of every pipeline file and price book, in its place, with a fix.

use super::args::CheckArgs;
use super::call::complain;
use super::draw::say;
use super::exit::Exit;
use super::files::{self, FileError};
use crate::config;
use crate::engine::policy::Policies;
use crate::model::document::Diagnostics;
use crate::model::pipeline::check::select_cells;
use crate::model::pipeline::{self, Pipeline};
use crate::model::price_book::{self, PriceBook};
use std::io::IsTerminal as _;
use std::path::Path;

/// `wavegate check`
pub fn run(args: &CheckArgs) -> Exit {
    let mut bad = 0_usize;
    let mut files_seen = 0_usize;
    for path in &args.paths {
        match files::pipelines_in(path) {
            Ok(found) => {
                for file in found {
                    files_seen += 1;
                    bad += usize::from(!check_file(&file, args.json));
                }
            }
            Err(error) => {
                unreadable(path, &error, args.json);
                bad += 1;
            }
        }
    }
    if bad == 0 {
        return Exit::Success;
    }
    if !args.json {
        eprintln!("{bad} of {} not sound", files_seen.max(bad));
    }
    Exit::BadUsage
}

/// True when the file is sound.
fn check_file(file: &Path, json: bool) -> bool {
    let shown = file.display().to_string();
    let bytes = match files::read_bounded(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            unreadable(file, &error, json);
            return false;
        }
    };
    let words = match price_book::read::is_price_book(&bytes) {
        true => price_book::read::read(&shown, &bytes)
            .map(|book| sound_book(&shown, &book, json))
            .map_err(|faults| vec![faults]),
        false => check_pipeline(&shown, &bytes, file).map(|found| sound(&shown, &found, json)),
    };
    match words {
        Ok(words) => {
            say::say(&words);
            true
        }
        Err(faults) => {
            faults.iter().for_each(|faults| report(faults, json));
            false
        }
    }
}

/// The pipeline with its policies, which must type-check and be able to permit something.
fn check_pipeline(shown: &str, bytes: &[u8], file: &Path) -> Result<Pipeline, Vec<Diagnostics>> {
    let pipeline = pipeline::read::read_with(shown, bytes, &files::beside(file)).map_err(|faults| vec![faults])?;
    Policies::compile(&pipeline.safeguards.policies)?;
    Ok(pipeline)
}

fn sound_book(file: &str, book: &PriceBook, json: bool) -> String {
    let count: usize = book.prices.values().map(Vec::len).sum();
    if json {
        return serde_json::json!({ "file": file, "ok": true, "price_book": book.dated, "prices": count }).to_string();
    }
    let types = book.prices.len();
    format!("ok  {file}  price book of {}: {count} prices of {types} resource types, in {}", book.dated, book.currency)
}

fn unreadable(path: &Path, error: &FileError, json: bool) {
    match json {
        true => {
            let fault = serde_json::json!({ "message": error.to_string() });
            say::say(
                &serde_json::json!({ "file": path.display().to_string(), "ok": false, "fault": fault }).to_string(),
            );
        }
        false => complain(&error.to_string()),
    }
}

fn sound(file: &str, pipeline: &Pipeline, json: bool) -> String {
    let sizes: Vec<usize> = select_cells(&pipeline.cells, &pipeline.waves).iter().map(Vec::len).collect();
    if json {
        return serde_json::json!({ "file": file, "ok": true, "pipeline": pipeline.name, "cells_per_wave": sizes })
            .to_string();
    }
    let waves = pipeline
        .waves
        .iter()
        .zip(&sizes)
        .map(|(wave, size)| format!("{} ({size})", wave.name))
        .collect::<Vec<_>>()
        .join(" → ");
    format!("ok  {file}  {}: {} cells in {} waves: {waves}", pipeline.name, pipeline.cells.len(), pipeline.waves.len())
}

fn report(faults: &Diagnostics, json: bool) {
    if json {
        for fault in &faults.all {
            say::say(&serde_json::json!({ "file": faults.file, "ok": false, "fault": fault }).to_string());
        }
        faults.beside.iter().for_each(|other| report(other, json));
    } else if std::io::stderr().is_terminal() && !config::no_color() {
        eprintln!("{}\n", faults.coloured());
    } else {
        eprintln!("{faults}\n");
    }
}
