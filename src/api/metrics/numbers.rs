//! What is read from the state with each scrape: in one look between two turns, so that the numbers fit each other.

use super::{AGENTS_MAX, Labels, label};
use crate::daemon::core::Core;
use crate::engine::notice::is_kill_of_drill;
use crate::engine::rate::{self, Rate};
use crate::model::drill::is_drill;
use crate::model::event::Outcome;
use crate::model::halt::KillMode;
use crate::model::ids::Seq;
use crate::model::rate::RateOf;
use crate::model::state::{Phase, RolloutPhase, State};
use crate::model::{event::Settlement, time};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

type Float = Gauge<f64, AtomicU64>;
type Floats = Family<Labels, Float>;

/// The numbers of one moment.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    epoch: u64,
    leads: bool,
    records: u64,
    newest: Option<Timestamp>,
    open: BTreeMap<&'static str, u64>,
    ended: BTreeMap<&'static str, u64>,
    held: u64,
    stuck: u64,
    kills: BTreeMap<KillMode, u64>,
    pending: u64,
    refusals: u64,
    window: Duration,
    fleet: Option<Rate>,
    agents: Vec<(String, Rate)>,
    alarms: u64,
}

impl Numbers {
    /// Those of now. A pass over all rollouts: for ten thousand of them 25 ms in a debug build.
    pub(super) fn of(core: &Core, now: Timestamp) -> Self {
        let (state, rule, journal) = (core.state(), core.session().rate, core.journal());
        let mut rates = rate::rates(state, &rule, now);
        let newest = journal.entries_after(Seq(core.seq().0.saturating_sub(1)), 1);
        let recent = |at: Timestamp| time::since(at, now) < rule.window.duration();
        let mut numbers = Self {
            epoch: state.epoch.0,
            leads: journal.must_lead().is_ok(),
            records: core.seq().0,
            newest: newest.ok().and_then(|entries| entries.first().map(|entry| entry.at)),
            kills: BTreeMap::from([(KillMode::Pause, 0), (KillMode::Halt, 0), (KillMode::Revert, 0)]),
            refusals: state.refused,
            window: rule.window.duration(),
            fleet: rates.remove(&RateOf::Fleet),
            agents: busiest(rates),
            alarms: state.rate_alarms.values().filter(|alarm| recent(alarm.at)).map(|_| 1).sum(),
            ..Self::default()
        };
        numbers.count_rollouts(state);
        // A drill's own orders stop nothing of anybody's: whoever is paged by these numbers is not to be paged by a drill. Nor does
        // anything wait for its rollouts.
        for kill in state.kills.values().filter(|kill| kill.in_force() && !is_kill_of_drill(state, &kill.kill)) {
            *numbers.kills.entry(kill.kill.mode).or_default() += 1;
            numbers.pending += u64::from(!kill.acknowledged);
        }
        numbers
    }

    fn count_rollouts(&mut self, state: &State) {
        self.open = ["previewing", "rolling", "baking", "reverting"].map(|name| (name, 0)).into();
        self.ended = ["succeeded", "reverted", "stuck", "cancelled"].map(|name| (name, 0)).into();
        for rollout in state.rollouts.values().filter(|rollout| !is_drill(&rollout.plan)) {
            let (of, name) = match rollout.phase {
                RolloutPhase::Previewing => (&mut self.open, "previewing"),
                RolloutPhase::Rolling { .. } => (&mut self.open, "rolling"),
                RolloutPhase::Baking { .. } => (&mut self.open, "baking"),
                RolloutPhase::Reverting => (&mut self.open, "reverting"),
                RolloutPhase::Ended(Outcome::Succeeded) => (&mut self.ended, "succeeded"),
                RolloutPhase::Ended(Outcome::Reverted) => (&mut self.ended, "reverted"),
                RolloutPhase::Ended(Outcome::Stuck) => (&mut self.ended, "stuck"),
                RolloutPhase::Ended(Outcome::Cancelled) => (&mut self.ended, "cancelled"),
            };
            *of.entry(name).or_default() += 1;
            if !rollout.is_ended() {
                self.held += u64::from(rollout.hold.is_some());
                let stuck = |phase: &Phase| matches!(phase, Phase::Settled(Settlement::Stuck { .. }));
                self.stuck += rollout.targets.values().filter(|target| stuck(&target.phase)).map(|_| 1).sum::<u64>();
            }
        }
    }

    /// As series; `shown`: the newest record that the stream of events has shown.
    pub(super) fn register(&self, to: &mut Registry, shown: u64) {
        gauge(to, "epoch", "The leader's term", self.epoch);
        gauge(to, "leads", "1: by the durable record this daemon leads", u64::from(self.leads));
        gauge(to, "journal_records", "Records in the journal", self.records);
        if let Some(at) = self.newest {
            let help = "When the newest record was written";
            time(to, "journal_newest_record_timestamp_seconds", help, at.as_millisecond());
        }
        let lag = self.records.saturating_sub(shown);
        gauge(to, "feed_lag_records", "Records that the stream of events has not shown yet", lag);
        let by_name =
            |from: &BTreeMap<&'static str, u64>| from.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        gauges(to, "rollouts", "Open rollouts, drills left out", "phase", by_name(&self.open));
        let ended: Family<Labels, Counter> = Family::default();
        for (name, number) in &self.ended {
            ended.get_or_create(&vec![("outcome", (*name).to_owned())]).inc_by(*number);
        }
        to.register("rollouts_ended", "Rollouts that have ended, drills left out", ended);
        gauge(to, "rollouts_held", "Open rollouts that wait for a person", self.held);
        gauge(to, "targets_stuck", "Targets of open rollouts that need a person", self.stuck);
        let kills = self.kills.iter().map(|(mode, number)| (mode.to_string(), *number)).collect();
        gauges(to, "kills_in_force", "Stop orders in force", "mode", kills);
        gauge(to, "kills_pending", "Stop orders that are not acknowledged yet", self.pending);
        let refusals: Counter = Counter::default();
        refusals.inc_by(self.refusals);
        to.register("refusals", "Refusals on record", refusals);
        self.register_rates(to);
    }

    fn register_rates(&self, to: &mut Registry) {
        let help = "Changes are counted in a window of this length";
        float(to, "change_rate_window_seconds", help, self.window.as_secs_f64());
        let help = "Agents, and the fleet, with an alarm on their rate of changes within the last window";
        gauge(to, "change_rate_alarms", help, self.alarms);
        if let Some(rate) = self.fleet {
            gauge(to, "fleet_changes", "Changes of all agents within the window", rate.seen.into());
            float(to, "fleet_changes_usual", "So many are usual in a window", rate.usual);
            gauge(to, "fleet_changes_threshold", "From so many on it alarms", rate.threshold.into());
        }
        let [seen, usual, threshold] = [Floats::default(), Floats::default(), Floats::default()];
        for (agent, rate) in &self.agents {
            let labels = vec![("agent", agent.clone())];
            seen.get_or_create(&labels).set(rate.seen.into());
            usual.get_or_create(&labels).set(rate.usual);
            threshold.get_or_create(&labels).set(rate.threshold.into());
        }
        to.register("agent_changes", "Changes of an agent within the window", seen);
        to.register("agent_changes_usual", "So many are usual in a window", usual);
        to.register("agent_changes_threshold", "From so many on it alarms", threshold);
    }
}

/// The busiest agents under their names, and the others' sum as `other`, which has no usual rate of its own. Names that are the same
/// once they are cut share a series.
fn busiest(rates: BTreeMap<RateOf, Rate>) -> Vec<(String, Rate)> {
    let name = |of: RateOf| match of {
        RateOf::Agent(name) => label(&name),
        RateOf::Fleet => String::new(),
    };
    let mut agents: Vec<(String, Rate)> = rates.into_iter().map(|(of, rate)| (name(of), rate)).collect();
    agents.sort_by(|(_, a), (_, b)| (b.seen, b.usual).partial_cmp(&(a.seen, a.usual)).unwrap_or(b.seen.cmp(&a.seen)));
    let others = agents.split_off(agents.len().min(AGENTS_MAX));
    if !others.is_empty() {
        let seen = others.iter().map(|(_, rate)| rate.seen).sum();
        let usual = others.iter().map(|(_, rate)| rate.usual).sum();
        let threshold = others.iter().map(|(_, rate)| rate.threshold).fold(0, u32::saturating_add);
        agents.push(("other".to_owned(), Rate { seen, usual, threshold }));
    }
    agents
}

/// What is known without the loop.
pub(super) fn own(to: &mut Registry, up: bool, took: Duration) {
    to.register("build", "This release", Info::new(vec![("version", env!("CARGO_PKG_VERSION").to_owned())]));
    gauge(to, "up", "1: the loop answered this scrape", u64::from(up));
    float(to, "loop_answer_seconds", "How long the loop took to answer this scrape", took.as_secs_f64());
}

/// A moment, in seconds since 1970, as Prometheus wants it.
pub(super) fn time(to: &mut Registry, name: &'static str, help: &'static str, millis: i64) {
    let span = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    float(to, name, help, span.as_secs_f64());
}

fn float(to: &mut Registry, name: &'static str, help: &'static str, value: f64) {
    let gauge = Float::default();
    gauge.set(value);
    to.register(name, help, gauge);
}

pub(super) fn gauge(to: &mut Registry, name: &'static str, help: &'static str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value.cast_signed());
    to.register(name, help, gauge);
}

pub(super) fn gauges(
    to: &mut Registry,
    name: &'static str,
    help: &'static str,
    by: &'static str,
    values: Vec<(String, u64)>,
) {
    let family: Family<Labels, Gauge> = Family::default();
    for (value, number) in values {
        family.get_or_create(&vec![(by, value)]).set(number.cast_signed());
    }
    to.register(name, help, family);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::drill;
    use crate::engine::notice;
    use crate::engine::planner;
    use crate::model::event::Event;
    use crate::model::halt::{Kill, KillDoor, KillScope};

    /// The state after a drill's rollout was proposed, planned at this account, and stopped.
    fn state(account: &str) -> State {
        let (at, id) = (Timestamp::UNIX_EPOCH, "r-1");
        let (change, pipeline) = (drill::change_set().unwrap(), drill::pipeline().unwrap());
        let mut plan = planner::plan(&change, &pipeline, id.into(), false, at).unwrap();
        plan.targets.values_mut().for_each(|target| target.scope.account = account.into());
        let digest = plan.digest().unwrap();
        let (mode, door, scope) = (KillMode::Halt, KillDoor::Cli, KillScope::Rollout(id.into()));
        let kill = Kill { id: "k-1".into(), scope, mode, by: "dana".into(), door, at, reason: String::new() };
        let mut state = State::default();
        let proposed = Event::RolloutProposed { plan: plan.into(), digest, by: "dana".into(), handed_in: None };
        for event in [proposed, Event::KillRequested { kill }] {
            state.apply(&event).unwrap();
        }
        state
    }

    /// Whoever is paged by a number or by a message is not to be paged by a drill.
    #[test]
    fn nobody_is_paged_by_a_drill() {
        let looked_at = |account| {
            let state = state(account);
            let mut numbers = Numbers::default();
            numbers.count_rollouts(&state);
            (numbers.open["previewing"], notice::of_pending(&state, &state.kills[&"k-1".into()]).is_some())
        };
        assert_eq!(looked_at(crate::model::drill::DRILL_ACCOUNT), (0, false));
        assert_eq!(looked_at("111111111111"), (1, true));
    }
}
