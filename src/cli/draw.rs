//! How a rollout looks in a terminal: a line a wave with a bar, a glyph a cell, its state and the bake's countdown; below it what is
//! measured against its threshold, and why it waits or goes back.

use crate::api::view::{RolloutView, TargetView, WaveView};
use crate::api::words;
use crate::config;
use crate::model::event::Outcome;
use crate::model::pipeline::{Comparison, Threshold};
use crate::model::verdict::{Reading, Verdict};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

/// What the glyphs mean.
pub const LEGEND: &str = "· waiting  ◌ ready  ▸ changing  ● changed  = unchanged  ◂ going back  ○ as before  ✗ stuck";
/// Cells that are drawn one by one; a larger wave is counted.
const GLYPHS_MAX: usize = 48;
/// The bar's width.
const BAR: usize = 16;

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
    let mut lines = vec![format!(
        "{}  {}  by {}",
        paint.strong(&words::plain(&view.title)),
        state(view, paint),
        words::plain(&view.agent)
    )];
    let width = view.waves.iter().map(|w| w.name.chars().count()).max().unwrap_or(0);
    lines.extend(view.waves.iter().map(|wave| wave_line(wave, width, paint)));
    lines.extend(health_lines(view, paint));
    lines.extend(reasons(view, paint));
    lines
}

/// Where the rollout stands, in a word or two.
pub fn state(view: &RolloutView, paint: Paint) -> String {
    match (view.outcome, &view.killed, &view.hold) {
        (Some(Outcome::Succeeded), ..) => paint.good("succeeded"),
        (Some(Outcome::Reverted), ..) => paint.busy("reverted"),
        (Some(Outcome::Cancelled), ..) => paint.busy("cancelled"),
        (Some(Outcome::Stuck), ..) => paint.bad("stuck"),
        (None, Some(_), _) => paint.bad(&format!("{}, killed", view.phase)),
        (None, None, Some(_)) => paint.bad(&format!("{}, held", view.phase)),
        (None, None, None) => paint.busy(&view.phase),
    }
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
    let countdown = match (wave.state.as_str(), wave.baked) {
        ("baking", Some(baked)) => format!("  baked {baked} of {}", wave.bake),
        _ => String::new(),
    };
    let pad = " ".repeat(width.saturating_sub(wave.name.chars().count()));
    format!("  {}{pad}  {bar}  {}  {:<9}{countdown}", wave.name, glyphs(wave, paint), wave.state)
}

fn is_done(target: &TargetView, wave: &WaveView) -> bool {
    match wave.state.as_str() {
        "reverting" | "reverted" | "stuck" => {
            matches!(target.state.as_str(), "restored" | "stuck" | "unchanged" | "captured" | "untouched")
        }
        _ => matches!(target.state.as_str(), "applied" | "unchanged" | "restored" | "stuck"),
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

/// The worst cell of each metric against its threshold.
fn health_lines(view: &RolloutView, paint: Paint) -> Vec<String> {
    let Some(health) = view.health.as_ref().filter(|_| view.outcome.is_none()) else { return Vec::new() };
    let mut worst: BTreeMap<&str, &Reading> = BTreeMap::new();
    for reading in &health.readings {
        let entry = worst.entry(reading.metric.as_str()).or_insert(reading);
        if is_worse(reading, entry) {
            *entry = reading;
        }
    }
    let verdict = match health.verdict {
        Verdict::Pass => paint.good("pass"),
        Verdict::Fail => paint.bad("fail"),
        other => paint.busy(&other.to_string()),
    };
    let mut lines = vec![format!("  health {verdict}")];
    for (metric, reading) in worst {
        let value = reading.value.map_or_else(|| "no data".to_owned(), words::number);
        lines.push(format!("    {metric:<14} {value:>9}  worst in {}, bad when {}", reading.cell, reading.threshold));
    }
    lines
}

fn is_worse(reading: &Reading, than: &Reading) -> bool {
    let Threshold { op, .. } = reading.threshold;
    match (reading.value, than.value) {
        // A cell without data hides behind no other one.
        (None, _) => than.value.is_some(),
        (Some(_), None) => false,
        (Some(a), Some(b)) if matches!(op, Comparison::Below | Comparison::AtMost) => a < b,
        (Some(a), Some(b)) => a > b,
    }
}

fn reasons(view: &RolloutView, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(killed) = &view.killed {
        lines.push(format!("  {} {killed}", paint.bad("killed by")));
    }
    if let Some(hold) = &view.hold {
        lines.push(format!("  {} {}", paint.bad("held:"), words::plain(&hold.why)));
        lines.push(format!("  {} {}", paint.strong("next:"), hold.next));
    }
    if let Some(why) = &view.revert {
        lines.push(format!("  {} {}", paint.bad("goes back:"), words::plain(why)));
    }
    for target in view.waves.iter().flat_map(|w| &w.targets) {
        if let Some(stuck) = &target.stuck {
            lines.push(format!("  {} {}: {}", paint.bad("stuck:"), target.target, words::plain(&stuck.why)));
            lines.push(format!("  {} {}", paint.strong("next:"), stuck.next));
        }
    }
    lines
}

/// A place on the screen that is drawn over and over; where there is no terminal, one plain line for each change.
pub struct Screen {
    live: Option<(MultiProgress, Vec<ProgressBar>)>,
    paint: Paint,
    said: Option<(String, Vec<String>)>,
}

impl Default for Screen {
    fn default() -> Self {
        let live = std::io::stdout()
            .is_terminal()
            .then(|| (MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout()), Vec::new()));
        Self { live, paint: Paint::of_stdout(), said: None }
    }
}

impl Screen {
    /// Shows the rollout as it is now.
    pub fn show(&mut self, view: &RolloutView) {
        match &mut self.live {
            Some((screen, bars)) => {
                let lines = rollout(view, self.paint);
                while bars.len() < lines.len() {
                    bars.push(new_line(screen));
                }
                for (n, bar) in bars.iter().enumerate() {
                    bar.set_message(lines.get(n).cloned().unwrap_or_default());
                }
            }
            None => self.say_change(view),
        }
    }

    fn say_change(&mut self, view: &RolloutView) {
        let now = (plain_line(view), reasons(view, Paint::Plain));
        let (line, why) = match &self.said {
            Some((line, why)) => (*line != now.0, *why != now.1),
            None => (true, true),
        };
        if line || why {
            println!("{}", now.0);
        }
        if why {
            now.1.iter().for_each(|reason| println!("{reason}"));
        }
        self.said = Some(now);
    }

    /// Leaves the last picture on the screen.
    pub fn finish(&mut self, view: &RolloutView) {
        if let Some((_, bars)) = &mut self.live {
            bars.drain(..).for_each(|bar| bar.finish_and_clear());
            rollout(view, self.paint).iter().for_each(|line| println!("{line}"));
        } else {
            self.say_change(view);
        }
    }
}

fn new_line(screen: &MultiProgress) -> ProgressBar {
    let bar = screen.add(ProgressBar::new_spinner());
    // The template is a constant; one that does not parse leaves the default, which shows the message too.
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

/// A rollout in one line, without anything that changes by itself.
fn plain_line(view: &RolloutView) -> String {
    let waves = view.waves.iter().map(|w| {
        let done = w.targets.iter().filter(|t| is_done(t, w)).count();
        format!("{} {} {done}/{}", w.name, w.state, w.targets.len())
    });
    format!("{}: {}", state(view, Paint::Plain), waves.collect::<Vec<_>>().join(" | "))
}
