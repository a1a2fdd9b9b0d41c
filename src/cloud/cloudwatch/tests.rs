//! CloudWatch's answers, page by page, as the SDK hands them over.

use super::*;
use crate::cloud::budget::BudgetOptions;
use crate::model::observation::{AlarmState, MetricStat, QuerySource};
use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::operation::get_metric_data::{GetMetricDataInput, GetMetricDataOutput};
use aws_sdk_cloudwatch::types::{
    ActionsSuppressedBy, CompositeAlarm, EvaluationState, MetricAlarm, MetricDataQuery, StateValue, StatusCode,
};
use aws_smithy_mocks::{MockResponseInterceptor, Rule, RuleMode, create_mock_http_client, mock};

fn scope() -> Scope {
    Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None }
}

fn stat(name: &str) -> MetricStat {
    MetricStat {
        namespace: "App".into(),
        name: name.into(),
        dimensions: vec![("Cell".into(), "one".into())],
        statistic: "Sum".into(),
        unit: Some("Count".into()),
    }
}

fn query(metric: &str, source: QuerySource) -> MetricQuery {
    MetricQuery { cell: "one".into(), metric: metric.into(), source, period_s: 60 }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
}

fn result(id: &str, code: StatusCode, points: &[(i64, f64)]) -> MetricDataResult {
    MetricDataResult::builder()
        .id(id)
        .status_code(code)
        .set_timestamps(Some(points.iter().map(|(minute, _)| date_time(at(*minute))).collect()))
        .set_values(Some(points.iter().map(|(_, value)| *value).collect()))
        .build()
}

fn page(results: Vec<MetricDataResult>, next: Option<&str>) -> GetMetricDataOutput {
    let output = GetMetricDataOutput::builder().set_metric_data_results(Some(results));
    output.set_next_token(next.map(Into::into)).build()
}

fn on(
    matches: fn(&GetMetricDataInput) -> bool,
    output: impl Fn() -> GetMetricDataOutput + Send + Sync + 'static,
) -> Rule {
    mock!(Client::get_metric_data).match_requests(matches).then_output(output)
}

fn client(rules: &[Rule]) -> Client {
    let mocks = MockResponseInterceptor::new().rule_mode(RuleMode::MatchAny);
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_cloudwatch::config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_cloudwatch::config::Credentials::new("a", "b", None, None, "test"))
        .http_client(create_mock_http_client())
        .interceptor(rules.iter().fold(mocks, MockResponseInterceptor::with_rule));
    Client::from_conf(config.build())
}

async fn ask(rules: &[Rule], queries: &[(MetricQuery, bool)]) -> Vec<Series> {
    let caller = Caller::new(BudgetOptions::default(), 1);
    let client = client(rules);
    let cloudwatch = CloudWatch { client, caller: &caller, scope: &scope() };
    cloudwatch.metrics(queries, at(0), at(10)).await.unwrap()
}

#[tokio::test]
async fn pages_are_joined_and_the_last_code_counts() {
    let rules = [
        on(
            |input| input.next_token().is_none(),
            || {
                let late = result("m0", StatusCode::PartialData, &[(3, 3.0), (2, f64::NAN)]);
                page(vec![late, result("m1", StatusCode::PartialData, &[(1, 1.0)])], Some("p1"))
            },
        ),
        on(
            |input| input.next_token() == Some("p1"),
            || page(vec![result("m0", StatusCode::Complete, &[(1, 1.0), (3, 4.0)])], None),
        ),
    ];
    let queries = ["a", "b", "c"].map(|name| (query(name, QuerySource::Metric(stat(name))), false));
    let series = ask(&rules, &queries).await;
    assert_eq!(series[0].completeness, Completeness::Complete);
    let times: Vec<_> = series[0].points.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [at(1), at(2), at(3)]);
    assert!(series[0].points[1].1.is_nan());
    assert_eq!(series[0].points[2].1, 4.0);
    assert_eq!(series[1].completeness, Completeness::Partial);
    assert_eq!(series[2].completeness, Completeness::Unknown("not returned".into()));
    assert!(series[2].points.is_empty());
    assert_eq!(series[2].metric, "c");
}

#[tokio::test]
async fn expressions_have_their_own_inputs_and_the_least_of_their_samples() {
    let matches = |input: &GetMetricDataInput| {
        let queries = input.metric_data_queries();
        let shape: Vec<_> = queries
            .iter()
            .map(|q| {
                let stat = q.metric_stat().map(|m| (m.metric().unwrap().metric_name().unwrap(), m.stat().unwrap()));
                (q.id().unwrap(), q.expression(), stat, q.return_data())
            })
            .collect();
        assert_eq!(
            shape,
            [
                ("m0", None, Some(("latency", "Sum")), Some(true)),
                ("m1", None, Some(("latency", "SampleCount")), Some(true)),
                ("m2", None, Some(("errors", "Sum")), Some(false)),
                ("m3", None, Some(("requests", "Sum")), Some(false)),
                ("m4", Some("100*m2/m3"), None, Some(true)),
                ("m5", None, Some(("errors", "SampleCount")), Some(true)),
                ("m6", None, Some(("requests", "SampleCount")), Some(true)),
            ]
        );
        let metric = queries[0].metric_stat().unwrap();
        metric.unit().unwrap().as_str() == "Count" && metric.period() == Some(60)
    };
    let rule = on(matches, || {
        page(
            vec![
                result("m0", StatusCode::Complete, &[(1, 9.0)]),
                result("m1", StatusCode::Complete, &[(1, 50.0)]),
                result("m4", StatusCode::Complete, &[(1, 2.5), (2, 0.0)]),
                result("m5", StatusCode::Complete, &[(1, 4.0)]),
                result("m6", StatusCode::Forbidden, &[(1, 100.0), (2, 80.0)]),
            ],
            None,
        )
    });
    let inputs = vec![("e".to_owned(), stat("errors")), ("r".to_owned(), stat("requests"))];
    let rate = QuerySource::Expression { expression: "100*e/r".into(), inputs: inputs.clone() };
    let foreign = QuerySource::Expression { expression: "m0/r".into(), inputs };
    let queries = [
        (query("latency", QuerySource::Metric(stat("latency"))), true),
        (query("rate", rate), true),
        (query("foreign", foreign), true),
    ];
    let series = ask(&[rule], &queries).await;
    assert_eq!(series[0].samples, [(at(1), 50.0)]);
    assert_eq!(series[1].points, [(at(1), 2.5), (at(2), 0.0)]);
    assert_eq!(series[1].samples, [(at(1), 4.0), (at(2), 80.0)]);
    assert_eq!(series[1].completeness, Completeness::Forbidden);
    assert!(matches!(&series[2].completeness, Completeness::Unknown(why) if why.contains("`m0`")));
}

#[tokio::test]
async fn a_series_that_cannot_be_paired_or_read_is_unknown() {
    let rule = on(
        |_| true,
        || {
            let mut uneven = result("m0", StatusCode::Complete, &[(1, 1.0)]);
            uneven.values = Some(vec![1.0, 2.0]);
            let future = result("m1", StatusCode::from("Novelty"), &[]);
            page(vec![uneven, future, result("m2", StatusCode::InternalError, &[])], None)
        },
    );
    let queries = ["a", "b", "c"].map(|name| (query(name, QuerySource::Metric(stat(name))), false));
    let series = ask(&[rule], &queries).await;
    assert!(matches!(&series[0].completeness, Completeness::Unknown(_)));
    assert_eq!(series[1].completeness, Completeness::Unknown("Novelty".into()));
    assert_eq!(series[2].completeness, Completeness::InternalError);
}

#[test]
fn batches_hold_at_most_500_and_keep_a_query_together() {
    let inputs: Vec<_> = (0..3).map(|n| (format!("i{n}"), stat("x"))).collect();
    let source = QuerySource::Expression { expression: "i0+i1+i2".into(), inputs };
    // Another period is another question.
    let queries: Vec<_> =
        (1..=150).map(|n| (MetricQuery { period_s: 60 * n, ..query("q", source.clone()) }, true)).collect();
    let plan = request::plan(&queries);
    assert_eq!(plan.batches.iter().map(|batch| batch.queries.len()).collect::<Vec<_>>(), [497, 497, 56]);
    let inputs = (0..300).map(|n| (format!("i{n}"), stat("x"))).collect();
    let huge = QuerySource::Expression { expression: "i0".into(), inputs };
    let plan = request::plan(&[(query("huge", huge), true)]);
    assert!(plan.batches.is_empty() && plan.refused.len() == 1);
}

#[tokio::test]
async fn the_same_question_is_asked_once_and_answered_to_all() {
    let rule = on(
        |input| input.metric_data_queries().len() == 3,
        || {
            let total = result("m0", StatusCode::PartialData, &[(1, 40.0)]);
            let [counted, samples] =
                [("m1", 40.0), ("m2", 7.0)].map(|(id, value)| result(id, StatusCode::Complete, &[(1, value)]));
            page(vec![total, counted, samples], None)
        },
    );
    let total = QuerySource::Metric(stat("requests"));
    let queries = [
        (query("errors.total", total.clone()), false),
        (query("slow.total", total.clone()), true),
        (MetricQuery { cell: "two".into(), ..query("errors.total", total) }, false),
    ];
    let series = ask(&[rule], &queries).await;
    assert_eq!((series[0].metric.as_str(), series[2].cell.as_str()), ("errors.total", "two"));
    for shared in [&series[0], &series[2]] {
        assert_eq!((&shared.completeness, &shared.points), (&Completeness::Partial, &vec![(at(1), 40.0)]));
        assert!(shared.samples.is_empty());
    }
    // Whose samples are wanted asks another question.
    assert_eq!((&series[1].completeness, &series[1].samples), (&Completeness::Complete, &vec![(at(1), 7.0)]));
}

#[tokio::test]
async fn messages_are_taken_seriously() {
    let message = |code: &str, value: &str| MessageData::builder().code(code).value(value).build();
    let ask_with = async |of_page: Option<MessageData>, of_series: Option<MessageData>| {
        let rule = on(
            |_| true,
            move || {
                let mut one = result("m0", StatusCode::Complete, &[(1, 1.0)]);
                one.messages = of_series.clone().map(|message| vec![message]);
                let mut page = page(vec![one, result("m1", StatusCode::Complete, &[(1, 1.0)])], None);
                page.messages = of_page.clone().map(|message| vec![message]);
                page
            },
        );
        let queries = ["a", "b"].map(|name| (query(name, QuerySource::Metric(stat(name))), false));
        ask(&[rule], &queries).await.into_iter().map(|series| series.completeness).collect::<Vec<_>>()
    };
    let dropped = message("ArithmeticError", "One or more data-points have been dropped due to non-numeric values");
    assert_eq!(ask_with(Some(dropped.clone()), Some(dropped)).await, [Completeness::Complete, Completeness::Complete]);
    let limit = Completeness::Unknown("Limit: Maximum number of allowed metrics exceeded".into());
    let said = message("Limit", "Maximum number of allowed metrics exceeded");
    assert_eq!(ask_with(Some(said.clone()), None).await, [limit.clone(), limit.clone()]);
    assert_eq!(ask_with(None, Some(said)).await, [limit, Completeness::Complete]);
}

#[tokio::test]
async fn pages_without_end_are_partial() {
    let rule = on(|_| true, || page(vec![result("m0", StatusCode::Complete, &[(1, 1.0)])], Some("again")));
    let series = ask(&[rule], &[(query("a", QuerySource::Metric(stat("a"))), false)]).await;
    assert_eq!(series[0].completeness, Completeness::Partial);
}

#[tokio::test]
async fn missing_alarms_are_none() {
    let rule = mock!(Client::describe_alarms)
        .match_requests(|input| input.alarm_types().len() == 2 && input.alarm_names().len() <= 100)
        .then_output(|| {
            let cpu = MetricAlarm::builder().alarm_name("cpu").state_value(StateValue::Alarm).state_reason("high");
            let cpu = cpu.evaluation_state(EvaluationState::PartialData);
            let cpu = cpu.state_transitioned_timestamp(date_time(at(1))).state_updated_timestamp(date_time(at(2)));
            let all = CompositeAlarm::builder().alarm_name("all").state_value(StateValue::from("NEW"));
            DescribeAlarmsOutput::builder().metric_alarms(cpu.build()).composite_alarms(all.build()).build()
        });
    let caller = Caller::new(BudgetOptions::default(), 1);
    let client = client(&[rule]);
    let cloudwatch = CloudWatch { client, caller: &caller, scope: &scope() };
    let mut names: Vec<String> = (0..120).map(|n| format!("missing-{n}")).collect();
    names.extend(["cpu".to_owned(), "all".to_owned()]);
    let alarms = cloudwatch.alarms(&names).await.unwrap();
    assert_eq!(alarms.len(), 122);
    assert_eq!(alarms.values().flatten().count(), 2);
    let cpu = alarms["cpu"].as_ref().unwrap();
    assert_eq!((&cpu.state, cpu.since, cpu.composite), (&AlarmState::Alarm, Some(at(1)), false));
    assert_eq!(cpu.evaluation_trouble.as_deref(), Some("PARTIAL_DATA"));
    let all = alarms["all"].as_ref().unwrap();
    assert_eq!((&all.state, all.composite), (&AlarmState::Unknown("NEW".into()), true));
    // Without names the API would list every alarm of the region.
    assert!(cloudwatch.alarms(&[]).await.unwrap().is_empty());
    assert_eq!(caller.counts()["DescribeAlarms"], 2);
}

#[tokio::test]
async fn alarms_tell_what_speaks_against_them() {
    let rule = mock!(Client::describe_alarms).then_output(|| {
        let metric = |name: &str| MetricAlarm::builder().alarm_name(name).state_value(StateValue::Ok);
        let composite = |name: &str| CompositeAlarm::builder().alarm_name(name).state_value(StateValue::Ok);
        let insights = |text: &str| MetricDataQuery::builder().id("q1").expression(text).build();
        let grouped = insights("SELECT MAX(Age) FROM SCHEMA(\"AWS/SQS\", QueueName) GROUP BY QueueName");
        let suppressed = composite("suppressed").actions_enabled(true).actions_suppressor("arn:maintenance");
        let suppressed = suppressed
            .actions_suppressed_by(ActionsSuppressedBy::ExtensionPeriod)
            .actions_suppressed_reason("Extension period is in progress");
        DescribeAlarmsOutput::builder()
            .metric_alarms(
                metric("plain").actions_enabled(true).metrics(insights("SELECT MAX(Age) FROM \"AWS/SQS\"")).build(),
            )
            .metric_alarms(metric("off").actions_enabled(false).build())
            .metric_alarms(metric("grouped").metrics(grouped).build())
            .composite_alarms(composite("all").actions_enabled(true).actions_suppressor("arn:maintenance").build())
            .composite_alarms(composite("all-off").actions_enabled(false).build())
            .composite_alarms(suppressed.build())
            .build()
    });
    let caller = Caller::new(BudgetOptions::default(), 1);
    let client = client(&[rule]);
    let cloudwatch = CloudWatch { client, caller: &caller, scope: &scope() };
    let names = ["plain", "off", "grouped", "all", "all-off", "suppressed"].map(ToOwned::to_owned);
    let alarms = cloudwatch.alarms(&names).await.unwrap();
    let alarm = |name: &str| alarms[name].clone().unwrap();
    for name in ["plain", "all"] {
        assert_eq!((alarm(name).muted, alarm(name).several_series), (None, false), "{name}");
    }
    for name in ["off", "all-off"] {
        assert!(alarm(name).muted.unwrap().contains("ActionsEnabled is false"), "{name}");
    }
    assert_eq!((alarm("grouped").muted, alarm("grouped").several_series), (None, true));
    let why = "its actions are suppressed by arn:maintenance (ExtensionPeriod): Extension period is in progress";
    assert_eq!(alarm("suppressed").muted.as_deref(), Some(why));
}

#[test]
fn times_before_1970_keep_their_fraction() {
    let time: Timestamp = "1969-12-31T23:59:58.75Z".parse().unwrap();
    assert_eq!(timestamp(&date_time(time)), Some(time));
}
