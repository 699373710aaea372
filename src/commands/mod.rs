//! One file a command.

mod admin_address;
pub mod alerts;
mod ask_sidecar;
pub mod check;
pub mod demo;
pub mod explain;
pub mod healthcheck;
pub mod jobs;
mod log_limit;
mod logging;
mod pinned_certificate;
pub mod purge;
pub mod run;
pub mod schema;
mod sidecar;
pub mod status;
pub mod switch;
pub mod tune;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::Env;
use crate::descriptors::Descriptors;
use check::Reach;

/// Runs the command that was asked for.
pub fn run_command(cli: Cli) -> anyhow::Result<ExitCode> {
    match dispatch(cli) {
        // Of `pannier check FILE | head` all is said that is read.
        Err(error) if reader_has_gone(&error) => Ok(ExitCode::SUCCESS),
        result => result,
    }
}

fn reader_has_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let out = &mut std::io::stdout();
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check { file, connect } => {
            let reach = if connect { Reach::Network } else { Reach::File };
            check::check(&file, &Env::process(), Descriptors::available(), reach, out)
        }
        Command::Explain(args) => explain::explain(&args, out),
        Command::Switch(args) => switch::switch(&args, &Env::process(), out),
        Command::Jobs(args) => jobs::jobs(&args, &Env::process(), out),
        Command::Status(args) => status::status(&args, &Env::process(), out),
        Command::Top(args) => status::top(&args, &Env::process(), out),
        Command::Purge(args) => purge::purge(&args, &Env::process(), out),
        Command::Alerts { file } => alerts::alerts(&file, &Env::process(), out),
        Command::Tune(args) => tune::tune(&args, &Env::process(), out),
        Command::Schema => schema::print(out).map(|()| ExitCode::SUCCESS),
        Command::Demo { once } => demo::demo(once),
        Command::Healthcheck { config, admin } => match config {
            Some(file) => healthcheck::healthcheck_by(&file, &Env::process()),
            None => healthcheck::healthcheck_at(&admin),
        },
    }
}
