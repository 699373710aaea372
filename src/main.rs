//! Parses the command line, runs the command, turns an error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use pannier::cli::Cli;

/// A hit makes some ten small allocations and gives them back, where this one is twice as fast as the C
/// library's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match pannier::commands::run_command(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pannier: {error:#}");
            ExitCode::FAILURE
        }
    }
}
