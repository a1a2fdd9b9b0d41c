//! Policy files → checked policies. What does not type-check against the schema is refused, and so is what can never apply: a
//! `forbid` that is misspelt must not look like one that holds.

use super::checks::{self, annotations, fault_of};
use super::lens::Lens;
use super::schema::Vocabulary;
use crate::model::class::Autonomy;
use crate::model::document::{Diagnostic, Diagnostics};
use crate::model::safeguards::PolicyFile;
use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, Validator};
use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr as _;
use std::sync::Arc;

/// More files than this are nobody's to oversee.
pub const FILES_MAX: usize = 50;
/// A policy is a few lines long; files beyond this are generated, and slow to check.
pub const FILE_SIZE_MAX: usize = 128 * 1024;
/// Each is evaluated for each kind of target; see the number of targets in design §6.
pub const POLICIES_MAX: usize = 500;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its policies decide.
    Rules,
    /// Its policies describe what must never be.
    Never,
}

/// One policy, checked.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its `@id`, else `file:line`.
    pub id: String,
    /// Its file, as the pipeline names it.
    pub file: String,
    /// Its line, from 1.
    pub line: u32,
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What it says to whoever is refused.
    pub message: Option<String>,
    /// What a `forbid` asks for instead of forbidding.
    pub requires: Option<Autonomy>,
    /// Of a NEVER file: what it describes may be, where people have agreed to it by this level.
    pub unless: Option<Autonomy>,
    /// It is on trial.
    pub dry_run: bool,
    /// The policy.
    pub policy: Policy,
}

impl Rule {
    /// What follows where a `forbid` applies.
    pub fn level(&self) -> Autonomy {
        self.requires.unwrap_or(Autonomy::Forbidden)
    }

    /// It permits; else it forbids.
    pub fn permits(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }
}

/// A pipeline's policies, checked and sorted for evaluation. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Policies(Arc<Compiled>);

#[derive(Debug)]
pub(super) struct Compiled {
    /// In the files' order.
    pub rules: Vec<Rule>,
    /// Id → place in `rules`.
    pub places: BTreeMap<String, usize>,
    /// Those in force.
    pub enforced: Vec<Lens>,
    /// Those on trial.
    pub trial: Vec<Lens>,
    pub vocabulary: Vocabulary,
}

impl Policies {
    /// Checks policy files, of which each is in Cedar.
    ///
    /// # Errors
    /// Every fault of every file, each with its place and a fix; one [`Diagnostics`] a file.
    pub fn compile(files: &[PolicyFile]) -> Result<Self, Vec<Diagnostics>> {
        Self::compile_as(files, Role::Rules)
    }

    /// Checks NEVER files: each of their `permit`s describes requests that must never be let through, at all or `@unless` people
    /// have agreed.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_never(files: &[PolicyFile]) -> Result<Self, Vec<Diagnostics>> {
        Self::compile_as(files, Role::Never)
    }

    fn compile_as(files: &[PolicyFile], role: Role) -> Result<Self, Vec<Diagnostics>> {
        let vocabulary = Vocabulary::new().map_err(|error| vec![defect(files, &error)])?;
        let rules = read(files, role, &vocabulary)?;
        let sort = |dry_run: bool| {
            let policies = rules.iter().filter(|rule| rule.dry_run == dry_run).map(|rule| &rule.policy);
            Lens::sort(policies).map_err(|error| vec![defect(files, &error)])
        };
        let (enforced, trial) = (sort(false)?, sort(true)?);
        let places = rules.iter().enumerate().map(|(at, rule)| (rule.id.clone(), at)).collect();
        Ok(Self(Arc::new(Compiled { rules, places, enforced, trial, vocabulary })))
    }

    /// In the files' order.
    pub fn rules(&self) -> &[Rule] {
        &self.0.rules
    }

    /// The schema that they were checked against.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.0.vocabulary
    }

    pub(super) fn compiled(&self) -> &Compiled {
        &self.0
    }
}

/// Every rule of every file, checked one by one and together.
fn read(files: &[PolicyFile], role: Role, vocabulary: &Vocabulary) -> Result<Vec<Rule>, Vec<Diagnostics>> {
    let mut faults: BTreeMap<usize, Vec<Diagnostic>> = BTreeMap::new();
    let mut rules = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let found = match at < FILES_MAX {
            true => read_file(file, role, vocabulary),
            false => {
                Err(vec![whole(format!("more than {FILES_MAX} policy files"), "put several policies into one file")])
            }
        };
        match found {
            Ok(found) => rules.extend(found),
            Err(found) => faults.entry(at).or_default().extend(found),
        }
    }
    for (rule, fault) in checks::together(&rules, vocabulary) {
        let at = files.iter().position(|file| file.file == rule.file).unwrap_or(0);
        faults.entry(at).or_default().push(fault);
    }
    let shown = |(at, faults): (usize, Vec<Diagnostic>)| {
        files.get(at).map(|file| Diagnostics::new(&file.file, &file.text, faults))
    };
    if faults.is_empty() { Ok(rules) } else { Err(faults.into_iter().filter_map(shown).collect()) }
}

/// One file's rules, each type-checked.
fn read_file(file: &PolicyFile, role: Role, vocabulary: &Vocabulary) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    if file.text.len() > FILE_SIZE_MAX {
        let message = format!("the file has {} bytes, and {FILE_SIZE_MAX} are the most", file.text.len());
        return Err(vec![whole(message, "split it, or write fewer policies")]);
    }
    checks::nesting(&file.text)?;
    let parsed = PolicySet::from_str(&file.text)
        .map_err(|errors| errors.iter().map(|error| fault_of(error, "")).collect::<Vec<_>>())?;
    let mut faults: Vec<_> = parsed.templates().map(checks::slots).collect();
    let mut rules: Vec<Rule> = parsed.policies().map(|policy| rule(file, role, policy, &mut faults)).collect();
    rules.sort_by_key(|rule| rule.span.start);
    match rules.len() {
        0 if faults.is_empty() => faults.push(whole("the file holds no policy", "write one, or do not name the file")),
        0..=POLICIES_MAX => faults.extend(type_faults(&rules, vocabulary)),
        count => faults.push(whole(format!("{count} policies, and {POLICIES_MAX} are the most"), "write fewer")),
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

fn rule(file: &PolicyFile, role: Role, policy: &Policy, faults: &mut Vec<Diagnostic>) -> Rule {
    let span = policy.as_ref().loc().map_or(0..0, |loc| loc.start()..loc.end());
    let before = file.text.get(..span.start).unwrap_or_default();
    let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
    let text = file.text.get(span.clone()).unwrap_or_default();
    let said = annotations(policy, role, text, span.start, faults);
    let id = said.id.unwrap_or_else(|| format!("{}:{line}", file.file));
    Rule {
        policy: policy.new_id(PolicyId::new(&id)),
        id,
        file: file.file.clone(),
        line,
        span,
        message: said.message,
        requires: said.requires,
        unless: said.unless,
        dry_run: file.dry_run,
    }
}

/// Strict validation, policy by policy; a warning counts as an error.
fn type_faults(rules: &[Rule], vocabulary: &Vocabulary) -> Vec<Diagnostic> {
    let validator = Validator::new(vocabulary.schema.clone());
    let mut faults = Vec::new();
    for rule in rules {
        let Ok(alone) = PolicySet::from_policies([rule.policy.clone()]) else { continue };
        let result = validator.validate(&alone, ValidationMode::Strict);
        let before = faults.len();
        faults.extend(result.validation_errors().map(|error| fault_of(error, &rule.id)));
        // Of a policy that is wrong it is no news that it can never apply.
        if faults.len() == before {
            faults.extend(result.validation_warnings().map(|warning| checks::warned(warning, rule)));
            faults.extend(checks::spelling(rule));
        }
    }
    faults
}

/// A fault of a file as a whole.
pub(super) fn whole(message: impl Into<String>, fix: &str) -> Diagnostic {
    Diagnostic::new(0..0, "", message, fix)
}

fn defect(files: &[PolicyFile], error: &str) -> Diagnostics {
    let file = files.first().map_or("policies", |file| file.file.as_str());
    Diagnostics::of_file(
        file,
        format!("policies cannot be checked: {error}"),
        "report this: it is a defect of Wavegate",
    )
}
