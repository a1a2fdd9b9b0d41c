//! The monthly difference, resource by resource.

use crate::fixture::*;
use std::collections::BTreeMap;
use wavegate::engine::guardrail::cost;
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Consequence, Found, Reason};
use wavegate::model::ids::Digest;
use wavegate::model::preview::{
    ChangeDetail, PolicyAction, Preview, PreviewContext, Replacement, ResourceAction, ResourceChange, Sizes,
};
use wavegate::model::price_book::{Price, PriceBook};
use wavegate::model::safeguards::{Cost, Guardrails, Safeguards};
use wavegate::model::state::State;

const DB: &str = "AWS::RDS::DBInstance";
const GROUP: &str = "AWS::AutoScaling::AutoScalingGroup";
const NAT: &str = "AWS::EC2::NatGateway";

fn price(when: &[(&str, &str)], monthly: f64, per: &[(&str, f64)], times: Option<&str>) -> Price {
    Price {
        when: when.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        monthly,
        monthly_per: per.iter().map(|(k, v)| ((*k).into(), *v)).collect(),
        times: times.map(Into::into),
        line: 3,
    }
}

fn book() -> PriceBook {
    let small = price(&[("DBInstanceClass", "db.t4g.small")], 25.0, &[("AllocatedStorage", 0.1)], None);
    let large = price(&[("DBInstanceClass", "db.r6g.large")], 160.0, &[("AllocatedStorage", 0.1)], None);
    PriceBook {
        file: "prices.yaml".into(),
        digest: Digest::of_bytes(b""),
        dated: "2027-01-01".parse().unwrap(),
        max_age_days: 30,
        currency: "USD".into(),
        prices: BTreeMap::from([
            (DB.into(), vec![small, large]),
            (GROUP.into(), vec![price(&[], 30.0, &[], Some("DesiredCapacity"))]),
            (NAT.into(), vec![price(&[], 32.5, &[], None)]),
            ("AWS::Events::EventBus".into(), vec![price(&[], 0.0, &[], None)]),
        ]),
    }
}

fn capped(max: f64, book: PriceBook) -> Safeguards {
    let rule = Cost { price_book: book, max_monthly_increase: set(max), over: Autonomy::OneApproval };
    Safeguards { guardrails: Guardrails { cost: guardrail(rule), ..Guardrails::default() }, ..Safeguards::default() }
}

type Change = (ResourceChange, Option<Sizes>);

fn rollout(safeguards: Safeguards, changes: &[Change]) -> State {
    let mut state = one(safeguards, &places(1));
    let target = target(&mut state, "r", "c0");
    target.changes = changes.iter().map(|(change, _)| change.clone()).collect();
    let known = changes.iter().filter_map(|(change, sizes)| Some((change.logical_id.clone(), sizes.clone()?)));
    target.context = Some(Box::new(PreviewContext { exports: None, sizes: known.collect() }));
    state
}

fn ask(max: f64, changes: &[Change]) -> Vec<Found> {
    cost::costs(r(&rollout(capped(max, book()), changes)), NOW).found
}

/// What grows, and what has no price; none: nothing was found under a cap that nothing keeps.
fn grows(changes: &[Change]) -> (f64, BTreeMap<String, u32>) {
    match ask(-1.0, changes).pop().unwrap().what {
        Reason::Costs { monthly, unpriced, .. } => (monthly, unpriced),
        other => panic!("{other:?}"),
    }
}

fn net(changes: &[Change]) -> Option<f64> {
    cost::costs(r(&rollout(capped(0.0, book()), changes)), NOW).monthly
}

fn db(class: &'static str, storage: &'static str) -> [(&'static str, &'static str); 2] {
    [("DBInstanceClass", class), ("AllocatedStorage", storage)]
}

fn add(name: &str, kind: &str, after: &[(&str, &str)]) -> Change {
    (resource(ResourceAction::Add, name, kind), Some(sizes(None, Some(after))))
}

fn modify(name: &str, kind: &str, before: &[(&str, &str)], after: &[(&str, &str)]) -> Change {
    (resource(ResourceAction::Modify, name, kind), Some(sizes(Some(before), Some(after))))
}

fn remove(name: &str, kind: &str, before: &[(&str, &str)]) -> Change {
    (resource(ResourceAction::Remove, name, kind), Some(sizes(Some(before), None)))
}

fn none() -> BTreeMap<String, u32> {
    BTreeMap::new()
}

fn unpriced(kind: &str) -> BTreeMap<String, u32> {
    BTreeMap::from([(kind.to_owned(), 1)])
}

#[test]
fn the_first_price_that_fits_with_its_units_and_its_count() {
    assert_eq!(grows(&[add("A", DB, &db("db.t4g.small", "100"))]), (35.0, none()));
    assert_eq!(grows(&[modify("A", DB, &db("db.t4g.small", "100"), &db("db.r6g.large", "200"))]), (145.0, none()));
    assert_eq!(grows(&[add("G", GROUP, &[("DesiredCapacity", "4")])]), (120.0, none()));
    assert_eq!(grows(&[add("N", NAT, &[]), add("M", NAT, &[])]), (65.0, none()));
}

#[test]
fn the_cap_itself_is_not_over() {
    let grown = [add("G", GROUP, &[("DesiredCapacity", "2")])];
    assert_eq!(ask(60.0, &grown), []);
    let found = ask(59.99, &grown);
    let what = Reason::Costs { monthly: 60.0, max: 59.99, currency: "USD".into(), unpriced: none(), outdated: false };
    assert_eq!(found[0].what, what);
    let rule = "guardrails.cost.max_monthly_increase";
    assert_eq!(rules(&found), [(rule, Consequence::Needs(Autonomy::OneApproval))]);
    let mut safeguards = capped(0.0, book());
    safeguards.guardrails.cost.as_mut().unwrap().dry_run = true;
    assert!(cost::costs(r(&rollout(safeguards, &grown)), NOW).found[0].dry_run);
}

#[test]
fn savings_are_in_the_figures_and_buy_nothing() {
    let both = [add("G", GROUP, &[("DesiredCapacity", "3")]), remove("N", NAT, &[])];
    assert_eq!(grows(&both), (90.0, none()));
    assert_eq!(net(&both), Some(57.5));
    assert_eq!(net(&[modify("G", GROUP, &[("DesiredCapacity", "3")], &[("DesiredCapacity", "1")])]), Some(-60.0));
}

#[test]
fn what_is_kept_goes_on_to_cost() {
    let mut kept = remove("N", NAT, &[]);
    kept.0.policy_action = Some(PolicyAction::Retain);
    assert_eq!(net(&[kept]), Some(0.0));
    let mut twice = modify("N", NAT, &[], &[]);
    twice.0.replacement = Some(Replacement::True);
    assert_eq!(net(&[twice.clone()]), Some(0.0));
    twice.0.policy_action = Some(PolicyAction::ReplaceAndRetain);
    assert_eq!(net(&[twice]), Some(32.5));
}

#[test]
fn what_is_not_known_has_no_price_and_counts_as_over() {
    for after in [&[("DBInstanceClass", "db.t4g.small")][..], &db("db.t4g.small", "much"), &db("db.x", "1")] {
        assert_eq!(grows(&[add("A", DB, after)]), (0.0, unpriced(DB)), "{after:?}");
        assert_eq!(ask(1e9, &[add("A", DB, after)]).len(), 1);
        assert_eq!(net(&[add("A", DB, after)]), None);
    }
    // A price that asks for what is not known is not passed over for a later one.
    assert_eq!(grows(&[add("A", DB, &[("AllocatedStorage", "1")])]), (0.0, unpriced(DB)));
    // Nobody said what the sizes are.
    assert_eq!(grows(&[(resource(ResourceAction::Modify, "A", DB), None)]), (0.0, unpriced(DB)));
    assert_eq!(grows(&[(resource(ResourceAction::Dynamic, "A", DB), None)]), (0.0, unpriced(DB)));
    assert_eq!(grows(&[add("A", GROUP, &[("DesiredCapacity", "NaN")])]), (0.0, unpriced(GROUP)));
}

#[test]
fn a_type_that_the_book_does_not_have() {
    let redshift = "AWS::Redshift::Cluster";
    let alarm = "AWS::CloudWatch::Alarm";
    assert_eq!(grows(&[add("A", alarm, &[])]), (0.0, unpriced(alarm)));
    assert_eq!(ask(0.0, &[(resource(ResourceAction::Modify, "A", alarm), None)]), []);
    assert_eq!(ask(0.0, &[remove("A", redshift, &[("NodeType", "x")])]), []);
    let grown = modify("A", redshift, &[("NumberOfNodes", "1")], &[("NumberOfNodes", "2")]);
    assert_eq!(grows(&[grown]), (0.0, unpriced(redshift)));
    for free in ["AWS::IAM::Role", "AWS::SQS::Queue", "AWS::Events::EventBus"] {
        assert_eq!(ask(0.0, &[add("A", free, &[])]), [], "{free}");
    }
}

#[test]
fn a_change_that_no_price_depends_on_costs_nothing() {
    let mut tags = (resource(ResourceAction::Modify, "A", DB), None);
    tags.0.scope = vec!["Tags".into()];
    assert_eq!(ask(0.0, &[tags]), []);
    let mut other = (resource(ResourceAction::Modify, "A", DB), None);
    other.0.details = vec![ChangeDetail::from("Properties.BackupRetentionPeriod Never Static DirectModification")];
    assert_eq!(ask(0.0, &[other]), []);
    let same = modify("A", DB, &db("db.t4g.small", "1"), &db("db.t4g.small", "1"));
    assert_eq!(ask(0.0, &[same]), []);
    // The same as before, as far as it is known: what changes is not.
    let mut doubt = modify("A", DB, &[], &[]);
    doubt.0.details = vec![ChangeDetail::from("Properties.Iops Never Dynamic ParameterReference Iops")];
    assert_eq!(grows(&[doubt]), (0.0, unpriced(DB)));
    assert_eq!(ask(0.0, &[(resource(ResourceAction::Import, "A", DB), None)]), []);
}

#[test]
fn nested_stacks_are_looked_into_or_have_no_price() {
    let mut stack = resource(ResourceAction::Modify, "Storage", "AWS::CloudFormation::Stack");
    assert_eq!(grows(&[(stack.clone(), None)]), (0.0, unpriced("AWS::CloudFormation::Stack")));
    stack.nested = Some(Box::new(Preview { changes: vec![resource(ResourceAction::Add, "G", GROUP)] }));
    let mut state = rollout(capped(0.0, book()), &[(stack, None)]);
    let grown = sizes(None, Some(&[("DesiredCapacity", "2")]));
    let context = PreviewContext { exports: None, sizes: BTreeMap::from([("Storage/G".into(), grown)]) };
    target(&mut state, "r", "c0").context = Some(Box::new(context));
    assert_eq!(cost::costs(r(&state), NOW).monthly, Some(60.0));
}

#[test]
fn an_old_book_counts_as_none_where_a_price_is_needed() {
    let aged = |max_age_days| PriceBook { max_age_days, ..book() };
    let grown = [add("N", NAT, &[])];
    let ask = |book, changes: &[Change]| cost::costs(r(&rollout(capped(1e9, book), changes)), NOW).found;
    assert_eq!(ask(aged(14), &grown), []);
    let found = ask(aged(13), &grown);
    assert!(matches!(found[0].what, Reason::Costs { outdated: true, .. }));
    assert_eq!(ask(aged(13), &[(resource(ResourceAction::Modify, "A", "AWS::IAM::Role"), None)]), []);
    let ahead = PriceBook { dated: "2027-03-01".parse().unwrap(), ..book() };
    assert_eq!(ask(ahead, &grown).len(), 1);
}

#[test]
fn a_target_without_a_preview_has_no_price() {
    let mut state = rollout(capped(1e9, book()), &[]);
    target(&mut state, "r", "c0").classified = None;
    assert_eq!(cost::costs(r(&state), NOW).found.len(), 1);
}
