//! One file a command.

pub mod check;
pub mod demo;
pub mod explain;
pub mod healthcheck;
mod log_limit;
mod logging;
pub mod run;
pub mod schema;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::Env;
use crate::descriptors::Descriptors;
use check::Reach;

/// Runs the command that was asked for.
pub fn run_command(cli: Cli) -> anyhow::Result<ExitCode> {
    let out = &mut std::io::stdout();
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check { file, connect } => {
            let reach = if connect { Reach::Network } else { Reach::File };
            check::check(&file, &Env::process(), Descriptors::available(), reach, out)
        }
        Command::Explain(args) => explain::explain(&args, out),
        Command::Schema => schema::print(out).map(|()| ExitCode::SUCCESS),
        Command::Demo { once } => demo::demo(once),
        Command::Healthcheck { config, admin } => match config {
            Some(file) => healthcheck::healthcheck_by(&file, &Env::process()),
            None => healthcheck::healthcheck(admin),
        },
    }
}
