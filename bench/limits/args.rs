//! What each bare limit is told on its command line.

use clap::{Parser, ValueEnum};

/// A bare limit of the benchmark.
#[derive(Clone, Debug, Parser)]
#[allow(dead_code, reason = "no limit needs all of it")]
pub(crate) struct Args {
    /// Where to listen on 127.0.0.1.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// The body's length.
    #[arg(long, default_value_t = 936)]
    pub(crate) bytes: usize,
    /// Of every answer.
    #[arg(long, default_value_t = 200)]
    pub(crate) status: u16,
    /// The port of the Redis to ask, for the limit that asks one.
    #[arg(long, default_value_t = 6379)]
    pub(crate) redis: u16,
    /// The port of the app, for the limit that passes requests on.
    #[arg(long, default_value_t = 8000)]
    pub(crate) app: u16,
    /// Threads that serve.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// What these threads share.
    #[arg(long, value_enum, default_value_t = Shape::Own)]
    pub(crate) shape: Shape,
    /// What `cargo bench` says to each target.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How threads share listener, runtime and connections; the scene `threading` compares these.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shape {
    /// Nothing: each has a runtime, a listener and its connections to Redis or the app.
    Own,
    /// One runtime, one listener, one connection to Redis or one pool to the app.
    Shared,
    /// As `Shared`, with as many connections to Redis as threads, in turn.
    Pooled,
}

impl Args {
    /// `None`, with a word to the user, unless `bench/run` called: `cargo bench` and
    /// `cargo test --all-targets` start these programs too.
    pub(crate) fn read() -> Option<Args> {
        let args = Args::parse();
        if args.port == 0 {
            eprintln!("a server for bench/run; it needs --port");
            return None;
        }
        Some(args)
    }
}
