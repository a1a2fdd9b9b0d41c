//! Mutants: with a guard removed, the checker must find the invariant that it upholds broken. A mutant that survives is an
//! invariant that nobody has stated.

use crate::bounds::{Bounds, Shape};
use crate::check::{Found, Search, check};
use wavegate::guard::{self, Guard};
use wavegate::model::halt::KillMode;

/// Guards to remove, the trouble that shows it, and the properties one of which must then be broken, by number.
pub struct Mutant {
    /// Removed together: where an invariant is held twice, one of the two is not enough.
    pub guards: &'static [Guard],
    /// The smallest bounds that show it.
    pub bounds: Bounds,
    /// What must be found.
    pub breaks: &'static [&'static str],
}

const CALM: Bounds = Bounds { follow: 0, ..Bounds::CALM };

const ASKED: Bounds = Bounds { shape: Shape::Asked, answers: 2, ..CALM };

const fn mutant(guards: &'static [Guard], bounds: Bounds, breaks: &'static [&'static str]) -> Mutant {
    Mutant { guards, bounds, breaks }
}

/// Every guard that the model can see.
pub const MUTANTS: &[Mutant] = &[
    mutant(&[Guard::GateBeforeWave], CALM, &["S1"]),
    mutant(&[Guard::KillStopsForward], Bounds { kills: 1, ..CALM }, &["S2"]),
    mutant(&[Guard::FenceOnKill], Bounds { kills: 1, ..CALM }, &["S2"]),
    mutant(&[Guard::IntentFirst], CALM, &["S3"]),
    mutant(&[Guard::FenceOnTakeover], Bounds { grants: 1, ..CALM }, &["S4"]),
    mutant(
        &[Guard::IssuerLeads, Guard::LeaseInTransaction],
        Bounds { grants: 1, zombies: true, ..CALM },
        &["S3", "S4", "S17"],
    ),
    mutant(&[Guard::ApprovedDigest], Bounds { grants: 1, edits: 1, drifts: true, ..CALM }, &["S5"]),
    mutant(&[Guard::TokenLookup], Bounds { lost: 1, ..CALM }, &["S9"]),
    mutant(&[Guard::FenceOnDoubt], Bounds { lost: 1, ..CALM }, &["S9"]),
    mutant(&[Guard::ProofByRead], Bounds { edits: 1, ..CALM }, &["S9"]),
    mutant(&[Guard::RestorePointFirst], CALM, &["S13"]),
    mutant(&[Guard::LastWaveFirst], Bounds { kills: 1, modes: &[KillMode::Revert], ..CALM }, &["S14"]),
    mutant(&[Guard::OnlyWhatWeLeft], Bounds { edits: 1, kills: 1, modes: &[KillMode::Revert], ..CALM }, &["S15"]),
    mutant(&[Guard::OneOwner], CALM, &["S16"]),
    mutant(&[Guard::ApprovalBeforeWave], ASKED, &["S7"]),
    mutant(&[Guard::ProposersPartyApart], ASKED, &["S6"]),
    // Whose party nobody knows is in everybody's: an agent meets two guards.
    mutant(&[Guard::PeopleApprove, Guard::ProposersPartyApart], ASKED, &["S6"]),
    mutant(&[Guard::TwoPeople], ASKED, &["S6"]),
    mutant(&[Guard::ApprovalExpires], Bounds { hours: 1, ..ASKED }, &["S7"]),
    mutant(&[Guard::BlastRadiusAtIssue], Bounds { shape: Shape::Shared, ..CALM }, &["S10"]),
    mutant(&[Guard::RevertOnFail], Bounds { alarms: 1, follow: 1, ..CALM }, &["L1"]),
];

/// Guards whose removal this model cannot show, and why; `tests/proof` looks for some of them by other means.
pub const UNSEEN: &[(Guard, &str)] = &[
    (Guard::EpochInName, "each try has a number of its own in the journal, so that names differ without the epoch too"),
    (Guard::IssuerGates, "a second check: the engine is checked here without the issuer's"),
    (Guard::IssuerStops, "a second check"),
    (Guard::IssuerKillFile, "a second check, and no kill file here"),
    (Guard::IssuerIntent, "a second check"),
    (Guard::IssuerRestorePoint, "a second check"),
    (Guard::IssuerApprovals, "a second check"),
    (Guard::IssuerBlastRadius, "a second check"),
    (Guard::OpaqueIsWorst, "nothing is opaque here"),
    (Guard::EvidenceFresh, "health is one alarm here"),
    (Guard::EvidenceComplete, "health is one alarm here"),
    (Guard::WholeBake, "bakes take no time here"),
    (Guard::StallIsNoWatching, "time stands still"),
    (Guard::OverdueIsReported, "time stands still"),
    (Guard::KnownStatus, "stacks begin in a known status"),
    (Guard::StopOnWriteError, "the journal can always be written by who leads"),
    (Guard::ChainedRecords, "nobody tampers with the journal"),
    (Guard::CallBudget, "calls are free"),
    (Guard::BoundedTries, "nothing fails more often than its budget says"),
];

impl Mutant {
    /// Its name.
    pub fn name(&self) -> String {
        self.guards.iter().map(|guard| guard.name()).collect::<Vec<_>>().join(" + ")
    }

    /// Checks the model without the guards; every guard stands again afterwards. Not two at a time in one process.
    pub fn check(&self) -> Found {
        guard::remove(self.guards);
        let found = check(self.bounds, Search::Shortest, None);
        guard::remove(&[]);
        found
    }

    /// True when one of the properties that must be broken is.
    pub fn is_killed(&self, found: &Found) -> bool {
        let number = |property: &str| property.split(' ').next().unwrap_or_default().to_owned();
        found.failures.iter().any(|failure| self.breaks.contains(&number(failure.property).as_str()))
    }
}
