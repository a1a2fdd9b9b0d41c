//! An embedded world for a daemon: every stack that the pipelines name, at release 1. To try the doors, for drills and tests.

use super::all_pipelines;
use crate::cloud::sim::{SimOptions, SimWorld};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What every stack is at the beginning: a queue and a table that keeps its data.
const RELEASE_1: &str = include_str!("release-1.yaml");

/// The world of all pipelines of a folder.
///
/// # Errors
/// Words for people.
pub(super) fn world(pipelines: &Path, start: Timestamp) -> Result<SimWorld, String> {
    let quick = Duration::from_millis(200)..=Duration::from_millis(800);
    let world = SimWorld::new(SimOptions { start, update_duration: quick, ..SimOptions::default() });
    for pipeline in all_pipelines(pipelines)?.into_iter().flatten() {
        for cell in &pipeline.cells {
            let scope = cell.scope();
            for stack in cell.stacks.values() {
                // Two pipelines may name the same stack: the first one made it.
                let _ = world.add_stack(&scope, stack, RELEASE_1, BTreeMap::new(), BTreeMap::new());
                world.bind(&scope, cell.name.as_str(), stack.clone());
            }
        }
    }
    Ok(world)
}
