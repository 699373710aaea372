//! Open loop: requests begin at their times, whether or not earlier ones are answered.
//!
//! A pacer says when a request is due; the latency counts from that moment, so the wait for a free
//! connection is part of it and a server that stalls cannot hide it (no coordinated omission). No timer
//! is fine enough for that: the pacer looks at the clock between one look at the sockets and the next,
//! and so keeps its core busy. Where the core has other work, `bench/run` starts this program as idle
//! (`chrt --idle`), so that it gives way at once. How late requests began is told apart (`late_p99_us`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use http::Method;
use pannier::clock::monotonic;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::Target;
use super::client::Client;
use super::histogram::Histogram;
use super::paths::{Objects, Sequence};

/// After the last request is due, the longest wait for answers.
const GRACE: Duration = Duration::from_secs(5);

/// Requests at a constant rate, whatever the server does.
#[derive(Debug, Args)]
pub(crate) struct Open {
    #[arg(long)]
    to: Target,
    /// Requests per second.
    #[arg(long)]
    rate: f64,
    #[arg(long)]
    seconds: f64,
    /// Seconds at the beginning that are not counted.
    #[arg(long, default_value_t = 0.2)]
    warm: f64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The part of the requests that are writes.
    #[arg(long, default_value_t = 0.0)]
    writes: f64,
    #[command(flatten)]
    objects: Objects,
}

/// A request to be made.
struct Due {
    at: Instant,
    counted: bool,
    write: bool,
    number: usize,
}

#[derive(Default)]
struct Seen {
    reads: Histogram,
    writes: Histogram,
    failed: u64,
    unfinished: u64,
}

impl Open {
    pub(crate) async fn run(self) -> anyhow::Result<String> {
        let (send, due) = mpsc::unbounded_channel();
        let due = Arc::new(Mutex::new(due));
        let mut clients = Vec::new();
        for _ in 0..self.connections {
            let mut client = Client::new(self.to);
            client.connect().await?;
            clients.push(client);
        }
        let end = monotonic() + Duration::from_secs_f64(self.seconds) + GRACE;
        let mut connections = JoinSet::new();
        for client in clients {
            connections.spawn(work(client, due.clone(), self.objects.clone(), end));
        }
        let pacer = tokio::spawn(self.pace(send));
        let mut seen = Seen::default();
        while let Some(one) = connections.join_next().await {
            seen.merge(one?);
        }
        let late = pacer.await?;
        let mut due = due.lock().await;
        while let Ok(waiting) = due.try_recv() {
            seen.gave_up(&waiting, end);
        }
        Ok(report(&seen, &late))
    }

    /// Says when each request is due; returns how late it was.
    async fn pace(self, send: mpsc::UnboundedSender<Due>) -> Histogram {
        let mut sequence: Sequence = self.objects.sequence();
        let mut late = Histogram::default();
        let start = monotonic();
        for number in 0..(self.rate * self.seconds) as u64 {
            let offset = Duration::from_secs_f64(number as f64 / self.rate);
            let at = start + offset;
            while monotonic() < at {
                tokio::task::yield_now().await;
            }
            late.add(monotonic().saturating_duration_since(at));
            let due = Due {
                at,
                counted: offset.as_secs_f64() >= self.warm,
                write: self.writes > 0.0 && sequence.happens(self.writes),
                number: sequence.draw(),
            };
            if send.send(due).is_err() {
                break;
            }
        }
        late
    }
}

/// One connection: takes what is due next, until nothing is, or the end.
async fn work(
    mut client: Client,
    due: Arc<Mutex<mpsc::UnboundedReceiver<Due>>>,
    objects: Objects,
    end: Instant,
) -> Seen {
    let mut seen = Seen::default();
    let patience = tokio::time::Instant::from_std(end);
    loop {
        let next = tokio::time::timeout_at(patience, async { due.lock().await.recv().await });
        let Ok(Some(next)) = next.await else {
            return seen;
        };
        let method = if next.write { Method::PUT } else { Method::GET };
        let path = objects.path(next.number);
        let answer = tokio::time::timeout_at(patience, client.ask(&method, &path)).await;
        let took = monotonic().saturating_duration_since(next.at);
        match answer {
            Err(_) => seen.gave_up(&next, end),
            _ if !next.counted => {}
            Ok(Err(_)) => seen.failed += 1,
            Ok(Ok(_)) if next.write => seen.writes.add(took),
            Ok(Ok(_)) => seen.reads.add(took),
        }
    }
}

impl Seen {
    fn merge(&mut self, other: Seen) {
        self.reads.merge(&other.reads);
        self.writes.merge(&other.writes);
        self.failed += other.failed;
        self.unfinished += other.unfinished;
    }

    /// It would have taken longer than this: left out, it would make the server look fast.
    fn gave_up(&mut self, due: &Due, end: Instant) {
        let kind = if due.write {
            &mut self.writes
        } else {
            &mut self.reads
        };
        kind.add(end.saturating_duration_since(due.at));
        self.unfinished += 1;
    }
}

fn report(seen: &Seen, late: &Histogram) -> String {
    let (reads, writes) = (seen.reads.total(), seen.writes.total());
    let (failed, unfinished) = (seen.failed, seen.unfinished);
    format!(
        "{{\"reads\":{reads},\"writes\":{writes},\"failed\":{failed},\"unfinished\":{unfinished},{},\
         \"writes_p50_us\":{:.1},\"late_p99_us\":{:.1}}}",
        seen.reads.members(),
        seen.writes.quantile(0.5),
        late.quantile(0.99),
    )
}
