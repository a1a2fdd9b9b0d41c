//! A stage for one scenario: a fresh embedded world, a fresh state directory, and a daemon in between.

use super::scenario::{Ending, Scenario};
use crate::api::view::RolloutView;
use crate::api::{service, view};
use crate::cli::approvals;
use crate::cli::args::DemoArgs;
use crate::cli::draw::{Screen, say};
use crate::cli::plan::interrupted;
use crate::cli::serve::chain;
use crate::cloud::sim::{SimOptions, SimWorld};
use crate::daemon::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::driver::Driver;
use crate::engine::planner;
use crate::journal::Journal;
use crate::model::event::{Event, Outcome};
use crate::model::ids::RolloutId;
use crate::model::pipeline::{self, Pipeline};
use crate::model::plan::Plan;
use crate::model::time::Now;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const PIPELINE: &str = include_str!("pipeline.yaml");
/// What every stack is at the beginning.
const RELEASE_1: &str = include_str!("orders-v1.yaml");
const TEMPLATES: [(&str, &str); 2] =
    [("orders-v2.yaml", include_str!("orders-v2.yaml")), ("orders-bad.yaml", include_str!("orders-bad.yaml"))];
/// The longest that one turn may take to watch, whatever the pace.
const LONGEST_FRAME: Duration = Duration::from_millis(700);

/// One scenario's stage.
pub struct Stage {
    scenario: Scenario,
    seed: u64,
    speed: f64,
    json: bool,
    dir: StateDir,
    pipeline: Pipeline,
}

/// A temporary state directory, removed when the curtain falls, unless it is to be kept.
struct StateDir {
    path: PathBuf,
    keep: bool,
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if !self.keep {
            // What is left behind in the system's temporary folder is the system's to clean.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Stage {
    /// Sets up.
    ///
    /// # Errors
    /// Words for people.
    pub fn new(args: &DemoArgs, scenario: Scenario) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("wavegate-demo-{}", uuid::Uuid::now_v7().simple()));
        // Readable by its owner alone, as a daemon's is; one that exists already is not ours.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| format!("`{}` cannot be made: {e}", path.display()))?;
        let dir = StateDir { path, keep: args.keep };
        let pipeline = pipeline::read::read("demo/pipeline.yaml", PIPELINE.as_bytes()).map_err(|d| d.to_string())?;
        Ok(Self { scenario, seed: args.seed, speed: args.speed, json: args.json, dir, pipeline })
    }

    /// Plays the scenario.
    ///
    /// # Errors
    /// Words for people.
    pub fn play(self) -> Result<Ending, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(|e| format!("the system gives no event queue: {e}"))?;
        runtime.block_on(self.perform())
    }

    async fn perform(self) -> Result<Ending, String> {
        let start = start_of_demo();
        let world = self.world(start)?;
        let plan = self.plan(self.scenario.change_set(), "1", start)?;
        let second = self.scenario.second_change_set().map(|text| self.plan(text, "2", start)).transpose()?;
        if !self.json {
            say::say(&format!("── {} ──\n{}", self.scenario.title(), self.scenario.story()));
            let kept = if self.dir.keep { "kept" } else { "removed at the end; `--keep` keeps it" };
            say::say(&format!("journal {} ({kept})", self.dir.path.join("journal.db").display()));
        }
        let core = open(&self.dir.path, Clock::world(start).now())?;
        let (driver, orders) = Driver::new(core, Arc::new(world.clone()), Clock::world(start), None);
        let mut show = Show {
            screen: Screen::default(),
            finished: BTreeSet::new(),
            last: Duration::ZERO,
            speed: self.speed,
            json: self.json,
        };
        let mut observe = |core: &mut Core, now: Now| show.turn(core, now);
        let script = async {
            // Interrupted, it ends in order too, and the state directory is removed.
            let ending = tokio::select! {
                ending = self.scenario.script(&orders, &world, plan, second) => ending,
                () = interrupted() => Err("interrupted: the demo ends here".into()),
            };
            orders.stop().await;
            ending
        };
        let (ran, ending) = tokio::join!(driver.run(&mut observe), script);
        ran.map_err(|e| chain(&e))?;
        ending
    }

    /// Twelve stacks of release 1, each bound to its cell's metrics.
    fn world(&self, start: Timestamp) -> Result<SimWorld, String> {
        let world = SimWorld::new(SimOptions { seed: self.seed, start, ..SimOptions::default() });
        for cell in &self.pipeline.cells {
            let scope = cell.scope();
            for stack in cell.stacks.values() {
                let parameters = BTreeMap::from([("Retention".to_owned(), "4".to_owned())]);
                let tags = BTreeMap::from([("team".to_owned(), "orders".to_owned())]);
                world.add_stack(&scope, stack, RELEASE_1, parameters, tags).map_err(|e| e.to_string())?;
                world.bind(&scope, cell.name.as_str(), stack.clone());
            }
        }
        Ok(world)
    }

    fn plan(&self, change_set: &str, nth: &str, now: Timestamp) -> Result<Plan, String> {
        let templates = TEMPLATES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let admitted = service::admit("demo/change.yaml", change_set, &templates)?;
        let rollout = RolloutId::new(format!("r-demo-{}-{nth}", self.scenario.name()));
        planner::plan(&admitted, &self.pipeline, rollout, false, now).map_err(|e| service::plan_errors(&e))
    }
}

/// The embedded world's day begins here, the same in every run: `--seed` repeats a run exactly.
fn start_of_demo() -> Timestamp {
    Timestamp::from_second(1_795_161_600).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn open(dir: &Path, now: Now) -> Result<Core, String> {
    let mut journal = Journal::open(&dir.join("journal.db")).map_err(|e| chain(&e))?;
    journal.take_lead(None, "demo").map_err(|e| chain(&e))?;
    Core::new(journal, "demo", None, now).map_err(|e| chain(&e))
}

/// Draws each turn, at the pace that was asked for.
struct Show {
    screen: Screen,
    /// Rollouts whose last picture is left standing.
    finished: BTreeSet<RolloutId>,
    last: Duration,
    speed: f64,
    json: bool,
}

impl Show {
    fn turn(&mut self, core: &mut Core, now: Now) {
        let fresh = core.take_fresh();
        match self.json {
            true => fresh.iter().for_each(|event| {
                say::say(&serde_json::json!({ "at": now.wall.to_string(), "event": event }).to_string());
            }),
            false => self.draw(core, &fresh, now),
        }
        let passed = now.monotonic.saturating_sub(self.last);
        self.last = now.monotonic;
        if self.speed > 0.0 && !say::is_gone() {
            // The runtime's time is virtual and stands still meanwhile; only the person's time passes here.
            std::thread::sleep(passed.div_f64(self.speed).min(LONGEST_FRAME));
        }
    }

    fn draw(&mut self, core: &Core, fresh: &[Event], now: Now) {
        for rollout in core.state().rollouts.values() {
            let id = &rollout.plan.rollout;
            if self.finished.contains(id) {
                continue;
            }
            let view = view::rollout(core, rollout, false);
            match rollout.is_ended() {
                false => self.screen.show(&view),
                true => {
                    self.finished.insert(id.clone());
                    self.screen.finish(&view);
                }
            }
            fresh
                .iter()
                .filter(|event| event.rollout() == Some(id))
                .for_each(|event| self.tell(core, event, &view, now));
        }
    }

    /// What people see and what the agent is told, where a change does not simply pass.
    fn tell(&mut self, core: &Core, event: &Event, view: &RolloutView, now: Now) {
        let said = match event {
            Event::GuardrailsJudged { judged, .. } if judged.request.is_some() => {
                format!("People are asked (`wavegate approvals`):\n{}", approvals::asked(view))
            }
            Event::ApprovalRefused { by, why, .. } => format!("{} tries to approve it: {why}", by.name),
            Event::ApprovalRejected { by, reason, .. } => format!("{} rejects it: {reason}", by.name),
            Event::RolloutEnded { rollout, outcome: Outcome::Cancelled } => {
                match view::explain(core, rollout, now.wall) {
                    Some(explained) => format!("The agent is told:\n{}", approvals::told(&explained)),
                    None => return,
                }
            }
            _ => return,
        };
        if !self.finished.contains(&view.rollout) {
            self.screen.finish(view);
        }
        say::say(&said);
    }
}
