//! Bytes that several followers send: put together once. A journal only grows, so what lies between two positions stays as it is.

use super::{Filter, Frame};
use axum::body::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// So many chunks are kept: a few for each of the rollouts that are followed at once.
const CHUNKS: usize = 256;
/// So many bytes of them.
const BYTES: usize = 32 * 1024 * 1024;

/// Everything that a filter takes from one position to another, as server-sent events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Empty: there was nothing for it.
    pub(super) bytes: Bytes,
    /// Up to which position.
    pub(super) to: u64,
}

impl Chunk {
    pub(super) fn of(frames: &[Arc<Frame>], to: u64) -> Self {
        let mut text = String::with_capacity(frames.iter().map(|frame| frame.data.len() + 64).sum());
        for Frame { seq, event, data, .. } in frames.iter().map(AsRef::as_ref) {
            text.push_str(&format!("id: {seq}\nevent: {event}\ndata: {data}\n\n"));
        }
        Self { bytes: Bytes::from(text), to }
    }
}

type Start = (Filter, u64);

/// The newest chunks, by where they begin.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    known: BTreeMap<Start, Chunk>,
    oldest_first: VecDeque<Start>,
    bytes: usize,
}

impl Chunks {
    pub(super) fn get(&self, filter: &Filter, after: u64) -> Option<Chunk> {
        self.known.get(&(filter.clone(), after)).cloned()
    }

    pub(super) fn keep(&mut self, filter: &Filter, after: u64, chunk: Chunk) {
        // One that goes nowhere says nothing, and would be found again and again.
        if chunk.to <= after || chunk.bytes.len() > BYTES {
            return;
        }
        let start = (filter.clone(), after);
        self.bytes += chunk.bytes.len();
        match self.known.insert(start.clone(), chunk) {
            Some(before) => self.bytes -= before.bytes.len(),
            None => self.oldest_first.push_back(start),
        }
        while self.known.len() > CHUNKS || self.bytes > BYTES {
            let Some(oldest) = self.oldest_first.pop_front() else { return };
            self.bytes -= self.known.remove(&oldest).map_or(0, |chunk| chunk.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str, to: u64) -> Chunk {
        Chunk { bytes: Bytes::from(text.to_owned()), to }
    }

    #[test]
    fn a_chunk_is_found_where_it_begins_and_the_oldest_goes_first() {
        let mut chunks = Chunks::default();
        let all = Filter::default();
        chunks.keep(&all, 0, chunk("a", 5));
        assert_eq!(chunks.get(&all, 0), Some(chunk("a", 5)));
        assert_eq!(chunks.get(&all, 1), None);
        assert_eq!(chunks.get(&Filter { rollout: Some("r".into()) }, 0), None);
        chunks.keep(&all, 7, chunk("", 7));
        assert_eq!(chunks.get(&all, 7), None, "it would be found again and again");
        for after in 10..10 + CHUNKS as u64 {
            chunks.keep(&all, after, chunk("b", after + 1));
        }
        assert_eq!((chunks.get(&all, 0), chunks.known.len(), chunks.bytes), (None, CHUNKS, CHUNKS));
    }

    #[test]
    fn bytes_are_bounded() {
        let mut chunks = Chunks::default();
        let all = Filter::default();
        let large = "x".repeat(BYTES / 4);
        for after in 0..10 {
            chunks.keep(&all, after, chunk(&large, after + 1));
            chunks.keep(&all, after, chunk(&large, after + 2));
        }
        assert!(chunks.bytes <= BYTES && chunks.known.len() == 4 && chunks.oldest_first.len() == 4);
    }
}
