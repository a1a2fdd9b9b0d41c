//! The guards that uphold the invariants, by name: one list of what must not be left out.
//!
//! Each guard stands at the line that it names, as `guard::holds(Guard::…)`. In a build that ships, `holds` is the constant
//! `true` and costs nothing. With the feature `proof`, which only tests and examples ask for, a guard can be removed, and the
//! checker and the simulation must then find that the invariant is broken (`tests/proof`, `tests/model`): a guard whose removal
//! nobody notices is one that nobody checks.
//!
//! Some invariants are held twice on purpose (S12): by the engine and, from the durable record, by the issuer. Those are removed
//! as a pair; with one of the two, the other must still stop the effect.

macro_rules! guards {
    ($($(#[doc = $doc:literal])+ $name:ident => $invariant:literal,)+) => {
        /// One guard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Guard {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Guard {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// The invariant that it upholds, by its number in `docs/architecture.md`.
            pub fn invariant(self) -> &'static str {
                match self {
                    $(Self::$name => $invariant,)+
                }
            }

            /// What it does, in a sentence.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

guards! {
    /// A wave starts only after the gate before it has passed.
    GateBeforeWave => "S1",
    /// The issuer reads from the record that the gates have passed.
    IssuerGates => "S1",
    /// Nothing forward is decided while a kill is in force.
    KillStopsForward => "S2",
    /// The issuer reads from the record whether a kill is in force, or the rollout is held or going back.
    IssuerStops => "S2",
    /// The issuer looks for the kill file itself, before each forward effect.
    IssuerKillFile => "S12",
    /// A kill is acknowledged only when every intended forward call is proven started or fenced.
    FenceOnKill => "S2",
    /// An intent and its inverse are durable before the call.
    IntentFirst => "S3",
    /// The issuer lets out only the call whose intent is the newest record of its target.
    IssuerIntent => "S3",
    /// A new leader fences what older ones left before it does anything else.
    FenceOnTakeover => "S4",
    /// The names of change sets and operations carry the epoch.
    EpochInName => "S4",
    /// The issuer asks the record whether this daemon still leads.
    IssuerLeads => "S4",
    /// A record is written only under the lease, read in the same transaction.
    LeaseInTransaction => "S4",
    /// What is executed is compared with what was approved, read again just before.
    ApprovedDigest => "S5",
    /// A wave of a change that needs people starts only after their approvals were used for it.
    ApprovalBeforeWave => "S7",
    /// The issuer reads the approvals from the record, and looks at each of them again.
    IssuerApprovals => "S7",
    /// Nobody of the proposer's party approves.
    ProposersPartyApart => "S6",
    /// Only people approve, resume and lift.
    PeopleApprove => "S6",
    /// Two approvals are two people.
    TwoPeople => "S6",
    /// An approval counts only for its time.
    ApprovalExpires => "S7",
    /// Limits of the moment are asked at the moment of issue, over every rollout.
    BlastRadiusAtIssue => "S10",
    /// The issuer counts from the record what is in motion.
    IssuerBlastRadius => "S10",
    /// What cannot be seen is judged as the worst.
    OpaqueIsWorst => "S22",
    /// After a lost answer the operation is looked for by its token, and never sent again before that.
    TokenLookup => "S9",
    /// A doubtful call is fenced before it is called not started: it could still arrive.
    FenceOnDoubt => "S9",
    /// Applied and restored are proven by reading the stack back.
    ProofByRead => "S9",
    /// A series or an alarm that is stale, from the future or not a number is not health.
    EvidenceFresh => "S11",
    /// A series that is partial, forbidden or has holes is not health.
    EvidenceComplete => "S11",
    /// A gate passes only at the end of the whole bake.
    WholeBake => "S11",
    /// The restore point is durable before the target is touched.
    RestorePointFirst => "S13",
    /// The issuer reads from the record that the restore point is there.
    IssuerRestorePoint => "S13",
    /// The last wave goes back first.
    LastWaveFirst => "S14",
    /// Only what reads as we left it is reverted.
    OnlyWhatWeLeft => "S15",
    /// One rollout at a time owns a target.
    OneOwner => "S16",
    /// A journal that cannot be written stops the daemon.
    StopOnWriteError => "S17",
    /// Each record is chained to the one before.
    ChainedRecords => "S19",
    /// A stack in a status that is not known to be settled is not touched.
    KnownStatus => "S24",
    /// Calls wait for their turn in the budget.
    CallBudget => "S25",
    /// A stall of the daemon does not count as watching.
    StallIsNoWatching => "S26",
    /// Broken health sends the rollout back.
    RevertOnFail => "L1",
    /// A spent retry budget ends in a hold and a page.
    BoundedTries => "L5",
    /// An operation past its deadline is reported.
    OverdueIsReported => "L6",
}

/// True unless the guard was removed for a test.
#[cfg(not(feature = "proof"))]
#[inline(always)]
pub const fn holds(_guard: Guard) -> bool {
    true
}

#[cfg(feature = "proof")]
pub use removal::{holds, remove};

#[cfg(feature = "proof")]
mod removal {
    use super::Guard;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// One bit for each guard that is removed, in this process.
    static REMOVED: AtomicU64 = AtomicU64::new(0);

    /// True unless the guard was removed for a test.
    #[inline]
    pub fn holds(guard: Guard) -> bool {
        REMOVED.load(Ordering::Relaxed) & (1 << guard as u64) == 0
    }

    /// Removes these guards, and puts every other one back, for the whole process: run one mutant at a time.
    pub fn remove(guards: &[Guard]) {
        REMOVED.store(guards.iter().fold(0, |bits, guard| bits | 1 << *guard as u64), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Guard;

    #[test]
    fn every_guard_has_a_bit_of_its_own() {
        assert!(Guard::ALL.len() <= 64);
    }
}
