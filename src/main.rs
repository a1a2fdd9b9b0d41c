//! Arguments in, exit code out.

use clap::Parser as _;
use std::process::ExitCode;
use wavegate::cli::{self, args::Args};

fn main() -> ExitCode {
    cli::run(Args::parse()).into()
}
