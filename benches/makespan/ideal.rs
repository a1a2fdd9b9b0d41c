//! The shortest makespan that the work allows, by list scheduling: each free slot takes the next target.
//!
//! The two reference figures (93.7 s and 62.0 s) are those of the same work under other stack names. What they assume is
//! not written down, so this computes the same from this stub's own durations under several assumptions and prints each.
//! They agree with "the updates alone" and, for the way back, with one queue in which the waves overlap. A revert that
//! keeps the waves apart (invariant S14) cannot be faster than the third line of the reverting case.

use crate::{MAX_CONCURRENT, WAVES, update_seconds};

/// The reference figures: seconds, healthy and reverting.
pub const REFERENCE: [f64; 2] = [93.7, 62.0];

/// Two calls frame an update and cannot be hidden behind another one in its slot: the one that executes, and the read
/// that sees it done. Each takes 50 ms, half of it before the provider acts.
const FRAME: f64 = 0.1;

/// One metric check after each wave: one call.
const CHECK: f64 = 0.05;

/// One assumption and its makespan.
pub struct Ideal {
    pub seconds: f64,
    pub assumes: &'static str,
}

/// When the last of these targets is done, `MAX_CONCURRENT` at a time, each taking its own time and `frame`.
fn schedule(stacks: &[String], frame: f64) -> f64 {
    let mut slots = [0.0_f64; MAX_CONCURRENT];
    for stack in stacks {
        let free = slots.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("slots");
        *free += update_seconds(stack) + frame;
    }
    slots.iter().copied().fold(0.0, f64::max)
}

/// The stacks of each wave, in the order in which they were executed.
fn waves(order: &[String]) -> Vec<Vec<String>> {
    let mut rest = order.iter().cloned();
    WAVES.iter().map(|count| rest.by_ref().take(*count).collect()).collect()
}

fn forward(waves: &[Vec<String>], frame: f64, check: f64) -> f64 {
    waves.iter().map(|wave| schedule(wave, frame) + check).sum()
}

/// All four waves.
pub fn healthy(order: &[String]) -> Vec<Ideal> {
    let waves = waves(order);
    vec![
        Ideal { seconds: forward(&waves, 0.0, 0.0), assumes: "the updates alone" },
        Ideal {
            seconds: forward(&waves, FRAME, CHECK),
            assumes: "with the call that executes, the read that sees the end, a metric check a wave",
        },
        Ideal {
            seconds: forward(&waves, 4.0 * CHECK, CHECK),
            assumes: "with four calls one after the other in each slot, a metric check a wave",
        },
    ]
}

/// Waves 1 to 3 and their reverts.
pub fn reverting(order: &[String]) -> Vec<Ideal> {
    let waves = waves(order);
    let touched = &waves[..3];
    let all: Vec<String> = touched.iter().rev().flatten().cloned().collect();
    let there = |frame, check| forward(touched, frame, check);
    vec![
        Ideal {
            seconds: there(0.0, 0.0) + schedule(&all, 0.0),
            assumes: "the updates alone; reverts as one queue, waves overlap",
        },
        Ideal {
            seconds: there(FRAME, CHECK) + schedule(&all, FRAME),
            assumes: "with the two calls and the metric checks; reverts as one queue, waves overlap",
        },
        Ideal {
            seconds: there(0.0, 0.0) + forward(touched, 0.0, 0.0),
            assumes: "the updates alone; a wave's revert starts when the later wave is settled (S14)",
        },
        Ideal {
            seconds: there(FRAME, CHECK) + forward(touched, FRAME, 0.0),
            assumes: "with the two calls and the metric checks; a wave's revert starts when the later wave is settled (S14)",
        },
    ]
}
