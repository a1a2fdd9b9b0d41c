//! Rates of changes over weeks of an invented history, through the front door.

use super::*;
use crate::engine::decide::{self, Input};
use crate::engine::planner;
use crate::engine::session::Session;
use crate::model::drill::DRILL_ACCOUNT;
use crate::model::event::{Event, Outcome};
use crate::model::halt::RevertReason;
use crate::model::ids::RolloutId;
use crate::model::time::Now;
use crate::model::{change_set, pipeline};
use std::sync::Arc;
use std::time::Duration;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Seconds after some midnight.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_219_200 + seconds).unwrap()
}

fn ended(rollout: RolloutId) -> [Event; 2] {
    let reason = RevertReason::Withdrawn { by: "somebody".into() };
    let withdrawn = Event::RevertStarted { rollout: rollout.clone(), reason };
    [withdrawn, Event::RolloutEnded { rollout, outcome: Outcome::Cancelled }]
}

/// A world of proposals, each of which ends at once: only their dates count here.
struct World {
    state: State,
    session: Session,
    template: Plan,
    next: u32,
}

impl World {
    fn new() -> Self {
        let text = "version: 1\nname: small\nfleet:\n  cells:\n    - {name: a, account: \"111111111111\", \
                    region: eu-west-1, environment: production, stacks: {orders: orders-a}}\nwaves:\n  \
                    - {name: first, select: {cells: [a]}, bake: 10m, bake_datapoints: 2}\nhealth:\n  interval: 1m\n  \
                    alarms: [{name: \"errors-{cell}\"}]\n";
        let pipeline = pipeline::read::read("pipeline", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
        let change = "{version: 1, agent: a, title: t, reasoning: r, pipeline: small, stacks: {orders: {tags: {}}}}";
        let change = change_set::read::read("change set", change.as_bytes(), &|_| Err("no files".to_owned()));
        let change = change.unwrap_or_else(|faults| panic!("{faults}"));
        let template = planner::plan(&change, &pipeline, "r-1".into(), false, at(0)).unwrap();
        Self { state: State::default(), session: Session::default(), template, next: 0 }
    }

    fn plan(&mut self, agent: &str, seconds: i64) -> Plan {
        self.next += 1;
        let mut plan = self.template.clone();
        plan.rollout = RolloutId::new(format!("r-{:08}", self.next));
        plan.change_set.agent = agent.to_owned();
        plan.created_at = at(seconds);
        plan
    }

    /// One proposal through the front door; the alarms that it set off.
    fn hand_in(&mut self, plan: Plan, seconds: i64) -> Vec<ChangeRateAlarm> {
        let (rollout, digest) = (plan.rollout.clone(), plan.digest().unwrap());
        let input = Input::Propose { plan: Arc::new(plan), digest, by: "somebody".into(), handed_in: None };
        let now = Now { wall: at(seconds), monotonic: Duration::ZERO };
        let events = decide::react(&self.state, &mut self.session, input, now).unwrap();
        assert!(matches!(events.first(), Some(Event::RolloutProposed { .. })), "the proposal comes first");
        let end = ended(rollout);
        // Written and read back, as a replay does.
        let read = |event: &Event| serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
        for event in events.iter().map(read).chain(end) {
            self.state.apply(&event).unwrap();
        }
        let alarms = events.into_iter().skip(1).map(|event| match event {
            Event::ChangeRateAlarmed { alarm } => *alarm,
            other => panic!("{other:?}"),
        });
        alarms.collect()
    }

    fn propose(&mut self, agent: &str, seconds: i64) -> Vec<ChangeRateAlarm> {
        let plan = self.plan(agent, seconds);
        self.hand_in(plan, seconds)
    }

    /// So many proposals, one a minute; how many had been seen with each alarm on this agent, and on the fleet.
    fn burst(&mut self, agent: &str, from: i64, count: i64) -> (Vec<u32>, Vec<u32>) {
        let all: Vec<ChangeRateAlarm> = (0..count).flat_map(|n| self.propose(agent, from + n * 60)).collect();
        let of = |wanted: &RateOf| all.iter().filter(|alarm| alarm.of == *wanted).map(|alarm| alarm.seen).collect();
        (of(&RateOf::Agent(agent.to_owned())), of(&RateOf::Fleet))
    }
}

/// `scipy.stats.poisson.sf(k - 1, m)`, recomputed with sixty digits.
#[test]
fn the_tail_is_poissons() {
    let known = [
        (1, 0.5, 3.934693402874e-1),
        (5, 0.1, 7.667801686189e-8),
        (5, 0.0015, 6.320219926626e-17),
        (7, 1.0, 8.324114928802e-5),
        (12, 4.0, 9.152291472701e-4),
        (13, 4.0, 2.737168228555e-4),
        (4, 4.0, 5.665298796333e-1),
        (3, 10.0, 9.972306042845e-1),
        (30, 10.0, 2.509951201528e-7),
        (100, 100.0, 5.132987982791e-1),
        (130, 100.0, 2.282093054317e-3),
        (1200, 1000.0, 4.684203855872e-10),
    ];
    for (seen, mean, expected) in known {
        let found = tail(seen, mean);
        assert!((found / expected - 1.0).abs() < 1e-9, "{seen} of {mean}: {found:e}, and not {expected:e}");
    }
    assert_eq!(tail(0, 3.0).to_bits(), 1.0_f64.to_bits());
    assert_eq!(tail(1, 0.0).to_bits(), 0.0_f64.to_bits());
    assert_eq!(tail(1, f64::NAN).to_bits(), 0.0_f64.to_bits());
    assert_eq!(tail(1, f64::INFINITY).to_bits(), tail(1, f64::INFINITY).to_bits());
}

#[test]
fn a_threshold_meets_the_whole_rule() {
    let rule = RateRule::default();
    for (usual, expected) in [(0.0, 5), (0.01, 5), (1.0, 7), (4.0, 14), (10.0, 30), (500.0, 1500)] {
        assert_eq!(threshold(&rule, usual), expected, "{usual}");
    }
    // Nothing that a configuration or a record says makes the search endless.
    for usual in [1e12, f64::INFINITY, f64::NAN] {
        assert!(threshold(&rule, usual) <= MOST);
    }
}

/// Against a quiet history: at the seventh, and once more when that has doubled; not with each of the twenty.
#[test]
fn a_burst_alarms_once_and_when_it_doubles() {
    let mut world = World::new();
    for day in 0..14 {
        assert_eq!(world.burst("kiro", day * DAY + 10 * HOUR, 1), (vec![], vec![]));
    }
    let (own, fleet) = world.burst("kiro", 14 * DAY + 10 * HOUR, 20);
    assert_eq!((own, fleet), (vec![7, 14], vec![7, 14]));
    let last = &world.state.rate_alarms[&RateOf::Agent("kiro".into())];
    assert_eq!((last.seen, last.threshold), (14, 7));
    assert!((last.usual - 1.0).abs() < 1e-9, "{last:?}");
    // It goes on: each hour it is said again, and no more often.
    let (own, _) = world.burst("kiro", 14 * DAY + 10 * HOUR + 1200, 120);
    assert_eq!(own, vec![28, 56, 60]);
}

#[test]
fn another_spelling_is_the_same_agent() {
    let mut world = World::new();
    for day in 0..14 {
        assert_eq!(world.burst("kiro", day * DAY + 10 * HOUR, 1), (vec![], vec![]));
    }
    assert!(world.burst("Kiro", 14 * DAY + 10 * HOUR, 5).0.is_empty());
    world.burst(" KIRO", 14 * DAY + 10 * HOUR + 600, 5);
    assert_eq!(world.state.rate_alarms[&RateOf::Agent("kiro".into())].seen, 7);
}

#[test]
fn an_agent_that_is_always_busy_does_not() {
    let mut world = World::new();
    for hour in 0..8 * 24 {
        for minute in [3, 11, 24, 36, 41, 59] {
            assert_eq!(world.propose("kiro", hour * HOUR + minute * 60), vec![], "hour {hour}");
        }
    }
    let (own, _) = world.burst("kiro", 8 * DAY, 30);
    assert_eq!(own, vec![19], "but it does when it is three times as busy as ever");
}

/// Ten each night are the usual thing, though the mean over the day is below one an hour.
#[test]
fn neither_does_one_that_works_in_bunches() {
    let mut world = World::new();
    let mut alarms = Vec::new();
    for night in 0..14 {
        alarms.extend(world.burst("batch", night * DAY + 2 * HOUR, 10).0.iter().map(|_| night));
    }
    assert_eq!(alarms, Vec::<i64>::new(), "ten are fewer than a new agent may have");
    assert_eq!(world.burst("batch", 14 * DAY + 2 * HOUR, 29).0, Vec::<u32>::new());
    assert_eq!(world.burst("batch", 15 * DAY + 2 * HOUR, 31).0, vec![30]);
}

/// What was an alarm once does not become usual by it.
#[test]
fn one_bad_day_is_not_the_rule() {
    let mut world = World::new();
    for day in 0..13 {
        world.burst("kiro", day * DAY + 10 * HOUR, 1);
    }
    world.burst("kiro", 13 * DAY + 10 * HOUR, 50);
    let (own, _) = world.burst("kiro", 14 * DAY + 12 * HOUR, 20);
    assert_eq!(own.first(), Some(&7));
}

#[test]
fn a_cold_start_is_borne_up_to_the_floor() {
    let mut world = World::new();
    assert_eq!(world.burst("kiro", 0, 13), (vec![], vec![]));
    assert_eq!(world.burst("kiro", 13 * 60, 7), (vec![14], vec![14]));
    // A new agent in a fleet that is known has the same start.
    let mut world = World::new();
    for day in 0..14 {
        world.burst("kiro", day * DAY + 10 * HOUR, 1);
    }
    let (own, fleet) = world.burst("newcomer", 14 * DAY, 14);
    assert_eq!((own, fleet), (vec![14], vec![7, 14]));
}

#[test]
fn previews_and_dates_of_the_future_are_not_counted() {
    let mut world = World::new();
    for n in 0..50 {
        let mut plan = world.plan("kiro", n);
        plan.look_only = true;
        assert_eq!(world.hand_in(plan, n), vec![]);
        // From before the clock was set back by a year.
        let plan = world.plan("kiro", 365 * DAY);
        assert_eq!(world.hand_in(plan, n), vec![]);
    }
    assert_eq!(rates(&world.state, &RateRule::default(), at(60))[&RateOf::Fleet].seen, 0);
    let own = &rates(&world.state, &RateRule::default(), at(365 * DAY))[&RateOf::Agent("kiro".into())];
    assert_eq!(own.seen, 50, "when their time has come they are");
}

#[test]
fn a_refused_proposal_sets_off_nothing() {
    let mut world = World::new();
    world.burst("kiro", 0, 13);
    let plan = world.plan("kiro", 13 * 60);
    let open = Event::RolloutProposed {
        plan: Arc::new(plan.clone()),
        digest: plan.digest().unwrap(),
        by: "somebody".into(),
        handed_in: None,
    };
    let mut state = world.state.clone();
    state.rollouts.pop_last();
    state.apply(&open).unwrap();
    let again = world.plan("kiro", 13 * 60);
    let digest = again.digest().unwrap();
    let input = Input::Propose { plan: Arc::new(again), digest, by: "somebody".into(), handed_in: None };
    let now = Now { wall: at(13 * 60), monotonic: Duration::ZERO };
    // The stack is owned by the open one.
    assert!(decide::react(&state, &mut world.session, input, now).is_err());
}

/// A drill proposes as often as it has doors and modes, and changes nothing of anybody's.
#[test]
fn drills_are_not_counted() {
    let mut world = World::new();
    let mut drill = |seconds: i64| {
        let mut plan = world.plan("kiro", seconds);
        plan.targets.values_mut().for_each(|target| target.scope.account = DRILL_ACCOUNT.into());
        world.hand_in(plan, seconds)
    };
    for n in 0..20 {
        assert_eq!(drill(n * 60), []);
    }
    let rates = rates(&world.state, &RateRule::default(), at(HOUR));
    assert_eq!(rates.keys().collect::<Vec<_>>(), [&RateOf::Fleet]);
    assert_eq!(rates[&RateOf::Fleet].seen, 0);
}
