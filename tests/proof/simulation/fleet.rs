//! The fleet of a simulation, and the change sets that are proposed to it.

use super::scenario::{Proposal, ms};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use wavegate::model::change_set::Action;
use wavegate::model::ids::{Digest, RolloutId, StackName, TargetId};
use wavegate::model::pipeline::*;
use wavegate::model::plan::*;
use wavegate::model::stack::{ParameterInput, Template};
use wavegate::model::time::Millis;

/// When every simulation begins.
pub const START: &str = "2026-11-21T08:00:00Z";
/// The regions of the fleet.
pub const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-2"];

const HEAD: &str =
    "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n";
/// What is deployed before the first rollout.
pub static V1: LazyLock<String> = LazyLock::new(|| format!("{HEAD}    Properties: {{VisibilityTimeout: 10}}\n"));

/// A template that a change set asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Works.
    Good,
    /// Deploys well and breaks the service.
    Bad,
    /// CloudFormation cannot apply it.
    Fails,
    /// CloudFormation cannot apply it, nor roll it back at the first tries.
    RollbackFails,
    /// Works: another parameter value, the same template.
    Values,
    /// Creates a stack.
    Creates,
    /// Changes nothing.
    Nothing,
    /// Works: the queue is removed, and another one takes its place. What it held is lost.
    Removes,
    /// Works: adds something that runs code of its own.
    Opaque,
    /// Works: deletes the stack.
    Deletes,
}

impl Kind {
    /// The template of this kind; `salt` makes it another one than every other.
    pub fn template(self, salt: u32) -> String {
        let queue = |more: &str| format!("{HEAD}    Properties: {{VisibilityTimeout: {salt}{more}}}\n");
        match self {
            Self::Good => format!("{}  Dead:\n    Type: AWS::SQS::Queue\n", queue("")),
            Self::Bad => {
                format!("Metadata:\n  Sim:\n    Effects: [{{Metric: 5xx, Factor: 400, After: 10}}]\n{}", queue(""))
            }
            Self::Fails => queue(", FailUpdate: true"),
            Self::RollbackFails => {
                format!(
                    "{}  Broken:\n    Type: Sim::FailsRollback\n    Properties: {{Tries: 2}}\n",
                    queue(", FailUpdate: true")
                )
            }
            Self::Creates => queue(""),
            Self::Removes => queue("").replace("  Queue:", "  Another:"),
            Self::Opaque => format!("{}  Script:\n    Type: Custom::Script\n", queue("")),
            Self::Nothing | Self::Values | Self::Deletes => V1.clone(),
        }
    }

    fn action(self) -> Action {
        match self {
            Self::Creates => Action::Create,
            Self::Deletes => Action::Delete,
            _ => Action::Update,
        }
    }

    /// True where the change set brings a template.
    fn has_template(self) -> bool {
        !matches!(self, Self::Values | Self::Deletes)
    }
}

/// The change sets of a seed.
pub fn proposals(rng: &mut Rng, cells: usize) -> Vec<Proposal> {
    let number = *rng.choice(&[1, 1, 2, 2, 3]).unwrap();
    let mut at = ms(rng.u64(0..2_000));
    let mut proposals = Vec::new();
    for n in 0..number {
        let kind = match rng.u8(0..20) {
            0..7 => Kind::Good,
            7..9 => Kind::Values,
            9..14 => Kind::Bad,
            14..16 => Kind::Fails,
            16 => Kind::RollbackFails,
            17..19 => Kind::Creates,
            _ => Kind::Nothing,
        };
        proposals.push(Proposal { at, kind, plan: plan(rng, n, kind, cells), by: "agent" });
        at += ms(rng.u64(0..400_000));
    }
    proposals
}

/// The cell of that number.
pub fn cell(n: usize) -> Cell {
    Cell {
        name: format!("cell-{n:02}").into(),
        account: "111111111111".into(),
        region: REGIONS[n % 3].into(),
        environment: if n < 2 { "staging" } else { "production" }.into(),
        role: None,
        traffic_share: 1.0,
        stacks: BTreeMap::from([("orders".into(), format!("orders-{n:02}").into())]),
        attributes: BTreeMap::new(),
    }
}

fn plan(rng: &mut Rng, number: usize, kind: Kind, cells: usize) -> Plan {
    let rollout = RolloutId::new(format!("r-{number}"));
    let template = Template::new(kind.template(rng.u32(20..30_000)));
    let mut chosen: Vec<usize> = (0..cells).collect();
    rng.shuffle(&mut chosen);
    chosen.truncate(rng.usize(1..=cells.min(4)));
    let waves = rng.usize(1..=chosen.len().min(3));
    let mut plan = empty_plan(rng, rollout, &template);
    for wave in 0..waves {
        let mine: Vec<usize> = chosen.iter().copied().skip(wave).step_by(waves).collect();
        let targets = mine.iter().map(|n| add_target(&mut plan, *n, wave, kind, &template)).collect();
        plan.waves.push(planned_wave(rng, wave, targets));
    }
    plan
}

pub(super) fn add_target(plan: &mut Plan, n: usize, wave: usize, kind: Kind, template: &Template) -> TargetId {
    let cell = cell(n);
    let id = TargetId::of(&cell.name, &"orders".into());
    let creates = kind == Kind::Creates;
    let stack = match creates {
        true => StackName::new(format!("new-{n:02}-{}", plan.rollout)),
        false => cell.stacks.values().next().unwrap().clone(),
    };
    let target = PlannedTarget {
        cell: cell.name.clone(),
        environment: cell.environment.clone(),
        key: "orders".into(),
        stack,
        scope: cell.scope(),
        wave,
        order: 0,
        action: kind.action(),
        template: kind.has_template().then(|| template.digest().clone()),
        declared: kind.has_template().then(|| BTreeSet::from(["Delay".into()])),
        parameters: match kind {
            Kind::Values => BTreeMap::from([("Delay".into(), ParameterInput::Value("9".into()))]),
            _ => BTreeMap::new(),
        },
        tags: None,
        capabilities: BTreeSet::new(),
    };
    plan.targets.insert(id.clone(), target);
    plan.cells.insert(cell.name.clone(), cell);
    id
}

pub(super) fn planned_wave(rng: &mut Rng, index: usize, targets: Vec<TargetId>) -> PlannedWave {
    PlannedWave {
        name: format!("wave-{index}"),
        one_box: index == 0,
        targets,
        max_concurrent: rng.u32(1..=3),
        failure_tolerance: 0,
        regions: if rng.u8(0..4) == 0 { RegionOrder::Sequential } else { RegionOrder::Parallel },
        bake: Millis::from_secs(*rng.choice(&[30, 60, 120]).unwrap()),
        bake_datapoints: 1,
        max_bake: Millis::from_secs(900),
    }
}

pub(super) fn empty_plan(rng: &mut Rng, rollout: RolloutId, template: &Template) -> Plan {
    Plan {
        rollout,
        change_set: PlannedChangeSet {
            digest: Digest::of_bytes(b"change set"),
            agent: "agent".into(),
            title: "a change".into(),
            reasoning: "because".into(),
        },
        pipeline: PipelineRef { name: "simulated".into(), digest: Digest::of_bytes(b"pipeline") },
        created_at: START.parse().unwrap(),
        look_only: rng.u8(0..25) == 0,
        templates: BTreeMap::from([(template.digest().clone(), template.clone())]),
        cells: BTreeMap::new(),
        waves: Vec::new(),
        targets: BTreeMap::new(),
        health: health(),
        repairs: BTreeSet::new(),
        revert: RevertPolicy {
            on_failure: if rng.u8(0..8) == 0 { OnFailure::Hold } else { OnFailure::Revert },
            max_concurrent_percent: 50.0,
            irreversible: Irreversible::Refuse,
            continue_rollback_attempts: 3,
            operation_deadline: Millis::from_secs(600),
        },
        proposer: None,
        safeguards: None,
    }
}

fn health() -> Health {
    let metric = Metric {
        name: "errors".into(),
        source: MetricSource::Metric(StatTemplate {
            namespace: "Orders".into(),
            name: "5xx".into(),
            dimensions: BTreeMap::from([("Cell".into(), "{cell}".into())]),
            statistic: "Average".into(),
            unit: Some("Count".into()),
        }),
        period_s: 60,
        fail_when: Some(Threshold { op: Comparison::Above, value: 5.0 }),
        datapoints_to_alarm: 1,
        evaluation_periods: 2,
        missing_data: MissingData::Hold,
        min_samples: 0,
        scope: wavegate::model::pipeline::MetricScope::Cell,
        compare: None,
        detect: None,
    };
    Health {
        interval: Millis::from_secs(20),
        settle: Millis(0),
        // The world publishes a point two seconds after its period: a tick that closes sooner would be missing until the next look.
        lag: Some(Millis::from_secs(3)),
        metrics: vec![metric],
        alarms: vec![],
        compare: None,
        prometheus: None,
    }
}
