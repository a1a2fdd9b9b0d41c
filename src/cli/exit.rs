//! Exit codes, documented and stable: scripts and agents branch on them. An expected failure is not a crash.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked; a rollout that was waited for has succeeded.
    Success = 0,
    /// Something inside failed: the journal, the disk, a defect.
    Failed = 1,
    /// The command line, a file or a document is wrong; nothing was recorded.
    BadUsage = 2,
    /// The daemon does not take the order; nothing was recorded. Or a rollout that was waited for is held, asks people,
    /// or is refused by the guardrails.
    Refused = 3,
    /// The rollout was reverted, or cancelled before it touched anything.
    Reverted = 4,
    /// At least one target needs a person.
    Stuck = 5,
    /// A kill is in force on the rollout; or, for `kill`, the order is still pending.
    Killed = 6,
    /// No daemon answers.
    Unreachable = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
