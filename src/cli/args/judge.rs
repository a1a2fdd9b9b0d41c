//! The command lines of `judge` and `backtest`.

use crate::model::document::fields::parse_duration;
use crate::model::time::Millis;
use clap::{Args as ClapArgs, ValueEnum};
use jiff::Timestamp;
use std::path::PathBuf;

/// `judge`
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = JUDGE_HELP)]
pub struct JudgeArgs {
    /// The pipeline whose gate judges; a file with only `version`, `name` and `health` will do
    #[arg(long, value_name = "FILE")]
    pub pipeline: PathBuf,
    /// The recording, as JSON Lines; `-` is standard input
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// How it is shown.
    #[command(flatten)]
    pub showing: Showing,
}

/// How a replay is shown.
#[derive(Clone, Debug, ClapArgs)]
pub struct Showing {
    /// How it is printed [default: a table to a terminal, else JSON lines]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Draw metrics, thresholds and verdicts over time into this file
    #[arg(long, value_name = "FILE.svg")]
    pub picture: Option<PathBuf>,
    /// Print only what it comes to
    #[arg(long)]
    pub quiet: bool,
    /// Go on after a fail, to the recording's end
    #[arg(long)]
    pub go_on: bool,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    Table,
    /// One JSON object a line.
    Json,
}

/// `backtest`
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = BACKTEST_HELP)]
pub struct BacktestArgs {
    /// The pipeline whose gate judges; its fleet says what is read where
    #[arg(long, value_name = "FILE")]
    pub pipeline: PathBuf,
    /// The beginning of the past that is judged; the history before it is read too
    #[arg(long, value_name = "TIME")]
    pub from: Timestamp,
    /// Its end
    #[arg(long, value_name = "TIME")]
    pub to: Timestamp,
    /// A cell that was changed, and when; may be repeated [default: take every cell as changed, at every step of a bake]
    #[arg(long, value_name = "CELL=TIME", value_parser = applied)]
    pub applied: Vec<(String, Timestamp)>,
    /// How long each of the changes that never were is watched [default: the pipeline's longest bake]
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with = "applied")]
    pub bake: Option<Millis>,
    /// Write what was read as a recording, for `wavegate judge`
    #[arg(long, value_name = "FILE.jsonl")]
    pub record: Option<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub showing: Showing,
}

fn applied(text: &str) -> Result<(String, Timestamp), String> {
    let (cell, at) = text.split_once('=').ok_or("write it as cell-1=2026-03-01T12:00:00Z")?;
    let at = at.parse().map_err(|_| format!("`{at}` is no time: write it as 2026-03-01T12:00:00Z"))?;
    Ok((cell.to_owned(), at))
}

fn span(text: &str) -> Result<Millis, String> {
    let found = parse_duration(text).filter(|span| *span >= Millis::from_secs(60));
    found.ok_or_else(|| "write it as 30m or 1h30m, at least 1m".to_owned())
}

const JUDGE_HELP: &str = "A recording has one JSON object a line, in the order of `at`:

  {\"at\": \"2026-03-01T12:00:00Z\", \"cell\": \"eu-1\", \"metric\": \"errors\", \"value\": 0.2}
  {\"at\": \"2026-03-01T12:05:00Z\", \"cell\": \"eu-1\", \"event\": \"applied\"}
  {\"at\": \"2026-03-01T12:06:00Z\", \"event\": \"bake_start\", \"wave\": 1}
  {\"at\": \"2026-03-01T12:36:00Z\", \"event\": \"bake_end\", \"wave\": 1}

A point's `at` is the start of its period; an absent point is a missing one; `unit` and `samples` may be given. A ratio `r` is recorded \
as `r.bad` and `r.total`. What precedes the first event is history. Waves count from 1 (from 0, where the first bake is 0); a bake \
watches the cells that were applied since the bake before it.

Exit codes: 0 pass · 2 a file is wrong · 3 inconclusive or error: it would have waited for a person · 4 fail: it would have been reverted

See docs/judge.md.";

const BACKTEST_HELP: &str = "Reads metrics with the daemon's own permissions, and changes nothing. Alarms have no past that can be \
read, and are not judged.

Exit codes with --applied: 0 pass · 3 inconclusive or error · 4 fail. Without: 0, whatever the share of false alarms is. \
1 the metrics could not be read · 2 bad usage

See docs/judge.md.";
