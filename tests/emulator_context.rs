//! What guardrails read beside a preview, against the emulator: exports with their importers, and the inside of nested stacks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use aws_config::BehaviorVersion;
use aws_sdk_cloudformation::config::Credentials;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::{Emulator, Place, fixture};
use wavegate::cloud::aws::{Aws, AwsOptions};
use wavegate::cloud::{Priority, Stacks as _};
use wavegate::model::ids::StackName;
use wavegate::model::preview::{ContextWanted, ResourceAction};
use wavegate::model::stack::{ChangeSetInputs, ChangeSetKind, ParameterInput, Scope};

const P: Priority = Priority::Normal;
const ACCOUNT: &str = "111111111111";
const REGION: &str = "us-east-1";

fn scope() -> Scope {
    Scope { account: ACCOUNT.into(), region: REGION.into(), role: None }
}

async fn aws(emulator: &Emulator) -> Aws {
    let base = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .endpoint_url(emulator.url())
        .region(REGION)
        .credentials_provider(Credentials::new(ACCOUNT, support::emulator::SECRET, None, None, "test"))
        .load()
        .await;
    Aws::with_config(&base, &AwsOptions::default())
}

/// A stack with another one nested in it, and its ARN.
fn with_nested(place: &Place) -> String {
    let url = place.put_object("templates-1", "nested-alerting.yaml", &fixture("nested-alerting.yaml"));
    place.create_stack("orders", &fixture("with-nested.yaml"), &[("AlertingUrl", &url)], &[]);
    place.stack("orders").unwrap().id
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_found_with_their_importers() {
    let Some(emulator) = Emulator::start() else { return };
    let place = emulator.at(ACCOUNT, REGION);
    let id = with_nested(&place);
    let (aws, scope) = (aws(&emulator).await, scope());
    let wanted = ContextWanted { exports: true, sizes: false };
    let free = aws.preview_context(&scope, &id, None, wanted, P).await.unwrap();
    assert_eq!(free.exports.unwrap(), BTreeMap::from([("orders-AlertTopic".to_owned(), Vec::new())]));

    let importer = "Resources:\n  Copy:\n    Type: AWS::SSM::Parameter\n    Properties:\n      Type: String\n      \
                    Value: !ImportValue orders-AlertTopic\n";
    for name in ["web", "api"] {
        place.create_stack(name, importer, &[], &[]);
    }
    let used = aws.preview_context(&scope, &id, None, wanted, P).await.unwrap();
    let importers = ["api", "web"].map(ToOwned::to_owned).to_vec();
    assert_eq!(used.exports.unwrap(), BTreeMap::from([("orders-AlertTopic".to_owned(), importers)]));
    let web = place.stack("web").unwrap().id;
    assert_eq!(aws.preview_context(&scope, &web, None, wanted, P).await.unwrap().exports.unwrap(), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_seen_down_to_the_nested_stack() {
    let Some(emulator) = Emulator::start() else { return };
    with_nested(&emulator.at(ACCOUNT, REGION));
    let resources = aws(&emulator).await.resources(&scope(), &"orders".into(), P).await.unwrap();
    let ids: Vec<_> = resources.iter().map(|resource| resource.logical_id.as_str()).collect();
    assert_eq!(ids, ["Alerting", "Orders"]);
    let inside = &resources[0].nested.as_ref().unwrap().changes;
    let ids: Vec<_> = inside.iter().map(|resource| resource.logical_id.as_str()).collect();
    assert_eq!(ids, ["Alerts", "RetryLimit"]);
    assert!(inside.iter().all(|resource| resource.action == ResourceAction::Remove));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_stack_without_a_change_set_of_its_own_stays_unknown() {
    let Some(emulator) = Emulator::start() else { return };
    let id = with_nested(&emulator.at(ACCOUNT, REGION));
    let (aws, scope, stack) = (aws(&emulator).await, scope(), StackName::from("orders"));
    let inputs = ChangeSetInputs {
        kind: ChangeSetKind::Update,
        template: None,
        parameters: BTreeMap::from([
            ("AlertingUrl".to_owned(), ParameterInput::Previous),
            ("Retries".to_owned(), ParameterInput::Value("7".into())),
        ]),
        tags: None,
        capabilities: BTreeSet::new(),
        role_arn: None,
        notification_arns: None,
        rollback_configuration: None,
    };
    let arn = aws.create_change_set(&scope, &stack, "wg-1", &inputs, P).await.unwrap();
    let mut described = aws.describe_change_set(&scope, &stack, &arn, P).await.unwrap();
    for _ in 0..100 {
        if described.is_ready() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        described = aws.describe_change_set(&scope, &stack, &arn, P).await.unwrap();
    }
    let alerting = described.preview.changes.iter().find(|change| change.logical_id == "Alerting").unwrap();
    // The emulator makes no change sets for nested stacks, whatever is asked: what it does not say is not made up.
    assert_eq!((&alerting.nested_change_set, &alerting.nested), (&None, &None));
    let wanted = ContextWanted { exports: true, sizes: true };
    let context = aws.preview_context(&scope, &id, Some(&arn), wanted, P).await.unwrap();
    assert!(context.sizes.is_empty() && context.exports.is_some_and(|exports| exports.len() == 1));
}
