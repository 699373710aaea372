//! The load that wrk and h2load cannot make: arrivals at a constant rate with latency counted from the
//! intended start, bursts on cold keys, purges, writes with readers that watch for stale answers, one
//! long stream. Prints one JSON object.

mod burst;
mod client;
mod fill;
mod histogram;
mod open;
mod paths;
mod purge;
mod stale;
mod stream;

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

/// The load generator of the benchmark.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    load: Option<Load>,
    /// What `cargo bench` says to each target.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What kind of load.
#[derive(Debug, Subcommand)]
enum Load {
    /// Requests at a constant rate, whatever the server does.
    Open(open::Open),
    /// Every key once, as fast as it goes.
    Fill(fill::Fill),
    /// Many requests at once for a key nobody asked for before.
    Burst(burst::Burst),
    /// Purges at a constant rate.
    Purge(purge::Purge),
    /// Writes through one server, reads through another.
    Stale(stale::Stale),
    /// One long body.
    Stream(stream::Stream),
}

/// Where the load goes.
type Target = SocketAddr;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = match Args::parse().load {
        None => {
            eprintln!("the load generator of bench/run; see --help");
            return Ok(());
        }
        Some(Load::Open(open)) => runtime.block_on(open.run())?,
        Some(Load::Fill(fill)) => runtime.block_on(fill.run())?,
        Some(Load::Burst(burst)) => runtime.block_on(burst.run())?,
        Some(Load::Purge(purge)) => runtime.block_on(purge.run())?,
        Some(Load::Stale(stale)) => runtime.block_on(stale.run())?,
        Some(Load::Stream(stream)) => runtime.block_on(stream.run())?,
    };
    println!("{report}");
    Ok(())
}
