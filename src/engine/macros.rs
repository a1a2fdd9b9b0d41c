//! Which macros a template goes through: by `Transform` at its top, and by `Fn::Transform` or `!Transform` anywhere in it.
//!
//! Source: CloudFormation user guide, "Transform section" and "Fn::Transform".

use serde_yaml::Value;
use std::collections::BTreeSet;

/// In place of a macro's name where the template cannot be read, or where it says no plain name.
pub const UNREADABLE: &str = "(unreadable)";

/// The names of all macros of a template. One that cannot be read has an unreadable one (S24).
pub fn of(template: &str) -> BTreeSet<String> {
    // JSON may be indented with tabs, which YAML refuses.
    let parsed = serde_json::from_str(template).or_else(|_| serde_yaml::from_str::<Value>(template));
    let Ok(template) = parsed else { return [UNREADABLE.to_owned()].into() };
    let mut names = BTreeSet::new();
    if let Some(top) = template.get("Transform") {
        named(top, &mut names);
    }
    inside(&template, &mut names);
    names
}

/// A name, a list of them, or a mapping with `Name`.
fn named(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(name) => drop(names.insert(name.clone())),
        Value::Sequence(items) => items.iter().for_each(|item| named(item, names)),
        Value::Mapping(map) => match map.get("Name") {
            Some(Value::String(name)) => drop(names.insert(name.clone())),
            _ => drop(names.insert(UNREADABLE.to_owned())),
        },
        Value::Tagged(tagged) => named(&tagged.value, names),
        _ => drop(names.insert(UNREADABLE.to_owned())),
    }
}

fn inside(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Sequence(items) => items.iter().for_each(|item| inside(item, names)),
        Value::Mapping(map) => {
            for (key, value) in map {
                if key.as_str() == Some("Fn::Transform") {
                    named(value, names);
                }
                inside(value, names);
            }
        }
        Value::Tagged(tagged) => {
            if tagged.tag == "Transform" {
                named(&tagged.value, names);
            }
            inside(&tagged.value, names);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_found_at_the_top_and_inside_in_yaml_and_json() {
        let found = |template: &str| of(template).into_iter().collect::<Vec<_>>();
        assert_eq!(found("Resources: {Q: {Type: AWS::SQS::Queue}}"), Vec::<String>::new());
        assert_eq!(found("Transform: Ours\nResources: {}"), ["Ours"]);
        assert_eq!(
            found("Transform: [AWS::Serverless-2016-10-31, {Name: AWS::Include}]"),
            ["AWS::Include", "AWS::Serverless-2016-10-31"]
        );
        assert_eq!(found("Resources: {Q: {Properties: {\"Fn::Transform\": {Name: Deep}}}}"), ["Deep"]);
        assert_eq!(found("Resources: {Q: {Properties: !Transform {Name: Tagged}}}"), ["Tagged"]);
        assert_eq!(found("{\n\t\"Transform\": [\"Json\"]}"), ["Json"]);
        assert_eq!(found("Transform: {Parameters: {}}"), [UNREADABLE]);
        assert_eq!(found("a: ["), [UNREADABLE]);
    }
}
