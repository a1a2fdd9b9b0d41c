//! What a tool answers. The types are the tools' output schemas: what is not there is left out, lists say how much they leave out.

use super::NoAnswer;
use crate::api::code::Code;
use rmcp::model::{CallToolResult, ContentBlock};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A tool's answer: one line for people, and the whole as data.
#[derive(Debug)]
pub struct Shown {
    /// In a sentence or two.
    pub line: String,
    /// The answer, of the type that the tool's output schema describes.
    pub data: Value,
}

impl Shown {
    /// An answer.
    ///
    /// # Errors
    /// It cannot be written as JSON: a defect.
    pub fn new(line: impl Into<String>, data: &impl Serialize) -> Result<Self, NoAnswer> {
        let data = serde_json::to_value(data).map_err(|error| NoAnswer::new(Code::Internal, error.to_string()))?;
        Ok(Self { line: line.into(), data })
    }
}

/// As the protocol has it. The data stands in it twice, as the protocol asks: structured, and as text for clients that read only that.
pub fn result(answered: Result<Shown, NoAnswer>) -> CallToolResult {
    match answered {
        Ok(Shown { line, data }) => {
            let text = data.to_string();
            if text.len() > RESULT_MAX {
                let message = format!(
                    "the answer has {} bytes, and {RESULT_MAX} are the most here; in short: {line}",
                    text.len()
                );
                return result(Err(NoAnswer::new(Code::TooLarge, message)));
            }
            let mut result = CallToolResult::structured(data);
            result.content = vec![ContentBlock::text(line), ContentBlock::text(text)];
            result
        }
        // The same shape for every tool; clients do not hold errors against the output schema.
        Err(NoAnswer { code, message }) => {
            CallToolResult::structured_error(json!({ "code": code, "message": brief_text(&message) }))
        }
    }
}

/// The largest answer: every list in it is bounded, so that only a change of very many long names comes near. An agent that reads more
/// than this has nothing else in mind any more.
const RESULT_MAX: usize = 256 * 1024;
/// The longest text that an answer holds; what is longer is cut.
const TEXT_MAX: usize = 2_000;

/// Text that may come from anybody, cut to a length.
pub fn brief_text(text: &str) -> String {
    let plain = crate::api::words::plain(text);
    match plain.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{} […]", plain.get(..at).unwrap_or_default()),
        None => plain,
    }
}

/// Who you are.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    /// Your name: the `agent` of your change sets.
    pub name: String,
    /// agent, service or human.
    pub kind: String,
    /// For whom you act.
    pub party: String,
    /// What you may do. proposer: preview and propose.
    pub roles: Vec<String>,
}

/// Pipelines.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pipelines {
    /// In short.
    pub pipelines: Vec<PipelineLine>,
    /// So many more there are.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub left_out: usize,
}

/// A pipeline in short.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PipelineLine {
    /// Its name.
    pub name: String,
    /// Its waves, in order.
    pub waves: Vec<String>,
    /// How many cells (deployments of the same stacks) it may reach.
    pub cells: usize,
    /// The stacks that a change set may name.
    pub stacks: BTreeSet<String>,
    /// What is wrong with its file: it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A pipeline.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The stacks that a change set may name.
    pub stacks: BTreeSet<String>,
    /// In order: a change passes one after the other.
    pub waves: Vec<PipelineWave>,
    /// Where the stacks are.
    pub cells: Vec<Cell>,
    /// So many more there are.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub cells_left_out: usize,
    /// What the health of a wave is judged by.
    pub metrics: Vec<String>,
    /// Environment → class of change → what people must say (autonomous, one_approval, two_approvals, forbidden). Only what the pipeline sets itself.
    pub autonomy: BTreeMap<String, BTreeMap<String, String>>,
    /// People who may approve.
    pub approvers: Vec<String>,
}

/// One wave of a pipeline.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PipelineWave {
    /// Its name.
    pub name: String,
    /// For how long it is watched before the next one starts.
    pub bake_seconds: u64,
}

/// One cell.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Cell {
    /// Its name.
    pub cell: String,
    /// Of which environment.
    pub environment: String,
    /// Its region.
    pub region: String,
    /// Percent of the environment's customers.
    pub traffic_share: f64,
}

/// The format of change sets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangeSetSchema {
    /// JSON Schema of `text`.
    pub schema: Map<String, Value>,
    /// A small change set as `text`.
    pub example_text: String,
    /// The same as fields.
    pub example_fields: Map<String, Value>,
}

/// What a change would do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Preview {
    /// The name of the look; it changes nothing, and needs no withdrawal.
    pub rollout: String,
    /// judged; failed: it could not be previewed, see `reasons`; previewing: not done yet, call explain_rollout with `rollout` in some seconds.
    pub state: String,
    /// Where it stands with guardrails and people; none: not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// Each stack in each cell.
    pub targets: Vec<Target>,
    /// So many more there are.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub targets_left_out: usize,
    /// Why it could not be previewed.
    pub reasons: Vec<Reason>,
    /// What to do now.
    pub next: String,
}

/// Where a change stands with guardrails and people.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Admission {
    /// allow: it starts by itself. wait: it starts when time or other rollouts have moved on. need_approval: people are asked. deny: it does not happen, whoever agrees.
    pub decision: String,
    /// autonomous, one_approval, two_approvals or forbidden.
    pub level: String,
    /// What the change does, in words made from the previews alone.
    pub scope: String,
    /// What the guardrails found that stands in the way, the worst first.
    pub findings: Vec<Finding>,
    /// So many more there are.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub findings_left_out: usize,
    /// What was found and may be, in words.
    pub noted: Vec<String>,
    /// What people are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asks>,
    /// A person said no, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
}

/// One thing that a guardrail found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// Stable; branch on it. As class, rollout_too_large, closed, costs, policy_forbids.
    pub code: String,
    /// What follows: allow, wait, need_approval or deny.
    pub decision: String,
    /// What is the case.
    pub why: String,
    /// Which line of which file asks for it.
    pub rule: String,
    /// What would make it pass.
    pub satisfied_by: String,
    /// Its numbers and names, by the code.
    pub numbers: Map<String, Value>,
}

/// What people are asked. You cannot answer it; you may tell a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Asks {
    /// Who must agree.
    pub who: String,
    /// What is still wanting; none: it is granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanting: Option<String>,
    /// Who could agree, and has not.
    pub can_release: Vec<String>,
    /// Who has agreed.
    pub given: Vec<String>,
    /// What an approver must repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_figure: Option<String>,
    /// What a person runs to agree.
    pub command_for_people: String,
}

/// Who said no.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rejected {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Why it does not go on, and what to do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reason {
    /// What is the case.
    pub why: String,
    /// What would make it go on. Some of it only people can do.
    pub next: String,
}

/// One stack in one cell.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Target {
    /// Its name: cell and stack.
    pub target: String,
    /// Of which environment.
    pub environment: String,
    /// In which wave.
    pub wave: String,
    /// previewed, applied, and so on.
    pub state: String,
    /// Resources added.
    pub added: u32,
    /// Modified in place.
    pub modified: u32,
    /// Replaced: a new one instead of the old one.
    pub replaced: u32,
    /// Removed.
    pub removed: u32,
    /// Whether a revert brings it back: reversible, with_interruption or irreversible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversibility: Option<String>,
    /// Resources, as `remove Orders (AWS::DynamoDB::Table)`.
    pub resources: Vec<String>,
    /// So many more there are.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub resources_left_out: usize,
}

/// A rollout has begun.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Proposed {
    /// Its name.
    pub rollout: String,
    /// The same call, with the same key, had begun it before.
    pub again: bool,
    /// What to do now.
    pub next: String,
}

/// How a rollout stands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Followed {
    /// Its name.
    pub rollout: String,
    /// Something is other than at `cursor`, or than when the call began.
    pub changed: bool,
    /// For your next call.
    pub cursor: String,
    /// It has ended.
    pub done: bool,
    /// previewing, rolling, baking (watched), reverting or ended.
    pub phase: String,
    /// How it ended: succeeded, reverted, stuck, cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// allow, wait, need_approval or deny; none: not judged yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// It only looks.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub preview: bool,
    /// In order.
    pub waves: Vec<Wave>,
    /// It is held: why, and what would release it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Reason>,
    /// Why it goes, or went, back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverting_because: Option<String>,
    /// A stop order on it, in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// The newest judgement: pass, inconclusive, error or fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// What to do now.
    pub next: String,
}

/// One wave of a rollout.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Wave {
    /// Its name.
    pub name: String,
    /// waiting, rolling, baking, passed, reverting, reverted.
    pub state: String,
    /// State → how many targets are in it.
    pub targets: BTreeMap<String, u32>,
    /// Watched so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baked_seconds: Option<u64>,
    /// To be watched for.
    pub bake_seconds: u64,
}

/// Why a rollout does not go on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained {
    /// Its name.
    pub rollout: String,
    /// In a sentence.
    pub standing: String,
    /// Each reason with what would release it. Empty: nothing stands in its way.
    pub reasons: Vec<Reason>,
    /// With the guardrails and people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// What the next wave or operation waits for, without anybody's doing.
    pub waits: Vec<Finding>,
    /// What health lacks or shows, in words.
    pub health: Vec<String>,
}

/// Rollouts, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rollouts {
    /// In short.
    pub rollouts: Vec<RolloutLine>,
    /// For `after`; none: that was the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A rollout in short.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RolloutLine {
    /// Its name.
    pub rollout: String,
    /// An agent's words.
    pub title: String,
    /// Who proposed it.
    pub agent: String,
    /// By which pipeline.
    pub pipeline: String,
    /// When it was proposed.
    pub created_at: String,
    /// previewing, rolling, baking, reverting or ended.
    pub phase: String,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// It only looks.
    pub preview: bool,
    /// Waves passed, of all.
    pub waves_passed: String,
    /// It waits for a person.
    pub held: bool,
    /// A stop order is on it.
    pub stopped: bool,
}

/// A rollout was taken back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Withdrawn {
    /// Its name.
    pub rollout: String,
    /// What to do now.
    pub next: String,
}

/// A rollout was stopped.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stopped {
    /// The stop order's name.
    pub stop: String,
    /// Which rollout.
    pub rollout: String,
    /// pause, halt or revert.
    pub mode: String,
    /// acknowledged: in force, nothing new starts. pending: in force, and some calls that were on their way are not yet proven stopped.
    pub state: String,
    /// Targets whose calls are not yet proven stopped.
    pub pending: Vec<String>,
    /// What to do now.
    pub next: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_hostile_text_is_cut_and_shown() {
        assert_eq!(brief_text("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        let cut = brief_text(&"ä".repeat(TEXT_MAX + 1));
        assert!(cut.ends_with("ä […]") && cut.chars().count() == TEXT_MAX + 4, "{}", cut.chars().count());
    }

    #[test]
    fn an_error_has_code_and_message() {
        let result = result(Err(NoAnswer { code: "forbidden", message: "no".into() }));
        assert_eq!(result.is_error, Some(true));
        assert_eq!(result.structured_content, Some(json!({"code": "forbidden", "message": "no"})));
    }
}
