//! What the configuration of identities refuses, and where it says so.

use super::*;

fn check(text: &str) -> Result<(), String> {
    serde_yaml::from_str::<IdentityConfig>(text).map_err(|error| error.to_string())?.check()
}

const SOUND: &str = "
users:
  - { uid: 1000, name: alice, party: platform, roles: [operator, approver], groups: [sre] }
  - { user: ci, name: ci, kind: service, roles: [proposer] }
oidc:
  - issuer: https://login.example.com
    audience: wavegate
    claims: { name: email, party: org, roles: groups }
    roles: { sre-oncall: [operator, approver], devs: [author] }
    kind: human
  - issuer: https://login.example.com
    audience: wavegate-agents
    jwks_url: http://127.0.0.1:8080/keys
    algorithms: [ES256]
    roles: { agents: [proposer] }
    kind: agent
certificates:
  - { uri: 'spiffe://example.org/kiro', name: kiro, kind: agent, roles: [proposer] }
  - { dns: ci.example.org, name: ci, kind: service, roles: [proposer, operator] }
";

#[test]
fn a_sound_one_is_taken() {
    assert_eq!(check(SOUND), Ok(()));
    assert_eq!(check("{}"), Ok(()));
}

#[test]
fn each_fault_is_found_at_its_place() {
    let oidc = |rest: &str| format!("oidc: [{{issuer: 'https://a.example', audience: w, kind: human, {rest}}}]");
    let roles = "roles: {a: [author]}";
    let user = |rest: &str| format!("users: [{{{rest}}}]");
    let certificate = |rest: &str| format!("certificates: [{{{rest}}}]");
    let cases = [
        (user("uid: 1, name: '', roles: [author]"), "identity.users[0]: the name is empty"),
        (user("uid: 1, name: 'a\\nb', roles: []").replace('\'', "\""), "identity.users[0]: the name holds control"),
        (user("uid: 1, name: a, roles: []"), "identity.users[0]: `a` has no role"),
        (user("name: a, roles: [author]"), "identity.users[0]: name the user by `uid` or by `user`"),
        (user("uid: 1, user: a, name: a, roles: [author]"), "identity.users[0]: name the user by `uid` or by `user`"),
        (user("uid: 1, name: a, kind: agent, roles: [operator]"), "identity.users[0]: an agent cannot be operator"),
        (user("uid: 1, name: a, kind: service, roles: [approver]"), "identity.users[0]: a service cannot be approver"),
        (
            "users: [{uid: 1, name: a, roles: [author]}, {uid: 1, name: b, roles: [author]}]".into(),
            "identity.users[1]: `uid 1` is there already, as identity.users[0]",
        ),
        (oidc(roles).replace("https://a.example", "http://a.example"), "identity.oidc[0].issuer: keys that come over http"),
        (oidc(roles).replace("https://a.example", "http://127.0.0.1.a.example"), "identity.oidc[0].issuer: keys that"),
        (oidc(roles).replace("https://a.example", "a.example"), "identity.oidc[0].issuer: write it as https"),
        (oidc(roles).replace("https://a.example", "https://u:canary@a.example"), "identity.oidc[0].issuer: the address holds"),
        (oidc(roles).replace("audience: w", "audience: ''"), "identity.oidc[0].audience: write 1 to"),
        (oidc(&format!("{roles}, jwks_url: 'http://b.example/keys'")), "identity.oidc[0].jwks_url: keys that"),
        (oidc(&format!("{roles}, algorithms: [RS256, HS256]")), "identity.oidc[0].algorithms[1]: `HS256` is not"),
        (oidc(&format!("{roles}, algorithms: [none]")), "identity.oidc[0].algorithms[0]: `none` is not"),
        (oidc(&format!("{roles}, algorithms: []")), "identity.oidc[0].algorithms: name one"),
        (oidc(&format!("{roles}, leeway: 301")), "identity.oidc[0].leeway: at most 300 seconds"),
        (oidc(&format!("{roles}, claims: {{name: ''}}")), "identity.oidc[0].claims.name: write 1"),
        (oidc(roles).replace("kind: human, ", ""), "identity.oidc[0].kind: say what the holders are"),
        (oidc("roles: {}"), "identity.oidc[0].roles: without any"),
        (oidc("roles: {a: []}"), "identity.oidc[0].roles.a: it gives no role"),
        (oidc("roles: {a: [approver]}").replace("human", "agent"), "identity.oidc[0].roles.a: an agent cannot be approver"),
        (certificate("name: a, kind: agent, roles: [proposer]"), "identity.certificates[0]: name the certificate by"),
        (certificate("uri: 'a:b', dns: c, name: a, kind: agent, roles: [proposer]"), "identity.certificates[0]: name the"),
        (certificate("uri: a, name: a, kind: agent, roles: [proposer]"), "identity.certificates[0]: `uri`: `a` is no URI"),
        (certificate("dns: '*.a', name: a, kind: agent, roles: [proposer]"), "identity.certificates[0]: `dns`: `*.a`"),
        (certificate("sha256: abc, name: a, kind: agent, roles: [proposer]"), "identity.certificates[0]: `sha256` has 64"),
        (certificate("dns: a, name: a, kind: agent, roles: [approver]"), "identity.certificates[0]: an agent cannot be"),
        (
            "certificates: [{dns: a, name: a, kind: agent, roles: [proposer]}, {dns: A, name: b, kind: agent, roles: [proposer]}]"
                .into(),
            "identity.certificates[1]: `dns a` is there already, as identity.certificates[0]",
        ),
    ];
    for (text, expected) in cases {
        let found = check(&text).expect_err(&text);
        assert!(found.starts_with(expected), "{text}\nexpected {expected}\nfound    {found}");
        assert!(!found.contains("canary"), "{found}");
    }
}

#[test]
fn one_issuer_for_one_audience_is_named_once() {
    let one = "{issuer: 'https://a.example', audience: w, kind: human, roles: {a: [author]}}";
    let found = check(&format!("oidc: [{one}, {one}]")).unwrap_err();
    assert!(
        found.starts_with("identity.oidc[1]: `issuer https://a.example for audience w` is there already"),
        "{found}"
    );
}
