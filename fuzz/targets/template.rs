//! CloudFormation templates, which agents hand in and stacks hand back.
//!
//! What a template declares is the same twice. Where it is JSON, a second and plain reading of the JSON says the same: above
//! all which parameters are hidden, since the value of one that is not is written to the journal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::collections::BTreeMap;
use wavegate::model::change_set::read::{DeclaredParameter, template_parameters};

fuzz_target!(|text: &str| {
    let declared = template_parameters(text);
    assert_eq!(declared, template_parameters(text));
    match declared {
        Ok(declared) => {
            if let Ok(json) = serde_json::from_str::<Value>(text) {
                assert_eq!(declared, declared_in(&json), "the two readings of JSON differ");
            }
        }
        Err(words) => assert!(!words.is_empty()),
    }
});

fn declared_in(template: &Value) -> BTreeMap<String, DeclaredParameter> {
    assert!(template["Resources"].is_object());
    let parameters = template["Parameters"].as_object().into_iter().flatten();
    let read = |body: &Value| DeclaredParameter {
        no_echo: match &body["NoEcho"] {
            Value::Bool(flag) => *flag,
            Value::String(word) => word.eq_ignore_ascii_case("true"),
            _ => false,
        },
        has_default: body.get("Default").is_some(),
    };
    parameters.map(|(name, body)| (name.clone(), read(body))).collect()
}
