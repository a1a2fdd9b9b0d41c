//! Which bounds are checked where. Budgets multiply, so that several models with a few kinds of trouble each reach deeper than one
//! with all kinds.

use crate::bounds::{Bounds, Shape};
use wavegate::model::halt::KillMode;

/// A model to check.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// Its name.
    pub name: &'static str,
    /// What goes wrong in it.
    pub what: &'static str,
    /// How often.
    pub bounds: Bounds,
}

/// The planted fault: a kill is acknowledged before its fences are up. Every run must find it (S2).
pub const CANARY: Configuration = Configuration {
    name: "canary",
    what: "a planted fault",
    bounds: Bounds { kills: 1, acknowledges_early: true, follow: 0, ..Bounds::CALM },
};

const fn all(name: &'static str, what: &'static str, bounds: Bounds) -> Configuration {
    Configuration { name, what, bounds }
}

/// Under `cargo test`, where everything is ten times slower.
pub const TEST: &[Configuration] = &[
    all("crash", "a crash, a takeover", Bounds { grants: 1, crashes: 1, ..Bounds::CALM }),
    all("health", "a change of the alarm", Bounds { alarms: 1, ..Bounds::CALM }),
    all("asked", "two people", Bounds { shape: Shape::Asked, answers: 2, ..Bounds::CALM }),
];

/// In continuous integration.
pub const CI: &[Configuration] = &[
    all("takeover", "a takeover, a crash, a lost call", Bounds { grants: 1, crashes: 1, lost: 1, ..Bounds::CALM }),
    all("takeovers", "two takeovers, a crash", Bounds { grants: 2, crashes: 1, ..Bounds::CALM }),
    all("kill", "a kill, a lost call", Bounds { kills: 1, lost: 1, ..Bounds::CALM }),
    all("kill over", "a kill, a takeover", Bounds { kills: 1, grants: 1, ..Bounds::CALM }),
    all("kills", "two kills, an order", Bounds { kills: 2, orders: 1, ..Bounds::CALM }),
    all("health", "an alarm, a failure", Bounds { alarms: 2, failures: 1, ..Bounds::CALM }),
    all("edit", "a person's edit, a revert", Bounds { edits: 1, kills: 1, modes: &[KillMode::Revert], ..Bounds::CALM }),
    all("edit over", "a person's edit, a crash", Bounds { edits: 1, crashes: 1, grants: 1, ..Bounds::CALM }),
    all(
        "slow edit",
        "a person's edit while change sets are made, a revert",
        Bounds { slow_creates: true, edits: 1, kills: 1, modes: &[KillMode::Revert], ..Bounds::CALM },
    ),
    all("drift", "a drift, a takeover", Bounds { edits: 1, drifts: true, grants: 1, ..Bounds::CALM }),
    all(
        "rollback",
        "a rollback fails",
        Bounds { rollback_failures: 1, kills: 1, lost: 1, modes: &[KillMode::Halt], ..Bounds::CALM },
    ),
    all(
        "zombie",
        "a deposed daemon goes on",
        Bounds { zombies: true, grants: 1, kills: 1, modes: &[KillMode::Halt], ..Bounds::CALM },
    ),
    all("asked", "two people", Bounds { shape: Shape::Asked, answers: 2, ..Bounds::CALM }),
];

/// By hand, in a quarter of an hour.
pub const LONG: &[Configuration] = &[
    all(
        "kill, lost, over",
        "a kill, a takeover, a crash, a lost call",
        Bounds { kills: 1, grants: 1, crashes: 1, lost: 1, ..Bounds::CALM },
    ),
    all(
        "health, kill, over",
        "an alarm, a failure, a kill, a takeover",
        Bounds { alarms: 1, failures: 1, kills: 1, grants: 1, crashes: 1, ..Bounds::CALM },
    ),
    all(
        "orders",
        "two kills, two orders, a throttled call",
        Bounds { kills: 2, orders: 2, throttled: 1, ..Bounds::CALM },
    ),
    all(
        "edits",
        "two edits, a kill, a failed rollback",
        Bounds { edits: 2, drifts: true, kills: 1, rollback_failures: 1, failures: 1, ..Bounds::CALM },
    ),
    all(
        "takeovers, lost",
        "three takeovers, two crashes, two lost calls",
        Bounds { grants: 3, crashes: 2, lost: 2, ..Bounds::CALM },
    ),
    all(
        "side by side, alarm",
        "two rollouts, an alarm, a failure",
        Bounds { shape: Shape::Shared, alarms: 1, failures: 1, ..Bounds::CALM },
    ),
    all("side by side over", "two rollouts, a takeover", Bounds { shape: Shape::Shared, grants: 1, ..Bounds::CALM }),
    all(
        "people",
        "two people must agree, two hours pass",
        Bounds { shape: Shape::Asked, answers: 4, hours: 2, ..Bounds::CALM },
    ),
    all(
        "people over",
        "two people must agree, a takeover, a crash",
        Bounds { shape: Shape::Asked, answers: 3, grants: 1, crashes: 1, ..Bounds::CALM },
    ),
    all("side by side", "two rollouts share a limit", Bounds { shape: Shape::Shared, ..Bounds::CALM }),
];

/// What only the list by hand leads to: people who take something back, a judgement that becomes another one, two rollouts that share a
/// limit. Its models of people and of two rollouts do not come to a clean end yet; see docs/proof.md.
pub const BY_HAND: [&str; 4] = [
    "a narrow approval is used",
    "two people let it go on",
    "what people agreed to has become something else",
    "one waits for the other",
];

/// All lists.
pub const ALL: &[&[Configuration]] = &[TEST, CI, LONG];

/// Bounds from the command line, as `grants=1,lost=2,zombies`.
pub fn parse(text: &str) -> Option<Bounds> {
    let mut bounds = Bounds::CALM;
    for part in text.split(',') {
        let (name, number) = part.split_once('=').unwrap_or((part, "1"));
        let number: u8 = number.parse().ok()?;
        match name {
            "calm" => {}
            "grants" => bounds.grants = number,
            "crashes" => bounds.crashes = number,
            "kills" => bounds.kills = number,
            "pause" => bounds.modes = &[KillMode::Pause],
            "halt" => bounds.modes = &[KillMode::Halt],
            "revert" => bounds.modes = &[KillMode::Revert],
            "orders" => bounds.orders = number,
            "lost" => bounds.lost = number,
            "throttled" => bounds.throttled = number,
            "failures" => bounds.failures = number,
            "rollback_failures" => bounds.rollback_failures = number,
            "edits" => bounds.edits = number,
            "drifts" => bounds.drifts = true,
            "alarms" => bounds.alarms = number,
            "asked" => bounds.shape = Shape::Asked,
            "shared" => bounds.shape = Shape::Shared,
            "answers" => bounds.answers = number,
            "hours" => bounds.hours = number,
            "slow" => bounds.slow_creates = true,
            "zombies" => bounds.zombies = true,
            "follow" => bounds.follow = number.into(),
            _ => return None,
        }
    }
    Some(bounds)
}
