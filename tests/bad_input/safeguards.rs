//! What the words of safeguards mean: every value arrives, with the line that set it.

use super::{read_pipeline, root};
use wavegate::model::calendar::{Day, Proposers};
use wavegate::model::class::{Autonomy, ChangeClass};
use wavegate::model::ids::Digest;
use wavegate::model::pipeline::Pipeline;
use wavegate::model::price_book;
use wavegate::model::principal::PrincipalKind;
use wavegate::model::safeguards::{Approvals, AutonomyTable, FailureDomain, Guardrails, Safeguards, Set};
use wavegate::model::time::Millis;

fn text() -> String {
    std::fs::read_to_string(root().join("tests/bad_input/sound_safeguards.yaml")).unwrap()
}

fn read(text: &str) -> Pipeline {
    read_pipeline("small.yaml", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn sound() -> Safeguards {
    (*read(&text()).safeguards).clone()
}

/// The value with the line on which these words stand first.
fn set<T>(is: T, words: &str) -> Set<T> {
    let at = text().lines().position(|line| line.contains(words)).unwrap();
    Set { is, line: u32::try_from(at + 1).unwrap() }
}

#[test]
fn without_the_sections_everything_is_as_the_defaults_say() {
    let text = text();
    let bare = read(&text[..text.find("autonomy:").unwrap()]);
    assert_eq!(*bare.safeguards, Safeguards { file: "small.yaml".into(), ..Safeguards::default() });
}

#[test]
fn the_table_of_autonomy_arrives() {
    let AutonomyTable { rows, earned } = &sound().autonomy;
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["production", "staging"]);
    let table = sound().autonomy;
    let production = "production: {disruptive";
    assert_eq!(table.of("production", ChangeClass::Disruptive), set(Autonomy::TwoApprovals, production));
    assert_eq!(table.of("production", ChangeClass::Irreversible), set(Autonomy::Forbidden, production));
    assert_eq!(table.of("production", ChangeClass::InPlace), Set { is: Autonomy::Autonomous, line: 0 });
    assert_eq!(table.of("staging", ChangeClass::Opaque), set(Autonomy::OneApproval, "staging: {destructive"));
    assert_eq!(earned.unwrap().return_after, set(5, "return_after"));
}

#[test]
fn people_and_rules_arrive() {
    let Approvals { people, agents, one, two, valid_for } = sound().approvals;
    assert_eq!(people.keys().collect::<Vec<_>>(), ["alice", "bob", "carol"]);
    let alice = &people["alice"];
    assert_eq!((alice.name.as_str(), alice.party.as_str(), alice.kind), ("Alice", "payments", PrincipalKind::Human));
    assert!(people["bob"].groups.contains("sre") && people["bob"].groups.contains("dba"));
    assert_eq!((agents["kiro"].kind, agents["kiro"].party.as_str()), (PrincipalKind::Agent, "payments"));
    assert_eq!((one.is.count, one.is.parties, one.is.groups["sre"]), (1, 1, 1));
    assert_eq!((two.is.count, two.is.parties, two.is.groups["dba"]), (2, 2, 1));
    assert_eq!((one.line, two.line), (set((), "one_approval: {groups").line, set((), "two_approvals: {count").line));
    assert_eq!(valid_for, Millis::from_secs(2 * 3600));
}

#[test]
fn the_blast_radius_arrives() {
    let guardrail = sound().guardrails.blast_radius.unwrap();
    assert_eq!((guardrail.line, guardrail.dry_run), (set((), "blast_radius:").line, false));
    let rule = guardrail.rule;
    assert_eq!(rule.rollout.max_targets, Some(set(10, "rollout:")));
    assert_eq!(rule.rollout.max_resources, Some(set(200, "rollout:")));
    assert_eq!(rule.rollout.max_percent_of_traffic, Some(set(100.0, "rollout:")));
    assert_eq!(rule.at_once.max_targets, Some(set(3, "at_once:")));
    assert_eq!(rule.at_once.max_failure_domains, Some(set(1, "at_once:")));
    assert_eq!(rule.at_once.failure_domain, FailureDomain::Account);
    assert_eq!(rule.at_once.min_capacity_percent, Some(set(10.0, "at_once:")));
    let window = rule.window.unwrap();
    assert_eq!(window.per, Millis::from_secs(24 * 3600));
    assert_eq!(window.agent.max_targets, Some(set(20, "agent: {max_targets")));
    assert_eq!(window.pipeline.max_targets, None);
    assert_eq!(window.fleet.max_resources, Some(set(5000, "fleet: {max_resources")));
}

#[test]
fn the_calendar_arrives() {
    let guardrail = sound().guardrails.calendar.unwrap();
    assert!(guardrail.dry_run);
    let calendar = guardrail.rule;
    assert_eq!(calendar.time_zone, "Europe/Berlin");
    let weekly = &calendar.weekly_windows[0];
    assert!(weekly.days.iter().eq(&[Day::Mon, Day::Tue, Day::Wed, Day::Thu]));
    assert_eq!((weekly.from.to_string(), weekly.to.to_string()), ("09:00:00".into(), "16:00:00".into()));
    assert_eq!(weekly.applies_to, Proposers::Agents);
    let once = &calendar.one_time_windows[0];
    assert_eq!((once.from.to_string(), once.applies_to), ("2026-12-05T09:00:00".into(), Proposers::Everyone));
    assert_eq!(calendar.freezes[0].to.to_string(), "2027-01-04T00:00:00");
    assert_eq!(calendar.freezes[0].reason, "year's end");
}

#[test]
fn the_smaller_guardrails_arrive() {
    let Guardrails { rate, cost, dependents, drift, environment_order, kill_drill, .. } = sound().guardrails;
    let rate = rate.unwrap().rule;
    assert_eq!(
        (rate.per, rate.agent, rate.fleet),
        (Millis::from_secs(3600), Some(set(5, "rate:")), Some(set(0, "rate:")))
    );
    let cost = cost.unwrap().rule;
    assert_eq!((cost.max_monthly_increase, cost.over), (set(500.5, "cost:"), Autonomy::TwoApprovals));
    assert_eq!(cost.price_book.file, "prices.yaml");
    assert_eq!(dependents.unwrap().rule.imported, set(Autonomy::OneApproval, "dependents:"));
    let drift = drift.unwrap().rule;
    assert_eq!(drift.drifted, set(Autonomy::TwoApprovals, "drift:"));
    assert_eq!(drift.unknown, set(Autonomy::Autonomous, "drift:"));
    assert_eq!(drift.max_age, Millis::from_secs(12 * 3600));
    let order = environment_order.unwrap().rule;
    assert_eq!(order.order, set(vec!["staging".to_owned(), "production".into()], "environment_order:"));
    assert_eq!(order.sign_off.is, ["staging"]);
    let drill = kill_drill.unwrap();
    assert_eq!(drill.rule.max_age, set(Millis::from_secs(14 * 24 * 3600), "kill_drill:"));
    assert!(!drill.dry_run);
}

#[test]
fn what_a_guardrail_leaves_out_is_the_safe_choice() {
    let text = text().replace("unknown: autonomous, max_age: 12h", "max_age: 12h").replace(", over: two_approvals", "");
    let Guardrails { cost, drift, .. } = read(&text).safeguards.guardrails.clone();
    assert_eq!(drift.unwrap().rule.unknown, Set { is: Autonomy::TwoApprovals, line: 0 });
    assert_eq!(cost.unwrap().rule.over, Autonomy::OneApproval);
}

#[test]
fn policy_files_arrive_as_they_are() {
    let policies = sound().policies;
    let policy = &policies[0];
    assert_eq!((policy.file.as_str(), policy.dry_run), ("policies/sound.cedar", true));
    assert_eq!(policy.digest, Digest::of_bytes(policy.text.as_bytes()));
    assert_eq!(policy.line, set((), "policies/sound.cedar").line);
}

#[test]
fn a_pipeline_without_files_beside_it_cannot_name_one() {
    let faults = wavegate::model::pipeline::read::read("x", text().as_bytes()).unwrap_err();
    assert!(faults.all.iter().all(|fault| fault.message.contains("without files beside it")), "{faults}");
    assert_eq!(faults.all.len(), 2);
}

#[test]
fn the_faults_of_a_price_book_are_told_in_its_own_file() {
    let broken = text().replace("prices.yaml", "broken-prices.yaml");
    let faults = read_pipeline("small.yaml", broken.as_bytes()).unwrap_err();
    assert_eq!(faults.all.len(), 1);
    assert_eq!(faults.beside[0].file, "broken-prices.yaml");
    let shown = faults.to_string();
    assert!(shown.contains("--> small.yaml:") && shown.contains("--> broken-prices.yaml:"), "{shown}");
}

#[test]
fn a_price_book_arrives() {
    let bytes = std::fs::read(root().join("tests/bad_input/sound_prices.yaml")).unwrap();
    let book = price_book::read::read("prices.yaml", &bytes).unwrap();
    assert_eq!((book.dated.to_string().as_str(), book.max_age_days, book.currency.as_str()), ("2026-11-01", 90, "USD"));
    assert_eq!(book.digest, Digest::of_bytes(&bytes));
    let databases = &book.prices["AWS::RDS::DBInstance"];
    assert_eq!(databases.len(), 2);
    assert_eq!(databases[0].when["MultiAZ"], "true");
    assert_eq!((databases[1].monthly, databases[1].monthly_per["AllocatedStorage"]), (190.0, 0.115));
    assert_eq!((databases[0].line, databases[1].line), (8, 11));
    assert_eq!(book.prices["AWS::AutoScaling::AutoScalingGroup"][0].times.as_deref(), Some("DesiredCapacity"));
    assert_eq!(book.prices["AWS::SQS::Queue"][0].monthly, 0.0);
    assert!(price_book::read::is_price_book(&bytes) && !price_book::read::is_price_book(text().as_bytes()));
}
