//! Bytes → lines, for values that remember where they were set.

use super::tree::Node;

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub struct Lines(Vec<usize>);

impl Lines {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line on which a node begins, from 1.
    pub fn line(&self, node: &Node) -> u32 {
        let before = self.0.partition_point(|start| *start <= node.span.start);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }
}
