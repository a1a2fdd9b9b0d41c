//! Every refusal goes on record, and no flood of them fills the disk: the same refusal within a short time is one record with its count.
//! Whoever is not known has a share of their own, so that strangers take no proven caller's name out of the record.

use super::code::Code;
use crate::daemon::driver::Orders;
use crate::engine::decide::Input;
use crate::model::ids::RolloutId;
use crate::model::principal::{Caller, Door, Principal, RefusedOrder};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The same refusal within this time is counted, not written again.
const WINDOW: Duration = Duration::from_secs(10);
/// So many different refusals of proven callers are told apart within a window; beyond them each caller's are counted as one.
const APART: usize = 256;
/// So many of one caller are.
const APART_OF_ONE: usize = 16;
/// So many of callers who are not known are; those beyond are counted as one. Anybody can make up more of these.
const APART_OF_UNKNOWN: usize = 32;
/// A message is kept up to this length.
const WHY_MAX: usize = 500;

/// A refusal, as a door tells it.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// Who; none: not known.
    pub caller: Option<&'a Caller>,
    /// What was shown as proof, without any secret.
    pub credential: &'a str,
    /// By which door.
    pub door: Door,
    /// What was asked for.
    pub verb: &'a str,
    /// Stable.
    pub code: Code,
    /// Why.
    pub why: &'a str,
}

impl<'a> Refused<'a> {
    /// An empty one, to be filled.
    pub fn at(door: Door) -> Self {
        Refused { caller: None, credential: "", door, verb: "", code: Code::Forbidden, why: "" }
    }
}

type Key = (Option<String>, String, Door, String, Code, Option<RolloutId>);

/// The way of refusals into the record.
#[derive(Clone, Debug)]
pub struct Refusals {
    orders: Orders,
    window: Arc<Mutex<BTreeMap<Key, RefusedOrder>>>,
}

impl Refusals {
    /// Into the record of this loop.
    pub fn new(orders: Orders) -> Self {
        Self { orders, window: Arc::default() }
    }

    /// Notes one. It is on record at once, or counted in a record that follows when the window ends.
    pub fn note(&self, refused: Refused<'_>, about: Option<RolloutId>, at: Timestamp) {
        let mut order = order(refused, about, at);
        let mut key = key(&order, refused.code);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if !window.contains_key(&key) {
            let count = |of: &dyn Fn(&Key) -> bool| window.keys().filter(|known| of(known)).count();
            let of_caller = count(&|known| known.0 == key.0 && known.1 == key.1);
            let share = if key.0.is_some() { APART } else { APART_OF_UNKNOWN };
            let of_kind = count(&|known| known.0.is_some() == key.0.is_some());
            if of_caller >= APART_OF_ONE || of_kind >= share {
                // INVARIANT: S23. A proven caller stays on record by name, however many others are refused.
                if key.0.is_none() && of_kind >= share {
                    order.credential = String::new();
                }
                order.verb = "many".into();
                order.about = None;
                key = self::key(&order, Code::TooManyRequests);
            }
        }
        if let Some(known) = window.get_mut(&key) {
            known.times = known.times.saturating_add(1);
            return;
        }
        window.insert(key.clone(), RefusedOrder { times: 0, ..order.clone() });
        drop(window);
        tokio::spawn(self.clone().follow(key, order));
    }

    async fn follow(self, key: Key, first: RefusedOrder) {
        // A loop that has ended records nothing more.
        let _ = self.orders.input(Input::OrderRefused(Box::new(first))).await;
        tokio::time::sleep(WINDOW).await;
        let rest = self.window.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(rest) = rest.filter(|rest| rest.times > 0) {
            let _ = self.orders.input(Input::OrderRefused(Box::new(rest))).await;
        }
    }
}

fn key(order: &RefusedOrder, code: Code) -> Key {
    let who = order.by.as_ref().map(|by| by.name.clone());
    (who, order.credential.clone(), order.door, order.verb.clone(), code, order.about.clone())
}

fn order(refused: Refused<'_>, about: Option<RolloutId>, at: Timestamp) -> RefusedOrder {
    let by: Option<Principal> = refused.caller.map(|caller| caller.principal.clone());
    let credential = refused.caller.map_or(refused.credential, |caller| caller.credential.as_str());
    RefusedOrder {
        by,
        credential: credential.chars().take(WHY_MAX).collect(),
        door: refused.door,
        verb: refused.verb.chars().take(100).collect(),
        about,
        code: refused.code.name().into(),
        why: refused.why.chars().take(WHY_MAX).collect(),
        times: 1,
        at,
    }
}
