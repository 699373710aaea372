//! Parses the command line, runs the command, turns an error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use pannier::cli::Cli;

fn main() -> ExitCode {
    match pannier::commands::run_command(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pannier: {error:#}");
            ExitCode::FAILURE
        }
    }
}
