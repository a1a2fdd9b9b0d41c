//! The few shapes of SVG that the picture is made of. Text is escaped here, and nowhere else.

use std::fmt::Write as _;

/// A picture on its way.
#[derive(Clone, Debug, Default)]
pub struct Svg {
    body: String,
}

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its beginning.
    Start,
    /// At its middle.
    Middle,
    /// At its end.
    End,
}

impl Svg {
    /// A filled rectangle.
    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}" fill="{fill}"/>"#,
            width.max(0.0)
        );
    }

    /// A line; `dashes` as in `stroke-dasharray`, empty for a whole one.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str, width: f64, dashes: &str) {
        let dashes = if dashes.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dashes}""#) };
        let _ = writeln!(
            self.body,
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{stroke}" stroke-width="{width}"{dashes}/>"#
        );
    }

    /// Lines through points; a single one is a dot.
    pub fn path(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        if let [(x, y)] = points {
            let _ = writeln!(self.body, r#"<circle cx="{x:.1}" cy="{y:.1}" r="{width}" fill="{stroke}"/>"#);
            return;
        }
        let mut path = String::new();
        for (n, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' });
        }
        let _ = writeln!(
            self.body,
            r#"<path d="{path}" fill="none" stroke="{stroke}" stroke-width="{width}" stroke-linejoin="round"/>"#
        );
    }

    /// One line of text.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, size: f64, fill: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{}</text>"#,
            escaped(text)
        );
    }

    /// The whole file, on a light ground.
    pub fn finish(self, width: f64, height: f64, title: &str) -> String {
        format!(
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0} {h:.0}" width="{w:.0}" height="{h:.0}" "#,
                r#"font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">"#,
                "\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
            ),
            w = width,
            h = height,
            title = escaped(title),
            body = self.body
        )
    }
}

/// Names come out of files: they can neither end a text nor hide in it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::api::words::plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
