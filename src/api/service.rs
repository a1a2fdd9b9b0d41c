//! The one list of verbs. Every door calls [`Service::answer`], and nothing else reaches the loop: the same checks, the same answers, the
//! same record of what was refused.

mod aside;
mod look;

use super::code::Code;
use super::drill::{Drills, NoDrill};
use super::listing::LiftView;
use super::notify::outbox::DeliveriesView;
use super::refusals::{Refusals, Refused};
use super::verbs::{Request, Response, SandboxDrill, Says, Submission};
use super::view;
use crate::daemon::driver::{Orders, Stopped};
use crate::engine::answer::{self, PersonsAnswer};
use crate::engine::authority::{self, Verb};
use crate::engine::decide::{Input, Refusal};
use crate::engine::planner::{self, PlanError};
use crate::model::change_set::{self, Admitted};
use crate::model::drill::DRILL_PIPELINE;
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::{Digest, KillId, RolloutId};
use crate::model::pipeline::Pipeline;
use crate::model::plan::Plan;
use crate::model::principal::{Caller, Door, HandedIn};
use aside::Aside;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A kill is acknowledged, or precisely pending, within this time (L3).
const KILL_ANSWER: Duration = Duration::from_secs(2);

/// A pipeline's file that does not check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyFile {
    /// The file's name, without folder and ending.
    pub name: String,
    /// Its faults, in words.
    pub fault: String,
}

/// A pipeline's file, read.
pub type FoundPipeline = Result<Pipeline, FaultyFile>;

/// Where the service gets pipelines, names and time from: the edge of the program knows.
pub trait Surroundings: Send + Sync {
    /// The pipeline of that name, read anew: an SRE's edit holds from the next change set on. The error is for people.
    ///
    /// # Errors
    /// Words for people.
    fn pipeline(&self, name: &str) -> Result<Pipeline, String>;
    /// All of them; a file that does not check with its name and faults.
    ///
    /// # Errors
    /// Words for people.
    fn pipelines(&self) -> Result<Vec<FoundPipeline>, String>;
    /// What is wrong with a pipeline's text; empty: nothing.
    fn check(&self, file: &str, text: &str) -> Vec<String>;
    /// A name for a new rollout, never used before.
    fn rollout_id(&self) -> RolloutId;
    /// A name for a new stop order.
    fn kill_id(&self) -> KillId;
    /// The wall clock.
    fn wall(&self) -> jiff::Timestamp;
    /// The kill file, while it exists: an order of the file cannot be lifted before the file is gone.
    fn kill_file(&self) -> Option<std::path::PathBuf>;
    /// Messages to people: where they stand.
    fn deliveries(&self) -> DeliveriesView {
        DeliveriesView::default()
    }
}

/// The verbs over one loop.
pub struct Service {
    orders: Orders,
    surroundings: Arc<dyn Surroundings>,
    refusals: Refusals,
    aside: Aside,
    drills: Option<Arc<Drills>>,
}

impl Service {
    /// A service over a loop.
    pub fn new(orders: Orders, surroundings: Arc<dyn Surroundings>) -> Self {
        let refusals = Refusals::new(orders.clone());
        Self { orders, surroundings, refusals, aside: Aside::default(), drills: None }
    }

    /// The same with kill drills.
    #[must_use]
    pub fn with_drills(mut self, drills: Arc<Drills>) -> Self {
        self.drills = Some(drills);
        self
    }

    /// The way to the loop, for whoever measures or watches it.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The time, as refusals and kills are dated.
    pub fn wall(&self) -> jiff::Timestamp {
        self.surroundings.wall()
    }

    /// Puts a refusal of a door on record: somebody who is not known, or who asks too much.
    pub fn refuse(&self, refused: Refused<'_>, about: Option<RolloutId>) {
        self.refusals.note(refused, about, self.surroundings.wall());
    }

    /// Answers one request of somebody whose identity is proven. `key` is their idempotency key, where they gave one: a proposal with the
    /// same key is the same proposal, also over a restart.
    ///
    /// # Errors
    /// [`Stopped`] when the loop has ended.
    pub async fn answer(&self, caller: &Caller, request: Request, key: Option<&str>) -> Result<Response, Stopped> {
        let verb = verb_of(&request);
        let about = about(&request);
        let response = self.checked(caller, request, key).await?;
        if let Response::Refused { code, message } = &response {
            let refused = Refused { caller: Some(caller), verb, code: *code, why: message, ..Refused::at(caller.door) };
            self.refuse(refused, about);
        }
        Ok(response)
    }

    async fn checked(&self, caller: &Caller, request: Request, key: Option<&str>) -> Result<Response, Stopped> {
        let by = caller.principal.name.clone();
        // What is handed in is read first: whose it is stands in it.
        let request = match request {
            Request::Propose { submission } => return self.propose(caller, submission, false, key).await,
            Request::Preview { submission } => return self.propose(caller, submission, true, key).await,
            other => other,
        };
        let orders = match request {
            Request::Kill { .. } => self.orders.of_stops(),
            _ => self.orders.clone(),
        };
        if let Some(refused) = denied(&orders, caller, wanted(&request)).await? {
            return Ok(refused);
        }
        match request {
            Request::Pause { rollout } => self.order(Input::Pause { rollout, by }).await,
            Request::Resume { rollout } => self.order(Input::Resume { rollout, by }).await,
            Request::Revert { rollout } => self.order(Input::Revert { rollout, by }).await,
            Request::Withdraw { rollout } => self.order(Input::Withdraw { rollout, by }).await,
            Request::Kill { scope, mode, reason } => self.kill(caller, scope, mode, reason).await,
            Request::Lift { kill } => self.lift(kill, by).await,
            Request::Answer { rollout, says } => self.take_answer(caller, rollout, says).await,
            Request::Drill { sandbox } => self.drill(caller, sandbox).await,
            other => self.look(caller, other).await,
        }
    }

    async fn order(&self, input: Input) -> Result<Response, Stopped> {
        Ok(answer_of(self.orders.input(input).await?))
    }

    async fn propose(
        &self,
        caller: &Caller,
        submission: Submission,
        look_only: bool,
        key: Option<&str>,
    ) -> Result<Response, Stopped> {
        let bad = |message: String| Ok(Response::BadInput { message });
        let (who, own_key) = (caller.clone(), key.map(ToOwned::to_owned));
        let read = move |_: &dyn Surroundings| {
            let admitted = admit(&submission.file, &submission.text, &submission.templates)?;
            Ok((admitted, handed_in(&who, &submission, look_only, own_key.as_deref())))
        };
        let (admitted, handed_in) = match self.aside(caller, read).await? {
            Ok(read) => read,
            Err(message) => return bad(message),
        };
        let agent = admitted.agent.clone();
        let verb = if look_only { Verb::Preview { agent } } else { Verb::Propose { agent } };
        if let Some(refused) = denied(&self.orders, caller, verb).await? {
            return Ok(refused);
        }
        if let Some(known) = self.proposed_before(&handed_in).await? {
            return Ok(known);
        }
        let plan = move |surroundings: &dyn Surroundings| plan(surroundings, &admitted, look_only);
        let (plan, digest) = match self.aside(caller, plan).await? {
            Ok(planned) => planned,
            Err(message) => return bad(message),
        };
        let (rollout, by) = (plan.rollout.clone(), caller.principal.name.clone());
        let handed_in = Box::new(handed_in);
        let input = Input::Propose { plan: Arc::new(plan), digest, by, handed_in: Some(handed_in.clone()) };
        match self.orders.input(input).await? {
            Ok(()) => Ok(Response::Proposed { rollout, again: false }),
            // Two of the same request at the same time.
            Err(Refusal::KeyUsed(other)) => {
                Ok(self.proposed_before(&handed_in).await?.unwrap_or_else(|| refused(&Refusal::KeyUsed(other))))
            }
            Err(refusal) => Ok(refused(&refusal)),
        }
    }

    /// The rollout of an earlier request with the same key.
    async fn proposed_before(&self, handed_in: &HandedIn) -> Result<Option<Response>, Stopped> {
        let Some(key) = handed_in.key.clone() else { return Ok(None) };
        let known = self
            .orders
            .look(move |core| {
                let rollout = core.state().rollouts.get(core.state().keys.get(&key)?)?;
                Some((rollout.plan.rollout.clone(), rollout.handed_in.as_ref()?.content.clone()))
            })
            .await?;
        Ok(known.map(|(rollout, content)| match content == handed_in.content {
            true => Response::Proposed { rollout, again: true },
            false => Response::Refused {
                code: Code::KeyReused,
                message: format!(
                    "the idempotency key proposed rollout `{rollout}` with another change set; use a new key"
                ),
            },
        }))
    }

    async fn take_answer(&self, caller: &Caller, rollout: RolloutId, says: Says) -> Result<Response, Stopped> {
        let wanted = rollout.clone();
        let plan = self
            .orders
            .look(move |core| core.state().rollouts.get(&wanted).map(|rollout| Arc::clone(&rollout.plan)))
            .await?;
        let Some(plan) = plan else { return Ok(refused(&Refusal::UnknownRollout(rollout))) };
        if matches!(says, Says::Approve { .. }) {
            let planned = Arc::clone(&plan);
            let look = move |surroundings: &dyn Surroundings| is_as_planned(surroundings, &planned);
            if let Err(message) = self.aside(caller, look).await? {
                return Ok(Response::Refused { code: Code::PipelineChanged, message });
            }
        }
        let (by, party) = (caller.principal.name.clone(), Some(caller.principal.party.clone()));
        match meant(&plan, says) {
            Ok(says) => self.order(Input::Answer(PersonsAnswer { rollout, by, party, says })).await,
            Err(message) => Ok(Response::BadInput { message }),
        }
    }

    async fn kill(
        &self,
        caller: &Caller,
        scope: KillScope,
        mode: KillMode,
        reason: String,
    ) -> Result<Response, Stopped> {
        let id = self.surroundings.kill_id();
        let door = match caller.door {
            Door::Socket => KillDoor::Cli,
            Door::Http => KillDoor::Http,
            Door::Mcp => KillDoor::Mcp,
        };
        let by = caller.principal.name.clone();
        let kill = Kill { id: id.clone(), scope, mode, by, door, at: self.surroundings.wall(), reason };
        match self.orders.input(Input::Stop { kill, kind: caller.principal.kind }).await? {
            Ok(()) => self.await_kill(&id).await,
            Err(Refusal::InForce(known)) => self.await_kill(&known).await,
            Err(refusal) => Ok(refused(&refusal)),
        }
    }

    /// Waits for the acknowledgement, for as long as the answer may take.
    async fn await_kill(&self, id: &KillId) -> Result<Response, Stopped> {
        let orders = self.orders.of_stops();
        let until = tokio::time::Instant::now() + KILL_ANSWER;
        loop {
            let wanted = id.clone();
            let view =
                orders.look(move |core| core.state().kills.get(&wanted).map(|k| view::kill(core.state(), k))).await?;
            match view {
                Some(view) if view.state == "pending" && tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Some(view) => return Ok(Response::Killed(view)),
                None => return Ok(refused(&Refusal::UnknownKill(id.clone()))),
            }
        }
    }

    async fn drill(&self, caller: &Caller, sandbox: Option<SandboxDrill>) -> Result<Response, Stopped> {
        let Some(drills) = &self.drills else {
            let message = "this daemon holds no drills".into();
            return Ok(Response::Refused { code: Code::NoDrill, message });
        };
        Ok(match drills.start(caller, sandbox).await? {
            Ok(id) => Response::DrillStarted { id },
            Err(NoDrill::Refused(code, message)) => Response::Refused { code, message },
            Err(NoDrill::BadInput(message)) => Response::BadInput { message },
        })
    }

    async fn lift(&self, kill: KillId, by: String) -> Result<Response, Stopped> {
        let wanted = kill.clone();
        let door = self.orders.look(move |core| core.state().kills.get(&wanted).map(|k| k.kill.door)).await?;
        if let (Some(KillDoor::File), Some(file)) = (door, self.surroundings.kill_file()) {
            let message = format!(
                "the kill file `{}` is still there; remove it first, or it would stop everything again",
                file.display()
            );
            return Ok(Response::Refused { code: Code::KillFile, message });
        }
        if let Err(refusal) = self.orders.input(Input::Lift { kill: kill.clone(), by }).await? {
            return Ok(refused(&refusal));
        }
        let wanted = kill.clone();
        let (lifted, by) = self
            .orders
            .look(move |core| match core.state().kills.get(&wanted) {
                Some(known) => match (&known.lifted_by, &known.lift_asked) {
                    (Some(both), _) => (true, both.to_vec()),
                    (None, asked) => (false, asked.iter().map(|(first, _)| first.clone()).collect()),
                },
                None => (false, Vec::new()),
            })
            .await?;
        Ok(Response::Lift(LiftView { kill, lifted, by }))
    }
}

/// INVARIANT: S6, S23. Asked before anything is done.
async fn denied(orders: &Orders, caller: &Caller, verb: Verb) -> Result<Option<Response>, Stopped> {
    let caller = caller.clone();
    let denied = orders.look(move |core| authority::may(core.state(), &caller, &verb)).await?.err();
    Ok(denied.map(|denied| Response::Refused { code: (&denied).into(), message: denied.to_string() }))
}

/// Who handed it in, and which request it was.
fn handed_in(caller: &Caller, submission: &Submission, look_only: bool, key: Option<&str>) -> HandedIn {
    let mut content = format!("{look_only}\n{}\n{}\n", submission.text.len(), submission.text);
    for (path, text) in &submission.templates {
        content.push_str(&format!("{path}\n{}\n{text}\n", text.len()));
    }
    let key = key
        .map(|key| Digest::of_bytes(format!("{}\n{}\n{key}", caller.principal.kind, caller.principal.name).as_bytes()));
    HandedIn {
        by: caller.principal.clone(),
        credential: caller.credential.clone(),
        door: caller.door,
        key,
        content: Digest::of_bytes(content.as_bytes()),
    }
}

/// The plan of a change set, with its digest.
fn plan(surroundings: &dyn Surroundings, admitted: &Admitted, look_only: bool) -> Result<(Plan, Digest), String> {
    // Whatever lies in the folder: nothing but a drill goes through this one.
    if admitted.pipeline == DRILL_PIPELINE {
        return Err(format!("pipeline `{DRILL_PIPELINE}` is built in for `wavegate drill`; nothing is proposed to it"));
    }
    let pipeline = surroundings.pipeline(&admitted.pipeline)?;
    let plan = planner::plan(admitted, &pipeline, surroundings.rollout_id(), look_only, surroundings.wall());
    let plan = plan.map_err(|errors| plan_errors(&errors))?;
    let digest = plan.digest().map_err(|error| error.to_string())?;
    Ok((plan, digest))
}

/// An approval is void when the rules have changed since they were asked: the plan holds them as they were.
fn is_as_planned(surroundings: &dyn Surroundings, plan: &Plan) -> Result<(), String> {
    let Some(planned) = &plan.safeguards else { return Ok(()) };
    let pipeline = surroundings.pipeline(&plan.pipeline.name)?;
    if pipeline.digest == plan.pipeline.digest && pipeline.safeguards == *planned {
        return Ok(());
    }
    Err(format!(
        "pipeline `{}` or one of its policies was changed after this rollout was planned; revert it and propose the change again",
        plan.pipeline.name
    ))
}

/// What a request wants, for the question of who may. Proposals are asked about when they have been read.
fn wanted(request: &Request) -> Verb {
    match request {
        Request::Propose { .. } => Verb::Propose { agent: String::new() },
        Request::Preview { .. } => Verb::Preview { agent: String::new() },
        Request::Withdraw { rollout } => Verb::Withdraw(rollout.clone()),
        Request::Pause { .. } => Verb::Pause,
        Request::Resume { .. } => Verb::Resume,
        Request::Revert { .. } => Verb::Revert,
        Request::Kill { scope, mode, .. } => Verb::Kill { scope: scope.clone(), mode: *mode },
        Request::Lift { .. } => Verb::Lift,
        Request::Answer { .. } => Verb::Answer,
        Request::Audit { .. } => Verb::Audit,
        Request::Check { .. } => Verb::Check,
        Request::Drill { .. } => Verb::Drill,
        Request::Status { .. }
        | Request::Rollouts { .. }
        | Request::Plan { .. }
        | Request::Findings { .. }
        | Request::Kills { .. }
        | Request::Approvals
        | Request::Explain { .. }
        | Request::Pipelines
        | Request::Pipeline { .. }
        | Request::Drills
        | Request::Me
        | Request::Version => Verb::Look,
    }
}

/// The verb as the record has it: an answer by what it says.
fn verb_of(request: &Request) -> &'static str {
    match request {
        Request::Answer { says: Says::Approve { .. }, .. } => "approve",
        Request::Answer { says: Says::Revoke {}, .. } => "revoke",
        Request::Answer { says: Says::Reject { .. }, .. } => "reject",
        Request::Answer { says: Says::SignOff { .. }, .. } => "sign_off",
        other => wanted(other).name(),
    }
}

fn about(request: &Request) -> Option<RolloutId> {
    match request {
        Request::Withdraw { rollout }
        | Request::Pause { rollout }
        | Request::Resume { rollout }
        | Request::Revert { rollout }
        | Request::Plan { rollout }
        | Request::Explain { rollout }
        | Request::Answer { rollout, .. } => Some(rollout.clone()),
        _ => None,
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
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Response {
    Response::Refused { code: refusal.into(), message: refusal.to_string() }
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
