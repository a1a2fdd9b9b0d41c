//! What must be known of a PromQL expression before it is asked: does it read instant vectors?
//!
//! Source: Prometheus documentation, "Querying basics" and "Operators". An instant vector selector (`up`, `{job="a"}`) gives
//! each series' newest sample of the last five minutes (`lookback-delta`), so that a series that ended goes on with its last
//! value; a range vector selector (`up[1m]`) gives the samples of its range, and no others.

/// Words that are no metric's name where they stand. Some could be names as well; then a selector is overlooked, and they may
/// not be told from operators without a grammar.
const KEYWORDS: [&str; 16] = [
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
    "atan2",
    "inf",
    "nan",
    "start",
    "end",
];

/// Keywords whose brackets hold names of labels.
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// True when a selector of the expression is not followed by a range of its own, or by a subquery's, which evaluates it at
/// instants. In doubt true.
pub(super) fn reads_instants(expression: &str) -> bool {
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let after = match first {
            '#' => rest.find('\n').map_or("", |at| tail(rest, at)),
            '"' | '\'' | '`' => after_text(first, rest),
            // A subquery of something whose selectors have been looked at.
            '[' => match rest.split_once(']') {
                Some((_, after)) => after,
                None => return true,
            },
            '{' => match after_selector(after_braces(rest)) {
                Some(after) => after,
                None => return true,
            },
            c if c.is_ascii_digit() => tail(rest, length(rest, |c| c.is_ascii_alphanumeric() || c == '.')),
            c if starts_name(c) => match after_name(rest) {
                Some(after) => after,
                None => return true,
            },
            c => tail(rest, c.len_utf8()),
        };
        rest = after;
    }
    false
}

/// What follows a name: a function's, a keyword with its labels, or a selector with its range. None: a selector without one.
fn after_name(rest: &str) -> Option<&str> {
    let (name, after) = rest.split_at(length(rest, |c| starts_name(c) || c.is_ascii_digit()));
    let lower = name.to_ascii_lowercase();
    let next = after.trim_start();
    if GROUPING.contains(&lower.as_str()) && next.starts_with('(') {
        return Some(next.find(')').map_or("", |at| tail(next, at + 1)));
    }
    // A function, or an aggregation with its labels before what it aggregates.
    let following = next.get(..length(next, starts_name)).unwrap_or_default().to_ascii_lowercase();
    let is_operator = next.starts_with('(') || matches!(following.as_str(), "by" | "without");
    if is_operator || KEYWORDS.contains(&lower.as_str()) {
        return Some(after);
    }
    after_selector(if next.starts_with('{') { after_braces(next) } else { after })
}

/// What follows a selector's range. None: it has none, or it is a subquery's.
fn after_selector(after: &str) -> Option<&str> {
    let range = after.trim_start().strip_prefix('[')?;
    let (inside, after) = range.split_once(']')?;
    (!inside.contains(':')).then_some(after)
}

fn after_braces(rest: &str) -> &str {
    let mut rest = tail(rest, 1);
    while let Some(first) = rest.chars().next() {
        match first {
            '}' => return tail(rest, 1),
            '"' | '\'' | '`' => rest = after_text(first, rest),
            c => rest = tail(rest, c.len_utf8()),
        }
    }
    rest
}

/// What follows a text in quotes; within back-ticks a backslash is itself.
fn after_text(quote: char, rest: &str) -> &str {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return tail(rest, at + 1),
            _ => {}
        }
    }
    ""
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

fn length(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

fn tail(rest: &str, at: usize) -> &str {
    rest.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_without_a_range_is_found() {
        for expression in [
            "up",
            "up{cell=\"a\"}",
            "{job='x[1m]'}",
            "sum by (cell) (up)",
            "sum(rate(errors[1m])) / sum(requests)",
            "job:errors:rate5m{cell=\"a\"}",
            "max_over_time(up[5m:1m])",
            "sum_over_time(up[5m:])",
            "histogram_quantile(0.9, buckets)",
            "up offset 5m",
            "rate(errors[1m]) > bool limit",
            "1e3 * up",
            "sum(rate(a[1m])) by (b) + on(c) group_left(d) up",
            "# comment\nup",
            "`[`+up",
            "é + up",
            "absent(up)",
            "{__name__=~\"a.*\"} or rate(b[1m])",
        ] {
            assert!(reads_instants(expression), "{expression}");
        }
    }

    #[test]
    fn ranges_are_bounded_by_themselves() {
        for expression in [
            "",
            "1",
            "rate(errors[1m])",
            "rate(errors{cell=\"a\", x=\"}\"} [1m])",
            "histogram_quantile(0.99, sum by (le) (rate(http_seconds_bucket{cell=\"a\"}[1m])))",
            "sum(increase(errors[1m] offset 5m)) without (instance) / on (cell) sum(increase(requests[1m]))",
            "last_over_time(up{cell='a\\'b'}[1m]) == bool 1 # up",
            "SUM BY (a) (rate(b[1m])) AND rate(c[1m])",
            "rate({job=\"x\"}[90s]) * -Inf + NaN + 0x1F + 1e3",
            "label_replace(rate(a[1m]), \"up\", \"$1\", \"b\", \"(.*)\")",
            "rate(a[1m] @ start()) or vector(0) or scalar(rate(b[1m]))",
            "count by (le) (rate(a[1m]))",
            "max_over_time(rate(errors[1m])[5m:1m])",
        ] {
            assert!(!reads_instants(expression), "{expression}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[a-z\\[\\](){}\"'`:#0-9 é\\\\\n,]{0,40}") {
            reads_instants(&text);
            // A selector at the end is found whatever comes before it, unless quotes or a comment hold it.
            let hidden = text.contains(['"', '\'', '`', '#', '{']);
            let found = reads_instants(&format!("{text} + up"));
            proptest::prop_assert!(hidden || found);
        }
    }
}
