//! The command line's shape, for `clap`. Its words are `--help`: they are written for an SRE at three in the morning.

use crate::model::halt::{KillMode, KillScope};
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

/// Staged rollouts with automatic revert, for change sets that AI agents propose.
#[derive(Debug, Parser)]
#[command(name = "wavegate", version, about, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// For every command.
    #[command(flatten)]
    pub common: Common,
}

const AFTER_HELP: &str = "Exit codes: 0 success · 1 internal failure · 2 bad usage or input · 3 refused or held · 4 reverted · \
5 stuck targets · 6 killed, or kill pending · 7 daemon unreachable\n\nStart here: wavegate demo";

/// For every command.
#[derive(Clone, Debug, ClapArgs)]
pub struct Common {
    /// Where the daemon keeps its journal and its socket [default: $WAVEGATE_STATE_DIR, else the user's state directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it at work, in about a minute: an embedded world, no AWS
    Demo(DemoArgs),
    /// Run the daemon: it applies, watches, reverts
    Serve(ServeArgs),
    /// Check pipelines: every error of every file, with its place and a fix
    Check(CheckArgs),
    /// Print the JSON Schema of pipelines or change sets, for editors
    Schema(SchemaArgs),
    /// Show what a change set would do, wave by wave; changes no resource
    Plan(PlanArgs),
    /// Hand a change set to the daemon
    Propose(ProposeArgs),
    /// Show how rollouts stand
    Status(StatusArgs),
    /// Follow a rollout live
    Watch(WatchArgs),
    /// Hold a rollout: nothing new starts, what is in flight goes to its end
    Pause(OrderArgs),
    /// Let a held rollout go on, or lift a kill (two people)
    Resume(ResumeArgs),
    /// Take a rollout back, last wave first
    Revert(OrderArgs),
    /// Stop: everything, or one environment, region, cell, pipeline, agent or rollout
    Kill(KillArgs),
    /// Read a journal from its first record to its last: verify it, and tell what happened; needs no daemon
    Replay(ReplayArgs),
    /// Print the versions of this program and of the daemon
    Version,
}

/// `demo`
#[derive(Clone, Debug, ClapArgs)]
pub struct DemoArgs {
    /// Only this scenario: healthy, bad-change or kill
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<String>,
    /// How fast the world turns: 60 shows a minute of it in a second; 0 waits for nothing
    #[arg(long, default_value_t = 30.0, value_name = "FACTOR")]
    pub speed: f64,
    /// The same seed gives the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the events as JSON lines instead of the story
    #[arg(long)]
    pub json: bool,
    /// Leave the state directories behind, with their journals
    #[arg(long)]
    pub keep: bool,
}

/// `serve`
#[derive(Clone, Debug, ClapArgs)]
pub struct ServeArgs {
    /// The folder of pipelines
    #[arg(long, default_value = "pipelines", value_name = "DIR")]
    pub pipelines: PathBuf,
    /// Log as JSON lines
    #[arg(long)]
    pub log_json: bool,
}

/// `check`
#[derive(Clone, Debug, ClapArgs)]
pub struct CheckArgs {
    /// Pipeline files, or folders of them
    #[arg(default_value = "pipelines", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print findings as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// `schema`
#[derive(Clone, Debug, ClapArgs)]
pub struct SchemaArgs {
    /// Of what: pipeline or change-set
    #[arg(default_value = "pipeline", value_parser = ["pipeline", "change-set"])]
    pub of: String,
}

/// `plan`
#[derive(Clone, Debug, ClapArgs)]
pub struct PlanArgs {
    /// The change set, YAML or JSON
    #[arg(value_name = "CHANGE_SET")]
    pub change_set: PathBuf,
    /// The folder of pipelines
    #[arg(long, default_value = "pipelines", value_name = "DIR")]
    pub pipelines: PathBuf,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

/// `propose`
#[derive(Clone, Debug, ClapArgs)]
pub struct ProposeArgs {
    /// The change set, YAML or JSON
    #[arg(value_name = "CHANGE_SET")]
    pub change_set: PathBuf,
    /// Follow it to its end; the exit code says how it ended
    #[arg(long)]
    pub wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// `status`
#[derive(Clone, Debug, ClapArgs)]
pub struct StatusArgs {
    /// Only this rollout, in full
    pub rollout: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `watch`
#[derive(Clone, Debug, ClapArgs)]
pub struct WatchArgs {
    /// Which rollout [default: the newest]
    pub rollout: Option<String>,
}

/// `pause`, `revert`
#[derive(Clone, Debug, ClapArgs)]
pub struct OrderArgs {
    /// Which rollout
    pub rollout: String,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// `resume`
#[derive(Clone, Debug, ClapArgs)]
pub struct ResumeArgs {
    /// Which held rollout
    #[arg(required_unless_present = "lift")]
    pub rollout: Option<String>,
    /// Lift this kill instead; needs two people
    #[arg(long, value_name = "KILL", requires = "second", conflicts_with = "rollout")]
    pub lift: Option<String>,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
    /// The second person, for lifting a kill
    #[arg(long = "and", value_name = "NAME")]
    pub second: Option<String>,
}

/// `replay`
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArgs {
    /// The journal, as `journal.db` of a state directory, or a copy of it (with the `-wal` file beside it, if there is one)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print the records, and at last the state, as JSON lines
    #[arg(long)]
    pub json: bool,
}

const REPLAY_HELP: &str = "The file is only read, also while a daemon writes it. Exit codes: 0 every record is sound and fits \
· 1 a record was changed, is missing, cannot be read or does not fit (the error names it; the state is that of the record before) \
· 2 the file is no journal";

/// `kill`
#[derive(Clone, Debug, ClapArgs)]
pub struct KillArgs {
    /// What to stop: all, environment=X, region=X, cell=X, pipeline=X, agent=X or rollout=X
    #[arg(long, default_value = "all")]
    pub scope: KillScope,
    /// How hard: pause (start nothing), halt (also cancel what is in flight), revert (also take it back)
    #[arg(long, default_value = "pause")]
    pub mode: KillMode,
    /// Why, for the record
    #[arg(long, default_value = "")]
    pub reason: String,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
