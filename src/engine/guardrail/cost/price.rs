//! What one resource costs a month.

use super::free::is_free;
use crate::model::preview::{ChangeDetail, ResourceChange};
use crate::model::price_book::{PRICED_PROPERTIES, Price, PriceBook};
use std::collections::BTreeMap;

/// What is to be known of a resource type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// It costs nothing, whatever its size.
    Nothing,
    /// The book has prices for it.
    Price,
    /// The book has none: what is added or grows has no price.
    Unknown,
}

pub(super) fn needs(book: &PriceBook, resource_type: &str) -> Needs {
    match book.prices.get(resource_type) {
        Some(prices) if prices.iter().all(is_nothing) && !prices.is_empty() => Needs::Nothing,
        Some(_) => Needs::Price,
        None if is_free(resource_type) => Needs::Nothing,
        None => Needs::Unknown,
    }
}

/// A price of 0 says that the type is free.
fn is_nothing(price: &Price) -> bool {
    price.monthly == 0.0 && price.monthly_per.values().all(|each| *each == 0.0)
}

/// A month of a resource of these sizes, by the first price that fits; none: no price fits, or what it asks for is not known. A
/// property that a price asks for and that is missing is not known: the provider may set it to anything.
pub(super) fn price(prices: &[Price], sizes: &BTreeMap<String, String>) -> Option<f64> {
    for price in prices {
        if fits(price, sizes)? {
            return amount(price, sizes).filter(|amount| amount.is_finite() && *amount >= 0.0);
        }
    }
    None
}

/// None: it cannot be told.
fn fits(price: &Price, sizes: &BTreeMap<String, String>) -> Option<bool> {
    let mut doubt = false;
    for (property, wanted) in &price.when {
        match sizes.get(property) {
            Some(value) if value == wanted => {}
            // One that differs decides, whatever else is not known.
            Some(_) => return Some(false),
            None => doubt = true,
        }
    }
    (!doubt).then_some(true)
}

fn amount(price: &Price, sizes: &BTreeMap<String, String>) -> Option<f64> {
    let number = |property: &String| sizes.get(property)?.trim().parse::<f64>().ok();
    let mut sum = price.monthly;
    for (property, each) in &price.monthly_per {
        sum += each * number(property)?;
    }
    match &price.times {
        Some(property) => Some(sum * number(property)?),
        None => Some(sum),
    }
}

/// False where it is known that no property changes that a price depends on.
pub(super) fn may_change_size(change: &ResourceChange) -> bool {
    let priced = priced_properties(&change.resource_type);
    let touches_properties = change.scope.is_empty() || change.scope.iter().any(|word| word == "Properties");
    if !touches_properties || priced.is_empty() {
        return false;
    }
    let mut properties = change.details.iter().filter(|detail| is_of_properties(detail)).peekable();
    // Properties change, and the provider does not say which.
    properties.peek().is_none() || properties.any(|detail| is_priced(detail, priced))
}

/// True when a property that a price depends on changes to what is not known yet.
pub(super) fn is_in_doubt(change: &ResourceChange, after: &BTreeMap<String, String>) -> bool {
    let priced = priced_properties(&change.resource_type);
    let named = change.details.iter().filter_map(|detail| detail.property()).map(first_part);
    named.into_iter().any(|property| priced.contains(&property) && !after.contains_key(property))
}

fn priced_properties(resource_type: &str) -> &'static [&'static str] {
    PRICED_PROPERTIES.iter().find(|(name, _)| *name == resource_type).map_or(&[], |(_, properties)| properties)
}

fn is_of_properties(detail: &ChangeDetail) -> bool {
    detail.attribute().is_none_or(|attribute| attribute == "Properties")
}

fn is_priced(detail: &ChangeDetail, priced: &[&str]) -> bool {
    detail.property().is_none_or(|property| priced.contains(&first_part(property)))
}

/// `ProvisionedThroughput.ReadCapacityUnits` → `ProvisionedThroughput`.
fn first_part(property: &str) -> &str {
    property.split(['.', '/']).next().unwrap_or(property)
}
