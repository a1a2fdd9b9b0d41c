//! What bounds the model: a budget for each kind of trouble.

use std::hash::{Hash, Hasher};
use wavegate::model::halt::KillMode;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One rollout that asks nobody.
    Plain,
    /// One that asks two people.
    Asked,
    /// Two side by side, of which one failure domain at a time may be in motion.
    Shared,
}

/// How often each thing may happen that nobody can forbid: what bounds the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What is checked.
    pub shape: Shape,
    /// Answers of people that count.
    pub answers: u8,
    /// Hours that pass.
    pub hours: u8,
    /// Times that another daemon takes the lead.
    pub grants: u8,
    /// Times that a daemon dies, at rest or in the middle of a step.
    pub crashes: u8,
    /// Stop orders.
    pub kills: u8,
    /// Their modes.
    pub modes: &'static [KillMode],
    /// Times that two people lift one, and that a person lets a held rollout go on, pauses it or sends it back.
    pub orders: u8,
    /// Calls that give no answer, arrived or not.
    pub lost: u8,
    /// Calls that are refused for their rate.
    pub throttled: u8,
    /// Operations that the provider rolls back.
    pub failures: u8,
    /// Rollbacks that fail.
    pub rollback_failures: u8,
    /// A person's edits, and drifts.
    pub edits: u8,
    /// Whether there are drifts.
    pub drifts: bool,
    /// Changes of the alarm.
    pub alarms: u8,
    /// Change sets are made by calls that travel like the others, instead of at once.
    pub slow_creates: bool,
    /// A deposed daemon goes on until it finds out. It does so before it writes or sends anything, so that leaving it out
    /// changes nothing as long as those checks hold.
    pub zombies: bool,
    /// One state in so many is followed to its end (L1, L2): 0 means none.
    pub follow: u64,
    /// The planted fault of the self-test.
    pub acknowledges_early: bool,
}

impl Bounds {
    /// Nothing goes wrong, and nobody does anything.
    pub const CALM: Self = Self {
        shape: Shape::Plain,
        answers: 0,
        hours: 0,
        grants: 0,
        crashes: 0,
        kills: 0,
        modes: &[KillMode::Pause, KillMode::Halt, KillMode::Revert],
        orders: 0,
        lost: 0,
        throttled: 0,
        failures: 0,
        rollback_failures: 0,
        edits: 0,
        drifts: false,
        alarms: 0,
        slow_creates: false,
        zombies: false,
        follow: 64,
        acknowledges_early: false,
    };
}

/// What is left of each; the rest never changes.
impl Hash for Bounds {
    fn hash<H: Hasher>(&self, into: &mut H) {
        let Self {
            grants,
            crashes,
            kills,
            orders,
            lost,
            throttled,
            failures,
            rollback_failures,
            edits,
            alarms,
            answers,
            hours,
            ..
        } = *self;
        into.write(&[grants, crashes, kills, orders, lost, throttled, failures, rollback_failures, edits, alarms]);
        into.write(&[answers, hours]);
    }
}
