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
    keep_pages_small();
    match pannier::commands::run_command(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pannier: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Nothing in huge pages: [`ALLOCATOR`] asks for none (its feature `no_thp`, which also counts before this is called), and
/// this keeps those away that some systems give to everybody. To clear one of 2 MiB holds up a worker's clients, by up to some
/// milliseconds on a virtual machine, and the process keeps memory that nobody uses, where the byte budgets
/// count what is used. The price is a seventh more CPU for a hit of 100 KB among many such.
fn keep_pages_small() {
    // A kernel without them needs no telling.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
