//! Bytes → [`PriceBook`]: the only way to get one.

use super::{PRICED_PROPERTIES, Price, PriceBook};
use crate::model::document::diagnostic::Diagnostics;
use crate::model::document::fields::{Faults, known_or, listed};
use crate::model::document::{self, Fields, Lines, Node, Value};
use crate::model::ids::Digest;
use jiff::civil::Date;
use std::collections::BTreeMap;

/// What `kind` says in a price book: it tells one from a pipeline in the same folder.
const KIND: &str = "price_book";
/// Properties whose value is a word. A price cannot be multiplied with one.
const WORDS: [&str; 11] = [
    "BillingMode",
    "CacheNodeType",
    "DBInstanceClass",
    "Engine",
    "EngineVersion",
    "InstanceType",
    "MultiAZ",
    "NodeType",
    "StorageType",
    "Type",
    "VolumeType",
];

/// True when the file says that it is a price book, sound or not.
pub fn is_price_book(bytes: &[u8]) -> bool {
    let root = document::read("", bytes);
    root.is_ok_and(
        |root| matches!(root.entry("kind"), Some((_, Node { value: Value::Text(kind, _), .. })) if kind == KIND),
    )
}

/// Reads and checks a price book. `file` is kept, and named in faults.
///
/// # Errors
/// Every fault of the file, each with its place and a fix.
pub fn read(file: &str, bytes: &[u8]) -> Result<PriceBook, Diagnostics> {
    let root = document::read(file, bytes)?;
    let source = String::from_utf8_lossy(bytes);
    let faults = Faults::default();
    let book = book(&root, file, Digest::of_bytes(bytes), &Lines::of(&source), &faults);
    let all = faults.all();
    match book {
        Some(book) if all.is_empty() => Ok(book),
        _ if all.is_empty() => {
            Err(Diagnostics::of_file(file, "the document is no price book", "see pipelines/prices.yaml"))
        }
        _ => Err(Diagnostics::new(file, &source, all)),
    }
}

fn book(root: &Node, file: &str, digest: Digest, lines: &Lines, faults: &Faults) -> Option<PriceBook> {
    let fields = Fields::of(root, &["version", "kind", "dated", "max_age_days", "currency", "prices"], faults)?;
    fields.need("version", "1");
    fields.whole("version", 1..=1);
    fields.need("kind", KIND);
    fields.word("kind", &[(KIND, ())]);
    let dated = fields.need_text("dated", "2026-11-01").and_then(|words| date(&fields, &words));
    let max_age_days = fields.need("max_age_days", "90").and_then(|_| fields.whole("max_age_days", 1..=3650));
    let currency = fields.need_text("currency", "USD").filter(|words| is_currency(&fields, words));
    let prices = fields.need("prices", "{AWS::EC2::EIP: [{monthly: 3.65}]}");
    let prices = prices.map(|node| prices_of(node, lines, faults)).unwrap_or_default();
    Some(PriceBook {
        file: file.to_owned(),
        digest,
        dated: dated?,
        max_age_days: max_age_days?,
        currency: currency?,
        prices,
    })
}

fn date(fields: &Fields<'_>, words: &str) -> Option<Date> {
    // The parser knows other forms as well, and leaves a time of day out of account.
    let found = (words.len() == 10).then(|| words.parse().ok()).flatten();
    if let (None, Some(node)) = (found, fields.get("dated")) {
        fields.faults().at(node, format!("`{words}` is no date"), "write the day of the prices, as `2026-11-01`");
    }
    found
}

fn is_currency(fields: &Fields<'_>, words: &str) -> bool {
    let sound = words.len() == 3 && words.bytes().all(|b| b.is_ascii_uppercase());
    if let (false, Some(node)) = (sound, fields.get("currency")) {
        fields.faults().at(node, format!("`{words}` is no currency"), "use its ISO 4217 code, as `USD`");
    }
    sound
}

fn prices_of(node: &Node, lines: &Lines, faults: &Faults) -> BTreeMap<String, Vec<Price>> {
    let mut prices = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        let fix = "write `prices:` and entries as `AWS::EC2::EIP: [{monthly: 3.65}]`";
        faults.at(node, format!("{} where a mapping belongs", node.value.kind()), fix);
        return prices;
    };
    if entries.is_empty() {
        faults.at(node, "a price book without prices", "add one, or do not name the book");
    }
    for (key, value) in entries {
        let Value::Text(resource_type, _) = &key.value else { continue };
        let parts = resource_type.split("::").filter(|part| !part.is_empty()).count();
        if parts != 3 || resource_type.split("::").count() != 3 {
            faults.at(key, format!("`{resource_type}` is no resource type"), "write it as `AWS::RDS::DBInstance`");
            continue;
        }
        let found = of_type(value, resource_type, lines, faults);
        prices.insert(resource_type.clone(), found);
    }
    prices
}

fn of_type(node: &Node, resource_type: &str, lines: &Lines, faults: &Faults) -> Vec<Price> {
    let items = match &node.value {
        Value::List(items) if !items.is_empty() => items.as_slice(),
        _ => {
            faults.at(node, format!("`{resource_type}` has no list of prices"), "write entries that begin with `- `");
            return Vec::new();
        }
    };
    let mut prices: Vec<Price> = Vec::new();
    for item in items {
        let Some(price) = faults.sound(|| price(item, resource_type, lines, faults)) else { continue };
        let fits_too = |earlier: &&Price| earlier.when.iter().all(|(key, value)| price.when.get(key) == Some(value));
        if let Some(earlier) = prices.iter().find(fits_too) {
            let message = format!("this price never counts: the one on line {} fits first", earlier.line);
            faults.at(&first_key(item), message, "put the one with more in its `when` first");
        }
        prices.push(price);
    }
    prices
}

fn first_key(node: &Node) -> Node {
    match &node.value {
        Value::Map(entries) => entries.first().map_or_else(|| node.clone(), |(key, _)| key.clone()),
        _ => node.clone(),
    }
}

fn price(node: &Node, resource_type: &str, lines: &Lines, faults: &Faults) -> Option<Price> {
    let fields = Fields::of(node, &["when", "monthly", "monthly_per", "times"], faults)?;
    let known = PRICED_PROPERTIES.iter().find(|(name, _)| *name == resource_type).map_or(&[][..], |(_, known)| known);
    let property = |node: &Node, name: &str| is_known(node, name, resource_type, known, faults);
    let when = fields.texts("when").into_iter().filter(|(key, name, _, _)| property(key, name));
    let when = when.map(|(_, name, _, value)| (name, value)).collect();
    if !fields.has("monthly") && !fields.has("monthly_per") {
        fields.fault("a price without a price", "add `monthly: 0` where it costs nothing, or `monthly_per`");
    }
    let monthly = fields.amount("monthly").unwrap_or(0.0);
    let monthly_per = fields.get("monthly_per").map(|node| monthly_per(node, &property, faults)).unwrap_or_default();
    let times = fields.text("times");
    if let (Some(name), Some(node)) = (&times, fields.get("times")) {
        let _ = property(node, name) && is_number(node, name, faults);
    }
    Some(Price { when, monthly, monthly_per, times, line: lines.line(&first_key(node)) })
}

fn monthly_per(node: &Node, property: &dyn Fn(&Node, &str) -> bool, faults: &Faults) -> BTreeMap<String, f64> {
    let names: Vec<&str> = match &node.value {
        Value::Map(entries) => entries
            .iter()
            .filter_map(|(key, _)| if let Value::Text(name, _) = &key.value { Some(name.as_str()) } else { None })
            .collect(),
        _ => Vec::new(),
    };
    let Some(fields) = Fields::of(node, &names, faults) else { return BTreeMap::new() };
    let sound = |name: &str| {
        let key = fields.key(name)?;
        let known = property(key, name) && is_number(key, name, faults);
        fields.amount(name).filter(|_| known).map(|amount| (name.to_owned(), amount))
    };
    names.iter().filter_map(|name| sound(name)).collect()
}

/// INVARIANT: S20. Only what is listed leaves the provider's answer: a price may not depend on anything else.
fn is_known(node: &Node, name: &str, resource_type: &str, known: &[&str], faults: &Faults) -> bool {
    if known.contains(&name) {
        return true;
    }
    let otherwise = match known {
        [] => "no property of this type is read for a price: give it one `monthly` price".to_owned(),
        known => format!("a price of this type may depend on {}", listed(known)),
    };
    let message = format!("a price of `{resource_type}` cannot depend on `{name}`");
    faults.at(node, message, known_or(name, known, &otherwise));
    false
}

fn is_number(node: &Node, name: &str, faults: &Faults) -> bool {
    let word = WORDS.contains(&name);
    if word {
        let fix = format!("say it in `when`, as `when: {{{name}: …}}`");
        faults.at(node, format!("`{name}` is a word, and a price cannot be multiplied with it"), fix);
    }
    !word
}
