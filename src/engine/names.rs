//! Names and tokens at the provider: they carry rollout, target, attempt and epoch, so that none is ever used twice.

use crate::guard::{self, Guard};
use crate::model::ids::{Attempt, Digest, Epoch, RolloutId, TargetId, Token};

/// CloudFormation's limit for a change set's name (API reference, `CreateChangeSet.ChangeSetName`).
const NAME_MAX: usize = 128;

/// `wg-<rollout>-<target>-<attempt>-e<epoch>`; where that is too long, rollout and target give way to their digest.
pub fn change_set_name(rollout: &RolloutId, target: &TargetId, attempt: Attempt, epoch: Epoch) -> String {
    let epoch = if guard::holds(Guard::EpochInName) { epoch } else { Epoch(0) };
    let tail = format!("{attempt}-e{epoch}");
    let name = format!("wg-{}-{}-{tail}", plain(rollout.as_str()), plain(target.as_str()));
    if name.len() <= NAME_MAX {
        return name;
    }
    let digest = Digest::of_bytes(format!("{rollout}\n{target}").as_bytes());
    format!("wg-{}-{tail}", digest.as_str().get(..40).unwrap_or_default())
}

/// The `ClientRequestToken` of one operation: the same four names under a digest, 43 characters.
pub fn token(rollout: &RolloutId, target: &TargetId, attempt: Attempt, epoch: Epoch) -> Token {
    let epoch = if guard::holds(Guard::EpochInName) { epoch } else { Epoch(0) };
    let digest = Digest::of_bytes(format!("{rollout}\n{target}\n{attempt}\n{epoch}").as_bytes());
    Token::new(format!("wg-{}", digest.as_str().get(..40).unwrap_or_default()))
}

/// The token of the cancellation of an attempt.
pub fn cancel_token(of: &Token) -> Token {
    Token::new(format!("{of}-cancel"))
}

/// Only `[a-zA-Z0-9-]` is allowed in a change set's name.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_carries_its_epoch_and_attempt() {
        let name = change_set_name(&"r-1".into(), &"cell-a/orders".into(), Attempt(2), Epoch(7));
        assert_eq!(name, "wg-r-1-cell-a-orders-2-e7");
    }

    #[test]
    fn a_long_name_keeps_within_the_limit_and_stays_unique() {
        let long = "c".repeat(120);
        let one = change_set_name(&"r-1".into(), &format!("{long}/a").into(), Attempt(1), Epoch(1));
        let two = change_set_name(&"r-1".into(), &format!("{long}/b").into(), Attempt(1), Epoch(1));
        assert!(one.len() <= NAME_MAX && one.ends_with("-1-e1"));
        assert_ne!(one, two);
    }

    #[test]
    fn tokens_differ_by_attempt_and_epoch() {
        let of = |a, e| token(&"r".into(), &"t".into(), Attempt(a), Epoch(e));
        assert_ne!(of(1, 1), of(2, 1));
        assert_ne!(of(1, 1), of(1, 2));
        assert!(of(1, 1).as_str().len() <= 128);
    }
}
