//! Change sets, as agents write them: YAML or JSON, untrusted.
//!
//! Everything that holds for pipeline files; and no admitted text would be obeyed by a terminal, no template is found outside
//! of the change set's folder, and no value is admitted for a parameter that its template hides.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use wavegate::engine::planner;
use wavegate::model::change_set::read::{self, TEMPLATE_MAX, template_parameters};
use wavegate::model::change_set::{Action, Admitted};
use wavegate::model::event::Event;
use wavegate::model::ids::Digest;
use wavegate::model::pipeline::{self, Pipeline};
use wavegate::model::stack::ParameterInput;
use wavegate_fuzz::documents::{assert_read_alike, read_twice};
use wavegate_fuzz::records::assert_survives;
use wavegate_fuzz::text::assert_shows_all;

/// Refuses no deletion, so that those are planned as well.
static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| {
    let bytes = include_bytes!("../../tests/bad_input/sound_pipeline.yaml");
    let mut pipeline = pipeline::read::read("sound", bytes).unwrap_or_else(|faults| panic!("{faults}"));
    pipeline.revert.irreversible = pipeline::Irreversible::Allow;
    pipeline
});

fuzz_target!(|bytes: &[u8]| {
    let asked = RefCell::new(Vec::new());
    let find = |path: &str| {
        asked.borrow_mut().push(path.to_owned());
        Ok(include_bytes!("../../tests/fixtures/setting-v2.yaml").to_vec())
    };
    if let Some(admitted) = read_twice(bytes, |file, bytes| read::read(file, bytes, &find)) {
        assert_eq!(admitted.digest, Digest::of_bytes(bytes));
        assert_admissible(&admitted);
        assert_plans(admitted);
    }
    for path in asked.borrow().iter() {
        assert!(!path.starts_with('/') && !path.split(['/', '\\']).any(|part| part == ".."), "looked for {path:?}");
    }
    assert_read_alike(bytes);
});

fn assert_admissible(admitted: &Admitted) {
    let lines = [&admitted.agent, &admitted.title, &admitted.pipeline];
    for line in lines.into_iter().chain(&admitted.repairs) {
        assert_shows_all("a line", line);
        assert!(!line.contains(['\n', '\t']) && !line.is_empty(), "{line:?} is more than a line, or nothing");
    }
    assert_shows_all("the reasoning", &admitted.reasoning);
    assert!(!admitted.stacks.is_empty(), "changes nothing");
    for (key, change) in &admitted.stacks {
        assert_shows_all("a stack's name", key.as_str());
        let tags = change.tags.iter().flatten().flat_map(|(name, value)| [name, value]);
        tags.for_each(|text| assert_shows_all("a tag", text));
        let body = change.template.as_ref().map_or("", |template| template.body());
        assert!(body.len() <= TEMPLATE_MAX);
        if change.action == Action::Delete {
            assert!(change.template.is_none() && change.parameters.is_empty(), "a deletion with content");
        }
        let valued = |input: &ParameterInput| matches!(input, ParameterInput::Value(_));
        if change.template.is_none() {
            // INVARIANT: S20. Nobody can tell which of them are secrets.
            assert!(!change.parameters.values().any(valued), "values without a template");
            continue;
        }
        let declared = template_parameters(body).expect("read before");
        for (name, input) in &change.parameters {
            let parameter = declared.get(name).unwrap_or_else(|| panic!("`{name}` is not declared"));
            let ParameterInput::Value(value) = input else { continue };
            let reference =
                value.starts_with("{{resolve:secretsmanager:") || value.starts_with("{{resolve:ssm-secure:");
            assert!(!parameter.no_echo || reference, "a secret is admitted for `{name}`");
        }
    }
}

fn assert_plans(mut admitted: Admitted) {
    admitted.pipeline.clone_from(&PIPELINE.name);
    let plan = || planner::plan(&admitted, &PIPELINE, "r-1".into(), false, Timestamp::UNIX_EPOCH);
    let first = plan();
    assert_eq!(first, plan());
    let Ok(plan) = first else { return };
    let digest = plan.digest().unwrap_or_else(|error| panic!("no digest: {error}"));
    let event = Event::RolloutProposed { plan: Arc::new(plan), digest: digest.clone(), by: "fuzz".into(), handed_in: None };
    let back = serde_json::from_str(&assert_survives(&event));
    let Ok(Event::RolloutProposed { plan, .. }) = back else { panic!("another event: {back:?}") };
    assert_eq!(plan.digest(), Ok(digest));
}
