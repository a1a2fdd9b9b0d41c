//! What must hold for every document that a person or an agent writes, accepted or refused.

use crate::text::assert_shows_all;
use std::fmt::Debug;
use wavegate::model::document::tree::{self, DEPTH_MAX, Node, Value, first_difference};
use wavegate::model::document::{self, Diagnostics};

/// Reads twice and compares; faults must be helpful. Gives what was accepted.
pub fn read_twice<T: PartialEq + Debug>(
    bytes: &[u8],
    read: impl Fn(&str, &[u8]) -> Result<T, Diagnostics>,
) -> Option<T> {
    let first = read(FILE, bytes);
    assert_eq!(first, read(FILE, bytes), "the second reading differs");
    match first {
        Ok(accepted) => Some(accepted),
        Err(faults) => {
            assert_helpful(bytes, &faults);
            None
        }
    }
}

/// How the file is named in faults.
const FILE: &str = "fuzzed.yaml";

/// Every fault has a place inside the file, words and a fix; and what is shown does nothing to a terminal.
pub fn assert_helpful(bytes: &[u8], faults: &Diagnostics) {
    assert!(!faults.all.is_empty(), "refused without a fault");
    let lines = String::from_utf8_lossy(bytes).matches('\n').count() + 1;
    let mut last = (0, 0);
    for fault in &faults.all {
        assert!((1..=lines).contains(&fault.line) && fault.column > 0, "a place outside of the file: {fault:?}");
        assert!((fault.line, fault.column) >= last, "faults are not in order: {:?}", faults.all);
        last = (fault.line, fault.column);
        assert!(!fault.message.is_empty() && !fault.fix.is_empty(), "a fault without words: {fault:?}");
    }
    let shown = faults.to_string();
    assert_shows_all("a diagnostic", &shown);
    let first = faults.all.first().map(|fault| format!("{FILE}:{}:{}", fault.line, fault.column)).unwrap_or_default();
    assert!(shown.contains(&first), "no place in\n{shown}");
}

/// A document that is accepted means the same to both parsers, and each value stands where the tree says.
pub fn assert_read_alike(bytes: &[u8]) {
    let Ok(root) = document::read(FILE, bytes) else { return };
    let text = tree::text(FILE, bytes).expect("read before");
    let other: serde_yaml::Value = serde_yaml::from_str(text).expect("read by both parsers");
    assert_eq!(first_difference(&root, &other), None);
    assert_in_place(text, &root, 0);
}

fn assert_in_place(text: &str, node: &Node, depth: usize) {
    assert!(depth <= DEPTH_MAX, "nested deeper than the limit");
    let Some(source) = text.get(node.span.clone()) else {
        panic!("{:?} of {} is no part of the text", node.span, node.path);
    };
    match &node.value {
        // Quoted and folded text may be written in many ways; what stands plain in one line is itself.
        Value::Text(words, true) if !source.contains('\n') => assert_eq!(source.trim_end(), words, "{}", node.path),
        Value::Int(number) => assert_eq!(source.trim_end().parse(), Ok(*number), "{}", node.path),
        Value::Float(number) => assert_eq!(source.trim_end().parse(), Ok(*number), "{}", node.path),
        Value::Bool(flag) => assert_eq!(source.trim_end().to_ascii_lowercase(), flag.to_string(), "{}", node.path),
        Value::List(items) => items.iter().for_each(|item| assert_in_place(text, item, depth + 1)),
        Value::Map(entries) => {
            for (key, value) in entries {
                assert_in_place(text, key, depth + 1);
                assert_in_place(text, value, depth + 1);
                assert!(key.span.start <= value.span.start, "{}: the value stands before its key", value.path);
            }
        }
        _ => {}
    }
}
