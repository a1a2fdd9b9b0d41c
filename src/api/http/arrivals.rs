//! Connections: over which nobody has shown yet who they are, so many from one address; and of agents and services, so many in all. A host
//! without a credential takes a share of the places and never all of them, and people come in however busy agents are.

use crate::config::http::HttpLimits;
use crate::model::principal::PrincipalKind;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One address has this part of all connections until it has shown who it is: many clients may come from behind one, after a restart all at
/// once.
const PART: usize = 8;
/// A small door has room for so many from one address all the same, up to half of it.
const AT_LEAST: usize = 32;

/// Who has arrived.
#[derive(Debug)]
pub struct Arrivals {
    /// So many that are not known, from one address.
    unknown: usize,
    /// So many of agents and services.
    others: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Who is not known, the oldest first, with what ends them.
    unknown: BTreeMap<IpAddr, BTreeMap<u64, Arc<Notify>>>,
    others: usize,
    arrived: u64,
}

/// One connection, for as long as it lasts.
#[derive(Debug)]
pub struct Arrival {
    arrivals: Arc<Arrivals>,
    from: IpAddr,
    number: u64,
    ended: Arc<Notify>,
    /// None: not known yet.
    kind: Mutex<Option<PrincipalKind>>,
}

impl Arrivals {
    /// For a door of this size.
    pub fn of(limits: &HttpLimits) -> Self {
        let half = limits.connections.div_ceil(2);
        let unknown = (limits.connections / PART).max(AT_LEAST).min(half);
        Self { unknown, others: half, inner: Mutex::default() }
    }

    /// Somebody comes from there. When too many from there have not said who they are, the one that had the longest time for it is ended:
    /// whoever comes now may have something to say.
    pub fn arrive(self: &Arc<Self>, address: IpAddr) -> Arc<Arrival> {
        let (from, ended) = (place(address), Arc::new(Notify::new()));
        let mut inner = self.inner();
        inner.arrived += 1;
        let number = inner.arrived;
        let silent = inner.unknown.entry(from).or_default();
        silent.insert(number, Arc::clone(&ended));
        if silent.len() > self.unknown
            && let Some((_, oldest)) = silent.pop_first()
        {
            tracing::debug!(%from, "too many connections from there wait without a credential: the oldest one is ended");
            oldest.notify_one();
        }
        drop(inner);
        Arc::new(Arrival { arrivals: Arc::clone(self), from, number, ended, kind: Mutex::default() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_known(&mut self, from: IpAddr, number: u64) {
        if let Some(silent) = self.unknown.get_mut(&from) {
            silent.remove(&number);
            if silent.is_empty() {
                self.unknown.remove(&from);
            }
        }
    }
}

impl Arrival {
    /// They have said something, which is looked into: until it is known what it is worth they are not ended.
    pub fn speak(&self) {
        self.arrivals.inner().is_known(self.from, self.number);
    }

    /// It was worth nothing.
    pub fn is_refused(&self) {
        if !self.is_known() {
            let mut inner = self.arrivals.inner();
            inner.unknown.entry(self.from).or_default().insert(self.number, Arc::clone(&self.ended));
        }
    }

    /// They have shown who they are. False: there are too many connections of their kind, and this one stays one that is not known.
    pub fn prove(&self, kind: PrincipalKind) -> bool {
        let mut known = self.kind();
        if known.is_some() {
            return true;
        }
        let mut inner = self.arrivals.inner();
        if kind != PrincipalKind::Human {
            if inner.others >= self.arrivals.others {
                return false;
            }
            inner.others += 1;
        }
        inner.is_known(self.from, self.number);
        *known = Some(kind);
        true
    }

    /// They have.
    pub fn is_known(&self) -> bool {
        self.kind().is_some()
    }

    /// Returns when it is to make place for others from the same address.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    fn kind(&self) -> MutexGuard<'_, Option<PrincipalKind>> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let kind = *self.kind();
        let mut inner = self.arrivals.inner();
        match kind {
            None => inner.is_known(self.from, self.number),
            Some(PrincipalKind::Human) => {}
            Some(PrincipalKind::Agent | PrincipalKind::Service) => inner.others = inner.others.saturating_sub(1),
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
    use futures_util::FutureExt as _;

    fn arrivals(connections: usize) -> Arc<Arrivals> {
        Arc::new(Arrivals::of(&HttpLimits { connections, ..HttpLimits::default() }))
    }

    fn come(arrivals: &Arc<Arrivals>, from: &str) -> Arc<Arrival> {
        arrivals.arrive(from.parse().unwrap())
    }

    fn is_ended(arrival: &Arrival) -> bool {
        arrival.ended().now_or_never().is_some()
    }

    #[test]
    fn one_address_has_a_share_until_it_says_who_it_is() {
        let door = arrivals(4_096);
        let silent: Vec<_> = (0..512).map(|_| come(&door, "10.0.0.1")).collect();
        let other = come(&door, "10.0.0.2");
        assert!(silent.iter().all(|arrival| !is_ended(arrival)));
        // Whoever comes now comes in, and the oldest one goes.
        let (next, mapped) = (come(&door, "10.0.0.1"), come(&door, "::ffff:10.0.0.1"));
        assert!(is_ended(&silent[0]) && is_ended(&silent[1]) && !is_ended(&silent[2]) && !is_ended(&next));
        // Whoever is known counts no more.
        assert!(silent[2].prove(PrincipalKind::Human) && silent[2].prove(PrincipalKind::Agent));
        let more = come(&door, "10.0.0.1");
        assert!(silent[2..].iter().all(|arrival| !is_ended(arrival)));
        drop((silent, next, mapped, more, other));
        assert!(door.inner().unknown.is_empty(), "nothing is kept of those who have gone");
    }

    #[test]
    fn agents_and_services_have_half() {
        let door = arrivals(4);
        let all: Vec<_> = (0..4).map(|n| come(&door, &format!("10.0.0.{n}"))).collect();
        assert!(all[0].prove(PrincipalKind::Agent) && all[1].prove(PrincipalKind::Service));
        assert!(!all[2].prove(PrincipalKind::Agent) && !all[2].is_known());
        assert!(all[3].prove(PrincipalKind::Human));
        drop(all.into_iter().next());
        assert_eq!(door.inner().others, 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_host_and_a_small_door_has_a_share_for_others() {
        let door = arrivals(4);
        let two = [come(&door, "2001:db8::1"), come(&door, "2001:db8::2:1")];
        let (third, other) = (come(&door, "2001:db8::3"), come(&door, "2001:db8:0:1::1"));
        assert!(is_ended(&two[0]) && !is_ended(&two[1]) && !is_ended(&third) && !is_ended(&other));
    }
}
