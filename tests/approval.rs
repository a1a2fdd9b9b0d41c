//! Who can let a change go on, and who never can (S6, S7).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use wavegate::engine::approval::{Objection, Standing, Wanted, admit, standing};
use wavegate::model::approval::{Approval, ApprovalRequest, ApprovalRule};
use wavegate::model::ids::Digest;
use wavegate::model::principal::{Principal, PrincipalKind};
use wavegate::model::time::Millis;

const NOON: &str = "2026-11-21T12:00:00Z";

fn noon() -> Timestamp {
    NOON.parse().unwrap()
}

fn person(name: &str, party: &str, groups: &[&str]) -> Principal {
    let groups = groups.iter().map(|g| (*g).to_owned()).collect();
    Principal { name: name.into(), kind: PrincipalKind::Human, party: party.into(), groups }
}

fn request() -> ApprovalRequest {
    ApprovalRequest {
        rollout: "r-1".into(),
        digest: Digest::of_bytes(b"asked"),
        rule: ApprovalRule { count: 2, parties: 2, groups: BTreeMap::from([("database".into(), 1)]) },
        proposer: Principal { kind: PrincipalKind::Agent, ..person("kiro", "orders", &[]) },
        handed_in_by: None,
        through_wave: 2,
        key_figure: Some("replaces 1 database".into()),
        valid_for: Millis::from_secs(3600),
    }
}

fn answer(by: Principal) -> Approval {
    Approval {
        rollout: "r-1".into(),
        digest: Digest::of_bytes(b"asked"),
        by,
        through_wave: 2,
        confirm: Some("replaces 1 database".into()),
        at: noon(),
    }
}

fn refused(answer: &Approval) -> Objection {
    admit(&request(), &[], answer, noon()).unwrap_err()
}

#[test]
fn two_people_of_two_parties_and_the_group_release_it() {
    let (ada, bob) = (answer(person("ada", "platform", &["database"])), answer(person("bob", "security", &[])));
    assert_eq!(admit(&request(), &[], &ada, noon()), Ok(()));
    let wanted = Wanted { people: 1, parties: 1, groups: BTreeMap::new() };
    assert_eq!(standing(&request(), std::slice::from_ref(&ada), noon()), Standing::Wanting(wanted));
    assert_eq!(admit(&request(), std::slice::from_ref(&ada), &bob, noon()), Ok(()));
    assert_eq!(standing(&request(), &[ada, bob], noon()), Standing::Granted { through_wave: 2 });
}

#[test]
fn a_group_or_a_party_that_is_missing_is_said() {
    let both = [answer(person("ada", "platform", &[])), answer(person("bob", "platform", &[]))];
    let wanted = Wanted { people: 0, parties: 1, groups: BTreeMap::from([("database".into(), 1)]) };
    assert_eq!(standing(&request(), &both, noon()), Standing::Wanting(wanted));
}

#[test]
fn whoever_must_not_is_refused_with_the_reason() {
    let agent = Principal { kind: PrincipalKind::Agent, ..person("claude", "platform", &["database"]) };
    assert!(matches!(refused(&answer(agent)), Objection::NotAPerson { .. }));
    let service = Principal { kind: PrincipalKind::Service, ..person("ci", "platform", &[]) };
    assert!(matches!(refused(&answer(service)), Objection::NotAPerson { .. }));
    assert!(matches!(refused(&answer(person("eve", " Orders ", &[]))), Objection::ProposersParty { .. }));
    assert!(matches!(refused(&answer(person("eve", "", &[]))), Objection::ProposersParty { .. }));
    assert!(matches!(refused(&answer(person("Kiro", "platform", &[]))), Objection::ProposersParty { .. }));
    let ada = answer(person("ada", "platform", &[]));
    let again = admit(&request(), std::slice::from_ref(&ada), &answer(person(" ADA", "security", &[])), noon());
    assert!(matches!(again, Err(Objection::Again { .. })));
}

#[test]
fn what_was_not_looked_at_is_not_approved() {
    let ada = || answer(person("ada", "platform", &[]));
    assert!(matches!(
        refused(&Approval { digest: Digest::of_bytes(b"other"), ..ada() }),
        Objection::OtherDigest { .. }
    ));
    assert!(matches!(refused(&Approval { rollout: "r-2".into(), ..ada() }), Objection::OtherDigest { .. }));
    assert_eq!(refused(&Approval { through_wave: 3, ..ada() }), Objection::TooWide { asked: 3, given: 4 });
    for confirm in [None, Some("yes".to_owned()), Some("replaces 2 databases".to_owned())] {
        assert!(matches!(refused(&Approval { confirm, ..ada() }), Objection::NotConfirmed { .. }));
    }
}

#[test]
fn an_approval_ends_and_none_comes_from_the_future() {
    let both = [answer(person("ada", "platform", &["database"])), answer(person("bob", "security", &[]))];
    let at = |span: jiff::Span| standing(&request(), &both, noon().checked_add(span).unwrap());
    assert_eq!(at(59.minutes()), Standing::Granted { through_wave: 2 });
    assert!(matches!(at(60.minutes()), Standing::Wanting(_)));
    assert!(matches!(at((-1).seconds()), Standing::Wanting(_)));
}

#[test]
fn a_narrower_approval_lets_only_its_waves_go() {
    let narrow = Approval { through_wave: 0, ..answer(person("ada", "platform", &["database"])) };
    let both = [narrow, answer(person("bob", "security", &[]))];
    assert_eq!(standing(&request(), &both, noon()), Standing::Granted { through_wave: 0 });
}

fn anybody() -> impl Strategy<Value = Principal> {
    let kind = prop_oneof![Just(PrincipalKind::Agent), Just(PrincipalKind::Human), Just(PrincipalKind::Service)];
    let name = prop::sample::select(vec!["ada", "Ada", "bob", "kiro", "eve ", ""]);
    let party = prop::sample::select(vec!["orders", "ORDERS", "platform", "security", ""]);
    (name, kind, party, any::<bool>()).prop_map(|(name, kind, party, database)| {
        let groups = if database { BTreeSet::from(["database".to_owned()]) } else { BTreeSet::new() };
        Principal { name: name.into(), kind, party: party.into(), groups }
    })
}

fn any_answer() -> impl Strategy<Value = Approval> {
    (anybody(), 0..4_usize, any::<bool>(), any::<bool>(), -7200..7200_i64).prop_map(
        |(by, through_wave, right, says, at)| {
            let digest = Digest::of_bytes(if right { b"asked" } else { b"other" });
            let confirm = says.then(|| "replaces 1 database".to_owned());
            let at = noon().checked_add(at.seconds()).unwrap();
            Approval { digest, through_wave, confirm, at, ..answer(by) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// S6: whatever is answered, in whatever order, the proposer's party and agents release nothing.
    #[test]
    fn no_sequence_lets_the_proposers_party_or_an_agent_approve(
        answers in prop::collection::vec(any_answer(), 0..8), count in 1..3_u32,
    ) {
        let asked = ApprovalRequest { rule: ApprovalRule { count, ..ApprovalRule::default() }, ..request() };
        let mut taken: Vec<Approval> = Vec::new();
        for answer in answers {
            if admit(&asked, &taken, &answer, noon()).is_ok() {
                taken.push(answer);
            }
        }
        let apart = |p: &&Principal| p.kind == PrincipalKind::Human
            && !["", "orders"].contains(&p.party.to_lowercase().as_str())
            && !["", "kiro"].contains(&p.name.trim().to_lowercase().as_str());
        prop_assert!(taken.iter().all(|answer| apart(&&answer.by)));
        let people: BTreeSet<String> =
            taken.iter().map(|a| &a.by).filter(apart).map(|p| p.name.trim().to_lowercase()).collect();
        prop_assert_eq!(people.len(), taken.len());
        if let Standing::Granted { through_wave } = standing(&asked, &taken, noon()) {
            prop_assert!(people.len() >= count as usize);
            prop_assert!(through_wave <= asked.through_wave);
        }
    }

    /// Taking an answer away never lets more go on.
    #[test]
    fn removing_an_approval_never_releases(answers in prop::collection::vec(any_answer(), 1..8), gone in any::<prop::sample::Index>()) {
        let reach = |answers: &[Approval]| match standing(&request(), answers, noon()) {
            Standing::Granted { through_wave } => through_wave + 1,
            Standing::Wanting(_) => 0,
        };
        let all = reach(&answers);
        let mut fewer = answers.clone();
        fewer.remove(gone.index(answers.len()));
        prop_assert!(reach(&fewer) <= all);
    }
}
