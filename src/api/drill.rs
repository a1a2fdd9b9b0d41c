//! Kill drills: proof, by doing it in the running daemon, that each door and each mode of a kill works.
//!
//! A drill rolls a small change out over cells of an embedded world (or of a sandbox), waits until something of it is in flight, gives a
//! kill of that one rollout by the door under drill, and reads from the durable record and from the embedded provider's own log of calls
//! what became of it. Then it puts everything back, and goes on with the next door and mode. It never stops another rollout: its orders
//! name its own, and its targets are in an account that is nobody's.
//!
//! | module | what |
//! |---|---|
//! | `stage` | what a drill is held with: the change, the loop, the person |
//! | `check` | one door and one mode, from the proposal to the cleaning up |
//! | `tale` | what the record and the provider say of a check |
//! | `doors` | the doors, as somebody outside uses them |
//! | `sibling` | signals stop everything: they are proven in a second daemon |

mod check;
mod doors;
mod sibling;
mod stage;
mod tale;

pub use doors::{DoorUnderDrill, RemoteAccess};
pub use stage::{change_set, pipeline, release_1};

use super::code::Code;
use super::service::{Surroundings, admit};
use super::verbs::{DrillsView, SandboxDrill};
use crate::daemon::driver::{Orders, Stopped};
use crate::daemon::split::DrillWorld;
use crate::engine::decide::Input;
use crate::engine::planner;
use crate::model::drill::{DRILL_PIPELINE, Drill, DrillCheck, DrillPlace, is_drill};
use crate::model::halt::{KillDoor, KillMode, KillScope};
use crate::model::ids::RolloutId;
use crate::model::pipeline::Pipeline;
use crate::model::principal::Caller;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stage::{Limits, Stage};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A pipeline whose cells are all of this environment may be drilled on.
const SANDBOX: &str = "sandbox";
/// The modes, from the mildest to the hardest.
const MODES: [KillMode; 3] = [KillMode::Pause, KillMode::Halt, KillMode::Revert];

/// Gives an address and a token of the daemon's HTTP door, made for one drill; none: the door is not open.
pub type Remote = Arc<dyn Fn(&Caller) -> Result<Option<RemoteAccess>, String> + Send + Sync>;

/// What drills need beside the loop.
#[derive(Clone)]
pub struct DrillSetup {
    /// The daemon's state directory, with its socket and its kill file.
    pub state_dir: PathBuf,
    /// This program, for the daemon that is signalled; none: nobody knows where it is.
    pub program: Option<PathBuf>,
    /// Where that daemon may have a directory for a while.
    pub temporary: PathBuf,
    /// The embedded world.
    pub world: DrillWorld,
    /// The HTTP door; none: this daemon has none.
    pub remote: Option<Remote>,
}

/// A drill that is being held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillProgress {
    /// Its name.
    pub id: String,
    /// Who holds it.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// What is being tried, in words.
    pub now: String,
    /// What has been tried.
    pub checks: Vec<DrillCheck>,
}

/// The drills of one daemon: one at a time.
pub struct Drills {
    setup: DrillSetup,
    orders: Orders,
    surroundings: Arc<dyn Surroundings>,
    running: Mutex<Option<DrillProgress>>,
}

/// Why no drill is held.
pub enum NoDrill {
    /// Not now, or not by this daemon.
    Refused(Code, String),
    /// The pipeline or the change set that was named is wrong.
    BadInput(String),
}

impl Drills {
    /// None held yet.
    pub fn new(setup: DrillSetup, orders: Orders, surroundings: Arc<dyn Surroundings>) -> Arc<Self> {
        Arc::new(Self { setup, orders, surroundings, running: Mutex::default() })
    }

    /// Takes back what a drill in the embedded world left that a crash has cut short: its rollout goes back, and its kill file is removed.
    /// By the record alone the rollout of a drill in a sandbox is one like any other: what that left is for people (docs/operating.md).
    ///
    /// # Errors
    /// [`Stopped`] when the loop has ended.
    pub async fn tidy(&self) -> Result<(), Stopped> {
        if let Err(error) = doors::remove_left_over(&self.setup.state_dir, &self.left_over(false).await?) {
            tracing::warn!(%error, "a drill's kill file cannot be removed");
        }
        for rollout in self.left_over(true).await? {
            tracing::warn!(%rollout, "a kill drill was cut short; its rollout goes back");
            // One that is on its way back already is refused, and goes on.
            let _ = self.orders.input(Input::Revert { rollout, by: "kill drill".into() }).await?;
        }
        Ok(())
    }

    async fn left_over(&self, open: bool) -> Result<Vec<RolloutId>, Stopped> {
        let of_drills = move |core: &crate::daemon::core::Core| {
            let all = core.state().rollouts.values().filter(|r| is_drill(&r.plan) && !(open && r.is_ended()));
            all.map(|r| r.plan.rollout.clone()).collect()
        };
        self.orders.look(of_drills).await
    }

    /// What is being held, and what was, newest first.
    ///
    /// # Errors
    /// [`Stopped`] when the loop has ended.
    pub async fn view(&self) -> Result<DrillsView, Stopped> {
        // In this order: one that ends in between is seen twice rather than not at all.
        let running = self.running().clone();
        let items = self.orders.look(|core| core.state().drills.iter().rev().cloned().collect()).await?;
        Ok(DrillsView { running, items, next: None })
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<DrillProgress>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a drill, and gives its name. It is held in a task of its own.
    ///
    /// # Errors
    /// [`Stopped`] when the loop has ended.
    pub async fn start(
        self: &Arc<Self>,
        caller: &Caller,
        sandbox: Option<SandboxDrill>,
    ) -> Result<Result<String, NoDrill>, Stopped> {
        let stage = match self.stage(caller, sandbox) {
            Ok(stage) => stage,
            Err(no) => return Ok(Err(no)),
        };
        if let Some(why) = self.obstacle(&stage).await? {
            return Ok(Err(NoDrill::Refused(Code::NoDrill, why)));
        }
        let id = stage.id.clone();
        {
            let mut running = self.running();
            if let Some(other) = running.as_ref() {
                let why = format!("the drill `{}` of {} is being held; one at a time", other.id, other.by);
                return Ok(Err(NoDrill::Refused(Code::NoDrill, why)));
            }
            *running = Some(DrillProgress {
                id: id.clone(),
                by: caller.principal.name.clone(),
                since: self.surroundings.wall(),
                now: "beginning".into(),
                checks: Vec::new(),
            });
        }
        let drills = Arc::clone(self);
        tokio::spawn(async move {
            // A task that panics must not leave a drill that is held for ever.
            let _end = Ending(Arc::clone(&drills));
            if drills.hold(stage).await.is_err() {
                tracing::warn!("the daemon has stopped in the middle of a kill drill");
            }
        });
        Ok(Ok(id))
    }

    fn stage(&self, caller: &Caller, sandbox: Option<SandboxDrill>) -> Result<Stage, NoDrill> {
        let id = self.surroundings.rollout_id().to_string().replacen("r-", "d-", 1);
        let bad = NoDrill::BadInput;
        let (place, pipeline, admitted, world, limits) = match sandbox {
            None => {
                let world = Some(self.setup.world.clone());
                (DrillPlace::Embedded, pipeline().map_err(bad)?, change_set().map_err(bad)?, world, Limits::EMBEDDED)
            }
            Some(SandboxDrill { pipeline: name, submission }) => {
                let admitted = admit(&submission.file, &submission.text, &submission.templates).map_err(bad)?;
                let pipeline = self.surroundings.pipeline(&name).map_err(bad)?;
                is_sandbox(&pipeline, &admitted.pipeline).map_err(bad)?;
                (DrillPlace::Sandbox { pipeline: name }, pipeline, admitted, None, Limits::SANDBOX)
            }
        };
        let (orders, surroundings) = (self.orders.clone(), Arc::clone(&self.surroundings));
        Ok(Stage { id, place, orders, surroundings, caller: caller.clone(), pipeline, admitted, world, limits })
    }

    /// What stands in the way of a drill; none: nothing.
    async fn obstacle(&self, stage: &Stage) -> Result<Option<String>, Stopped> {
        if let Some(file) = self.surroundings.kill_file() {
            return Ok(Some(format!(
                "the kill file `{}` is there; a drill would prove nothing beside it",
                file.display()
            )));
        }
        let plan = match planner::plan(
            &stage.admitted,
            &stage.pipeline,
            self.surroundings.rollout_id(),
            false,
            self.surroundings.wall(),
        ) {
            Ok(plan) => plan,
            Err(faults) => return Ok(Some(super::service::plan_errors(&faults))),
        };
        let look = move |core: &crate::daemon::core::Core| {
            let state = core.state();
            let covers = |scope: &KillScope| scope.covers(&plan);
            let kill = state.kills.values().find(|k| k.in_force() && covers(&k.kill.scope));
            let kill =
                kill.map(|k| format!("the kill `{}` ({}) is in force and covers the drill", k.kill.id, k.kill.scope));
            let owner = || plan.targets.values().find_map(|target| state.owner_of(target));
            kill.or_else(|| {
                owner().map(|r| format!("rollout `{}`, which has not ended, owns a target", r.plan.rollout))
            })
        };
        self.orders.look(look).await
    }

    async fn hold(&self, stage: Stage) -> Result<(), Stopped> {
        let (doors, not_drilled) = doors::all(&self.setup, &stage.caller);
        let began = tokio::time::Instant::now();
        let mut checks = Vec::new();
        let wanted = doors.iter().flat_map(|door| MODES.map(|mode| (door, mode)));
        for (door, mode) in wanted {
            self.note(format!("{} {mode}", door.door()), &checks);
            let check = match began.elapsed() < stage.limits.drill {
                true => check::hold(&stage, door.as_ref(), mode).await?,
                false => late(door.door(), mode),
            };
            checks.push(check);
        }
        self.note("signal pause, signal halt".into(), &checks);
        if began.elapsed() < stage.limits.drill {
            // Each in a daemon of its own.
            let pause = sibling::check(&self.setup, KillMode::Pause);
            let (pause, halt) = tokio::join!(pause, sibling::check(&self.setup, KillMode::Halt));
            checks.extend([pause, halt]);
        } else {
            checks.extend([KillMode::Pause, KillMode::Halt].map(|mode| late(KillDoor::Signal, mode)));
        }
        self.note("writing it down".into(), &checks);
        let drill = Drill {
            id: stage.id.clone(),
            place: stage.place.clone(),
            by: stage.caller.principal.name.clone(),
            at: self.surroundings.wall(),
            checks,
            not_drilled,
        };
        // It is never refused.
        let _ = self.orders.input(Input::DrillEnded(Box::new(drill))).await?;
        Ok(())
    }

    fn note(&self, now: String, checks: &[DrillCheck]) {
        if let Some(progress) = self.running().as_mut() {
            progress.now = now;
            progress.checks = checks.to_vec();
        }
    }
}

/// Nothing is being held any more.
struct Ending(Arc<Drills>);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.running() = None;
    }
}

fn is_sandbox(pipeline: &Pipeline, meant: &str) -> Result<(), String> {
    let name = &pipeline.name;
    if meant != name {
        return Err(format!(
            "the change set is for pipeline `{meant}`, and the drill for `{name}`; name one of them twice"
        ));
    }
    if name == DRILL_PIPELINE {
        return Err(format!("`{DRILL_PIPELINE}` is the built-in pipeline of drills; leave `--sandbox` away"));
    }
    if let Some(cell) = pipeline.cells.iter().find(|cell| cell.environment != SANDBOX) {
        return Err(format!(
            "cell `{}` of pipeline `{name}` is in environment `{}`; drills are held only where every cell is in `{SANDBOX}`",
            cell.name, cell.environment
        ));
    }
    if pipeline.safeguards.guardrails.kill_drill.as_ref().is_some_and(|guardrail| !guardrail.dry_run) {
        return Err(format!(
            "pipeline `{name}` waits for a drill itself (`guardrails.kill_drill`); hold one without `--sandbox`"
        ));
    }
    Ok(())
}

fn late(door: KillDoor, mode: KillMode) -> DrillCheck {
    DrillCheck {
        door,
        mode,
        rollout: RolloutId::new("none"),
        acknowledged_after: None,
        evidence: "not tried: the drill took too long before this".into(),
        passed: false,
    }
}
