//! What a change set will do to one stack, as the provider says before it is done.

use super::ids::{Digest, DigestError};
use super::stack::ParameterView;
use super::words::provider_words;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

provider_words!(
    /// `ChangeSetStatus`.
    ChangeSetStatus {
        CreatePending = "CREATE_PENDING",
        CreateInProgress = "CREATE_IN_PROGRESS",
        CreateComplete = "CREATE_COMPLETE",
        DeletePending = "DELETE_PENDING",
        DeleteInProgress = "DELETE_IN_PROGRESS",
        DeleteComplete = "DELETE_COMPLETE",
        DeleteFailed = "DELETE_FAILED",
        Failed = "FAILED",
    }
);

provider_words!(
    /// `ExecutionStatus` of a change set.
    ExecutionStatus {
        Unavailable = "UNAVAILABLE",
        Available = "AVAILABLE",
        ExecuteInProgress = "EXECUTE_IN_PROGRESS",
        ExecuteComplete = "EXECUTE_COMPLETE",
        ExecuteFailed = "EXECUTE_FAILED",
        Obsolete = "OBSOLETE",
    }
);

provider_words!(
    /// `ResourceChange.Action`.
    ResourceAction {
        Add = "Add",
        Modify = "Modify",
        Remove = "Remove",
        Import = "Import",
        Dynamic = "Dynamic",
        SyncWithActual = "SyncWithActual",
    }
);

provider_words!(
    /// `ResourceChange.Replacement`.
    Replacement {
        True = "True",
        False = "False",
        Conditional = "Conditional",
    }
);

/// One resource's change in a preview.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceChange {
    /// What happens to it.
    pub action: ResourceAction,
    /// Its name in the template.
    pub logical_id: String,
    /// Its name at the provider, when it exists.
    pub physical_id: Option<String>,
    /// As `AWS::SQS::Queue`.
    pub resource_type: String,
    /// Whether a modification replaces it.
    pub replacement: Option<Replacement>,
    /// What becomes of a resource that is removed or replaced.
    pub policy_action: Option<PolicyAction>,
    /// Which attributes change (`Properties`, `Tags` …), sorted.
    pub scope: Vec<String>,
    /// Why, sorted.
    pub details: Vec<ChangeDetail>,
    /// The nested stack's own change set, when there is one.
    pub nested_change_set: Option<String>,
    /// What the nested stack's change set will do; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Box<Preview>>,
}

/// One reason of a change, as `Properties.QueueName Always Dynamic ParameterReference Name`: attribute and property,
/// `RequiresRecreation`, `Evaluation`, `ChangeSource`, `CausingEntity`. A part that the provider left out is a dash, or missing at
/// the end. Source: CloudFormation API reference, `ResourceChangeDetail`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeDetail(String);

impl ChangeDetail {
    /// From its parts.
    pub fn new(
        attribute: Option<&str>,
        property: Option<&str>,
        recreation: Option<&str>,
        evaluation: Option<&str>,
        source: Option<&str>,
        cause: Option<&str>,
    ) -> Self {
        let or_dash = |part: Option<&'_ str>| part.unwrap_or("-").to_owned();
        let place = property.map_or_else(|| or_dash(attribute), |name| format!("{}.{name}", or_dash(attribute)));
        let rest = [recreation, evaluation, source, cause].map(or_dash);
        Self(format!("{place} {}", rest.join(" ")))
    }

    fn part(&self, index: usize) -> Option<&str> {
        self.0.split(' ').nth(index).filter(|part| !part.is_empty() && *part != "-")
    }
    /// `Properties`, `Tags`, `DeletionPolicy` …
    pub fn attribute(&self) -> Option<&str> {
        self.part(0).map(|place| place.split_once('.').map_or(place, |(attribute, _)| attribute))
    }
    /// The property, where the attribute is `Properties`.
    pub fn property(&self) -> Option<&str> {
        self.part(0).and_then(|place| place.split_once('.')).map(|(_, property)| property)
    }
    /// Whether this alone replaces the resource.
    pub fn requires_recreation(&self) -> Option<RequiresRecreation> {
        self.part(1).map(RequiresRecreation::from)
    }
    /// `Static`: the new value is known; `Dynamic`: it shows when the change is executed.
    pub fn evaluation(&self) -> Option<Evaluation> {
        self.part(2).map(Evaluation::from)
    }
    /// Where the change comes from.
    pub fn source(&self) -> Option<ChangeSource> {
        self.part(3).map(ChangeSource::from)
    }
    /// The parameter or resource that it comes from.
    pub fn cause(&self) -> Option<&str> {
        self.part(4)
    }
}

impl From<&str> for ChangeDetail {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl PartialEq<&str> for ChangeDetail {
    fn eq(&self, text: &&str) -> bool {
        self.0 == *text
    }
}

impl fmt::Display for ChangeDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

provider_words!(
    /// `ResourceTargetDefinition.RequiresRecreation`.
    RequiresRecreation {
        Never = "Never",
        Conditionally = "Conditionally",
        Always = "Always",
    }
);

provider_words!(
    /// `ResourceChangeDetail.Evaluation`.
    Evaluation {
        Static = "Static",
        Dynamic = "Dynamic",
    }
);

provider_words!(
    /// `ResourceChangeDetail.ChangeSource`.
    ChangeSource {
        ResourceReference = "ResourceReference",
        ParameterReference = "ParameterReference",
        ResourceAttribute = "ResourceAttribute",
        DirectModification = "DirectModification",
        Automatic = "Automatic",
        NoModification = "NoModification",
    }
);

provider_words!(
    /// `ResourceChange.PolicyAction`: what becomes of the resource that is removed or replaced.
    PolicyAction {
        Delete = "Delete",
        Retain = "Retain",
        Snapshot = "Snapshot",
        ReplaceAndDelete = "ReplaceAndDelete",
        ReplaceAndRetain = "ReplaceAndRetain",
        ReplaceAndSnapshot = "ReplaceAndSnapshot",
    }
);

/// What the provider says that a change set will do to one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Preview {
    /// All pages, sorted by logical id.
    pub changes: Vec<ResourceChange>,
}

impl Preview {
    /// Leaves out the ARNs of nested change sets: they are new each time.
    fn forget_change_sets(&mut self) {
        for change in &mut self.changes {
            change.nested_change_set = None;
            change.nested.iter_mut().for_each(|nested| nested.forget_change_sets());
        }
    }

    /// How many resources are added, modified in place, replaced (certainly or perhaps) and removed.
    pub fn counts(&self) -> PreviewCounts {
        let mut counts = PreviewCounts::default();
        for change in &self.changes {
            match change.action {
                ResourceAction::Add | ResourceAction::Import => counts.added += 1,
                ResourceAction::Remove => counts.removed += 1,
                // `Dynamic`, `SyncWithActual` and unknown words are counted as the worse case.
                _ => match change.replacement {
                    Some(Replacement::False) | None if change.action == ResourceAction::Modify => counts.modified += 1,
                    _ => counts.replaced += 1,
                },
            }
        }
        counts
    }
}

/// Resources of a preview, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PreviewCounts {
    /// Added or imported.
    pub added: u32,
    /// Modified in place.
    pub modified: u32,
    /// Replaced, or perhaps replaced.
    pub replaced: u32,
    /// Removed.
    pub removed: u32,
}

/// What was read beside a preview, for the guardrails. No part of what is compared before execution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PreviewContext {
    /// What the stack exports → the names of the stacks that import it; none: it was not asked, or nobody could say.
    pub exports: Option<BTreeMap<String, Vec<String>>>,
    /// By the resource's path (`Table`, `Storage/Table`): the properties that a price may depend on, and nothing else (S20).
    pub sizes: BTreeMap<String, Sizes>,
}

/// What is to be read beside a preview: only what a guardrail asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContextWanted {
    /// What the stack exports, and who imports it.
    pub exports: bool,
    /// The properties that a price may depend on.
    pub sizes: bool,
}

impl ContextWanted {
    /// False when nothing needs to be read.
    pub fn anything(self) -> bool {
        self.exports || self.sizes
    }
}

/// A resource's priced properties, before and after. A value that the provider does not know yet is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sizes {
    /// As it is; none: it is new.
    pub before: Option<BTreeMap<String, String>>,
    /// As it will be; none: it goes.
    pub after: Option<BTreeMap<String, String>>,
}

/// A change set as `DescribeChangeSet` shows it, all pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedChangeSet {
    /// Its ARN: what is executed and deleted.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// The stack's ARN.
    pub stack_id: String,
    /// Whether it has been made.
    pub status: ChangeSetStatus,
    /// The provider's words on it.
    pub status_reason: Option<String>,
    /// Whether it may be executed.
    pub execution_status: ExecutionStatus,
    /// Parameters as the provider recorded them.
    pub parameters: BTreeMap<String, ParameterView>,
    /// Tags as recorded.
    pub tags: BTreeMap<String, String>,
    /// Capabilities as recorded.
    pub capabilities: BTreeSet<String>,
    /// The list of resource changes.
    pub preview: Preview,
    /// What else was read for the guardrails.
    pub context: PreviewContext,
}

impl DescribedChangeSet {
    /// True when the provider has worked it out, and it may be executed.
    pub fn is_ready(&self) -> bool {
        self.status == ChangeSetStatus::CreateComplete && self.execution_status == ExecutionStatus::Available
    }

    /// True when it failed because there is nothing to change. CloudFormation has no code for this, only these two texts.
    pub fn says_no_changes(&self) -> bool {
        self.status == ChangeSetStatus::Failed
            && self.status_reason.as_deref().is_some_and(|reason| {
                reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
            })
    }

    /// The digest that an approval is bound to and that is compared just before execution (S5): stack id, template bytes,
    /// parameters, tags, capabilities, role and the provider's list of resource changes.
    ///
    /// The list leaves out property values (the provider may truncate them) and nested change sets' ARNs (new each time).
    ///
    /// # Errors
    /// As [`Digest::of_value`].
    pub fn approval_digest(&self, template: &Digest, role: Option<&str>, create: bool) -> Result<Digest, DigestError> {
        let parameters: BTreeMap<_, _> = self.parameters.iter().map(|(k, p)| (k, &p.value)).collect();
        let mut preview = self.preview.clone();
        preview.forget_change_sets();
        Digest::of_value(&serde_json::json!({
            // A stack to be created gets a new id with every shell; until it exists it is known by its name.
            "stack_id": if create { "" } else { self.stack_id.as_str() },
            "template": template,
            "parameters": parameters,
            "tags": self.tags,
            "capabilities": self.capabilities,
            "role": role,
            "changes": preview.changes,
        }))
    }
}
