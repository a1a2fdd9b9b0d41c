//! A document that a person or an agent wrote: YAML (or JSON, which is YAML), read by two parsers, with a position for every value.
//!
//! `tree` reads the events of the first parser into positioned nodes, within limits; `fields` takes values out of the tree and
//! collects every fault; `lines` tells where they stand; `diagnostic` shows a fault in its place. The second parser, serde's, reads the values once more
//! (`agree`): only what both accept as one and the same document is accepted.

pub mod diagnostic;
pub mod fields;
pub mod lines;
pub mod tree;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use fields::Fields;
pub use lines::Lines;
pub use tree::{Node, Value};

/// Reads a document with both parsers.
///
/// # Errors
/// Every fault of form: size, encoding, syntax, depth, aliases, tags, duplicate keys, or a document that the two parsers read
/// differently.
pub fn read(file: &str, bytes: &[u8]) -> Result<Node, Diagnostics> {
    let text = tree::text(file, bytes)?;
    let root = tree::parse(file, text)?;
    agree(file, text, &root)?;
    Ok(root)
}

/// The second reading: the same values by the other parser.
fn agree(file: &str, text: &str, root: &Node) -> Result<(), Diagnostics> {
    let refused = |error: &serde_yaml::Error| {
        let fix = "write it in plainer YAML: put text in quotes, one document to a file";
        let at = error.location().map_or(root.span.start, |place| place.index());
        let words = error.to_string();
        let (message, fix) = match words.contains("as u128") || words.contains("as i128") {
            true => {
                ("a number that is too large".to_owned(), "write a smaller one, or put it in quotes where it is text")
            }
            false => (format!("the second YAML parser refuses this: {words}"), fix),
        };
        Err(Diagnostics::one(file, text, Diagnostic::new(at..at + 1, "", message, fix)))
    };
    match serde_yaml::from_str::<serde_yaml::Value>(text) {
        Ok(value) => match tree::first_difference(root, &value) {
            None => Ok(()),
            Some(node) => {
                let message = "two YAML parsers read this differently";
                let fix = "put it in quotes where it is text; write a number with digits alone";
                Err(Diagnostics::one(file, text, Diagnostic::new(node.span.clone(), &node.path, message, fix)))
            }
        },
        Err(error) => refused(&error),
    }
}
