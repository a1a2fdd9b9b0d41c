//! What a template says will become of its resources when they are deleted. No judgement: what it does not say is left out.

use serde_yaml::Value;
use std::collections::BTreeMap;

/// Types whose policy is not `Delete` when the template names none.
/// Source: CloudFormation user guide, "DeletionPolicy attribute".
const SNAPSHOT_BY_DEFAULT: [&str; 2] = ["AWS::RDS::DBCluster", "AWS::RDS::DBInstance"];

/// Deletion policies by logical id. A resource is left out when its policy is not a plain word, or when it is not in the
/// template's own text (as those that a macro makes); all are left out when the text cannot be read.
pub(super) fn deletion_policies(body: &str) -> BTreeMap<String, String> {
    // JSON may be indented with tabs, which YAML refuses.
    let parsed = serde_json::from_str(body).or_else(|_| serde_yaml::from_str::<Value>(body));
    let Ok(template) = parsed else { return BTreeMap::new() };
    let Some(resources) = template.get("Resources").and_then(Value::as_mapping) else { return BTreeMap::new() };
    resources.iter().filter_map(|(id, resource)| Some((id.as_str()?.to_owned(), policy(resource)?))).collect()
}

fn policy(resource: &Value) -> Option<String> {
    let resource_type = resource.get("Type")?.as_str()?;
    match resource.get("DeletionPolicy") {
        Some(Value::String(word)) => Some(word.clone()),
        Some(_) => None,
        None if SNAPSHOT_BY_DEFAULT.contains(&resource_type) => None,
        None => Some("Delete".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_from_yaml_and_json() {
        let yaml = "
Resources:
  Queue: { Type: AWS::SQS::Queue }
  Table: { Type: AWS::DynamoDB::Table, DeletionPolicy: Retain, Properties: { TableName: !Sub '${A}-t' } }
  Db: { Type: AWS::RDS::DBInstance }
  Odd: { Type: AWS::SQS::Queue, DeletionPolicy: !Ref Policy }
";
        let policies = deletion_policies(yaml);
        let expected = [("Queue", "Delete"), ("Table", "Retain")];
        assert_eq!(policies, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        let json = "{\n\t\"Resources\": {\"T\": {\"Type\": \"X\", \"DeletionPolicy\": \"Snapshot\"}}}";
        assert_eq!(deletion_policies(json)["T"], "Snapshot");
        assert!(deletion_policies("{").is_empty());
        assert!(deletion_policies("a: [").is_empty());
    }
}
