//! What a template's text says: parameters, resources with opaque properties, and what it asks of the world.

use super::calls::Refusal;
use serde_json::{Map, Value};
use serde_yaml::Value as Yaml;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The longest template that CloudFormation takes inline (API reference, `TemplateBody`).
const MAX_INLINE_BYTES: usize = 51_200;

/// A template that CloudFormation would take.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ParsedTemplate {
    pub(super) parameters: BTreeMap<String, ParameterDeclaration>,
    pub(super) resources: BTreeMap<String, ResourceDeclaration>,
    /// `Outputs`, as they are written.
    pub(super) outputs: BTreeMap<String, Value>,
    /// `Metadata.Sim.Effects`.
    pub(super) effects: Vec<Effect>,
    /// `Metadata.Sim.UpdateSeconds`: how long an operation with this template takes.
    pub(super) update_time: Option<Duration>,
}

/// One of `Parameters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParameterDeclaration {
    pub(super) default: Option<String>,
    pub(super) no_echo: bool,
}

/// One of `Resources`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ResourceDeclaration {
    pub(super) kind: String,
    pub(super) properties: BTreeMap<String, Value>,
    /// `DeletionPolicy`, `Metadata` … by name.
    pub(super) attributes: BTreeMap<String, Value>,
}

/// What deploying the template does to a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Effect {
    /// Part of the metric's name, in any case.
    pub(super) metric: String,
    /// Values are multiplied by this.
    pub(super) factor: f64,
    /// So long after the deployment.
    pub(super) after: Duration,
}

impl ResourceDeclaration {
    /// A property as text: `true` of `FailUpdate: true`.
    pub(super) fn property(&self, name: &str) -> Option<String> {
        self.properties.get(name).and_then(scalar)
    }
    /// An attribute as text.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Value::as_str)
    }
    pub(super) fn says(&self, property: &str) -> bool {
        self.property(property).as_deref() == Some("true")
    }
}

impl ParsedTemplate {
    /// Reads JSON or YAML with CloudFormation's short tags.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_INLINE_BYTES {
            return Err(Refusal::validation(format!(
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have \
                 length less than or equal to {MAX_INLINE_BYTES}"
            )));
        }
        let yaml: Yaml = serde_yaml::from_str(text).map_err(|e| format_error(&e.to_string()))?;
        let Value::Object(root) = plain(&yaml) else { return Err(format_error("unsupported structure.")) };
        let resources = resources(&root)?;
        if resources.is_empty() {
            return Err(format_error("At least one Resources member must be defined."));
        }
        let sim = root.get("Metadata").and_then(|m| m.get("Sim"));
        Ok(Self {
            parameters: section(&root, "Parameters").map(|(k, v)| (k.clone(), parameter(v))).collect(),
            resources,
            outputs: section(&root, "Outputs").map(|(k, v)| (k.clone(), v.clone())).collect(),
            effects: sim.and_then(|s| s.get("Effects")).map(effects).unwrap_or_default(),
            update_time: sim.and_then(|s| s.get("UpdateSeconds")).and_then(seconds),
        })
    }

    /// The values that the parameters take: what is given, else what the template says. Names as CloudFormation does what
    /// is missing or unknown.
    pub(super) fn values(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
        let unknown: Vec<_> = given.keys().filter(|k| !self.parameters.contains_key(*k)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(Refusal::validation(format!(
                "Parameters: [{}] do not exist in the template",
                unknown.join(", ")
            )));
        }
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for (key, declared) in &self.parameters {
            match given.get(key).or(declared.default.as_ref()) {
                Some(value) => drop(values.insert(key.clone(), value.clone())),
                None => missing.push(key.as_str()),
            }
        }
        if missing.is_empty() {
            return Ok(values);
        }
        Err(Refusal::validation(format!("Parameters: [{}] must have values", missing.join(", "))))
    }
}

fn format_error(what: &str) -> Refusal {
    Refusal::validation(format!("Template format error: {what}"))
}

fn section<'a>(root: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    root.get(name).and_then(Value::as_object).into_iter().flatten()
}

fn resources(root: &Map<String, Value>) -> Result<BTreeMap<String, ResourceDeclaration>, Refusal> {
    section(root, "Resources")
        .map(|(id, body)| {
            let Some(kind) = body.get("Type").and_then(Value::as_str) else {
                return Err(format_error(&format!(
                    "[/Resources/{id}] Every Resources object must contain a Type member."
                )));
            };
            let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
            let attributes = object(Some(body)).into_iter().filter(|(k, _)| k != "Type" && k != "Properties").collect();
            let properties = object(body.get("Properties")).into_iter().collect();
            Ok((id.clone(), ResourceDeclaration { kind: kind.to_owned(), properties, attributes }))
        })
        .collect()
}

fn parameter(value: &Value) -> ParameterDeclaration {
    ParameterDeclaration {
        default: value.get("Default").and_then(scalar),
        no_echo: value.get("NoEcho").and_then(scalar).as_deref() == Some("true"),
    }
}

fn effects(value: &Value) -> Vec<Effect> {
    let effect = |item: &Value| {
        Some(Effect {
            metric: item.get("Metric").and_then(scalar)?.to_lowercase(),
            factor: item.get("Factor").and_then(Value::as_f64)?,
            after: item.get("After").and_then(seconds).unwrap_or_default(),
        })
    };
    value.as_array().into_iter().flatten().filter_map(effect).collect()
}

fn seconds(value: &Value) -> Option<Duration> {
    value.as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok())
}

/// CloudFormation takes every scalar as text: `30` and `"30"` are one value.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// YAML as JSON, short tags written out: `!Ref X` is `{"Ref": "X"}`, `!Sub` is `{"Fn::Sub": …}`.
fn plain(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => Value::Bool(*flag),
        Yaml::Number(number) => serde_json::to_value(number).unwrap_or_default(),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Sequence(items) => items.iter().map(plain).collect(),
        Yaml::Mapping(map) => {
            map.iter().filter_map(|(k, v)| Some((scalar(&plain(k))?, plain(v)))).collect::<Map<_, _>>().into()
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = tag.trim_start_matches('!');
            let value = plain(&tagged.value);
            let (key, value) = match (name, &value) {
                ("Ref" | "Condition", _) => (name.to_owned(), value),
                ("GetAtt", Value::String(path)) => {
                    ("Fn::GetAtt".to_owned(), path.splitn(2, '.').collect::<Vec<_>>().into())
                }
                _ => (format!("Fn::{name}"), value),
            };
            Map::from_iter([(key, value)]).into()
        }
    }
}

/// The value with parameters put in and every scalar as text: what two versions of a property are compared by.
pub(super) fn resolve(value: &Value, parameters: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(map) => {
            if let Some(value) = map.get("Ref").and_then(Value::as_str).and_then(|name| parameters.get(name)) {
                return Value::String(value.clone());
            }
            if let Some(text) = map.get("Fn::Sub").and_then(Value::as_str) {
                return substitute(text, parameters);
            }
            map.iter().map(|(k, v)| (k.clone(), resolve(v, parameters))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| resolve(item, parameters)).collect(),
        other => scalar(other).map_or(Value::Null, Value::String),
    }
}

fn substitute(text: &str, parameters: &BTreeMap<String, String>) -> Value {
    let done = parameters.iter().fold(text.to_owned(), |text, (k, v)| text.replace(&format!("${{{k}}}"), v));
    if done.contains("${") { serde_json::json!({ "Fn::Sub": done }) } else { Value::String(done) }
}

/// What a value refers to: the names in `Ref`, `Fn::GetAtt` and `Fn::Sub`, each with whether it is an attribute.
pub(super) fn references(value: &Value) -> BTreeSet<(String, bool)> {
    let mut found = BTreeSet::new();
    collect(value, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeSet<(String, bool)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("Ref", Value::String(name)) => drop(found.insert((name.clone(), false))),
                    ("Fn::GetAtt", Value::Array(path)) => {
                        found.extend(path.first().and_then(Value::as_str).map(|name| (name.to_owned(), true)));
                    }
                    ("Fn::Sub", Value::String(text)) => found.extend(substitutions(text)),
                    ("Fn::Sub", Value::Array(parts)) => {
                        found.extend(parts.first().and_then(Value::as_str).into_iter().flat_map(substitutions));
                        parts.iter().skip(1).for_each(|part| collect(part, found));
                    }
                    _ => collect(value, found),
                }
            }
        }
        _ => {}
    }
}

fn substitutions(text: &str) -> Vec<(String, bool)> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| match name.split_once('.') {
            Some((resource, _)) => (resource.to_owned(), true),
            None => (name.to_owned(), false),
        })
        .collect()
}
