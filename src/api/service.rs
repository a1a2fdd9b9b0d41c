//! The one list of verbs. Every door calls these, and nothing else reaches the loop.

use super::admission::Explanation;
use super::view::{self, KillView, RolloutView, StatusView};
use crate::daemon::core::Core;
use crate::daemon::driver::{Orders, Stopped};
use crate::engine::answer::{self, PersonsAnswer};
use crate::engine::decide::{Input, Refusal};
use crate::engine::planner::{self, PlanError};
use crate::model::change_set::{self, Admitted};
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::{KillId, RolloutId};
use crate::model::pipeline::Pipeline;
use crate::model::plan::Plan;
use crate::model::state::Rollout;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A kill is acknowledged, or precisely pending, within this time (L3).
const KILL_ANSWER: Duration = Duration::from_secs(2);

/// What may be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb", deny_unknown_fields)]
pub enum Request {
    /// Admit a change set, plan it and roll it out.
    Propose {
        /// The file's name, for messages.
        file: String,
        /// Its raw bytes, as text.
        text: String,
        /// Template files that it names, by path.
        templates: BTreeMap<String, String>,
        /// Who hands it in.
        by: String,
    },
    /// How things stand.
    Status {
        /// Only this rollout.
        rollout: Option<RolloutId>,
        /// With the previews' resources.
        full: bool,
    },
    /// Hold a rollout.
    Pause {
        /// Which.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// Let a held rollout go on.
    Resume {
        /// Which.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// Take a rollout back.
    Revert {
        /// Which.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// Stop.
    Kill {
        /// What.
        scope: KillScope,
        /// How hard.
        mode: KillMode,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Lift a stop order.
    Lift {
        /// Which.
        kill: KillId,
        /// The two people.
        by: [String; 2],
    },
    /// What people are asked, of every rollout that asks.
    Approvals,
    /// Why a rollout does not go on, who can release it, what would make it pass.
    Explain {
        /// Which.
        rollout: RolloutId,
    },
    /// A person answers what a rollout asks.
    Answer {
        /// Which rollout.
        rollout: RolloutId,
        /// Who.
        by: String,
        /// What they say.
        says: Says,
    },
    /// Which release runs.
    Version,
}

/// What a person says to a rollout.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "says", deny_unknown_fields)]
pub enum Says {
    /// Yes, to what this digest covers.
    Approve {
        /// Its first twelve characters, or all of it.
        digest: String,
        /// The name of the last wave that they agree to; none: all that are asked for.
        through: Option<String>,
        /// The key figure of a destructive change, in their words.
        confirm: Option<String>,
    },
    /// Not any more.
    Revoke {},
    /// No.
    Reject {
        /// Why.
        reason: String,
    },
    /// This environment is as it should be.
    SignOff {
        /// Which.
        environment: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Response {
    /// The rollout has begun.
    Proposed {
        /// Its name.
        rollout: RolloutId,
    },
    /// How things stand.
    Status(StatusView),
    /// The order was taken and is durable.
    Done,
    /// The stop order is in force.
    Killed(KillView),
    /// What people are asked.
    Approvals {
        /// Of each rollout that asks.
        rollouts: Vec<RolloutView>,
    },
    /// Why a rollout does not go on.
    Explained(Box<Explanation>),
    /// Which release runs.
    Version {
        /// Of the daemon.
        version: String,
    },
    /// The order cannot be taken; nothing was recorded.
    Refused {
        /// Why, and what to do.
        message: String,
    },
    /// The input is wrong; nothing was recorded.
    BadInput {
        /// Where and why, and what to do.
        message: String,
    },
}

/// Where the service gets pipelines, names and time from: the edge of the program knows.
pub trait Surroundings: Send + Sync {
    /// The pipeline of that name, read anew: an SRE's edit holds from the next change set on. The error is for people.
    ///
    /// # Errors
    /// Words for people.
    fn pipeline(&self, name: &str) -> Result<Pipeline, String>;
    /// A name for a new rollout, never used before.
    fn rollout_id(&self) -> RolloutId;
    /// A name for a new stop order.
    fn kill_id(&self) -> KillId;
    /// The wall clock.
    fn wall(&self) -> jiff::Timestamp;
    /// The kill file, while it exists: an order of the file cannot be lifted before the file is gone.
    fn kill_file(&self) -> Option<std::path::PathBuf>;
}

/// The verbs over one loop.
pub struct Service<S> {
    orders: Orders,
    surroundings: S,
}

impl<S: Surroundings> Service<S> {
    /// A service over a loop.
    pub fn new(orders: Orders, surroundings: S) -> Self {
        Self { orders, surroundings }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// [`Stopped`] when the loop has ended.
    pub async fn answer(&self, request: Request) -> Result<Response, Stopped> {
        match request {
            Request::Propose { file, text, templates, by } => self.propose(&file, &text, &templates, by).await,
            Request::Status { rollout, full } => self.status(rollout, full).await,
            Request::Pause { rollout, by } => self.order(Input::Pause { rollout, by }).await,
            Request::Resume { rollout, by } => self.order(Input::Resume { rollout, by }).await,
            Request::Revert { rollout, by } => self.order(Input::Revert { rollout, by }).await,
            Request::Kill { scope, mode, reason, by } => self.kill(scope, mode, reason, by).await,
            Request::Lift { kill, by } => self.lift(kill, by).await,
            Request::Approvals => self.approvals().await,
            Request::Explain { rollout } => self.explain(rollout).await,
            Request::Answer { rollout, by, says } => self.take_answer(rollout, by, says).await,
            Request::Version => Ok(Response::Version { version: env!("CARGO_PKG_VERSION").into() }),
        }
    }

    async fn order(&self, input: Input) -> Result<Response, Stopped> {
        Ok(answer_of(self.orders.input(input).await?))
    }

    async fn propose(
        &self,
        file: &str,
        text: &str,
        templates: &BTreeMap<String, String>,
        by: String,
    ) -> Result<Response, Stopped> {
        let plan = match self.plan(file, text, templates) {
            Ok(plan) => plan,
            Err(message) => return Ok(Response::BadInput { message }),
        };
        let digest = match plan.digest() {
            Ok(digest) => digest,
            Err(error) => return Ok(Response::BadInput { message: error.to_string() }),
        };
        let rollout = plan.rollout.clone();
        match self.orders.input(Input::Propose { plan: Arc::new(plan), digest, by }).await? {
            Ok(()) => Ok(Response::Proposed { rollout }),
            Err(refusal) => Ok(answer_of(Err(refusal))),
        }
    }

    fn plan(&self, file: &str, text: &str, templates: &BTreeMap<String, String>) -> Result<Plan, String> {
        let admitted = admit(file, text, templates)?;
        let pipeline = self.surroundings.pipeline(&admitted.pipeline)?;
        planner::plan(&admitted, &pipeline, self.surroundings.rollout_id(), false, self.surroundings.wall())
            .map_err(|e| plan_errors(&e))
    }

    async fn status(&self, only: Option<RolloutId>, full: bool) -> Result<Response, Stopped> {
        let named = only.clone();
        let view = self.orders.look(move |core| view::status(core, only.as_ref(), full)).await?;
        match named {
            Some(id) if view.rollouts.is_empty() => {
                Ok(Response::Refused { message: Refusal::UnknownRollout(id).to_string() })
            }
            _ => Ok(Response::Status(view)),
        }
    }

    async fn approvals(&self) -> Result<Response, Stopped> {
        let asks = |rollout: &&Rollout| {
            let admission = &rollout.admission;
            let request = admission.judged.as_ref().and_then(|judged| judged.request.as_ref());
            let may = rollout.revert.is_none() && admission.rejected.is_none();
            may && request.is_some_and(|request| !admission.covers(request.through_wave))
        };
        let views = move |core: &Core| {
            core.state().open_rollouts().filter(asks).map(|rollout| view::rollout(core, rollout, true)).collect()
        };
        Ok(Response::Approvals { rollouts: self.orders.look(views).await? })
    }

    async fn explain(&self, id: RolloutId) -> Result<Response, Stopped> {
        let (wanted, at) = (id.clone(), self.surroundings.wall());
        let explained = self.orders.look(move |core| view::explain(core, &wanted, at)).await?;
        Ok(match explained {
            Some(explained) => Response::Explained(Box::new(explained)),
            None => Response::Refused { message: Refusal::UnknownRollout(id).to_string() },
        })
    }

    async fn take_answer(&self, rollout: RolloutId, by: String, says: Says) -> Result<Response, Stopped> {
        let wanted = rollout.clone();
        let plan = self
            .orders
            .look(move |core| core.state().rollouts.get(&wanted).map(|rollout| Arc::clone(&rollout.plan)))
            .await?;
        let Some(plan) = plan else {
            return Ok(Response::Refused { message: Refusal::UnknownRollout(rollout).to_string() });
        };
        if let (Says::Approve { .. }, Err(message)) = (&says, self.is_as_planned(&plan)) {
            return Ok(Response::Refused { message });
        }
        match meant(&plan, says) {
            Ok(says) => self.order(Input::Answer(PersonsAnswer { rollout, by, says })).await,
            Err(message) => Ok(Response::BadInput { message }),
        }
    }

    /// An approval is void when the rules have changed since they were asked: the plan holds them as they were.
    fn is_as_planned(&self, plan: &Plan) -> Result<(), String> {
        let Some(planned) = &plan.safeguards else { return Ok(()) };
        let pipeline = self.surroundings.pipeline(&plan.pipeline.name)?;
        if pipeline.digest == plan.pipeline.digest && pipeline.safeguards == *planned {
            return Ok(());
        }
        Err(format!(
            "pipeline `{}` or one of its policies was changed after this rollout was planned; revert it and propose the change again",
            plan.pipeline.name
        ))
    }

    async fn kill(&self, scope: KillScope, mode: KillMode, reason: String, by: String) -> Result<Response, Stopped> {
        let id = self.surroundings.kill_id();
        let kill = Kill { id: id.clone(), scope, mode, by, door: KillDoor::Cli, at: self.surroundings.wall(), reason };
        if let Err(refusal) = self.orders.input(Input::Kill(kill)).await? {
            return Ok(answer_of(Err(refusal)));
        }
        self.await_kill(&id).await
    }

    /// Waits for the acknowledgement, for as long as the answer may take.
    async fn await_kill(&self, id: &KillId) -> Result<Response, Stopped> {
        let until = tokio::time::Instant::now() + KILL_ANSWER;
        loop {
            let wanted = id.clone();
            let view = self
                .orders
                .look(move |core| core.state().kills.get(&wanted).map(|k| view::kill(core.state(), k)))
                .await?;
            match view {
                Some(view) if view.state == "pending" && tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Some(view) => return Ok(Response::Killed(view)),
                None => return Ok(Response::Refused { message: "the kill is not on record".into() }),
            }
        }
    }

    async fn lift(&self, kill: KillId, by: [String; 2]) -> Result<Response, Stopped> {
        let wanted = kill.clone();
        let door = self.orders.look(move |core| core.state().kills.get(&wanted).map(|k| k.kill.door)).await?;
        if let (Some(KillDoor::File), Some(file)) = (door, self.surroundings.kill_file()) {
            let message = format!(
                "the kill file `{}` is still there; remove it first, or it would stop everything again",
                file.display()
            );
            return Ok(Response::Refused { message });
        }
        self.order(Input::Lift { kill, by }).await
    }
}

/// What is said, with the wave's name resolved.
fn meant(plan: &Plan, says: Says) -> Result<answer::Says, String> {
    Ok(match says {
        Says::Approve { digest, through, confirm } => {
            let through_wave = through.map(|name| wave_index(plan, &name)).transpose()?;
            answer::Says::Approve { digest, through_wave, confirm }
        }
        Says::Revoke {} => answer::Says::Revoke,
        Says::Reject { reason } => answer::Says::Reject { reason },
        Says::SignOff { environment } => answer::Says::SignOff { environment },
    })
}

fn wave_index(plan: &Plan, name: &str) -> Result<usize, String> {
    let known = || plan.waves.iter().map(|wave| format!("`{}`", wave.name)).collect::<Vec<_>>().join(", ");
    let found = plan.waves.iter().position(|wave| wave.name == name);
    found.ok_or_else(|| format!("the rollout has no wave `{name}`; its waves are {}", known()))
}

fn answer_of(result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => Response::Done,
        Err(refusal) => Response::Refused { message: refusal.to_string() },
    }
}

/// Reads a change set, with its template files at hand.
///
/// # Errors
/// Words for people.
pub fn admit(file: &str, text: &str, templates: &BTreeMap<String, String>) -> Result<Admitted, String> {
    let at_hand = |path: &str| match templates.get(path) {
        Some(template) => Ok(template.clone().into_bytes()),
        None => Err(format!("the template file `{path}` was not handed in")),
    };
    change_set::read::read(file, text.as_bytes(), &at_hand).map_err(|diagnostics| diagnostics.to_string())
}

/// Planning errors, one a line.
pub fn plan_errors(errors: &[PlanError]) -> String {
    errors.iter().map(|e| format!("error: {e}")).collect::<Vec<_>>().join("\n")
}
