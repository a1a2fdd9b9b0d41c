//! Each record carries the digest of itself and the record before: an edit, a gap or a swap is found on replay.

use crate::model::ids::Digest;

/// What the first record is chained to.
pub const GENESIS: &str = "wavegate journal 1";

/// The link of a record: SHA-256 over the link before, the position and what the record says.
pub fn link(before: &str, seq: u64, columns: &str) -> Digest {
    Digest::of_bytes(format!("{before}\n{seq}\n{columns}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_depends_on_all_three() {
        let base = link(GENESIS, 1, "a");
        assert_ne!(base, link("other", 1, "a"));
        assert_ne!(base, link(GENESIS, 2, "a"));
        assert_ne!(base, link(GENESIS, 1, "b"));
    }
}
