//! The plan that is checked: two waves of two cells, one existing stack in each, health by one alarm, no bake to wait for. Of it there
//! are two more shapes: one that two people must allow, and one in two halves that share a limit.

use crate::bounds::Shape;
use crate::consent;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wavegate::model::change_set::Action;
use wavegate::model::ids::{Digest, StackName, TargetId};
use wavegate::model::pipeline::{AlarmGate, Cell, Health, Irreversible, OnFailure, RegionOrder, RevertPolicy};
use wavegate::model::plan::{PipelineRef, Plan, PlannedChangeSet, PlannedTarget, PlannedWave};
use wavegate::model::stack::Template;
use wavegate::model::time::Millis;

/// Stacks in the model: two in each of two waves.
pub const STACKS: usize = 4;
/// When everything happens: the wall clock stands still.
pub const AT: jiff::Timestamp = jiff::Timestamp::constant(1_800_000_000, 0);
/// The one alarm.
pub const ALARM: &str = "orders-broken";

/// What never changes, made once.
pub struct Fixture {
    /// The plans of each [`Shape`], with their digests.
    plain: Vec<(Arc<Plan>, Digest)>,
    asked: Vec<(Arc<Plan>, Digest)>,
    shared: Vec<(Arc<Plan>, Digest)>,
    /// The same under another name, for S16.
    pub rival: (Arc<Plan>, Digest),
    /// Targets by number.
    pub ids: Vec<TargetId>,
    /// Physical stack names by number.
    pub names: Vec<StackName>,
    /// The templates of [`super::provider::Content`], in its order.
    pub templates: [Template; 3],
}

thread_local! {
    static OF_THREAD: &'static Fixture = Box::leak(Box::new(Fixture::new()));
}

/// What never changes. Each thread has its own: counting the same references is what two searches would wait for.
pub fn fixture() -> &'static Fixture {
    OF_THREAD.with(|fixture| *fixture)
}

impl Fixture {
    fn new() -> Self {
        let templates = [Template::new("original"), Template::new("ours"), Template::new("foreign")];
        let plan = plan("r", &templates[1]);
        let rival = digested(Plan { rollout: "rival".into(), ..plan.clone() });
        let ids: Vec<TargetId> = plan.targets.keys().cloned().collect();
        let names = plan.targets.values().map(|t| t.stack.clone()).collect();
        let asked = Plan { proposer: Some(consent::proposer()), safeguards: Some(consent::asked()), ..plan.clone() };
        let shared = [0, 1].map(|half| half_of(&plan, half));
        Self {
            plain: vec![digested(plan)],
            asked: vec![digested(asked)],
            shared: shared.into_iter().map(digested).collect(),
            rival,
            ids,
            names,
            templates,
        }
    }

    /// What is proposed in this shape.
    pub fn plans(&self, shape: Shape) -> &[(Arc<Plan>, Digest)] {
        match shape {
            Shape::Plain => &self.plain,
            Shape::Asked => &self.asked,
            Shape::Shared => &self.shared,
        }
    }
}

fn digested(plan: Plan) -> (Arc<Plan>, Digest) {
    let digest = plan.digest().expect("a plan has a digest");
    (Arc::new(plan), digest)
}

/// Every second target, under a limit that both halves share.
fn half_of(plan: &Plan, half: usize) -> Plan {
    let mut plan = Plan { rollout: format!("half-{half}").into(), ..plan.clone() };
    let mine: BTreeSet<TargetId> = plan.targets.keys().skip(half).step_by(2).cloned().collect();
    plan.targets.retain(|id, _| mine.contains(id));
    plan.waves.iter_mut().for_each(|wave| wave.targets.retain(|id| mine.contains(id)));
    Plan { proposer: Some(consent::proposer()), safeguards: Some(consent::shared()), ..plan }
}

/// The number of the stack with this name.
pub fn number(stack: &StackName) -> usize {
    fixture().names.iter().position(|name| name == stack).expect("a stack of the plan")
}

/// The number of the target.
pub fn target_number(target: &TargetId) -> usize {
    fixture().ids.iter().position(|id| id == target).expect("a target of the plan")
}

/// The wave of a target, by its number.
pub fn wave_of(target: usize) -> usize {
    target / 2
}

fn cell(n: usize) -> Cell {
    Cell {
        name: format!("c{n}").into(),
        account: "111111111111".into(),
        region: "eu-west-1".into(),
        environment: "production".into(),
        role: None,
        traffic_share: 1.0,
        stacks: BTreeMap::from([("s".into(), format!("s{n}").into())]),
        attributes: BTreeMap::new(),
    }
}

fn plan(rollout: &str, template: &Template) -> Plan {
    let cells: Vec<Cell> = (0..STACKS).map(cell).collect();
    let id = |n: usize| TargetId::of(&cells[n].name, &"s".into());
    let target = |n: usize| PlannedTarget {
        cell: cells[n].name.clone(),
        environment: cells[n].environment.clone(),
        key: "s".into(),
        stack: format!("s{n}").into(),
        scope: cells[n].scope(),
        wave: wave_of(n),
        order: 0,
        action: Action::Update,
        template: Some(template.digest().clone()),
        declared: Some(BTreeSet::new()),
        parameters: BTreeMap::new(),
        tags: None,
        capabilities: BTreeSet::new(),
    };
    let wave = |n: usize| PlannedWave {
        name: format!("wave-{n}"),
        one_box: n == 0,
        targets: (0..STACKS).filter(|t| wave_of(*t) == n).map(id).collect(),
        max_concurrent: 2,
        failure_tolerance: 0,
        regions: RegionOrder::Parallel,
        bake: Millis(0),
        bake_datapoints: 0,
        max_bake: MAX_BAKE,
    };
    Plan {
        rollout: rollout.into(),
        change_set: PlannedChangeSet {
            digest: Digest::of_bytes(b"x"),
            agent: "agent".into(),
            title: "t".into(),
            reasoning: "r".into(),
        },
        pipeline: PipelineRef { name: "p".into(), digest: Digest::of_bytes(b"p") },
        created_at: AT,
        look_only: false,
        templates: BTreeMap::from([(template.digest().clone(), template.clone())]),
        cells: cells.iter().map(|c| (c.name.clone(), c.clone())).collect(),
        waves: vec![wave(0), wave(1)],
        targets: (0..STACKS).map(|n| (id(n), target(n))).collect(),
        health: Health {
            interval: Millis::from_secs(15),
            settle: Millis(0),
            lag: Some(Millis(0)),
            metrics: Vec::new(),
            alarms: vec![AlarmGate { name: ALARM.into() }],
            compare: None,
            prometheus: None,
        },
        repairs: BTreeSet::new(),
        revert: RevertPolicy {
            on_failure: OnFailure::Revert,
            max_concurrent_percent: 100.0,
            irreversible: Irreversible::Refuse,
            continue_rollback_attempts: 2,
            operation_deadline: Millis::from_secs(1 << 30),
        },
        proposer: None,
        safeguards: None,
    }
}

/// Two looks, and the bake is given up. Bakes that last longer differ in nothing, and are counted as this long.
pub const MAX_BAKE: Millis = Millis::from_secs(30);
