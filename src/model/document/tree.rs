//! Text → positioned nodes, within limits that hold before anything is built: the size before the text is looked at, the depth and
//! the number of nodes while its events come in. Anchors, aliases and tags are refused: a document that says each thing once, where
//! it stands, can be read by a person under pressure, and cannot be a bomb.

use super::diagnostic::{Diagnostic, Diagnostics, is_hidden};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use std::collections::BTreeMap;
use std::ops::Range;

/// The largest document. A fleet of two thousand cells with their stacks takes about half of it.
pub const SIZE_MAX: usize = 1024 * 1024;
/// The deepest nesting; a pipeline needs seven.
pub const DEPTH_MAX: usize = 32;
/// The most values.
const NODES_MAX: usize = 200_000;
/// A path is for people, and every value has one: without a limit a long key would be copied for each value below it.
const PATH_MAX: usize = 200;

/// A value in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where in the document, as `waves[1].bake`.
    pub path: String,
    /// Bytes of the source.
    pub span: Range<usize>,
    /// What it is.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Blank, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text; true when it stood without quotes.
    Text(String, bool),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in order.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The key and the value of an entry, where this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<(&Self, &Self)> {
        let Value::Map(entries) = &self.value else { return None };
        let found = entries.iter().find(|(k, _)| matches!(&k.value, Value::Text(name, _) if name == key));
        found.map(|(key, value)| (key, value))
    }
}

impl Value {
    /// What it is, for a person.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(..) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The document's text: bounded, UTF-8, without characters that hide something.
///
/// # Errors
/// The first fault.
pub fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Diagnostics> {
    if bytes.len() > SIZE_MAX {
        let message = format!("the file has {} bytes, and {SIZE_MAX} are the most", bytes.len());
        return Err(Diagnostics::of_file(file, message, "split it, or put templates into files of their own"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| not_utf8(file, bytes, e.valid_up_to()))?;
    if text.starts_with('\u{FEFF}') {
        let fault = Diagnostic::new(0..3, "", "the file begins with a byte order mark", "save it as UTF-8 without one");
        return Err(Diagnostics::one(file, text, fault));
    }
    // A carriage return is part of a line's end, or it hides what stands before it.
    let ends_line = |at: usize, c: char| c == '\r' && text.as_bytes().get(at + 1) == Some(&b'\n');
    match text.char_indices().find(|(at, c)| is_hidden(*c) && !ends_line(*at, *c)) {
        Some((at, c)) => {
            let message = format!("hidden character U+{:04X}", u32::from(c));
            let fault = Diagnostic::new(
                at..at + c.len_utf8(),
                "",
                message,
                "remove it; inside quotes it can be written as an escape",
            );
            Err(Diagnostics::one(file, text, fault))
        }
        None => Ok(text),
    }
}

/// Parses one document.
///
/// # Errors
/// The first fault of syntax or form; all duplicate keys at once.
pub fn parse(file: &str, text: &str) -> Result<Node, Diagnostics> {
    if let Some(at) = directive(text) {
        let fault = Diagnostic::new(
            at..text.len(),
            "",
            "directives are not allowed",
            "remove the line: files are YAML 1.2, without tag names",
        );
        return Err(Diagnostics::one(file, text, fault));
    }
    let mut builder = Builder { offsets: offsets(text), ..Builder::default() };
    let fail = |fault: Diagnostic| Diagnostics::one(file, text, fault);
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(&event, span).map_err(fail)?,
            Err(error) => {
                let at = builder.byte(*error.marker());
                if error.info().contains("recursion limit") {
                    return Err(fail(too_deep(at..at + 1, "")));
                }
                if error.info().contains("unknown anchor") {
                    let fault = Diagnostic::new(
                        at..at + 1,
                        "",
                        "aliases are not allowed",
                        "write the value out where it is used",
                    );
                    return Err(fail(fault));
                }
                let fix = syntax_hint(text, at);
                return Err(fail(Diagnostic::new(at..at + 1, "", format!("not YAML: {}", error.info()), fix)));
            }
        }
    }
    if !builder.faults.is_empty() {
        return Err(Diagnostics::new(file, text, builder.faults));
    }
    builder.root.ok_or_else(|| {
        Diagnostics::of_file(
            file,
            "the document is empty",
            "begin with a copy of one that ships in pipelines/ or examples/",
        )
    })
}

/// The place is counted in what could be read.
fn not_utf8(file: &str, bytes: &[u8], valid: usize) -> Diagnostics {
    let source = String::from_utf8_lossy(bytes);
    let end = source.get(valid..).and_then(|rest| rest.chars().next()).map_or(valid, |c| valid + c.len_utf8());
    let fault = Diagnostic::new(valid..end, "", format!("the file is not UTF-8 (byte {valid})"), "save it as UTF-8");
    Diagnostics::one(file, &source, fault)
}

/// The usual causes of a syntax error, looked for in its line and the line before.
fn syntax_hint(text: &str, at: usize) -> &'static str {
    let head = text.get(..at).unwrap_or(text);
    let from = head.rmatch_indices('\n').nth(1).map_or(0, |(at, _)| at + 1);
    let to = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |n| at + n);
    let lines = text.get(from..to).unwrap_or_default();
    let begins = |line: &str, marks: &[char]| {
        line.split_once(": ").is_some_and(|(_, value)| value.trim_start().starts_with(marks))
    };
    if lines.lines().any(|line| line.trim_start_matches(' ').starts_with('\t')) {
        "indent with spaces; YAML takes no tabs"
    } else if lines.lines().any(|line| begins(line, &['>', '%', '@', '`'])) {
        "put a value that begins with `>`, `%`, `@` or a backtick in quotes, as \"> 5\""
    } else {
        "mend the syntax here or just before: indentation, a missing `:`, an open quote or bracket"
    }
}

/// Where a `%YAML` or `%TAG` line begins.
fn directive(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("%YAML") || line.starts_with("%TAG") {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// Byte offsets of characters; none for ASCII, where they are the same.
fn offsets(text: &str) -> Option<Vec<usize>> {
    (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
}

#[derive(Default)]
struct Builder {
    offsets: Option<Vec<usize>>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    faults: Vec<Diagnostic>,
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    key: Option<Node>,
    seen: BTreeMap<String, ()>,
}

impl Builder {
    fn byte(&self, at: Marker) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(at.index()).or(offsets.last()).copied().unwrap_or(0),
            None => at.index(),
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        self.byte(span.start)..self.byte(span.end)
    }

    fn take(&mut self, event: &Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let range = self.range(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                let second = self.documents > 1;
                if second {
                    Err(Diagnostic::new(range, "", "a second document begins here", "keep one document to a file"))
                } else {
                    Ok(())
                }
            }
            Event::Alias(_) => {
                Err(Diagnostic::new(range, "", "aliases are not allowed", "write the value out where it is used"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_decoration(*anchor, tag.is_some(), &range)?;
                let value = scalar(text, *style);
                self.put(value, range)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_decoration(*anchor, tag.is_some(), &range)?;
                self.open(Value::List(Vec::new()), range)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_decoration(*anchor, tag.is_some(), &range)?;
                self.open(Value::Map(Vec::new()), range)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end),
            _ => Ok(()),
        }
    }

    /// The path of the value that comes next.
    fn path(&self) -> String {
        let path = self.full_path();
        let cut = path.char_indices().rev().nth(PATH_MAX).map(|(at, _)| at);
        cut.and_then(|at| path.get(at..)).map_or_else(|| path.clone(), |end| format!("…{end}"))
    }

    fn full_path(&self) -> String {
        match self.open.last() {
            None => String::new(),
            Some(Open { node: Node { path, value: Value::List(items), .. }, .. }) => format!("{path}[{}]", items.len()),
            Some(Open { node: Node { path, .. }, key: Some(Node { value: Value::Text(key, _), .. }), .. })
                if path.is_empty() =>
            {
                key.clone()
            }
            Some(Open { node: Node { path, .. }, key: Some(Node { value: Value::Text(key, _), .. }), .. }) => {
                format!("{path}.{key}")
            }
            Some(Open { node: Node { path, .. }, .. }) => path.clone(),
        }
    }

    fn open(&mut self, value: Value, span: Range<usize>) -> Result<(), Diagnostic> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(span.start..span.start + 1, &self.path()));
        }
        self.count(&span)?;
        if matches!(self.open.last(), Some(Open { node: Node { value: Value::Map(_), .. }, key: None, .. })) {
            return Err(Diagnostic::new(span, &self.path(), "a key that is no text", "use plain text as key"));
        }
        let node = Node { path: self.path(), span, value };
        self.open.push(Open { node, key: None, seen: BTreeMap::new() });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Diagnostic> {
        let Some(Open { mut node, .. }) = self.open.pop() else { return Ok(()) };
        node.span.end = end.max(node.span.start);
        self.attach(node);
        Ok(())
    }

    fn put(&mut self, value: Value, span: Range<usize>) -> Result<(), Diagnostic> {
        self.count(&span)?;
        let path = self.path();
        if let Some(Open { node: Node { value: Value::Map(_), .. }, key: key @ None, seen }) = self.open.last_mut() {
            let Value::Text(text, _) = &value else {
                return Err(Diagnostic::new(
                    span,
                    &path,
                    "a key that is no text",
                    "write a word as key, in quotes where it is none",
                ));
            };
            if text == "<<" {
                return Err(Diagnostic::new(
                    span,
                    &path,
                    "merge keys are not allowed",
                    "write the values out where they are used",
                ));
            }
            if seen.insert(text.clone(), ()).is_some() {
                let message = format!("the key `{text}` stands twice");
                self.faults.push(Diagnostic::new(span.clone(), &path, message, "keep one of them"));
            }
            *key = Some(Node { path, span, value });
            return Ok(());
        }
        self.attach(Node { path, span, value });
        Ok(())
    }

    fn attach(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { node: Node { value: Value::List(items), .. }, .. }) => items.push(node),
            Some(Open { node: Node { value: Value::Map(entries), .. }, key, .. }) => {
                if let Some(key) = key.take() {
                    entries.push((key, node));
                }
            }
            // Only lists and mappings are ever open.
            Some(_) => {}
        }
    }

    fn count(&mut self, span: &Range<usize>) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        Err(Diagnostic::new(span.clone(), "", format!("more than {NODES_MAX} values"), "split the document"))
    }
}

/// The parser has a limit of its own, for brackets that it reads ahead.
fn too_deep(span: Range<usize>, path: &str) -> Diagnostic {
    Diagnostic::new(span, path, format!("nested deeper than {DEPTH_MAX} levels"), "flatten the document")
}

fn refuse_decoration(anchor: usize, tagged: bool, span: &Range<usize>) -> Result<(), Diagnostic> {
    if anchor > 0 {
        return Err(Diagnostic::new(
            span.clone(),
            "",
            "anchors are not allowed",
            "write the value out where it is used",
        ));
    }
    if tagged {
        return Err(Diagnostic::new(
            span.clone(),
            "",
            "tags are not allowed",
            "write the plain value without `!`; CloudFormation's short forms belong into the template",
        ));
    }
    Ok(())
}

/// A scalar by YAML 1.2's core schema. What YAML 1.1 reads otherwise (`yes`, `0777`, `22:30`) is text here, and refused by the
/// fields that want something else.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned(), false);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned(), true)),
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || leading_zero {
        return None;
    }
    if let Ok(whole) = text.parse() {
        return Some(Value::Int(whole));
    }
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    text.parse::<f64>().ok().filter(|v| plain && v.is_finite()).map(Value::Float)
}

/// The first node that the other parser reads as something else.
pub fn first_difference<'a>(node: &'a Node, other: &serde_yaml::Value) -> Option<&'a Node> {
    use serde_yaml::Value as Other;
    match (&node.value, other) {
        (Value::Null, Other::Null) => None,
        (Value::Bool(a), Other::Bool(b)) if a == b => None,
        (Value::Int(a), Other::Number(b)) if b.as_i64() == Some(*a) => None,
        (Value::Float(a), Other::Number(b)) if b.as_f64() == Some(*a) => None,
        (Value::Text(a, _), Other::String(b)) if a == b => None,
        (Value::List(a), Other::Sequence(b)) if a.len() == b.len() => {
            a.iter().zip(b).find_map(|(a, b)| first_difference(a, b))
        }
        (Value::Map(a), Other::Mapping(b)) if a.len() == b.len() => {
            a.iter().zip(b.iter()).find_map(|((key, value), (other_key, other))| {
                first_difference(key, other_key).or_else(|| first_difference(value, other))
            })
        }
        _ => Some(node),
    }
}
