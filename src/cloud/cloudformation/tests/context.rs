//! What guardrails read beside a preview: importers, and sizes with nothing else.

use super::*;
use crate::model::preview::{ContextWanted, PreviewContext, Sizes};

const EXPORTS: ContextWanted = ContextWanted { exports: true, sizes: false };
const SIZES: ContextWanted = ContextWanted { exports: false, sizes: true };

fn export(stack: &str, name: &str) -> String {
    format!(
        "<member><ExportingStackId>{stack}</ExportingStackId><Name>{name}</Name><Value>exp0rted-secret</Value></member>"
    )
}

/// The stack `arn:s` with one nested in it, `arn:n`, and another stack.
fn answer(form: &Form) -> (u16, String) {
    let next = form.get("NextToken").map(String::as_str);
    match (form["Action"].as_str(), next) {
        ("ListStackResources", _) if form["StackName"] == "arn:s" => {
            let nested = "<member><LogicalResourceId>N</LogicalResourceId><PhysicalResourceId>arn:n</PhysicalResourceId>\
                          <ResourceType>AWS::CloudFormation::Stack</ResourceType></member>";
            (200, format!("<StackResourceSummaries>{nested}</StackResourceSummaries>"))
        }
        ("ListStackResources", _) => (200, "<StackResourceSummaries/>".to_owned()),
        ("ListExports", None) => {
            let exports = [export("arn:s", "Url"), export("arn:other", "Theirs")].concat();
            (200, format!("<Exports>{exports}</Exports><NextToken>p1</NextToken>"))
        }
        ("ListExports", _) => {
            (200, format!("<Exports>{}{}</Exports>", export("arn:s", "Free"), export("arn:n", "Inner")))
        }
        ("ListImports", next) => match (form["ExportName"].as_str(), next) {
            ("Url", None) => (200, "<Imports><member>web</member></Imports><NextToken>q1</NextToken>".to_owned()),
            ("Url", _) => (200, "<Imports><member>api</member></Imports>".to_owned()),
            ("Inner", _) => (200, "<Imports><member>web</member></Imports>".to_owned()),
            ("Free", _) => error("ValidationError", "Export 'Free' is not imported by any stack."),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn exports_are_those_of_the_stack_and_its_nested_ones_with_every_importer() {
    let (aws, _) = provider(|form, _| answer(form));
    let context = aws.preview_context(&scope(), "arn:s", None, EXPORTS, P).await.unwrap();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = [("Free", names(&[])), ("Inner", names(&["web"])), ("Url", names(&["api", "web"]))];
    assert_eq!(context.exports.clone().unwrap(), expected.map(|(k, v)| (k.to_owned(), v)).into());
    assert!(!format!("{context:?}").contains("exp0rted"), "values are not read");
}

#[tokio::test]
async fn nothing_is_asked_that_is_not_wanted() {
    let (aws, requests) = provider(|form, _| answer(form));
    let nothing = ContextWanted::default();
    let context = aws.preview_context(&scope(), "arn:s", Some("arn:cs"), nothing, P).await.unwrap();
    assert_eq!(context, PreviewContext::default());
    let context = aws.preview_context(&scope(), "arn:s", None, SIZES, P).await.unwrap();
    assert_eq!(context, PreviewContext::default());
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_role_may_not_read_is_unknown_and_not_empty() {
    for refused in ["ListExports", "ListImports", "ListStackResources"] {
        let (aws, _) = provider(move |form, _| match form["Action"] == refused {
            true => error("AccessDenied", "User is not authorized to perform it"),
            false => answer(form),
        });
        let context = aws.preview_context(&scope(), "arn:s", None, EXPORTS, P).await.unwrap();
        assert_eq!(context.exports, None, "{refused}");
    }
    for (code, kind) in [("ExpiredToken", ProviderErrorKind::Denied), ("ValidationError", ProviderErrorKind::Rejected)]
    {
        let (aws, _) = provider(move |form, _| match form["Action"] == "ListImports" {
            true => error(code, "another trouble"),
            false => answer(form),
        });
        let failed = aws.preview_context(&scope(), "arn:s", None, EXPORTS, P).await.unwrap_err();
        assert_eq!(failed.kind, kind);
    }
}

#[tokio::test]
async fn a_listing_of_exports_without_end_is_an_error() {
    let (aws, _) = provider(|form, _| match form["Action"].as_str() {
        "ListExports" => (200, "<Exports/><NextToken>again</NextToken>".to_owned()),
        _ => answer(form),
    });
    tokio::time::pause();
    let failed = aws.preview_context(&scope(), "arn:s", None, EXPORTS, P).await.unwrap_err();
    assert_eq!(failed.kind, ProviderErrorKind::Unavailable);
}

fn sized(action: &str, id: &str, kind: &str, more: &str, before: &str, after: &str) -> String {
    let escaped = |json: &str| json.replace('"', "&quot;");
    let context = |tag: &str, json: &str| match json {
        "" => String::new(),
        json => format!("<{tag}>{}</{tag}>", escaped(json)),
    };
    format!(
        "<member><Type>Resource</Type><ResourceChange><Action>{action}</Action><LogicalResourceId>{id}</LogicalResourceId>\
         <ResourceType>{kind}</ResourceType>{more}{}{}</ResourceChange></member>",
        context("BeforeContext", before),
        context("AfterContext", after)
    )
}

const DB: &str = "AWS::RDS::DBInstance";

fn sizes_answer(form: &Form) -> (u16, String) {
    assert_eq!(form["IncludePropertyValues"], "true");
    let head = "<ChangeSetId>a</ChangeSetId><ChangeSetName>n</ChangeSetName><StackId>s</StackId>\
                <Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>";
    let before = r#"{"Properties":{"AllocatedStorage":"20","DBInstanceClass":"db.t3.small","MasterUserPassword":"hunter2","Tags":[{"Key":"owner","Value":"hunter2"}]},"Metadata":{"note":"hunter2"}}"#;
    let after = r#"{"Properties":{"AllocatedStorage":100,"MultiAZ":true,"DBInstanceClass":"{{changeSet:KNOWN_AFTER_APPLY}}","MasterUserPassword":"hunter2","Iops":{"Ref":"hunter2"},"Engine":"****","StorageType":"{{resolve:ssm-secure:hunter2}}"}}"#;
    let inside = match (form["ChangeSetName"].as_str(), form.get("NextToken").map(String::as_str)) {
        ("arn:root", None) => [
            sized("Modify", "Db", DB, "", before, after),
            sized("Add", "NewDb", DB, "", "", after),
            sized("Remove", "OldDb", DB, "<PolicyAction>Delete</PolicyAction>", before, ""),
            "<NextToken>p1</NextToken>".to_owned(),
        ]
        .concat(),
        ("arn:root", _) => [
            sized("Remove", "KeptDb", DB, "<PolicyAction>Retain</PolicyAction>", before, ""),
            sized("Modify", "Moved", DB, "<PolicyAction>ReplaceAndRetain</PolicyAction>", before, after),
            sized("Add", "Broken", DB, "", "", r#"{"Properties":{"MasterUserPassword":"hunter2""#),
            sized("Add", "Blind", DB, "", "", ""),
            sized("Add", "User", "AWS::IAM::User", "", "", r#"{"Properties":{"LoginProfile":{"Password":"hunter2"}}}"#),
            sized("Modify", "Outer", "AWS::CloudFormation::Stack", "<ChangeSetId>arn:in</ChangeSetId>", "", ""),
        ]
        .concat(),
        _ => {
            let after = r#"{"Properties":{"BillingMode":"PAY_PER_REQUEST","TableName":"hunter2"}}"#;
            sized("Add", "Inner", "AWS::DynamoDB::Table", "", "", after)
        }
    };
    let (changes, next) = inside.split_once("<NextToken>").unwrap_or((&inside, ""));
    let next = if next.is_empty() { String::new() } else { format!("<NextToken>{next}") };
    (200, format!("{head}<Changes>{changes}</Changes>{next}"))
}

#[tokio::test]
async fn only_the_properties_that_a_price_depends_on_leave_the_answer() {
    let (aws, _) = provider(|form, _| sizes_answer(form));
    let context = aws.preview_context(&scope(), "arn:s", Some("arn:root"), SIZES, P).await.unwrap();
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let before: BTreeMap<_, _> = map(&[("AllocatedStorage", "20"), ("DBInstanceClass", "db.t3.small")]);
    let after: BTreeMap<_, _> = map(&[("AllocatedStorage", "100"), ("MultiAZ", "true")]);
    let (old, new, none) = (|| Some(before.clone()), || Some(after.clone()), || Some(BTreeMap::new()));
    let expected = [
        ("Blind", Sizes { before: None, after: none() }),
        ("Broken", Sizes { before: None, after: none() }),
        ("Db", Sizes { before: old(), after: new() }),
        // What is kept goes on costing.
        ("KeptDb", Sizes { before: old(), after: old() }),
        ("Moved", Sizes { before: None, after: new() }),
        ("NewDb", Sizes { before: None, after: new() }),
        ("OldDb", Sizes { before: old(), after: None }),
        ("Outer/Inner", Sizes { before: None, after: Some(map(&[("BillingMode", "PAY_PER_REQUEST")])) }),
    ];
    assert_eq!(context.sizes, expected.map(|(k, v)| (k.to_owned(), v)).into());
    assert_eq!(context.exports, None);
    // INVARIANT: S20.
    assert!(!format!("{context:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&context).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn an_answer_that_fails_half_way_gives_away_nothing() {
    let (aws, _) = provider(|form, _| match form["ChangeSetName"].as_str() {
        "arn:in" => error("ValidationError", "no such luck"),
        _ => sizes_answer(form),
    });
    let failed = aws.preview_context(&scope(), "arn:s", Some("arn:root"), SIZES, P).await.unwrap_err();
    assert!(!format!("{failed:?}{failed}").contains("hunter2"));
    let (aws, _) = provider(|form, _| {
        let (_, text) = sizes_answer(form);
        (200, text.replace("&quot;hunter2&quot;", "&hunter2;"))
    });
    tokio::time::pause();
    let failed = aws.preview_context(&scope(), "arn:s", Some("arn:root"), SIZES, P).await.unwrap_err();
    assert!(!format!("{failed:?}{failed}").contains("hunter2"), "{failed}");
}
