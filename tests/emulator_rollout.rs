//! Whole rollouts of the real binary against the emulator: success over accounts and regions, an exact revert, lost answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod support;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;
use support::{Effect, Emulator, Match, Snapshot, fixture};
use world::{Cell, Feed, Shape, cells, place};

const LIMIT: Duration = Duration::from_secs(120);
/// What the orders stacks are created with: the token is a `NoEcho` parameter.
const PARAMETERS: [(&str, &str); 2] = [("ApiToken", "0123456789abcdef"), ("VisibilityTimeout", "45")];

/// Template, parameters, tags and outputs. Capabilities are left out: they are those of the last call, not of the stack.
fn snapshots(emulator: &Emulator, cells: &[Cell]) -> BTreeMap<String, Snapshot> {
    let snapshot = |c: &Cell| Snapshot { capabilities: Vec::new(), ..place(emulator, c).snapshot(&c.stack) };
    cells.iter().map(|c| (c.name.clone(), snapshot(c))).collect()
}

#[test]
fn four_waves_over_two_accounts_two_regions_and_three_cells_each() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111", "222222222222"], &["eu-west-1", "us-east-1"], 3);
    for cell in &fleet {
        place(&emulator, cell).create_stack(
            &cell.stack,
            &fixture("orders-v1.yaml"),
            &PARAMETERS,
            &[("team", "orders")],
        );
    }
    let _feed = Feed::start(&emulator, &fleet);
    let pipeline = world::pipeline(&fleet, &Shape { waves: &[1, 2, 3, 6], ..Shape::default() });
    let rest =
        "    parameters: {VisibilityTimeout: \"60\"}\n    capabilities: [CAPABILITY_IAM, CAPABILITY_NAMED_IAM]\n";
    let (mut daemon, change_set) = world::daemon(&emulator, &pipeline, "orders-v2.yaml", rest);
    daemon.run();
    let rollout = daemon.propose(&change_set);
    assert_eq!(daemon.wait_outcome(&rollout, LIMIT), "succeeded", "{}", daemon.log());
    for cell in &fleet {
        let now = place(&emulator, cell).snapshot(&cell.stack);
        assert_eq!(now.template, fixture("orders-v2.yaml"));
        assert_eq!(now.parameters.get("VisibilityTimeout").map(String::as_str), Some("60"));
        assert_eq!(now.tags.get("team").map(String::as_str), Some("orders"));
    }
    let calls = emulator.proxy().calls();
    assert!(calls.accepted_executes_per_token().values().all(|n| *n == 1));
    assert_eq!(calls.of("ExecuteChangeSet").len(), fleet.len());
    assert!(calls.of("ExecuteChangeSet").iter().all(|c| c.disable_rollback() == Some("false")));
    assert!(calls.of("UpdateStack").is_empty());
}

#[test]
fn a_metric_over_its_threshold_in_wave_three_brings_every_stack_back_exactly() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111", "222222222222"], &["eu-west-1", "us-east-1"], 3);
    for cell in &fleet {
        place(&emulator, cell).create_stack(
            &cell.stack,
            &fixture("orders-v1.yaml"),
            &PARAMETERS,
            &[("team", "orders"), ("cost", "7")],
        );
    }
    let before = snapshots(&emulator, &fleet);
    let feed = Feed::start(&emulator, &fleet);
    // Wave three bakes until its metric ends it, however slow this machine is; the waves before it soon pass.
    let pipeline = world::pipeline(&fleet, &Shape { waves: &[1, 2, 3, 6], bake: "3s", ..Shape::default() });
    let longer = |line: &str| match line.contains("wave-2") {
        true => line.replace("bake: 3s", "bake: 5m"),
        false => line.to_owned(),
    };
    let pipeline: String = pipeline.lines().map(|line| longer(line) + "\n").collect();
    let rest = "    parameters: {VisibilityTimeout: \"60\"}\n    tags: {team: other}\n    capabilities: [CAPABILITY_IAM, CAPABILITY_NAMED_IAM]\n";
    let (mut daemon, change_set) = world::daemon(&emulator, &pipeline, "orders-v2.yaml", rest);
    daemon.run();
    let rollout = daemon.propose(&change_set);
    world::wait_status(&daemon, &rollout, "wave three baking", LIMIT, |s| s["phase"] == "baking" && s["wave"] == 2);
    let changed = snapshots(&emulator, &fleet);
    assert_eq!(changed.iter().filter(|(name, s)| before[*name] != **s).count(), 6);
    feed.break_cell(&fleet[4].name);
    assert_eq!(daemon.wait_outcome(&rollout, LIMIT), "reverted", "{}", daemon.log());
    assert_eq!(snapshots(&emulator, &fleet), before);
    assert_reverted_last_wave_first(&emulator, &fleet);
}

/// By the order of the executions that reached the provider: each stack twice, the second time by wave from the last to the first.
fn assert_reverted_last_wave_first(emulator: &Emulator, fleet: &[Cell]) {
    let wave_of = |stack: &str| match fleet.iter().position(|c| stack.contains(&c.stack)).unwrap() {
        0 => 0,
        1 | 2 => 1,
        3..=5 => 2,
        _ => panic!("{stack} was touched"),
    };
    let executed: Vec<usize> =
        emulator.proxy().calls().of("ExecuteChangeSet").iter().map(|c| wave_of(c.stack.as_deref().unwrap())).collect();
    let (there, back) = executed.split_at(6);
    assert!(there.is_sorted(), "{executed:?}");
    assert!(back.iter().rev().is_sorted(), "{executed:?}");
    assert_eq!(back.len(), 6);
}

#[test]
fn a_lost_answer_is_resolved_by_the_token() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111"], &["eu-west-1"], 3);
    world::create_small_stacks(&emulator, &fleet);
    let _feed = Feed::start(&emulator, &fleet);
    let (mut daemon, change_set) =
        world::daemon(&emulator, &world::pipeline(&fleet, &Shape::default()), "setting-v2.yaml", "");
    daemon.run();
    // One call reached the provider and lost its answer, another one never got there.
    emulator.proxy().fault(Match::action("ExecuteChangeSet").stack(&fleet[0].stack), Effect::CutAfter);
    emulator.proxy().fault(Match::action("ExecuteChangeSet").stack(&fleet[1].stack), Effect::CutBefore);
    let rollout = daemon.propose(&change_set);
    assert_eq!(daemon.wait_outcome(&rollout, LIMIT), "succeeded", "{}", daemon.log());
    let calls = emulator.proxy().calls();
    assert!(calls.accepted_executes_per_token().values().all(|n| *n == 1));
    assert_eq!(
        calls.of("ExecuteChangeSet").filter(|c| c.stack.as_deref() == Some(&fleet[0].stack)).len(),
        1,
        "found by its token"
    );
    assert!(!calls.of("DescribeStackEvents").is_empty());
    for cell in &fleet {
        assert_eq!(place(&emulator, cell).template(&cell.stack), fixture("setting-v2.yaml"));
    }
}

#[test]
fn a_failing_update_is_rolled_back_and_the_wave_with_it() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111"], &["eu-west-1"], 3);
    for cell in &fleet {
        place(&emulator, cell).create_stack(&cell.stack, &fixture("orders-v1.yaml"), &PARAMETERS, &[]);
    }
    let before = snapshots(&emulator, &fleet);
    let _feed = Feed::start(&emulator, &fleet);
    let rest = "    capabilities: [CAPABILITY_IAM, CAPABILITY_NAMED_IAM]\n";
    let (mut daemon, change_set) =
        world::daemon(&emulator, &world::pipeline(&fleet, &Shape::default()), "bad-update.yaml", rest);
    daemon.run();
    let rollout = daemon.propose(&change_set);
    assert_eq!(daemon.wait_outcome(&rollout, LIMIT), "reverted", "{}", daemon.log());
    assert_eq!(snapshots(&emulator, &fleet), before);
}

#[test]
fn bad_input_is_refused_and_nothing_is_journaled() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111"], &["eu-west-1"], 3);
    let (mut daemon, _) = world::daemon(&emulator, &world::pipeline(&fleet, &Shape::default()), "setting-v2.yaml", "");
    daemon.run();
    let bad = daemon.write("bad.yaml", &world::change_set("../outside.yaml", "    tags: {a: }\n"));
    let out = daemon.cli(&["propose", bad.to_str().unwrap()]).expect_code(2);
    assert!(
        out.stderr.contains("bad.yaml:9:20") && out.stderr.contains("leads out of the change set's folder"),
        "{}",
        out.stderr
    );
    assert!(out.stderr.contains("blank"), "{}", out.stderr);
    assert_eq!(daemon.cli(&["status", "--json"]).json()["rollouts"].as_array().unwrap().len(), 0);
}

#[test]
fn a_stack_with_a_nested_one_goes_there() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111"], &["us-east-1"], 2);
    let url =
        place(&emulator, &fleet[0]).put_object("templates-1", "nested-alerting.yaml", &fixture("nested-alerting.yaml"));
    for cell in &fleet {
        place(&emulator, cell).create_stack(&cell.stack, &fixture("with-nested.yaml"), &[("AlertingUrl", &url)], &[]);
    }
    let _feed = Feed::start(&emulator, &fleet);
    let pipeline = world::pipeline(&fleet, &Shape { waves: &[1, 1], ..Shape::default() });
    let rest = "    parameters: {Retries: \"7\"}\n    tags: {team: alerts}\n";
    let (mut daemon, change_set) = world::daemon(&emulator, &pipeline, "with-nested.yaml", rest);
    daemon.run();
    let rollout = daemon.propose(&change_set);
    assert_eq!(daemon.wait_outcome(&rollout, LIMIT), "succeeded", "{}", daemon.log());
    for cell in &fleet {
        let now = place(&emulator, cell).snapshot(&cell.stack);
        assert_eq!(now.parameters.get("Retries").map(String::as_str), Some("7"));
        assert_eq!(now.tags.get("team").map(String::as_str), Some("alerts"));
        assert_eq!(place(&emulator, cell).stacks().len(), 4, "two stacks, each with a nested one");
    }
}
