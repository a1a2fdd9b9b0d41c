//! The wire as CloudFormation speaks it: requests are read back from their form, answers are the reference's XML.

mod context;
mod nested;

use crate::cloud::aws::{Aws, AwsOptions};
use crate::cloud::{Priority, Stacks as _};
use crate::model::observation::ProviderErrorKind;
use crate::model::preview::{ChangeDetail, PolicyAction, Replacement, ResourceAction};
use crate::model::stack::{
    ChangeSetInputs, ChangeSetKind, DriftStatus, ParameterInput, RollbackConfiguration, Scope, StackStatus, Template,
};
use aws_sdk_cloudformation::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::test_util::infallible_client_fn;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

type Form = BTreeMap<String, String>;
type Requests = Arc<Mutex<Vec<Form>>>;

const P: Priority = Priority::Normal;

fn scope() -> Scope {
    Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None }
}

/// A provider that answers each request, given as its form and number, with a status and the inside of the result.
fn provider(answer: impl Fn(&Form, usize) -> (u16, String) + Send + Sync + 'static) -> (Aws, Requests) {
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    let http = infallible_client_fn(move |request| {
        let form = parse(std::str::from_utf8(request.body().bytes().unwrap()).unwrap());
        let mut seen = seen.lock().unwrap();
        let (status, inside) = answer(&form, seen.len());
        let action = form["Action"].clone();
        seen.push(form);
        let body = match status {
            200 => format!("<{action}Response><{action}Result>{inside}</{action}Result></{action}Response>"),
            _ => format!("<ErrorResponse><Error>{inside}</Error></ErrorResponse>"),
        };
        http::Response::builder().status(status).body(body).unwrap()
    });
    let base = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
        .http_client(http)
        .build();
    (Aws::with_config(&base, &AwsOptions::default()), requests)
}

fn parse(body: &str) -> Form {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                }
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    body.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (decode(k), decode(v))).collect()
}

fn error(code: &str, message: &str) -> (u16, String) {
    (400, format!("<Code>{code}</Code><Message>{message}</Message>"))
}

fn stack(name: &str, status: &str, more: &str) -> String {
    format!(
        "<member><StackId>arn:aws:cloudformation:eu-west-1:1:stack/{name}/1</StackId><StackName>{name}</StackName>\
         <StackStatus>{status}</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>{more}</member>"
    )
}

fn inputs() -> ChangeSetInputs {
    ChangeSetInputs {
        kind: ChangeSetKind::Update,
        template: None,
        parameters: BTreeMap::from([
            ("Secret".to_owned(), ParameterInput::Previous),
            ("Size".to_owned(), ParameterInput::Value("2".to_owned())),
        ]),
        tags: Some(BTreeMap::new()),
        capabilities: ["CAPABILITY_IAM".to_owned()].into(),
        role_arn: None,
        notification_arns: Some(Vec::new()),
        rollback_configuration: Some(RollbackConfiguration::default()),
    }
}

#[tokio::test]
async fn few_stacks_are_asked_by_name_and_absence_is_told() {
    let (aws, requests) = provider(|form, _| match form["StackName"].as_str() {
        "gone" => error("ValidationError", "Stack with id gone does not exist"),
        "shell" => (200, format!("<Stacks>{}</Stacks>", stack("shell", "DELETE_COMPLETE", ""))),
        name => {
            let more = "<Parameters><member><ParameterKey>Secret</ParameterKey><ParameterValue>****</ParameterValue>\
                        </member></Parameters><Tags><member><Key>k</Key><Value>v</Value></member></Tags>\
                        <EnableTerminationProtection>true</EnableTerminationProtection>\
                        <DriftInformation><StackDriftStatus>DRIFTED</StackDriftStatus>\
                        <LastCheckTimestamp>2026-01-02T04:00:00Z</LastCheckTimestamp></DriftInformation>\
                        <LastUpdatedTime>2026-01-02T03:04:05.678Z</LastUpdatedTime>";
            (200, format!("<Stacks>{}</Stacks>", stack(name, "UPDATE_ROLLBACK_COMPLETE", more)))
        }
    });
    let found = aws.describe(&scope(), &["gone".into(), "here".into(), "shell".into()], P).await.unwrap();
    assert_eq!(found.len(), 1);
    let view = &found[&"here".into()];
    assert_eq!(view.status, StackStatus::UpdateRollbackComplete);
    assert!(view.parameters["Secret"].is_hidden());
    assert_eq!(view.tags["k"], "v");
    assert!(view.termination_protection);
    let drift = view.drift.clone().unwrap();
    assert_eq!(
        (drift.status, drift.checked_at.unwrap().to_string()),
        (DriftStatus::Drifted, "2026-01-02T04:00:00Z".into())
    );
    assert_eq!(view.last_updated.unwrap().to_string(), "2026-01-02T03:04:05.678Z");
    assert_eq!(requests.lock().unwrap().len(), 3);
    assert!(aws.describe_by_id(&scope(), "gone", P).await.unwrap().is_none());
    let deleted = aws.describe_by_id(&scope(), "shell", P).await.unwrap().unwrap();
    assert_eq!(deleted.status, StackStatus::DeleteComplete);
    assert_eq!(aws.calls(), BTreeMap::from([("DescribeStacks", 5)]));
}

#[tokio::test]
async fn many_stacks_are_listed_page_by_page() {
    let (aws, requests) = provider(|form, n| {
        assert!(!form.contains_key("StackName"));
        assert_eq!(form.get("NextToken").map(String::as_str), [None, Some("p1")][n]);
        let inside = match n {
            0 => [stack("a", "DELETE_COMPLETE", ""), stack("b", "CREATE_COMPLETE", ""), stack("x", "NEW_WORD", "")],
            _ => [stack("a", "UPDATE_COMPLETE", ""), stack("c", "NEW_WORD", ""), stack("y", "CREATE_COMPLETE", "")],
        };
        let next = if n == 0 { "<NextToken>p1</NextToken>" } else { "" };
        (200, format!("<Stacks>{}</Stacks>{next}", inside.concat()))
    });
    let names = ["a".into(), "b".into(), "c".into(), "absent".into()];
    let found = aws.describe(&scope(), &names, P).await.unwrap();
    assert_eq!(found.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(found[&"a".into()].status, StackStatus::UpdateComplete);
    assert_eq!(found[&"c".into()].status, StackStatus::Unknown("NEW_WORD".into()));
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_listing_without_end_is_an_error_and_not_an_absence() {
    let (aws, requests) = provider(|_, _| (200, "<Stacks/><NextToken>again</NextToken>".to_owned()));
    let names = ["a".into(), "b".into(), "c".into(), "d".into()];
    // The rate of the budget would make the test wait.
    tokio::time::pause();
    let answer = aws.describe(&scope(), &names, P).await.unwrap_err();
    assert_eq!(answer.kind, ProviderErrorKind::Unavailable);
    assert_eq!(requests.lock().unwrap().len(), 200);
}

#[tokio::test]
async fn a_change_set_says_what_is_kept_and_what_is_taken_away() {
    let (aws, requests) = provider(|_, _| (200, "<Id>arn:cs</Id>".to_owned()));
    assert_eq!(aws.create_change_set(&scope(), &"s".into(), "wg-1", &inputs(), P).await.unwrap(), "arn:cs");
    let all = ChangeSetInputs {
        kind: ChangeSetKind::Create,
        template: Some(Template::new("Resources: {}\n")),
        tags: Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
        notification_arns: None,
        rollback_configuration: None,
        ..inputs()
    };
    aws.create_change_set(&scope(), &"s".into(), "wg-2", &all, P).await.unwrap();
    aws.create_change_set(&scope(), &"s".into(), "wg-3", &ChangeSetInputs { tags: None, ..inputs() }, P).await.unwrap();

    let requests = requests.lock().unwrap();
    let [update, create, keep] = requests.as_slice() else { panic!("{requests:?}") };
    for (key, value) in [
        ("UsePreviousTemplate", "true"),
        ("ChangeSetType", "UPDATE"),
        ("ClientToken", "wg-1"),
        ("IncludeNestedStacks", "true"),
        ("Tags", ""),
        ("NotificationARNs", ""),
        ("RollbackConfiguration.RollbackTriggers", ""),
        ("Parameters.member.1.ParameterKey", "Secret"),
        ("Parameters.member.1.UsePreviousValue", "true"),
        ("Parameters.member.2.ParameterValue", "2"),
        ("Capabilities.member.1", "CAPABILITY_IAM"),
    ] {
        assert_eq!(update.get(key).map(String::as_str), Some(value), "{key} in {update:?}");
    }
    assert!(!update.contains_key("Parameters.member.1.ParameterValue"));
    assert!(!update.contains_key("OnStackFailure") && !update.contains_key("TemplateBody"));
    assert_eq!(create["TemplateBody"], "Resources: {}\n");
    assert_eq!(create["ChangeSetType"], "CREATE");
    assert_eq!(create["Tags.member.1.Key"], "k");
    assert!(!create.keys().any(|key| key.starts_with("RollbackConfiguration") || key.starts_with("Notification")));
    assert!(!keep.keys().any(|key| key.starts_with("Tags")));
}

#[tokio::test]
async fn effects_carry_their_token_and_rollback_stays_on() {
    let (aws, requests) = provider(|_, _| (200, String::new()));
    let token = "wg-token".into();
    aws.execute_change_set(&scope(), &"s".into(), "arn:cs", &token, P).await.unwrap();
    aws.delete_stack(&scope(), "arn:stack", &token, P).await.unwrap();
    aws.cancel_update(&scope(), &"s".into(), &token).await.unwrap();
    aws.continue_rollback(&scope(), &"s".into(), &token).await.unwrap();
    let requests = requests.lock().unwrap();
    assert!(requests.iter().all(|form| form["ClientRequestToken"] == "wg-token"));
    assert_eq!(requests[0]["DisableRollback"], "false");
    assert_eq!(requests[0]["ChangeSetName"], "arn:cs");
    assert!(!requests[0].contains_key("StackName"));
    assert_eq!(requests[1]["StackName"], "arn:stack");
    assert!(!requests[3].keys().any(|key| key.starts_with("ResourcesToSkip")));
}

#[tokio::test]
async fn a_preview_is_read_to_its_last_page() {
    let (aws, requests) = provider(|form, n| {
        assert_eq!(form["IncludePropertyValues"], "false");
        let head = "<ChangeSetId>arn:cs</ChangeSetId><ChangeSetName>wg</ChangeSetName><StackId>arn:s</StackId>\
                    <Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>";
        let (changes, next) = match n {
            0 => (
                "<member><Type>Resource</Type><ResourceChange><Action>Modify</Action>\
                 <LogicalResourceId>Zoo</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType>\
                 <Replacement>Conditional</Replacement><PolicyAction>ReplaceAndDelete</PolicyAction>\
                 <Scope><member>Tags</member><member>Properties</member></Scope><Details><member><Target>\
                 <Attribute>Properties</Attribute><Name>QueueName</Name><RequiresRecreation>Always</RequiresRecreation>\
                 </Target><Evaluation>Dynamic</Evaluation><ChangeSource>ParameterReference</ChangeSource>\
                 <CausingEntity>Name</CausingEntity></member></Details></ResourceChange></member>",
                "<NextToken>p1</NextToken>",
            ),
            _ => (
                "<member><Type>Resource</Type><ResourceChange><Action>Add</Action>\
                 <LogicalResourceId>Ant</LogicalResourceId></ResourceChange></member>\
                 <member><Type>Novelty</Type></member>",
                "",
            ),
        };
        (200, format!("{head}<Changes>{changes}</Changes>{next}"))
    });
    let described = aws.describe_change_set(&scope(), &"s".into(), "wg", P).await.unwrap();
    let [novelty, ant, zoo] = described.preview.changes.as_slice() else { panic!("{described:?}") };
    assert_eq!(novelty.action, ResourceAction::Unknown("Novelty".into()));
    assert_eq!((ant.logical_id.as_str(), ant.action.as_str()), ("Ant", "Add"));
    assert_eq!(zoo.replacement, Some(Replacement::Conditional));
    assert_eq!(zoo.scope, ["Properties", "Tags"]);
    assert_eq!(zoo.details, [ChangeDetail::from("Properties.QueueName Always Dynamic ParameterReference Name")]);
    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["StackName"], "s");
    assert_eq!(requests[1]["NextToken"], "p1");
}

#[tokio::test]
async fn a_change_set_without_changes_says_so() {
    for reason in [
        "The submitted information didn&apos;t contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ] {
        let (aws, _) = provider(move |_, _| {
            let head = "<ChangeSetId>arn:cs</ChangeSetId><ChangeSetName>wg</ChangeSetName><StackId>arn:s</StackId>";
            let status = "<Status>FAILED</Status><ExecutionStatus>UNAVAILABLE</ExecutionStatus>";
            (200, format!("{head}{status}<StatusReason>{reason}</StatusReason><Changes/>"))
        });
        assert!(aws.describe_change_set(&scope(), &"s".into(), "arn:cs", P).await.unwrap().says_no_changes());
    }
}

#[tokio::test]
async fn a_change_set_that_is_not_there_is_deleted() {
    let (aws, requests) = provider(|_, n| match n {
        0 => error("ChangeSetNotFound", "ChangeSet [wg] does not exist"),
        1 => error("ValidationError", "Stack [s] does not exist"),
        _ => error("InvalidChangeSetStatus", "An operation on this ChangeSet is currently in progress."),
    });
    aws.delete_change_set(&scope(), &"s".into(), "wg").await.unwrap();
    aws.delete_change_set(&scope(), &"s".into(), "wg").await.unwrap();
    let refused = aws.delete_change_set(&scope(), &"s".into(), "arn:cs").await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Rejected);
    assert!(!requests.lock().unwrap()[2].contains_key("StackName"));
}

fn event(token: &str, id: &str, status: &str, at: u32, reason: &str) -> String {
    let physical = if id == "s" { "arn:s" } else { "thing" };
    format!(
        "<member><StackId>arn:s</StackId><EventId>{id}{at}</EventId><LogicalResourceId>{id}</LogicalResourceId>\
         <PhysicalResourceId>{physical}</PhysicalResourceId><ResourceType>T</ResourceType>\
         <ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason>\
         <ClientRequestToken>{token}</ClientRequestToken><Timestamp>2026-01-01T10:{at:02}:00Z</Timestamp></member>"
    )
}

#[tokio::test]
async fn an_operation_is_found_by_its_token() {
    let (aws, requests) = provider(|_, n| {
        let page = match n {
            0 => [
                event("later", "s", "UPDATE_COMPLETE", 50, ""),
                event("mine", "s", "UPDATE_ROLLBACK_COMPLETE", 40, ""),
                event("mine", "B", "UPDATE_FAILED", 34, "Resource update cancelled"),
                event("mine", "C", "CREATE_FAILED", 33, "no quota"),
            ],
            _ => [
                event("mine", "A", "UPDATE_FAILED", 32, "bad value"),
                event("mine", "s", "UPDATE_IN_PROGRESS", 30, "User Initiated"),
                event("mine", "Z", "CREATE_FAILED", 29, "not reached"),
                event("older", "s", "CREATE_COMPLETE", 20, ""),
            ],
        };
        (200, format!("<StackEvents>{}</StackEvents><NextToken>more</NextToken>", page.concat()))
    });
    let from = "2026-01-01T10:29:00Z".parse().unwrap();
    let trace = aws.find_operation(&scope(), "s", &"mine".into(), from, P).await.unwrap();
    assert!(trace.found);
    assert_eq!(trace.stack_status, Some(StackStatus::UpdateRollbackComplete));
    assert_eq!(trace.last_event.as_deref(), Some("s UPDATE_ROLLBACK_COMPLETE"));
    let failures: Vec<_> = trace.failures.iter().map(|f| (f.logical_id.as_str(), f.reason.as_str())).collect();
    assert_eq!(failures, [("A", "bad value"), ("C", "no quota")]);
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_operation_that_never_started_is_not_found() {
    let (aws, requests) = provider(|form, n| match (form["StackName"].as_str(), n) {
        ("gone", _) => error("ValidationError", "Stack [gone] does not exist"),
        (_, 0) => {
            let page = [event("x", "s", "UPDATE_COMPLETE", 50, ""), event("x", "s", "UPDATE_IN_PROGRESS", 49, "")];
            (200, format!("<StackEvents>{}</StackEvents><NextToken>more</NextToken>", page.concat()))
        }
        _ => {
            let page = [event("mine", "s", "UPDATE_COMPLETE", 40, "too old")];
            (200, format!("<StackEvents>{}</StackEvents><NextToken>more</NextToken>", page.concat()))
        }
    });
    let from = "2026-01-01T10:48:00Z".parse().unwrap();
    let trace = aws.find_operation(&scope(), "s", &"mine".into(), from, P).await.unwrap();
    assert!(!trace.found && trace.last_event.is_none() && trace.failures.is_empty());
    assert_eq!(requests.lock().unwrap().len(), 2);
    assert!(!aws.find_operation(&scope(), "gone", &"mine".into(), from, P).await.unwrap().found);
}

#[tokio::test]
async fn templates_policies_and_resources_are_read() {
    let (aws, requests) = provider(|form, _| match form["Action"].as_str() {
        "GetTemplate" => {
            assert_eq!(form["TemplateStage"], "Original");
            let body = r#"{"Resources":{"A":{"Type":"T","DeletionPolicy":"Retain"},"B":{"Type":"T"}}}"#;
            (200, format!("<TemplateBody>{body}</TemplateBody>"))
        }
        "GetStackPolicy" => (200, "<StackPolicyBody></StackPolicyBody>".to_owned()),
        _ => {
            let resource = |id, status| {
                format!(
                    "<member><LogicalResourceId>{id}</LogicalResourceId><ResourceType>T</ResourceType>\
                     <PhysicalResourceId>p-{id}</PhysicalResourceId><ResourceStatus>{status}</ResourceStatus></member>"
                )
            };
            let summaries =
                [resource("B", "UPDATE_COMPLETE"), resource("A", "CREATE_COMPLETE"), resource("C", "DELETE_COMPLETE")];
            (200, format!("<StackResourceSummaries>{}</StackResourceSummaries>", summaries.concat()))
        }
    });
    let template = aws.change_set_template(&scope(), &"s".into(), "arn:cs", P).await.unwrap();
    assert!(template.body().starts_with('{'));
    assert_eq!(aws.policy(&scope(), &"s".into(), P).await.unwrap(), None);
    let resources = aws.resources(&scope(), &"s".into(), P).await.unwrap();
    let seen: Vec<_> =
        resources.iter().map(|r| (r.logical_id.as_str(), r.policy_action.as_ref().map(PolicyAction::as_str))).collect();
    assert_eq!(seen, [("A", Some("Retain")), ("B", Some("Delete"))]);
    assert!(resources.iter().all(|r| r.action == ResourceAction::Remove));
    assert!(!requests.lock().unwrap()[0].contains_key("StackName"));
}

#[tokio::test]
async fn without_a_listener_nothing_was_sent() {
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .credentials_provider(Credentials::new("a", "b", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let aws = Aws::with_config(&base, &AwsOptions::default());
    let refused = aws.execute_change_set(&scope(), &"s".into(), "arn:cs", &"t".into(), P).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Unavailable, "{refused}");
    assert_eq!(aws.calls()["ExecuteChangeSet"], 5);
}
