//! Preview → classes and reversibility, resource by resource. Nothing else is looked at: not the title, not the reasoning, not what
//! the agent calls its change.
//!
//! What the provider is not sure of counts as the worse case, what this release does not know as opaque, and a type that is not
//! listed as one that holds data. Source of the words: CloudFormation API reference, `ResourceChange`, `ResourceChangeDetail`.

use super::resource_types::{self, Grants, TypeFacts};
use crate::model::class::{ChangeClass, ClassReason, Classified, ClassifiedChange, Fate, Reversibility};
use crate::model::preview::{
    ChangeDetail, ChangeSource, Evaluation, PolicyAction, Preview, Replacement, RequiresRecreation, ResourceAction,
    ResourceChange,
};
use std::collections::BTreeSet;

/// Nested stacks deeper than this are opaque. CloudFormation itself nests four levels without a quota's increase.
const DEPTH: usize = 8;

/// Macros that are the provider's own: what they make of a template is in the preview, and they run nobody's code.
const PROVIDER_MACROS: [&str; 7] = [
    "AWS::CodeDeployBlueGreen",
    "AWS::CodeStar",
    "AWS::Include",
    "AWS::LanguageExtensions",
    "AWS::SecretsManager-2020-07-23",
    "AWS::SecretsManager-2024-09-16",
    "AWS::Serverless-2016-10-31",
];

/// Judges one target's change: its preview, and the macros that its template goes through.
pub fn classify(preview: &Preview, macros: &BTreeSet<String>) -> Classified {
    let mut classified = Classified::default();
    add(&mut classified, preview, "", 0);
    for name in macros.iter().filter(|name| !PROVIDER_MACROS.contains(&name.as_str())) {
        classified.classes.insert(ChangeClass::Opaque);
        classified.reasons.insert(ClassReason::Macro { name: name.clone() });
    }
    classified
}

fn add(into: &mut Classified, preview: &Preview, within: &str, depth: usize) {
    for change in &preview.changes {
        let path = match within {
            "" => change.logical_id.clone(),
            within => format!("{within}/{}", change.logical_id),
        };
        let nested = change.nested.as_deref().filter(|_| depth < DEPTH);
        let judged = judge(change, path.clone(), nested.is_some());
        into.classes.extend(&judged.classes);
        into.reversibility = into.reversibility.max(judged.reversibility);
        into.changes.push(judged);
        if let Some(nested) = nested {
            add(into, nested, &path, depth + 1);
        }
    }
}

/// What is gathered about one resource's change.
struct Draft<'a> {
    change: &'a ResourceChange,
    facts: TypeFacts,
    classes: BTreeSet<ChangeClass>,
    reversibility: Reversibility,
    reasons: BTreeSet<ClassReason>,
}

fn judge(change: &ResourceChange, path: String, expanded: bool) -> ClassifiedChange {
    let mut draft = Draft {
        change,
        facts: resource_types::facts(&change.resource_type),
        classes: BTreeSet::new(),
        reversibility: Reversibility::Reversible,
        reasons: BTreeSet::new(),
    };
    draft.by_action(expanded);
    draft.grants();
    draft.unknown_words();
    if draft.facts.runs_code {
        draft.is(ChangeClass::Opaque, Reversibility::Irreversible, ClassReason::RunsCode);
    }
    let Draft { classes, reversibility, reasons, .. } = draft;
    ClassifiedChange { path, resource_type: change.resource_type.clone(), classes, reversibility, reasons }
}

impl Draft<'_> {
    fn is(&mut self, class: ChangeClass, reversibility: Reversibility, reason: ClassReason) {
        self.classes.insert(class);
        self.reversibility = self.reversibility.max(reversibility);
        self.reasons.insert(reason);
    }

    fn by_action(&mut self, expanded: bool) {
        match &self.change.action {
            ResourceAction::Add => self.is(ChangeClass::Additive, Reversibility::Reversible, ClassReason::Added),
            ResourceAction::Modify => self.modified(expanded),
            ResourceAction::Remove => self.removed(),
            // The revert's template does not have it any more: CloudFormation would remove it.
            ResourceAction::Import => {
                self.is(ChangeClass::InPlace, Reversibility::Irreversible, ClassReason::Imported);
                self.classes.insert(ChangeClass::Irreversible);
            }
            // It shows at execution whether it is changed, replaced or removed.
            action @ (ResourceAction::Dynamic | ResourceAction::SyncWithActual | ResourceAction::Unknown(_)) => {
                let word = action.as_str().to_owned();
                self.is(ChangeClass::Opaque, Reversibility::Irreversible, ClassReason::UnknownWord { word });
                self.removed();
            }
        }
        let is_stack = self.change.resource_type == "AWS::CloudFormation::Stack";
        if is_stack && !expanded && self.change.action != ResourceAction::Remove {
            self.is(ChangeClass::Opaque, Reversibility::Irreversible, ClassReason::NestedNotExpanded);
        }
    }

    fn modified(&mut self, expanded: bool) {
        match self.replacement() {
            // A nested stack is changed by its own changes, and those are judged themselves.
            _ if expanded && self.change.replacement != Some(Replacement::True) => {
                self.is(ChangeClass::InPlace, Reversibility::Reversible, ClassReason::ChangedInPlace);
            }
            Some(perhaps) => self.replaced(perhaps),
            None => self.is(ChangeClass::InPlace, Reversibility::Reversible, ClassReason::ChangedInPlace),
        }
        for detail in &self.change.details {
            self.detail(detail);
        }
        let protection = |word: &String| word == "DeletionPolicy" || word == "UpdateReplacePolicy";
        if self.change.scope.iter().any(protection) {
            self.is(ChangeClass::Disruptive, Reversibility::Reversible, ClassReason::ProtectionChanged);
        }
    }

    /// Whether it is replaced: perhaps (`true`), certainly (`false`), or not at all. The whole says less than its details: a static
    /// `Always` replaces whatever the summary says, and a summary that is missing says nothing.
    fn replacement(&self) -> Option<bool> {
        let certain = |d: &&ChangeDetail| d.evaluation() == Some(Evaluation::Static);
        let recreating = |d: &&ChangeDetail| !matches!(d.requires_recreation(), None | Some(RequiresRecreation::Never));
        let always = |d: &&ChangeDetail| d.requires_recreation() == Some(RequiresRecreation::Always);
        let details = &self.change.details;
        match &self.change.replacement {
            Some(Replacement::True) => Some(false),
            Some(Replacement::False) if details.iter().filter(certain).any(|d| always(&d)) => Some(false),
            Some(Replacement::False) => details.iter().any(|d| recreating(&d)).then_some(true),
            Some(Replacement::Conditional | Replacement::Unknown(_)) | None => Some(true),
        }
    }

    fn detail(&mut self, detail: &ChangeDetail) {
        if let Some(property) = detail.property()
            && resource_types::interrupts(&self.change.resource_type, property)
        {
            let reason = ClassReason::Interrupts { property: property.to_owned() };
            self.is(ChangeClass::Disruptive, Reversibility::WithInterruption, reason);
        }
    }

    fn replaced(&mut self, perhaps: bool) {
        let old = self.fate();
        let reason = ClassReason::Replaced { perhaps, old };
        match (self.facts.stateful, old) {
            (false, _) => self.is(ChangeClass::Disruptive, Reversibility::WithInterruption, reason),
            // The revert makes a third one, as empty as the second.
            (true, Fate::Kept | Fate::Snapshot) => {
                self.is(ChangeClass::Destructive, Reversibility::Irreversible, reason);
            }
            (true, Fate::Deleted) => self.lost(reason),
        }
    }

    fn removed(&mut self) {
        let old = self.fate();
        let reason = ClassReason::Removed { old };
        match (self.facts.stateful, old) {
            (false, Fate::Deleted | Fate::Snapshot) => {
                self.is(ChangeClass::Disruptive, Reversibility::WithInterruption, reason);
            }
            // It goes on as it is, but a plain update does not take it back: it would make a new one, or meet its name.
            (_, Fate::Kept) => self.is(ChangeClass::Disruptive, Reversibility::Irreversible, reason),
            (true, Fate::Snapshot) => self.is(ChangeClass::Destructive, Reversibility::Irreversible, reason),
            (true, Fate::Deleted) => self.lost(reason),
        }
    }

    fn lost(&mut self, reason: ClassReason) {
        self.is(ChangeClass::Destructive, Reversibility::Irreversible, reason);
        self.classes.insert(ChangeClass::Irreversible);
    }

    /// What becomes of the old one. Nothing said, or an unknown word, is a deletion.
    fn fate(&self) -> Fate {
        match &self.change.policy_action {
            Some(PolicyAction::Retain | PolicyAction::ReplaceAndRetain) => Fate::Kept,
            Some(PolicyAction::Snapshot | PolicyAction::ReplaceAndSnapshot) => Fate::Snapshot,
            Some(PolicyAction::Delete | PolicyAction::ReplaceAndDelete | PolicyAction::Unknown(_)) | None => {
                Fate::Deleted
            }
        }
    }

    /// A grant may become wider by a change, and by the removal of what denied.
    fn grants(&mut self) {
        let modified = self.change.action == ResourceAction::Modify;
        let properties: Vec<&str> = self.change.details.iter().filter_map(ChangeDetail::property).collect();
        let touches_properties = self.change.scope.iter().any(|word| word == "Properties");
        // Metadata, tags and policies of the stack grant nothing.
        let untouched = modified && !touches_properties && !self.change.scope.is_empty();
        match self.facts.grants {
            Grants::Everything if !untouched => self.grants_by(None),
            Grants::Properties(granting) if modified => {
                let named = properties.iter().find(|p| granting.contains(&first_part(p)));
                match named {
                    Some(property) => self.grants_by(Some(property)),
                    // Properties change, and the provider does not say which.
                    None if touches_properties && properties.is_empty() => self.grants_by(None),
                    None => {}
                }
            }
            // Which properties a new resource sets is not in the preview. An imported one is as it was.
            Grants::Properties(_) if !matches!(self.change.action, ResourceAction::Remove | ResourceAction::Import) => {
                self.grants_by(None);
            }
            Grants::Everything | Grants::Properties(_) | Grants::Nothing => {}
        }
        if let Some(property) = properties.iter().find(|p| resource_types::is_role_property(p)) {
            self.grants_by(Some(property));
        }
    }

    fn grants_by(&mut self, property: Option<&str>) {
        let reason = ClassReason::Grants { property: property.map(ToOwned::to_owned) };
        self.is(ChangeClass::Privilege, Reversibility::Reversible, reason);
    }

    fn unknown_words(&mut self) {
        let mut words: Vec<String> = Vec::new();
        if let Some(Replacement::Unknown(word)) = &self.change.replacement {
            words.push(word.clone());
        }
        if let Some(PolicyAction::Unknown(word)) = &self.change.policy_action {
            words.push(word.clone());
        }
        for detail in &self.change.details {
            if let Some(RequiresRecreation::Unknown(word)) = detail.requires_recreation() {
                words.push(word);
            }
            if let Some(Evaluation::Unknown(word)) = detail.evaluation() {
                words.push(word);
            }
            if let Some(ChangeSource::Unknown(word)) = detail.source() {
                words.push(word);
            }
        }
        for word in words {
            self.is(ChangeClass::Opaque, Reversibility::Irreversible, ClassReason::UnknownWord { word });
        }
    }
}

/// `PolicyDocument/Statement/0` → `PolicyDocument`.
fn first_part(property: &str) -> &str {
    property.split(['.', '/']).next().unwrap_or(property)
}
