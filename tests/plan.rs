//! `wavegate plan` over the embedded world: it shows everything, changes nothing and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use sim::{Change, Harness, V1, V2, V2_FAILS};
use std::sync::Arc;
use wavegate::cli::plan::{look, text};
use wavegate::cloud::sim::Operation;
use wavegate::daemon::clock::Clock;

async fn looked(h: &Harness, change: &Change) -> wavegate::api::view::RolloutView {
    let mut plan = sim::plan(&[1, 2, 3], change);
    plan.look_only = true;
    look(Arc::new(h.world.clone()), Clock::world(h.world.wall()), plan, std::future::pending()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_every_target_and_leaves_nothing_behind() {
    let h = Harness::new(1, &[1, 2, 3]).await;
    let view = looked(&h, &Change::update(V2)).await;
    let targets: Vec<_> = view.waves.iter().flat_map(|w| &w.targets).collect();
    assert_eq!(targets.len(), 6);
    assert!(
        targets.iter().all(|t| t.counts.added == 1 && t.counts.modified == 1 && t.restore_point.is_some()),
        "{targets:#?}"
    );
    assert!(view.hold.is_none());
    let lines = text(&view).join("\n");
    assert!(
        lines.contains("6 stacks in 6 cells over 3 waves; 6 resources added, 6 modified, 0 replaced, 0 removed"),
        "{lines}"
    );
    assert_eq!(h.calls(Operation::ExecuteChangeSet), 0);
    h.cells().iter().for_each(|c| assert_eq!(h.template(c), V1));
    h.assert_no_leftovers();
}

#[tokio::test(start_paused = true)]
async fn what_would_not_start_is_said_and_cleaned_up() {
    let h = Harness::new(2, &[1, 2, 3]).await;
    let first = h.cells().remove(0);
    h.edit(&first, V2_FAILS.replace("FailUpdate: true", "DelaySeconds: 1").as_str());
    let change = Change::create(V2);
    let mut plan = sim::plan(&[1], &change);
    plan.look_only = true;
    // A stack of that name is there already.
    let target = plan.targets.values_mut().next().unwrap();
    target.stack = "orders-00".into();
    let view =
        look(Arc::new(h.world.clone()), Clock::world(h.world.wall()), plan, std::future::pending()).await.unwrap();
    assert!(view.hold.unwrap().why.contains("exists already"));
    h.assert_no_leftovers();
}
