//! Series and alarms.

use super::*;

fn errors(dimension: &str) -> MetricQuery {
    MetricQuery {
        cell: "eu-1".into(),
        metric: "errors".into(),
        source: QuerySource::Metric(MetricStat {
            namespace: "AWS/ApplicationELB".into(),
            name: "HTTPCode_Target_5XX_Count".into(),
            dimensions: vec![("LoadBalancer".into(), dimension.into())],
            statistic: "Average".into(),
            unit: None,
        }),
        period_s: 10,
    }
}

async fn mean(world: &SimWorld, query: MetricQuery, from: Timestamp) -> f64 {
    let now = world.wall();
    let series = world.metrics(&scope(), &[(query, true)], from, now).await.unwrap().remove(0);
    assert_eq!(series.points.len(), series.samples.len());
    assert!(series.points.iter().all(|(at, _)| *at + Duration::from_secs(12) <= world.wall()));
    series.points.iter().map(|(_, value)| value).sum::<f64>() / series.points.len() as f64
}

#[tokio::test(start_paused = true)]
async fn metrics_react_to_a_deployment_and_recover_after_the_revert() {
    let world = world();
    world.bind(&scope(), "app/alb/1", orders());
    world.add_alarm(&scope(), "errors-high", "HTTPCode_Target_5XX_Count", "app/alb/1", 2.0);
    let names = ["errors-high".to_owned(), "no-such-alarm".to_owned()];
    seconds(300).await;
    assert!(mean(&world, errors("app/alb/1"), world.wall() - Duration::from_secs(300)).await < 0.3);
    let alarms = world.alarms(&scope(), &names).await.unwrap();
    assert_eq!(alarms["errors-high"].as_ref().unwrap().state, AlarmState::Ok);
    assert_eq!(alarms["no-such-alarm"], None);

    assert_eq!(apply(&world, "t-1", BAD).await.last(), Some(&StackStatus::UpdateComplete));
    seconds(200).await;
    let (bad_from, bad_to) = (world.wall() - Duration::from_secs(120), world.wall());
    let bad = mean(&world, errors("app/alb/1"), bad_from).await;
    assert!(bad > 5.0, "{bad}");
    assert!(mean(&world, errors("app/other/1"), bad_from).await < 0.3);
    let alarm = world.alarms(&scope(), &names).await.unwrap().remove("errors-high").flatten().unwrap();
    assert_eq!(alarm.state, AlarmState::Alarm);
    assert!(alarm.since.is_some_and(|since| since < world.wall()));

    assert_eq!(apply(&world, "t-2", V1).await.last(), Some(&StackStatus::UpdateComplete));
    seconds(200).await;
    let healed = mean(&world, errors("app/alb/1"), world.wall() - Duration::from_secs(120)).await;
    assert!(healed < 0.3, "{healed}");
    let past = world.metrics(&scope(), &[(errors("app/alb/1"), false)], bad_from, bad_to).await.unwrap().remove(0);
    assert!(past.points.iter().all(|(_, value)| *value > 5.0), "the past stays as it was");
}

#[tokio::test(start_paused = true)]
async fn evidence_can_be_bad_in_every_way() {
    let world = world();
    seconds(600).await;
    let from = world.wall() - Duration::from_secs(300);
    let read = async || {
        let query = [(errors("x"), true)];
        let series = world.metrics(&scope(), &query, from, world.wall()).await.unwrap().remove(0);
        world.mend_metrics();
        series
    };
    let whole = read().await;
    world.break_metric(&scope(), "5xx", None, MetricFault::MissingFrom(from + Duration::from_secs(100)));
    assert!(read().await.points.len() < whole.points.len());
    world.break_metric(&scope(), "5xx", Some("x"), MetricFault::NotANumber);
    assert!(read().await.points.iter().all(|(_, value)| value.is_nan()));
    world.break_metric(&scope(), "5xx", None, MetricFault::FutureDated(Duration::from_secs(90)));
    assert!(read().await.points.last().is_some_and(|(at, _)| *at > world.wall()));
    world.break_metric(&scope(), "5xx", None, MetricFault::Partial);
    assert_eq!(read().await.completeness, Completeness::Partial);
    world.break_metric(&scope(), "5xx", None, MetricFault::Forbidden);
    assert_eq!(read().await.completeness, Completeness::Forbidden);
    world.break_metric(&scope(), "5xx", Some("another"), MetricFault::Forbidden);
    assert_eq!(read().await, whole);
}

#[tokio::test(start_paused = true)]
async fn metric_math_is_done_point_by_point() {
    let world = world();
    seconds(120).await;
    let QuerySource::Metric(stat) = errors("x").source else { panic!() };
    let requests = MetricStat { name: "RequestCount".into(), ..stat.clone() };
    let query = |expression: &str| MetricQuery {
        source: QuerySource::Expression {
            expression: expression.into(),
            inputs: vec![("e".into(), stat.clone()), ("r".into(), requests.clone())],
        },
        ..errors("x")
    };
    let from = world.wall() - Duration::from_secs(100);
    let ask = async |text: &str| world.metrics(&scope(), &[(query(text), false)], from, world.wall()).await;
    let ratio = ask("100 * FILL(e, 0) / r").await.unwrap().remove(0);
    assert!(!ratio.points.is_empty() && ratio.points.iter().all(|(_, value)| *value > 0.01 && *value < 0.04));
    assert!(ask("e / (r - r)").await.unwrap().remove(0).points.is_empty());
    assert!(ask("IF(r > 1, 1, 0)").await.unwrap().remove(0).points.iter().all(|(_, value)| *value == 1.0));
    for wrong in ["100 *", "unknown", "NOPE(e)", "e; r", "e r"] {
        assert_eq!(ask(wrong).await.unwrap_err().kind, ProviderErrorKind::Rejected, "{wrong}");
    }
}
