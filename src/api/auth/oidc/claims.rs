//! Claims → principal and roles, as the configuration maps them. What is not there, or is something else than it should be, lets nobody
//! in.

use super::kind_of;
use crate::config::identity::{Identity, OidcConfig};
use crate::model::principal::{Principal, PrincipalKind, Role};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Who the holder is.
///
/// # Errors
/// Why that cannot be told, naming the claim and nothing of what it holds.
pub fn identity(config: &OidcConfig, claims: &Map<String, Value>) -> Result<Identity, String> {
    let names = &config.claims;
    let name = text(claims, &names.name)?.ok_or_else(|| format!("the token lacks the claim `{}`", names.name))?;
    if names.name == "email" && claims.get("email_verified").is_some_and(|verified| verified != &Value::Bool(true)) {
        // Whoever may choose their own address would choose somebody else's.
        return Err("the token's `email` is not verified by its issuer (`email_verified`)".into());
    }
    let party = match names.party.as_deref().map(|claim| text(claims, claim)).transpose()?.flatten() {
        Some(party) => party,
        None => config.party.clone(),
    };
    let words = words(claims, &names.roles)?;
    let roles: BTreeSet<Role> = words.iter().filter_map(|word| config.roles.get(word)).flatten().copied().collect();
    if roles.is_empty() {
        return Err(format!(
            "nothing in the token's claim `{}` gives a role here; ask whoever runs this daemon",
            names.roles
        ));
    }
    let groups = match &names.groups {
        Some(claim) => self::words(claims, claim)?,
        None => words,
    };
    Ok((Principal { name, kind: kind(config, claims)?, party, groups }, roles))
}

fn kind(config: &OidcConfig, claims: &Map<String, Value>) -> Result<PrincipalKind, String> {
    let Some(claim) = &config.claims.kind else {
        return config.kind.ok_or_else(|| "nobody says what the token's holder is".into());
    };
    match text(claims, claim)? {
        Some(word) => {
            kind_of(&word).ok_or_else(|| format!("the token's claim `{claim}` is not agent, human or service"))
        }
        None => config.kind.ok_or_else(|| format!("the token lacks the claim `{claim}`")),
    }
}

/// The claim of this name; else what the path leads to: `realm_access.roles`.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut path = name.split('.');
    let first = claims.get(path.next()?);
    let at_path = || path.try_fold(first?, |value, part| value.get(part));
    claims.get(name).or_else(at_path).filter(|value| !value.is_null())
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match find(claims, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("the token's claim `{name}` is no text")),
    }
}

/// A list of words, or a text: as one word. `scope` alone is a text of words with spaces between them (RFC 6749 section 3.3); elsewhere a
/// word may hold spaces, and its parts are nobody's.
fn words(claims: &Map<String, Value>, name: &str) -> Result<BTreeSet<String>, String> {
    let wrong = || format!("the token's claim `{name}` is no list of words");
    match find(claims, name) {
        None => Ok(BTreeSet::new()),
        Some(Value::String(text)) if name == "scope" => {
            Ok(text.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect())
        }
        Some(Value::String(text)) => Ok([text.clone()].into()),
        Some(Value::Array(list)) => list.iter().map(|word| word.as_str().map(Into::into).ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(rest: &str) -> OidcConfig {
        let text = format!(
            "issuer: https://a.example\naudience: w\nroles: {{sre: [operator], devs: [author], 'a b': [auditor]}}\n{rest}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    fn found(config: &OidcConfig, claims: Value) -> Result<Identity, String> {
        identity(config, claims.as_object().unwrap())
    }

    const PEOPLE: &str = "kind: human\nparty: home\nclaims: {name: email, party: org, roles: groups}";

    #[test]
    fn claims_become_a_principal() {
        let claims = json!({"email": "ada@x", "org": "platform", "groups": ["sre", "devs", "other"]});
        let (who, roles) = found(&config(PEOPLE), claims).unwrap();
        assert_eq!((who.name.as_str(), who.party.as_str(), who.kind), ("ada@x", "platform", PrincipalKind::Human));
        assert_eq!(roles, [Role::Operator, Role::Author].into());
        assert!(who.groups.contains("other"));
        let (who, _) = found(&config(PEOPLE), json!({"email": "ada@x", "groups": "sre"})).unwrap();
        assert_eq!(who.party, "home");
    }

    #[test]
    fn what_is_missing_or_odd_lets_nobody_in() {
        let config = config(PEOPLE);
        for (claims, expected) in [
            (json!({"groups": ["sre"]}), "lacks the claim `email`"),
            (json!({"email": null, "groups": ["sre"]}), "lacks the claim `email`"),
            (json!({"email": 1, "groups": ["sre"]}), "`email` is no text"),
            (json!({"email": "a", "email_verified": false, "groups": ["sre"]}), "not verified"),
            (json!({"email": "a", "email_verified": "true", "groups": ["sre"]}), "not verified"),
            (json!({"email": "a"}), "gives a role"),
            (json!({"email": "a", "groups": []}), "gives a role"),
            (json!({"email": "a", "groups": ["nobody", "SRE"]}), "gives a role"),
            (json!({"email": "a", "groups": "sre devs"}), "gives a role"),
            (json!({"email": "a", "groups": {"sre": true}}), "no list of words"),
            (json!({"email": "a", "groups": ["sre", 1]}), "no list of words"),
            (json!({"email": "a", "org": ["x"], "groups": ["sre"]}), "`org` is no text"),
        ] {
            let why = found(&config, claims.clone()).unwrap_err();
            assert!(why.contains(expected), "{claims}: {why}");
        }
    }

    #[test]
    fn a_path_leads_into_a_claim_and_a_name_with_dots_is_one_first() {
        let config = config("kind: human\nclaims: {roles: realm_access.roles}");
        let (_, roles) = found(&config, json!({"sub": "a", "realm_access": {"roles": ["devs"]}})).unwrap();
        assert_eq!(roles, [Role::Author].into());
        let both = json!({"sub": "a", "realm_access.roles": ["sre"], "realm_access": {"roles": ["devs"]}});
        assert_eq!(found(&config, both).unwrap().1, [Role::Operator].into());
        assert!(found(&config, json!({"sub": "a", "realm_access": "devs"})).is_err());
    }

    #[test]
    fn scopes_are_words_and_groups_may_come_from_elsewhere() {
        let config = config("kind: service\nclaims: {roles: scope, groups: teams}");
        let (who, roles) = found(&config, json!({"sub": "a", "scope": "devs a b", "teams": ["t"]})).unwrap();
        assert_eq!((roles, who.groups), ([Role::Author].into(), ["t".to_owned()].into()));
    }

    #[test]
    fn a_claim_tells_the_kind_or_the_default_does() {
        let claim = "claims: {kind: typ}";
        let kind = |config: &OidcConfig, typ: Value| {
            found(config, json!({"sub": "a", "typ": typ, "groups": ["devs"]})).map(|f| f.0.kind)
        };
        assert_eq!(kind(&config(claim), json!("agent")), Ok(PrincipalKind::Agent));
        assert!(kind(&config(claim), json!("robot")).unwrap_err().contains("not agent, human or service"));
        assert!(kind(&config(claim), Value::Null).unwrap_err().contains("lacks the claim `typ`"));
        let with_default = format!("kind: agent\n{claim}");
        assert_eq!(kind(&config(&with_default), Value::Null), Ok(PrincipalKind::Agent));
        assert!(kind(&config(&with_default), json!("robot")).is_err());
    }
}
