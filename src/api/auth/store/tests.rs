//! The file of tokens: what it takes, what it refuses, and that nothing of it is lost.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

fn wanted(name: &str, kind: PrincipalKind, roles: &[Role]) -> Wanted {
    Wanted {
        name: name.into(),
        kind,
        party: "platform".into(),
        roles: roles.iter().copied().collect(),
        groups: BTreeSet::new(),
        life: Duration::from_secs(3600),
    }
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn later(hours: i64) -> Timestamp {
    now() + SignedDuration::from_hours(hours)
}

fn place() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::of(&dir.path().join("state"));
    (dir, store)
}

#[test]
fn a_token_is_kept_without_itself() {
    let (_dir, store) = place();
    let (token, kept) = store.create(wanted("kiro", PrincipalKind::Agent, &[Role::Proposer]), "root", now()).unwrap();
    assert!(kept.is(token.reveal()));
    let text = std::fs::read_to_string(&store.path).unwrap();
    // The secret's own letters hold that sign, too.
    let secret = token.reveal().splitn(3, '_').last().unwrap();
    assert!(!text.contains(token.reveal()) && !text.contains(secret));
    assert!(text.contains("\"created_by\": \"root\"") && text.contains("\"version\": 1"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&store.path), mode(&store.dir), mode(&store.dir.join("tokens.lock"))), (0o600, 0o700, 0o600));
    assert_eq!(store.read().unwrap().0.into_values().collect::<Vec<_>>(), [kept]);
}

#[test]
fn what_nobody_may_have_is_refused_with_the_reason() {
    let (_dir, store) = place();
    let human = PrincipalKind::Human;
    let long = "a".repeat(101);
    let cases = [
        (wanted("", human, &[Role::Author]), "the name is empty"),
        (wanted(" ", human, &[Role::Author]), "the name is empty"),
        (wanted("a\nb", human, &[Role::Author]), "the name holds control characters"),
        (wanted(&long, human, &[Role::Author]), "the name is longer than 100"),
        (wanted("0123abcd", human, &[Role::Author]), "the name `0123abcd` reads like a token's id"),
        (wanted("a", human, &[]), "`a` has no role"),
        (wanted("a", PrincipalKind::Agent, &[Role::Approver]), "an agent cannot be approver"),
        (wanted("a", PrincipalKind::Agent, &[Role::Proposer, Role::Operator]), "an agent cannot be operator"),
        (wanted("a", PrincipalKind::Service, &[Role::Approver]), "a service cannot be approver"),
        (Wanted { life: Duration::ZERO, ..wanted("a", human, &[Role::Author]) }, "a token lives for at most 366 days"),
        (Wanted { life: LIFE_MAX * 2, ..wanted("a", human, &[Role::Author]) }, "a token lives for at most 366 days"),
    ];
    for (wanted, expected) in cases {
        let found = store.create(wanted, "root", now()).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{expected}: {found}");
    }
    assert!(!store.path.exists());
}

#[test]
fn one_name_is_one_kind_of_principal() {
    let (_dir, store) = place();
    let (_, person) = store.create(wanted("alice", PrincipalKind::Human, &[Role::Approver]), "root", now()).unwrap();
    let agent = || wanted("Alice ", PrincipalKind::Agent, &[Role::Proposer]);
    let found = store.create(agent(), "root", now()).unwrap_err().to_string();
    assert!(found.starts_with("`alice` is human already"), "{found}");
    // The next token of the same person, before the last one is revoked.
    store.create(wanted("alice", PrincipalKind::Human, &[Role::Approver]), "root", now()).unwrap();
    assert_eq!(store.revoke("alice", "bob", later(0)).unwrap().len(), 2);
    store.create(agent(), "root", now()).unwrap();
    assert_eq!(store.read().unwrap().0[&person.id].revoked, Some(Revoked { at: now(), by: "bob".into() }));
}

#[test]
fn a_token_is_revoked_by_its_id_or_its_name_once() {
    let (_dir, store) = place();
    let make = |name| store.create(wanted(name, PrincipalKind::Human, &[Role::Author]), "root", now()).unwrap().1.id;
    let (a, b, other) = (make("a"), make("a"), make("other"));
    assert!(matches!(store.revoke("nobody", "root", now()), Err(StoreError::Refused(_))));
    assert_eq!(store.revoke(&format!("t-{a}"), "root", now()).unwrap()[0].id, a);
    assert_eq!(store.revoke(&a, "eve", now()).unwrap(), []);
    assert_eq!(store.revoke("A", "root", now()).unwrap().into_iter().map(|kept| kept.id).collect::<Vec<_>>(), [b]);
    let tokens = store.read().unwrap().0;
    assert_eq!(tokens[&other].standing(now()), Standing::Active);
    assert_eq!(tokens[&a].revoked.as_ref().unwrap().by, "root");
}

#[test]
fn a_token_that_ended_is_remembered_for_a_year() {
    let (_dir, store) = place();
    let (_, old) = store.create(wanted("a", PrincipalKind::Human, &[Role::Author]), "root", now()).unwrap();
    assert_eq!((old.standing(now()), old.standing(later(1))), (Standing::Active, Standing::Expired));
    store.create(wanted("b", PrincipalKind::Human, &[Role::Author]), "root", later(365 * 24)).unwrap();
    assert!(store.read().unwrap().0.contains_key(&old.id));
    store.create(wanted("c", PrincipalKind::Human, &[Role::Author]), "root", later(368 * 24)).unwrap();
    assert!(!store.read().unwrap().0.contains_key(&old.id));
}

#[test]
fn what_cannot_be_trusted_is_refused_and_left_as_it_is() {
    let (_dir, store) = place();
    store.create(wanted("a", PrincipalKind::Human, &[Role::Author]), "root", now()).unwrap();
    let sound = std::fs::read_to_string(&store.path).unwrap();
    let refuses = |text: &str, expected: &str| {
        std::fs::write(&store.path, text).unwrap();
        let found = store.read().unwrap_err().to_string();
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains("canary"), "{found}");
        let again = store.create(wanted("b", PrincipalKind::Human, &[Role::Author]), "root", now());
        assert_eq!(again.unwrap_err().to_string(), found);
        assert_eq!(std::fs::read_to_string(&store.path).unwrap(), text);
    };
    refuses("", "cannot be understood");
    refuses(&sound[..sound.len() / 2], "cannot be understood");
    refuses(&sound.replace("\"version\": 1", "\"version\": 2"), "are of version 2, and this release knows 1");
    refuses(&sound.replace("\"version\": 1", "\"version\": 0"), "there is no version 0");
    refuses(&sound.replace("\"party\"", "\"canary\""), "cannot be understood: line");
    refuses(&sound.replace("\"author\"", "\"canary\""), "cannot be understood: line");
    refuses(&sound.replace("\"sha256\": \"", "\"sha256\": \"canary"), "cannot be understood: line");
    std::fs::write(&store.path, &sound).unwrap();
    std::fs::set_permissions(&store.path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(store.read(), Err(StoreError::Readable { mode: 0o640, .. })));
}

#[test]
fn two_tokens_of_one_id_are_none() {
    let (_dir, store) = place();
    store.create(wanted("a", PrincipalKind::Human, &[Role::Author]), "root", now()).unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&store.path).unwrap()).unwrap();
    let twice = document["tokens"][0].clone();
    document["tokens"].as_array_mut().unwrap().push(twice);
    std::fs::write(&store.path, document.to_string()).unwrap();
    assert!(store.read().unwrap_err().to_string().contains("two tokens have the id"));
}

#[test]
fn two_writers_at_once_lose_nothing() {
    let (_dir, store) = place();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for nr in 0..5 {
                    let wanted = wanted(&format!("w{writer}-{nr}"), PrincipalKind::Service, &[Role::Proposer]);
                    store.create(wanted, "root", now()).unwrap();
                }
            });
        }
    });
    assert_eq!(store.read().unwrap().0.len(), 20);
}

/// What is written can be read back, however much somebody asks for.
#[test]
fn the_file_stays_small_enough_to_be_read() {
    let (_dir, store) = place();
    let (_, kept) = store.create(wanted("a", PrincipalKind::Human, &[Role::Author]), "root", now()).unwrap();
    let groups = (0..GROUPS_MAX).map(|nr| format!("{nr:0>100}")).collect();
    let many = (0..900).map(|nr| Kept { id: format!("{nr:08x}"), groups: BTreeSet::clone(&groups), ..kept.clone() });
    let document = Document { version: VERSION, tokens: many.collect() };
    std::fs::write(&store.path, serde_json::to_string(&document).unwrap()).unwrap_or_default();
    let before = std::fs::metadata(&store.path).unwrap().len();
    assert!(before > SIZE_MAX);
    assert!(store.read().unwrap_err().to_string().contains("larger than"));
    let few = Document { version: VERSION, tokens: document.tokens.into_iter().take(745).collect() };
    std::fs::write(&store.path, serde_json::to_string(&few).unwrap()).unwrap();
    let full = (0..20).find_map(|nr| {
        let wanted =
            Wanted { groups: groups.clone(), ..wanted(&format!("p{nr}"), PrincipalKind::Human, &[Role::Author]) };
        store.create(wanted, "root", now()).err()
    });
    assert!(full.is_some_and(|error| error.to_string().contains("would take more than 8 MiB")));
    store.read().unwrap();
}

/// A disk that fails in the middle leaves the tokens of before.
#[test]
fn a_draft_that_was_left_behind_is_no_obstacle() {
    let (_dir, store) = place();
    store.create(wanted("a", PrincipalKind::Human, &[Role::Author]), "root", now()).unwrap();
    let draft = store.dir.join(".tokens.json.draft");
    std::fs::write(&draft, "half of").unwrap();
    store.create(wanted("b", PrincipalKind::Human, &[Role::Author]), "root", now()).unwrap();
    assert_eq!(store.read().unwrap().0.len(), 2);
    assert!(!draft.exists());
    // The draft cannot be made: it is an error, and nothing has changed.
    std::fs::create_dir(&draft).unwrap();
    let failed = store.create(wanted("c", PrincipalKind::Human, &[Role::Author]), "root", now());
    assert!(matches!(failed, Err(StoreError::Io { what: "written", .. })));
    assert_eq!(store.read().unwrap().0.len(), 2);
}
