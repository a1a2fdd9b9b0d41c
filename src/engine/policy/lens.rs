//! Which of a target's attributes policies read: targets that look the same through a lens get the same answers, so that only one
//! of them is asked about.
//!
//! Why that is sound: an expression can learn of an entity only its attributes, its type, its ancestors (targets have none) and
//! whether it equals another one. The other one is `resource` itself or written out in the policy. Targets that no policy writes
//! out, and whose attributes that any policy names are equal, cannot be told apart.

use super::question::{Fact, Question, TargetFacts};
use super::schema::Attribute;
use crate::model::class::ChangeClass;
use cedar_policy::{Policy, PolicySet};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Attributes with nearly as many values as there are targets. A policy that reads one is asked apart from those that do not:
/// these then need few answers.
const FINE: [Attribute; 6] =
    [Attribute::Cell, Attribute::Account, Attribute::Region, Attribute::Key, Attribute::Stack, Attribute::TrafficShare];

/// What a policy, or several of them, can see of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The attributes that it names.
    pub attributes: BTreeSet<Attribute>,
    /// The targets that it writes out.
    pub targets: BTreeSet<String>,
}

impl Reads {
    /// What a policy reads, and perhaps more: every text in it that is an attribute's name counts as one.
    pub fn of(policy: &Policy) -> Self {
        let mut attributes = BTreeSet::new();
        match policy.to_json() {
            Ok(json) => collect(&json, &mut attributes),
            // Not known: all of them.
            Err(_) => attributes.extend(Attribute::ALL),
        }
        let targets = policy.entity_literals().into_iter().filter(|uid| uid.type_name().to_string() == "Target");
        Self { attributes, targets: targets.map(|uid| uid.id().unescaped().to_owned()).collect() }
    }

    /// Everything of everyone: no two targets look the same.
    pub fn everything(question: &Question<'_>) -> Self {
        Self {
            attributes: BTreeSet::from(Attribute::ALL),
            targets: question.targets.iter().map(|target| target.id.as_str().to_owned()).collect(),
        }
    }

    fn fine(&self) -> BTreeSet<Attribute> {
        self.attributes.iter().copied().filter(|attribute| FINE.contains(attribute)).collect()
    }

    fn extend(&mut self, other: Self) {
        self.attributes.extend(other.attributes);
        self.targets.extend(other.targets);
    }
}

fn collect(json: &Value, into: &mut BTreeSet<Attribute>) {
    match json {
        Value::String(text) => into.extend(Attribute::ALL.into_iter().filter(|attribute| attribute.as_str() == text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            into.extend(Attribute::ALL.into_iter().filter(|attribute| attribute.as_str() == key));
            collect(value, into);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Policies that see the same.
#[derive(Clone, Debug, Default)]
pub struct Lens {
    /// What they see.
    pub reads: Reads,
    /// The `forbid`s among them.
    pub forbids: PolicySet,
    /// The `permit`s among them.
    pub permits: PolicySet,
}

impl Lens {
    /// Policies, sorted into lenses.
    ///
    /// # Errors
    /// Two policies have one id.
    pub fn sort<'p>(policies: impl Iterator<Item = &'p Policy>) -> Result<Vec<Self>, String> {
        let mut lenses: BTreeMap<BTreeSet<Attribute>, Self> = BTreeMap::new();
        for policy in policies {
            let reads = Reads::of(policy);
            let lens = lenses.entry(reads.fine()).or_default();
            lens.reads.extend(reads);
            let set = match policy.effect() {
                cedar_policy::Effect::Forbid => &mut lens.forbids,
                cedar_policy::Effect::Permit => &mut lens.permits,
            };
            set.add(policy.clone()).map_err(|e| e.to_string())?;
        }
        Ok(lenses.into_values().collect())
    }
}

/// Targets that look the same.
#[derive(Debug)]
pub struct Group<'f> {
    /// One of them.
    pub example: &'f TargetFacts<'f>,
    /// The classes of each of them.
    pub classes: &'f BTreeSet<ChangeClass>,
    /// Their places in [`Question::targets`].
    pub members: Vec<usize>,
}

/// The question's targets, grouped by how they look.
pub fn group<'f>(reads: &Reads, question: &'f Question<'f>) -> Vec<Group<'f>> {
    type Look<'f> = (&'f BTreeSet<ChangeClass>, Vec<Fact<'f>>, Option<&'f str>);
    let mut groups: BTreeMap<Look<'f>, Group<'f>> = BTreeMap::new();
    for (at, target) in question.targets.iter().enumerate() {
        let facts = reads.attributes.iter().map(|attribute| target.fact(*attribute)).collect();
        let named = Some(target.id.as_str()).filter(|id| reads.targets.contains(*id));
        let group = groups.entry((&target.classes, facts, named)).or_insert_with(|| Group {
            example: target,
            classes: &target.classes,
            members: Vec::new(),
        });
        group.members.push(at);
    }
    groups.into_values().collect()
}
