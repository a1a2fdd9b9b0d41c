//! What a change adds to the monthly bill, by the pipeline's price book.
//!
//! What is saved buys nothing: the cap is on what grows, resource by resource, so that a larger change never needs less of people than
//! a smaller one. [`Costs::monthly`] is the difference with its savings, for people to read.

mod free;
mod price;

use super::finding::{Origin, changing, exceeds};
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::preview::{PolicyAction, PreviewContext, Replacement, ResourceAction, ResourceChange, Sizes};
use crate::model::price_book::PriceBook;
use crate::model::safeguards::Cost;
use crate::model::state::{Rollout, Target};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use price::{Needs, needs, price};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Nested stacks deeper than this are not looked into; they count as without a price. As in `engine/classify.rs`.
const DEPTH: usize = 8;

/// A stack, of which nobody can say what it holds.
const NESTED: &str = "AWS::CloudFormation::Stack";

/// What a rollout costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Costs {
    /// It costs more than it may, or nobody knows.
    pub found: Vec<Found>,
    /// The monthly difference, less what is saved, in the price book's currency; none: there is no price book, it is outdated, or
    /// something has no price.
    pub monthly: Option<f64>,
}

/// What a rollout costs, by the pipeline's price book; nothing is found where there is none.
pub fn costs(rollout: &Rollout, at: Timestamp) -> Costs {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Costs::default() };
    let Some(guardrail) = &safeguards.guardrails.cost else { return Costs::default() };
    let Cost { price_book, max_monthly_increase: max, over } = &guardrail.rule;
    let bill = Bill::of(rollout, price_book);
    let outdated = bill.priced && is_outdated(price_book, at);
    let known = bill.unpriced.is_empty() && !outdated;
    let monthly = known.then_some(bill.grows - bill.shrinks);
    if known && !exceeds(bill.grows, max.is) {
        return Costs { found: Vec::new(), monthly };
    }
    let unpriced = bill.unpriced.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    let currency = price_book.currency.clone();
    let what = Reason::Costs { monthly: bill.grows, max: max.is, currency, unpriced, outdated };
    let origin = Origin::new(safeguards, guardrail.dry_run);
    let found = origin.found(what, max.line, "guardrails.cost.max_monthly_increase", Consequence::Needs(*over));
    Costs { found: vec![found], monthly }
}

/// A book from the future is as good as none.
fn is_outdated(book: &PriceBook, at: Timestamp) -> bool {
    let today = TimeZone::UTC.to_datetime(at).date();
    let days = today.since(book.dated).map_or(i32::MAX, |span| span.get_days());
    // A day ahead is another time zone.
    days < -1 || days > i32::try_from(book.max_age_days).unwrap_or(i32::MAX)
}

/// All differences of a rollout.
#[derive(Default)]
struct Bill<'a> {
    grows: f64,
    shrinks: f64,
    /// Resource type → how many without a price.
    unpriced: BTreeMap<&'a str, u32>,
    /// The book was asked.
    priced: bool,
}

impl<'a> Bill<'a> {
    fn of(rollout: &'a Rollout, book: &PriceBook) -> Self {
        let mut bill = Self::default();
        let mut types = HashMap::new();
        for (_, _, target) in changing(rollout) {
            bill.add(target, book, &mut types);
        }
        bill
    }

    fn add(&mut self, target: &'a Target, book: &PriceBook, types: &mut HashMap<&'a str, Needs>) {
        if target.classified.is_none() && target.changes.is_empty() {
            // It has no preview.
            return self.unpriced(NESTED);
        }
        let none = PreviewContext::default();
        let context = target.context.as_deref().unwrap_or(&none);
        let mut walk = Walk { bill: self, book, types, context };
        walk.changes(&target.changes, "", 0);
    }

    fn unpriced(&mut self, resource_type: &'a str) {
        *self.unpriced.entry(resource_type).or_default() += 1;
    }
}

/// One target's changes, nested stacks' included.
struct Walk<'w, 'a> {
    bill: &'w mut Bill<'a>,
    book: &'w PriceBook,
    /// Each type is looked up once: there are few, and many resources.
    types: &'w mut HashMap<&'a str, Needs>,
    context: &'w PreviewContext,
}

impl<'a> Walk<'_, 'a> {
    fn changes(&mut self, changes: &'a [ResourceChange], within: &str, depth: usize) {
        for change in changes {
            let book = self.book;
            let needs = *self.types.entry(&change.resource_type).or_insert_with(|| needs(book, &change.resource_type));
            let nested = change.nested.as_deref().filter(|_| depth < DEPTH);
            if needs != Needs::Nothing || nested.is_some() {
                // Most resources are in the stack itself: their names are not copied.
                let path: Cow<'_, str> = match within {
                    "" => Cow::Borrowed(&change.logical_id),
                    within => Cow::Owned(format!("{within}/{}", change.logical_id)),
                };
                match nested {
                    Some(nested) => self.changes(&nested.changes, &path, depth + 1),
                    None => self.resource(change, needs, self.context.sizes.get(&*path)),
                }
            }
        }
    }

    fn resource(&mut self, change: &'a ResourceChange, needs: Needs, sizes: Option<&Sizes>) {
        let empty = BTreeMap::new();
        let before = sizes.and_then(|sizes| sizes.before.as_ref());
        let after = sizes.and_then(|sizes| sizes.after.as_ref());
        let kept = matches!(change.policy_action, Some(PolicyAction::Retain | PolicyAction::ReplaceAndRetain));
        match &change.action {
            ResourceAction::Add => self.difference(change, None, Some(after.unwrap_or(&empty))),
            // It was there, and was paid for.
            ResourceAction::Import => {}
            // What is kept goes on to cost; what has no price saves nothing that anybody could count.
            ResourceAction::Remove if kept || needs != Needs::Price => {}
            ResourceAction::Remove => self.difference(change, Some(before.unwrap_or(&empty)), None),
            _ if kept && change.replacement != Some(Replacement::False) => {
                self.difference(change, None, Some(after.unwrap_or(&empty)));
            }
            ResourceAction::Modify if change.resource_type != NESTED => self.modified(change, sizes),
            // Nobody can say what it will be, or what is within.
            ResourceAction::Modify
            | ResourceAction::Dynamic
            | ResourceAction::SyncWithActual
            | ResourceAction::Unknown(_) => {
                self.bill.unpriced(&change.resource_type);
            }
        }
    }

    fn modified(&mut self, change: &'a ResourceChange, sizes: Option<&Sizes>) {
        if !price::may_change_size(change) {
            return;
        }
        match sizes.map(|sizes| (sizes.before.as_ref(), sizes.after.as_ref())) {
            Some((Some(before), Some(after))) if before == after && !price::is_in_doubt(change, after) => {}
            Some((Some(before), Some(after))) => self.difference(change, Some(before), Some(after)),
            _ => self.bill.unpriced(&change.resource_type),
        }
    }

    fn difference(
        &mut self,
        change: &'a ResourceChange,
        before: Option<&BTreeMap<String, String>>,
        after: Option<&BTreeMap<String, String>>,
    ) {
        self.bill.priced = true;
        let prices = self.book.prices.get(&change.resource_type).map_or(&[][..], Vec::as_slice);
        let of = |sizes: Option<&BTreeMap<String, String>>| sizes.map_or(Some(0.0), |sizes| price(prices, sizes));
        match (of(before), of(after)) {
            (Some(before), Some(after)) if after >= before => self.bill.grows += after - before,
            (Some(before), Some(after)) => self.bill.shrinks += before - after,
            // A saving that nobody can count is none.
            (None, _) if after.is_none() => {}
            _ => self.bill.unpriced(&change.resource_type),
        }
    }
}
