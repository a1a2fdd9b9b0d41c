//! What accepted words mean: which cells a wave takes, how long a duration is, where a threshold lies.

use super::root;
use wavegate::model::document::fields::parse_duration;
use wavegate::model::pipeline::check::select_cells;
use wavegate::model::pipeline::{self, Metric, MetricScope, MetricSource, Pipeline, RatioPart, Worse};

/// Ten cells of two environments: `s1`, `s2` in staging, `p1` … `p8` in production with 5, 5, 10, 20, 20, 20, 10, 10 %.
fn fleet_with(waves: &[&str]) -> Pipeline {
    let mut text = String::from("version: 1\nname: small\nfleet:\n  cells:\n");
    let cells = [
        ("s1", 0),
        ("s2", 0),
        ("p1", 5),
        ("p2", 5),
        ("p3", 10),
        ("p4", 20),
        ("p5", 20),
        ("p6", 20),
        ("p7", 10),
        ("p8", 10),
    ];
    for (name, share) in cells {
        let environment = if name.starts_with('s') { "staging" } else { "production" };
        text.push_str(&format!(
            "    - {{name: {name}, account: \"111111111111\", region: eu-west-1, environment: {environment}, traffic_share: {share}, stacks: {{a: a-{name}}}}}\n"
        ));
    }
    text.push_str("waves:\n");
    for (at, wave) in waves.iter().enumerate() {
        text.push_str(&format!("  - {{name: w{at}, bake: 10m, {wave}}}\n"));
    }
    text.push_str("health: {alarms: [{name: a}]}\n");
    pipeline::read::read("x", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn taken(waves: &[&str]) -> Vec<String> {
    let pipeline = fleet_with(waves);
    let selected = select_cells(&pipeline.cells, &pipeline.waves);
    selected.iter().map(|cells| cells.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(" ")).collect()
}

const STAGING: &str = "environment: staging, select: {remaining: true}";
const REST: &str = "select: {remaining: true}";

#[test]
fn counts_and_names_take_what_is_left_in_the_fleets_order() {
    let waves = [
        "environment: production, select: {cells: [p3, p1]}",
        STAGING,
        "environment: production, select: {count: 2}",
        REST,
    ];
    assert_eq!(taken(&waves), ["p1 p3", "s1 s2", "p2 p4", "p5 p6 p7 p8"]);
}

#[test]
fn percentages_of_targets_are_of_the_environment_round_down_and_take_at_least_one() {
    let waves = [
        STAGING,
        "environment: production, select: {percent_of_targets: 1}",
        "environment: production, select: {percent_of_targets: 49}",
        REST,
    ];
    assert_eq!(taken(&waves), ["s1 s2", "p1", "p2 p3 p4", "p5 p6 p7 p8"]);
}

#[test]
fn percentages_of_traffic_stay_within_the_number_and_take_at_least_one() {
    let percent = |n: u32| format!("environment: production, select: {{percent_of_traffic: {n}}}");
    let waves = [STAGING.to_owned(), percent(1), percent(20), percent(45), REST.to_owned()];
    let waves: Vec<&str> = waves.iter().map(String::as_str).collect();
    assert_eq!(taken(&waves), ["s1 s2", "p1", "p2 p3", "p4 p5", "p6 p7 p8"]);
}

#[test]
fn without_an_environment_a_wave_takes_from_all() {
    assert_eq!(taken(&["select: {count: 3}", REST]), ["s1 s2 p1", "p2 p3 p4 p5 p6 p7 p8"]);
}

#[test]
fn durations_have_units_and_limits() {
    let millis = |text: &str| parse_duration(text).map(|span| span.0);
    for (text, expected) in [("0s", 0), ("45s", 45_000), ("1h30m", 5_400_000), ("250ms", 250), ("720h", 2_592_000_000)]
    {
        assert_eq!(millis(text), Some(expected), "{text}");
    }
    for text in ["", "10", "-5m", "soon", "22:30", "721h", "99999999999999999h", "1e3s", "NaN", "10 apples"] {
        assert_eq!(millis(text), None, "{text}");
    }
}

#[test]
fn thresholds_are_one_comparison_with_a_finite_number() {
    let sound = std::fs::read_to_string(root().join("tests/bad_input/sound_pipeline.yaml")).unwrap();
    let read =
        |words: &str| pipeline::read::read("x", sound.replace("\"> 1.2\"", &format!("\"{words}\"")).as_bytes()).ok();
    let bad = |words: &str, value: f64| read(words).unwrap().health.metrics[1].fail_when.unwrap().is_bad(value);
    assert!(bad("> 5", 5.1) && !bad("> 5", 5.0) && bad(">=5", 5.0) && !bad(">= 5", 4.9));
    assert!(bad("< 5", 4.9) && !bad("< 5", 5.0) && bad(" <= -0.5 ", -0.5) && !bad("<= -0.5", 0.0));
    for words in ["> NaN", "> inf", "> -infinity", "> 1e999", "5", "= 5", "> 5 ms", ">", "> > 5", "≥ 5"] {
        assert!(read(words).is_none(), "{words}");
    }
}

/// The sound pipeline with something else in place of its `latency`, and more in its health section.
fn with_metric(metric: &str, health: &str) -> Pipeline {
    let sound = std::fs::read_to_string(root().join("tests/bad_input/sound_pipeline.yaml")).unwrap();
    let (before, rest) = sound.split_once("    - name: latency\n").unwrap();
    let (_, after) = rest.split_once("  alarms:\n").unwrap();
    let text = format!("{before}    - {{name: other, period: 60s, {metric}}}\n{health}  alarms:\n{after}");
    pipeline::read::read("x", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn other(metric: &str, health: &str) -> Metric {
    with_metric(metric, health).health.metrics.remove(1)
}

const COUNT: &str = "{namespace: A, metric: B, statistic: Sum}";

#[test]
fn percentiles_need_samples_unless_the_pipeline_says_how_many() {
    let needs = |statistic: &str, more: &str| {
        other(&format!("namespace: A, metric: B, statistic: {statistic}, fail_when: \"> 1\"{more}"), "").min_samples
    };
    // 10/(1-p) for the upper half, 10/p for the lower.
    assert_eq!(["p50", "p90", "p99", "p99.9", "p10", "p1"].map(|p| needs(p, "")), [20, 100, 1000, 10_000, 100, 1000]);
    assert_eq!(["Average", "Sum", "p100", "p0", "tm99", "IQM"].map(|p| needs(p, "")), [0; 6]);
    assert_eq!((needs("p99", ", min_samples: 0"), needs("p99", ", min_samples: 7")), (0, 7));
}

#[test]
fn a_ratio_is_two_counts() {
    let ratio = |more: &str| {
        other(&format!("ratio: {{bad: {COUNT}, total: {COUNT}{more}}}, fail_when: \"> 1\", scope: wave"), "")
    };
    let MetricSource::Ratio { bad, total, scale, absent_bad_is_zero } = ratio("").source else { panic!() };
    assert!(matches!((&bad, &total), (RatioPart::Metric(a), RatioPart::Metric(b)) if a == b));
    assert_eq!((scale, absent_bad_is_zero), (1.0, false));
    let metric = ratio(", percent: true, absent_bad: zero");
    assert!(matches!(metric.source, MetricSource::Ratio { scale: 100.0, absent_bad_is_zero: true, .. }));
    assert_eq!((metric.scope, metric.min_samples), (MetricScope::Wave, 0));
    assert_eq!(metric.series(), ["other.bad", "other.total"]);
}

#[test]
fn which_direction_is_worse_follows_from_the_threshold_or_is_said() {
    let worse =
        |words: &str| other(&format!("namespace: A, metric: B, statistic: Sum{words}"), "  compare: {}\n").compare;
    assert_eq!(worse(", fail_when: \"> 1\""), Some(Worse::Higher));
    assert_eq!(worse(", fail_when: \"<= 1\""), Some(Worse::Lower));
    assert_eq!(worse(", fail_when: \"> 1\", compare: either"), Some(Worse::Either));
    assert_eq!(worse(", fail_when: \"> 1\", compare: off"), None);
    assert_eq!(worse(", compare: lower_is_worse"), Some(Worse::Lower));
    assert_eq!(other(&format!("ratio: {{bad: {COUNT}, total: {COUNT}}}, fail_when: \"> 1\""), "").compare, None);
}

#[test]
fn comparison_has_defaults_and_limits() {
    let compare =
        |words: &str| with_metric("namespace: A, metric: B, statistic: Sum, fail_when: \"> 1\"", words).health.compare;
    assert_eq!(compare(""), None);
    assert_eq!(compare("  compare: {}\n"), Some(pipeline::Compare::default()));
    let said = compare("  compare: {alpha: 0.001, history: 2h, margin: 25%, detect: 1.5}\n").unwrap();
    assert_eq!((said.alpha, said.history.0, said.margin, said.detect), (0.001, 7_200_000, 0.25, 1.5));
}

#[test]
fn placeholders_in_promql_leave_its_own_braces() {
    let cell = &fleet_with(&["select: {remaining: true}"]).cells[2];
    let filled = |text: &str| cell.fill_promql(text).unwrap();
    assert_eq!(filled("up{job=\"a\",cell=\"{cell}\"} > {region}"), "up{job=\"a\",cell=\"p1\"} > eu-west-1");
    assert_eq!(filled("x{path=~\"a{2}\"}"), "x{path=~\"a{2}\"}");
    assert_eq!(filled("{__name__=~\"{environment}:.*\"}"), "{__name__=~\"production:.*\"}");
    assert_eq!(filled("up{}"), "up{}");
    assert_eq!(cell.fill_promql("up{cell=\"{cell.alb}\"}"), Err("cell.alb".to_owned()));
    assert_eq!(cell.fill_promql("up{cell=\"{cel}\"}"), Err("cel".to_owned()));
}

#[test]
fn a_section_says_no_more_than_it_did_where_nothing_new_is_written() {
    let sound = std::fs::read(root().join("tests/bad_input/sound_pipeline.yaml")).unwrap();
    let health = pipeline::read::read("x", &sound).unwrap().health;
    let written = serde_json::to_string(&health).unwrap();
    for new in ["lag", "compare", "prometheus", "scope", "detect"] {
        assert!(!written.contains(&format!("\"{new}\"")), "{new} in {written}");
    }
    assert_eq!(serde_json::from_str::<pipeline::Health>(&written).unwrap(), health);
    assert_eq!(health.lag(), std::time::Duration::from_secs(120));
}
