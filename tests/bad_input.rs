//! Bad input of every kind is refused with its place and a fix. `tests/bad_input/` holds one file for each kind, and beside it what a
//! person is shown; `UPDATE_GOLDENS=1` writes that anew. What is too large to be kept in a file is made here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::path::{Path, PathBuf};
use wavegate::model::document::Diagnostics;
use wavegate::model::pipeline::{self, Pipeline};
use wavegate::model::{change_set, price_book};

#[path = "bad_input/meaning.rs"]
mod meaning;

#[path = "bad_input/safeguards.rs"]
mod safeguards;

#[path = "bad_input/generated.rs"]
mod generated;

/// The files of a folder that end in `.yaml`, by name.
fn inputs(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What a file must hold: compared, or written where `UPDATE_GOLDENS` is set. The difference, or nothing.
fn golden(file: &Path, found: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(file, found).unwrap();
        return None;
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    (kept != found).then(|| format!("{} is not current.\n--- kept\n{kept}\n--- found\n{found}", file.display()))
}

fn read_change_set(name: &str, bytes: &[u8]) -> Result<change_set::Admitted, Diagnostics> {
    change_set::read::read(name, bytes, &|path| match path {
        "orders.yaml" => Ok(std::fs::read(root().join("tests/fixtures/orders-v2.yaml")).unwrap()),
        "too-large.yaml" => Ok(vec![b'#'; change_set::read::TEMPLATE_MAX + 1]),
        "not-utf-8.yaml" => Ok(b"Resources: {A: \xff}".to_vec()),
        _ => Err(format!("`{path}` cannot be read: no such file")),
    })
}

/// A pipeline with files beside it.
fn read_pipeline(name: &str, bytes: &[u8]) -> Result<Pipeline, Diagnostics> {
    let kept = |name: &str| Ok(std::fs::read(root().join("tests/bad_input").join(name)).unwrap());
    pipeline::read::read_with(name, bytes, &|path| match path {
        "prices.yaml" => kept("sound_prices.yaml"),
        "broken-prices.yaml" => kept("price_books/properties-unknown.yaml"),
        "policies/sound.cedar" => Ok(b"forbid(principal, action, resource);\n".to_vec()),
        "policies/not-utf-8.cedar" => Ok(b"forbid(\xff);".to_vec()),
        "policies/empty.cedar" => Ok(b" \n".to_vec()),
        _ => Err(format!("`{path}` cannot be read: no such file")),
    })
}

/// Each fault names its file and place and what to do, and nothing of it reaches a terminal that the terminal would obey.
fn assert_helpful(name: &str, faults: &Diagnostics) {
    let shown = faults.to_string();
    for fault in &faults.all {
        assert!(
            fault.line > 0 && fault.column > 0 && !fault.message.is_empty() && !fault.fix.is_empty(),
            "{name}: {fault:?}"
        );
        assert!(shown.contains(&format!("{name}:{}:{}", fault.line, fault.column)), "{name}: no place in\n{shown}");
    }
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{name}: {shown:?}");
}

fn assert_goldens<T>(folder: &str, read: impl Fn(&str, &[u8]) -> Result<T, Diagnostics>) {
    let mut differences = Vec::new();
    for file in inputs(folder) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Err(faults) = read(&name, &std::fs::read(&file).unwrap()) else { panic!("{name} is accepted") };
        assert_helpful(&name, &faults);
        differences.extend(golden(&file.with_extension("expected"), &format!("{faults}\n")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn every_bad_pipeline_is_refused_as_its_golden_says() {
    assert_goldens("tests/bad_input/pipelines", read_pipeline);
}

#[test]
fn every_bad_price_book_is_refused_as_its_golden_says() {
    assert_goldens("tests/bad_input/price_books", price_book::read::read);
}

#[test]
fn every_bad_change_set_is_refused_as_its_golden_says() {
    assert_goldens("tests/bad_input/change_sets", read_change_set);
}

#[test]
fn what_the_bad_files_derive_from_is_sound() {
    let read = |name: &str| std::fs::read(root().join("tests/bad_input").join(name)).unwrap();
    pipeline::read::read("sound", &read("sound_pipeline.yaml")).unwrap_or_else(|faults| panic!("{faults}"));
    read_change_set("sound", &read("sound_change_set.yaml")).unwrap_or_else(|faults| panic!("{faults}"));
    read_pipeline("sound", &read("sound_safeguards.yaml")).unwrap_or_else(|faults| panic!("{faults}"));
    price_book::read::read("sound", &read("sound_prices.yaml")).unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let file = root().join("tests/bad_input/pipelines/every-fault-at-once.yaml");
    let faults = pipeline::read::read("x", &std::fs::read(file).unwrap()).unwrap_err();
    assert!(faults.all.len() >= 8, "{faults}");
}

/// A pipeline that ships, with the files that ship beside it.
fn shipped(file: &Path) -> Pipeline {
    let beside = |path: &str| std::fs::read(root().join("pipelines").join(path)).map_err(|e| e.to_string());
    pipeline::read::read_with("x", &std::fs::read(file).unwrap(), &beside).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn what_ships_is_sound() {
    let is_book = |file: &PathBuf| price_book::read::is_price_book(&std::fs::read(file).unwrap());
    let (books, pipelines): (Vec<PathBuf>, Vec<PathBuf>) = inputs("pipelines").into_iter().partition(is_book);
    assert_eq!((books.len(), pipelines.len()), (1, 3));
    for file in pipelines {
        let pipeline = shipped(&file);
        assert_eq!(pipeline.cells.len(), 12);
        assert_eq!(Some(pipeline.name.as_str()), file.file_stem().and_then(|s| s.to_str()));
        assert!(pipeline.waves.iter().any(|wave| wave.one_box), "{} has no one-box", pipeline.name);
    }
    let keys = shipped(&root().join("pipelines/default.yaml")).cells[0].stacks.clone();
    for file in inputs("examples/change-sets") {
        let beside =
            |path: &str| std::fs::read(root().join("examples/change-sets").join(path)).map_err(|e| e.to_string());
        let change = change_set::read::read("x", &std::fs::read(&file).unwrap(), &beside)
            .unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(change.pipeline, "default");
        assert!(change.stacks.iter().all(|(key, _)| keys.contains_key(key)));
    }
}

#[test]
fn the_schemas_in_docs_are_golden() {
    let schemas = [("pipeline", pipeline::yaml::json_schema()), ("change-set", change_set::read::json_schema())];
    for (name, schema) in schemas {
        let file = root().join(format!("docs/{name}.schema.json"));
        assert_eq!(golden(&file, &format!("{schema:#}\n")), None, "run with UPDATE_GOLDENS=1");
    }
}
