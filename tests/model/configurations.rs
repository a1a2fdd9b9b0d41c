//! Which bounds are checked where. Budgets multiply, so that several models with a few kinds of trouble each reach deeper than one
//! with all kinds.

use crate::machine::Bounds;
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
    all("crash", "one crash, one takeover", Bounds { grants: 1, crashes: 1, ..Bounds::CALM }),
    all(
        "kill",
        "one kill by halt, one lost call",
        Bounds { kills: 1, modes: &[KillMode::Halt], lost: 1, ..Bounds::CALM },
    ),
];

/// In continuous integration.
pub const CI: &[Configuration] = &[
    all("takeover", "two takeovers, a crash, a lost call", Bounds { grants: 2, crashes: 1, lost: 1, ..Bounds::CALM }),
    all(
        "killed",
        "a kill, a takeover, a crash, a lost call",
        Bounds { kills: 1, grants: 1, crashes: 1, lost: 1, ..Bounds::CALM },
    ),
    all(
        "health",
        "two changes of the alarm, a failure, a crash",
        Bounds { alarms: 2, failures: 1, crashes: 1, grants: 1, ..Bounds::CALM },
    ),
    all(
        "edits",
        "a person's edit, a kill, a failed rollback",
        Bounds { edits: 1, drifts: true, kills: 1, rollback_failures: 1, failures: 1, ..Bounds::CALM },
    ),
    all(
        "orders",
        "two kills, two orders, a throttled call",
        Bounds { kills: 2, orders: 2, throttled: 1, ..Bounds::CALM },
    ),
    all(
        "zombie",
        "a deposed daemon that has not found out",
        Bounds { zombies: true, grants: 1, lost: 1, ..Bounds::CALM },
    ),
];

/// By hand, in some minutes.
pub const LONG: &[Configuration] = &[all(
    "everything",
    "one of each",
    Bounds {
        kills: 1,
        grants: 1,
        crashes: 1,
        lost: 1,
        throttled: 1,
        failures: 1,
        alarms: 1,
        orders: 1,
        edits: 1,
        ..Bounds::CALM
    },
)];

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
            "zombies" => bounds.zombies = true,
            "follow" => bounds.follow = number.into(),
            _ => return None,
        }
    }
    Some(bounds)
}
