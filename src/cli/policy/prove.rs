//! `policy prove`: for all requests that there can be, the policies hold back what a NEVER file describes; or one that they let
//! through. Cedar's symbolic compiler turns the question into logic, and cvc5 answers it.

use crate::cli::args::ProveArgs;
use crate::cli::call::{self, complain, show_json};
use crate::cli::complain::is_json;
use crate::cli::draw::say;
use crate::cli::exit::Exit;
use crate::engine::policy::Policies;
use crate::engine::policy::compile::Rule;
use crate::engine::policy::schema::{self, Vocabulary};
use crate::model::class::Autonomy;
use crate::model::document::Diagnostics;
use crate::model::safeguards::PolicyFile;
use anyhow::{Context as _, bail};
use cedar_policy::{Authorizer, Decision, EntityUid, PolicyId, PolicySet, RequestEnv};
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicySet, Env};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::str::FromStr as _;

/// `wavegate policy prove`
pub fn run(args: &ProveArgs) -> Exit {
    let (policies, never) = match (load(&args.policies, Policies::compile), load(&args.never, Policies::compile_never))
    {
        (Ok(policies), Ok(never)) => (policies, never),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let runtime = match call::runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    match runtime.block_on(prove(&policies, &never)) {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Refused,
        Err(error) => {
            complain(&format!("{error:#}"));
            Exit::Failed
        }
    }
}

type Compile = fn(&[PolicyFile]) -> Result<Policies, Vec<Diagnostics>>;

fn load(paths: &[PathBuf], compile: Compile) -> Result<Policies, Exit> {
    let files = paths.iter().map(|path| super::load(path)).collect::<Result<Vec<_>, _>>()?;
    compile(&files).map_err(|faults| {
        faults.iter().for_each(super::report);
        Exit::BadUsage
    })
}

/// What came out of one NEVER policy.
enum Outcome {
    /// In so many kinds of request it is held back.
    Proven(usize),
    /// It is let through, as this.
    LetThrough(Box<Env>),
    /// It describes no request that there can be: a proof would say nothing.
    Nothing,
}

async fn prove(policies: &Policies, never: &Policies) -> anyhow::Result<bool> {
    let solver = LocalSolver::cvc5().context(
        "the solver `cvc5` cannot be started: install it (on Debian: sudo apt-get install cvc5), or name it with CVC5",
    )?;
    let mut compiler = CedarSymCompiler::new(solver).map_err(broken)?;
    let mut proven = true;
    for rule in never.rules() {
        let held = held_back_by(policies, rule.unless)?;
        let outcome = prove_one(&mut compiler, &held, rule, never.vocabulary()).await;
        let place = format!("{}:{} `{}`", rule.file, rule.line, rule.id);
        let outcome = outcome.with_context(|| format!("{place} could not be decided"))?;
        proven = proven && matches!(outcome, Outcome::Proven(_));
        match is_json() {
            true => show_json(&as_json(&outcome, rule)),
            false => in_words(&outcome, &place, rule).iter().for_each(|line| say::say(line)),
        }
    }
    Ok(proven)
}

fn in_words(outcome: &Outcome, place: &str, rule: &Rule) -> Vec<String> {
    match outcome {
        Outcome::Proven(kinds) => vec![format!("proven      {place}  for all requests of {kinds} kinds")],
        Outcome::LetThrough(env) => {
            let first = format!("NOT PROVEN  {place}  the policies let this through:");
            [vec![first], shown(env, rule.unless)].concat()
        }
        Outcome::Nothing => {
            vec![format!("NOT PROVEN  {place}  describes no request that there can be: correct it")]
        }
    }
}

fn as_json(outcome: &Outcome, rule: &Rule) -> Value {
    let (proven, kinds, let_through) = match outcome {
        Outcome::Proven(kinds) => (true, Some(*kinds), None),
        Outcome::LetThrough(env) => (false, None, Some(shown(env, rule.unless))),
        Outcome::Nothing => (false, Some(0), None),
    };
    json!({
        "file": rule.file, "line": rule.line, "policy": rule.id.to_string(), "proven": proven, "kinds": kinds,
        "let_through": let_through,
    })
}

async fn prove_one(
    compiler: &mut CedarSymCompiler<LocalSolver>,
    held: &PolicySet,
    rule: &Rule,
    vocabulary: &Vocabulary,
) -> anyhow::Result<Outcome> {
    let described = described_by(rule)?;
    let envs: Vec<RequestEnv> = rule.policy.get_valid_request_envs(&vocabulary.schema).collect();
    let mut something = false;
    for env in &envs {
        let compile = |set| CompiledPolicySet::compile(set, env, &vocabulary.schema).map_err(broken);
        let (ours, theirs) = (compile(held)?, compile(&described)?);
        if let Some(found) = compiler.check_disjoint_with_counterexample_opt(&ours, &theirs).await.map_err(broken)? {
            confirm(held, &described, &found)?;
            return Ok(Outcome::LetThrough(Box::new(found)));
        }
        something = something || !compiler.check_always_denies_opt(&theirs).await.map_err(broken)?;
    }
    Ok(if something { Outcome::Proven(envs.len()) } else { Outcome::Nothing })
}

/// What lets requests through, where people have agreed to less than `unless`: a `forbid` that asks for that much still holds.
fn held_back_by(policies: &Policies, unless: Option<Autonomy>) -> anyhow::Result<PolicySet> {
    let holds = |rule: &&Rule| rule.permits() || rule.level() >= unless.unwrap_or(Autonomy::Forbidden);
    let held = policies.rules().iter().filter(holds).map(|rule| rule.policy.clone());
    let mut set = PolicySet::from_policies(held)?;
    if !policies.rules().iter().any(Rule::permits) {
        // As they are evaluated: where nothing is permitted, everything is that is not forbidden.
        set.add(cedar_policy::Policy::parse(
            Some(PolicyId::new("everything")),
            "permit(principal, action, resource);",
        )?)?;
    }
    Ok(set)
}

/// What the NEVER policy describes, of what there can be at all.
fn described_by(rule: &Rule) -> anyhow::Result<PolicySet> {
    let mut set = PolicySet::from_str(&schema::facts())?;
    set.add(rule.policy.clone())?;
    Ok(set)
}

/// The evaluator that decides at run time says the same as the solver.
fn confirm(held: &PolicySet, described: &PolicySet, found: &Env) -> anyhow::Result<()> {
    let allows =
        |set| Authorizer::new().is_authorized(&found.request, set, &found.entities).decision() == Decision::Allow;
    if allows(held) && allows(described) {
        return Ok(());
    }
    bail!("the solver's example is none to Cedar's evaluator; report this: one of the two is wrong")
}

/// The request, attribute by attribute.
fn shown(env: &Env, unless: Option<Autonomy>) -> Vec<String> {
    let named = |title: &str, uid: Option<&EntityUid>| {
        let mut lines = vec![format!("  {title:<9}  {}", uid.map(ToString::to_string).unwrap_or_default())];
        let entity = uid.and_then(|uid| env.entities.get(uid)).and_then(|entity| entity.to_json_value().ok());
        lines.extend(fields(entity.as_ref().and_then(|json| json.get("attrs"))));
        lines
    };
    let request = &env.request;
    let context = request.context().and_then(|context| context.to_json_value().ok());
    let mut lines = named("principal", request.principal());
    lines.push(format!("  {:<9}  {}", "action", request.action().map(ToString::to_string).unwrap_or_default()));
    lines.extend(named("resource", request.resource()));
    lines.push("  context".to_owned());
    lines.extend(fields(context.as_ref()));
    lines.extend(unless.map(|level| format!("  approved   by less than `{level}`")));
    lines
}

fn fields(json: Option<&Value>) -> Vec<String> {
    let fields = json.and_then(Value::as_object).into_iter().flatten();
    fields.map(|(name, value)| format!("             {name}: {}", plain(value))).collect()
}

/// A value without the wrapping that tells types apart.
fn plain(value: &Value) -> String {
    let wrapped = value.pointer("/__entity/id").or_else(|| value.pointer("/__extn/arg"));
    match (wrapped, value) {
        (Some(Value::String(word)), _) => word.clone(),
        (_, Value::Array(items)) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        _ => value.to_string(),
    }
}

fn broken(error: cedar_policy_symcc::err::Error) -> anyhow::Error {
    anyhow::Error::new(error)
}
