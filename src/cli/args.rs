//! The command line's shape, for `clap`. Its words are `--help`: they are written for an SRE at three in the morning.

mod judge;
mod token;

pub use judge::{BacktestArgs, Format, JudgeArgs, Showing};
pub use token::{TokenCommand, TokenCreateArgs, TokenListArgs, TokenRevokeArgs};

use crate::model::document::fields::parse_duration;
use crate::model::halt::{KillMode, KillScope};
use crate::model::time::Millis;
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
    /// Ask the daemon behind this HTTP door instead, as https://HOST:PORT; http:// on this machine only [default: $WAVEGATE_SERVER]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "state_dir")]
    pub server: Option<String>,
    /// The file with your token, readable by you alone [default: $WAVEGATE_TOKEN holds it, or $WAVEGATE_TOKEN_FILE names the file]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM of the authority of the server's certificate [default: $WAVEGATE_CA, else the system's authorities]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// PEM of your client certificate, where the server knows people by it
    #[arg(long, global = true, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// PEM of its private key
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// Print JSON, errors too (docs/cli-json.md)
    #[arg(long, global = true)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Millis, String> {
    parse_duration(text).ok_or_else(|| "write a time with its unit, as `10m` or `2h`".to_owned())
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
    /// Have the daemon look what a change set would do; changes no resource
    Preview(PreviewArgs),
    /// Show how rollouts stand
    Status(StatusArgs),
    /// List rollouts, newest first
    Rollouts(RolloutsArgs),
    /// Follow a rollout live
    Watch(WatchArgs),
    /// Hold a rollout: nothing new starts, what is in flight goes to its end
    Pause(OrderArgs),
    /// Let a held rollout go on, or lift a kill (two people)
    Resume(ResumeArgs),
    /// Take a rollout back, last wave first
    Revert(OrderArgs),
    /// Take back what you proposed: what it touched goes back
    Withdraw(OrderArgs),
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
    /// Try every kill, by every door, in the running daemon: over an embedded world, or a sandbox
    Drill(DrillArgs),
    /// Serve the Model Context Protocol on standard input and output, for one agent with its own token
    #[command(after_help = MCP_HELP)]
    Mcp,
    /// Read a journal from its first record to its last: verify it, and tell what happened; needs no daemon
    Replay(ReplayArgs),
    /// Replay recorded metrics through a pipeline's gate: would it have caught it, and when?
    Judge(JudgeArgs),
    /// Read a past interval's metrics and replay them: how often would the gate have cried wolf?
    Backtest(BacktestArgs),
    /// Policies in Cedar: test them with examples, prove what they hold back, print what they can ask
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Tokens: who comes in by HTTP and MCP; make, list, revoke them, with or without a daemon
    #[command(subcommand)]
    Token(TokenCommand),
    /// On the daemon's machine: show messages to people that did not arrive; have them tried again, or forget them
    Deliveries(DeliveriesArgs),
    /// List the daemon's pipelines, or show one
    Pipelines(PipelinesArgs),
    /// Print the record, oldest first
    Audit(AuditArgs),
    /// Say who the daemon takes you for, and what you may do
    Me,
    /// Print the versions of this program and of the daemon
    Version,
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Print the manual page, or write one page a command
    Man(ManArgs),
}

/// `deliveries`
#[derive(Clone, Debug, ClapArgs)]
pub struct DeliveriesArgs {
    /// Try them again, for another day
    #[arg(long, conflicts_with = "forget")]
    pub retry: bool,
    /// Forget them: whoever should have been told knows
    #[arg(long)]
    pub forget: bool,
    /// Only of this channel
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
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

const MCP_HELP: &str = "The token comes from $WAVEGATE_TOKEN_FILE or $WAVEGATE_TOKEN, and must be an agent's or a service's: an agent \
does not act as the person who started it. `wavegate token create NAME --kind agent --party P --role proposer` makes one.";

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
    /// The daemon's own configuration: HTTP, identities, notifications [default: none of them]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An embedded world instead of AWS, with every stack of the pipelines' cells in it: to try the doors, and for tests. It is gone when
    /// the daemon ends
    #[arg(long)]
    pub embedded: bool,
    /// End when the standard input does: for a daemon that another process starts
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
    /// Log as JSON lines
    #[arg(long)]
    pub log_json: bool,
}

/// `drill`
#[derive(Clone, Debug, ClapArgs)]
pub struct DrillArgs {
    /// Drill on the cells of this pipeline, all of them in an environment named `sandbox`, instead of the embedded ones
    #[arg(long, value_name = "PIPELINE", requires = "change_set", conflicts_with = "list")]
    pub sandbox: Option<String>,
    /// A change for the sandbox that takes a while and needs nobody's approval
    #[arg(long, value_name = "FILE", requires = "sandbox")]
    pub change_set: Option<PathBuf>,
    /// Show the drills on record, newest first, and hold none
    #[arg(long)]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
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
    /// With --wait: give up when the daemon has been away for so long, as 10m [default: wait for it]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub give_up_after: Option<Millis>,
    /// Print JSON; with --wait each event, too, and at last the rollout
    #[arg(long)]
    pub json: bool,
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
    /// Give up when the daemon has been away for so long, as 10m [default: wait for it]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub give_up_after: Option<Millis>,
    /// Print each event as a JSON line, and at last the rollout
    #[arg(long)]
    pub json: bool,
}

/// `preview`
#[derive(Clone, Debug, ClapArgs)]
pub struct PreviewArgs {
    /// The change set, YAML or JSON
    #[arg(value_name = "CHANGE_SET")]
    pub change_set: PathBuf,
}

/// `rollouts`
#[derive(Clone, Debug, ClapArgs)]
pub struct RolloutsArgs {
    /// Only those that have not ended
    #[arg(long, conflicts_with = "ended")]
    pub open: bool,
    /// Only those that have ended
    #[arg(long)]
    pub ended: bool,
}

/// `pipelines`
#[derive(Clone, Debug, ClapArgs)]
pub struct PipelinesArgs {
    /// Only this one, in full
    pub name: Option<String>,
}

/// `audit`
#[derive(Clone, Debug, ClapArgs)]
pub struct AuditArgs {
    /// Only what comes after this position
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub after: u64,
    /// Go on with what happens
    #[arg(long)]
    pub follow: bool,
    /// With --follow: give up when the daemon has been away for so long, as 10m [default: wait for it]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub give_up_after: Option<Millis>,
}

/// `completions`
#[derive(Clone, Debug, ClapArgs)]
pub struct CompletionsArgs {
    /// Of which shell
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Clone, Debug, ClapArgs)]
pub struct ManArgs {
    /// Write a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `pause`, `revert`, `withdraw`
#[derive(Clone, Debug, ClapArgs)]
pub struct OrderArgs {
    /// Which rollout
    pub rollout: String,
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
}

/// `revoke`
#[derive(Clone, Debug, ClapArgs)]
pub struct RevokeArgs {
    /// Which rollout
    pub rollout: String,
}

/// `reject`
#[derive(Clone, Debug, ClapArgs)]
pub struct RejectArgs {
    /// Which rollout
    pub rollout: String,
    /// Why: the agent is told, and the record keeps it
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
}

/// `sign-off`
#[derive(Clone, Debug, ClapArgs)]
pub struct SignOffArgs {
    /// Which rollout
    pub rollout: String,
    /// Which environment is as it should be
    #[arg(long, value_name = "NAME")]
    pub environment: String,
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
    /// Lift this kill instead: two people do, each with this command, within an hour
    #[arg(long, value_name = "KILL", conflicts_with = "rollout")]
    pub lift: Option<String>,
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
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
