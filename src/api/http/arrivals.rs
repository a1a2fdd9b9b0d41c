//! Connections over which nobody has shown yet who they are: so many from one address, so that a host without a credential takes a share of
//! the places and never all of them.

use crate::config::http::HttpLimits;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One address has this part of all connections until it has shown who it is: many clients may come from behind one, after a restart all at
/// once.
const PART: usize = 8;
/// A small door has room for so many from one address all the same, up to half of it.
const AT_LEAST: usize = 32;

/// Those who have arrived, and are not known yet.
#[derive(Debug)]
pub struct Arrivals {
    most: usize,
    from: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One of them, for as long as its connection lasts.
#[derive(Debug)]
pub struct Arrival {
    arrivals: Arc<Arrivals>,
    from: IpAddr,
    known: AtomicBool,
}

impl Arrivals {
    /// For a door of this size.
    pub fn of(limits: &HttpLimits) -> Self {
        let half = limits.connections.div_ceil(2);
        Self { most: (limits.connections / PART).max(AT_LEAST).min(half), from: Mutex::default() }
    }

    /// Somebody comes from there; none: too many have come from there already.
    pub fn arrive(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Arrival>> {
        let from = place(address);
        let mut all = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(from).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(all);
        Some(Arc::new(Arrival { arrivals: Arc::clone(self), from, known: AtomicBool::new(false) }))
    }

    fn leave(&self, from: IpAddr) {
        let mut all = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&from);
            }
        }
    }
}

impl Arrival {
    /// They have shown who they are.
    pub fn prove(&self) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.arrivals.leave(self.from);
        }
    }

    /// They have.
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if !self.is_known() {
            self.arrivals.leave(self.from);
        }
    }
}

/// What one host has to itself: an address of IPv4, or 64 bits of IPv6, within which it makes up addresses as it likes.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(long) => Ipv6Addr::from(u128::from(long) & (u128::MAX << 64)).into(),
        short => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(connections: usize) -> Arc<Arrivals> {
        Arc::new(Arrivals::of(&HttpLimits { connections, ..HttpLimits::default() }))
    }

    fn come(arrivals: &Arc<Arrivals>, from: &str) -> Option<Arc<Arrival>> {
        arrivals.arrive(from.parse().unwrap())
    }

    #[test]
    fn one_address_has_a_share_until_it_says_who_it_is() {
        let door = arrivals(4_096);
        let mut silent: Vec<_> = (0..512).map(|_| come(&door, "10.0.0.1").unwrap()).collect();
        assert!(come(&door, "10.0.0.1").is_none() && come(&door, "::ffff:10.0.0.1").is_none());
        assert!(come(&door, "10.0.0.2").is_some(), "another one comes in");
        silent[0].prove();
        silent[0].prove();
        let next = come(&door, "10.0.0.1").unwrap();
        assert!(come(&door, "10.0.0.1").is_none(), "whoever is known counts once");
        silent.truncate(1);
        drop((silent, next));
        assert!(door.from.lock().unwrap().is_empty(), "nothing is kept of those who have gone");
    }

    #[test]
    fn a_network_of_ipv6_is_one_host_and_a_small_door_has_a_share_for_others() {
        let door = arrivals(4);
        let _two = [come(&door, "2001:db8::1").unwrap(), come(&door, "2001:db8::2:1").unwrap()];
        assert!(come(&door, "2001:db8::3").is_none() && come(&door, "2001:db8:0:1::1").is_some());
    }
}
