//! Rewrites metric math so that many expressions can share one request: the ids of its inputs, which are its own, become
//! ids of the request. Text in quotes, numbers and functions stay as they are.
//!
//! Source: CloudWatch user guide, "Using math expressions with CloudWatch metrics": an id starts with a lower-case letter;
//! functions and keywords are in capitals; `METRICS()` stands for all metrics of the request.

use std::collections::BTreeMap;

/// Why an expression cannot be sent along with others.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// It would otherwise name a metric of somebody else.
    #[error("the expression names `{0}`, which is not among its inputs")]
    NotAnInput(String),
    /// What follows is neither `()` nor one quoted text.
    #[error("the expression's `METRICS(` is not followed by `)` or one quoted text")]
    Metrics,
}

/// `expression` with every input's id replaced by the one that `ids` gives, and `METRICS()` by the list of its own inputs.
/// A Metrics Insights query (`SELECT …`) has no ids and comes back as it is.
pub(super) fn rename(expression: &str, ids: &BTreeMap<String, String>) -> Result<String, Problem> {
    let mut rest = expression;
    let mut renamed = String::with_capacity(expression.len());
    if rest.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT")) {
        return Ok(expression.to_owned());
    }
    while let Some(first) = rest.chars().next() {
        let token = take_token(first, rest);
        rest = rest.get(token.len()..).unwrap_or_default();
        if !is_word(first) {
            renamed.push_str(token);
        } else if token == "METRICS" && rest.trim_start().starts_with('(') {
            rest = metrics(rest, ids, &mut renamed)?;
        } else if rest.trim_start().starts_with('(') {
            renamed.push_str(token);
        } else if let Some(id) = ids.get(token) {
            renamed.push_str(id);
        } else if first.is_ascii_lowercase() {
            return Err(Problem::NotAnInput(token.to_owned()));
        } else {
            renamed.push_str(token);
        }
    }
    Ok(renamed)
}

/// The token that `rest` starts with: a quoted text, a number, a word, or one other character. Never empty.
fn take_token(first: char, rest: &str) -> &str {
    let length = match first {
        '"' | '\'' => quoted_length(first, rest),
        // `1e3` is one number and does not hold the id `e3`.
        _ if first.is_ascii_digit() => length_of(rest, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_'),
        _ if is_word(first) => length_of(rest, |c| c.is_ascii_alphanumeric() || c == '_'),
        _ => first.len_utf8(),
    };
    rest.get(..length).unwrap_or(rest)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn length_of(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

/// To the closing quote, or to the end when there is none. A backslash takes the next character with it.
fn quoted_length(quote: char, rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Writes the list that `METRICS(…)` stands for, and gives what comes after it. With a text it stands for the inputs whose
/// ids contain the text.
fn metrics<'a>(rest: &'a str, ids: &BTreeMap<String, String>, renamed: &mut String) -> Result<&'a str, Problem> {
    let inside = rest.trim_start().strip_prefix('(').ok_or(Problem::Metrics)?.trim_start();
    let (text, after) = match inside.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let token = take_token(quote, inside);
            (token.trim_matches(quote), inside.get(token.len()..).unwrap_or_default().trim_start())
        }
        _ => ("", inside),
    };
    let after = after.strip_prefix(')').ok_or(Problem::Metrics)?;
    let chosen: Vec<&str> = ids.iter().filter(|(id, _)| id.contains(text)).map(|(_, new)| new.as_str()).collect();
    renamed.push('[');
    renamed.push_str(&chosen.join(","));
    renamed.push(']');
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(expression: &str) -> Result<String, Problem> {
        let ids = [("e", "m10"), ("r", "m11"), ("m1", "m12"), ("errors", "m13"), ("errors_5xx", "m14")];
        rename(expression, &ids.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
    }

    #[test]
    fn ids_are_renamed_at_word_boundaries_only() {
        for (from, to) in [
            ("e/r", "m10/m11"),
            ("100 * errors / (errors + errors_5xx)", "100 * m13 / (m13 + m14)"),
            ("1e3*e", "1e3*m10"),
            ("2.5e2 + m1", "2.5e2 + m12"),
            ("IF(e > 0, FILL(r, REPEAT), m1)", "IF(m10 > 0, FILL(m11, REPEAT), m12)"),
            ("SUM([e, r])", "SUM([m10, m11])"),
            (
                "SEARCH('{AWS/SQS,QueueName} MetricName=\"e\"', 'Sum', 60) + e",
                "SEARCH('{AWS/SQS,QueueName} MetricName=\"e\"', 'Sum', 60) + m10",
            ),
            ("e&&r||-m1^2", "m10&&m11||-m12^2"),
            ("AVG(METRICS()) / e", "AVG([m10,m13,m14,m12,m11]) / m10"),
            ("SUM(METRICS( \"errors\" ))", "SUM([m13,m14])"),
            ("SELECT avg(x) FROM SCHEMA(\"AWS/EC2\", e)", "SELECT avg(x) FROM SCHEMA(\"AWS/EC2\", e)"),
            ("'e", "'e"),
            ("é + e", "é + m10"),
            ("", ""),
        ] {
            assert_eq!(renamed(from).as_deref(), Ok(to), "{from}");
        }
    }

    #[test]
    fn another_querys_id_cannot_be_named() {
        assert_eq!(renamed("e / m7"), Err(Problem::NotAnInput("m7".into())));
        assert_eq!(renamed("METRICS(e)"), Err(Problem::Metrics));
        assert_eq!(renamed("METRICS(\"e\""), Err(Problem::Metrics));
    }

    #[test]
    fn swapped_ids_are_not_renamed_twice() {
        let ids = [("m0", "m1"), ("m1", "m0")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(rename("m0 - m1", &ids).as_deref(), Ok("m1 - m0"));
    }
}
