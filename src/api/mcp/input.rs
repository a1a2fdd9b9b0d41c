//! What a tool is given. The comments of the fields are what the agent reads.

use crate::model::halt::KillMode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A change set's text, or all that its fields hold beside templates: the reader of change sets takes no more.
pub const TEXT_MAX: usize = 1024 * 1024;
/// All templates together. With what JSON adds to them they fit into one request to the daemon (16 MiB), and they are a hundred and
/// sixty of the largest that CloudFormation takes in a call.
pub const TEMPLATES_MAX: usize = 8 * 1024 * 1024;
/// So many template files: as many as can be told apart.
pub const TEMPLATE_FILES_MAX: usize = 1_000;
/// An idempotency key, a rollout's name and other short words.
pub const WORD_MAX: usize = 200;
/// Why somebody stops a rollout.
pub const REASON_MAX: usize = 2_000;
/// A tool waits no longer: clients give a call up after 30 or 60 seconds.
pub const WAIT_MAX_S: u64 = 25;
/// A list has no more lines.
pub const LIST_MAX: usize = 50;

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A pipeline's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineInput {
    /// The pipeline's name, as list_pipelines gives it.
    pub name: String,
}

/// A change set: either `text`, or `title`, `reasoning`, `pipeline` and `stacks`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSetInput {
    /// What the change does, in one line of at most 200 characters. People read it first.
    pub title: Option<String>,
    /// Why the change is needed, what was observed, what could go wrong, how one would notice. At most 20,000 characters. People decide by it.
    pub reasoning: Option<String>,
    /// The pipeline that it goes through, as list_pipelines gives it.
    pub pipeline: Option<String>,
    /// What changes, by the stack's name in the pipeline (describe_pipeline: `stacks`). One entry changes that stack in every cell.
    pub stacks: Option<BTreeMap<String, StackInput>>,
    /// Names of alarms that are red now and that this change repairs. All others must be green.
    pub repairs: Option<Vec<String>>,
    /// Instead of the fields above: the whole change set as YAML or JSON text, in the format of change_set_schema. `agent` must be your own name.
    pub text: Option<String>,
    /// Texts of the template files that a `template_file` names, by that path.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
}

/// What changes about one stack. The template is the whole new template, not a difference: what it leaves out is removed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackInput {
    /// `update` (default), `create` or `delete`.
    pub action: Option<ActionInput>,
    /// The whole new CloudFormation template as text, YAML or JSON, at most 51,200 bytes. Left out: the template stays.
    pub template: Option<String>,
    /// Instead of `template`: a path that `templates` has the text of.
    pub template_file: Option<String>,
    /// New values of parameters; those that are not named keep theirs. `{"use_previous": true}` keeps one, too. Values need a template.
    pub parameters: Option<BTreeMap<String, Value>>,
    /// The stack's tags, as a whole. Left out: they stay.
    pub tags: Option<BTreeMap<String, String>>,
    /// As CAPABILITY_IAM, where the template needs them.
    pub capabilities: Option<Vec<String>>,
}

/// What is done with a stack.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionInput {
    /// It is there, and changes.
    Update,
    /// It is not there yet.
    Create,
    /// It goes away.
    Delete,
}

/// A change set, with a key of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// Any word of yours, at most 200 characters, new for each proposal. A call again with the same key and the same change set gives the same rollout and starts no second one: use it whenever you may have to repeat a call.
    pub idempotency_key: Option<String>,
}

/// A rollout, and for how long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowInput {
    /// The rollout's name, as propose_change_set gave it.
    pub rollout: String,
    /// Wait so long for a change, at most 25 (default 20); 0 answers at once.
    pub wait_seconds: Option<u64>,
    /// The `cursor` of your last answer: then the call waits for what differs from that. Left out: for what differs from now.
    pub cursor: Option<String>,
}

/// A rollout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutInput {
    /// The rollout's name.
    pub rollout: String,
}

/// Which rollouts to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListInput {
    /// true: only those that go on; false: only those that have ended. Left out: all.
    pub open: Option<bool>,
    /// `next` of the last answer, for the next page.
    pub after: Option<String>,
    /// At most 50 (default 20).
    pub limit: Option<usize>,
}

/// How hard to stop which rollout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopInput {
    /// The rollout's name.
    pub rollout: String,
    /// `pause`: nothing new starts, what is in flight goes to its end. `halt`: also cancel what is in flight. `revert`: also put back what was changed (only for a rollout that you proposed).
    pub mode: ModeInput,
    /// Why, in a sentence: people read it when they decide whether it may go on.
    pub reason: String,
}

/// How hard to stop.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeInput {
    /// Start nothing new.
    Pause,
    /// Also cancel what is in flight.
    Halt,
    /// Also put back what was changed.
    Revert,
}

impl From<ModeInput> for KillMode {
    fn from(mode: ModeInput) -> Self {
        match mode {
            ModeInput::Pause => Self::Pause,
            ModeInput::Halt => Self::Halt,
            ModeInput::Revert => Self::Revert,
        }
    }
}
