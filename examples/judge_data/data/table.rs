//! Plain tables: comma-separated text, packed or not, with a first line of names and no quotes.

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;

/// One line of a table; knows the names of its columns.
#[derive(Clone, Debug)]
pub struct Row {
    names: Rc<Vec<String>>,
    fields: Vec<String>,
    line: usize,
}

impl Row {
    /// The field in that column. Error: there is no such column.
    pub fn text(&self, name: &str) -> Result<&str> {
        let at = self.names.iter().position(|n| n == name);
        let field = at.and_then(|at| self.fields.get(at));
        field.map(String::as_str).with_context(|| format!("line {}: no column `{name}`", self.line))
    }

    /// The field as a number or word of that type. Error: it is none.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().ok().with_context(|| format!("line {}: `{name}` is `{text}`, and cannot be read", self.line))
    }

    /// The field as a number; none where it is empty.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        if self.text(name)?.is_empty() { Ok(None) } else { self.parse(name).map(Some) }
    }
}

/// Reads a whole table. A name that ends in `.gz` is unpacked on the way.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let packed = path.extension().is_some_and(|e| e == "gz");
    let mut input: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut text = String::new();
    input.read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

/// Reads a table from text. Error: a line that has not as many fields as the first.
pub fn parse(text: &str) -> Result<Vec<Row>> {
    let split = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut lines = text.lines();
    let Some(first) = lines.next() else { bail!("the table is empty") };
    let names = Rc::new(split(first));
    let mut rows = Vec::new();
    for (at, line) in lines.enumerate() {
        let row = Row { names: Rc::clone(&names), fields: split(line), line: at + 2 };
        if row.fields.len() != names.len() {
            bail!("line {}: {} fields, but {} names in the first line", row.line, row.fields.len(), names.len());
        }
        rows.push(row);
    }
    Ok(rows)
}
