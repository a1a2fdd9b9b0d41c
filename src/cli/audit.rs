//! `audit`: the record, oldest first, and what is added to it.

use super::args::{AuditArgs, Common};
use super::call::{ask, complain, connect, odd, runtime, show_json};
use super::complain::is_json;
use super::draw::{one_line, say};
use super::exit::Exit;
use super::live::Live;
use crate::api::listing::AuditEntry;
use crate::api::verbs::{Request, Response};
use std::time::Duration;

/// So many are asked for at once: the most that every door gives.
const PAGE: usize = 200;

/// `wavegate audit`
pub fn run(common: &Common, args: &AuditArgs) -> Exit {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let done = runtime.block_on(async {
        let last = pages(common, args.after).await?;
        if args.follow { follow(common, args, last).await } else { Ok(()) }
    });
    done.map_or_else(|exit| exit, |()| Exit::Success)
}

/// Prints what there is; the position of the last one.
async fn pages(common: &Common, after: u64) -> Result<u64, Exit> {
    let mut client = connect(common).await?;
    let mut after = after;
    loop {
        match ask(&mut client, &Request::Audit { after, limit: PAGE }).await? {
            Response::Audit(page) => {
                show(&page.items)?;
                after = page.items.last().map_or(after, |entry| entry.seq);
                if page.next.is_none() {
                    return Ok(after);
                }
            }
            other => return Err(odd(&other)),
        }
    }
}

async fn follow(common: &Common, args: &AuditArgs, after: u64) -> Result<(), Exit> {
    let patience = args.give_up_after.map(|span| Duration::from_millis(span.0));
    let mut live = Live::start(common, None, after, patience);
    loop {
        show(&live.next().await?)?;
    }
}

fn show(entries: &[AuditEntry]) -> Result<(), Exit> {
    for entry in entries {
        match is_json() {
            true => show_json(entry),
            false => say::say(&line(entry)),
        }
    }
    if say::is_gone() {
        complain("nobody reads the record any more");
        return Err(Exit::Failed);
    }
    Ok(())
}

fn line(entry: &AuditEntry) -> String {
    let about = match (&entry.rollout, &entry.target) {
        (Some(rollout), Some(target)) => format!("  {rollout} {target}"),
        (Some(rollout), None) => format!("  {rollout}"),
        _ => String::new(),
    };
    let at = entry.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    format!("{:>6}  {at}  {:<20}{about}  {}", entry.seq, entry.event, one_line(&entry.detail))
}
