//! Policies × question → findings.
//!
//! Each target is asked about once for each class of its change. A `forbid` that applies wins; where any file holds a `permit`,
//! what no `permit` allows is refused as well; what cannot be evaluated is refused (S24). Policies on trial are asked apart: they
//! find what they would find if they were in force, and stop nothing.

use super::compile::{Compiled, Policies, Rule};
use super::lens::{Group, Lens, Reads, group};
use super::question::{Fact, Question, RolloutFacts, TargetFacts};
use super::schema::{Vocabulary, kind_word, reversibility_word};
use crate::model::class::{Autonomy, ChangeClass};
use crate::model::decision::{Cause, Consequence, Found, Reason};
use crate::model::ids::TargetId;
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicyId, Request,
    RestrictedExpression as Expr,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// An evaluator's words may quote what it evaluated.
const ERROR_MAX: usize = 300;

/// What the policies say: one finding for each policy that applies, with the number of targets and one of them.
pub fn findings(policies: &Policies, question: &Question<'_>) -> Vec<Found> {
    judge(policies.compiled(), question, |lens| lens.reads.clone())
}

/// As [`findings`], with every target asked about by itself: slower, and the same.
pub fn findings_one_by_one(policies: &Policies, question: &Question<'_>) -> Vec<Found> {
    judge(policies.compiled(), question, |_| Reads::everything(question))
}

fn judge(compiled: &Compiled, question: &Question<'_>, reads: impl Fn(&Lens) -> Reads) -> Vec<Found> {
    if compiled.rules.is_empty() || question.targets.is_empty() {
        return Vec::new();
    }
    let asked = match Asked::new(&compiled.vocabulary, question) {
        Ok(asked) => asked,
        Err(error) => return vec![failed(None, "policies", &error, false)],
    };
    let tally = |lenses: &[Lens]| {
        let mut tally = Tally { allowed: vec![BTreeSet::new(); question.targets.len()], ..Tally::default() };
        lenses.iter().for_each(|lens| asked.look(lens, &reads(lens), question, compiled, &mut tally));
        tally
    };
    let (enforced, trial) = (tally(&compiled.enforced), tally(&compiled.trial));
    let mut found = enforced.found(compiled, question, false);
    found.extend(refused(compiled, question, false, &[&enforced]));
    found.extend(trial.found(compiled, question, true));
    // `permit`s on trial change nothing for the worse where others are in force already.
    if !compiled.rules.iter().any(|rule| rule.permits() && !rule.dry_run) {
        found.extend(refused(compiled, question, true, &[&trial]));
    }
    found
}

/// What one evaluation of all lenses comes to.
#[derive(Default)]
struct Tally {
    /// Place of the rule → targets that it applies to, and the first one.
    hits: BTreeMap<usize, (u32, usize)>,
    /// What went wrong, by rule; none: not in a rule.
    errors: BTreeMap<Option<usize>, String>,
    /// For each target, the classes that a `permit` allows.
    allowed: Vec<BTreeSet<ChangeClass>>,
}

impl Tally {
    fn found(&self, compiled: &Compiled, question: &Question<'_>, dry_run: bool) -> Vec<Found> {
        let hits = self.hits.iter().filter_map(|(place, (targets, example))| {
            let rule = compiled.rules.get(*place)?;
            let example = question.targets.get(*example)?.id.clone();
            let what = Reason::PolicyForbids {
                policy: rule.id.clone(),
                message: rule.message.clone(),
                targets: *targets,
                example,
            };
            Some(Found { what, cause: Some(cause(rule)), follows: Consequence::Needs(rule.level()), dry_run })
        });
        let errors = self.errors.iter().map(|(place, error)| {
            let rule = place.and_then(|place| compiled.rules.get(place));
            failed(rule, rule.map_or("policies", |rule| &rule.id), error, dry_run)
        });
        hits.chain(errors).collect()
    }
}

fn cause(rule: &Rule) -> Cause {
    Cause { file: rule.file.clone(), line: rule.line, rule: rule.id.clone() }
}

fn failed(rule: Option<&Rule>, id: &str, error: &str, dry_run: bool) -> Found {
    let error = error.chars().take(ERROR_MAX).collect();
    let what = Reason::PolicyFailed { policy: id.to_owned(), error };
    Found { what, cause: rule.map(cause), follows: Consequence::Needs(Autonomy::Forbidden), dry_run }
}

/// The targets that no `permit` allows, where there is one; the first `permit` is named as the place where the list stands.
fn refused(compiled: &Compiled, question: &Question<'_>, dry_run: bool, tallies: &[&Tally]) -> Option<Found> {
    let first = compiled.rules.iter().find(|rule| rule.permits() && rule.dry_run == dry_run)?;
    let is_allowed = |at: usize, class: &ChangeClass| {
        tallies.iter().any(|tally| tally.allowed.get(at).is_some_and(|allowed| allowed.contains(class)))
    };
    let left_out: Vec<&TargetId> = question
        .targets
        .iter()
        .enumerate()
        .filter(|(at, target)| !target.classes.iter().all(|class| is_allowed(*at, class)))
        .map(|(_, target)| target.id)
        .collect();
    let example = (*left_out.first()?).clone();
    let targets = u32::try_from(left_out.len()).unwrap_or(u32::MAX);
    Some(Found {
        what: Reason::PolicyPermitsNot { targets, example },
        cause: Some(Cause { rule: "permit".to_owned(), ..cause(first) }),
        follows: Consequence::Needs(Autonomy::Forbidden),
        dry_run,
    })
}

/// What is the same for every target.
struct Asked<'v> {
    vocabulary: &'v Vocabulary,
    authorizer: Authorizer,
    principal: EntityUid,
    /// The actions and the principal.
    known: Entities,
    context: Context,
    actions: BTreeMap<ChangeClass, EntityUid>,
}

impl<'v> Asked<'v> {
    fn new(vocabulary: &'v Vocabulary, question: &Question<'_>) -> Result<Self, String> {
        let who = &question.proposer;
        let principal = uid(vocabulary, kind_word(who.kind), &who.name)?;
        let attributes = HashMap::from([
            ("name".to_owned(), Expr::new_string(who.name.clone())),
            ("party".to_owned(), Expr::new_string(who.party.clone())),
            ("groups".to_owned(), texts(who.groups.iter().map(String::as_str))),
        ]);
        let entity = Entity::new(principal.clone(), attributes, HashSet::new()).map_err(|e| e.to_string())?;
        let known = vocabulary.actions.clone().add_entities([entity], None).map_err(|e| e.to_string())?;
        let context = Context::from_pairs(context(vocabulary, &question.rollout)?).map_err(|e| e.to_string())?;
        let actions = ChangeClass::ALL.into_iter().map(|class| Ok((class, uid(vocabulary, "Action", class.as_str())?)));
        let actions = actions.collect::<Result<_, String>>()?;
        Ok(Self { vocabulary, authorizer: Authorizer::new(), principal, known, context, actions })
    }

    fn look(&self, lens: &Lens, reads: &Reads, question: &Question<'_>, compiled: &Compiled, tally: &mut Tally) {
        let groups = group(reads, question);
        // All at once: each addition goes through all that is known.
        let examples = groups.iter().map(|group| self.entity(reads, group.example)).collect::<Result<Vec<_>, _>>();
        let entities = examples.and_then(|all| self.known.clone().add_entities(all, None).map_err(|e| e.to_string()));
        let looked = entities.and_then(|entities| {
            groups.iter().try_for_each(|group| self.look_at(lens, &entities, group, compiled, tally))
        });
        if let Err(error) = looked {
            tally.errors.entry(None).or_insert(error);
        }
    }

    /// The target, with what the lens shows of it.
    fn entity(&self, reads: &Reads, target: &TargetFacts<'_>) -> Result<Entity, String> {
        let mut attributes = HashMap::new();
        for attribute in &reads.attributes {
            attributes.insert(attribute.as_str().to_owned(), self.value(&target.fact(*attribute))?);
        }
        let resource = uid(self.vocabulary, "Target", target.id.as_str())?;
        Entity::new(resource, attributes, HashSet::new()).map_err(|e| e.to_string())
    }

    fn look_at(
        &self,
        lens: &Lens,
        entities: &Entities,
        group: &Group<'_>,
        compiled: &Compiled,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let resource = uid(self.vocabulary, "Target", group.example.id.as_str())?;
        let place = |id: &PolicyId| compiled.places.get(AsRef::<str>::as_ref(id)).copied();
        let mut hits = BTreeSet::new();
        for class in group.classes {
            let action = self.actions.get(class).ok_or("a class without an action")?;
            let (who, context) = (self.principal.clone(), self.context.clone());
            let request =
                Request::new(who, action.clone(), resource.clone(), context, None).map_err(|e| e.to_string())?;
            let forbids = self.authorizer.is_authorized(&request, &lens.forbids, entities);
            let permits = self.authorizer.is_authorized(&request, &lens.permits, entities);
            hits.extend(forbids.diagnostics().reason().filter_map(place));
            for AuthorizationError::PolicyEvaluationError(error) in
                forbids.diagnostics().errors().chain(permits.diagnostics().errors())
            {
                tally.errors.entry(place(error.policy_id())).or_insert_with(|| error.inner().to_string());
            }
            if permits.decision() == Decision::Allow {
                for at in &group.members {
                    if let Some(allowed) = tally.allowed.get_mut(*at) {
                        allowed.insert(*class);
                    }
                }
            }
        }
        let members = u32::try_from(group.members.len()).unwrap_or(u32::MAX);
        let first = group.members.first().copied().unwrap_or_default();
        for hit in hits {
            let (count, example) = tally.hits.entry(hit).or_insert((0, first));
            *count = count.saturating_add(members);
            *example = (*example).min(first);
        }
        Ok(())
    }

    fn value(&self, fact: &Fact<'_>) -> Result<Expr, String> {
        Ok(match fact {
            Fact::Text(text) => Expr::new_string((*text).to_owned()),
            Fact::Percent(percent) => Expr::new_decimal(percent.decimal()),
            Fact::Wants(word) => word_of(self.vocabulary, "StackAction", word)?,
            Fact::Classes(classes) => class_set(self.vocabulary, classes)?,
            Fact::Reversibility(verdict) => word_of(self.vocabulary, "Reversibility", reversibility_word(*verdict))?,
            Fact::Texts(types) => texts(types.iter().copied()),
        })
    }
}

fn context(vocabulary: &Vocabulary, rollout: &RolloutFacts<'_>) -> Result<Vec<(String, Expr)>, String> {
    let mut pairs = vec![
        ("pipeline", Expr::new_string(rollout.pipeline.to_owned())),
        ("targets", Expr::new_long(rollout.targets.into())),
        ("resources", Expr::new_long(rollout.resources.into())),
        ("waves", Expr::new_long(rollout.waves.into())),
        ("percent_of_traffic", Expr::new_decimal(rollout.percent_of_traffic.decimal())),
        ("environments", texts(rollout.environments.iter().copied())),
        ("classes", class_set(vocabulary, &rollout.classes)?),
        ("reversibility", word_of(vocabulary, "Reversibility", reversibility_word(rollout.reversibility))?),
        ("removed_types", texts(rollout.removed_types.iter().copied())),
        ("replaced_types", texts(rollout.replaced_types.iter().copied())),
        ("needs", word_of(vocabulary, "Autonomy", rollout.needs.as_str())?),
    ];
    pairs.extend(rollout.monthly_cents.map(|cents| ("monthly_cents", Expr::new_long(cents))));
    Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn uid(vocabulary: &Vocabulary, kind: &str, id: &str) -> Result<EntityUid, String> {
    vocabulary.uid(kind, id).ok_or_else(|| format!("the schema has no type `{kind}`"))
}

fn word_of(vocabulary: &Vocabulary, kind: &str, word: &str) -> Result<Expr, String> {
    Ok(Expr::new_entity_uid(uid(vocabulary, kind, word)?))
}

fn class_set(vocabulary: &Vocabulary, classes: &BTreeSet<ChangeClass>) -> Result<Expr, String> {
    let words = classes.iter().map(|class| word_of(vocabulary, "ChangeClass", class.as_str()));
    Ok(Expr::new_set(words.collect::<Result<Vec<_>, _>>()?))
}

fn texts<'t>(words: impl Iterator<Item = &'t str>) -> Expr {
    Expr::new_set(words.map(|word| Expr::new_string(word.to_owned())))
}
