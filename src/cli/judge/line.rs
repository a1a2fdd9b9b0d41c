//! One line of a recording: JSON → an entry, or what is wrong with it and what to do.

use crate::engine::health::recording::{Entry, Happening, Point, What};
use crate::model::document::fields::{known_or, listed};
use crate::model::ids::CellId;
use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Keys of a point.
const OF_POINT: [&str; 6] = ["at", "cell", "metric", "value", "unit", "samples"];
/// The events.
const EVENTS: [&str; 3] = ["applied", "bake_start", "bake_end"];

/// Reads one line.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn parse(line: &str) -> Result<Entry, String> {
    let object: Object = serde_json::from_str(line).map_err(|error| no_object(&error))?;
    match object.get("event") {
        None => point(&object),
        Some(event) => happening(&object, event),
    }
}

fn no_object(error: &serde_json::Error) -> String {
    let said = error.to_string();
    // The line within a line is always 1.
    let said = said.replace(" at line 1 column ", ", at character ");
    format!("no JSON object with each key once ({said}): write one `{{\"at\": …}}` a line")
}

fn point(object: &Object) -> Result<Entry, String> {
    object.only(&OF_POINT, "a point")?;
    let value = object.number("value")?.ok_or_else(|| missing("value", "0.2"))?;
    Ok(Entry::Point(Point {
        at: object.time()?,
        cell: CellId::new(object.text("cell")?.ok_or_else(|| missing("cell", "\"cell-1\""))?),
        series: object.text("metric")?.ok_or_else(|| missing("metric", "\"errors\""))?.to_owned(),
        value,
        unit: object.text("unit")?.map(str::to_owned),
        samples: object.number("samples")?,
    }))
}

fn happening(object: &Object, event: &Value) -> Result<Entry, String> {
    let Value::String(event) = event else { return Err(format!("`event` must be one of {}", listed(&EVENTS))) };
    let what = match event.as_str() {
        "applied" => {
            object.only(&["at", "cell", "event"], "an `applied` line")?;
            What::Applied(CellId::new(object.text("cell")?.ok_or_else(|| missing("cell", "\"cell-1\""))?))
        }
        "bake_start" | "bake_end" => {
            object.only(&["at", "event", "wave"], "a bake's line")?;
            let wave = wave(object.get("wave").ok_or_else(|| missing("wave", "1"))?)?;
            if event == "bake_start" { What::BakeStart(wave) } else { What::BakeEnd(wave) }
        }
        other => {
            let fix = known_or(other, &EVENTS, &format!("there are {}", listed(&EVENTS)));
            return Err(format!("unknown event `{other}`: {fix}"));
        }
    };
    Ok(Entry::Happened(Happening { at: object.time()?, what }))
}

fn wave(value: &Value) -> Result<u32, String> {
    let number = value.as_u64().and_then(|wave| u32::try_from(wave).ok());
    number.ok_or_else(|| format!("`wave` is {value}: write the wave's number, 1 for the first"))
}

fn missing(key: &str, example: &str) -> String {
    format!("no `{key}`: add it, as `\"{key}\": {example}`")
}

/// A JSON object with each key once, in its order. A second value for a key would be lost without a word.
struct Object(Vec<(String, Value)>);

impl Object {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn only(&self, known: &[&str], of: &str) -> Result<(), String> {
        let Some((key, _)) = self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) else { return Ok(()) };
        let fix = known_or(key, known, &format!("{of} has {}", listed(known)));
        Err(format!("unknown key `{key}`: {fix}"))
    }

    fn text(&self, key: &str) -> Result<Option<&str>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{key}` is {other}: write text in quotes")),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(other) => Err(format!(
                "`{key}` is {other}, no number: leave the point out where there is none, it is missing then"
            )),
        }
    }

    fn time(&self) -> Result<Timestamp, String> {
        const EXAMPLE: &str = "\"2026-03-01T12:00:00Z\"";
        let text = self.text("at")?.ok_or_else(|| missing("at", EXAMPLE))?;
        text.parse().map_err(|_| format!("`at` is \"{text}\", no time: write it as {EXAMPLE}"))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs: Vec<(String, Value)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if pairs.iter().any(|(name, _)| *name == key) {
                        return Err(serde::de::Error::custom(format!("`{key}` stands twice")));
                    }
                    pairs.push((key, value));
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
