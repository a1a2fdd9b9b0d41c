//! Recordings of real rollouts for `wavegate judge`, and what a judge makes of them:
//! `judge_data changerca FOLDER OUT`, `judge_data petshop FOLDER OUT`, `judge_data score OUT -- wavegate judge --pipeline P`.

mod data;
mod recording;

use anyhow::Result;
use clap::{Parser, Subcommand};
use data::{changerca, jsonl, petshop, report, score};
use std::fs;
use std::io;
use std::path::PathBuf;

/// Recordings of real rollouts, and a scorer of judges.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// ChangeRCA's pod releases, a recording each.
    Changerca {
        /// Where `changerca_labels.csv` and `changerca_rollouts.csv.gz` are.
        data: PathBuf,
        /// The folder to write to.
        out: PathBuf,
        /// Give new pods the past of all old pods in turn, instead of their predecessor's.
        #[arg(long)]
        pooled: bool,
        /// Write only these series; all, if none is named.
        #[arg(long, value_delimiter = ',')]
        series: Vec<String>,
    },
    /// PetShop's quiet hours and its incidents, drawn anew.
    Petshop {
        /// Where `petshop_high_traffic.csv.gz` and `petshop_temporal_traffic1.csv.gz` are.
        data: PathBuf,
        /// The folder to write to.
        out: PathBuf,
        /// Recordings without a fault.
        #[arg(long, default_value_t = 1_000)]
        healthy: usize,
        /// Recordings of each issue.
        #[arg(long, default_value_t = 5)]
        repeats: usize,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Share of the requests to keep, 0 to 1.
        #[arg(long, default_value_t = 1.0)]
        traffic: f64,
        /// Write only these series; all, if none is named.
        #[arg(long, value_delimiter = ',')]
        series: Vec<String>,
    },
    /// Runs a judge on every recording of a folder, and counts.
    Score {
        /// A folder that this program wrote.
        folder: PathBuf,
        /// Tell the share that was found within so many ticks.
        #[arg(long, value_delimiter = ',', default_value = "4,6")]
        within: Vec<u64>,
        /// Seconds that the judge waits for late points; not counted as its delay.
        #[arg(long, default_value_t = 0)]
        lag: i64,
        /// How many judges run at once.
        #[arg(long, default_value_t = 2)]
        processes: usize,
        /// Only the first so many recordings.
        #[arg(long, default_value_t = usize::MAX)]
        limit: usize,
        /// Also write every outcome there, a JSON object a line.
        #[arg(long)]
        outcomes: Option<PathBuf>,
        /// The judge: a program with its arguments. The recording's path is added; its last line tells `verdict` and `decided_at`.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Args::parse().what {
        What::Changerca { data, out, pooled, series } => {
            let history = if pooled { changerca::History::Pooled } else { changerca::History::Place };
            jsonl::write_all(&changerca::load(&data, history)?, &series, &out)
        }
        What::Petshop { data, out, healthy, repeats, seed, traffic, series } => {
            let options = petshop::Options { healthy, repeats, seed, traffic };
            jsonl::write_all(&petshop::load(&data, &options)?, &series, &out)
        }
        What::Score { folder, within, lag, processes, limit, outcomes, command } => {
            let runs = score::Runs { command, processes, lag_s: lag, limit };
            let all = score::score(&folder, &runs)?;
            if let Some(path) = outcomes {
                let lines: Result<Vec<String>, _> = all.iter().map(serde_json::to_string).collect();
                fs::write(path, lines?.join("\n") + "\n")?;
            }
            report::report(&all, &within, &mut io::stdout().lock())?;
            Ok(())
        }
    }
}
