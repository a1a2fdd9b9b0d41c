//! Stable codes of what went wrong: programs branch on them, words change.

use crate::engine::authority::Denied;
use crate::engine::decide::Refusal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why something was not done. The name is stable; each is a problem type of the HTTP door (RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`title` says it")]
pub enum Code {
    BadRequest,
    BadInput,
    Unauthenticated,
    Forbidden,
    NotFound,
    UnknownRollout,
    UnknownKill,
    UnknownPipeline,
    MethodNotAllowed,
    NotAcceptable,
    TooLarge,
    UnsupportedMediaType,
    Ended,
    AlreadyHeld,
    NotHeld,
    Reverting,
    TargetOwned,
    OnePerson,
    NotAsked,
    NothingToRevoke,
    NoSignOff,
    NotCounted,
    PipelineChanged,
    KillFile,
    NoDrill,
    KeyReused,
    KeyInFlight,
    MisdirectedHost,
    TooManyRequests,
    Timeout,
    Busy,
    Stopped,
    Internal,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 33] = [
        Self::BadRequest,
        Self::BadInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::UnknownRollout,
        Self::UnknownKill,
        Self::UnknownPipeline,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Ended,
        Self::AlreadyHeld,
        Self::NotHeld,
        Self::Reverting,
        Self::TargetOwned,
        Self::OnePerson,
        Self::NotAsked,
        Self::NothingToRevoke,
        Self::NoSignOff,
        Self::NotCounted,
        Self::PipelineChanged,
        Self::KillFile,
        Self::NoDrill,
        Self::KeyReused,
        Self::KeyInFlight,
        Self::MisdirectedHost,
        Self::TooManyRequests,
        Self::Timeout,
        Self::Busy,
        Self::Stopped,
        Self::Internal,
    ];

    /// As it is written in answers and records.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that carries it.
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// What it means, in one line.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => ("bad_request", 400, "The request cannot be read"),
            Self::BadInput => ("bad_input", 422, "A change set, a pipeline or a value in the request is wrong"),
            Self::Unauthenticated => ("unauthenticated", 401, "Nobody is let in without a valid credential"),
            Self::Forbidden => ("forbidden", 403, "This caller may not do that"),
            Self::NotFound => ("not_found", 404, "There is nothing at this address"),
            Self::UnknownRollout => ("unknown_rollout", 404, "There is no rollout of that name"),
            Self::UnknownKill => ("unknown_kill", 404, "There is no kill of that name in force"),
            Self::UnknownPipeline => ("unknown_pipeline", 404, "There is no sound pipeline of that name"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "This address does not take that method"),
            Self::NotAcceptable => ("not_acceptable", 406, "The answer cannot be given in that form"),
            Self::TooLarge => ("too_large", 413, "The request is larger than this door takes"),
            Self::UnsupportedMediaType => ("unsupported_media_type", 415, "Requests are JSON"),
            Self::Ended => ("ended", 409, "The rollout has ended"),
            Self::AlreadyHeld => ("already_held", 409, "The rollout is held already"),
            Self::NotHeld => ("not_held", 409, "The rollout is not held"),
            Self::Reverting => ("reverting", 409, "The rollout is on its way back"),
            Self::TargetOwned => ("target_owned", 409, "Another rollout owns a target"),
            Self::OnePerson => ("one_person", 409, "Lifting a kill needs two people"),
            Self::NotAsked => ("not_asked", 409, "Nobody is asked for an approval"),
            Self::NothingToRevoke => ("nothing_to_revoke", 409, "There is no approval of theirs to take back"),
            Self::NoSignOff => ("no_sign_off", 409, "The environment is not waiting to be signed off"),
            Self::NotCounted => ("not_counted", 409, "The answer does not count"),
            Self::PipelineChanged => ("pipeline_changed", 409, "The pipeline was changed after the plan was made"),
            Self::KillFile => ("kill_file", 409, "The kill file is still there"),
            Self::NoDrill => ("no_drill", 409, "No kill drill can be held now"),
            Self::KeyReused => ("key_reused", 422, "The idempotency key was used for another request"),
            Self::KeyInFlight => ("key_in_flight", 409, "A request with this idempotency key is being answered"),
            Self::MisdirectedHost => ("misdirected_host", 421, "This door does not answer under that host or origin"),
            Self::TooManyRequests => ("too_many_requests", 429, "Too many requests; try again later"),
            Self::Timeout => ("timeout", 408, "The request took too long to arrive"),
            Self::Busy => ("busy", 503, "The daemon is busy; try again later"),
            Self::Stopped => ("stopped", 503, "The daemon is stopping"),
            Self::Internal => ("internal", 500, "Something inside failed"),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<&Refusal> for Code {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::UnknownRollout(_) => Self::UnknownRollout,
            Refusal::KeyUsed(_) => Self::KeyReused,
            Refusal::Ended(_) => Self::Ended,
            Refusal::AlreadyHeld(_) => Self::AlreadyHeld,
            Refusal::NotHeld(_) => Self::NotHeld,
            Refusal::Reverting(_) => Self::Reverting,
            Refusal::TargetOwned { .. } => Self::TargetOwned,
            // Never told: whoever gives the same order again is answered like the first time.
            Refusal::InForce(_) => Self::Internal,
            Refusal::UnknownKill(_) => Self::UnknownKill,
            Refusal::OnePerson(_) => Self::OnePerson,
            Refusal::AgentMayNot(_) => Self::Forbidden,
            Refusal::NotAsked(_) => Self::NotAsked,
            Refusal::NothingToRevoke { .. } => Self::NothingToRevoke,
            Refusal::NoSignOff { .. } => Self::NoSignOff,
            Refusal::NotCounted { .. } => Self::NotCounted,
        }
    }
}

impl From<&Denied> for Code {
    fn from(_: &Denied) -> Self {
        Self::Forbidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_is_written() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
