//! Policies in Cedar: what they find, what is refused with its place, and that asking about groups is as good as asking about each
//! target. `tests/policy/` holds bad files and, beside them, what a person is shown; `UPDATE_GOLDENS=1` writes that anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::path::{Path, PathBuf};
use wavegate::engine::policy::{Policies, findings, schema};
use wavegate::model::class::{Autonomy, ChangeClass};
use wavegate::model::decision::{Consequence, Decision, Reason};
use wavegate::model::ids::Digest;
use wavegate::model::safeguards::PolicyFile;

#[path = "policy/world.rs"]
mod world;

#[path = "policy/same.rs"]
mod same;

#[path = "policy/shipped.rs"]
mod shipped;

use world::{World, production};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str, text: &str) -> PolicyFile {
    PolicyFile {
        file: name.into(),
        digest: Digest::of_bytes(text.as_bytes()),
        text: text.into(),
        dry_run: false,
        line: 1,
    }
}

fn on_trial(name: &str, text: &str) -> PolicyFile {
    PolicyFile { dry_run: true, ..file(name, text) }
}

fn compiled(text: &str) -> Policies {
    Policies::compile(&[file("a.cedar", text)]).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn faults(files: &[PolicyFile]) -> String {
    let faults = Policies::compile(files).expect_err("it compiles");
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// What a file must hold: compared, or written where `UPDATE_GOLDENS` is set. The difference, or nothing.
fn golden(file: &Path, found: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(file, found).unwrap();
        return None;
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    (kept != found).then(|| format!("{} is not current.\n--- kept\n{kept}\n--- found\n{found}", file.display()))
}

#[test]
fn golden_schema_is_that_of_our_types() {
    assert_eq!(golden(&root().join("pipelines/policies/wavegate.cedarschema"), &schema::text()), None);
    for class in ChangeClass::ALL {
        assert!(schema::text().contains(&format!("\"{class}\"")), "{class}");
    }
    let words = |values: Vec<serde_json::Value>| {
        values.iter().for_each(|value| assert!(schema::text().contains(&value.to_string()), "{value}"));
    };
    words(schema::LEVELS.map(|level| serde_json::to_value(level).unwrap()).to_vec());
    words(schema::REVERSIBILITIES.map(|verdict| serde_json::to_value(verdict).unwrap()).to_vec());
    words(schema::STACK_ACTIONS.map(|action| serde_json::to_value(action).unwrap()).to_vec());
}

#[test]
fn golden_faults_name_their_place() {
    let mut inputs: Vec<PathBuf> =
        std::fs::read_dir(root().join("tests/policy")).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| path.extension().is_some_and(|e| e == "cedar"));
    inputs.sort();
    assert!(inputs.len() >= 15, "{inputs:?}");
    let mut differences = Vec::new();
    for path in inputs {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = faults(&[file(&name, &std::fs::read_to_string(&path).unwrap())]);
        assert!(found.contains(&format!("{name}:")) && found.contains("help: "), "{name}: {found}");
        differences.extend(golden(&path.with_extension("txt"), &format!("{found}\n")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn bounds_hold() {
    let large = format!("// {}\npermit(principal, action, resource);", "x".repeat(128 * 1024));
    assert!(faults(&[file("a.cedar", &large)]).contains("are the most"));
    let deep =
        format!("forbid(principal, action, resource) when {{ {}true{} }};", "(".repeat(60_000), ")".repeat(60_000));
    assert!(faults(&[file("a.cedar", &deep)]).contains("brackets within more than 50 brackets"));
    let bangs = format!("forbid(principal, action, resource) when {{ {}true }};", "!".repeat(60_000));
    assert!(faults(&[file("a.cedar", &bangs)]).contains("a.cedar:1"));
    let many = "forbid(principal is Agent, action, resource);\n".repeat(501);
    assert!(faults(&[file("a.cedar", &many)]).contains("501 policies, and 500 are the most"));
    let files: Vec<_> =
        (0..51).map(|n| file(&format!("{n}.cedar"), "permit(principal is Agent, action, resource);")).collect();
    assert!(faults(&files).contains("more than 50 policy files"));
}

#[test]
fn faults_across_files_are_found_where_they_stand() {
    let one = "@id(\"x\")\nforbid(principal is Agent, action, resource);";
    let two = "// so\n@id(\"x\")\nforbid(principal is Service, action, resource);";
    let found = faults(&[file("one.cedar", one), on_trial("two.cedar", two)]);
    assert!(found.contains("the id `x` is that of one.cedar:1 already") && found.contains("two.cedar:2:1"), "{found}");
    let all = file("all.cedar", "forbid(principal, action, resource);");
    let some = file("some.cedar", "\npermit(principal is Human, action == Action::\"additive\", resource);");
    let found = faults(&[some.clone(), all.clone()]);
    assert!(
        found.contains("can never permit anything: all.cedar:1 forbids all of it") && found.contains("some.cedar:2"),
        "{found}"
    );
    // On trial it takes nothing away, and what a person can approve is not taken away either.
    assert!(
        Policies::compile(&[some.clone(), PolicyFile { dry_run: true, ..all }]).is_err(),
        "alone it forbids everything"
    );
    let asks = file("asks.cedar", "@requires(\"one_approval\") forbid(principal, action, resource);");
    assert!(Policies::compile(&[some, asks]).is_ok());
}

#[test]
fn without_policies_nothing_is_found() {
    let none = Policies::compile(&[]).unwrap();
    assert_eq!(findings(&none, &World::of(production(3)).question()), vec![]);
}

#[test]
fn a_forbid_that_applies_wins_and_says_where_it_stands() {
    let text = "permit(principal, action, resource);\n\n@id(\"keep\")\n@message(\"keep it\")\nforbid(principal is Agent, action == \
                Action::\"destructive\", resource) when { resource.environment == \"production\" };";
    let mut world = World::of(production(4));
    world.targets[1].classes.insert(ChangeClass::Destructive);
    world.targets[3].classes.insert(ChangeClass::Destructive);
    let found = findings(&compiled(text), &world.question());
    let [one] = found.as_slice() else { panic!("{found:?}") };
    let what = Reason::PolicyForbids {
        policy: "keep".into(),
        message: Some("keep it".into()),
        targets: 2,
        example: world.targets[1].id.clone(),
    };
    assert_eq!(one.what, what);
    assert_eq!((one.follows, one.dry_run), (Consequence::Needs(Autonomy::Forbidden), false));
    let cause = one.cause.as_ref().unwrap();
    assert_eq!((cause.file.as_str(), cause.line, cause.rule.as_str()), ("a.cedar", 3, "keep"));
}

#[test]
fn without_an_id_a_policy_is_known_by_its_line() {
    let found =
        findings(&compiled("\n\nforbid(principal is Agent, action, resource);"), &World::of(production(1)).question());
    assert!(matches!(&found[0].what, Reason::PolicyForbids { policy, .. } if policy == "a.cedar:3"), "{found:?}");
}

#[test]
fn a_forbid_may_ask_for_people_instead() {
    let text = "@requires(\"one_approval\") forbid(principal is Agent, action, resource);\n\
                @requires(\"two_approvals\") forbid(principal is Human, action, resource);";
    let found = findings(&compiled(text), &World::of(production(2)).question());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].follows, Consequence::Needs(Autonomy::OneApproval));
    assert_eq!(found[0].follows.decision(), Decision::NeedApproval);
}

#[test]
fn where_there_is_a_permit_what_none_allows_is_refused() {
    let text = "permit(principal, action == Action::\"in_place\", resource) when { resource.region == \"eu-west-1\" };";
    let mut world = World::of(production(3));
    assert_eq!(findings(&compiled(text), &world.question()), vec![]);
    // One class of two is not enough.
    world.targets[2].classes.insert(ChangeClass::Additive);
    let found = findings(&compiled(text), &world.question());
    let example = world.targets[2].id.clone();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].what, Reason::PolicyPermitsNot { targets: 1, example });
    assert_eq!(found[0].follows, Consequence::Needs(Autonomy::Forbidden));
    assert_eq!(found[0].cause.as_ref().unwrap().line, 1);
    // A second policy may allow the other class, also from another file, and through another lens.
    let more = file("b.cedar", "permit(principal, action == Action::\"additive\", resource);");
    let both = Policies::compile(&[file("a.cedar", text), more]).unwrap();
    assert_eq!(findings(&both, &world.question()), vec![]);
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let text = "@id(\"sum\") forbid(principal, action, resource) when { context.targets * 9223372036854775807 > 5 };";
    let found = findings(&compiled(text), &World::of(production(2)).question());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        matches!(&found[0].what, Reason::PolicyFailed { policy, error } if policy == "sum" && error.contains("overflow"))
    );
    assert_eq!(found[0].follows, Consequence::Needs(Autonomy::Forbidden));
    let text = text.replace("forbid", "permit");
    let found = findings(&compiled(&text), &World::of(production(2)).question());
    assert!(found.iter().any(|f| matches!(f.what, Reason::PolicyFailed { .. })), "{found:?}");
}

#[test]
fn a_file_on_trial_only_records() {
    let trial = on_trial(
        "t.cedar",
        "permit(principal is Human, action, resource);\nforbid(principal is Agent, action, resource);",
    );
    let world = World::of(production(2));
    let found = findings(&Policies::compile(std::slice::from_ref(&trial)).unwrap(), &world.question());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|f| f.dry_run));
    // Where `permit`s are in force, those on trial can only allow more.
    let force = file("f.cedar", "permit(principal, action, resource);");
    let found = findings(&Policies::compile(&[force, trial]).unwrap(), &world.question());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(matches!(found[0].what, Reason::PolicyForbids { .. }) && found[0].dry_run);
}

#[test]
fn names_are_compared_in_lower_case() {
    let text = "forbid(principal == Agent::\"kiro\", action, resource) when { principal.party == \"vendor\" };";
    let mut world = World::of(production(1));
    world.proposer.name = " Kiro ".into();
    world.proposer.party = "Vendor".into();
    assert_eq!(findings(&compiled(text), &world.question()).len(), 1);
}

#[test]
fn one_target_can_be_named() {
    let text = "forbid(principal, action, resource == Target::\"prod-2/orders\");";
    let world = World::of(production(4));
    let found = findings(&compiled(text), &world.question());
    assert!(
        matches!(&found[0].what, Reason::PolicyForbids { targets: 1, example, .. } if example.as_str() == "prod-2/orders")
    );
}

#[test]
fn whatever_is_unknown_of_the_cost_can_be_refused() {
    let text =
        "forbid(principal, action, resource) unless { context has monthly_cents && context.monthly_cents <= 50000 };";
    let mut world = World::of(production(1));
    assert_eq!(findings(&compiled(text), &world.question()).len(), 1);
    world.monthly_cents = Some(50_000);
    assert_eq!(findings(&compiled(text), &world.question()), vec![]);
    world.monthly_cents = Some(50_001);
    assert_eq!(findings(&compiled(text), &world.question()).len(), 1);
}
