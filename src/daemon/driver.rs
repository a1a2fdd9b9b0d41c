//! The waiting: replies of the world, orders of people, timers, the kill file. It selects and obeys; nothing is decided here.

use super::clock::Clock;
use super::core::{Core, Fatal};
use super::perform::Perform;
use super::{kill_file, leader};
use crate::engine::decide::{Input, Refusal};
use crate::engine::effect::{EffectId, Reply};
use crate::model::halt::{Kill, KillDoor};
use crate::model::ids::Seq;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often the kill file is looked for: well within the two seconds in which a kill must be acknowledged or pending (L3).
const LOOK_FOR_KILL: Duration = Duration::from_millis(250);
/// So many replies at most are taken in one turn: one append and one fsync serve them all.
const REPLIES_PER_TURN: usize = 256;

/// What others ask of the loop.
pub enum Order {
    /// An input, with where its result goes.
    Input(Input, oneshot::Sender<Result<(), Refusal>>),
    /// A look at the core, between two turns.
    Look(Box<dyn FnOnce(&Core) + Send>),
    /// Stop after this turn. What is in flight is found again after the next start.
    Stop,
}

/// Sends orders to the loop.
#[derive(Clone, Debug)]
pub struct Orders {
    queue: mpsc::Sender<Order>,
    stops: mpsc::Sender<Order>,
}

/// The loop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daemon has stopped")]
pub struct Stopped;

impl Orders {
    /// Hands an input in and waits for what became of it.
    ///
    /// # Errors
    /// [`Stopped`] when the loop has ended.
    pub async fn input(&self, input: Input) -> Result<Result<(), Refusal>, Stopped> {
        let (send, receive) = oneshot::channel();
        // INVARIANT: L3. However many others wait, who stops does not stand behind them.
        let queue = if matches!(input, Input::Kill(_) | Input::Stop { .. }) { &self.stops } else { &self.queue };
        queue.send(Order::Input(input, send)).await.map_err(|_| Stopped)?;
        receive.await.map_err(|_| Stopped)
    }

    /// Looks at the core.
    ///
    /// # Errors
    /// [`Stopped`] when the loop has ended.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Core) -> T + Send + 'static) -> Result<T, Stopped> {
        let (send, receive) = oneshot::channel();
        let order = Order::Look(Box::new(move |core| drop(send.send(look(core)))));
        self.queue.send(order).await.map_err(|_| Stopped)?;
        receive.await.map_err(|_| Stopped)
    }

    /// Stops the loop.
    pub async fn stop(&self) {
        // A loop that has ended is stopped.
        let _ = self.queue.send(Order::Stop).await;
    }

    /// The same for whoever stops: what is asked by it waits behind other stop orders alone.
    #[must_use]
    pub fn of_stops(&self) -> Self {
        Self { queue: self.stops.clone(), stops: self.stops.clone() }
    }
}

/// Where the next turn comes from. They take turns: however much comes of two, the third is not kept waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Orders to stop, and what those who stop ask.
    Stops,
    /// The world's answers, and deadlines.
    World,
    /// All other orders.
    Orders,
}

/// What came.
enum Came {
    Order(Order),
    Reply((EffectId, Reply)),
    /// It is time for something.
    Time,
    /// Nobody is left who could order anything.
    End,
}

type Performing = Pin<Box<dyn Future<Output = (EffectId, Reply)> + Send>>;

/// The loop over one world.
pub struct Driver<W> {
    core: Core,
    world: Arc<W>,
    clock: Clock,
    kill_file: Option<PathBuf>,
    orders: mpsc::Receiver<Order>,
    stops: mpsc::Receiver<Order>,
    /// Whoever was served the longest ago comes first.
    sources: [Source; 3],
    /// It ends as soon as nobody who stops is waiting any more.
    stopping: bool,
    performing: FuturesUnordered<Performing>,
    wake: Option<Duration>,
    /// When the kill file was last looked for.
    looked: Duration,
    renewed: Duration,
    renew: Duration,
}

/// Called after each turn, with the core and the time: for whoever shows what happens.
pub type Observer<'a> = &'a mut (dyn FnMut(&mut Core, crate::model::time::Now) + Send);

impl<W: Perform> Driver<W> {
    /// A loop over `world`, and the way to give it orders.
    pub fn new(core: Core, world: Arc<W>, clock: Clock, kill_file: Option<PathBuf>) -> (Self, Orders) {
        let (queue, orders) = mpsc::channel(64);
        let (stop, stops) = mpsc::channel(64);
        let driver = Self {
            core,
            world,
            clock,
            kill_file,
            orders,
            stops,
            sources: [Source::Stops, Source::World, Source::Orders],
            stopping: false,
            performing: FuturesUnordered::new(),
            wake: None,
            looked: Duration::ZERO,
            renewed: Duration::ZERO,
            renew: leader::RENEW,
        };
        (driver, Orders { queue, stops: stop })
    }

    /// Renews the lease so often instead of every [`leader::RENEW`]: for virtual time, where nobody else waits for the lease.
    #[must_use]
    pub fn renew_every(mut self, renew: Duration) -> Self {
        self.renew = renew;
        self
    }

    /// The position of the newest record.
    pub fn seq(&self) -> Seq {
        self.core.seq()
    }

    /// Runs until it is stopped.
    ///
    /// # Errors
    /// [`Fatal`]: nothing more was issued after it came up.
    pub async fn run(mut self, observer: Observer<'_>) -> Result<(), Fatal> {
        let mut answers = Vec::new();
        let mut inputs = self.look_for_kill();
        loop {
            let now = self.clock.now();
            let turn = self.core.turn(inputs, now)?;
            self.wake = turn.wake;
            // Results of replies and of the kill file come first; nobody waits for those.
            let first = turn.results.len().saturating_sub(answers.len());
            for (answer, result) in answers.drain(..).zip(turn.results.into_iter().skip(first)) {
                let answer: oneshot::Sender<Result<(), Refusal>> = answer;
                // Whoever asked may have gone away; the order stands.
                let _ = answer.send(result);
            }
            for effect in turn.effects {
                let world = Arc::clone(&self.world);
                self.performing.push(Box::pin(async move { world.perform(effect).await }));
            }
            observer(&mut self.core, now);
            match self.next(&mut answers).await? {
                Some(next) => inputs = next,
                None => return Ok(()),
            }
        }
    }

    /// Waits for whatever comes next; none: stop.
    async fn next(
        &mut self,
        answers: &mut Vec<oneshot::Sender<Result<(), Refusal>>>,
    ) -> Result<Option<Vec<Input>>, Fatal> {
        loop {
            // What is there is taken without waiting for it, and the runtime lets nothing get ready for a task that never waits.
            tokio::task::coop::consume_budget().await;
            let now = self.clock.now().monotonic;
            if now.saturating_sub(self.renewed) >= self.renew {
                self.core.renew_lease()?;
                self.renewed = now;
            }
            // INVARIANT: L3. However much is asked and answered in between: the file is looked for when its time has come.
            if self.kill_file.is_some() && now.saturating_sub(self.looked) >= LOOK_FOR_KILL {
                let kills = self.look_for_kill();
                if !kills.is_empty() {
                    return Ok(Some(kills));
                }
            }
            let came = match self.at_hand(now) {
                Some(came) => came,
                None => self.wait().await,
            };
            match came {
                Came::Order(Order::Input(input, answer)) => {
                    answers.push(answer);
                    return Ok(Some(vec![input]));
                }
                Came::Order(Order::Look(look)) => look(&self.core),
                // INVARIANT: S23. A stop order that came before the end is on record before the end.
                Came::Order(Order::Stop) => self.stopping = true,
                Came::End => return Ok(None),
                Came::Reply(reply) => return Ok(Some(self.replies(reply))),
                Came::Time if self.wake.is_some_and(|wake| wake <= self.clock.now().monotonic) => {
                    return Ok(Some(Vec::new()));
                }
                Came::Time => {}
            }
        }
    }

    /// What is there already, if anything is.
    fn at_hand(&mut self, now: Duration) -> Option<Came> {
        if self.stopping {
            return Some(self.stops.try_recv().map_or(Came::End, Came::Order));
        }
        for (place, source) in self.sources.into_iter().enumerate() {
            let came = match source {
                Source::Stops => self.stops.try_recv().ok().map(Came::Order),
                Source::Orders => self.orders.try_recv().ok().map(Came::Order),
                Source::World => match self.performing.next().now_or_never().flatten() {
                    Some(reply) => Some(Came::Reply(reply)),
                    None => self.wake.is_some_and(|wake| wake <= now).then_some(Came::Time),
                },
            };
            if came.is_some() {
                if let Some(rest) = self.sources.get_mut(place..) {
                    rest.rotate_left(1);
                }
                return came;
            }
        }
        None
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self) -> Came {
        // Without a kill file nothing but the lease wants to be looked after.
        let tick = if self.kill_file.is_some() { self.looked + LOOK_FOR_KILL } else { self.renewed + self.renew };
        let until = self.clock.instant(self.wake.map_or(tick, |wake| wake.min(tick)));
        tokio::select! {
            biased;
            Some(order) = self.stops.recv() => Came::Order(order),
            order = self.orders.recv() => order.map_or(Came::End, Came::Order),
            Some(reply) = self.performing.next(), if !self.performing.is_empty() => Came::Reply(reply),
            () = tokio::time::sleep_until(until) => Came::Time,
        }
    }

    fn replies(&mut self, first: (EffectId, Reply)) -> Vec<Input> {
        let mut inputs = vec![Input::Reply(first.0, first.1)];
        while inputs.len() < REPLIES_PER_TURN {
            match self.performing.next().now_or_never() {
                Some(Some((id, reply))) => inputs.push(Input::Reply(id, reply)),
                _ => break,
            }
        }
        inputs
    }

    /// What the kill file says and is not in force yet.
    fn look_for_kill(&mut self) -> Vec<Input> {
        let now = self.clock.now();
        self.looked = now.monotonic;
        let said = self.kill_file.as_deref().map(|file| kill_file::read(file, now.wall)).unwrap_or_default();
        let is_in_force = |wanted: &Kill| {
            let kills = self.core.state().kills.values().filter(|known| known.in_force()).map(|known| &known.kill);
            let mut of_file = kills.filter(|known| known.door == KillDoor::File);
            of_file.any(|known| known.scope.is_same(&wanted.scope) && known.mode == wanted.mode)
        };
        said.into_iter().filter(|kill| !is_in_force(kill)).map(Input::Kill).collect()
    }
}
