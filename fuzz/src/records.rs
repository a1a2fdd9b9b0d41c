//! What must hold for journal records, and plans to make them of.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use wavegate::engine::planner;
use wavegate::model::change_set;
use wavegate::model::event::Event;
use wavegate::model::pipeline;
use wavegate::model::plan::Plan;
use wavegate::model::stack::{RestorePoint, RollbackConfiguration, StackRecord, StackStatus, StackView, Template};
use wavegate::model::state::State;

/// A record that is written can be read, and says the same: otherwise the daemon could not start again.
pub fn assert_survives(event: &Event) -> String {
    let text = serde_json::to_string(event).expect("an event can be written");
    match serde_json::from_str::<Event>(&text) {
        Ok(back) => assert!(back == *event, "read back as another event:\n{event:?}\n{back:?}"),
        Err(error) => panic!("cannot be read back ({error}): {text}"),
    }
    text
}

/// Applies an event as replay does; true when it fits. One that does not must leave the state as it was: the daemon's memory
/// would else say something that its journal does not.
pub fn apply(state: &mut State, event: &Event) -> bool {
    let before = state.clone();
    match state.apply(event) {
        Ok(()) => true,
        Err(refusal) => {
            assert!(*state == before, "refused ({refusal}), and the state has changed: {event:?}");
            false
        }
    }
}

/// The plan of a sound change set for a sound pipeline.
pub fn plan(pipeline: &str, change_set: &str) -> Plan {
    let pipeline = pipeline::read::read("pipeline", pipeline.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
    let no_files = |_: &str| Err("there are no files".to_owned());
    let admitted = change_set::read::read("change set", change_set.as_bytes(), &no_files);
    let admitted = admitted.unwrap_or_else(|faults| panic!("{faults}"));
    let plan = planner::plan(&admitted, &pipeline, "r-1".into(), false, Timestamp::UNIX_EPOCH)
        .unwrap_or_else(|errors| panic!("{errors:?}"));
    // How it was let in is looked at elsewhere.
    Plan { safeguards: None, ..plan }
}

/// A stack as it was.
pub fn restore_point(name: &str) -> RestorePoint {
    let view = StackView {
        stack_id: format!("arn:{name}"),
        name: name.into(),
        status: StackStatus::UpdateComplete,
        status_reason: None,
        parameters: BTreeMap::new(),
        tags: BTreeMap::new(),
        capabilities: BTreeSet::new(),
        role_arn: None,
        notification_arns: Vec::new(),
        rollback_configuration: RollbackConfiguration::default(),
        termination_protection: false,
        last_updated: None,
        drift: None,
    };
    let template = Template::new("Resources: {}");
    RestorePoint::Stack(Box::new(StackRecord { view, template, policy: None }))
}
