//! Nested stacks: their change sets, and what goes with a deletion.

use super::*;
use crate::model::preview::{ChangeSetStatus, DescribedChangeSet, Preview};

const COMPLETE: (&str, &str) = ("CREATE_COMPLETE", "AVAILABLE");
const NO_CHANGES: &str = "<StatusReason>The submitted information didn&apos;t contain changes.</StatusReason>";

/// A change set as it is described: its status, and more inside.
fn change_set(arn: &str, (status, execution): (&str, &str), more: &str) -> (u16, String) {
    let head = format!("<ChangeSetId>{arn}</ChangeSetId><ChangeSetName>wg</ChangeSetName><StackId>arn:s</StackId>");
    (200, format!("{head}<Status>{status}</Status><ExecutionStatus>{execution}</ExecutionStatus>{more}"))
}

/// A change of a nested stack, with a change set of its own.
fn stack_change(action: &str, id: &str, arn: &str, physical: &str) -> String {
    format!(
        "<member><Type>Resource</Type><ResourceChange><Action>{action}</Action><LogicalResourceId>{id}</LogicalResourceId>\
         <PhysicalResourceId>{physical}</PhysicalResourceId><ResourceType>AWS::CloudFormation::Stack</ResourceType>\
         <ChangeSetId>{arn}</ChangeSetId></ResourceChange></member>"
    )
}

fn change(id: &str) -> String {
    format!(
        "<member><Type>Resource</Type><ResourceChange><Action>Modify</Action><LogicalResourceId>{id}</LogicalResourceId>\
         <ResourceType>AWS::DynamoDB::Table</ResourceType><Replacement>True</Replacement></ResourceChange></member>"
    )
}

fn changes(inside: &[String]) -> String {
    format!("<Changes>{}</Changes>", inside.concat())
}

/// A root with one nested stack, whose change set is answered by `nested`.
async fn with_nested(nested: impl Fn() -> (u16, String) + Send + Sync + 'static) -> (DescribedChangeSet, usize) {
    let (aws, requests) = provider(move |form, _| match form["ChangeSetName"].as_str() {
        "arn:root" => {
            change_set("arn:root", COMPLETE, &changes(&[stack_change("Modify", "Inner", "arn:inner", "arn:i")]))
        }
        _ => nested(),
    });
    let described = aws.describe_change_set(&scope(), &"s".into(), "arn:root", P).await.unwrap();
    let sent = requests.lock().unwrap().len();
    (described, sent)
}

#[tokio::test]
async fn nested_change_sets_are_read_to_the_last_page_of_the_last_level() {
    let (aws, requests) = provider(|form, _| {
        let next = form.get("NextToken").map(String::as_str);
        match (form["ChangeSetName"].as_str(), next) {
            ("wg", _) => {
                let all = [
                    stack_change("Add", "New", "arn:new", "arn:shell-7"),
                    stack_change("Modify", "Old", "arn:old", "o"),
                ];
                change_set("arn:root", COMPLETE, &changes(&all))
            }
            ("arn:old", None) => {
                change_set("arn:old", COMPLETE, &(changes(&[change("Zoo")]) + "<NextToken>p1</NextToken>"))
            }
            ("arn:old", Some("p1")) => {
                change_set("arn:old", COMPLETE, &changes(&[stack_change("Modify", "Deep", "arn:deep", "d")]))
            }
            ("arn:new" | "arn:deep", None) => change_set("arn:x", COMPLETE, &changes(&[change("Table")])),
            other => panic!("{other:?}"),
        }
    });
    let described = aws.describe_change_set(&scope(), &"s".into(), "wg", P).await.unwrap();
    assert!(described.is_ready());
    let [new, old] = described.preview.changes.as_slice() else { panic!("{described:?}") };
    let ids = |preview: &Preview| preview.changes.iter().map(|c| c.logical_id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(new.nested.as_ref().unwrap()), ["Table"]);
    let inside = old.nested.as_ref().unwrap();
    assert_eq!(ids(inside), ["Deep", "Zoo"]);
    assert_eq!(ids(inside.changes[0].nested.as_ref().unwrap()), ["Table"]);
    assert!(inside.changes[1].nested.is_none());
    // The shell of a new nested stack is another one each time; the preview is not.
    assert_eq!((new.physical_id.as_deref(), old.physical_id.as_deref()), (None, Some("o")));
    let requests = requests.lock().unwrap();
    let asked: Vec<_> =
        requests.iter().map(|form| (form["ChangeSetName"].as_str(), form.contains_key("StackName"))).collect();
    let expected = [("wg", true), ("arn:new", false), ("arn:old", false), ("arn:old", false), ("arn:deep", false)];
    assert_eq!(asked, expected);
    let digest = |root: &DescribedChangeSet| root.approval_digest(Template::new("").digest(), None, false).unwrap();
    let mut other = described.clone();
    other.preview.changes[1].nested.as_mut().unwrap().changes[1].replacement = Some(Replacement::False);
    assert_ne!(digest(&described), digest(&other), "what a nested stack does is part of what is approved");
}

#[tokio::test]
async fn the_root_is_ready_when_all_that_is_nested_is() {
    for status in [("CREATE_PENDING", "UNAVAILABLE"), ("CREATE_IN_PROGRESS", "UNAVAILABLE")] {
        let (described, _) = with_nested(move || change_set("arn:inner", status, "")).await;
        assert_eq!(described.status, ChangeSetStatus::CreateInProgress);
        assert!(!described.is_ready() && described.preview.changes.is_empty(), "{described:?}");
    }
    let (aws, requests) = provider(|_, _| {
        let inside = changes(&[stack_change("Modify", "Inner", "arn:inner", "i")]);
        change_set("arn:root", ("CREATE_IN_PROGRESS", "UNAVAILABLE"), &inside)
    });
    assert!(!aws.describe_change_set(&scope(), &"s".into(), "arn:root", P).await.unwrap().is_ready());
    assert_eq!(requests.lock().unwrap().len(), 1, "nothing is followed before the root is complete");
}

#[tokio::test]
async fn a_nested_stack_without_changes_has_an_empty_preview() {
    let (described, sent) = with_nested(|| change_set("arn:inner", ("FAILED", "UNAVAILABLE"), NO_CHANGES)).await;
    assert!(described.is_ready());
    assert_eq!(described.preview.changes[0].nested.as_deref(), Some(&Preview::default()));
    assert_eq!(sent, 2);
}

#[tokio::test]
async fn what_a_nested_stack_does_stays_unknown_when_its_change_set_failed() {
    for status in [("FAILED", "UNAVAILABLE"), ("DELETE_FAILED", "UNAVAILABLE"), ("NEW_WORD", "AVAILABLE")] {
        let inside = changes(&[change("Table")]) + "<StatusReason>Template error</StatusReason>";
        let (described, _) = with_nested(move || change_set("arn:inner", status, &inside)).await;
        assert!(described.is_ready());
        assert_eq!(described.preview.changes[0].nested, None, "{status:?}");
    }
}

#[tokio::test]
async fn part_of_a_nested_preview_is_no_preview() {
    tokio::time::pause();
    let (aws, _) = provider(|form, _| match form["ChangeSetName"].as_str() {
        "arn:root" => change_set("arn:root", COMPLETE, &changes(&[stack_change("Modify", "Inner", "arn:inner", "i")])),
        _ => error("ChangeSetNotFound", "ChangeSet [arn:inner] does not exist"),
    });
    let refused = aws.describe_change_set(&scope(), &"s".into(), "arn:root", P).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::NotFound);

    let (aws, requests) =
        provider(|_, _| change_set("arn:x", COMPLETE, &changes(&[stack_change("Modify", "Inner", "arn:x", "i")])));
    let too_deep = aws.describe_change_set(&scope(), &"s".into(), "arn:root", P).await.unwrap_err();
    assert!(too_deep.message.contains("deeper than 8 levels"), "{too_deep}");
    assert_eq!(requests.lock().unwrap().len(), 9, "the root and eight levels");

    let (aws, requests) = provider(|form, _| match form["ChangeSetName"].as_str() {
        "arn:root" => {
            let many: Vec<_> = (0..201).map(|n| stack_change("Modify", &format!("S{n}"), "arn:x", "i")).collect();
            change_set("arn:root", COMPLETE, &changes(&many))
        }
        _ => change_set("arn:x", COMPLETE, &changes(&[change("Table")])),
    });
    let too_many = aws.describe_change_set(&scope(), &"s".into(), "arn:root", P).await.unwrap_err();
    assert!(too_many.message.contains("more than 200"), "{too_many}");
    assert_eq!(requests.lock().unwrap().len(), 201);
}

fn resource(id: &str, kind: &str, physical: &str) -> String {
    format!(
        "<member><LogicalResourceId>{id}</LogicalResourceId><ResourceType>{kind}</ResourceType>\
         <PhysicalResourceId>{physical}</PhysicalResourceId><ResourceStatus>CREATE_COMPLETE</ResourceStatus></member>"
    )
}

#[tokio::test]
async fn a_deletion_shows_what_goes_with_its_nested_stacks() {
    let (aws, requests) = provider(|form, _| {
        let stack = form["StackName"].as_str();
        if form["Action"] == "GetTemplate" {
            let policy = if stack == "arn:gone" { "Delete" } else { "Retain" };
            let resources = format!(
                r#""Inner":{{"Type":"AWS::CloudFormation::Stack"}},"Kept":{{"Type":"T","DeletionPolicy":"Retain"}},
                   "Table":{{"Type":"T","DeletionPolicy":"{policy}"}}"#
            );
            return (200, format!("<TemplateBody>{{\"Resources\":{{{resources}}}}}</TemplateBody>"));
        }
        let nested = "AWS::CloudFormation::Stack";
        let listed = match stack {
            "s" => [resource("Inner", nested, "arn:inner"), resource("Kept", nested, "arn:kept")].concat(),
            "arn:inner" => [resource("Table", "T", "t"), resource("Inner", nested, "arn:gone")].concat(),
            "arn:gone" => return error("ValidationError", "Stack with id arn:gone does not exist"),
            other => panic!("{other}"),
        };
        (200, format!("<StackResourceSummaries>{listed}</StackResourceSummaries>"))
    });
    let resources = aws.resources(&scope(), &"s".into(), P).await.unwrap();
    let [inner, kept] = resources.as_slice() else { panic!("{resources:?}") };
    let inside = &inner.nested.as_ref().unwrap().changes;
    let seen: Vec<_> =
        inside.iter().map(|c| (c.logical_id.as_str(), c.policy_action.clone(), c.nested.is_some())).collect();
    assert_eq!(seen, [("Inner", Some(PolicyAction::Delete), false), ("Table", Some(PolicyAction::Retain), false)]);
    assert_eq!((kept.policy_action.clone(), kept.nested.is_some()), (Some(PolicyAction::Retain), false));
    assert!(requests.lock().unwrap().iter().all(|form| form["StackName"] != "arn:kept"));
}
