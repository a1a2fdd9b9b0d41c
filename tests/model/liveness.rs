//! Liveness, asked of single states: each that is sampled is followed to its end.

use crate::bounds::Bounds;
use crate::consent::Voice;
use crate::daemon::Blind;
use crate::fixture::STACKS;
use crate::machine::{Action, Machine, Start, World, fingerprint};
use crate::network::{Stage, Wire};
use crate::properties::{self, Broken};
use crate::provider::End;

/// After so many rounds of fair running a rollout that is still under way is a livelock.
const FAIR: usize = 120;

impl Machine {
    /// L1, L2, L5: when faults, people and lease changes stop, whatever is under way is settled or waits for a person. Asked of
    /// one state in [`Bounds::follow`]: it is followed to its end, with every call answered and every operation completed.
    /// (`eventually` of the checker is not used: it is unsound where paths join or go round.)
    pub fn settles(&self, world: &World) -> bool {
        let follow = self.bounds.follow;
        if world.broken != Broken::default() || follow == 0 || !world.sample().is_multiple_of(follow) {
            return true;
        }
        let mut world = world.clone();
        let none = Bounds { crashes: 0, kills: 0, orders: 0, lost: 0, throttled: 0, failures: 0, ..world.bounds };
        world.bounds = Bounds { rollback_failures: 0, edits: 0, alarms: 0, grants: 1, hours: 0, ..none };
        // Nobody waits for these, and a call may be lost.
        world.network.retain(|message| message.letter.stage != Stage::Orphan);
        if world.leader.is_none() {
            let Some(led) = self.step(&world, Action::Step(Start::Grant, None), &mut Blind) else { return false };
            world = led;
        }
        world.bounds.grants = 0;
        for _ in 0..FAIR {
            let before = fingerprint(&world);
            world = self.fair_round(world);
            if world.broken != Broken::default() {
                return false;
            }
            if fingerprint(&world) == before {
                return properties::is_fine_at_rest(&world);
            }
        }
        false
    }

    /// Everything that is on its way arrives, everything that runs completes, and the leader wakes.
    fn fair_round(&self, mut world: World) -> World {
        let go = |world: &mut World, action: Action| {
            if let Some(next) = self.step(world, action, &mut Blind) {
                *world = next;
            }
        };
        go(&mut world, Action::Step(Start::Wake, None));
        // People give what is asked of them.
        for voice in [Voice::Ada, Voice::Bob] {
            if world.consent.is_asked() {
                go(&mut world, Action::Step(Start::Say(voice), None));
            }
        }
        while let Some(message) = world.network.first() {
            let action = match (&message.letter.stage, &message.letter.wire) {
                (Stage::Answered(_), _) | (_, Wire::Alarms) => Action::Step(Start::Answer(0), None),
                _ => Action::Deliver(0),
            };
            go(&mut world, action);
        }
        for n in 0..STACKS {
            let end = [End::Complete, End::RolledBack].into_iter().find(|end| world.provider.stacks[n].can_end(*end));
            if let Some(end) = end {
                go(&mut world, Action::End(n, end));
            }
        }
        world
    }
}
