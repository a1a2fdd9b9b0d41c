//! How a rollout looks in a terminal: a line a wave with a bar, a glyph a cell, its state and the bake's countdown; below it what is
//! measured against its threshold, and why it waits or goes back.
//!
//! Text of agents and of the provider goes through [`one_line`] or [`quoted`]: it can neither move the cursor nor look like a line of
//! ours (S21).

pub mod admission;
pub mod say;
mod screen;

pub use screen::Screen;

use crate::api::comparing::SignalView;
use crate::api::view::{RolloutView, TargetView, WaveView};
use crate::api::words;
use crate::config;
use crate::model::decision::Decision;
use crate::model::event::Outcome;
use crate::model::pipeline::{Comparison, Threshold};
use crate::model::time::Millis;
use crate::model::verdict::{Reading, Verdict};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

/// What the glyphs mean.
pub const LEGEND: &str = "· waiting  ◌ ready  ▸ changing  ● changed  = unchanged  ◂ going back  ○ as before  ✗ stuck";
/// Cells that are drawn one by one; a larger wave is counted.
const GLYPHS_MAX: usize = 48;
/// The bar's width.
const BAR: usize = 16;
/// So many findings are shown under the metrics; the rest is counted.
const FINDINGS_MAX: usize = 3;

/// Untrusted text in one line of ours: line breaks are shown, not obeyed.
pub fn one_line(text: &str) -> String {
    words::plain(text).replace('\n', "\\n")
}

/// Untrusted text of several lines, each marked as quoted.
pub fn quoted(text: &str) -> Vec<String> {
    words::plain(text).lines().map(|line| format!("  │ {line}")).collect()
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// With ANSI colours.
    Colour,
    /// Plain text.
    Plain,
}

impl Paint {
    /// Colours, where a person looks at a terminal and has not said no.
    pub fn of_stdout() -> Self {
        if std::io::stdout().is_terminal() && !config::no_color() { Self::Colour } else { Self::Plain }
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }

    /// Green.
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }
    /// Red.
    pub fn bad(self, text: &str) -> String {
        self.with("31;1", text)
    }
    /// Yellow.
    pub fn busy(self, text: &str) -> String {
        self.with("33", text)
    }
    /// Grey.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
    /// Bold.
    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }
}

/// A rollout in lines.
pub fn rollout(view: &RolloutView, paint: Paint) -> Vec<String> {
    let mut lines =
        vec![format!("{}  {}  by {}", paint.strong(&one_line(&view.title)), state(view, paint), one_line(&view.agent))];
    let width = view.waves.iter().map(|w| w.name.chars().count()).max().unwrap_or(0);
    lines.extend(view.waves.iter().map(|wave| wave_line(wave, width, paint)));
    lines.extend(health_lines(view, paint));
    lines.extend(admission::lines(view, paint));
    lines.extend(reasons(view, paint));
    lines
}

/// Where the rollout stands, in a word or two.
pub fn state(view: &RolloutView, paint: Paint) -> String {
    match (view.outcome, &view.killed, &view.hold) {
        (Some(Outcome::Succeeded), ..) => paint.good("succeeded"),
        (Some(Outcome::Reverted), ..) => paint.busy("reverted"),
        (Some(Outcome::Cancelled), ..) if is_denied(view) => paint.bad("refused"),
        (Some(Outcome::Cancelled), ..) => paint.busy("cancelled"),
        (Some(Outcome::Stuck), ..) => paint.bad("stuck"),
        (None, Some(_), _) => paint.bad(&format!("{}, killed", view.phase)),
        (None, None, Some(_)) => paint.bad(&format!("{}, held", view.phase)),
        (None, None, None) if asks_people(view) => paint.busy(&format!("{}, asks people", view.phase)),
        (None, None, None) if waits(view) => paint.busy(&format!("{}, waits", view.phase)),
        (None, None, None) => paint.busy(&view.phase),
    }
}

/// The guardrails do not let it happen, whoever agrees.
pub fn is_denied(view: &RolloutView) -> bool {
    view.admission.as_ref().is_some_and(|admission| admission.decision == Decision::Deny)
}

/// People must agree before it goes on, and too few have.
pub fn asks_people(view: &RolloutView) -> bool {
    let request = view.admission.as_ref().and_then(|admission| admission.request.as_ref());
    let before = matches!(view.phase.as_str(), "previewing" | "baking");
    before && request.is_some_and(|request| request.wanting.is_some())
}

fn waits(view: &RolloutView) -> bool {
    view.admission.as_ref().is_some_and(|admission| admission.decision == Decision::Wait)
}

fn wave_line(wave: &WaveView, width: usize, paint: Paint) -> String {
    let done = wave.targets.iter().filter(|t| is_done(t, wave)).count();
    let filled = (done * BAR).checked_div(wave.targets.len()).unwrap_or(0);
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled));
    let bar = match wave.state.as_str() {
        "passed" => paint.good(&bar),
        "reverting" | "reverted" | "stuck" => paint.bad(&bar),
        "waiting" | "untouched" => paint.dim(&bar),
        _ => paint.busy(&bar),
    };
    let pad = " ".repeat(width.saturating_sub(wave.name.chars().count()));
    let state = format!("{} {}{}", wave.state, wave_count(wave), countdown(wave));
    format!("  {}{pad}  {bar}  {}  {state}", wave.name, glyphs(wave, paint))
}

/// So many of the wave's targets are where its state leads: `3/8`. Those that came to another end are counted beside it.
fn wave_count(wave: &WaveView) -> String {
    let done = wave.targets.iter().filter(|t| is_done(t, wave)).count();
    let count_of = |state: &str| wave.targets.iter().filter(|t| t.state == state).count();
    if wave.state == "untouched" {
        return wave.targets.len().to_string();
    }
    let back = matches!(wave.state.as_str(), "reverting" | "reverted" | "stuck");
    let beside = [(count_of("restored"), "put back", !back), (count_of("stuck"), "stuck", true)];
    let beside = beside.iter().filter(|(n, _, shown)| *n > 0 && *shown).map(|(n, what, _)| format!(", {n} {what}"));
    format!("{done}/{}{}", wave.targets.len(), beside.collect::<String>())
}

/// What is left of the bake; and when it is over without a pass, how long it still waits for one.
fn countdown(wave: &WaveView) -> String {
    let left = |until: Millis, baked: Millis| Millis(until.0.saturating_sub(seconds(baked).0));
    match (wave.state.as_str(), wave.baked) {
        ("baking", Some(baked)) if baked < wave.bake => {
            format!("  baked {} of {}, {} to go", seconds(baked), wave.bake, seconds(left(wave.bake, baked)))
        }
        ("baking", Some(baked)) => {
            format!("  baked {}, no pass yet; held in {}", seconds(baked), seconds(left(wave.max_bake, baked)))
        }
        _ => String::new(),
    }
}

/// In whole seconds: a countdown of milliseconds is noise.
fn seconds(span: Millis) -> Millis {
    Millis::from_secs(span.0 / 1000)
}

fn is_done(target: &TargetView, wave: &WaveView) -> bool {
    match wave.state.as_str() {
        "reverting" | "reverted" | "stuck" => {
            matches!(target.state.as_str(), "restored" | "unchanged" | "captured" | "untouched")
        }
        _ => matches!(target.state.as_str(), "applied" | "unchanged"),
    }
}

/// One glyph for each target, or their number where there are many.
fn glyphs(wave: &WaveView, paint: Paint) -> String {
    if wave.targets.len() > GLYPHS_MAX {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for target in &wave.targets {
            *counts.entry(target.state.as_str()).or_default() += 1;
        }
        return counts.iter().map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(" · ");
    }
    wave.targets.iter().map(|t| glyph(t, paint)).collect()
}

fn glyph(target: &TargetView, paint: Paint) -> String {
    match (target.state.as_str(), target.reverting) {
        ("stuck", _) => paint.bad("✗"),
        ("restored", _) => paint.busy("○"),
        ("unchanged", _) => paint.dim("="),
        (_, true) => paint.bad("◂"),
        ("applied", _) => paint.good("●"),
        ("intended" | "running" | "proving", _) => paint.busy("▸"),
        ("ready", _) => paint.dim("◌"),
        _ => paint.dim("·"),
    }
}

/// The worst cell of each metric against its threshold, and why health is no pass.
fn health_lines(view: &RolloutView, paint: Paint) -> Vec<String> {
    let Some(health) = view.health.as_ref().filter(|_| view.outcome.is_none()) else { return Vec::new() };
    let mut by_metric: BTreeMap<&str, Vec<&Reading>> = BTreeMap::new();
    for reading in &health.readings {
        by_metric.entry(reading.metric.as_str()).or_default().push(reading);
    }
    let verdict = match health.verdict {
        Verdict::Pass => paint.good("pass"),
        Verdict::Fail => paint.bad("fail"),
        other => paint.busy(&other.to_string()),
    };
    let width = by_metric.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut lines = vec![format!("  health {verdict}")];
    lines.extend(by_metric.iter().filter_map(|(metric, of)| metric_line(metric, width, of, paint)));
    lines.extend(comparison_lines(view, paint));
    // While it goes back, the reason is told below; findings of the last look would only repeat it.
    if health.verdict != Verdict::Pass && view.revert.is_none() {
        let shown = health.findings.iter().take(FINDINGS_MAX);
        lines.extend(shown.map(|finding| paint.dim(&format!("    {}", one_line(finding)))));
        let more = health.findings.len().saturating_sub(FINDINGS_MAX);
        lines.extend((more > 0).then(|| paint.dim(&format!("    and {more} more"))));
    }
    lines
}

/// `compared  errors: 41 bad where 38 were to be expected by history and 9 untouched cells, 0.70× to 1.60×; evidence 0.4 of 100`
fn comparison_lines(view: &RolloutView, paint: Paint) -> Vec<String> {
    let Some(comparison) = &view.comparison else { return Vec::new() };
    let due = comparison.evidence >= comparison.needed;
    let of = |signal: &SignalView| {
        let text = format!("    compared  {}: {}", signal.metric, signal.text);
        if due { paint.bad(&text) } else { paint.dim(&text) }
    };
    comparison.metrics.iter().map(of).collect()
}

/// `errors  0.25  worst of 4 cells in eu-1; fails when > 5; no data yet in 3 cells`
fn metric_line(metric: &str, width: usize, readings: &[&Reading], paint: Paint) -> Option<String> {
    let worst =
        readings.iter().copied().reduce(|worst, reading| if is_worse(reading, worst) { reading } else { worst })?;
    let without = readings.iter().filter(|r| r.value.is_none()).count();
    let fails = worst.threshold.map_or("compared with the other cells".to_owned(), |t| format!("fails when {t}"));
    let (value, place) = match worst.value {
        Some(value) if worst.threshold.is_some_and(|t| t.is_bad(value)) => {
            (paint.bad(&format!("{:>9}", words::number(value))), true)
        }
        Some(value) => (format!("{:>9}", words::number(value)), true),
        None => (paint.busy(&format!("{:>9}", "no data")), false),
    };
    let place = if place { format!("worst in {}; ", worst.cell) } else { String::new() };
    let blind = match (without, place.is_empty()) {
        (0, _) | (_, true) => String::new(),
        (1, _) => "; no data yet in 1 cell".to_owned(),
        (n, _) => format!("; no data yet in {n} cells"),
    };
    Some(format!("    {metric:<width$}  {value}  {place}{fails}{blind}"))
}

fn is_worse(reading: &Reading, than: &Reading) -> bool {
    let low_is_bad = |t: Threshold| matches!(t.op, Comparison::Below | Comparison::AtMost);
    match (reading.value, than.value) {
        // Cells without data are counted beside the worst value: neither hides the other.
        (None, _) => false,
        (Some(_), None) => true,
        (Some(a), Some(b)) if reading.threshold.is_some_and(low_is_bad) => a < b,
        (Some(a), Some(b)) => a > b,
    }
}

/// Why it waits, stopped or goes back, each with the next step of whoever reads it.
fn reasons(view: &RolloutView, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let next = |step: &str| format!("  {} {step}", paint.strong("next:"));
    if let Some(killed) = &view.killed {
        lines.push(format!("  {} {}", paint.bad("killed by"), one_line(killed)));
        let kill = killed.split(' ').next().unwrap_or_default();
        // On its way back nothing is asked of a person: a kill does not stop a revert.
        if view.phase != "reverting" {
            lines.push(next(&format!(
                "`wavegate revert {}` takes it back; to go on, two people, each: `wavegate resume --lift {}`",
                view.rollout,
                one_line(kill)
            )));
        }
    }
    if let Some(hold) = &view.hold {
        lines.push(format!("  {} {}", paint.bad("held:"), one_line(&hold.why)));
        lines.push(next(&hold.next));
    }
    if let Some(why) = &view.revert {
        let word = if view.outcome.is_some() { "went back:" } else { "goes back:" };
        lines.push(format!("  {} {}", paint.bad(word), one_line(why)));
    }
    for target in view.waves.iter().flat_map(|w| &w.targets) {
        if let Some(stuck) = &target.stuck {
            lines.push(format!("  {} {}: {}", paint.bad("stuck:"), target.target, one_line(&stuck.why)));
            lines.push(next(&stuck.next));
        }
    }
    lines
}
