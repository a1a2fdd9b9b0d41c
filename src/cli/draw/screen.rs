//! The live view: one picture that is drawn over and over; where there is no terminal, one plain line for each change.

use super::{Paint, admission, reasons, rollout, say, state, wave_count};
use crate::api::view::RolloutView;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;

/// Pictures a second at most: more than a person sees costs a slow terminal.
const PICTURES_PER_SECOND: u8 = 15;

/// A place on the screen.
pub struct Screen {
    /// The whole picture is the message of one bar, so that it is never seen half drawn.
    live: Option<ProgressBar>,
    shown: Vec<String>,
    paint: Paint,
    said: Option<(String, Vec<String>)>,
}

impl Default for Screen {
    fn default() -> Self {
        let live = std::io::stdout().is_terminal().then(canvas);
        Self { live, shown: Vec::new(), paint: Paint::of_stdout(), said: None }
    }
}

fn canvas() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout_with_hz(PICTURES_PER_SECOND));
    // The template is a constant; one that does not parse leaves the default, which shows the message too.
    match ProgressStyle::with_template("{msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Screen {
    /// Shows the rollout as it is now.
    pub fn show(&mut self, view: &RolloutView) {
        let Some(bar) = &self.live else { return self.say_change(view) };
        let lines = rollout(view, self.paint);
        if lines != self.shown {
            bar.set_message(lines.join("\n"));
            self.shown = lines;
        }
    }

    /// Leaves the last picture on the screen. The screen may be used again after it, and begins a new picture then.
    pub fn finish(&mut self, view: &RolloutView) {
        match self.live.is_some().then(canvas).and_then(|new| self.live.replace(new)) {
            Some(bar) => {
                bar.finish_and_clear();
                say::say_all(&rollout(view, self.paint));
                self.shown.clear();
            }
            None => self.say_change(view),
        }
    }

    fn say_change(&mut self, view: &RolloutView) {
        let why = [admission::lines(view, Paint::Plain), reasons(view, Paint::Plain)].concat();
        let now = (plain_line(view), why);
        let (line, why) = match &self.said {
            Some((line, why)) => (*line != now.0, *why != now.1),
            None => (true, true),
        };
        if line {
            say::say(&now.0);
        }
        if why {
            say::say_all(&now.1);
        }
        self.said = Some(now);
    }
}

/// A rollout in one line, without anything that changes by itself.
fn plain_line(view: &RolloutView) -> String {
    let waves = view.waves.iter().map(|wave| format!("{} {} {}", wave.name, wave.state, wave_count(wave)));
    format!("{}: {}", state(view, Paint::Plain), waves.collect::<Vec<_>>().join(" | "))
}
