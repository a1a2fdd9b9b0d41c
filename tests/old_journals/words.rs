//! One journal in which every reason, scope and kind of call occurs that a record can carry: no run leads to all of them.

use super::sim::{Change, V2, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use wavegate::journal::Journal;
use wavegate::model::change_set::Action;
use wavegate::model::event::*;
use wavegate::model::halt::*;
use wavegate::model::ids::{Attempt, Digest, Epoch, RolloutId, TargetId};
use wavegate::model::observation::{ProviderError, ProviderErrorKind, ResourceFailure};
use wavegate::model::pipeline::*;
use wavegate::model::plan::Plan;
use wavegate::model::preview::{Preview, Replacement, ResourceAction, ResourceChange};
use wavegate::model::stack::*;
use wavegate::model::verdict::{Finding, Problem, Verdict};

const AT: &str = "2026-11-21T08:00:00Z";

fn at() -> jiff::Timestamp {
    AT.parse().unwrap()
}

pub fn write(to: &Path) {
    let mut journal = Journal::open(to).unwrap();
    journal.take_lead(None, "test").unwrap();
    let leader =
        Event::LeaderStarted { epoch: Epoch(1), holder: "test".into(), version: env!("CARGO_PKG_VERSION").into() };
    let events = [vec![leader], kills(), holds(), reverts(), health(), stuck(), vec![proposed(rich())]];
    journal.append(at(), &events.concat()).unwrap();
}

fn proposed(plan: Plan) -> Event {
    let digest = plan.digest().unwrap();
    Event::RolloutProposed { plan: Arc::new(plan), digest, by: "test".into(), handed_in: None }
}

fn small(rollout: &str, targets: usize) -> (RolloutId, Event) {
    let mut plan = plan(&[targets], &Change::update(V2));
    plan.rollout = rollout.into();
    // The rest is in `rich`, once: the file stays small.
    plan.health.metrics.clear();
    plan.templates.clear();
    plan.cells.clear();
    (plan.rollout.clone(), proposed(plan))
}

fn error(kind: ProviderErrorKind) -> ProviderError {
    ProviderError { operation: "DescribeStacks".into(), kind, code: "Code".into(), message: "it says so".into() }
}

fn failure() -> ResourceFailure {
    ResourceFailure { logical_id: "Queue".into(), resource_type: "AWS::SQS::Queue".into(), reason: "no".into() }
}

fn kills() -> Vec<Event> {
    let scopes = [
        KillScope::All,
        KillScope::Environment("production".into()),
        KillScope::Region("eu-west-1".into()),
        KillScope::Cell("cell-00".into()),
        KillScope::Pipeline("test".into()),
        KillScope::Agent("agent".into()),
        KillScope::Rollout("r-test".into()),
    ];
    let modes = [KillMode::Pause, KillMode::Halt, KillMode::Revert];
    let doors = [KillDoor::Cli, KillDoor::File, KillDoor::Signal];
    let kill = |(n, scope): (usize, KillScope)| {
        let (mode, door) = (modes[n % 3], doors[n % 3]);
        let id = format!("k-{n}").into();
        Event::KillRequested { kill: Kill { id, scope, mode, by: "anna".into(), door, at: at(), reason: "why".into() } }
    };
    scopes.into_iter().enumerate().map(kill).collect()
}

fn holds() -> Vec<Event> {
    let target = TargetId::new("cell-00/orders");
    let (one, two) = (Digest::of_bytes(b"1"), Digest::of_bytes(b"2"));
    let unhealthy = RevertReason::WaveFailed { wave: 0, failed: 2, tolerance: 1 };
    let finding = Finding { cell: None, signal: "errors".into(), problem: Problem::Partial };
    let holds = [
        Hold::Paused { by: "anna".into() },
        Hold::RedBeforeStart { findings: vec![finding.clone()] },
        Hold::StackNotReady { target: target.clone(), status: None },
        Hold::StackExists { target: target.clone(), status: StackStatus::ReviewInProgress },
        Hold::StackChanged { target: target.clone() },
        Hold::PreviewFailed { target: target.clone(), reason: "no such type".into() },
        Hold::PreviewDiffers { target: target.clone(), approved: one, found: two },
        Hold::BakeInconclusive { wave: 1, after: wavegate::model::time::Millis(900_000), findings: vec![finding] },
        Hold::Unhealthy { reason: unhealthy },
        Hold::ProviderUnavailable { target: Some(target), error: error(ProviderErrorKind::Throttled), tries: 20 },
    ];
    let held = |(n, hold)| {
        let (rollout, proposed) = small(&format!("r-hold-{n}"), 1);
        [proposed, Event::RolloutHeld { rollout, hold }]
    };
    holds.into_iter().enumerate().flat_map(held).collect()
}

fn reverts() -> Vec<Event> {
    let reasons = [
        RevertReason::GateFailed { wave: 0, findings: vec![] },
        RevertReason::WaveFailed { wave: 0, failed: 1, tolerance: 0 },
        RevertReason::Killed { kill: "k-2".into() },
        RevertReason::Requested { by: "anna".into() },
        RevertReason::PlanOnly,
    ];
    let reverted = |(n, reason)| {
        let (rollout, proposed) = small(&format!("r-revert-{n}"), 1);
        let started = Event::RevertStarted { rollout: rollout.clone(), reason };
        [proposed, started, Event::RolloutEnded { rollout, outcome: Outcome::Cancelled }]
    };
    reasons.into_iter().enumerate().flat_map(reverted).collect()
}

fn health() -> Vec<Event> {
    let threshold = |op| Threshold { op, value: 2.5 };
    let errors = [
        ProviderErrorKind::Throttled,
        ProviderErrorKind::NotFound,
        ProviderErrorKind::AlreadyExists,
        ProviderErrorKind::Rejected,
        ProviderErrorKind::Denied,
        ProviderErrorKind::Unavailable,
        ProviderErrorKind::Ambiguous,
    ];
    let mut problems = vec![
        Problem::Breach { bad: 2, of: 3, threshold: threshold(Comparison::Above), worst: Some(8.94) },
        Problem::Breach { bad: 3, of: 3, threshold: threshold(Comparison::AtMost), worst: None },
        Problem::AlarmOpen { reason: "too slow".into() },
        Problem::Missing { missing: 1, of: 3 },
        Problem::TooFewPoints { have: 1, need: 2 },
        Problem::TooFewSamples { have: 0.5, need: 100 },
        Problem::Stale { newest: Some(at()) },
        Problem::NotFinite,
        Problem::FutureDated { at: at() },
        Problem::Partial,
        Problem::Forbidden,
        Problem::SourceTrouble { said: "?".into() },
        Problem::InsufficientData,
        Problem::AlarmVanished,
        Problem::AlarmChanged { since: at() },
        Problem::AlarmTrouble { said: "?".into() },
    ];
    problems.extend(errors.map(|kind| Problem::Unreadable { error: error(kind) }));
    let finding = |problem| Finding { cell: Some("cell-00".into()), signal: "errors".into(), problem };
    let (rollout, proposed) = small("r-health", 1);
    let elapsed = wavegate::model::time::Millis(0);
    let judged =
        |verdict, findings| Event::HealthJudged { rollout: rollout.clone(), wave: 0, elapsed, verdict, findings };
    let all = problems.into_iter().map(finding).collect();
    let others = [Verdict::Pass, Verdict::Inconclusive, Verdict::Error].map(|verdict| judged(verdict, vec![]));
    [vec![proposed], others.to_vec(), vec![judged(Verdict::Fail, all)]].concat()
}

fn stuck() -> Vec<Event> {
    let reasons = [
        StuckReason::Conflict { status: Some(StackStatus::UpdateComplete) },
        StuckReason::RollbackFailed { continued: 3, failures: vec![failure()] },
        StuckReason::RevertFailed { status: StackStatus::UpdateRollbackComplete, failures: vec![failure()] },
        StuckReason::Irreversible,
        StuckReason::ProofDiffers { differs: vec!["template".into(), "tags".into()] },
        StuckReason::DeadEnd { status: StackStatus::from("A_NEW_STATUS"), reason: Some("?".into()) },
        StuckReason::Refused { error: error(ProviderErrorKind::Denied) },
    ];
    let (rollout, proposed) = small("r-stuck", reasons.len());
    let mut events = vec![proposed];
    events.push(Event::WaveStarted { rollout: rollout.clone(), wave: 0 });
    for (n, reason) in reasons.into_iter().enumerate() {
        let target = TargetId::new(format!("cell-{n:02}/orders"));
        events.extend(a_way_to_stuck(&rollout, &target, n % 2 == 0, reason));
    }
    events.push(Event::RevertStarted { rollout: rollout.clone(), reason: RevertReason::PlanOnly });
    events.push(Event::RolloutEnded { rollout, outcome: Outcome::Stuck });
    events
}

/// By a change set, or by the deletion of the stack.
fn a_way_to_stuck(rollout: &RolloutId, target: &TargetId, delete: bool, reason: StuckReason) -> Vec<Event> {
    let (rollout, target) = (|| rollout.clone(), || target.clone());
    let stack_id = "arn:aws:cloudformation:eu-west-1:111111111111:stack/s/1".to_owned();
    let arn = "arn:aws:cloudformation:eu-west-1:111111111111:changeSet/wg-1/1".to_owned();
    let digest = Digest::of_bytes(b"preview");
    let restore_point = if delete { RestorePoint::Stack(Box::new(record(&stack_id))) } else { RestorePoint::Absent };
    let point = restore_point.digest().unwrap();
    let mut events = vec![Event::RestorePointCaptured {
        rollout: rollout(),
        target: target(),
        restore_point: Arc::new(restore_point),
        digest: point,
    }];
    let (prepared, call) = if delete {
        (Prepared::Deletion { stack_id: stack_id.clone() }, OperationCall::DeleteStack { stack_id })
    } else {
        let (direction, name) = (Direction::Forward, "wg-1".to_owned());
        let (attempt, epoch) = (Attempt(1), Epoch(1));
        let requested = Event::ChangeSetRequested {
            rollout: rollout(),
            target: target(),
            direction,
            name: name.clone(),
            attempt,
            epoch,
        };
        events.push(requested);
        let call = OperationCall::ExecuteChangeSet { arn: arn.clone(), digest: digest.clone(), stack_id: None };
        (Prepared::ChangeSet { arn, name, epoch }, call)
    };
    let preview = Preview { changes: vec![change()] };
    let operation = Operation {
        direction: Direction::Forward,
        call,
        token: "wg-1".into(),
        attempt: Attempt(1),
        epoch: Epoch(1),
        intended_at: at(),
        before: Some(at()),
    };
    events.extend([
        Event::TargetPrepared {
            rollout: rollout(),
            target: target(),
            prepared,
            digest,
            counts: preview.counts(),
            changes: preview.changes,
            classified: None,
            context: None,
        },
        Event::OperationIntended { rollout: rollout(), target: target(), operation },
        Event::OperationStarted { rollout: rollout(), target: target(), seen: StartSeen::Found },
        Event::OperationEnded {
            rollout: rollout(),
            target: target(),
            status: StackStatus::UpdateRollbackFailed,
            reason: Some("it failed".into()),
            failures: vec![failure()],
        },
        Event::TargetSettled {
            rollout: rollout(),
            target: target(),
            settlement: Settlement::Stuck { reason, evidence: Some("UPDATE_FAILED Queue".into()) },
        },
    ]);
    events
}

fn change() -> ResourceChange {
    ResourceChange {
        action: ResourceAction::Dynamic,
        logical_id: "Nested".into(),
        physical_id: Some("n-1".into()),
        resource_type: "AWS::CloudFormation::Stack".into(),
        replacement: Some(Replacement::Conditional),
        policy_action: Some("ReplaceAndRetain".into()),
        scope: vec!["Properties".into()],
        details: vec!["Properties.Size".into()],
        nested_change_set: Some("arn:nested".into()),
        nested: None,
    }
}

/// A stack with everything that a stack can have.
fn record(stack_id: &str) -> StackRecord {
    let hidden = ParameterView { value: "****".into(), resolved: None };
    let resolved = ParameterView { value: "/a/name".into(), resolved: Some("value".into()) };
    StackRecord {
        view: StackView {
            stack_id: stack_id.into(),
            name: "s".into(),
            status: StackStatus::ImportComplete,
            status_reason: Some("r".into()),
            parameters: BTreeMap::from([("Hidden".into(), hidden), ("Resolved".into(), resolved)]),
            tags: BTreeMap::from([("team".into(), "orders".into())]),
            capabilities: BTreeSet::from(["CAPABILITY_IAM".into()]),
            role_arn: Some("arn:aws:iam::111111111111:role/cfn".into()),
            notification_arns: vec!["arn:aws:sns:eu-west-1:111111111111:t".into()],
            rollback_configuration: RollbackConfiguration {
                triggers: vec![("arn:alarm".into(), "AWS::CloudWatch::Alarm".into())],
                monitoring_minutes: Some(5),
            },
            termination_protection: true,
            last_updated: Some(at()),
            drift: None,
        },
        template: Template::new(V2),
        policy: Some("{}".into()),
    }
}

/// A plan that uses everything that a pipeline and a change set can say.
fn rich() -> Plan {
    let mut plan = plan(&[1, 1, 1], &Change::update(V2));
    plan.rollout = "r-rich".into();
    plan.look_only = true;
    plan.repairs = BTreeSet::from(["orders-latency".into()]);
    plan.revert.on_failure = OnFailure::Hold;
    plan.revert.irreversible = Irreversible::Allow;
    plan.waves[0].regions = RegionOrder::Sequential;
    for (target, action) in plan.targets.values_mut().zip([Action::Update, Action::Create, Action::Delete]) {
        target.action = action;
        target.tags = Some(BTreeMap::from([("team".into(), "orders".into())]));
        target.capabilities = BTreeSet::from(["CAPABILITY_NAMED_IAM".into()]);
        target.scope.role = Some("arn:aws:iam::111111111111:role/wavegate-cell".into());
        target.parameters = BTreeMap::from([
            ("Delay".into(), ParameterInput::Value("5".into())),
            ("Secret".into(), ParameterInput::Previous),
        ]);
        if action == Action::Delete {
            (target.template, target.declared) = (None, None);
        }
    }
    let first = plan.health.metrics[0].clone();
    let MetricSource::Metric(stat) = first.source.clone() else { panic!("a metric") };
    let missing = [MissingData::Fail, MissingData::Ignore, MissingData::Hold];
    let comparisons = [Comparison::AtLeast, Comparison::Below, Comparison::AtMost];
    for (n, (missing_data, op)) in missing.into_iter().zip(comparisons).enumerate() {
        let inputs = BTreeMap::from([("a".to_owned(), StatTemplate { unit: Some("Count".into()), ..stat.clone() })]);
        plan.health.metrics.push(Metric {
            name: format!("expression-{n}"),
            source: MetricSource::Expression { expression: "100 * a".into(), inputs },
            fail_when: Some(Threshold { op, value: 0.1 }),
            missing_data,
            min_samples: 100,
            ..first.clone()
        });
    }
    plan.health.alarms = vec![AlarmGate { name: "orders-{cell}-latency".into() }];
    plan
}
