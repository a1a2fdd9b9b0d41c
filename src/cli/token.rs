//! `token`: gives out and takes back what lets people, agents and services in. Works on the state directory, without a daemon; one that
//! runs heeds it with the next request.

use super::args::{Common, TokenCommand, TokenCreateArgs, TokenRevokeArgs};
use super::call::{complain, print_json, state_dir};
use super::draw::say;
use super::exit::Exit;
use super::serve::chain;
use crate::api::auth::store::{Store, StoreError, Wanted};
use crate::api::auth::token::Kept;
use crate::api::words::plain;
use crate::config;
use crate::daemon::clock::Clock;
use crate::model::principal::Role;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde_json::json;

/// `wavegate token`
pub fn run(common: &Common, command: &TokenCommand) -> Exit {
    let dir = match state_dir(common) {
        Ok(dir) => dir,
        Err(exit) => return exit,
    };
    let store = Store::of(&dir);
    let now = Clock::system().now().wall;
    let done = match command {
        TokenCommand::Create(args) => create(&store, args, now),
        TokenCommand::List(args) => list(&store, args.json, now),
        TokenCommand::Revoke(args) => revoke(&store, args, now),
    };
    done.unwrap_or_else(|error| {
        complain(&chain(&error));
        match error {
            StoreError::Refused(_) => Exit::BadUsage,
            _ => Exit::Failed,
        }
    })
}

fn create(store: &Store, args: &TokenCreateArgs, now: Timestamp) -> Result<Exit, StoreError> {
    let wanted = Wanted {
        name: args.name.clone(),
        kind: args.kind,
        party: args.party.clone(),
        roles: args.role.iter().copied().collect(),
        groups: args.group.iter().cloned().collect(),
        life: args.expires,
    };
    let (token, kept) = store.create(wanted, &config::user(), now)?;
    eprintln!("the token of `{}` is shown this once; `wavegate token revoke {}` takes it back", kept.name, kept.id);
    if !args.json {
        say::say(token.reveal());
        return Ok(Exit::Success);
    }
    Ok(print_json(&json!({
        "id": kept.id, "token": token.reveal(), "name": kept.name, "kind": kept.kind, "party": kept.party,
        "roles": kept.roles, "expires_at": kept.expires_at,
    })))
}

fn list(store: &Store, json: bool, now: Timestamp) -> Result<Exit, StoreError> {
    let (tokens, _) = store.read()?;
    let mut tokens: Vec<Kept> = tokens.into_values().collect();
    tokens.sort_by(|a, b| (&a.name, a.created_at, &a.id).cmp(&(&b.name, b.created_at, &b.id)));
    if json {
        let rows: Vec<_> = tokens.iter().map(|kept| row(kept, now)).collect();
        return Ok(print_json(&json!({ "tokens": rows })));
    }
    if tokens.is_empty() {
        say::say("no tokens; make one with `wavegate token create`");
        return Ok(Exit::Success);
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["id", "name", "kind", "party", "roles", "expires", "state"]);
    for kept in &tokens {
        table.add_row([
            kept.id.clone(),
            plain(&kept.name),
            kept.kind.to_string(),
            plain(&kept.party),
            roles(kept),
            kept.expires_at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            kept.standing(now).name().to_owned(),
        ]);
    }
    table.lines().for_each(|line| say::say(line.trim_end()));
    Ok(Exit::Success)
}

/// INVARIANT: S20. Everything that is kept of a token but what is compared.
fn row(kept: &Kept, now: Timestamp) -> serde_json::Value {
    json!({
        "id": kept.id, "name": kept.name, "kind": kept.kind, "party": kept.party, "roles": kept.roles,
        "groups": kept.groups, "expires_at": kept.expires_at, "state": kept.standing(now),
        "created_at": kept.created_at, "created_by": kept.created_by,
        "revoked_at": kept.revoked.as_ref().map(|revoked| revoked.at),
        "revoked_by": kept.revoked.as_ref().map(|revoked| &revoked.by),
    })
}

fn revoke(store: &Store, args: &TokenRevokeArgs, now: Timestamp) -> Result<Exit, StoreError> {
    let revoked = store.revoke(&args.token, &config::user(), now)?;
    if revoked.is_empty() {
        say::say("revoked already");
    }
    for kept in &revoked {
        say::say(&format!("revoked {} of `{}`: it lets nobody in any more", kept.id, plain(&kept.name)));
    }
    Ok(Exit::Success)
}

fn roles(kept: &Kept) -> String {
    kept.roles.iter().map(|role: &Role| role.name()).collect::<Vec<_>>().join(",")
}
