//! The command line: one file a command. Exit codes are in [`exit`].

pub mod approvals;
pub mod args;
pub mod audit;
pub mod backtest;
pub mod call;
pub mod check;
pub mod complain;
pub mod completions;
pub mod deliveries;
pub mod demo;
pub mod draw;
pub mod drill;
pub mod exit;
pub mod files;
pub mod judge;
pub mod kill;
pub mod lists;
pub mod live;
pub mod man;
pub mod mcp;
pub mod orders;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod propose;
pub mod replay;
pub mod schema;
pub mod serve;
pub mod status;
pub mod token;
pub mod watch;

use args::{Args, Command, Common};
use exit::Exit;

/// Runs one command and gives its exit code; what a person is to read has been printed.
pub fn run(args: Args) -> Exit {
    let Args { command, common } = args;
    complain::as_json(common.json);
    let exit = one(command, &common);
    complain::finish(exit);
    exit
}

fn one(command: Command, common: &Common) -> Exit {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(common, &args),
        Command::Plan(args) => plan::run(common, &args),
        Command::Propose(args) => propose::run(common, &args),
        Command::Judge(args) => judge::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Status(args) => status::run(common, &args),
        Command::Watch(args) => watch::run(common, &args),
        Command::Pause(args) => orders::pause(common, &args),
        Command::Resume(args) => orders::resume(common, &args),
        Command::Revert(args) => orders::revert(common, &args),
        Command::Withdraw(args) => orders::withdraw(common, &args),
        Command::Approvals(args) => approvals::list(common, &args),
        Command::Approve(args) => approvals::approve(common, &args),
        Command::Revoke(args) => approvals::revoke(common, &args),
        Command::Reject(args) => approvals::reject(common, &args),
        Command::SignOff(args) => approvals::sign_off(common, &args),
        Command::Explain(args) => approvals::explain(common, &args),
        Command::Kill(args) => kill::run(common, &args),
        Command::Mcp => mcp::run(common),
        Command::Drill(args) => drill::run(common, &args),
        Command::Policy(command) => policy::run(&command),
        Command::Token(command) => token::run(common, &command),
        Command::Deliveries(args) => deliveries::run(common, &args),
        Command::Preview(args) => preview::run(common, &args),
        Command::Rollouts(args) => lists::rollouts(common, &args),
        Command::Pipelines(args) => lists::pipelines(common, &args),
        Command::Audit(args) => audit::run(common, &args),
        Command::Me => lists::me(common),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Version => orders::version(common),
    }
}
