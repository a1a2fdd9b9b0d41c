//! The test harness proves itself, before any test leans on it: the emulator takes every fixture, the proxy records,
//! cuts and holds what it is told to, and counts by token.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use serde_json::json;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{Calls, Effect, Emulator, Fate, Match, Place, When, fixture, text};

const TOKEN: (&str, &str) = ("ApiToken", "hunter2hunter2");
const LIMIT: Duration = Duration::from_secs(20);

/// A place whose calls go through the proxy, as the product's do.
fn through_proxy(emulator: &Emulator, account: &str, region: &str) -> Place {
    Place::new(emulator.proxy().address(), account, region)
}

/// Creates a change set from a fixture and waits until it is there; its ARN and its description.
fn prepare(place: &Place, stack: &str, name: &str, template: &str, more: &[(&str, &str)]) -> (String, String) {
    let body = fixture(template);
    let mut fields = vec![
        ("StackName", stack),
        ("ChangeSetName", name),
        ("TemplateBody", &body),
        ("Capabilities.member.1", "CAPABILITY_NAMED_IAM"),
    ];
    fields.extend(more);
    let id = text::value(&place.cloudformation("CreateChangeSet", &fields), "Id").unwrap();
    let description = support::wait_for("the change set is there", LIMIT, || {
        let xml = place.cloudformation("DescribeChangeSet", &[("StackName", stack), ("ChangeSetName", &id)]);
        (text::value(&xml, "Status").as_deref() == Some("CREATE_COMPLETE")).then_some(xml)
    });
    (id, description)
}

/// The parameters of the orders templates for an update: the token stays as it is.
const KEEP_TOKEN: [(&str, &str); 2] =
    [("Parameters.member.1.ParameterKey", "ApiToken"), ("Parameters.member.1.UsePreviousValue", "true")];

fn execute(place: &Place, arn: &str, token: &str) -> std::io::Result<u16> {
    let form = [
        ("Action", "ExecuteChangeSet"),
        ("Version", "2010-05-15"),
        ("ChangeSetName", arn),
        ("ClientRequestToken", token),
        ("DisableRollback", "false"),
    ];
    let form: Vec<_> = form.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    place.send_form("cloudformation", &text::encode_form(&form)).map(|answer| answer.status())
}

/// Each fixture does on the emulator what it is there for.
#[test]
fn fixtures_do_what_they_say() {
    let Some(emulator) = Emulator::start() else { return };
    let place = emulator.at("222222222222", "eu-west-1");
    place.create_stack("orders-c1", &fixture("orders-v1.yaml"), &[TOKEN], &[("team", "orders")]);
    let before = place.snapshot("orders-c1");
    assert_eq!(before.template, fixture("orders-v1.yaml"), "the template's bytes come back");
    assert_eq!(before.parameters["ApiToken"], "****");
    assert_eq!(before.tags["team"], "orders");
    assert_eq!(place.parameter("/orders/orders-c1/token").as_deref(), Some(TOKEN.1));

    let (good, preview) = prepare(&place, "orders-c1", "to-v2", "orders-v2.yaml", &KEEP_TOKEN);
    let actions: Vec<_> = text::members(&preview, "Changes").iter().filter_map(|c| text::value(c, "Action")).collect();
    assert!(
        actions.iter().any(|action| action == "Add") && !actions.iter().any(|action| action == "Remove"),
        "{actions:?}"
    );
    assert_eq!(execute(&place, &good, "token-v2").unwrap(), 200);
    place.wait_status("orders-c1", "UPDATE_COMPLETE");
    assert_eq!(place.parameter("/orders/orders-c1/release").as_deref(), Some("2"));
    assert!(place.events("orders-c1").iter().any(|event| event.token.as_deref() == Some("token-v2")));
    assert_ne!(place.snapshot("orders-c1"), before);

    let (bad, _) = prepare(&place, "orders-c1", "to-bad", "bad-update.yaml", &KEEP_TOKEN);
    assert_eq!(execute(&place, &bad, "token-bad").unwrap(), 200);
    place.wait_status("orders-c1", "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(place.template("orders-c1"), fixture("orders-v2.yaml"));

    let (back, _) = prepare(
        &place,
        "orders-c1",
        "back",
        "orders-v1.yaml",
        &[&KEEP_TOKEN[..], &[("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "orders")]].concat(),
    );
    assert_eq!(execute(&place, &back, "token-back").unwrap(), 200);
    place.wait_status("orders-c1", "UPDATE_COMPLETE");
    assert_eq!(place.snapshot("orders-c1"), before);
    assert_eq!(place.parameter("/orders/orders-c1/token").as_deref(), Some(TOKEN.1));

    let (slow, _) = prepare(&place, "orders-c1", "to-slow", "slow-update.yaml", &KEEP_TOKEN);
    assert_eq!(execute(&place, &slow, "token-slow").unwrap(), 200);
    place.wait_status("orders-c1", "UPDATE_IN_PROGRESS");
    support::wait_for("the handle is there", LIMIT, || {
        place.events("orders-c1").iter().any(|e| e.resource == "Warmed").then_some(())
    });
    place.signal("orders-c1", "Warm");
    place.wait_status("orders-c1", "UPDATE_COMPLETE");
    place.update_stack("orders-c1", &fixture("orders-v2.yaml"), &[("VisibilityTimeout", "60")]);
    assert_eq!(place.stack("orders-c1").unwrap().parameters["VisibilityTimeout"], "60");
}

/// Nested stacks, the small template, metrics and alarms.
#[test]
fn nested_stacks_metrics_and_alarms() {
    let Some(emulator) = Emulator::start() else { return };
    let place = emulator.at("111111111111", "us-east-1");
    let url = place.put_object("templates-1", "nested-alerting.yaml", &fixture("nested-alerting.yaml"));
    place.create_stack("alerted", &fixture("with-nested.yaml"), &[("AlertingUrl", &url)], &[]);
    let nested = place.stacks();
    assert_eq!(nested.len(), 2, "{nested:?}");
    assert_eq!(place.parameter("/alerted/retries").as_deref(), Some("5"));

    place.create_stack("small", &fixture("setting-v1.yaml"), &[], &[]);
    assert_eq!(place.parameter("/small/setting").as_deref(), Some("first low"));
    let (arn, _) = prepare(&place, "small", "to-v2", "setting-v2.yaml", &[]);
    assert_eq!(place.change_sets("small")["to-v2"], "AVAILABLE");
    assert_eq!(execute(&place, &arn, "t").unwrap(), 200);
    place.wait_status("small", "UPDATE_COMPLETE");
    assert_eq!(place.parameter("/small/setting").as_deref(), Some("second low"));
    assert_eq!(emulator.at("111111111111", "us-west-2").stacks().len(), 0, "regions are apart");
    assert_eq!(emulator.at("222222222222", "us-east-1").stacks().len(), 0, "accounts are apart");

    place.put_metric("Orders", "Errors", &[("Cell", "c1")], 7.5, "Percent");
    place.create_alarm("orders-c1");
    place.set_alarm("orders-c1", "ALARM");
    let xml = place.try_call("monitoring", "2010-08-01", "DescribeAlarms", &[]).text();
    assert_eq!(text::value(&xml, "StateValue").as_deref(), Some("ALARM"), "{xml}");
    emulator.reset();
    assert_eq!(place.stacks().len(), 0);
}

/// A lost answer: the provider has done it, the caller knows nothing, the record and the stack's events tell.
#[test]
fn a_lost_answer_is_cut_after_the_effect() {
    let Some(emulator) = Emulator::start() else { return };
    let place = through_proxy(&emulator, "111111111111", "us-west-2");
    let proxy = emulator.proxy();
    place.create_stack("small", &fixture("setting-v1.yaml"), &[], &[]);
    let (arn, _) = prepare(&place, "small", "to-v2", "setting-v2.yaml", &[]);
    let mark = proxy.mark();

    proxy.fault(Match::action("ExecuteChangeSet").stack("small"), Effect::CutBefore);
    assert!(execute(&place, &arn, "token-1").is_err(), "cut before: no answer");
    assert_eq!(place.stack("small").unwrap().status, "CREATE_COMPLETE", "and no effect");
    proxy.fault(Match::action("ExecuteChangeSet").stack("small"), Effect::CutAfter);
    assert!(execute(&place, &arn, "token-1").is_err(), "cut after: no answer");
    place.wait_status("small", "UPDATE_COMPLETE");
    assert!(place.events("small").iter().any(|event| event.token.as_deref() == Some("token-1")), "but the effect");
    assert_ne!(execute(&place, &arn, "token-1").unwrap(), 200, "executed once, refused the second time");

    let executes = proxy.calls().after(mark).of("ExecuteChangeSet");
    let fates: Vec<_> = executes.iter().map(|call| (call.fate, call.accepted())).collect();
    assert_eq!(fates, [(Fate::CutBefore, false), (Fate::CutAfter, true), (Fate::Answered, false)]);
    assert_eq!(executes.executes_per_token()["token-1"], 2);
    assert_eq!(executes.accepted_executes_per_token()["token-1"], 1);
    let call = executes.first().unwrap();
    assert_eq!(call.target(), "111111111111/us-west-2/small", "the stack is known from the change set's ARN");
    assert_eq!(call.change_set_name(), Some("to-v2"));
    assert_eq!(call.disable_rollback(), Some("false"));
    assert_eq!((call.service.as_str(), call.token()), ("cloudformation", Some("token-1")));
}

/// Holding, delaying, acting at an exact call, and knowing a role's account.
#[test]
fn calls_are_held_delayed_and_placed() {
    let Some(emulator) = Emulator::start() else { return };
    let place = through_proxy(&emulator, "111111111111", "us-east-1");
    let proxy = emulator.proxy();

    let gate = proxy.hold(Match::action("DescribeStacks").skip(1));
    assert_eq!(place.stacks().len(), 0, "the first one passes");
    let held = std::thread::spawn({
        let place = place.clone();
        move || place.stacks().len()
    });
    let calls = proxy.wait_until("the second one arrives", LIMIT, |calls| calls.of("DescribeStacks").len() == 2);
    assert_eq!(calls.last().unwrap().fate, Fate::Open);
    std::thread::sleep(Duration::from_millis(50));
    assert!(!held.is_finished(), "and is held");
    gate.open();
    assert_eq!(held.join().unwrap(), 0);

    proxy.fault(Match::action("DescribeStacks"), Effect::DelayAfter(Duration::from_millis(200)));
    place.stacks();
    assert!(proxy.calls().last().unwrap().took >= Duration::from_millis(200));

    let (seen, told) = channel();
    let before = seen.clone();
    proxy.at_call(5, When::Before, move |call| before.send((call.number, call.status)).unwrap());
    proxy.at_call(5, When::After, move |call| seen.send((call.number, call.status)).unwrap());
    place.stacks();
    assert!(told.try_recv().is_err(), "the fourth call is not the fifth");
    place.stacks();
    assert_eq!([told.recv().unwrap(), told.recv().unwrap()], [(5, 0), (5, 0)]);

    let role = "arn:aws:iam::333333333333:role/cell";
    let fields = [("RoleArn", role), ("RoleSessionName", "test")];
    let session = place.try_call("sts", "2011-06-15", "AssumeRole", &fields).text();
    let key = text::value(&session, "AccessKeyId").unwrap();
    let token = text::value(&session, "SessionToken").unwrap();
    through_proxy(&emulator, &key, "us-east-1").with_session(&token).create_stack(
        "small",
        &fixture("setting-v1.yaml"),
        &[],
        &[],
    );
    assert_eq!(proxy.calls().of("CreateStack").targets(), ["333333333333/us-east-1/small"]);
    assert_eq!(emulator.at("333333333333", "us-east-1").stacks().len(), 1);
}

/// Injected faults come through the same door, and are recorded with their code.
#[test]
fn injected_faults_are_recorded() {
    let Some(emulator) = Emulator::start() else { return };
    let place = through_proxy(&emulator, "111111111111", "us-east-1");
    emulator.inject(&json!([
        { "service": "cloudformation", "operation": "DescribeStacks", "times": 2, "error": { "code": "Throttling" } }
    ]));
    let statuses: Vec<u16> =
        (0..3).map(|_| place.try_call("cloudformation", "2010-05-15", "DescribeStacks", &[]).status()).collect();
    assert_eq!(statuses, [400, 400, 200]);
    let calls: Calls = emulator.proxy().calls();
    assert_eq!(calls[0].error.as_deref(), Some("Throttling"));
    assert_eq!(emulator.fired().as_array().map(Vec::len), Some(2), "{}", emulator.fired());
    emulator.clear_faults();
    assert_eq!(place.stacks().len(), 0);
}
