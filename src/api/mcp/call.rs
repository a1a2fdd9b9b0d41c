//! What each tool does: a few verbs, and the wait for what an agent wants to see.

use super::input::{
    ChangeSetInput, FollowInput, KeyInput, LIST_MAX, ListInput, Nothing, PipelineInput, REASON_MAX, RolloutInput,
    StopInput, WAIT_MAX_S,
};
use super::shown::{ChangeSetSchema, Me, Preview, Proposed, Rollouts, Shown, Stopped, Withdrawn, brief_text};
use super::submit::{submission, word};
use super::tools::{self, ToolName};
use super::{Ask, NoAnswer, brief};
use crate::api::admission::Explanation;
use crate::api::code::Code;
use crate::api::listing::CallerView;
use crate::api::verbs::{Request, Response};
use crate::api::view::RolloutView;
use crate::model::change_set;
use crate::model::halt::KillScope;
use crate::model::ids::RolloutId;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Between two looks at how far something is.
const LOOK: Duration = Duration::from_millis(500);
/// How long `follow_rollout` waits when it is not told.
const WAIT_USUAL_S: u64 = 20;
/// How many rollouts are listed when it is not told.
const LIST_USUAL: usize = 20;

/// One call of one tool.
pub(super) struct Call<'a> {
    asker: &'a dyn Ask,
    waiting: &'a Semaphore,
}

type Answer = Result<Shown, NoAnswer>;

impl<'a> Call<'a> {
    pub(super) fn new(asker: &'a dyn Ask, waiting: &'a Semaphore) -> Self {
        Self { asker, waiting }
    }

    pub(super) async fn answer(&self, tool: ToolName, mut given: Map<String, Value>) -> Answer {
        match tool {
            ToolName::WhoAmI => {
                let Nothing {} = read(given)?;
                self.who_am_i().await
            }
            ToolName::ListPipelines => {
                let Nothing {} = read(given)?;
                self.list_pipelines().await
            }
            ToolName::DescribePipeline => self.describe_pipeline(read(given)?).await,
            ToolName::ChangeSetSchema => {
                let Nothing {} = read(given)?;
                schema()
            }
            ToolName::PreviewChangeSet => self.preview(read(given)?).await,
            ToolName::ProposeChangeSet => {
                let key = given.remove(tools::KEY).map(|key| Map::from_iter([(tools::KEY.to_owned(), key)]));
                let KeyInput { idempotency_key } = read(key.unwrap_or_default())?;
                self.propose(read(given)?, idempotency_key).await
            }
            ToolName::FollowRollout => self.follow(read(given)?).await,
            ToolName::ExplainRollout => self.explain(read(given)?).await,
            ToolName::ListRollouts => self.list_rollouts(read(given)?).await,
            ToolName::WithdrawRollout => self.withdraw(read(given)?).await,
            ToolName::StopRollout => self.stop(read(given)?).await,
        }
    }

    /// Asks, and takes a refusal for what it is.
    async fn ask(&self, request: Request, key: Option<String>) -> Result<Response, NoAnswer> {
        match self.asker.ask(request, key).await? {
            Response::Refused { code, message } => Err(NoAnswer::new(code, message)),
            Response::BadInput { message } => Err(NoAnswer::new(Code::BadInput, message)),
            other => Ok(other),
        }
    }

    async fn me(&self) -> Result<CallerView, NoAnswer> {
        match self.ask(Request::Me, None).await? {
            Response::Me(me) => Ok(me),
            _ => Err(odd()),
        }
    }

    async fn who_am_i(&self) -> Answer {
        let me = self.me().await?;
        let roles: Vec<String> = me.roles.iter().map(ToString::to_string).collect();
        let line = format!("You are {}, {} of {}; roles: {}", me.name, me.kind, me.party, roles.join(", "));
        Shown::new(line, &Me { name: me.name, kind: me.kind.to_string(), party: me.party, roles })
    }

    async fn list_pipelines(&self) -> Answer {
        match self.ask(Request::Pipelines, None).await? {
            Response::Pipelines(page) => {
                let names: Vec<&str> = page.items.iter().take(LIST_MAX).map(|p| p.name.as_str()).collect();
                Shown::new(format!("{} pipelines: {}", page.items.len(), names.join(", ")), &brief::pipelines(&page))
            }
            _ => Err(odd()),
        }
    }

    async fn describe_pipeline(&self, input: PipelineInput) -> Answer {
        let name = word("name", input.name)?;
        match self.ask(Request::Pipeline { name }, None).await? {
            Response::Pipeline(view) => {
                let line = format!(
                    "{}: {} cells, {} waves, stacks {}",
                    view.name,
                    view.cells.len(),
                    view.waves.len(),
                    view.stacks.iter().take(LIST_MAX).cloned().collect::<Vec<_>>().join(", ")
                );
                Shown::new(line, &brief::pipeline(&view))
            }
            _ => Err(odd()),
        }
    }

    async fn preview(&self, input: ChangeSetInput) -> Answer {
        let submission = submission(input, &self.me().await?.name)?;
        let Response::Proposed { rollout, .. } = self.ask(Request::Preview { submission }, None).await? else {
            return Err(odd());
        };
        let is_judged = |view: &RolloutView| view.admission.is_some() || view.phase == "ended" || view.hold.is_some();
        let view = self.wait(&rollout, WAIT_MAX_S, true, is_judged).await?;
        let explanation = self.explanation(rollout.clone()).await?;
        let admission = view.admission.as_ref().or(explanation.admission.as_ref()).map(brief::admission);
        let (targets, targets_left_out) = brief::targets(&view);
        let state = match (&admission, is_judged(&view)) {
            (Some(_), _) => "judged",
            (None, true) => "failed",
            (None, false) => "previewing",
        };
        let next = match (state, admission.as_ref().map(|a| a.decision.as_str())) {
            ("failed", _) => "mend the change set by `reasons`, and preview it again",
            ("previewing", _) => "call explain_rollout with `rollout` in some seconds",
            (_, Some("deny")) => {
                "it would be refused: change it so that each finding with decision `deny` is satisfied, and preview again"
            }
            (_, Some("need_approval")) => "propose_change_set would ask people; a smaller change may need none",
            _ => "propose_change_set with the same change set, if this is what you mean",
        };
        let line = match &admission {
            Some(admission) => {
                format!("Preview {rollout}: {} ({}); {}", admission.decision, admission.level, admission.scope)
            }
            None => format!("Preview {rollout}: {state}"),
        };
        // What is judged stands in the findings.
        let reasons = if admission.is_some() { Vec::new() } else { brief::reasons(&explanation) };
        let state = state.to_owned();
        let rollout = rollout.to_string();
        let preview = Preview { rollout, state, admission, targets, targets_left_out, reasons, next: next.to_owned() };
        Shown::new(line, &preview)
    }

    async fn propose(&self, input: ChangeSetInput, key: Option<String>) -> Answer {
        let key = key.map(|key| word(tools::KEY, key)).transpose()?;
        let submission = submission(input, &self.me().await?.name)?;
        match self.ask(Request::Propose { submission }, key).await? {
            Response::Proposed { rollout, again } => {
                let rollout = rollout.to_string();
                let next = "follow_rollout; if it does not go on, explain_rollout tells why".into();
                Shown::new(format!("Rollout {rollout} has begun."), &Proposed { rollout, again, next })
            }
            _ => Err(odd()),
        }
    }

    async fn follow(&self, input: FollowInput) -> Answer {
        let rollout = RolloutId::new(word("rollout", input.rollout)?);
        let given = input.cursor.map(|cursor| word("cursor", cursor)).transpose()?;
        let wait = input.wait_seconds.unwrap_or(WAIT_USUAL_S).min(WAIT_MAX_S);
        let seen = match given {
            Some(seen) => seen,
            None => brief::followed(&self.rollout(&rollout, false).await?, None).cursor,
        };
        let is_news = |view: &RolloutView| {
            let now = brief::followed(view, Some(&seen));
            now.changed || now.done
        };
        let view = self.wait(&rollout, wait, false, is_news).await?;
        let followed = brief::followed(&view, Some(&seen));
        let mut line = format!("{rollout}: {}", followed.phase);
        if let Some(outcome) = &followed.outcome {
            line.push_str(&format!(", {outcome}"));
        }
        line.push_str(&format!(". Next: {}", followed.next));
        Shown::new(line, &followed)
    }

    async fn explain(&self, input: RolloutInput) -> Answer {
        let explanation = self.explanation(RolloutId::new(word("rollout", input.rollout)?)).await?;
        let explained = brief::explained(&explanation);
        let mut line = format!("{}: {}", explained.rollout, explained.standing);
        for reason in explained.reasons.iter().take(3) {
            line.push_str(&format!("\n- {}", reason.why));
        }
        Shown::new(line, &explained)
    }

    async fn list_rollouts(&self, input: ListInput) -> Answer {
        let after = input.after.map(|after| word("after", after)).transpose()?.map(RolloutId::new);
        let limit = input.limit.unwrap_or(LIST_USUAL).clamp(1, LIST_MAX);
        match self.ask(Request::Rollouts { open: input.open, after, limit }, None).await? {
            Response::Rollouts(page) => {
                let rollouts: Vec<_> = page.items.iter().map(brief::rollout_line).collect();
                let more = if page.next.is_some() { ", and more" } else { "" };
                Shown::new(format!("{} rollouts{more}", rollouts.len()), &Rollouts { rollouts, next: page.next })
            }
            _ => Err(odd()),
        }
    }

    async fn withdraw(&self, input: RolloutInput) -> Answer {
        let rollout = word("rollout", input.rollout)?;
        match self.ask(Request::Withdraw { rollout: RolloutId::new(rollout.as_str()) }, None).await? {
            Response::Done => {
                let next = "what it changed goes back; follow_rollout until it has ended".into();
                Shown::new(format!("Rollout {rollout} is withdrawn."), &Withdrawn { rollout, next })
            }
            _ => Err(odd()),
        }
    }

    async fn stop(&self, input: StopInput) -> Answer {
        let rollout = RolloutId::new(word("rollout", input.rollout)?);
        if input.reason.len() > REASON_MAX {
            return Err(NoAnswer::new(Code::TooLarge, format!("`reason` is longer than {REASON_MAX} bytes")));
        }
        // An order for a name that nobody has would stay in force until two people lift it. When the look itself fails, the order is
        // given all the same: stopping does not wait for looking.
        match self.rollout(&rollout, false).await {
            Err(unknown) if unknown.code == Code::UnknownRollout.name() => return Err(unknown),
            Ok(view) if view.phase == "ended" => {
                return Err(NoAnswer::new(
                    Code::Ended,
                    format!("rollout `{rollout}` has ended: there is nothing to stop"),
                ));
            }
            _ => {}
        }
        let order = Request::Kill {
            scope: KillScope::Rollout(rollout.clone()),
            mode: input.mode.into(),
            reason: brief_text(&input.reason),
        };
        match self.ask(order, None).await? {
            Response::Killed(view) => {
                let line = format!("Rollout {rollout} is stopped ({}, {}).", view.mode, view.state);
                let stopped = Stopped {
                    stop: view.kill.to_string(),
                    rollout: rollout.to_string(),
                    mode: view.mode,
                    state: view.state,
                    pending: view.pending.iter().take(LIST_MAX).map(ToString::to_string).collect(),
                    next: "only people let it go on; follow_rollout shows how it stands".into(),
                };
                Shown::new(line, &stopped)
            }
            _ => Err(odd()),
        }
    }

    async fn explanation(&self, rollout: RolloutId) -> Result<Explanation, NoAnswer> {
        match self.ask(Request::Explain { rollout }, None).await? {
            Response::Explained(explanation) => Ok(*explanation),
            _ => Err(odd()),
        }
    }

    async fn rollout(&self, rollout: &RolloutId, full: bool) -> Result<RolloutView, NoAnswer> {
        match self.ask(Request::Status { rollout: Some(rollout.clone()), full }, None).await? {
            Response::Status(status) => status.rollouts.into_iter().next().ok_or_else(odd),
            _ => Err(odd()),
        }
    }

    /// Looks until `enough`, or the time is over; with too many who wait, once.
    async fn wait(
        &self,
        rollout: &RolloutId,
        seconds: u64,
        full: bool,
        enough: impl Fn(&RolloutView) -> bool,
    ) -> Result<RolloutView, NoAnswer> {
        let place = self.waiting.try_acquire();
        let until = Instant::now() + Duration::from_secs(if place.is_ok() { seconds } else { 0 });
        loop {
            let view = self.rollout(rollout, full).await?;
            if enough(&view) || Instant::now() >= until {
                return Ok(view);
            }
            tokio::time::sleep(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }
}

fn schema() -> Answer {
    let object = |value: Value| match value {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let fields: Value = serde_json::from_str(tools::EXAMPLE_FIELDS).unwrap_or_default();
    let shown = ChangeSetSchema {
        schema: object(change_set::read::json_schema()),
        example_text: tools::EXAMPLE_TEXT.into(),
        example_fields: object(fields),
    };
    Shown::new("The format of change sets: JSON Schema and an example.", &shown)
}

fn read<T: DeserializeOwned>(given: Map<String, Value>) -> Result<T, NoAnswer> {
    serde_json::from_value(Value::Object(given)).map_err(|error| {
        NoAnswer::new(Code::BadInput, format!("the tool's arguments do not fit its input schema: {error}"))
    })
}

/// The answer was none that fits the question: two releases that do not understand each other.
fn odd() -> NoAnswer {
    NoAnswer::new(Code::Internal, "the daemon answered something else; is it of the same release?")
}
