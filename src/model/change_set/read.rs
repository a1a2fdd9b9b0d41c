//! Bytes → [`Admitted`]: the only way to get one.

use super::{Action, Admitted, StackChange};
use crate::model::document::diagnostic::{Diagnostics, is_hidden};
use crate::model::document::fields::{Faults, known_or, text};
use crate::model::document::{self, Fields, Node, Value};
use crate::model::ids::{Digest, StackKey};
use crate::model::pipeline::build::{NAME_RULE, is_name};
use crate::model::stack::{ParameterInput, Template};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// CloudFormation takes templates of at most 51,200 bytes in a call (API reference, `CreateChangeSet.TemplateBody`). Larger ones
/// must come from S3, which this release does not do.
pub const TEMPLATE_MAX: usize = 51_200;
/// Templates nest functions in functions; CloudFormation itself gives up far below this.
const TEMPLATE_DEPTH_MAX: usize = 100;
/// All capabilities that there are (API reference, `CreateChangeSet.Capabilities`).
const CAPABILITIES: [&str; 3] = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];

/// Finds a template file's bytes by the path that the change set names; the error is for people.
pub type FindTemplate<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// Reads and checks a change set. `file` is only named in faults.
///
/// # Errors
/// Every fault of the file, each with its place and a fix.
pub fn read(file: &str, bytes: &[u8], find_template: FindTemplate<'_>) -> Result<Admitted, Diagnostics> {
    let root = document::read(file, bytes)?;
    let source = String::from_utf8_lossy(bytes);
    let faults = Faults::default();
    let admitted = change_set(&root, Digest::of_bytes(bytes), find_template, &faults);
    let all = faults.all();
    match admitted {
        Some(admitted) if all.is_empty() => Ok(admitted),
        _ if all.is_empty() => {
            Err(Diagnostics::of_file(file, "the document is no change set", "see examples/ for one to begin with"))
        }
        _ => Err(Diagnostics::new(file, &source, all)),
    }
}

fn change_set(root: &Node, digest: Digest, find: FindTemplate<'_>, faults: &Faults) -> Option<Admitted> {
    let fields =
        Fields::of(root, &["version", "agent", "title", "reasoning", "pipeline", "repairs", "stacks"], faults)?;
    fields.need("version", "1");
    fields.whole("version", 1..=1);
    let agent = prose(&fields, "agent", 100, false);
    let title = prose(&fields, "title", 200, false);
    let reasoning = prose(&fields, "reasoning", 20_000, true);
    let pipeline = prose(&fields, "pipeline", 63, false).filter(|name| fits(&fields, "pipeline", name));
    let repairs = fields
        .list("repairs")
        .iter()
        .filter_map(|item| text(item, faults).filter(|text| shows_all(item, text, faults)))
        .collect();
    let stacks = fields.need("stacks", "{orders: {…}}").map(|node| stacks(node, find, faults)).unwrap_or_default();
    Some(Admitted { digest, agent: agent?, title: title?, reasoning: reasoning?, pipeline: pipeline?, repairs, stacks })
}

/// Text of an agent: bounded, and without anything that a terminal or a page would obey (S21).
fn prose(fields: &Fields<'_>, key: &str, most: usize, lines: bool) -> Option<String> {
    let text = fields.need_text(key, "…")?;
    let node = fields.get(key)?;
    let hidden = text.chars().find(|c| is_hidden(*c) || (!lines && matches!(c, '\n' | '\t')));
    if let Some(c) = hidden {
        fields.faults().at(node, format!("`{key}` holds the control character U+{:04X}", u32::from(c)), "remove it");
        return None;
    }
    if text.chars().count() > most {
        fields.faults().at(
            node,
            format!("`{key}` has {} characters, and {most} are the most", text.chars().count()),
            "shorten it",
        );
        return None;
    }
    Some(text)
}

/// A pipeline's name: no file is looked up by it, and it is shown.
fn fits(fields: &Fields<'_>, key: &str, name: &str) -> bool {
    if let Some(node) = fields.get(key).filter(|_| !is_name(name)) {
        fields.faults().at(node, format!("`{name}` is no name of a pipeline"), format!("use {NAME_RULE}"));
    }
    is_name(name)
}

/// Text without anything that a terminal or a page would obey (S21).
fn shows_all(node: &Node, text: &str, faults: &Faults) -> bool {
    let hidden = text.chars().find(|c| is_hidden(*c) || matches!(c, '\n' | '\t'));
    if let Some(c) = hidden {
        faults.at(node, format!("the control character U+{:04X} in a name", u32::from(c)), "remove it");
    }
    hidden.is_none()
}

fn stacks(node: &Node, find: FindTemplate<'_>, faults: &Faults) -> Vec<(StackKey, StackChange)> {
    let Value::Map(entries) = &node.value else {
        faults.at(
            node,
            format!("{} where a mapping belongs", node.value.kind()),
            "write `stacks:` and entries as `orders: {…}`",
        );
        return Vec::new();
    };
    if entries.is_empty() {
        faults.at(node, "a change set without stacks changes nothing", "name at least one stack");
    }
    let changes = entries.iter().filter_map(|(key, value)| match &key.value {
        Value::Text(name, _) => {
            if !is_name(name) {
                faults.at(key, format!("`{name}` is no name for a stack"), format!("use {NAME_RULE}"));
            }
            if value.value == Value::Null {
                faults.at(
                    key,
                    format!("`{name}` is blank"),
                    "say what changes: a template, parameters or tags, or `action: delete`",
                );
                return None;
            }
            Some((StackKey::new(name.as_str()), stack(value, find, faults)?))
        }
        _ => None,
    });
    changes.collect()
}

fn stack(node: &Node, find: FindTemplate<'_>, faults: &Faults) -> Option<StackChange> {
    let fields =
        Fields::of(node, &["action", "template", "template_file", "parameters", "tags", "capabilities"], faults)?;
    let action =
        fields.word("action", &[("update", Action::Update), ("create", Action::Create), ("delete", Action::Delete)]);
    if fields.get("action").is_none() || action.is_some() {
        fits_action(&fields, action.unwrap_or_default());
    }
    if action == Some(Action::Delete) {
        // What a deletion must not have has been refused; there is nothing to read in it.
        return Some(StackChange { action: Action::Delete, ..StackChange::default() });
    }
    let template = template(&fields, find);
    let declared = template.as_ref().and_then(|template| declared(&fields, template));
    let parameters = parameters(&fields, declared.as_ref());
    if action == Some(Action::Update) {
        refuse_blind_values(&fields, &parameters);
    }
    if let (Some(Action::Create), Some(declared)) = (action, &declared) {
        fits_creation(&fields, declared);
    }
    Some(StackChange {
        action: action.unwrap_or_default(),
        parameters,
        tags: fields.get("tags").map(|_| tags(&fields)),
        capabilities: capabilities(&fields),
        template,
    })
}

fn tags(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let pairs = fields.texts("tags").into_iter();
    let shown =
        pairs.filter(|(k, key, v, value)| shows_all(k, key, fields.faults()) && shows_all(v, value, fields.faults()));
    shown.map(|(_, key, _, value)| (key, value)).collect()
}

/// A new stack has no values to keep: each parameter needs a default or a value.
fn fits_creation(fields: &Fields<'_>, declared: &BTreeMap<String, DeclaredParameter>) {
    let entries = match fields.get("parameters").map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        Some(_) => return,
        None => &[],
    };
    let given = |name: &str| {
        entries
            .iter()
            .find(|(key, _)| matches!(&key.value, Value::Text(text, _) if text == name))
            .map(|(_, value)| value)
    };
    for (name, parameter) in declared {
        match given(name) {
            None if !parameter.has_default => {
                let message = format!("the template's parameter `{name}` has no default and gets no value");
                let value = if parameter.no_echo { "{{resolve:secretsmanager:…}}" } else { "…" };
                fields.fault(message, format!("add `{name}: \"{value}\"` to `parameters`"));
            }
            Some(node) if matches!(node.value, Value::Map(_)) => {
                fields.faults().at(
                    node,
                    "a stack to be created has no previous value",
                    "give it a value, or a dynamic reference as `{{resolve:secretsmanager:…}}`",
                );
            }
            _ => {}
        }
    }
}

/// INVARIANT: S20. Without a template nobody can tell which parameters are NoEcho, and a value would be written to the journal.
fn refuse_blind_values(fields: &Fields<'_>, parameters: &BTreeMap<String, ParameterInput>) {
    let template = fields.has("template") || fields.has("template_file");
    let valued = parameters.values().any(|input| matches!(input, ParameterInput::Value(_)));
    if let (false, true, Some(node)) = (template, valued, fields.get("parameters")) {
        let message =
            "values without a template: nobody can tell which of them are NoEcho and must not be written down";
        fields.faults().at(node, message, "name the stack's template with `template_file`, unchanged if you like");
    }
}

fn fits_action(fields: &Fields<'_>, action: Action) {
    // A key with a blank value is a fault of its own.
    let names_template = fields.has("template") || fields.has("template_file");
    match action {
        Action::Create if !names_template => fields
            .fault("a stack to be created needs a template", "add `template_file: …`, or `template: |` with its text"),
        Action::Update if !names_template && !fields.has("parameters") && !fields.has("tags") => {
            fields.fault("this changes nothing", "give it a template, parameters or tags");
        }
        Action::Delete => {
            for key in ["template", "template_file", "parameters", "tags", "capabilities"] {
                if let Some(node) = fields.get(key) {
                    fields.faults().at(node, format!("a deletion has no `{key}`"), "remove it, or use another action");
                }
            }
        }
        _ => {}
    }
}

fn template(fields: &Fields<'_>, find: FindTemplate<'_>) -> Option<Template> {
    let (node, bytes) = match (fields.get("template"), fields.get("template_file")) {
        (Some(node), Some(_)) => {
            fields.faults().at(node, "`template` and `template_file` at once", "keep one of them");
            return None;
        }
        (Some(node), None) => (node, text(node, fields.faults())?.into_bytes()),
        (None, Some(node)) => (node, template_file(fields, node, find)?),
        (None, None) => return None,
    };
    let fault = |message: String, fix: &str| {
        fields.faults().at(node, message, fix);
        None
    };
    if bytes.len() > TEMPLATE_MAX {
        let message =
            format!("the template has {} bytes, and CloudFormation takes {TEMPLATE_MAX} in a call", bytes.len());
        return fault(message, "split the stack, or move parts into nested stacks");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(Template::new(text)),
        Err(_) => fault("the template is not UTF-8".into(), "save it as UTF-8"),
    }
}

fn template_file(fields: &Fields<'_>, node: &Node, find: FindTemplate<'_>) -> Option<Vec<u8>> {
    let path = text(node, fields.faults())?;
    let outside = path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| part == "..");
    if outside {
        fields.faults().at(
            node,
            format!("`{path}` leads out of the change set's folder"),
            "put the template beside the change set and name it relative to that",
        );
        return None;
    }
    match find(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            fields.faults().at(node, error, "name a template file beside the change set");
            None
        }
    }
}

fn declared(fields: &Fields<'_>, template: &Template) -> Option<BTreeMap<String, DeclaredParameter>> {
    let node = fields.get("template").or_else(|| fields.get("template_file"))?;
    match template_parameters(template.body()) {
        Ok(declared) => Some(declared),
        Err(reason) => {
            fields.faults().at(node, format!("the template cannot be read: {reason}"), "mend the template");
            None
        }
    }
}

fn parameters(
    fields: &Fields<'_>,
    declared: Option<&BTreeMap<String, DeclaredParameter>>,
) -> BTreeMap<String, ParameterInput> {
    let mut parameters = BTreeMap::new();
    let Some(node) = fields.get("parameters") else { return parameters };
    let Value::Map(entries) = &node.value else {
        fields.faults().at(
            node,
            format!("{} where a mapping belongs", node.value.kind()),
            "write `parameters:` and lines of `Name: \"value\"`",
        );
        return parameters;
    };
    for (key, value) in entries {
        let Value::Text(name, _) = &key.value else { continue };
        let known = declared.map(|declared| declared.get(name));
        if known == Some(None) {
            let names: Vec<&str> = declared.into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
            let fix = known_or(name, &names, "declare it in the template, or remove it");
            fields.faults().at(key, format!("the template declares no parameter `{name}`"), fix);
        } else if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            fields.faults().at(
                key,
                format!("`{name}` is no name of a parameter"),
                "CloudFormation takes letters and digits",
            );
        }
        let hidden = known.flatten().is_some_and(|p| p.no_echo);
        if let Some(input) = parameter(key, value, hidden, fields.faults()) {
            parameters.insert(name.clone(), input);
        }
    }
    parameters
}

fn parameter(key: &Node, node: &Node, hidden: bool, faults: &Faults) -> Option<ParameterInput> {
    if let Value::Map(_) = node.value {
        let fields = Fields::of(node, &["use_previous"], faults)?;
        fields.need("use_previous", "true");
        if let Some(node) = fields.get("use_previous").filter(|node| node.value == Value::Bool(false)) {
            faults.at(node, "`use_previous: false` says nothing", "write the value itself, or `use_previous: true`");
        }
        return fields.flag("use_previous").then_some(ParameterInput::Previous);
    }
    // Empty text is a value to CloudFormation.
    let value = match &node.value {
        Value::Text(text, false) if text.is_empty() => String::new(),
        _ => text(node, faults)?,
    };
    // INVARIANT: S20. What a template hides must not be written to the journal either; and it could not be put back.
    if hidden && !(value.starts_with("{{resolve:secretsmanager:") || value.starts_with("{{resolve:ssm-secure:")) {
        let fix = "write `{use_previous: true}`, or a dynamic reference as `{{resolve:secretsmanager:…}}`";
        faults.at_secret(key, "the template declares this parameter NoEcho: its value would be written to the journal, and could not be read back to undo the change", fix);
        return None;
    }
    Some(ParameterInput::Value(value))
}

fn capabilities(fields: &Fields<'_>) -> BTreeSet<String> {
    let Some(node) = fields.get("capabilities") else { return BTreeSet::new() };
    if node.value == Value::List(Vec::new()) {
        return BTreeSet::new();
    }
    let mut found = BTreeSet::new();
    for item in fields.list("capabilities") {
        match text(item, fields.faults()) {
            Some(word) if CAPABILITIES.contains(&word.as_str()) => drop(found.insert(word)),
            Some(word) => {
                let fix = known_or(&word, &CAPABILITIES, &format!("use one of {}", CAPABILITIES.join(", ")));
                fields.faults().at(item, format!("`{word}` is no capability"), fix);
            }
            None => {}
        }
    }
    found
}

/// A parameter as a template declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredParameter {
    /// Its value is hidden.
    pub no_echo: bool,
    /// It may be left out.
    pub has_default: bool,
}

/// The parameters that a template declares. CloudFormation's short forms (`!Ref`) are read as tags and left alone.
///
/// # Errors
/// Words for people: not YAML or JSON, too deep, or no `Resources`.
pub fn template_parameters(template: &str) -> Result<BTreeMap<String, DeclaredParameter>, String> {
    refuse_depth(template)?;
    let value: serde_yaml::Value = serde_yaml::from_str(template).map_err(|e| e.to_string())?;
    if !value.get("Resources").is_some_and(serde_yaml::Value::is_mapping) {
        return Err("it has no `Resources`".into());
    }
    let Some(parameters) = value.get("Parameters") else { return Ok(BTreeMap::new()) };
    let parameters = parameters.as_mapping().ok_or("its `Parameters` are no mapping")?;
    let declared = parameters.iter().filter_map(|(name, body)| {
        let no_echo = body.get("NoEcho").is_some_and(hides);
        Some((name.as_str()?.to_owned(), DeclaredParameter { no_echo, has_default: body.get("Default").is_some() }))
    });
    Ok(declared.collect())
}

/// INVARIANT: S20. CloudFormation reads YAML 1.1, where `yes` and `on` are true; so all that is not plainly false hides.
fn hides(no_echo: &serde_yaml::Value) -> bool {
    let plainly_false =
        no_echo.as_str().is_some_and(|t| ["false", "no", "off", "n"].iter().any(|word| t.eq_ignore_ascii_case(word)));
    !plainly_false && no_echo.as_bool() != Some(false)
}

/// Counts nesting over the parser's events, before a recursive reader sees the text.
fn refuse_depth(template: &str) -> Result<(), String> {
    use saphyr_parser::Event;
    let mut depth = 0_usize;
    for event in saphyr_parser::Parser::new_from_str(template) {
        let deep = || format!("it is nested deeper than {TEMPLATE_DEPTH_MAX} levels");
        // The parser has a limit of its own, for brackets that it reads ahead.
        match event.map_err(|e| if e.info().contains("recursion limit") { deep() } else { e.to_string() })?.0 {
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            Event::Alias(_) => return Err("it uses an alias".into()),
            _ => {}
        }
        if depth > TEMPLATE_DEPTH_MAX {
            return Err(deep());
        }
    }
    Ok(())
}

/// JSON Schema of change sets.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(ChangeSetYaml).to_value()
}

/// What an agent hands off: the stack changes it wants, why, and through which pipeline.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Wavegate change set")]
#[expect(dead_code, reason = "describes the format")]
struct ChangeSetYaml {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// Who proposes it.
    agent: String,
    /// One line.
    title: String,
    /// Why. Shown to people as untrusted text.
    reasoning: String,
    /// The pipeline that it goes through.
    pipeline: String,
    /// Alarms that it claims to repair: they may be in ALARM before the rollout.
    repairs: Option<Vec<String>>,
    /// By the pipeline's name of a stack; the order is the order within a cell.
    stacks: BTreeMap<String, StackYaml>,
}

/// What is wanted for one stack.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the format")]
struct StackYaml {
    /// Default: update.
    action: Option<Action>,
    /// The template's text.
    template: Option<String>,
    /// The template's file, relative to the change set.
    template_file: Option<String>,
    /// Values by name; parameters that are not named keep their value.
    parameters: Option<BTreeMap<String, ParameterYaml>>,
    /// The whole set of tags; without it the stack keeps its tags.
    tags: Option<BTreeMap<String, String>>,
    /// `CAPABILITY_IAM`, `CAPABILITY_NAMED_IAM`, `CAPABILITY_AUTO_EXPAND`.
    capabilities: Option<Vec<String>>,
}

/// A parameter's value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the format")]
enum ParameterYaml {
    /// This text.
    Value(String),
    /// What the stack has now.
    Previous {
        /// `true`.
        use_previous: bool,
    },
}
