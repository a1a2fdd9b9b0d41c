//! Takes values out of a mapping, and collects every fault on the way instead of stopping at the first.

use super::diagnostic::Diagnostic;
use super::tree::{Node, Value};
use crate::model::time::Millis;
use std::cell::RefCell;

/// The largest amount of money: more than any bill, and far from where a number loses its cents.
const AMOUNT_MAX: f64 = 1e12;

/// Where faults are collected.
#[derive(Debug, Default)]
pub struct Faults(RefCell<Vec<Diagnostic>>);

impl Faults {
    /// Notes a fault at a node.
    pub fn at(&self, node: &Node, message: impl Into<String>, fix: impl Into<String>) {
        self.0.borrow_mut().push(Diagnostic::new(node.span.clone(), &node.path, message, fix));
    }

    /// Notes a fault at a key whose value is a secret: the value is not shown.
    pub fn at_secret(&self, key: &Node, message: impl Into<String>, fix: impl Into<String>) {
        let fault = Diagnostic::new(key.span.clone(), &key.path, message, fix);
        self.0.borrow_mut().push(Diagnostic { secret: true, ..fault });
    }

    /// True when a key that is almost `word` has been refused as unknown: then `word` is misspelt, not missing.
    fn misspelt(&self, entries: &[(Node, Node)], word: &str) -> bool {
        let refused = |key: &Node| self.0.borrow().iter().any(|fault| fault.span == key.span);
        let near = |key: &Node| matches!(&key.value, Value::Text(name, _) if nearest(name, &[word]).is_some());
        entries.iter().any(|(key, _)| near(key) && refused(key))
    }

    /// How many there are by now: a part during whose reading this did not change is sound.
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// What `read` makes of a part, and only where the part has no fault: nothing may follow from what is wrong already.
    pub fn sound<T>(&self, read: impl FnOnce() -> Option<T>) -> Option<T> {
        let before = self.count();
        read().filter(|_| self.count() == before)
    }

    /// All of them.
    pub fn all(&self) -> Vec<Diagnostic> {
        self.0.borrow().clone()
    }
}

/// A mapping whose keys are known beforehand.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// The mapping itself.
    pub node: &'a Node,
    entries: &'a [(Node, Node)],
    faults: &'a Faults,
}

impl<'a> Fields<'a> {
    /// The mapping's fields. A key that is not known, and a blank value, are faults; so is a node that is no mapping.
    pub fn of(node: &'a Node, known: &[&str], faults: &'a Faults) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            faults.at(
                node,
                format!("{} where a mapping belongs", node.value.kind()),
                format!("give it the keys {}", listed(known)),
            );
            return None;
        };
        // Put together once: there may be a hundred thousand unknown keys.
        let mut all: Option<String> = None;
        for (key, value) in entries {
            let Value::Text(name, _) = &key.value else { continue };
            if !known.contains(&name.as_str()) {
                let fix = match nearest(name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => all.get_or_insert_with(|| format!("remove it; known here are {}", listed(known))).clone(),
                };
                faults.at(key, format!("unknown key `{name}`"), fix);
            } else if value.value == Value::Null {
                faults.at(key, format!("`{name}` is blank"), "give it a value, or remove the key");
            }
        }
        Some(Self { node, entries, faults })
    }

    /// The fault collector.
    pub fn faults(&self) -> &'a Faults {
        self.faults
    }

    /// The value of a key; none where it is missing or blank.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|(k, _)| matches!(&k.value, Value::Text(name, _) if name == key))
            .map(|(_, v)| v)
            .filter(|v| v.value != Value::Null)
    }

    /// A key itself: what is underlined when its value as a whole is wrong.
    pub fn key(&self, key: &str) -> Option<&'a Node> {
        self.node.entry(key).map(|(key, _)| key)
    }

    /// True when a key stands there, even with a blank value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(k, _)| matches!(&k.value, Value::Text(name, _) if name == key))
    }

    /// The value of a key that must be there.
    pub fn need(&self, key: &str, example: &str) -> Option<&'a Node> {
        if !self.has(key) && !self.faults.misspelt(self.entries, key) {
            self.faults.at(&self.place(), format!("`{key}` is missing"), format!("add `{key}: {example}`"));
        }
        self.get(key)
    }

    /// What is underlined when something is missing: the first key, not pages of text.
    fn place(&self) -> Node {
        match self.entries.first() {
            Some((key, _)) => Node { path: self.node.path.clone(), ..key.clone() },
            None => self.node.clone(),
        }
    }

    /// Notes a fault of the mapping as a whole.
    pub fn fault(&self, message: impl Into<String>, fix: impl Into<String>) {
        self.faults.at(&self.place(), message, fix);
    }

    /// Text that must be there.
    pub fn need_text(&self, key: &str, example: &str) -> Option<String> {
        self.need(key, example).and_then(|node| text(node, self.faults))
    }

    /// Text, where it is there.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(|node| text(node, self.faults))
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|node| match node.value {
            Value::Bool(value) => value,
            _ => {
                self.faults.at(
                    node,
                    format!("{} where `true` or `false` belongs", node.value.kind()),
                    "write `true` or `false`",
                );
                false
            }
        })
    }

    /// A whole number in a range.
    pub fn whole(&self, key: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let node = self.get(key)?;
        let found = match node.value {
            Value::Int(n) => u32::try_from(n).ok().filter(|n| range.contains(n)),
            _ => None,
        };
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            let words = if low == high {
                format!("`{key}` must be {low}")
            } else {
                format!("`{key}` must be a whole number from {low} to {high}")
            };
            self.faults.at(node, words, format!("write `{key}: {low}`"));
        }
        found
    }

    /// A percentage: above 0, at most 100; `25` or `"25%"`.
    pub fn percent(&self, key: &str, zero: bool) -> Option<f64> {
        let node = self.get(key)?;
        let found = match &node.value {
            Value::Text(text, _) => text.strip_suffix('%').and_then(|t| t.trim().parse::<f64>().ok()),
            #[expect(clippy::cast_precision_loss, reason = "out of range long before it matters")]
            Value::Int(n) => Some(*n as f64),
            Value::Float(n) => Some(*n),
            _ => None,
        };
        let found = found.filter(|p| p.is_finite() && *p <= 100.0 && (*p > 0.0 || (zero && *p >= 0.0)));
        if found.is_none() {
            let low = if zero { "0" } else { "above 0" };
            self.faults.at(node, format!("`{key}` must be a percentage, {low} to 100"), format!("write `{key}: 25`"));
        }
        found
    }

    /// A number of 0 or more.
    pub fn amount(&self, key: &str) -> Option<f64> {
        let node = self.get(key)?;
        let found = match node.value {
            #[expect(clippy::cast_precision_loss, reason = "out of range long before it matters")]
            Value::Int(n) => Some(n as f64),
            Value::Float(n) => Some(n),
            _ => None,
        };
        let found = found.filter(|n| n.is_finite() && (0.0..=AMOUNT_MAX).contains(n));
        if found.is_none() {
            self.faults.at(
                node,
                format!("`{key}` must be a number from 0 to {AMOUNT_MAX}"),
                format!("write `{key}: 100`"),
            );
        }
        found
    }

    /// A number in a range.
    pub fn number(&self, key: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let node = self.get(key)?;
        let found = match node.value {
            #[expect(clippy::cast_precision_loss, reason = "out of range long before it matters")]
            Value::Int(n) => Some(n as f64),
            Value::Float(n) => Some(n),
            _ => None,
        };
        let found = found.filter(|n| range.contains(n));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            self.faults.at(
                node,
                format!("`{key}` must be a number from {low} to {high}"),
                format!("write `{key}: {high}`"),
            );
        }
        found
    }

    /// A duration, as `10m`, `1h30m`, `45s`.
    pub fn duration(&self, key: &str) -> Option<Millis> {
        let node = self.get(key)?;
        let found = match &node.value {
            Value::Text(text, _) => parse_duration(text),
            _ => None,
        };
        if found.is_none() {
            let fix = match &node.value {
                Value::Int(n @ 0..) => format!("give the number its unit: `{key}: {n}s` or `{key}: {n}m`"),
                _ => format!("write `{key}: 10m`, `90s` or `1h30m`"),
            };
            self.faults.at(node, format!("`{key}` must be a duration with its unit, at most 30 days"), fix);
        }
        found
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let node = self.get(key)?;
        let found = match &node.value {
            Value::Text(text, _) => words.iter().find(|(word, _)| word == text).map(|(_, value)| *value),
            _ => None,
        };
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let near = match &node.value {
                Value::Text(text, _) => nearest(text, &known),
                _ => None,
            };
            let fix = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write `{key}: {}`", known.first().unwrap_or(&"")),
            };
            self.faults.at(node, format!("`{key}` is none of {}", listed(&known)), fix);
        }
        found
    }

    /// The items of a list that must be there and not be empty.
    pub fn need_list(&self, key: &str, example: &str) -> &'a [Node] {
        self.need(key, example).map_or(&[], |node| self.items(node, key))
    }

    /// The items of a list, where it is there.
    pub fn list(&self, key: &str) -> &'a [Node] {
        self.get(key).map_or(&[], |node| self.items(node, key))
    }

    fn items(&self, node: &'a Node, key: &str) -> &'a [Node] {
        match &node.value {
            Value::List(items) if !items.is_empty() => {
                for item in items.iter().filter(|item| item.value == Value::Null) {
                    self.faults.at(item, "a blank entry", "give it a value, or remove it");
                }
                items
            }
            Value::List(_) => {
                self.faults.at(node, format!("`{key}` is empty"), "give it an entry, or remove the key");
                &[]
            }
            other => {
                self.faults.at(
                    node,
                    format!("{} where a list belongs", other.kind()),
                    format!("write `{key}:` and entries that begin with `- `"),
                );
                &[]
            }
        }
    }

    /// Text values by free keys, where the mapping is there.
    pub fn texts(&self, key: &str) -> Vec<(&'a Node, String, &'a Node, String)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let Value::Map(entries) = &node.value else {
            self.faults.at(
                node,
                format!("{} where a mapping belongs", node.value.kind()),
                format!("write `{key}:` and lines of `name: \"text\"`"),
            );
            return Vec::new();
        };
        let pairs = entries.iter().filter_map(|(k, v)| match &k.value {
            Value::Text(..) => Some((k, text(k, self.faults)?, v, text(v, self.faults)?)),
            _ => None,
        });
        pairs.collect()
    }
}

/// Text. Anything that a parser of another YAML version reads as something else must be quoted.
pub fn text(node: &Node, faults: &Faults) -> Option<String> {
    match &node.value {
        Value::Text(text, plain) if *plain && is_ambiguous(text) => {
            faults.at(
                node,
                format!("`{text}` without quotes is something else to other YAML parsers"),
                format!("write \"{text}\""),
            );
            None
        }
        Value::Text(text, _) if text.trim().is_empty() => {
            faults.at(node, "blank text", "give it a value, or remove the key");
            None
        }
        Value::Text(text, _) => Some(text.clone()),
        Value::Null => {
            faults.at(node, "a blank value", "give it a value, or remove the key");
            None
        }
        other => {
            let fix = match other {
                Value::Int(n) => format!("write \"{n}\""),
                Value::Bool(b) => format!("write \"{b}\""),
                Value::List(_) | Value::Map(_) => "write one line of text".to_owned(),
                _ => "put it in quotes".to_owned(),
            };
            faults.at(node, format!("{} where text belongs", other.kind()), fix);
            None
        }
    }
}

/// YAML 1.1 reads these as booleans, octal or base-60 numbers.
fn is_ambiguous(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let boolean = matches!(lower.as_str(), "yes" | "no" | "on" | "off" | "y" | "n");
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'_' | b'.'));
    boolean || numeric
}

/// A duration with its unit, above 0 or exactly `0s`, at most 30 days.
pub fn parse_duration(text: &str) -> Option<Millis> {
    const MOST: Millis = Millis::from_secs(30 * 24 * 3600);
    let span: jiff::SignedDuration = text.parse().ok()?;
    let span = std::time::Duration::try_from(span).ok()?;
    Some(Millis::of(span)).filter(|span| *span <= MOST)
}

/// Words for a fault that names something which is not among those that there are.
pub fn known_or(word: &str, known: &[&str], otherwise: &str) -> String {
    nearest(word, known).map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// Words in backticks, with commas.
pub fn listed(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// The known word that is at most two typing errors away.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // As far apart as their lengths at least: most words need no closer look.
    let length = word.chars().count();
    let similar = known.iter().filter(|k| k.chars().count().abs_diff(length) <= 2);
    similar.map(|k| (distance(word, k), *k)).filter(|(d, k)| *d <= 2 && *d < k.len()).min().map(|(_, k)| k)
}

/// Levenshtein distance, for short words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut last = i;
        let mut next = vec![i + 1];
        for (cb, above) in b.iter().zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(0);
            next.push((left + 1).min(above + 1).min(last + usize::from(ca != *cb)));
            last = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
