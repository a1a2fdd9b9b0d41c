//! What is asked of one policy beside its types, and of all of them together; and how Cedar's faults become ours.

use super::compile::{Role, Rule};
use super::schema::{KINDS, Vocabulary, kind_word};
use crate::model::class::Autonomy;
use crate::model::document::Diagnostic;
use crate::model::document::diagnostic::is_hidden;
use crate::model::document::fields::known_or;
use cedar_policy::{Policy, PrincipalConstraint, RequestEnv, ResourceConstraint, Template, ValidationWarning};
use std::collections::{BTreeMap, BTreeSet};

/// Ids stand in findings and are typed by people.
const ID_MAX: usize = 100;
/// A message is a line or two.
const MESSAGE_MAX: usize = 500;
/// Brackets within brackets: nobody writes more, and a parser should not be asked to follow.
const NESTING_MAX: usize = 50;
/// What an approval can give.
const APPROVALS: [Autonomy; 2] = [Autonomy::OneApproval, Autonomy::TwoApprovals];

/// A Cedar error → a fault at the place that it names.
pub fn fault_of(error: &dyn miette::Diagnostic, path: &str) -> Diagnostic {
    let label = error.labels().and_then(|mut labels| labels.next());
    let span = label.as_ref().map_or(0..0, |label| label.offset()..label.offset() + label.len());
    let said = label.as_ref().and_then(|label| label.label());
    // Cedar's guess at a misspelt word is another one in every process, where several are equally near.
    let help = error.help().map(|help| help.to_string()).filter(|help| !help.starts_with("did you mean"));
    let fix = help.or_else(|| said.map(str::to_owned));
    let fix = fix.unwrap_or_else(|| "`wavegate policy schema` shows what there is, and of which type".to_owned());
    Diagnostic::new(span, path, plain(&error.to_string()), fix)
}

/// Without what our place says already (`for policy …`), and without the action: a policy is checked for each of them, and would
/// have the same fault seven times.
fn plain(message: &str) -> String {
    let message = match message.strip_prefix("for policy `").and_then(|rest| rest.split_once('`')) {
        Some((_, rest)) => rest.trim_start_matches([',', ':', ' ']),
        None => message,
    };
    match message.split_once(" for Action::\"") {
        Some((before, rest)) => format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after)),
        None => message.to_owned(),
    }
}

/// A validator's warning → a fault: what can never apply was meant to.
pub fn warned(warning: &ValidationWarning, rule: &Rule) -> Diagnostic {
    if !matches!(warning, ValidationWarning::ImpossiblePolicy(_)) {
        let fix = "write it in plain letters of one script".to_owned();
        return Diagnostic { fix, ..fault_of(warning, &rule.id) };
    }
    let does = if rule.permits() { "permit" } else { "forbid" };
    let message = format!("this policy can never {does} anything: its conditions exclude each other");
    Diagnostic::new(rule.span.clone(), &rule.id, message, "correct its conditions, or remove it")
}

/// A template: its slots are filled by programs, and there is none here.
pub fn slots(template: &Template) -> Diagnostic {
    let span = template.as_ref().loc().map_or(0..0, |loc| loc.start()..loc.end());
    let slots = template.slots().map(|slot| format!("`{slot}`")).collect::<Vec<_>>().join(", ");
    let message = format!("a template: {slots} would have to be filled in");
    Diagnostic::new(span, "", message, "name the principal or resource, or leave the slot out")
}

/// What a policy says beside its conditions.
#[derive(Debug, Default)]
pub struct Said {
    /// `@id`.
    pub id: Option<String>,
    /// `@message`.
    pub message: Option<String>,
    /// `@requires`.
    pub requires: Option<Autonomy>,
    /// `@unless`, in a NEVER file.
    pub unless: Option<Autonomy>,
}

/// Reads the annotations; unknown ones are faults. `text` is the policy's own, and begins `at` this byte of its file.
pub fn annotations(policy: &Policy, role: Role, text: &str, at: usize, faults: &mut Vec<Diagnostic>) -> Said {
    let mut said = Said::default();
    let approval = match role {
        Role::Rules => "requires",
        Role::Never => "unless",
    };
    let permits = policy.effect() == cedar_policy::Effect::Permit;
    let place = |key: &str| {
        let found = text.find(&format!("@{key}"));
        found.map_or(at..at, |from| at + from..at + from + key.len() + 1)
    };
    let mut fault = |key: &str, message: String, fix: String| {
        faults.push(Diagnostic::new(place(key), "", message, fix));
    };
    for (key, value) in policy.annotations() {
        match key {
            "id" if is_words(value, ID_MAX) => said.id = Some(value.to_owned()),
            "message" if is_words(value, MESSAGE_MAX) => said.message = Some(value.to_owned()),
            "id" => fault(
                key,
                "`@id` is blank, too long or not plain text".into(),
                format!("write at most {ID_MAX} letters"),
            ),
            "message" => {
                let fix = format!("write at most {MESSAGE_MAX} characters on one line");
                fault(key, "`@message` is blank, too long or not plain text".into(), fix);
            }
            key if key == approval => match APPROVALS.into_iter().find(|level| level.as_str() == value) {
                Some(level) if role == Role::Rules => said.requires = Some(level),
                Some(level) => said.unless = Some(level),
                None => {
                    let fix =
                        known_or(value, &APPROVALS.map(Autonomy::as_str), "write `one_approval` or `two_approvals`");
                    fault(key, format!("`@{key}(\"{value}\")` names no approval"), fix);
                }
            },
            other => {
                let fix = known_or(other, &["id", "message", approval], "remove it, or write it as a comment (`//`)");
                fault(key, format!("unknown annotation `@{other}`"), fix);
            }
        }
    }
    if role == Role::Never && !permits {
        fault(
            "",
            "a `forbid` in a NEVER file".into(),
            "write a `permit` that describes the requests which must never be let through".into(),
        );
    }
    if said.requires.is_some() && permits {
        fault(
            "requires",
            "`@requires` stands on a `permit`".into(),
            "write it on a `forbid`: what that describes then needs people instead of being forbidden".into(),
        );
    }
    said
}

fn is_words(text: &str, most: usize) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= most
        && !text.chars().any(|c| is_hidden(c) || matches!(c, '\n' | '\t'))
}

/// Names of people and agents are compared in lower case: a policy that writes one otherwise would never apply.
pub fn spelling(rule: &Rule) -> Vec<Diagnostic> {
    let kinds = KINDS.map(kind_word);
    let named = rule.policy.entity_literals().into_iter().filter_map(|uid| {
        let kind = uid.type_name().to_string();
        let name = uid.id().unescaped();
        let plain = name.trim().to_lowercase();
        (kinds.contains(&kind.as_str()) && plain != name).then(|| (kind, name.to_owned(), plain))
    });
    named
        .map(|(kind, name, plain)| {
            let message = format!("`{kind}::\"{name}\"` is nobody: names are compared in lower case");
            Diagnostic::new(rule.span.clone(), &rule.id, message, format!("write `{kind}::\"{plain}\"`"))
        })
        .collect()
}

/// Brackets that are too deep, before a parser follows them.
///
/// # Errors
/// The first bracket that is.
pub fn nesting(text: &str) -> Result<(), Vec<Diagnostic>> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            let message = format!("brackets within more than {NESTING_MAX} brackets");
            return Err(vec![Diagnostic::new(at..at + 1, "", message, "write it as several policies")]);
        }
    }
    Ok(())
}

/// Faults that only show among all policies: two with one id, and what can never permit.
pub fn together<'r>(rules: &'r [Rule], vocabulary: &Vocabulary) -> Vec<(&'r Rule, Diagnostic)> {
    let mut faults = same_ids(rules);
    for dry_run in [false, true] {
        let part: Vec<&Rule> = rules.iter().filter(|rule| rule.dry_run == dry_run).collect();
        faults.extend(never_permits(&part, vocabulary));
    }
    faults
}

fn same_ids(rules: &[Rule]) -> Vec<(&Rule, Diagnostic)> {
    let mut first: BTreeMap<&str, &Rule> = BTreeMap::new();
    let mut faults = Vec::new();
    for rule in rules {
        match first.get(rule.id.as_str()) {
            Some(other) => {
                let message = format!("the id `{}` is that of {}:{} already", rule.id, other.file, other.line);
                faults
                    .push((rule, Diagnostic::new(rule.span.clone(), &rule.id, message, "give it an `@id` of its own")));
            }
            None => {
                first.insert(&rule.id, rule);
            }
        }
    }
    faults
}

/// Kinds of request: principal type, action, resource type.
type Kinds = BTreeSet<(String, String, String)>;

fn kinds_of(envs: impl Iterator<Item = RequestEnv>) -> Kinds {
    envs.map(|env| (env.principal().to_string(), env.action().to_string(), env.resource().to_string())).collect()
}

/// What a `forbid` without conditions takes from every request of a kind, no `permit` can give. A cheap check, without a solver:
/// what it finds is so, and it does not find everything.
fn never_permits<'r>(rules: &[&'r Rule], vocabulary: &Vocabulary) -> Vec<(&'r Rule, Diagnostic)> {
    let schema = &vocabulary.schema;
    let blanket = |rule: &&&'r Rule| !rule.permits() && rule.requires.is_none() && is_blanket(&rule.policy);
    let blankets: Vec<(&'r Rule, Kinds)> = rules
        .iter()
        .filter(blanket)
        .map(|rule| (*rule, kinds_of(rule.policy.get_valid_request_envs(schema))))
        .collect();
    let Some((blocker, _)) = blankets.first() else { return Vec::new() };
    let blocked: Kinds = blankets.iter().flat_map(|(_, kinds)| kinds.iter().cloned()).collect();
    let permits: Vec<&'r Rule> = rules.iter().copied().filter(|rule| rule.permits()).collect();
    if permits.is_empty() {
        let everything = kinds_of(schema.request_envs());
        let message = "with this policy nothing can ever be permitted: it forbids every change, whatever it is";
        let fault = Diagnostic::new(blocker.span.clone(), &blocker.id, message, "give it a condition, or remove it");
        return if everything.is_subset(&blocked) { vec![(blocker, fault)] } else { Vec::new() };
    }
    let idle =
        permits.into_iter().filter(|rule| kinds_of(rule.policy.get_valid_request_envs(schema)).is_subset(&blocked));
    idle.map(|rule| {
        let message = format!(
            "this policy can never permit anything: {}:{} forbids all of it, and `forbid` wins",
            blocker.file, blocker.line
        );
        (
            rule,
            Diagnostic::new(
                rule.span.clone(),
                &rule.id,
                message,
                "remove one of the two, or give the `forbid` a condition",
            ),
        )
    })
    .collect()
}

/// It applies to every request of its kinds: no condition, nobody and nothing by name.
fn is_blanket(policy: &Policy) -> bool {
    let anybody = matches!(policy.principal_constraint(), PrincipalConstraint::Any | PrincipalConstraint::Is(_));
    let anything = matches!(policy.resource_constraint(), ResourceConstraint::Any | ResourceConstraint::Is(_));
    anybody && anything && !policy.has_non_scope_constraint()
}
