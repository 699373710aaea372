//! Why the server ends a connection, or a stream of one, that its client would have kept.

use std::io;

use crate::metrics::Metrics;

/// What a client did, or did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    /// Its head did not come in time.
    #[error("the head of a request did not come in time")]
    SlowHead,
    /// It took too little of an answer.
    #[error("the client takes nothing, or next to nothing, of its answer")]
    SlowAnswer,
    /// It sent more frames of HTTP/2 that ask for nothing than anyone needs.
    #[error("a flood of frames that ask for nothing")]
    Flood,
    /// It did not say by the PROXY protocol whom it speaks for.
    #[error("no header of the PROXY protocol")]
    NoSource,
    /// It asked for nothing, and another client needed its place.
    #[error("idle, and another client needs the place")]
    Crowded,
    /// It asked for nothing.
    #[error("idle")]
    Idle,
}

impl Cut {
    /// Counts it, unless it is how connections end in the ordinary course of things.
    pub(super) fn count(self, metrics: &Metrics) {
        let reason = match self {
            Cut::SlowHead => "slow-head",
            Cut::SlowAnswer => "slow-answer",
            Cut::Flood => "flood",
            Cut::NoSource => "proxy-protocol",
            Cut::Crowded => "crowded",
            Cut::Idle => return,
        };
        let counter = metrics.connections_cut.with_label_values(&[reason]);
        counter.inc();
    }
}

impl From<Cut> for io::Error {
    fn from(cut: Cut) -> io::Error {
        let kind = match cut {
            Cut::Flood | Cut::NoSource | Cut::Crowded => io::ErrorKind::ConnectionAborted,
            Cut::SlowHead | Cut::SlowAnswer | Cut::Idle => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, cut)
    }
}
