//! Who imports from the stacks, and whether they are as their templates say.

use crate::fixture::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wavegate::engine::guardrail::{dependents, drift};
use wavegate::model::change_set::Action;
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Consequence, Found, Reason};
use wavegate::model::event::Settlement;
use wavegate::model::preview::PreviewContext;
use wavegate::model::safeguards::{Dependents, Drift, Guardrails, Safeguards};
use wavegate::model::stack::{DriftView, RestorePoint, RollbackConfiguration, StackRecord, StackView, Template};
use wavegate::model::state::{Phase, State};

fn imports(level: Autonomy, dry_run: bool) -> Safeguards {
    let mut guardrails =
        Guardrails { dependents: guardrail(Dependents { imported: set(level) }), ..Guardrails::default() };
    guardrails.dependents.as_mut().unwrap().dry_run = dry_run;
    Safeguards { guardrails, ..Safeguards::default() }
}

fn exporting(state: &mut State, cell: &str, exports: Option<&[(&str, &[&str])]>) {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let exports = exports.map(|e| e.iter().map(|(name, by)| ((*name).to_owned(), list(by))).collect());
    target(state, "r", cell).context = Some(Box::new(PreviewContext { exports, sizes: BTreeMap::new() }));
}

#[test]
fn exports_that_others_import_are_named() {
    let mut state = one(imports(Autonomy::TwoApprovals, true), &places(3));
    exporting(&mut state, "c0", Some(&[("free", &[]), ("vpc", &["s-c1", "other"])]));
    exporting(&mut state, "c2", None);
    let found = dependents::findings(r(&state));
    // An importer that is in the rollout itself counts, too.
    let exports = BTreeMap::from([("vpc".to_owned(), vec!["s-c1".to_owned(), "other".to_owned()])]);
    assert_eq!(found[0].what, Reason::Imported { target: id("c0"), exports });
    assert_eq!(found[1].what, Reason::ImportersUnknown { target: id("c2") });
    let needs = Consequence::Needs(Autonomy::TwoApprovals);
    assert_eq!(rules(&found), [("guardrails.dependents.imported", needs), ("guardrails.dependents.imported", needs)]);
    assert!(found.iter().all(|found| found.dry_run));
}

#[test]
fn new_and_unchanged_stacks_have_no_importers() {
    let mut new = plan("r", imports(Autonomy::OneApproval, false), &places(2));
    new.targets.get_mut(&id("c0")).unwrap().action = Action::Create;
    let mut state = State::default();
    propose(&mut state, new);
    target(&mut state, "r", "c0").context = None;
    target(&mut state, "r", "c1").context = None;
    assert_eq!(dependents::findings(r(&state)).len(), 1);
    target(&mut state, "r", "c1").phase = Phase::Settled(Settlement::Unchanged);
    assert_eq!(dependents::findings(r(&state)), []);
}

fn record(drift: Option<DriftView>) -> Option<Arc<RestorePoint>> {
    let view = StackView {
        stack_id: "s".into(),
        name: "s".into(),
        status: "UPDATE_COMPLETE".into(),
        status_reason: None,
        parameters: BTreeMap::new(),
        tags: BTreeMap::new(),
        capabilities: BTreeSet::new(),
        role_arn: None,
        notification_arns: Vec::new(),
        rollback_configuration: RollbackConfiguration::default(),
        termination_protection: false,
        last_updated: None,
        drift,
    };
    let record = StackRecord { view, template: Template::new("t"), policy: None };
    Some(Arc::new(RestorePoint::Stack(Box::new(record))))
}

fn looked(status: &str, minutes: Option<i64>) -> Option<Arc<RestorePoint>> {
    record(Some(DriftView { status: status.into(), checked_at: minutes.map(ago) }))
}

fn ask(restore_points: Vec<Option<Arc<RestorePoint>>>) -> Vec<Found> {
    let rule = Drift { drifted: set(Autonomy::TwoApprovals), unknown: set(Autonomy::OneApproval), max_age: hours(24) };
    let guardrails = Guardrails { drift: guardrail(rule), ..Guardrails::default() };
    let mut state = one(Safeguards { guardrails, ..Safeguards::default() }, &places(restore_points.len()));
    for (n, point) in restore_points.into_iter().enumerate() {
        target(&mut state, "r", &format!("c{n}")).restore_point = point;
    }
    drift::findings(r(&state), NOW)
}

#[test]
fn a_stack_in_sync_as_of_lately_and_a_new_one_have_nothing_to_say() {
    let new = Some(Arc::new(RestorePoint::Absent));
    assert_eq!(ask(vec![looked("IN_SYNC", Some(5)), looked("IN_SYNC", Some(24 * 60)), new]), []);
}

#[test]
fn drift_is_named_and_what_is_not_known_is_counted() {
    let found = ask(vec![
        looked("DRIFTED", Some(5)),
        looked("IN_SYNC", Some(24 * 60 + 1)),
        looked("IN_SYNC", None),
        looked("NOT_CHECKED", Some(1)),
        looked("UNKNOWN", Some(1)),
        looked("A_NEW_WORD", Some(1)),
        looked("IN_SYNC", Some(-24 * 60 - 1)),
        looked("DRIFTED", Some(90 * 24 * 60)),
        record(None),
        None,
    ]);
    assert_eq!(
        found.iter().map(|found| found.what.clone()).collect::<Vec<_>>(),
        [
            Reason::Drifted { target: id("c0") },
            Reason::Drifted { target: id("c7") },
            Reason::DriftUnknown { targets: 8, example: id("c1") },
        ]
    );
    let needs = Consequence::Needs;
    assert_eq!(
        rules(&found)[1..],
        [
            ("guardrails.drift.drifted", needs(Autonomy::TwoApprovals)),
            ("guardrails.drift.unknown", needs(Autonomy::OneApproval)),
        ]
    );
}
