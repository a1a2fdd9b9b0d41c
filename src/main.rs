//! Arguments in, exit code out.

use clap::Parser as _;
use std::process::ExitCode;
use wavegate::cli::{self, args::Args, complain};

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => cli::run(args).into(),
        // `--help` and `--version` are no errors; whoever reads JSON gets an error as JSON.
        Err(error) if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") => {
            eprintln!("{}", complain::error("bad_usage", error.to_string().trim_end()));
            ExitCode::from(2)
        }
        Err(error) => error.exit(),
    }
}
