//! The layers hold: this test reads `src` and refuses what points the wrong way.
//!
//! ```text
//! model ◄── engine, journal, cloud ◄── daemon ◄── api ◄── dashboard, cli ◄── main
//! ```
//!
//! A file may use its own layer and every layer to its left; `engine`, `journal` and `cloud` do not know each other.
//! Besides: AWS's SDK, HTTP clients and OpenTelemetry's exporter stay in `cloud`, `backoff` in `cloud/retry.rs`, `rusqlite` in
//! `journal`; `model` and `engine` read no clock, environment or random source; each file says first what it is for, and none is too
//! long to be read.
//! Comments and the contents of strings do not count. Neither do tests inside `src` for the clock, which they may set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// What may be read in one sitting.
const LINES_LIMIT: usize = 500;

/// Each layer and those it may use besides itself. `config` is the daemon's own configuration, read at its edge.
const LAYERS: [(&str, &[&str]); 11] = [
    ("guard", &[]),
    ("model", &["guard"]),
    ("engine", &["guard", "model"]),
    ("journal", &["guard", "model"]),
    ("cloud", &["guard", "model"]),
    ("config", &["guard", "model"]),
    ("daemon", &["guard", "model", "engine", "journal", "cloud", "config"]),
    ("api", &["model", "engine", "journal", "cloud", "config", "daemon"]),
    ("dashboard", &["model", "engine", "journal", "cloud", "config", "daemon", "api"]),
    ("cli", &["model", "engine", "journal", "cloud", "config", "daemon", "api", "dashboard"]),
    ("main", &["model", "engine", "journal", "cloud", "config", "daemon", "api", "dashboard", "cli"]),
];

/// A word, and the only places under `src` where it may stand.
const CONFINED: [(&str, &[&str]); 9] = [
    ("aws_sdk", &["cloud/"]),
    ("aws_config", &["cloud/"]),
    ("aws_smithy", &["cloud/"]),
    ("aws_credential_types", &["cloud/"]),
    // Whatever goes out by HTTP: questions to Prometheus, beats to a monitor, spans to a collector, messages, keys of issuers.
    (
        "reqwest",
        &[
            "api/client.rs",
            "api/client/",
            "cloud/drill_http.rs",
            "cloud/jwks.rs",
            "cloud/otlp.rs",
            "cloud/outbound/",
            "cloud/ping.rs",
            "cloud/prometheus.rs",
            "cloud/prometheus/",
            "cloud/web.rs",
        ],
    ),
    ("opentelemetry", &["cloud/otlp.rs"]),
    ("backoff::", &["cloud/retry.rs", "cloud/retry/"]),
    ("rusqlite", &["journal/", "journal.rs"]),
    ("rmcp", &["api/mcp.rs", "api/mcp/"]),
];

/// What `model` and `engine` may not ask for.
const IMPURE: [&str; 10] = [
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "env::var",
    "fastrand",
    "Uuid::now",
    "tokio::",
    "std::thread::sleep",
];

/// One thing that is wrong, as `src/engine/wave.rs:12: …`.
type Violation = String;

#[test]
fn the_layers_hold() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut violations = Vec::new();
    for path in rust_files(&src) {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        violations.extend(check(&name, &fs::read_to_string(&path).unwrap()));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// The test sees what it is there to see: one planted violation of each kind, and none where nothing is wrong.
#[test]
fn planted_violations_are_found() {
    let planted: [(&str, &str, &str); 15] = [
        ("model/ids.rs", "//! x\nuse crate::engine::wave::plan;\n", "`model` may not use `engine`"),
        ("engine/wave.rs", "//! x\nfn f() { crate::cloud::sim::go() }\n", "`engine` may not use `cloud`"),
        ("journal/mod.rs", "//! x\nuse crate::{model::ids::Seq, engine::decide};\n", "`journal` may not use `engine`"),
        (
            "cloud/mod.rs",
            "//! x\nuse crate::{\n    model::ids,\n    journal::Store,\n};\n",
            "`cloud` may not use `journal`",
        ),
        ("daemon/mod.rs", "//! x\nuse crate::api::service;\n", "`daemon` may not use `api`"),
        ("api/mod.rs", "//! x\nuse crate::cli::watch;\n", "`api` may not use `cli`"),
        ("new/mod.rs", "//! x\nuse crate::model::ids;\n", "`new` is no layer"),
        ("cli/plan.rs", "//! x\nuse aws_sdk_cloudformation::Client;\n", "`aws_sdk` belongs"),
        ("cloud/budget.rs", "//! x\nuse backoff::backoff::Backoff;\n", "`backoff::` belongs"),
        ("daemon/lease.rs", "//! x\nuse rusqlite::Connection;\n", "`rusqlite` belongs"),
        ("engine/wave.rs", "//! x\nlet now = Instant::now();\n", "`Instant::now`"),
        ("model/ids.rs", "//! x\nlet home = std::env::var(\"HOME\");\n", "`std::env`"),
        ("model/ids.rs", "use crate::model::time;\n", "does not open with `//!`"),
        ("model/ids.rs", &format!("//! x\n{}", "\n".repeat(500)), "501 lines"),
        (
            "engine/wave.rs",
            "//! x\nlet x = \"\\\"\"; let y = '\"'; crate::daemon::run();\n",
            "`engine` may not use `daemon`",
        ),
    ];
    for (name, text, expected) in planted {
        let found = check(name, text);
        assert!(found.len() == 1 && found[0].contains(expected), "{name}: expected {expected:?}, found {found:?}");
    }
    let innocent = [
        (
            "cli/plan.rs",
            "//! x\nuse crate::api::service;\nuse crate::daemon;\nuse crate::{cli::watch, model::{ids, plan}};\n",
        ),
        (
            "engine/wave.rs",
            "//! Not `crate::cloud::x`.\n// SystemTime, crate::daemon::x\nlet text = \"crate::cli::x std::env\";\n",
        ),
        ("engine/wave.rs", "//! x\n/* crate::cloud::x /* nested */ fastrand */\nlet raw = r#\"crate::api::\"x\"#;\n"),
        ("cloud/retry.rs", "//! x\nuse backoff::backoff::Backoff;\n"),
        ("cloud/sim/world.rs", "//! x\nuse crate::model::ids;\nlet now = tokio::time::Instant::now();\n"),
        ("model/ids.rs", "//! x\n#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\n"),
        ("lib.rs", "//! x\npub mod model;\n"),
    ];
    for (name, text) in innocent {
        assert_eq!(check(name, text), Vec::<Violation>::new(), "{name}");
    }
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Everything that is wrong with one file; `name` is its path under `src`.
fn check(name: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    if !text.starts_with("//!") {
        violations.push(format!("src/{name}:1: the file does not open with `//!` and what it is for"));
    }
    let lines = text.lines().count();
    if lines > LINES_LIMIT {
        violations.push(format!("src/{name}: {lines} lines; split it, {LINES_LIMIT} is the most"));
    }
    let code = code_of(text);
    violations.extend(check_layer(name, &code));
    for (word, homes) in CONFINED {
        let at_home = homes.iter().any(|home| name.starts_with(home));
        if let Some(at) = (!at_home).then(|| find_word(&code, word)).flatten() {
            violations.push(format!("src/{name}:{}: `{word}` belongs under {homes:?}", line_of(&code, at)));
        }
    }
    if matches!(layer_of(name), "model" | "engine") {
        let until = code.find("#[cfg(test)]").unwrap_or(code.len());
        for word in IMPURE {
            if let Some(at) = find_word(&code[..until], word) {
                let line = line_of(&code, at);
                violations
                    .push(format!("src/{name}:{line}: `{word}`: time, environment and chance are handed in here"));
                break;
            }
        }
    }
    violations
}

fn check_layer(name: &str, code: &str) -> Vec<Violation> {
    let layer = layer_of(name);
    if layer == "lib" {
        return vec![];
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(known, _)| *known == layer) else {
        return vec![format!("src/{name}: `{layer}` is no layer; add it to LAYERS with what it may use")];
    };
    let wrong = uses(code).into_iter().filter(|(_, used)| used != layer && !allowed.contains(&used.as_str()));
    wrong.map(|(line, used)| format!("src/{name}:{line}: `{layer}` may not use `{used}`")).collect()
}

/// The first part of a path under `src`: its folder, or its name without the ending.
fn layer_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name).trim_end_matches(".rs")
}

/// Every layer that is named after `crate::` (and, in the binary, after `wavegate::`), with its line.
fn uses(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate::", "wavegate::"] {
        for (at, _) in code.match_indices(root) {
            let boundary = code[..at].chars().next_back().is_none_or(|before| !is_word(before));
            if boundary {
                let rest = &code[at + root.len()..];
                found.extend(first_names(rest).into_iter().map(|used| (line_of(code, at), used)));
            }
        }
    }
    let known = |used: &str| LAYERS.iter().any(|(layer, _)| *layer == used);
    found.retain(|(_, used)| known(used));
    found
}

/// The first name of a path, or of each branch of `{a::b, c}`.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| is_word(*c)).collect::<String>();
    if !path.starts_with('{') {
        return vec![word(path)];
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for (at, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && depth == 1 && is_word(c) => {
                names.push(word(&path[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a word stands that is not the tail of a longer one.
fn find_word(code: &str, word: &str) -> Option<usize> {
    let found = code.match_indices(word).find(|(at, _)| code[..*at].chars().next_back().is_none_or(|c| !is_word(c)));
    found.map(|(at, _)| at)
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The text without comments and the contents of strings; lines stay where they are.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => end_of_line(&chars, at),
            ('/', Some('*')) => end_of_block(&chars, at),
            ('"', _) => end_of_string(&chars, at),
            ('r', Some('"' | '#')) if !code.chars().next_back().is_some_and(is_word) => end_of_raw(&chars, at),
            ('\'', Some('\\')) => end_of_char(&chars, at),
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
            (c, _) => {
                code.push(c);
                at += 1;
                continue;
            }
        };
        code.extend(chars[at..end].iter().filter(|c| **c == '\n'));
        code.push(' ');
        at = end;
    }
    code
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn end_of_block(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    chars.len()
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#`; a raw identifier (`r#type`) is passed over as itself.
fn end_of_raw(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|c| **c == '#').count();
    let open = from + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return from + 1;
    }
    let closes =
        |at: &usize| chars[*at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (open + 1..chars.len()).find(closes).map_or(chars.len(), |at| at + 1 + hashes)
}

fn end_of_char(chars: &[char], from: usize) -> usize {
    (from + 3..chars.len()).find(|at| chars[*at] == '\'').map_or(chars.len(), |at| at + 1)
}
