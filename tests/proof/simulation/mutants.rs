//! Which guards are removed, alone or as a pair, and which invariant is then found broken.

use super::run::{Options, run};
use super::scenario::Scenario;
use wavegate::guard::Guard;

/// A build with something missing.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What is removed.
    pub without: &'static [Guard],
    /// Invariants whose violation names it.
    pub breaks: &'static [&'static str],
}

const fn mutant(without: &'static [Guard], breaks: &'static [&'static str]) -> Mutant {
    Mutant { without, breaks }
}

/// Nearly every guard is in here: alone, or with the second check that would still stop it. What needs an order of events that chance does
/// not meet is left to the model (`tests/model/mutants.rs`). Where the engine's half alone is missing, the
/// issuer stops the effect, and the disagreement is found as S12.
pub const MUTANTS: &[Mutant] = &[
    mutant(&[Guard::GateBeforeWave], &["S12"]),
    mutant(&[Guard::GateBeforeWave, Guard::IssuerGates], &["S1"]),
    mutant(&[Guard::KillStopsForward], &["S12"]),
    mutant(&[Guard::KillStopsForward, Guard::IssuerStops], &["S2"]),
    mutant(&[Guard::IssuerKillFile], &["S12"]),
    mutant(&[Guard::FenceOnKill], &["S2"]),
    mutant(&[Guard::IntentFirst], &["S12"]),
    mutant(&[Guard::IntentFirst, Guard::IssuerIntent], &["S3"]),
    mutant(&[Guard::EpochInName], &["S4"]),
    mutant(&[Guard::LeaseInTransaction], &["S4"]),
    mutant(&[Guard::ApprovedDigest], &["S5"]),
    mutant(&[Guard::ApprovalBeforeWave], &["S12"]),
    mutant(&[Guard::ApprovalBeforeWave, Guard::IssuerApprovals], &["S7"]),
    mutant(&[Guard::ProposersPartyApart], &["S6"]),
    mutant(&[Guard::PeopleApprove], &["S6"]),
    mutant(&[Guard::TwoPeople], &["S6"]),
    mutant(&[Guard::ApprovalExpires], &["S7"]),
    mutant(&[Guard::BlastRadiusAtIssue], &["S12"]),
    mutant(&[Guard::BlastRadiusAtIssue, Guard::IssuerBlastRadius], &["S10"]),
    mutant(&[Guard::OpaqueIsWorst], &["S22"]),
    mutant(&[Guard::TokenLookup], &["S9"]),
    mutant(&[Guard::FenceOnDoubt], &["S9"]),
    mutant(&[Guard::ProofByRead], &["S9"]),
    mutant(&[Guard::EvidenceFresh], &["S11"]),
    mutant(&[Guard::EvidenceComplete], &["S11"]),
    mutant(&[Guard::WholeBake], &["S11"]),
    mutant(&[Guard::RestorePointFirst], &["S12"]),
    mutant(&[Guard::RestorePointFirst, Guard::IssuerRestorePoint], &["S13"]),
    mutant(&[Guard::LastWaveFirst], &["S14"]),
    mutant(&[Guard::OnlyWhatWeLeft], &["S15"]),
    mutant(&[Guard::OneOwner], &["S16"]),
    mutant(&[Guard::StopOnWriteError], &["S17"]),
    mutant(&[Guard::KnownStatus], &["S24"]),
    mutant(&[Guard::CallBudget], &["S25"]),
    mutant(&[Guard::StallIsNoWatching], &["S26"]),
    mutant(&[Guard::RevertOnFail], &["L1", "L2"]),
    mutant(&[Guard::BoundedTries], &["L5"]),
    mutant(&[Guard::OverdueIsReported], &["L6"]),
];

/// The first seed whose run shows what is missing, with what it shows. The guards must have been removed.
pub fn hunt(mutant: &Mutant, seeds: impl Iterator<Item = u64>) -> Option<(u64, String)> {
    for seed in seeds {
        let ended = run(&Scenario::of(seed), &Options::default());
        let found = ended.violations.iter().find(|v| mutant.breaks.contains(&v.invariant));
        if let Some(violation) = found {
            return Some((seed, violation.to_string()));
        }
    }
    None
}
