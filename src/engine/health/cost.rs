//! What watching a rollout costs: requests and money, estimated from the very queries that its looks will make.
//!
//! An estimate for the planned bakes. Looks while stacks are updated, and bakes that are extended, come on top; a rollout that is
//! stopped costs less.

use super::evidence::{Reads, reads};
use crate::model::observation::{MetricQuery, QuerySource};
use crate::model::plan::Plan;
use std::collections::HashSet;

/// US dollars for one metric that `GetMetricData` is asked for, and for one request of `DescribeAlarms`: 0.01 for 1,000.
/// Source: "Amazon CloudWatch pricing", APIs, US East (N. Virginia), as of November 2026. Other regions differ a little, and the first
/// million API requests of a month, which are free, do not count `GetMetricData`.
const USD_EACH: f64 = 0.01 / 1000.0;

/// Alarm names in one request of `DescribeAlarms`, by the API reference.
const ALARMS_PER_CALL: usize = 100;

/// What one look asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Metrics that `GetMetricData` is asked for, the inputs of expressions and sample counts among them. This is what is paid.
    pub metrics: u64,
    /// Requests of `GetMetricData`, without further pages.
    pub metric_calls: u64,
    /// Requests of `DescribeAlarms`.
    pub alarm_calls: u64,
    /// Queries to Prometheus servers.
    pub prometheus: u64,
    /// A `SEARCH` or a Metrics Insights query is among them: CloudWatch charges for every metric that it goes through, and nobody knows
    /// their number beforehand.
    pub open_ended: bool,
}

/// What a whole rollout asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watching {
    /// The look that asks for most: the last wave's.
    pub look: Look,
    /// Looks in all planned bakes.
    pub looks: u64,
    /// What is read of the past before the first wave, once; nothing where cells are not compared.
    pub history: Look,
    /// All looks and the history.
    pub total: Look,
    /// US dollars for all of it.
    pub usd: f64,
}

/// What a look with these reads asks for. The same question of several cells or metrics is asked once in a call, as
/// [`crate::cloud`]'s sources do it.
pub fn look(reads: &Reads) -> Look {
    let mut look = Look::default();
    for chunk in reads.metrics.values().flatten() {
        let distinct: HashSet<(&QuerySource, u32, bool)> =
            chunk.iter().map(|(query, samples)| (&query.source, query.period_s, *samples)).collect();
        // A series of Prometheus has no sample counts: asked for or not, it is one question.
        let promql: HashSet<(&QuerySource, u32)> = chunk
            .iter()
            .filter(|(query, _)| is_prometheus(query))
            .map(|(query, _)| (&query.source, query.period_s))
            .collect();
        let metrics = distinct.iter().map(|(source, _, samples)| metrics(source, *samples)).sum::<usize>();
        look.metrics += count(metrics);
        look.metric_calls += u64::from(chunk.iter().any(|(query, _)| !is_prometheus(query)));
        look.prometheus += count(promql.len());
        look.open_ended |= distinct.iter().any(|(source, _, _)| is_open_ended(source));
    }
    look.alarm_calls = reads.alarms.values().map(|names| count(names.len().div_ceil(ALARMS_PER_CALL))).sum();
    look
}

/// What the planned bakes of a rollout ask for. With a comparison every look reads all cells, and the past is read once; without one
/// a wave's looks read its own cells and those of the waves before it.
pub fn estimate(plan: &Plan) -> Watching {
    let compared = plan.health.compare.is_some();
    let everything = look(&reads(&plan.health, plan.cells.values()));
    let history = if compared { Look { alarm_calls: 0, ..everything } } else { Look::default() };
    let mut watching = Watching { look: Look::default(), looks: 0, history, total: history, usd: 0.0 };
    for (index, wave) in plan.waves.iter().enumerate() {
        let through = plan.cells_through(index);
        let own = plan.cells.values().filter(|cell| through.contains(&cell.name));
        let look = if compared { everything } else { look(&reads(&plan.health, own)) };
        // One when the bake begins, and one at the end of each interval.
        let looks = wave.bake.0 / plan.health.interval.0.max(1) + 1;
        watching.looks += looks;
        watching.total = watching.total.plus(look, looks);
        watching.look = look;
    }
    watching.usd = usd(watching.total);
    watching
}

impl Look {
    fn plus(self, other: Self, times: u64) -> Self {
        Self {
            metrics: self.metrics + other.metrics * times,
            metric_calls: self.metric_calls + other.metric_calls * times,
            alarm_calls: self.alarm_calls + other.alarm_calls * times,
            prometheus: self.prometheus + other.prometheus * times,
            open_ended: self.open_ended || other.open_ended,
        }
    }
}

/// Prometheus is the users' own: it costs nothing here.
fn usd(look: Look) -> f64 {
    // Four thousand million are more than any rollout asks for, and exact.
    let paid = u32::try_from(look.metrics + look.alarm_calls).unwrap_or(u32::MAX);
    f64::from(paid) * USD_EACH
}

fn metrics(source: &QuerySource, samples: bool) -> usize {
    let inputs = match source {
        QuerySource::Metric(_) => 1,
        QuerySource::Expression { inputs, .. } => inputs.len(),
        QuerySource::Prometheus { .. } => 0,
    };
    inputs * (1 + usize::from(samples))
}

fn is_prometheus(query: &MetricQuery) -> bool {
    matches!(query.source, QuerySource::Prometheus { .. })
}

fn is_open_ended(source: &QuerySource) -> bool {
    let QuerySource::Expression { expression, .. } = source else { return false };
    let mut words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.any(|word| word == "SEARCH" || word.eq_ignore_ascii_case("SELECT"))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::planner;
    use crate::model::{change_set, pipeline};
    use jiff::Timestamp;

    /// Three cells in two waves: two of one account, one of another.
    fn plan(health: &str) -> Plan {
        let cell = |name: &str, account: &str| {
            format!(
                "    - {{name: {name}, account: \"{account}\", region: eu-west-1, environment: production, \
                 stacks: {{orders: orders-{name}}}}}\n"
            )
        };
        let cells = [cell("a", "111111111111"), cell("b", "111111111111"), cell("c", "222222222222")].concat();
        let text = format!(
            "version: 1\nname: small\nfleet:\n  cells:\n{cells}waves:\n  \
             - {{name: first, select: {{cells: [a]}}, bake: 10m, bake_datapoints: 2}}\n  \
             - {{name: rest, select: {{remaining: true}}, bake: 30m, bake_datapoints: 2}}\nhealth:\n  interval: 1m\n{health}"
        );
        let pipeline = pipeline::read::read("pipeline", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
        let change = "{version: 1, agent: a, title: t, reasoning: r, pipeline: small, stacks: {orders: {tags: {}}}}";
        let change = change_set::read::read("change set", change.as_bytes(), &|_| Err("no files".to_owned()));
        let change = change.unwrap_or_else(|faults| panic!("{faults}"));
        planner::plan(&change, &pipeline, "r-1".into(), true, Timestamp::UNIX_EPOCH).unwrap()
    }

    const METRIC: &str = "    - {name: errors, namespace: App, metric: Errors, dimensions: {Cell: \"{cell}\"}, statistic: Sum, \
                          period: 60s, fail_when: \"> 5\", min_samples: 10}\n";

    #[test]
    fn looks_grow_with_the_waves() {
        let watching = estimate(&plan(&format!("  metrics:\n{METRIC}  alarms: [{{name: \"errors-{{cell}}\"}}]\n")));
        // 11 looks at one cell, then 31 at three; each cell has a value and a sample count.
        assert_eq!(watching.looks, 42);
        assert_eq!(watching.look, Look { metrics: 6, metric_calls: 2, alarm_calls: 2, ..Look::default() });
        let total =
            Look { metrics: 11 * 2 + 31 * 6, metric_calls: 11 + 31 * 2, alarm_calls: 11 + 31 * 2, ..Look::default() };
        assert_eq!(watching.total, total);
        assert_eq!(watching.history, Look::default());
        assert!((watching.usd - f64::from(11 * 2 + 31 * 6 + 11 + 31 * 2) * 0.000_01).abs() < 1e-12);
    }

    #[test]
    fn what_cells_share_is_asked_once() {
        let shared = METRIC.replace("{cell}", "all");
        let watching = estimate(&plan(&format!("  metrics:\n{shared}")));
        // Cells `a` and `b` are one account and ask one question.
        assert_eq!((watching.look.metrics, watching.look.metric_calls), (4, 2));
    }

    #[test]
    fn a_comparison_reads_all_cells_and_the_past() {
        let watching = estimate(&plan(&format!("  metrics:\n{METRIC}  compare: {{}}\n")));
        assert_eq!(watching.look.metrics, 6);
        assert_eq!((watching.history.metrics, watching.total.metrics), (6, 6 + 42 * 6));
    }

    #[test]
    fn ratios_are_two_series_and_prometheus_costs_nothing() {
        let part =
            |name: &str| format!("{{namespace: App, metric: {name}, dimensions: {{C: \"{{cell}}\"}}, statistic: Sum}}");
        let ratio = |name: &str, bad: &str| {
            format!(
                "    - {{name: {name}, ratio: {{bad: {}, total: {}}}, period: 60s, fail_when: \"> 0.1\"}}\n",
                part(bad),
                part("Requests")
            )
        };
        let health = format!(
            "  prometheus: http://127.0.0.1:9090\n  metrics:\n{}{}    - {{name: p99, prometheus: 'sum(rate(a{{cell=\"{{cell}}\"}}[1m]))', \
             period: 60s, fail_when: \"> 5\"}}\n",
            ratio("errors", "Errors"),
            ratio("slow", "Slow")
        );
        // The total that both ratios have is asked once: three metrics a cell.
        let watching = estimate(&plan(&health));
        let look = Look { metrics: 9, metric_calls: 2, prometheus: 3, ..Look::default() };
        assert_eq!(watching.look, look);
        assert!((watching.usd - f64::from(11 * 3 + 31 * 9) * 0.000_01).abs() < 1e-12);
    }

    #[test]
    fn expressions_count_by_their_inputs() {
        let expression = |text: &str, inputs: &str| {
            format!("    - {{name: rate, expression: \"{text}\", {inputs}period: 60s, fail_when: \"> 5\"}}\n")
        };
        let inputs = "inputs: {e: {namespace: App, metric: E, dimensions: {C: \"{cell}\"}, statistic: Sum}, \
                      r: {namespace: App, metric: R, dimensions: {C: \"{cell}\"}, statistic: Sum}}, ";
        let look = |text: &str| estimate(&plan(&format!("  metrics:\n{}", expression(text, inputs)))).look;
        assert_eq!((look("e / r").metrics, look("e / r").open_ended), (6, false));
        assert!(look("e / r + SUM(SEARCH('{App,C}', 'Sum', 60))").open_ended);
    }
}
