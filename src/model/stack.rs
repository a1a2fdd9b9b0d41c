//! Stacks, templates, previews and restore points, in the model's terms.

use super::ids::{AccountId, Digest, DigestError, Region, StackName};
use super::words::provider_words;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Where a call goes: one account and region, with the role to assume there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The account that the role belongs to.
    pub account: AccountId,
    /// The region whose endpoint is called.
    pub region: Region,
    /// The role that the daemon assumes; none: the daemon's own credentials.
    pub role: Option<Arc<str>>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// A template's exact bytes with their digest. Serialized as the text alone; the digest is made anew when it is read.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Arc<str>", into = "Arc<str>")]
pub struct Template {
    digest: Digest,
    body: Arc<str>,
}

impl Template {
    /// Takes the bytes as they are.
    pub fn new(body: impl Into<Arc<str>>) -> Self {
        let body = body.into();
        Self { digest: Digest::of_bytes(body.as_bytes()), body }
    }
    /// SHA-256 of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
    /// The bytes.
    pub fn body(&self) -> &str {
        &self.body
    }
}

impl From<Arc<str>> for Template {
    fn from(body: Arc<str>) -> Self {
        Self::new(body)
    }
}
impl From<Template> for Arc<str> {
    fn from(template: Template) -> Self {
        template.body
    }
}
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?}, {} bytes)", self.digest, self.body.len())
    }
}

provider_words!(
    /// `StackStatus`, by its exact names: `ROLLBACK_COMPLETE` and `UPDATE_ROLLBACK_COMPLETE` mean opposite things.
    /// Source: CloudFormation API reference, `Stack.StackStatus`.
    StackStatus {
        CreateInProgress = "CREATE_IN_PROGRESS",
        CreateFailed = "CREATE_FAILED",
        CreateComplete = "CREATE_COMPLETE",
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        RollbackFailed = "ROLLBACK_FAILED",
        RollbackComplete = "ROLLBACK_COMPLETE",
        DeleteInProgress = "DELETE_IN_PROGRESS",
        DeleteFailed = "DELETE_FAILED",
        DeleteComplete = "DELETE_COMPLETE",
        UpdateInProgress = "UPDATE_IN_PROGRESS",
        UpdateCompleteCleanupInProgress = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        UpdateComplete = "UPDATE_COMPLETE",
        UpdateFailed = "UPDATE_FAILED",
        UpdateRollbackInProgress = "UPDATE_ROLLBACK_IN_PROGRESS",
        UpdateRollbackFailed = "UPDATE_ROLLBACK_FAILED",
        UpdateRollbackCompleteCleanupInProgress = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        UpdateRollbackComplete = "UPDATE_ROLLBACK_COMPLETE",
        ReviewInProgress = "REVIEW_IN_PROGRESS",
        ImportInProgress = "IMPORT_IN_PROGRESS",
        ImportComplete = "IMPORT_COMPLETE",
        ImportRollbackInProgress = "IMPORT_ROLLBACK_IN_PROGRESS",
        ImportRollbackFailed = "IMPORT_ROLLBACK_FAILED",
        ImportRollbackComplete = "IMPORT_ROLLBACK_COMPLETE",
    }
);

impl StackStatus {
    /// True when the stack is at rest in a state from which an update may start.
    pub fn is_settled_complete(&self) -> bool {
        matches!(
            self,
            Self::CreateComplete
                | Self::UpdateComplete
                | Self::UpdateRollbackComplete
                | Self::ImportComplete
                | Self::ImportRollbackComplete
        )
    }

    /// True while the provider works on the stack. An unknown word is not "in progress": it is a stop.
    pub fn is_in_progress(&self) -> bool {
        matches!(
            self,
            Self::CreateInProgress
                | Self::RollbackInProgress
                | Self::DeleteInProgress
                | Self::UpdateInProgress
                | Self::UpdateCompleteCleanupInProgress
                | Self::UpdateRollbackInProgress
                | Self::UpdateRollbackCompleteCleanupInProgress
                | Self::ImportInProgress
                | Self::ImportRollbackInProgress
        )
    }
}

/// A parameter as the provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParameterView {
    /// The value; `****` for a `NoEcho` parameter.
    pub value: String,
    /// What an SSM parameter type resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
}

impl ParameterView {
    /// True when the provider hides the value: it cannot be read back, only kept.
    pub fn is_hidden(&self) -> bool {
        self.value == "****"
    }
}

/// The alarms that make CloudFormation itself roll an operation back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RollbackConfiguration {
    /// Alarm ARNs with their types, in the provider's order.
    pub triggers: Vec<(String, String)>,
    /// `MonitoringTimeInMinutes`.
    pub monitoring_minutes: Option<i32>,
}

/// A stack as `DescribeStacks` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StackView {
    /// The stack's ARN: unlike its name it is never used again after a deletion.
    pub stack_id: String,
    /// Its name.
    pub name: StackName,
    /// Where it is.
    pub status: StackStatus,
    /// The provider's words on it.
    pub status_reason: Option<String>,
    /// Parameters by key.
    pub parameters: BTreeMap<String, ParameterView>,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// Capabilities that the last operation was given.
    pub capabilities: BTreeSet<String>,
    /// The service role that stays on the stack.
    pub role_arn: Option<String>,
    /// SNS topics that hear of events.
    pub notification_arns: Vec<String>,
    /// Rollback triggers.
    pub rollback_configuration: RollbackConfiguration,
    /// Whether a deletion is refused.
    pub termination_protection: bool,
    /// `LastUpdatedTime`, else `CreationTime`: changes with every operation.
    pub last_updated: Option<Timestamp>,
    /// What the provider's newest look for drift found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftView>,
}

provider_words!(
    /// `StackDriftStatus`. Source: CloudFormation API reference, `StackDriftInformation`.
    DriftStatus {
        Drifted = "DRIFTED",
        InSync = "IN_SYNC",
        Unknown_ = "UNKNOWN",
        NotChecked = "NOT_CHECKED",
    }
);

/// Whether a stack is as its template says, as of the provider's newest look.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DriftView {
    /// What it found.
    pub status: DriftStatus,
    /// When; none: never.
    pub checked_at: Option<Timestamp>,
}

impl StackView {
    /// True when this is provably the stack as it was before `time`: a read may be older than one before it.
    pub fn is_older_than(&self, time: Option<Timestamp>) -> bool {
        matches!((self.last_updated, time), (Some(of), Some(time)) if of < time)
    }
}

/// All that is needed to put one target back, captured before it is touched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestorePoint {
    /// There was no stack: to restore is to delete what the rollout created.
    Absent,
    /// The stack as it was.
    Stack(Box<StackRecord>),
}

/// A stack with its template: what proofs compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StackRecord {
    /// As described.
    pub view: StackView,
    /// `GetTemplate` with stage `Original`.
    pub template: Template,
    /// The stack policy's text, if one is set.
    pub policy: Option<String>,
}

impl StackRecord {
    /// The digest of what a revert puts back and a proof compares: identity, template bytes, parameters, tags, role,
    /// notification topics and rollback triggers. Status and times are left out: they change with every operation.
    /// A `NoEcho` value counts as hidden: it can be kept, never compared. Resolved values of SSM parameters are left out,
    /// since they move without us.
    ///
    /// # Errors
    /// As [`Digest::of_value`].
    pub fn content_digest(&self) -> Result<Digest, DigestError> {
        let view = &self.view;
        let parameters: BTreeMap<_, _> = view.parameters.iter().map(|(k, p)| (k, &p.value)).collect();
        Digest::of_value(&serde_json::json!({
            "stack_id": view.stack_id,
            "template": self.template.digest(),
            "parameters": parameters,
            "tags": view.tags,
            "role": view.role_arn,
            "notifications": view.notification_arns,
            "rollback": view.rollback_configuration,
        }))
    }
}

impl RestorePoint {
    /// The digest of the whole restore point.
    ///
    /// # Errors
    /// As [`Digest::of_value`].
    pub fn digest(&self) -> Result<Digest, DigestError> {
        Digest::of_value(self)
    }
}

/// A parameter as we ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterInput {
    /// This value.
    Value(String),
    /// What the stack has now (`UsePreviousValue`): the only way to keep a `NoEcho` value.
    Previous,
}

/// What kind of stack operation a change set prepares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeSetKind {
    /// `CREATE`: leaves an empty `REVIEW_IN_PROGRESS` shell until it is executed or the shell is deleted.
    Create,
    /// `UPDATE`.
    Update,
}

/// The inputs of one `CreateChangeSet` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSetInputs {
    /// Create or update.
    pub kind: ChangeSetKind,
    /// The template; none: `UsePreviousTemplate`.
    pub template: Option<Template>,
    /// Every parameter that is to be set or kept.
    pub parameters: BTreeMap<String, ParameterInput>,
    /// The whole set of tags; none: leave the stack's tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Capabilities to acknowledge.
    pub capabilities: BTreeSet<String>,
    /// The service role to name; none: the stack's own stays.
    pub role_arn: Option<String>,
    /// Topics; none: leave the stack's.
    pub notification_arns: Option<Vec<String>>,
    /// Triggers; none: leave the stack's.
    pub rollback_configuration: Option<RollbackConfiguration>,
}
