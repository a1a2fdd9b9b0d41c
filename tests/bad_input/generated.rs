//! Inputs that are too large or too many to be kept: sizes, bombs, depths; arbitrary bytes and mutated sound files. Each is read in a
//! thread with a small stack: a reader that recurses as deep as its input goes would not come back.

use super::{read_change_set, root};
use proptest::prelude::*;
use std::time::{Duration, Instant};
use wavegate::cli::files::{FileError, read_bounded};
use wavegate::model::document::tree::{DEPTH_MAX, SIZE_MAX, first_difference, parse, text};
use wavegate::model::pipeline;

/// A quarter of what a thread gets on Linux by itself.
const STACK: usize = 512 * 1024;
/// Far above what any of these takes on a busy machine, far below what a quadratic reader would.
const PATIENCE: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "a test measures how long it takes")]
/// What a reader says of an input, in a thread with a small stack.
fn refused_in_small_stack(read: impl FnOnce() -> Option<String> + Send + 'static) -> String {
    let begun = Instant::now();
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(read).unwrap();
    let words = thread.join().unwrap().expect("accepted");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(words.len() < 200_000, "{} bytes of diagnostics", words.len());
    words
}

fn pipeline_refused(bytes: Vec<u8>) -> String {
    refused_in_small_stack(move || pipeline::read::read("made.yaml", &bytes).err().map(|faults| faults.to_string()))
}

fn template_refused(template: String) -> String {
    let template = template.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let words = format!(
        "version: 1\nagent: a\ntitle: t\nreasoning: r\npipeline: default\nstacks:\n  orders:\n    template: \"{template}\"\n"
    );
    refused_in_small_stack(move || {
        read_change_set("made.yaml", words.as_bytes()).err().map(|faults| faults.to_string())
    })
}

#[test]
fn ten_megabytes_are_refused_unread() {
    let bytes = b"# ten megabytes\n".repeat(10 * 1024 * 1024 / 16);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.yaml");
    std::fs::write(&file, &bytes).unwrap();
    assert!(matches!(read_bounded(&file), Err(FileError::TooLarge { .. })));
    assert!(pipeline_refused(bytes).contains(&format!("{SIZE_MAX} are the most")));
}

#[test]
fn an_alias_bomb_is_refused_at_its_first_anchor() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let before = format!("*a{}, ", n - 1).repeat(9);
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", before.trim_end_matches(", ")));
    }
    let words = pipeline_refused(bomb.into_bytes());
    assert!(words.contains("anchors are not allowed") && words.contains("made.yaml:1:"), "{words}");
}

#[test]
fn nesting_of_ten_thousand_levels_is_refused() {
    let deep = 10_000;
    let flow_lists = format!("fleet: {}{}", "[".repeat(deep), "]".repeat(deep));
    let flow_maps = format!("fleet: {}{}", "{a: ".repeat(deep), "}".repeat(deep));
    let open = format!("fleet: {}", "[".repeat(deep));
    let dashes = format!("{}x", "- ".repeat(deep));
    // Each level is one column deeper: 10,000 lines of them would be 50 MB, and 1,400 are what fits.
    let blocks: String = (0..1_400).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    for (name, document) in [("[", flow_lists), ("{", flow_maps), ("open", open), ("-", dashes), ("a:", blocks)] {
        let words = pipeline_refused(document.into_bytes());
        assert!(words.contains(&format!("nested deeper than {DEPTH_MAX} levels")), "{name}: {words}");
    }
}

#[test]
fn nesting_inside_templates_is_refused() {
    let deep = 10_000;
    let flow = format!("Resources: {}{}", "[".repeat(deep), "]".repeat(deep));
    let maps = format!("Resources: {}{}", "{a: ".repeat(deep), "}".repeat(deep));
    let dashes = format!("Resources:\n  a:\n    {}x", "- ".repeat(deep));
    let json = format!("{{\"Resources\": {}{}}}", "{\"a\":".repeat(6_000), "}".repeat(6_000));
    for (name, template) in [("[", flow), ("{", maps), ("-", dashes), ("json", json)] {
        let words = template_refused(template);
        assert!(words.contains("nested deeper than 100 levels"), "{name}: {words}");
    }
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nResources: {c: [*b, *b]}\n";
    assert!(template_refused(bomb.to_owned()).contains("it uses an alias"));
}

#[test]
fn a_hundred_thousand_keys_are_refused() {
    let keys = |count: usize| (0..count).map(|n| format!("k{n}: 1\n")).collect::<String>().into_bytes();
    assert!(pipeline_refused(keys(100_000)).contains("more than 200000 values"));
    // Just below the limit each key is a fault of its own, of which a hundred are shown.
    let words = pipeline_refused(keys(99_000));
    assert!(words.contains("unknown key `k0`") && words.contains("more in made.yaml"), "{}", words.len());
}

#[test]
fn a_line_of_a_megabyte_is_shown_in_part() {
    let long = format!("version: 1\nname: \"{}\"\n", "x".repeat(1_000_000));
    let words = pipeline_refused(long.into_bytes());
    assert!(words.contains("made.yaml:2:7") && words.len() < 10_000, "{} bytes", words.len());
    let keys: String = (0..60_000).map(|n| format!("key{n}: 1, ")).collect();
    let words = pipeline_refused(format!("{{{keys}}}").into_bytes());
    assert!(words.contains("made.yaml:1:2"), "{} bytes", words.len());
}

#[test]
fn a_long_key_is_not_copied_for_each_value_below_it() {
    let long = format!("{}: [{}]\n", "k".repeat(400_000), "1,".repeat(150_000));
    // YAML lets a key without `? ` have 1,024 characters at most.
    assert!(pipeline_refused(long.into_bytes()).contains("error"));
    let nested = format!("? {}\n: [{}]\n", "k".repeat(400_000), "1,".repeat(150_000));
    assert!(pipeline_refused(nested.into_bytes()).contains("error"));
}

fn sound() -> String {
    std::fs::read_to_string(root().join("tests/bad_input/sound_pipeline.yaml")).unwrap()
}

/// What is accepted means the same to both parsers.
fn assert_read_alike(bytes: &[u8]) {
    let Ok(pipeline) = pipeline::read::read("x", bytes) else { return };
    assert!(!pipeline.cells.is_empty() && !pipeline.waves.is_empty());
    let text = text("x", bytes).unwrap();
    let tree = parse("x", text).unwrap();
    let other: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    assert_eq!(first_difference(&tree, &other), None);
}

/// Words that a mutation puts in.
const WORDS: [&str; 36] = [
    "yes",
    "~",
    "0x1F",
    "0777",
    "1e400",
    ".nan",
    "22:30",
    "\t",
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "---\n",
    "...\n",
    "? ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "#",
    "|\n",
    ">\n",
    "\r\n",
    "\r",
    "\u{202e}",
    "\u{feff}",
    "%YAML 1.1\n",
    "-1",
    "99999999999999999999",
    "\u{0}",
    "ä",
    "1_000",
];

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(WORDS.to_vec()));
    prop::collection::vec(edit, 1..4).prop_map(|edits| {
        let mut bytes = sound().into_bytes();
        for (at, gone, word) in edits {
            let at = at.index(bytes.len());
            let end = (at + gone).min(bytes.len());
            bytes.splice(at..end, word.bytes());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        assert_read_alike(&bytes);
        let _ = read_change_set("x", &bytes).map_err(|faults| faults.to_string());
    }

    #[test]
    fn arbitrary_yaml_letters_never_panic(words in "[-a-c:{}\\[\\]&*!|>'\"%@?#, \n\t~0-9ä]{0,200}") {
        assert_read_alike(words.as_bytes());
        let _ = pipeline::read::read("x", words.as_bytes()).map_err(|faults| faults.to_string());
    }

    #[test]
    fn mutated_pipelines_never_panic_and_are_read_alike(bytes in mutated()) {
        let _ = pipeline::read::read("x", &bytes).map_err(|faults| faults.coloured());
        assert_read_alike(&bytes);
    }

    /// A digit, a quote or a comment that is changed may well leave a sound file: it must be the same to both parsers.
    #[test]
    fn small_mutations_that_are_accepted_are_read_alike(at in any::<prop::sample::Index>(), with in "[0-9 a-z'#]") {
        let mut bytes = sound().into_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..=at, with.bytes());
        assert_read_alike(&bytes);
    }
}
