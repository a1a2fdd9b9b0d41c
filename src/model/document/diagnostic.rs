//! A fault, in its place, with what to do about it.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// Of a long line so many characters before the fault are shown …
const SHOWN_BEFORE: usize = 60;
/// … and so many from it on.
const SHOWN_AFTER: usize = 70;
/// Messages quote the document, whose words may be long.
const WORDS_MAX: usize = 400;
/// So many faults of one file are shown in full; the rest is counted.
const SHOWN_MAX: usize = 100;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Bytes of the source.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Where in the document, as `waves[1].bake`.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// What follows in the line is a secret, and not shown.
    #[serde(skip)]
    pub secret: bool,
}

impl Diagnostic {
    /// A fault at a span; line and column are filled in when it joins its file.
    pub fn new(span: Range<usize>, path: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            span,
            path: path.to_owned(),
            line: 0,
            column: 0,
            message: shortened(message.into()),
            fix: shortened(fix.into()),
            secret: false,
        }
    }
}

/// All faults of one file, by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The file, as it was named.
    pub file: String,
    source: String,
    /// Never empty.
    pub all: Vec<Diagnostic>,
    /// The faults of files that this one names.
    pub beside: Vec<Self>,
}

impl Diagnostics {
    /// The faults of a file, sorted by place, with lines and columns.
    pub fn new(file: &str, source: &str, mut all: Vec<Diagnostic>) -> Self {
        all.sort_by(|a, b| (a.span.start, &a.message).cmp(&(b.span.start, &b.message)));
        all.dedup();
        // One pass over the source, however many faults there are.
        let (mut at, mut line, mut column) = (0, 1, 1);
        for fault in &mut all {
            fault.span = on_characters(source, &fault.span);
            for c in source.get(at..fault.span.start).unwrap_or_default().chars() {
                (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            at = at.max(fault.span.start);
            (fault.line, fault.column) = (line, column);
        }
        Self { file: file.to_owned(), source: source.to_owned(), all, beside: Vec::new() }
    }

    /// One fault.
    pub fn one(file: &str, source: &str, fault: Diagnostic) -> Self {
        Self::new(file, source, vec![fault])
    }

    /// These, and those of files that this one names.
    #[must_use]
    pub fn and(self, beside: Vec<Self>) -> Self {
        Self { beside, ..self }
    }

    /// A fault of the file as a whole, whose bytes are not shown.
    pub fn of_file(file: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(file, "", vec![Diagnostic::new(0..0, "", message, fix)])
    }

    /// Rendered for a terminal.
    pub fn coloured(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let mut out: Vec<String> =
            self.all.iter().take(SHOWN_MAX).map(|fault| self.render_one(renderer, fault)).collect();
        if self.all.len() > SHOWN_MAX {
            out.push(format!("… and {} more in {}", self.all.len() - SHOWN_MAX, visible(&self.file)));
        }
        out.extend(self.beside.iter().map(|other| other.render(renderer)));
        out.join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, fault: &Diagnostic) -> String {
        let title = visible(&fault.message);
        let file = visible(&self.file);
        let (shown, span) = self.excerpt(fault);
        let help = visible(&fault.fix);
        // The renderer counts columns in what it is shown: that is right unless a part was cut off or escaped.
        let counted = shown.get(..span.start).unwrap_or_default().chars().count() + 1;
        let marked = AnnotationKind::Primary.span(span);
        let snippet = Snippet::source(shown.as_str()).line_start(fault.line).path(file.as_str()).annotation(marked);
        let primary = Level::ERROR.primary_title(title.as_str()).element(snippet);
        let fix = Group::with_title(Level::HELP.secondary_title(help.as_str()));
        let rendered = renderer.render(&[primary, fix]);
        let place = |column: usize| format!("{file}:{}:{column}", fault.line);
        if counted == fault.column { rendered } else { rendered.replacen(&place(counted), &place(fault.column), 1) }
    }

    /// The fault's line, or the part of a long one that is around the fault, without characters that a terminal would obey; and
    /// the fault's span in it. Of a fault that spans many lines only the first is shown.
    fn excerpt(&self, fault: &Diagnostic) -> (String, Range<usize>) {
        let head = self.source.get(..fault.span.start).unwrap_or_default();
        let tail = self.source.get(fault.span.start..).unwrap_or_default();
        let tail = tail.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let line_start = head.rfind('\n').map_or(0, |at| at + 1);
        let before = head.get(line_start..).unwrap_or_default();
        let cut = before.char_indices().rev().nth(SHOWN_BEFORE - 1).map_or(0, |(at, _)| at);
        let end = tail.char_indices().nth(SHOWN_AFTER).map_or(tail.len(), |(at, _)| at);
        let width = fault.span.len().min(end);
        let part = |text: Option<&str>| visible(text.unwrap_or_default());
        let dots = |cut: bool| if cut { "…" } else { "" };
        let first = format!("{}{}", dots(cut > 0), part(before.get(cut..)));
        let inside = part(tail.get(..width));
        let rest = match fault.secret {
            true => " …".to_owned(),
            false => format!("{}{}", part(tail.get(width..end)), dots(end < tail.len())),
        };
        let span = first.len()..first.len() + inside.len();
        (format!("{first}{inside}{rest}"), span)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

fn shortened(words: String) -> String {
    match words.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words,
    }
}

/// Control characters and direction overrides are shown, not obeyed (S21).
fn visible(text: &str) -> String {
    text.chars().flat_map(|c| if is_hidden(c) { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Characters that a terminal obeys instead of showing them.
pub fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\t' && c != '\n')
        || matches!(
            c,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
        )
}

fn on_characters(source: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end.max(start))
}
