//! What the record must learn of the file of tokens.

use crate::model::event::Event;
use crate::model::state::State;
use crate::model::token::{TokenEnd, TokenSeen};
use std::collections::BTreeMap;

/// What the file shows that is not on record yet: new tokens, changed ones, those that were taken back, those that are gone. INVARIANT:
/// S18. Each is one record; shown again, the same file makes none.
pub fn changes(state: &State, seen: &BTreeMap<String, TokenSeen>) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, token) in seen {
        let known = state.tokens.get(id);
        // One that was revoked and is not any more was let in anew, by somebody's hand.
        let as_known = known.is_some_and(|k| k.grant == token.grant && (!k.ended || token.revoked.is_some()));
        if !as_known {
            events.push(Event::TokenListed { token: Box::new(token.grant.clone()), changed: known.is_some() });
        }
        let is_open = !as_known || known.is_some_and(|k| !k.ended);
        if let Some(end) = token.revoked.clone().filter(|_| is_open) {
            events.push(Event::TokenEnded { token: id.clone(), name: token.grant.name.clone(), end });
        }
    }
    let gone = state.tokens.iter().filter(|(id, _)| !seen.contains_key(*id));
    events.extend(gone.map(|(id, known)| Event::TokenEnded {
        token: id.clone(),
        name: known.grant.name.clone(),
        end: TokenEnd::Removed,
    }));
    events
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
    use super::*;
    use crate::model::principal::{PrincipalKind, Role};
    use crate::model::token::TokenGrant;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn seen(id: &str, roles: &[Role], revoked: bool) -> (String, TokenSeen) {
        let grant = TokenGrant {
            id: id.into(),
            name: format!("n-{id}"),
            kind: PrincipalKind::Human,
            party: String::new(),
            roles: roles.iter().copied().collect(),
            groups: Default::default(),
            tag: "tag".into(),
            created_by: "root".into(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
        };
        let end = TokenEnd::Revoked { by: "root".into(), at: Timestamp::UNIX_EPOCH };
        (id.into(), TokenSeen { grant, revoked: revoked.then_some(end) })
    }

    fn names(state: &mut State, file: &[(String, TokenSeen)]) -> Vec<String> {
        let events = changes(state, &file.iter().cloned().collect());
        events.iter().for_each(|event| state.apply(event).unwrap());
        let word = |event: &Event| match event {
            Event::TokenListed { token, changed } => format!("{}{}", if *changed { "~" } else { "+" }, token.id),
            Event::TokenEnded { token, end: TokenEnd::Removed, .. } => format!("x{token}"),
            Event::TokenEnded { token, .. } => format!("-{token}"),
            other => other.name().to_owned(),
        };
        events.iter().map(word).collect()
    }

    #[test]
    fn each_change_of_the_file_is_one_record() {
        let mut state = State::default();
        let author = [Role::Author];
        assert_eq!(names(&mut state, &[seen("a", &author, false), seen("b", &author, true)]), ["+a", "+b", "-b"]);
        assert_eq!(names(&mut state, &[seen("a", &author, true), seen("b", &author, true)]), ["-a"]);
        let wider = [Role::Author, Role::Approver];
        assert_eq!(names(&mut state, &[seen("a", &wider, true), seen("b", &author, false)]), ["~a", "-a", "~b"]);
        assert_eq!(names(&mut state, &[seen("b", &author, false)]), ["xa"]);
        assert_eq!(names(&mut state, &[]), ["xb"]);
        assert!(state.tokens.is_empty());
    }

    proptest! {
        #[test]
        fn after_any_file_the_record_says_who_can_come_in(
            files in prop::collection::vec(prop::collection::vec((0..4_u8, any::<bool>(), any::<bool>()), 0..5), 1..6),
        ) {
            let mut state = State::default();
            for file in files {
                let roles = |more: bool| if more { vec![Role::Author, Role::Operator] } else { vec![Role::Author] };
                let file: BTreeMap<_, _> =
                    file.iter().map(|(id, more, gone)| seen(&id.to_string(), &roles(*more), *gone)).collect();
                for event in changes(&state, &file) {
                    state.apply(&event).unwrap();
                }
                prop_assert_eq!(changes(&state, &file), vec![]);
                prop_assert_eq!(state.tokens.len(), file.len());
                for (id, token) in &file {
                    prop_assert_eq!(&state.tokens[id].grant, &token.grant);
                    prop_assert_eq!(state.tokens[id].ended, token.revoked.is_some());
                }
            }
        }
    }
}
