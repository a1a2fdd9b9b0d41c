//! The command line's shape, for `clap`. Its words are `--help`: they are written for an SRE at three in the morning.

mod judge;

pub use judge::{BacktestArgs, Format, JudgeArgs, Showing};

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
    /// Show what people are asked: scope, reasons, who can agree, and the command that does
    Approvals(ShowArgs),
    /// Agree to exactly what a digest covers
    Approve(ApproveArgs),
    /// Take an approval back, as long as it is not used
    Revoke(RevokeArgs),
    /// Say no: the rollout does not happen; what it touched goes back
    Reject(RejectArgs),
    /// Say that an environment is as it should be, where the next one waits for that
    SignOff(SignOffArgs),
    /// Say why a rollout does not go on, who can release it, and what would make it pass
    Explain(ExplainArgs),
    /// Stop: everything, or one environment, region, cell, pipeline, agent or rollout
    Kill(KillArgs),
    /// Read a journal from its first record to its last: verify it, and tell what happened; needs no daemon
    Replay(ReplayArgs),
    /// Replay recorded metrics through a pipeline's gate: would it have caught it, and when?
    Judge(JudgeArgs),
    /// Read a past interval's metrics and replay them: how often would the gate have cried wolf?
    Backtest(BacktestArgs),
    /// Policies in Cedar: test them with examples, prove what they hold back, print what they can ask
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the versions of this program and of the daemon
    Version,
}

/// `policy`
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// Ask policies about example requests, and compare the answers with those expected
    #[command(after_help = POLICY_HELP)]
    Test(PolicyTestArgs),
    /// Prove for all requests that policies hold back what NEVER files describe, or show one that they let through
    #[command(after_help = POLICY_HELP)]
    Prove(ProveArgs),
    /// Print what policies can ask, as a Cedar schema
    Schema,
}

const POLICY_HELP: &str = "Exit codes: 0 as expected, or proven · 1 the solver failed or gave up · 2 a file is wrong · \
3 not as expected, or let through";

/// `policy test`
#[derive(Clone, Debug, ClapArgs)]
pub struct PolicyTestArgs {
    /// Files of examples, as `*.tests.yaml`; each names its policies
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `policy prove`
#[derive(Clone, Debug, ClapArgs)]
pub struct ProveArgs {
    /// Policy files that are in force together
    #[arg(required = true, value_name = "POLICIES")]
    pub policies: Vec<PathBuf>,
    /// Files whose `permit`s describe what must never be let through
    #[arg(long, required = true, value_name = "FILE")]
    pub never: Vec<PathBuf>,
}

/// `demo`
#[derive(Clone, Debug, ClapArgs)]
pub struct DemoArgs {
    /// Only this scenario: recreate, healthy, bad-change or kill
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

/// `approvals`
#[derive(Clone, Debug, ClapArgs)]
pub struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `approve`
#[derive(Clone, Debug, ClapArgs)]
pub struct ApproveArgs {
    /// Which rollout
    pub rollout: String,
    /// What you looked at, as `wavegate approvals` shows it: at least twelve characters
    #[arg(long, value_name = "DIGEST")]
    pub digest: String,
    /// Only up to this wave, by its name [default: all that are asked for]
    #[arg(long, value_name = "WAVE")]
    pub through: Option<String>,
    /// What a destructive change does, repeated: "replaces 1 database"
    #[arg(long, value_name = "WORDS")]
    pub confirm: Option<String>,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// `revoke`
#[derive(Clone, Debug, ClapArgs)]
pub struct RevokeArgs {
    /// Which rollout
    pub rollout: String,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// `reject`
#[derive(Clone, Debug, ClapArgs)]
pub struct RejectArgs {
    /// Which rollout
    pub rollout: String,
    /// Why: the agent is told, and the record keeps it
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// `sign-off`
#[derive(Clone, Debug, ClapArgs)]
pub struct SignOffArgs {
    /// Which rollout
    pub rollout: String,
    /// Which environment is as it should be
    #[arg(long, value_name = "NAME")]
    pub environment: String,
    /// In whose name [default: the local user]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// `explain`
#[derive(Clone, Debug, ClapArgs)]
pub struct ExplainArgs {
    /// Which rollout
    pub rollout: String,
    /// Print JSON: codes, numbers, the line of each rule, and what would satisfy it
    #[arg(long)]
    pub json: bool,
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
