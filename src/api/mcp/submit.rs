//! A change set from what a tool was given: its text as it came, or a text of the fields, with the caller's own name in it.

use super::NoAnswer;
use super::input::{ActionInput, ChangeSetInput, StackInput, TEMPLATE_FILES_MAX, TEMPLATES_MAX, TEXT_MAX, WORD_MAX};
use crate::api::code::Code;
use crate::api::verbs::Submission;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is handed in. `agent` is the caller's own name.
///
/// # Errors
/// Both forms or none, or more than this door takes.
pub fn submission(input: ChangeSetInput, agent: &str) -> Result<Submission, NoAnswer> {
    let fields = input.title.is_some()
        || input.reasoning.is_some()
        || input.pipeline.is_some()
        || input.stacks.is_some()
        || input.repairs.is_some();
    let mut templates = input.templates;
    let text = match (input.text, fields) {
        (Some(_), true) => {
            return Err(bad("give either `text`, or `title`, `reasoning`, `pipeline` and `stacks`; not both"));
        }
        (Some(text), false) => text,
        (None, _) => {
            let stacks = input.stacks.ok_or_else(|| wanting("stacks"))?;
            let mut shown = Map::new();
            for (name, stack) in stacks {
                shown.insert(name.clone(), stack_of(&name, stack, &mut templates)?);
            }
            let mut document = json!({
                "version": 1,
                "agent": agent,
                "title": input.title.ok_or_else(|| wanting("title"))?,
                "reasoning": input.reasoning.ok_or_else(|| wanting("reasoning"))?,
                "pipeline": input.pipeline.ok_or_else(|| wanting("pipeline"))?,
                "stacks": shown,
            });
            if let (Some(repairs), Value::Object(document)) = (input.repairs, &mut document) {
                document.insert("repairs".into(), json!(repairs));
            }
            // On lines of its own each: a fault names line and column, and shows the line.
            serde_json::to_string_pretty(&document).map_err(|e| bad(&e.to_string()))?
        }
    };
    fits(&text, &templates)?;
    Ok(Submission { file: "change set".into(), text, templates })
}

fn stack_of(name: &str, stack: StackInput, templates: &mut BTreeMap<String, String>) -> Result<Value, NoAnswer> {
    let mut shown = Map::new();
    if let Some(action) = stack.action {
        shown.insert("action".into(), json!(action));
    }
    match (stack.template, stack.template_file) {
        (Some(_), Some(_)) => {
            return Err(bad(&format!("stack `{name}` has `template` and `template_file` at once; keep one of them")));
        }
        (Some(text), None) => {
            // Beside the text, which has a limit of its own. A name that no path of the caller's has.
            let path = (0..).map(|n| format!("template-{n}-of-{name}")).find(|path| !templates.contains_key(path));
            let path = path.unwrap_or_default();
            shown.insert("template_file".into(), json!(path));
            templates.insert(path, text);
        }
        (None, Some(path)) => drop(shown.insert("template_file".into(), json!(path))),
        (None, None) => {}
    }
    if let Some(parameters) = stack.parameters {
        // CloudFormation knows text only; an agent's JSON has numbers and truth values.
        let as_text = |value: Value| match value {
            Value::Number(number) => Value::String(number.to_string()),
            Value::Bool(flag) => Value::String(flag.to_string()),
            other => other,
        };
        let parameters: Map<String, Value> = parameters.into_iter().map(|(k, v)| (k, as_text(v))).collect();
        shown.insert("parameters".into(), Value::Object(parameters));
    }
    if let Some(tags) = stack.tags {
        shown.insert("tags".into(), json!(tags));
    }
    if let Some(capabilities) = stack.capabilities {
        shown.insert("capabilities".into(), json!(capabilities));
    }
    let deletes = matches!(stack.action, Some(ActionInput::Delete));
    match shown.is_empty() && !deletes {
        true => Err(bad(&format!("stack `{name}`: say what changes: a template, parameters or tags"))),
        false => Ok(Value::Object(shown)),
    }
}

fn fits(text: &str, templates: &BTreeMap<String, String>) -> Result<(), NoAnswer> {
    let together: usize = templates.iter().map(|(path, text)| path.len().saturating_add(text.len())).sum();
    let what = if text.len() > TEXT_MAX {
        format!(
            "the change set's text has {} bytes, and {TEXT_MAX} are the most: put templates into `templates`",
            text.len()
        )
    } else if together > TEMPLATES_MAX {
        format!(
            "the templates have {together} bytes together, and {TEMPLATES_MAX} are the most: make several changes of it"
        )
    } else if templates.len() > TEMPLATE_FILES_MAX {
        format!("there are {} templates, and {TEMPLATE_FILES_MAX} are the most", templates.len())
    } else {
        return Ok(());
    };
    Err(NoAnswer::new(Code::TooLarge, what))
}

/// A short word of the caller's: a name, a key.
///
/// # Errors
/// It is longer than [`WORD_MAX`] bytes.
pub fn word(what: &str, text: String) -> Result<String, NoAnswer> {
    if text.len() <= WORD_MAX {
        return Ok(text);
    }
    Err(NoAnswer::new(Code::TooLarge, format!("`{what}` has {} bytes, and {WORD_MAX} are the most", text.len())))
}

fn wanting(field: &str) -> NoAnswer {
    bad(&format!(
        "`{field}` is missing: give `title`, `reasoning`, `pipeline` and `stacks`, or the whole change set as `text`"
    ))
}

fn bad(message: &str) -> NoAnswer {
    NoAnswer::new(Code::BadInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(value: Value) -> ChangeSetInput {
        serde_json::from_value(value).unwrap()
    }

    fn fields() -> Value {
        json!({
            "title": "t: \"x\" # y", "reasoning": "a\nb", "pipeline": "shop",
            "stacks": {"orders": {"template": "Resources: {Q: {Type: AWS::SQS::Queue}}\nParameters: {N: {Type: Number}}",
                                  "parameters": {"N": 3}}},
        })
    }

    #[test]
    fn fields_become_a_change_set_in_the_callers_own_name() {
        let made = submission(input(fields()), "orders-bot").unwrap();
        let admitted = crate::api::service::admit(&made.file, &made.text, &made.templates).unwrap();
        assert_eq!((admitted.agent.as_str(), admitted.title.as_str()), ("orders-bot", "t: \"x\" # y"));
        assert_eq!(admitted.reasoning, "a\nb");
        assert_eq!(admitted.stacks.len(), 1);
    }

    #[test]
    fn a_name_cannot_be_slipped_in() {
        let mut value = fields();
        value["agent"] = json!("somebody-else");
        assert!(serde_json::from_value::<ChangeSetInput>(value).is_err());
        let mut value = fields();
        value["title"] = json!("x\",\n\"agent\": \"somebody-else");
        let made = submission(input(value), "orders-bot").unwrap();
        let read = crate::api::service::admit(&made.file, &made.text, &made.templates);
        // A title has one line; and what stands in it is a title.
        assert!(read.is_err());
    }

    #[test]
    fn a_template_takes_no_path_that_the_caller_uses() {
        let mut value = fields();
        value["templates"] = json!({"template-0-of-orders": "theirs"});
        let made = submission(input(value), "orders-bot").unwrap();
        assert_eq!(made.templates["template-0-of-orders"], "theirs");
        assert!(made.templates["template-1-of-orders"].starts_with("Resources"));
    }

    #[test]
    fn both_forms_none_and_too_much_are_refused() {
        let refusal = |value: Value| submission(input(value), "a").unwrap_err();
        let mut both = fields();
        both["text"] = json!("version: 1");
        assert!(refusal(both).message.contains("either `text`"));
        assert!(refusal(json!({})).message.contains("`stacks` is missing"));
        assert!(refusal(json!({"stacks": {"orders": {}}})).message.contains("say what changes"));
        assert_eq!(refusal(json!({"text": "x".repeat(TEXT_MAX + 1)})).code, "too_large");
        let heavy = json!({"text": "x", "templates": {"t": "x".repeat(TEMPLATES_MAX)}});
        assert_eq!(refusal(heavy).code, "too_large");
        assert_eq!(word("key", "k".repeat(WORD_MAX + 1)).unwrap_err().code, "too_large");
    }
}
