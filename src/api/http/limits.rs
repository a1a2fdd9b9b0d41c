//! How much at once: places for requests, with a share that only kills have; streams; and how often one principal may ask. Whoever
//! finds no place is told so at once: a queue would only hide it. Agents and services get half of the places at most: however busy they
//! are, the people who look after them come in.

use super::problem::Problem;
use crate::api::code::Code;
use crate::config::http::HttpLimits;
use crate::model::principal::{Caller, PrincipalKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Kills that are answered at once. Each ends within two seconds, and a further one waits so long for its place.
const KILLS: usize = 64;
/// Kills of agents and services that are answered at once: people have the others to themselves.
const KILLS_OF_OTHERS: usize = 16;
/// How long a kill waits for a place.
const KILL_WAITS: Duration = Duration::from_secs(2);
/// Large bodies at once: 16 of 16 MiB are what the door holds in memory for them at most.
const LARGE: usize = 16;
/// Principals whose rate is known at once; the one that was quiet the longest is forgotten first.
const PRINCIPALS: usize = 10_000;

/// The limits, and what is taken of them.
#[derive(Debug)]
pub struct Limits {
    requests: Places,
    kills: Arc<Semaphore>,
    kills_of_others: Arc<Semaphore>,
    large: Places,
    streams: Places,
    rates: Mutex<BTreeMap<(PrincipalKind, String), Bucket>>,
    per_second: f64,
    burst: f64,
    pub(super) time: Duration,
    pub(super) head_time: Duration,
}

/// So many at once, and half as many for callers who are no people.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    of_others: Arc<Semaphore>,
}

/// A place, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Place(#[expect(dead_code, reason = "held, not read")] (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>));

impl Places {
    fn of(count: usize) -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self { all: of(count), of_others: of(count.div_ceil(2)) }
    }

    fn take(&self, by: PrincipalKind) -> Option<Place> {
        let share = match by {
            PrincipalKind::Human => None,
            PrincipalKind::Agent | PrincipalKind::Service => {
                Some(Arc::clone(&self.of_others).try_acquire_owned().ok()?)
            }
        };
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place((place, share)))
    }
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limits {
    /// As they are configured.
    pub fn of(limits: &HttpLimits) -> Self {
        Self {
            requests: Places::of(limits.requests),
            kills: Arc::new(Semaphore::new(KILLS)),
            kills_of_others: Arc::new(Semaphore::new(KILLS_OF_OTHERS)),
            large: Places::of(LARGE),
            streams: Places::of(limits.streams),
            rates: Mutex::default(),
            per_second: f64::from(limits.per_second),
            burst: f64::from(limits.burst),
            time: limits.request_time(),
            head_time: limits.head_time(),
        }
    }

    /// A place for a request.
    ///
    /// # Errors
    /// Busy.
    pub fn place(&self, by: PrincipalKind) -> Result<Place, Problem> {
        self.requests.take(by).ok_or_else(|| busy("as many requests as it takes are being answered"))
    }

    /// A place for a large body.
    ///
    /// # Errors
    /// Busy.
    pub fn large(&self, by: PrincipalKind) -> Result<Place, Problem> {
        self.large.take(by).ok_or_else(|| busy("as many change sets as it takes are being read"))
    }

    /// A place for a stream of events, for as long as it lasts.
    ///
    /// # Errors
    /// Busy.
    pub fn stream(&self, by: PrincipalKind) -> Result<Place, Problem> {
        self.streams.take(by).ok_or_else(|| busy("as many streams as it takes are open"))
    }

    /// A place for a kill: no other request can take it, and no agent's kill a person's.
    ///
    /// # Errors
    /// Busy: with other kills.
    pub async fn kill(&self, by: PrincipalKind) -> Result<OwnedSemaphorePermit, Problem> {
        let places = if by == PrincipalKind::Human { &self.kills } else { &self.kills_of_others };
        match tokio::time::timeout(KILL_WAITS, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(busy("as many kills as it takes are being answered")),
        }
    }

    /// The answer, if it comes in time.
    ///
    /// # Errors
    /// Busy.
    pub async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Problem> {
        tokio::time::timeout(self.time, answer).await.map_err(|_| {
            busy("there was no answer in time; an order may or may not have been taken, `GET /v1/status` tells")
        })
    }

    /// Counts a request of this principal.
    ///
    /// # Errors
    /// Too many, with the seconds to wait.
    pub fn rate(&self, caller: &Caller) -> Result<(), Problem> {
        let now = Instant::now();
        let key = (caller.principal.kind, caller.principal.name.clone());
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if !rates.contains_key(&key) && rates.len() >= PRINCIPALS {
            let quiet = rates.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
            quiet.and_then(|quiet| rates.remove(&quiet));
        }
        let bucket = rates.entry(key).or_insert(Bucket { left: self.burst, at: now });
        let came = now.duration_since(bucket.at).as_secs_f64() * self.per_second;
        bucket.left = (bucket.left + came).min(self.burst);
        bucket.at = now;
        if bucket.left < 1.0 {
            let wait = ((1.0 - bucket.left) / self.per_second).ceil().max(1.0);
            let detail = format!("`{}` asks more often than {} times a second", caller.principal.name, self.per_second);
            return Err(Problem::later(detail, wait as u64));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

fn busy(why: &str) -> Problem {
    Problem::new(Code::Busy, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::principal::{Door, Principal, Role};

    fn caller(name: &str) -> Caller {
        let principal =
            Principal { name: name.into(), kind: PrincipalKind::Human, party: String::new(), groups: [].into() };
        Caller { principal, roles: Role::ALL.into(), credential: "token t-1".into(), door: Door::Http, named: true }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_so_many_a_second() {
        let limits = Limits::of(&HttpLimits { per_second: 2, burst: 3, ..HttpLimits::default() });
        let (ana, bo) = (caller("ana"), caller("bo"));
        for _ in 0..3 {
            limits.rate(&ana).unwrap();
        }
        assert_eq!(limits.rate(&ana).unwrap_err().code(), Code::TooManyRequests);
        limits.rate(&bo).unwrap();
        tokio::time::advance(Duration::from_millis(1_000)).await;
        limits.rate(&ana).unwrap();
        limits.rate(&ana).unwrap();
        limits.rate(&ana).unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn principals_are_forgotten_before_memory_runs_out() {
        let limits = Limits::of(&HttpLimits { per_second: 1, burst: 1, ..HttpLimits::default() });
        for n in 0..PRINCIPALS + 10 {
            limits.rate(&caller(&format!("p{n}"))).unwrap();
            tokio::time::advance(Duration::from_micros(1)).await;
        }
        assert_eq!(limits.rates.lock().unwrap().len(), PRINCIPALS);
        limits.rate(&caller(&format!("p{}", PRINCIPALS + 9))).unwrap_err();
    }

    #[test]
    fn people_find_a_place_however_busy_agents_and_services_are() {
        let limits = Limits::of(&HttpLimits { requests: 5, streams: 4, ..HttpLimits::default() });
        let agents: Vec<_> = (0..2).map(|_| limits.place(PrincipalKind::Agent).unwrap()).collect();
        let service = limits.place(PrincipalKind::Service).unwrap();
        assert_eq!(limits.place(PrincipalKind::Agent).unwrap_err().code(), Code::Busy);
        let people: Vec<_> = (0..2).map(|_| limits.place(PrincipalKind::Human).unwrap()).collect();
        limits.place(PrincipalKind::Human).unwrap_err();
        drop(service);
        drop(limits.place(PrincipalKind::Service).unwrap());
        drop((agents, people));
        let _streams: Vec<_> = (0..2).map(|_| limits.stream(PrincipalKind::Service).unwrap()).collect();
        limits.stream(PrincipalKind::Agent).unwrap_err();
        drop(limits.stream(PrincipalKind::Human).unwrap());
        let _bodies: Vec<_> = (0..LARGE / 2).map(|_| limits.large(PrincipalKind::Agent).unwrap()).collect();
        limits.large(PrincipalKind::Agent).unwrap_err();
        drop(limits.large(PrincipalKind::Human).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn kills_have_places_of_their_own() {
        let limits = Limits::of(&HttpLimits { requests: 1, ..HttpLimits::default() });
        let _taken = limits.place(PrincipalKind::Human).unwrap();
        assert_eq!(limits.place(PrincipalKind::Human).unwrap_err().code(), Code::Busy);
        let kills: Vec<_> = (0..KILLS).map(|_| Arc::clone(&limits.kills).try_acquire_owned().unwrap()).collect();
        assert_eq!(limits.kill(PrincipalKind::Human).await.unwrap_err().code(), Code::Busy);
        drop(kills);
        drop(limits.kill(PrincipalKind::Human).await.unwrap());
        let _of_agents: Vec<_> =
            (0..KILLS_OF_OTHERS).map(|_| Arc::clone(&limits.kills_of_others).try_acquire_owned().unwrap()).collect();
        limits.kill(PrincipalKind::Agent).await.unwrap_err();
        drop(limits.kill(PrincipalKind::Human).await.unwrap());
    }
}
