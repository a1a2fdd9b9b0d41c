//! Plans and rollouts as the rules see them, without a journal.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wavegate::model::change_set::Action;
use wavegate::model::class::{ChangeClass, ClassReason, Classified, ClassifiedChange, Reversibility};
use wavegate::model::decision::{Consequence, Found};
use wavegate::model::event::{Event, Left, Outcome, Settlement};
use wavegate::model::ids::{Digest, RolloutId, TargetId};
use wavegate::model::pipeline::{Cell, Health, Irreversible, OnFailure, RegionOrder, RevertPolicy};
use wavegate::model::plan::{PipelineRef, Plan, PlannedChangeSet, PlannedTarget, PlannedWave};
use wavegate::model::preview::{ChangeDetail, PreviewContext, Replacement, ResourceAction, ResourceChange, Sizes};
use wavegate::model::safeguards::{Guardrail, Safeguards, Set};
use wavegate::model::stack::Template;
use wavegate::model::state::{Phase, Rollout, RolloutPhase, State, Target};
use wavegate::model::time::Millis;

/// Now, in every test: 2027-01-15T08:00:00Z.
pub const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// So many minutes before now.
pub fn ago(minutes: i64) -> Timestamp {
    NOW - jiff::SignedDuration::from_mins(minutes)
}

pub fn hours(n: u64) -> Millis {
    Millis::from_secs(n * 3600)
}

pub fn set<T>(is: T) -> Set<T> {
    Set { is, line: 7 }
}

pub fn guardrail<T>(rule: T) -> Option<Guardrail<T>> {
    Some(Guardrail { rule, dry_run: false, line: 5 })
}

/// One target: its wave, environment, region, cell and share.
pub struct Place {
    pub wave: usize,
    pub environment: &'static str,
    pub region: &'static str,
    pub cell: String,
    pub share: f64,
}

/// A target of production in `eu-west-1`.
pub fn place(wave: usize, cell: impl Into<String>, share: f64) -> Place {
    Place { wave, environment: "production", region: "eu-west-1", cell: cell.into(), share }
}

/// So many targets of the first wave, of one percent each.
pub fn places(n: usize) -> Vec<Place> {
    (0..n).map(|n| place(0, format!("c{n}"), 1.0)).collect()
}

pub fn in_region(region: &'static str, place: Place) -> Place {
    Place { region, ..place }
}

pub fn in_environment(environment: &'static str, place: Place) -> Place {
    Place { environment, ..place }
}

pub fn plan(rollout: &str, safeguards: Safeguards, places: &[Place]) -> Plan {
    let template = Template::new("ours");
    let cell = |place: &Place| Cell {
        name: place.cell.as_str().into(),
        account: "111111111111".into(),
        region: place.region.into(),
        environment: place.environment.into(),
        role: None,
        traffic_share: place.share,
        stacks: BTreeMap::from([("s".into(), format!("s-{}", place.cell).into())]),
        attributes: BTreeMap::new(),
    };
    let target = |place: &Place| PlannedTarget {
        cell: place.cell.as_str().into(),
        environment: place.environment.into(),
        key: "s".into(),
        stack: format!("s-{}", place.cell).into(),
        scope: cell(place).scope(),
        wave: place.wave,
        order: 0,
        action: Action::Update,
        template: Some(template.digest().clone()),
        declared: None,
        parameters: BTreeMap::new(),
        tags: None,
        capabilities: BTreeSet::new(),
    };
    let waves = places.iter().map(|place| place.wave + 1).max().unwrap_or(0);
    Plan {
        rollout: rollout.into(),
        change_set: PlannedChangeSet {
            digest: Digest::of_bytes(b"x"),
            agent: "Agent-1".into(),
            title: "t".into(),
            reasoning: "r".into(),
        },
        pipeline: PipelineRef { name: "p".into(), digest: Digest::of_bytes(b"p") },
        created_at: NOW,
        look_only: false,
        templates: BTreeMap::from([(template.digest().clone(), template.clone())]),
        cells: places.iter().map(|place| (place.cell.as_str().into(), cell(place))).collect(),
        waves: (0..waves).map(|n| wave(n, places)).collect(),
        targets: places.iter().map(|place| (id(&place.cell), target(place))).collect(),
        health: Health {
            interval: Millis(1),
            settle: Millis(0),
            lag: None,
            metrics: Vec::new(),
            alarms: Vec::new(),
            compare: None,
            prometheus: None,
        },
        repairs: BTreeSet::new(),
        revert: RevertPolicy {
            on_failure: OnFailure::Revert,
            max_concurrent_percent: 100.0,
            irreversible: Irreversible::Refuse,
            continue_rollback_attempts: 2,
            operation_deadline: hours(1),
        },
        proposer: None,
        safeguards: Some(Arc::new(Safeguards { file: "p.yaml".into(), ..safeguards })),
    }
}

fn wave(n: usize, places: &[Place]) -> PlannedWave {
    PlannedWave {
        name: format!("wave-{n}"),
        one_box: n == 0,
        targets: places.iter().filter(|place| place.wave == n).map(|place| id(&place.cell)).collect(),
        max_concurrent: 100,
        failure_tolerance: 0,
        regions: RegionOrder::Parallel,
        bake: Millis(0),
        bake_datapoints: 0,
        max_bake: Millis(0),
    }
}

/// The target of a cell.
pub fn id(cell: &str) -> TargetId {
    TargetId::of(&cell.into(), &"s".into())
}

/// A state with this rollout proposed, each of its targets with one resource changed in place.
pub fn propose(state: &mut State, plan: Plan) -> RolloutId {
    let rollout = plan.rollout.clone();
    // Nothing here looks at it, and thousands of plans are made.
    let digest = Digest::of_bytes(b"plan");
    state.apply(&Event::RolloutProposed { plan: Arc::new(plan), digest, by: "test".into(), handed_in: None }).unwrap();
    let known = state.rollouts.get_mut(&rollout).unwrap();
    known.phase = RolloutPhase::Rolling { wave: 0 };
    for target in known.targets.values_mut() {
        target.classified = Some(Box::new(classified(&[in_place()])));
        target.changes = vec![resource(ResourceAction::Modify, "Queue", "AWS::SQS::Queue")];
        target.context = Some(Box::new(PreviewContext { exports: Some(BTreeMap::new()), sizes: BTreeMap::new() }));
        target.phase = Phase::Captured;
    }
    rollout
}

/// A state with one rollout that has begun nothing.
pub fn one(safeguards: Safeguards, places: &[Place]) -> State {
    let mut state = State::default();
    propose(&mut state, plan("r", safeguards, places));
    state
}

/// The one rollout `r`.
pub fn r(state: &State) -> &Rollout {
    &state.rollouts[&"r".into()]
}

pub fn target<'a>(state: &'a mut State, rollout: &str, cell: &str) -> &'a mut Target {
    state.rollouts.get_mut(&rollout.into()).unwrap().targets.get_mut(&id(cell)).unwrap()
}

/// The target is applied, since `at`.
pub fn applied(target: &mut Target, at: Timestamp) {
    let left = Left { content: None, stack_id: "s".into(), last_updated: None };
    target.left = Some(left.clone());
    target.phase = Phase::Settled(Settlement::Applied { left });
    target.touched_at = Some(at);
}

/// The whole rollout ended; what it had applied stays.
pub fn ended(state: &mut State, rollout: &str, outcome: Outcome) {
    let place = state.ended;
    state.ended += 1;
    let known = state.rollouts.get_mut(&rollout.into()).unwrap();
    known.phase = RolloutPhase::Ended(outcome);
    known.ended = Some(place);
}

pub fn classified(changes: &[ClassifiedChange]) -> Classified {
    Classified {
        classes: changes.iter().flat_map(|change| change.classes.clone()).collect(),
        reversibility: changes.iter().map(|change| change.reversibility).max().unwrap_or_default(),
        reasons: BTreeSet::new(),
        changes: changes.to_vec(),
    }
}

pub fn change(
    resource_type: &str,
    classes: &[ChangeClass],
    reversibility: Reversibility,
    reasons: &[ClassReason],
) -> ClassifiedChange {
    ClassifiedChange {
        path: "X".into(),
        resource_type: resource_type.into(),
        classes: classes.iter().copied().collect(),
        reversibility,
        reasons: reasons.iter().cloned().collect(),
    }
}

pub fn in_place() -> ClassifiedChange {
    let reasons = [ClassReason::ChangedInPlace];
    change("AWS::SQS::Queue", &[ChangeClass::InPlace], Reversibility::Reversible, &reasons)
}

pub fn resource(action: ResourceAction, name: &str, resource_type: &str) -> ResourceChange {
    ResourceChange {
        replacement: (action == ResourceAction::Modify).then_some(Replacement::False),
        action,
        logical_id: name.into(),
        physical_id: None,
        resource_type: resource_type.into(),
        policy_action: None,
        scope: vec!["Properties".into()],
        details: Vec::<ChangeDetail>::new(),
        nested_change_set: None,
        nested: None,
    }
}

pub fn sizes(before: Option<&[(&str, &str)]>, after: Option<&[(&str, &str)]>) -> Sizes {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Sizes { before: before.map(map), after: after.map(map) }
}

/// The rules that the findings name, with what follows.
pub fn rules(found: &[Found]) -> Vec<(&str, Consequence)> {
    found.iter().map(|found| (found.cause.as_ref().unwrap().rule.as_str(), found.follows)).collect()
}
