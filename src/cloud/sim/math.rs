//! Metric math, as far as pipelines use it: `+ - * /`, comparisons, parentheses, `IF`, `FILL`, `MIN`, `MAX`, `ABS`, `SUM`, `AVG`.
//!
//! Source: CloudWatch user guide, "Using math expressions". A point without a value (a missing input, a division by zero) is
//! left out, as CloudWatch leaves it out.

use jiff::Timestamp;
use std::collections::BTreeMap;

/// Expressions nest no deeper: what is read is bounded.
const MAX_DEPTH: usize = 32;

/// Inputs by id, each with its values by period.
type Inputs<'a> = BTreeMap<&'a str, BTreeMap<Timestamp, f64>>;

/// The expression's value for every period.
pub(super) fn evaluate(
    expression: &str,
    inputs: &Inputs<'_>,
    starts: &[Timestamp],
) -> Result<BTreeMap<Timestamp, f64>, String> {
    let tokens = tokens(expression)?;
    let mut values = BTreeMap::new();
    for start in starts {
        let lookup = |id: &str| inputs.get(id).map(|values| values.get(start).copied());
        let mut reader = Reader { tokens: &tokens, at: 0, depth: 0, lookup: &lookup, text: expression };
        let value = reader.comparison()?;
        if reader.at < tokens.len() {
            return Err(reader.error());
        }
        values.extend(value.map(|value| (*start, value)));
    }
    Ok(values)
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Number(f64),
    Name(String),
    Sign(&'static str),
}

const SIGNS: [&str; 15] = ["<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let take = |rest: &str, in_word: fn(char) -> bool| rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        let (word, length) = if first.is_ascii_digit() || first == '.' {
            let length = take(rest, |c| c.is_ascii_digit() || c == '.');
            let number = rest.get(..length).and_then(|digits| digits.parse().ok());
            (number.map(Word::Number), length)
        } else if first.is_ascii_alphabetic() {
            let length = take(rest, |c| c.is_ascii_alphanumeric() || c == '_');
            (rest.get(..length).map(|name| Word::Name(name.to_owned())), length)
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            (sign.map(Word::Sign), sign.map_or(0, str::len))
        };
        words.push(word.ok_or_else(|| format!("Error in expression '{text}': unexpected '{first}'"))?);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(words)
}

/// A value for one period; none where there is no point.
type Value = Option<f64>;

struct Reader<'a> {
    tokens: &'a [Word],
    at: usize,
    depth: usize,
    lookup: &'a dyn Fn(&str) -> Option<Value>,
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self) -> String {
        format!("Error in expression '{}' at word {}", self.text, self.at + 1)
    }

    /// Takes the next word if it is one of `signs`.
    fn sign(&mut self, signs: &[&str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Word::Sign(sign)) if signs.contains(sign) => {
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        self.sign(&[sign]).map(drop).ok_or_else(|| self.error())
    }

    fn comparison(&mut self) -> Result<Value, String> {
        let left = self.sum()?;
        let Some(sign) = self.sign(&["<=", ">=", "==", "!=", "<", ">"]) else { return Ok(left) };
        let right = self.sum()?;
        let holds = left.zip(right).map(|(a, b)| match sign {
            "<=" => a <= b,
            ">=" => a >= b,
            "==" => a == b,
            "!=" => a != b,
            "<" => a < b,
            _ => a > b,
        });
        Ok(holds.map(|holds| f64::from(u8::from(holds))))
    }

    fn sum(&mut self) -> Result<Value, String> {
        let mut left = self.product()?;
        while let Some(sign) = self.sign(&["+", "-"]) {
            let right = self.product()?;
            left = left.zip(right).map(|(a, b)| if sign == "+" { a + b } else { a - b });
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Value, String> {
        let mut left = self.atom()?;
        while let Some(sign) = self.sign(&["*", "/"]) {
            let right = self.atom()?;
            left = match (left.zip(right), sign) {
                (Some((a, b)), "*") => Some(a * b),
                (Some((a, b)), _) if b != 0.0 => Some(a / b),
                _ => None,
            };
        }
        Ok(left)
    }

    fn atom(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error());
        }
        let value = self.bare_atom();
        self.depth -= 1;
        value
    }

    fn bare_atom(&mut self) -> Result<Value, String> {
        if self.sign(&["-"]).is_some() {
            return Ok(self.atom()?.map(|value| -value));
        }
        if self.sign(&["("]).is_some() {
            let value = self.comparison()?;
            self.expect(")")?;
            return Ok(value);
        }
        let word = self.tokens.get(self.at).cloned();
        self.at += 1;
        match word {
            Some(Word::Number(number)) => Ok(Some(number)),
            Some(Word::Name(name)) if self.sign(&["("]).is_some() => {
                let arguments = self.arguments()?;
                self.expect(")")?;
                function(&name, &arguments).ok_or_else(|| self.error())
            }
            Some(Word::Name(name)) => (self.lookup)(&name).ok_or_else(|| self.error()),
            _ => Err(self.error()),
        }
    }

    /// `a, b` or `[a, b]`.
    fn arguments(&mut self) -> Result<Vec<Value>, String> {
        let bracket = self.sign(&["["]).is_some();
        let mut values = vec![self.comparison()?];
        while self.sign(&[","]).is_some() {
            values.push(self.comparison()?);
        }
        if bracket {
            self.expect("]")?;
        }
        Ok(values)
    }
}

/// None for a function that is not known or has the wrong number of arguments.
fn function(name: &str, arguments: &[Value]) -> Option<Value> {
    let present = || arguments.iter().flatten().copied();
    Some(match (name, arguments) {
        ("FILL", [value, filling]) => value.or(*filling),
        ("IF", [condition, yes, no]) => match condition {
            Some(0.0) => *no,
            Some(_) => *yes,
            None => None,
        },
        ("ABS", [value]) => value.map(f64::abs),
        ("MIN", [_, ..]) => present().reduce(f64::min),
        ("MAX", [_, ..]) => present().reduce(f64::max),
        ("SUM", [_, ..]) => present().reduce(|a, b| a + b),
        ("AVG", [_, ..]) => {
            let count = u32::try_from(present().count()).unwrap_or(u32::MAX);
            present().reduce(|a, b| a + b).map(|sum| sum / f64::from(count))
        }
        _ => return None,
    })
}
