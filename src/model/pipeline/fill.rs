//! Placeholders: what a pipeline says once, said for one cell.

use super::{Cell, StatTemplate};
use crate::model::observation::MetricStat;

impl Cell {
    /// Fills `{cell}`, `{account}`, `{region}`, `{environment}` and `{cell.KEY}` in `text`; the error is the placeholder that
    /// this cell has no value for.
    ///
    /// # Errors
    /// The unknown placeholder's name.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((key, tail)) = after.split_once('}') else { return Err(after.to_owned()) };
            out.push_str(before);
            out.push_str(self.value_of(key).ok_or_else(|| key.to_owned())?);
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// As [`Self::fill`], in PromQL, where braces also hold selectors (`up{job="a"}`) and counts (`a{2}`): those stay. A single word in
    /// braces is neither, so one that is no placeholder is refused here, and not by Prometheus in the middle of a bake.
    ///
    /// # Errors
    /// The unknown placeholder's name.
    pub fn fill_promql(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            match after.split_once('}') {
                Some((key, tail)) if is_word(key) => {
                    out.push_str(self.value_of(key).ok_or_else(|| key.to_owned())?);
                    rest = tail;
                }
                // Only the brace is passed: a placeholder may stand within a selector.
                _ => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value_of(&self, key: &str) -> Option<&str> {
        Some(match key {
            "cell" => self.name.as_str(),
            "account" => self.account.as_str(),
            "region" => self.region.as_str(),
            "environment" => &self.environment,
            _ => key.strip_prefix("cell.").and_then(|k| self.attributes.get(k))?,
        })
    }
}

/// A name as placeholders have it: what stands in a selector has an operator or quotes besides.
fn is_word(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

impl StatTemplate {
    /// This metric for one cell.
    ///
    /// # Errors
    /// The placeholder that the cell has no value for.
    pub fn fill(&self, cell: &Cell) -> Result<MetricStat, String> {
        let dimensions =
            self.dimensions.iter().map(|(k, v)| Ok((k.clone(), cell.fill(v)?))).collect::<Result<_, String>>()?;
        Ok(MetricStat {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            dimensions,
            statistic: self.statistic.clone(),
            unit: self.unit.clone(),
        })
    }
}
