//! The cloud layer against an emulator of AWS over real sockets: whole change-set cycles, a rollback, lost answers.
//!
//! Runs when `WAVEGATE_EMULATOR` is set; `WAVEGATE_EMULATOR_BIN` then names the folder that holds the programs `ministack` and
//! `microburst` (`tests/run` sees to both).
//!
//! Each test starts an emulator of its own and ends it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudformation::config::Credentials;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wavegate::cloud::aws::{Aws, AwsOptions};
use wavegate::cloud::{Health as _, Priority, Stacks as _};
use wavegate::model::ids::{StackName, Token};
use wavegate::model::observation::{
    AlarmState, Completeness, MetricQuery, MetricStat, OperationTrace, ProviderErrorKind, QuerySource,
};
use wavegate::model::preview::{ChangeSetStatus, DescribedChangeSet, ExecutionStatus, ResourceAction};
use wavegate::model::stack::{ChangeSetInputs, ChangeSetKind, ParameterInput, Scope, StackStatus, StackView, Template};

const P: Priority = Priority::Normal;

const TEMPLATE: &str = "# kept to the byte
Parameters:
  Size: { Type: String, Default: '1' }
  Secret: { Type: String, NoEcho: true, Default: none }
Resources:
  Setting:
    Type: AWS::SSM::Parameter
    Properties: { Name: !Sub '/${AWS::StackName}/size', Type: String, Value: !Ref Size }
  Queue:
    Type: AWS::SQS::Queue
    DeletionPolicy: Retain
";

/// The emulator with the fault proxy before it; both end with the test.
struct Emulator {
    processes: Vec<Child>,
    port: u16,
    proxy: u16,
}

impl Emulator {
    /// `None` when the tests were not asked for.
    fn start() -> Option<Self> {
        if std::env::var_os("WAVEGATE_EMULATOR").is_none() {
            eprintln!("skipped: WAVEGATE_EMULATOR is not set");
            return None;
        }
        let folder = std::env::var_os("WAVEGATE_EMULATOR_BIN").unwrap();
        let (port, proxy) = (free_port(), free_port());
        let emulator = Command::new(Path::new(&folder).join("ministack"))
            .envs([("BIND_HOST", "127.0.0.1"), ("MINISTACK_HOST", "127.0.0.1"), ("LOG_LEVEL", "WARNING")])
            .env("GATEWAY_PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut started = Self { processes: vec![emulator], port, proxy };
        wait_for(port);
        let faults = Command::new(Path::new(&folder).join("microburst"))
            .args(["--host", "127.0.0.1", "-p", &proxy.to_string(), "-u", &format!("http://127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        started.processes.push(faults);
        wait_for(proxy);
        Some(started)
    }

    /// Through the proxy.
    async fn aws(&self) -> Aws {
        Aws::with_config(&self.config(self.proxy).await, &AwsOptions::default())
    }

    async fn config(&self, port: u16) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .region("eu-west-1")
            .credentials_provider(Credentials::new("111111111111", "secret", None, None, "test"))
            .load()
            .await
    }

    /// The proxy's rules from now on.
    fn faults(&self, rules: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.proxy)).unwrap();
        let length = rules.len();
        write!(
            stream,
            "POST /_microburst/rules HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{rules}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    for _ in 0..1_200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nothing listens on port {port}");
}

/// Passes one request on to the emulator and cuts the connection once the emulator has answered: the effect happens, its
/// answer is lost.
fn swallow_one_answer(emulator: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", emulator)).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut buffer = [0; 4096];
        while server.read(&mut buffer).is_err() {
            if let Ok(length) = client.read(&mut buffer) {
                server.write_all(buffer.split_at(length).0).unwrap();
            }
        }
    });
    port
}

fn scope() -> Scope {
    Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None }
}

fn inputs(kind: ChangeSetKind, size: &str) -> ChangeSetInputs {
    let secret = match kind {
        ChangeSetKind::Create => ParameterInput::Value("hush".into()),
        ChangeSetKind::Update => ParameterInput::Previous,
    };
    ChangeSetInputs {
        kind,
        template: Some(Template::new(TEMPLATE)),
        parameters: BTreeMap::from([
            ("Size".to_owned(), ParameterInput::Value(size.into())),
            ("Secret".to_owned(), secret),
        ]),
        tags: Some(BTreeMap::new()),
        capabilities: BTreeSet::new(),
        role_arn: None,
        notification_arns: None,
        rollback_configuration: None,
    }
}

async fn prepared(
    aws: &Aws,
    scope: &Scope,
    stack: &StackName,
    name: &str,
    inputs: &ChangeSetInputs,
) -> DescribedChangeSet {
    let arn = aws.create_change_set(scope, stack, name, inputs, P).await.unwrap();
    assert!(arn.starts_with("arn:aws:cloudformation:eu-west-1:"), "{arn}");
    for _ in 0..1_200 {
        let described = aws.describe_change_set(scope, stack, &arn, P).await.unwrap();
        if !matches!(described.status, ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress) {
            return described;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the change set stays in progress");
}

async fn settled(aws: &Aws, scope: &Scope, stack_id: &str) -> StackView {
    for _ in 0..1_200 {
        let view = aws.describe_by_id(scope, stack_id, P).await.unwrap().unwrap();
        if !view.status.is_in_progress() {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the stack stays in progress");
}

async fn applied(aws: &Aws, scope: &Scope, stack: &StackName, name: &str, inputs: &ChangeSetInputs) -> StackView {
    let described = prepared(aws, scope, stack, name, inputs).await;
    assert_eq!(described.execution_status, ExecutionStatus::Available, "{described:?}");
    let token = Token::new(format!("{name}-token"));
    aws.execute_change_set(scope, stack, &described.arn, &token, P).await.unwrap();
    settled(aws, scope, &described.stack_id).await
}

async fn trace(aws: &Aws, stack: &str, token: &str) -> OperationTrace {
    let long_ago = "2000-01-01T00:00:00Z".parse().unwrap();
    aws.find_operation(&scope(), stack, &token.into(), long_ago, P).await.unwrap()
}

#[tokio::test]
async fn a_stack_is_created_updated_reverted_and_deleted() {
    let Some(emulator) = Emulator::start() else { return };
    let (aws, scope, stack) = (emulator.aws().await, scope(), StackName::from("shop"));

    assert!(aws.describe(&scope, std::slice::from_ref(&stack), P).await.unwrap().is_empty());
    let created = prepared(&aws, &scope, &stack, "one", &inputs(ChangeSetKind::Create, "1")).await;
    assert_eq!(created.preview.counts().added, 2);
    let template = aws.change_set_template(&scope, &stack, &created.arn, P).await.unwrap();
    assert_eq!(template.body(), TEMPLATE);
    let shell = aws.describe(&scope, std::slice::from_ref(&stack), P).await.unwrap();
    assert_eq!(shell[&stack].status, StackStatus::ReviewInProgress);
    let taken = aws.create_change_set(&scope, &stack, "one", &inputs(ChangeSetKind::Create, "9"), P).await.unwrap_err();
    assert_eq!(taken.kind, ProviderErrorKind::AlreadyExists, "{taken}");
    aws.execute_change_set(&scope, &stack, &created.arn, &"one-token".into(), P).await.unwrap();
    let view = settled(&aws, &scope, &created.stack_id).await;
    assert_eq!(view.status, StackStatus::CreateComplete);
    assert!(view.parameters["Secret"].is_hidden() && view.tags.is_empty());
    let found = trace(&aws, &view.stack_id, "one-token").await;
    assert!(found.found && found.failures.is_empty());
    assert_eq!(found.stack_status, Some(StackStatus::CreateComplete), "{found:?}");

    let mut bigger = inputs(ChangeSetKind::Update, "2");
    bigger.tags = Some(BTreeMap::from([("rollout".to_owned(), "r1".to_owned())]));
    let fenced = prepared(&aws, &scope, &stack, "fenced", &bigger).await;
    let updated = applied(&aws, &scope, &stack, "two", &bigger).await;
    assert_eq!(updated.status, StackStatus::UpdateComplete);
    assert_eq!((updated.parameters["Size"].value.as_str(), updated.tags.len()), ("2", 1));
    let late = aws.execute_change_set(&scope, &stack, &fenced.arn, &"late".into(), P).await.unwrap_err();
    assert!(matches!(late.kind, ProviderErrorKind::Rejected | ProviderErrorKind::NotFound), "{late}");
    assert!(!trace(&aws, "shop", "late").await.found);
    aws.delete_change_set(&scope, &stack, &fenced.arn).await.unwrap();
    aws.delete_change_set(&scope, &stack, &fenced.arn).await.unwrap();

    let reverted = applied(&aws, &scope, &stack, "three", &inputs(ChangeSetKind::Update, "1")).await;
    assert_eq!(reverted.status, StackStatus::UpdateComplete);
    assert!(reverted.tags.is_empty(), "a revert takes the tags away: {:?}", reverted.tags);
    assert_eq!(reverted.parameters["Size"].value, "1");
    assert_eq!(aws.template(&scope, &stack, P).await.unwrap().body(), TEMPLATE);
    let same = prepared(&aws, &scope, &stack, "four", &inputs(ChangeSetKind::Update, "1")).await;
    assert!(same.says_no_changes(), "{same:?}");

    assert_eq!(aws.policy(&scope, &stack, P).await.unwrap(), None);
    let resources = aws.resources(&scope, &stack, P).await.unwrap();
    let seen: Vec<_> =
        resources.iter().map(|r| (r.logical_id.as_str(), r.policy_action.as_ref().map(|word| word.as_str()))).collect();
    assert_eq!(seen, [("Queue", Some("Retain")), ("Setting", Some("Delete"))]);
    assert!(resources.iter().all(|r| r.action == ResourceAction::Remove && r.physical_id.is_some()));
    let none = aws.cancel_update(&scope, &stack, &"cancel".into()).await.unwrap_err();
    assert_eq!(none.kind, ProviderErrorKind::Rejected, "{none}");
    aws.delete_stack(&scope, &view.stack_id, &"delete-token".into(), P).await.unwrap();
    assert_eq!(settled(&aws, &scope, &view.stack_id).await.status, StackStatus::DeleteComplete);
    assert!(aws.describe(&scope, std::slice::from_ref(&stack), P).await.unwrap().is_empty());
    let names: Vec<StackName> = ["shop", "a", "b", "c", "d"].map(Into::into).into();
    assert!(aws.describe(&scope, &names, P).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failing_update_is_rolled_back_and_explained() {
    let Some(emulator) = Emulator::start() else { return };
    let (aws, scope, stack) = (emulator.aws().await, scope(), StackName::from("shop"));
    applied(&aws, &scope, &stack, "one", &inputs(ChangeSetKind::Create, "1")).await;
    let bad = TEMPLATE.replace("Type: String, Value", "Type: Nope, Value");
    let bad = ChangeSetInputs { template: Some(Template::new(bad)), ..inputs(ChangeSetKind::Update, "2") };
    let view = applied(&aws, &scope, &stack, "two", &bad).await;
    assert_eq!(view.status, StackStatus::UpdateRollbackComplete);
    assert_eq!(view.parameters["Size"].value, "1");
    assert_eq!(aws.template(&scope, &stack, P).await.unwrap().body(), TEMPLATE);
    let found = trace(&aws, "shop", "two-token").await;
    assert_eq!(found.stack_status, Some(StackStatus::UpdateRollbackComplete), "{found:?}");
    let failed: Vec<_> = found.failures.iter().map(|f| f.logical_id.as_str()).collect();
    assert_eq!(failed, ["Setting"], "{found:?}");
    assert!(!found.failures[0].reason.is_empty());
    let refused = aws.continue_rollback(&scope, &stack, &"continue".into()).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Rejected, "{refused}");
}

#[tokio::test]
async fn after_a_lost_answer_the_token_decides() {
    let Some(emulator) = Emulator::start() else { return };
    let (aws, scope, stack) = (emulator.aws().await, scope(), StackName::from("shop"));
    let created = prepared(&aws, &scope, &stack, "one", &inputs(ChangeSetKind::Create, "1")).await;

    // The call is cut off before the provider sees it: the token is not found, and nothing has happened.
    emulator.faults(r#"[{"service":"cloudformation","operation":"ExecuteChangeSet","times":1,"reset":true}]"#);
    let lost = aws.execute_change_set(&scope, &stack, &created.arn, &"lost".into(), P).await.unwrap_err();
    assert_eq!(lost.kind, ProviderErrorKind::Ambiguous, "{lost}");
    assert_eq!(aws.calls()["ExecuteChangeSet"], 1, "it is not sent again");
    assert!(!trace(&aws, "shop", "lost").await.found);
    let there = aws.describe(&scope, std::slice::from_ref(&stack), P).await.unwrap();
    assert_eq!(there[&stack].status, StackStatus::ReviewInProgress);

    // A server error is as open, throttling is not.
    emulator.faults(
        r#"[{"service":"cloudformation","operation":"ExecuteChangeSet","times":1,"error":{"code":"InternalFailure","status":500}}]"#,
    );
    let other = aws.execute_change_set(&scope, &stack, &created.arn, &"other".into(), P).await;
    assert!(matches!(&other, Err(e) if e.kind == ProviderErrorKind::Ambiguous), "{other:?}");
    emulator.faults(
        r#"[{"service":"cloudformation","operation":"ExecuteChangeSet","times":2,"error":{"code":"Throttling"}},
            {"service":"cloudformation","operation":"DescribeStacks","times":1,"reset":true}]"#,
    );
    aws.execute_change_set(&scope, &stack, &created.arn, &"third".into(), P).await.unwrap();
    assert_eq!(aws.calls()["ExecuteChangeSet"], 5);
    assert_eq!(settled(&aws, &scope, &created.stack_id).await.status, StackStatus::CreateComplete);
    assert!(trace(&aws, "shop", "third").await.found && !trace(&aws, "shop", "other").await.found);

    // The provider has acted and its answer is lost: to us it looks the same, and the token tells the difference.
    let update = prepared(&aws, &scope, &stack, "two", &inputs(ChangeSetKind::Update, "2")).await;
    let port = swallow_one_answer(emulator.port);
    let cut = Aws::with_config(&emulator.config(port).await, &AwsOptions::default());
    let lost = cut.execute_change_set(&scope, &stack, &update.arn, &"acted".into(), P).await.unwrap_err();
    assert_eq!(lost.kind, ProviderErrorKind::Ambiguous, "{lost}");
    assert_eq!(settled(&aws, &scope, &created.stack_id).await.parameters["Size"].value, "2");
    assert_eq!(trace(&aws, "shop", "acted").await.stack_status, Some(StackStatus::UpdateComplete));

    emulator.faults(
        r#"[{"service":"cloudformation","operation":"DescribeStacks","times":1,"error":{"code":"ExpiredToken"}}]"#,
    );
    let denied = aws.describe_by_id(&scope, &created.stack_id, P).await.unwrap_err();
    assert_eq!(denied.kind, ProviderErrorKind::Denied, "{denied}");
}

#[tokio::test]
async fn an_update_in_progress_is_cancelled() {
    let Some(emulator) = Emulator::start() else { return };
    let (aws, scope, stack) = (emulator.aws().await, scope(), StackName::from("shop"));
    let before = applied(&aws, &scope, &stack, "one", &inputs(ChangeSetKind::Create, "1")).await;
    let slow = format!(
        "{TEMPLATE}  Handle: {{ Type: AWS::CloudFormation::WaitConditionHandle }}
  Wait:
    Type: AWS::CloudFormation::WaitCondition
    Properties: {{ Handle: !Ref Handle, Timeout: '10' }}
  After:
    Type: AWS::SQS::Queue
    DependsOn: Wait
"
    );
    let slow = ChangeSetInputs { template: Some(Template::new(slow)), ..inputs(ChangeSetKind::Update, "2") };
    let described = prepared(&aws, &scope, &stack, "two", &slow).await;
    aws.execute_change_set(&scope, &stack, &described.arn, &"two-token".into(), P).await.unwrap();
    let view = aws.describe_by_id(&scope, &before.stack_id, P).await.unwrap().unwrap();
    assert_eq!(view.status, StackStatus::UpdateInProgress);
    let busy = aws.create_change_set(&scope, &stack, "three", &inputs(ChangeSetKind::Update, "3"), P).await;
    assert!(busy.as_ref().map_err(|e| e.kind) != Err(ProviderErrorKind::Ambiguous), "{busy:?}");
    aws.cancel_update(&scope, &stack, &"cancel-token".into()).await.unwrap();
    let view = settled(&aws, &scope, &before.stack_id).await;
    assert_eq!(view.status, StackStatus::UpdateRollbackComplete);
    assert_eq!(view.parameters["Size"].value, "1");
}

#[tokio::test]
async fn a_role_leads_into_its_account() {
    let Some(emulator) = Emulator::start() else { return };
    let aws = emulator.aws().await;
    // A role that cannot be had proves that the call itself was never sent.
    for (code, kind) in
        [("AccessDenied", ProviderErrorKind::Denied), ("InternalFailure", ProviderErrorKind::Unavailable)]
    {
        let rules = r#"[{"service":"sts","operation":"AssumeRole","times":9,"error":{"code":"CODE"}}]"#;
        emulator.faults(&rules.replace("CODE", code));
        let role = Some("arn:aws:iam::333333333333:role/wavegate".into());
        let closed = Scope { account: "333333333333".into(), region: "eu-west-1".into(), role };
        let refused = aws.execute_change_set(&closed, &"shop".into(), "arn:cs", &"t".into(), P).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
    }
    emulator.faults("[]");
    let role = Some("arn:aws:iam::222222222222:role/wavegate".into());
    let there = Scope { account: "222222222222".into(), region: "eu-west-1".into(), role };
    let stack = StackName::from("shop");
    let view = applied(&aws, &there, &stack, "one", &inputs(ChangeSetKind::Create, "1")).await;
    assert!(view.stack_id.contains(":222222222222:"), "{}", view.stack_id);
    assert!(aws.describe(&scope(), std::slice::from_ref(&stack), P).await.unwrap().is_empty());
    let elsewhere = Scope { region: "us-east-1".into(), ..there };
    assert!(aws.describe(&elsewhere, &[stack], P).await.unwrap().is_empty());
}

#[tokio::test]
async fn metrics_and_alarms_are_read() {
    use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricDatum, StandardUnit, StateValue, Statistic};
    let Some(emulator) = Emulator::start() else { return };
    let (aws, scope) = (emulator.aws().await, scope());
    let direct = aws_sdk_cloudwatch::Client::new(&emulator.config(emulator.port).await);
    let now = aws_sdk_cloudwatch::primitives::DateTime::from(std::time::UNIX_EPOCH + since_epoch());
    for value in [3.0, 4.0] {
        let cell = Dimension::builder().name("Cell").value("one").build();
        let datum = MetricDatum::builder().metric_name("errors").value(value).unit(StandardUnit::Count);
        let datum = datum.timestamp(now).dimensions(cell).build();
        direct.put_metric_data().namespace("App").metric_data(datum).send().await.unwrap();
    }
    let alarm = direct.put_metric_alarm().alarm_name("too-many").namespace("App").metric_name("errors");
    let alarm = alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold).threshold(1000.0);
    alarm.evaluation_periods(1).period(60).statistic(Statistic::Sum).send().await.unwrap();
    let state = direct.set_alarm_state().alarm_name("too-many").state_value(StateValue::Alarm);
    state.state_reason("drill").send().await.unwrap();

    let stat = |name: &str| MetricStat {
        namespace: "App".into(),
        name: name.into(),
        dimensions: vec![("Cell".into(), "one".into())],
        statistic: "Sum".into(),
        unit: None,
    };
    let query = |metric: &str, source| MetricQuery { cell: "one".into(), metric: metric.into(), source, period_s: 60 };
    let queries = [
        (query("errors", QuerySource::Metric(stat("errors"))), true),
        (query("nothing", QuerySource::Metric(stat("nothing"))), false),
    ];
    let seconds = i64::try_from(since_epoch().as_secs()).unwrap();
    let from = jiff::Timestamp::from_second(seconds - 600).unwrap();
    let to = jiff::Timestamp::from_second(seconds + 60).unwrap();
    let series = aws.metrics(&scope, &queries, from, to).await.unwrap();
    assert_eq!(series[0].completeness, Completeness::Complete, "{series:?}");
    assert_eq!(series[0].points.iter().map(|(_, value)| value).sum::<f64>(), 7.0);
    assert_eq!(series[0].samples.iter().map(|(_, value)| value).sum::<f64>(), 2.0);
    assert!(series[1].points.is_empty());

    let alarms = aws.alarms(&scope, &["too-many".to_owned(), "missing".to_owned()]).await.unwrap();
    let open = alarms["too-many"].as_ref().unwrap();
    assert_eq!((&open.state, open.reason.as_str(), open.composite), (&AlarmState::Alarm, "drill", false));
    assert!(open.since.is_some() && alarms["missing"].is_none());
}

#[expect(clippy::disallowed_methods, reason = "the emulator dates what it is given by the wall clock")]
fn since_epoch() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}
