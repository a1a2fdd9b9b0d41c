//! What the provider said of every target, and what other rollouts have done before: the state in which the guardrails look.

use crate::fleet::{self, NOW};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wavegate::cloud::sim::{SimOptions, SimWorld};
use wavegate::engine::classify::classify;
use wavegate::engine::guardrail::judge;
use wavegate::model::event::{Event, Left, Outcome, Settlement};
use wavegate::model::ids::{Digest, RolloutId};
use wavegate::model::pipeline::Pipeline;
use wavegate::model::plan::Plan;
use wavegate::model::preview::{ChangeDetail, Preview, PreviewContext, ResourceChange, Sizes};
use wavegate::model::stack::{DriftStatus, DriftView, RestorePoint, Scope};
use wavegate::model::state::{Phase, Rollout, RolloutPhase, State};

/// The rollout that is judged.
pub const ROLLOUT: &str = "r-9";

/// What the change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// In place and new, all within its limits: nobody is asked, and the rate is.
    Ordinary,
    /// One target in ten loses a table; policies, custom resources, nested stacks, drift and importers besides.
    Grave,
}

impl Case {
    pub const ALL: [Self; 2] = [Self::Ordinary, Self::Grave];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Grave => "grave",
        }
    }
}

/// The rollout, previewed, beside others: eight that ended within the window (500 targets each) and one that is under way (250).
pub fn state(pipeline: &Pipeline, case: Case) -> State {
    let mut state = State::default();
    for nth in 0..8 {
        add(&mut state, part(fleet::plan(pipeline, &format!("r-{nth}")), nth * 500, 500));
        settle(&mut state, &format!("r-{nth}"), true);
    }
    add(&mut state, part(fleet::plan(pipeline, "r-8"), 4_000, 250));
    settle(&mut state, "r-8", false);
    add(&mut state, fleet::plan(pipeline, ROLLOUT));
    preview(state.rollouts.get_mut(&RolloutId::new(ROLLOUT)).unwrap(), case);
    state
}

fn add(state: &mut State, plan: Plan) {
    let digest = plan.digest().unwrap();
    state.apply(&Event::RolloutProposed { plan: Arc::new(plan), digest, by: "bench".into(), handed_in: None }).unwrap();
}

/// So many of a plan's targets.
fn part(mut plan: Plan, from: usize, count: usize) -> Plan {
    plan.targets = plan.targets.into_iter().skip(from).take(count).collect();
    plan.waves.iter_mut().for_each(|wave| wave.targets.retain(|id| plan.targets.contains_key(id)));
    plan
}

/// Touched some hours ago; through, or under way.
fn settle(state: &mut State, id: &str, ended: bool) {
    let at = now() - SignedDuration::from_hours(5);
    let rollout = state.rollouts.get_mut(&RolloutId::new(id)).unwrap();
    preview(rollout, Case::Ordinary);
    let judged = judge::judge(&State::default(), rollout, now()).unwrap();
    rollout.admission.judged = Some(Arc::new(judged));
    let left = Left { content: None, stack_id: String::new(), last_updated: None };
    for target in rollout.targets.values_mut() {
        target.touched_at = Some(at);
        target.phase = Phase::Settled(Settlement::Applied { left: left.clone() });
    }
    if ended {
        rollout.phase = RolloutPhase::Ended(Outcome::Succeeded);
        rollout.ended = Some(state.ended);
        state.ended += 1;
    } else {
        rollout.phase = RolloutPhase::Rolling { wave: rollout.plan.waves.len() - 1 };
    }
}

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn preview(rollout: &mut Rollout, case: Case) {
    let (in_sync, drifted) = (restore_point(DriftStatus::InSync), restore_point(DriftStatus::Drifted));
    for (number, (id, target)) in rollout.targets.iter_mut().enumerate() {
        let grave = case == Case::Grave;
        let mut context = PreviewContext { exports: Some(BTreeMap::new()), sizes: BTreeMap::new() };
        let preview = Preview { changes: changes(number, grave, &mut context) };
        if grave && number % 100 == 3 {
            let importers = vec!["billing".to_owned(), "search".to_owned()];
            context.exports = Some(BTreeMap::from([(format!("{id}-endpoint"), importers)]));
        }
        target.phase = Phase::Captured;
        target.restore_point =
            Some(if grave && number % 200 == 7 { Arc::clone(&drifted) } else { Arc::clone(&in_sync) });
        target.approved = Some(Digest::of_bytes(id.as_str().as_bytes()));
        target.counts = preview.counts();
        target.classified = Some(Box::new(classify(&preview, &BTreeSet::new())));
        target.changes = preview.changes;
        target.context = Some(Box::new(context));
    }
}

/// One to four resources.
fn changes(number: usize, grave: bool, context: &mut PreviewContext) -> Vec<ResourceChange> {
    let mut changes = vec![modified("Queue", "AWS::SQS::Queue", "VisibilityTimeout")];
    if !number.is_multiple_of(4) {
        changes.push(modified("Service", "AWS::ECS::Service", "DesiredCount"));
        sized(context, "Service", "DesiredCount", "4", "4");
    }
    if number % 4 > 1 {
        changes.push(modified("Function", "AWS::Lambda::Function", "Code"));
    }
    if number % 4 > 2 {
        changes.push(change("Topic", "AWS::SNS::Topic", "Add", None));
    }
    if grave && number.is_multiple_of(10) {
        changes.push(replaced("Table", "AWS::DynamoDB::Table", "TableName"));
    }
    if grave && number % 25 == 1 {
        changes.push(modified("Policy", "AWS::IAM::Policy", "PolicyDocument"));
    }
    if grave && number % 50 == 2 {
        changes.push(change("Seed", "Custom::Seed", "Modify", Some("False")));
    }
    if grave && number % 40 == 4 {
        let inner =
            vec![modified("Inner", "AWS::SQS::Queue", "DelaySeconds"), change("New", "AWS::SNS::Topic", "Add", None)];
        let nested = modified("Nested", "AWS::CloudFormation::Stack", "Parameters");
        changes.push(ResourceChange { nested: Some(Box::new(Preview { changes: inner })), ..nested });
    }
    changes.sort_by(|a, b| a.logical_id.cmp(&b.logical_id));
    changes
}

fn sized(context: &mut PreviewContext, path: &str, property: &str, before: &str, after: &str) {
    let one = |value: &str| Some(BTreeMap::from([(property.to_owned(), value.to_owned())]));
    context.sizes.insert(path.to_owned(), Sizes { before: one(before), after: one(after) });
}

fn change(id: &str, kind: &str, action: &str, replacement: Option<&str>) -> ResourceChange {
    ResourceChange {
        action: action.into(),
        logical_id: id.to_owned(),
        physical_id: (action != "Add").then(|| format!("{id}-4F2A")),
        resource_type: kind.to_owned(),
        replacement: replacement.map(Into::into),
        policy_action: None,
        scope: Vec::new(),
        details: Vec::new(),
        nested_change_set: None,
        nested: None,
    }
}

fn modified(id: &str, kind: &str, property: &str) -> ResourceChange {
    detailed(change(id, kind, "Modify", Some("False")), property, "Never")
}

fn replaced(id: &str, kind: &str, property: &str) -> ResourceChange {
    let replaced = detailed(change(id, kind, "Modify", Some("True")), property, "Always");
    ResourceChange { policy_action: Some("ReplaceAndDelete".into()), ..replaced }
}

fn detailed(change: ResourceChange, property: &str, recreation: &str) -> ResourceChange {
    let source = Some("DirectModification");
    let detail = ChangeDetail::new(Some("Properties"), Some(property), Some(recreation), Some("Static"), source, None);
    ResourceChange { scope: vec!["Properties".into()], details: vec![detail], ..change }
}

/// One for all: what it holds does not matter here, but for what was found about drift.
fn restore_point(status: DriftStatus) -> Arc<RestorePoint> {
    let world = SimWorld::new(SimOptions { start: now(), ..SimOptions::default() });
    let scope = Scope { account: "111111111111".into(), region: "xx-region-1".into(), role: None };
    let template = "Resources: {Queue: {Type: AWS::SQS::Queue}}\n";
    world.add_stack(&scope, &"orders".into(), template, BTreeMap::new(), BTreeMap::new()).unwrap();
    let mut record = world.stack(&scope, &"orders".into()).unwrap();
    record.view.drift = Some(DriftView { status, checked_at: Some(now() - SignedDuration::from_hours(3)) });
    Arc::new(RestorePoint::Stack(Box::new(record)))
}
