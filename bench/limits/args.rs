//! What each bare limit is told on its command line.

/// `PORT BYTES [STATUS [REDIS_PORT]]`.
pub(crate) struct Args {
    /// Where to listen on 127.0.0.1.
    pub(crate) port: u16,
    /// The body's length.
    pub(crate) bytes: usize,
    /// Of every answer.
    #[allow(dead_code, reason = "not all limits answer other than 200")]
    pub(crate) status: u16,
    /// The Redis to ask, for the limit that asks one.
    #[allow(dead_code, reason = "only one limit asks a Redis")]
    pub(crate) redis: u16,
}

impl Args {
    /// `None`, with a word to the user, unless `bench/run` called: `cargo bench` and
    /// `cargo test --all-targets` start these programs too.
    pub(crate) fn read() -> Option<Args> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<usize>().ok());
        let args = match (number(0), number(1)) {
            (Some(port), Some(bytes)) => u16::try_from(port).ok().map(|port| Args {
                port,
                bytes,
                status: number(2).and_then(|it| it.try_into().ok()).unwrap_or(200),
                redis: number(3).and_then(|it| it.try_into().ok()).unwrap_or(6379),
            }),
            _ => None,
        };
        if args.is_none() {
            eprintln!("a server for bench/run; usage: PORT BYTES [STATUS [REDIS_PORT]]");
        }
        args
    }
}
