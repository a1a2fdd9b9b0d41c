//! A replay as a picture: a panel for each metric with its threshold, one for the comparison's evidence, and a strip of verdicts below.
//! Self-contained SVG without a script, for a ticket or a review.

mod panel;
mod scale;
mod svg;

use super::subject::Subject;
use crate::engine::health::recording::Recording;
use crate::engine::health::replay::{Course, Outcome, Replay, Tick};
use crate::model::ids::CellId;
use crate::model::verdict::Verdict;
use jiff::Timestamp;
use panel::{Frame, PANEL};
use scale::{Scale, clock, day, round_times, seconds};
use std::collections::BTreeMap;
use svg::{Anchor, Svg};

const WIDTH: f64 = 1100.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
/// The title, the legend of the lines, and the names of the bakes.
const TOP: f64 = 92.0;
const GAP: f64 = 42.0;
const STRIP: f64 = 18.0;
const BOTTOM: f64 = 78.0;
/// Of the time after the first event, so much is shown before it.
const BEFORE: f64 = 0.3;
/// And a quarter of an hour at least, where there is one.
const LEAST_BEFORE: f64 = 900.0;
/// Of all that is shown, so much is left after the end.
const AFTER: f64 = 0.03;

const INK: &str = "#1f2933";
const FAINT: &str = "#6b7785";
const RED: &str = "#b3261e";
/// Okabe and Ito's, which the colour-blind can tell apart; one a wave.
const WAVES: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#a6761d"];

/// What of each tick is drawn.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    ticks: Vec<(Timestamp, Verdict, f64)>,
}

impl Picture {
    /// Keeps a tick.
    pub fn take(&mut self, tick: &Tick, replay: &Replay<'_>) {
        self.ticks.push((tick.end, tick.verdict, replay.compared().ln_e / std::f64::consts::LN_10));
    }

    /// The whole picture.
    pub fn draw(&self, subject: &Subject, recording: &Recording, replay: &Replay<'_>, outcome: &Outcome) -> String {
        let metrics = &subject.setting.health.metrics;
        let (first, last) = replay.span();
        let last = self.ticks.last().map_or(last, |(end, ..)| *end).max(outcome.decided_at);
        let oldest = oldest(recording).map_or(seconds(first), seconds);
        let before = (BEFORE * (seconds(last) - seconds(first))).max(LEAST_BEFORE);
        let from = (seconds(first) - before).max(oldest.min(seconds(first)));
        // Some room, so that the end is not at the edge.
        let to = seconds(last) + AFTER * (seconds(last) - from);
        let x = Scale { from: (from, to), to: (LEFT, WIDTH - RIGHT) };
        let panels = metrics.len() + usize::from(replay.baseline().is_some());
        let strip = TOP + panels as f64 * (PANEL + GAP);
        let height = strip + STRIP + BOTTOM;
        let mut svg = Svg::default();
        let settle = subject.setting.health.settle.duration();
        let frame = |n: usize| Frame { x, top: TOP + n as f64 * (PANEL + GAP), course: replay.course(), settle };
        for (n, metric) in metrics.iter().enumerate() {
            panel::metric(&mut svg, &frame(n), recording, metric);
        }
        if let Some(baseline) = replay.baseline() {
            let points: Vec<(f64, f64)> =
                self.ticks.iter().map(|(end, _, evidence)| (seconds(*end), *evidence)).collect();
            panel::evidence(&mut svg, &frame(metrics.len()), &points, -baseline.alpha.log10());
        }
        self.strip(&mut svg, &x, strip, replay);
        times(&mut svg, &x, strip + STRIP);
        if outcome.verdict == Verdict::Fail {
            revert_mark(&mut svg, &x, strip, outcome);
        }
        let title = format!("{}: {}", subject.name, outcome.verdict);
        svg.text((LEFT, 26.0), Anchor::Start, 18.0, INK, &title);
        let decided = format!(
            "decided at {:.0}, tick {} after the first changed cell had settled",
            outcome.decided_at, outcome.ticks
        );
        svg.text((WIDTH - RIGHT, 26.0), Anchor::End, 12.0, FAINT, &decided);
        legend(&mut svg, &x, replay.course());
        svg.finish(WIDTH, height, &title)
    }

    /// One box a tick, and the bakes' names above them.
    fn strip(&self, svg: &mut Svg, x: &Scale, y: f64, replay: &Replay<'_>) {
        for bake in &replay.course().bakes {
            let (start, end) = (x.time(bake.start), bake.end.map_or(x.to.1, |end| x.time(end)));
            if end - start > 40.0 {
                svg.text(((start + end) / 2.0, y - 7.0), Anchor::Middle, 11.0, FAINT, &format!("bake {}", bake.number));
            }
        }
        svg.text((LEFT - 8.0, y + 13.0), Anchor::End, 12.0, INK, "verdict");
        let mut before = replay.span().0;
        // Neighbours with the same verdict are one box: a day of minutes stays a small file.
        let mut run: Option<(Timestamp, Timestamp, Verdict)> = None;
        let mut runs = Vec::new();
        for (end, verdict, _) in &self.ticks {
            match &mut run {
                Some((_, until, of)) if of == verdict => *until = *end,
                _ => runs.extend(run.replace((before, *end, *verdict))),
            }
            before = *end;
        }
        for (from, until, verdict) in runs.into_iter().chain(run) {
            let (start, end) = (x.time(from), x.time(until));
            svg.rect((start, y), ((end - start).max(1.0), STRIP), colour(verdict));
        }
        let mut at = LEFT;
        for verdict in [Verdict::Pass, Verdict::Inconclusive, Verdict::Error, Verdict::Fail] {
            let word = verdict.to_string();
            svg.rect((at, y + STRIP + 46.0), (14.0, 14.0), colour(verdict));
            svg.text((at + 20.0, y + STRIP + 57.0), Anchor::Start, 12.0, INK, &word);
            at += 44.0 + word.len() as f64 * 7.0;
        }
        let words = "shaded: blue a bake, yellow settling · a box is a tick, at its period's end · times are UTC";
        svg.text((WIDTH - RIGHT, y + STRIP + 57.0), Anchor::End, 12.0, FAINT, words);
    }
}

fn oldest(recording: &Recording) -> Option<Timestamp> {
    let series = recording.cells.values().flat_map(BTreeMap::values);
    series.filter_map(|recorded| recorded.points.first().map(|(at, _)| *at)).min()
}

fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "#2e9e5b",
        Verdict::Inconclusive => "#f2c14e",
        Verdict::Error => "#8e5ea2",
        Verdict::Fail => RED,
    }
}

/// The colour of a wave's cells.
fn wave_colour(wave: usize) -> &'static str {
    WAVES.iter().cycle().nth(wave % WAVES.len()).copied().unwrap_or(INK)
}

fn times(svg: &mut Svg, x: &Scale, y: f64) {
    let mut days = String::new();
    for at in round_times(x.from.0, x.from.1, 9.0) {
        let place = x.at(at);
        svg.line((place, y), (place, y + 5.0), FAINT, 1.0, "");
        svg.text((place, y + 18.0), Anchor::Middle, 11.0, INK, &clock(at));
        let day = day(at);
        if day != days {
            svg.text((place, y + 32.0), Anchor::Middle, 11.0, FAINT, &day);
            days = day;
        }
    }
}

/// Where it would have gone back: through all panels.
fn revert_mark(svg: &mut Svg, x: &Scale, bottom: f64, outcome: &Outcome) {
    let place = x.time(outcome.decided_at);
    svg.line((place, TOP - 14.0), (place, bottom + STRIP), RED, 2.0, "");
    let words = format!("reverts {}", outcome.decided_at.strftime("%H:%M"));
    svg.text((place - 6.0, TOP - 8.0), Anchor::End, 12.0, RED, &words);
}

/// The lines: one colour a wave, with the names of its cells.
fn legend(svg: &mut Svg, x: &Scale, course: &Course) {
    let mut waves: BTreeMap<usize, Vec<&CellId>> = BTreeMap::new();
    for (cell, change) in course.changes.iter().filter(|(_, change)| seconds(change.at) < x.from.1) {
        waves.entry(change.wave).or_default().push(cell);
    }
    let (mut at, y) = (LEFT, 52.0);
    let mut entry = |svg: &mut Svg, stroke: &str, width: f64, text: &str| {
        let needed = 46.0 + text.chars().count() as f64 * 6.4;
        if at + needed > WIDTH - RIGHT {
            return;
        }
        svg.line((at, y - 4.0), (at + 22.0, y - 4.0), stroke, width, "");
        svg.text((at + 28.0, y), Anchor::Start, 12.0, INK, text);
        at += needed;
    };
    entry(svg, panel::GREY, 1.2, "untouched");
    for (wave, cells) in waves {
        let number =
            course.bakes.get(wave).map_or_else(|| "not baked".to_owned(), |bake| format!("wave {}", bake.number));
        let named: Vec<&str> = cells.iter().take(3).map(|cell| cell.as_str()).collect();
        let more = cells.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        entry(svg, wave_colour(wave), panel::BOLD, &format!("{number}: {}{more}", named.join(", ")));
    }
}
