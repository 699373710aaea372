//! How long one sidecar serves what a write through another has made stale.
//!
//! A reader asks without a pause. The staleness of a write is the time from its answer to the start of
//! the last read that still got an older version; reads that began before the answer do not count.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::Method;
use pannier::clock::monotonic;
use tokio::sync::watch;

use super::Target;
use super::client::Client;
use super::histogram::Histogram;
use super::paths::Objects;

/// Reads that got the new version in a row, after which a write is taken as seen.
const SEEN: usize = 20;

/// A write that is not seen after so long never will be.
const LONGEST: Duration = Duration::from_secs(2);

/// Writes through one server, reads through another.
#[derive(Debug, Args)]
pub(crate) struct Stale {
    #[arg(long)]
    write_to: Target,
    #[arg(long)]
    read_from: Target,
    #[command(flatten)]
    objects: Objects,
    /// How many writes.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
}

impl Stale {
    pub(crate) async fn run(self) -> anyhow::Result<String> {
        let mut writer = Client::new(self.write_to);
        let mut reader = Client::new(self.read_from);
        let (mut staleness, mut stale_reads) = (Histogram::default(), 0);
        for round in 0..self.rounds {
            let path = self.objects.path(round % self.objects.keys().max(1));
            // Both hold it before it is written.
            reader.ask(&Method::GET, &path).await?;
            writer.ask(&Method::GET, &path).await?;
            let (written, answer) = watch::channel(None);
            let write = async {
                let body = writer.ask(&Method::PUT, &path).await?;
                written.send_replace(Some((monotonic(), version(&body)?)));
                anyhow::Ok(())
            };
            let (write, read) = tokio::join!(write, watch_reads(&mut reader, &path, &answer));
            write?;
            let (last, count) = read?;
            staleness.add(last);
            stale_reads += count;
        }
        let (rounds, members) = (self.rounds, staleness.members());
        Ok(format!(
            "{{\"writes\":{rounds},\"stale_reads\":{stale_reads},{members}}}"
        ))
    }
}

/// Reads until the write is seen; returns how long after its answer the last stale read began, and how
/// many stale reads began after it.
async fn watch_reads(
    reader: &mut Client,
    path: &str,
    written: &watch::Receiver<Option<(Instant, u64)>>,
) -> anyhow::Result<(Duration, u64)> {
    let (mut last, mut count, mut fresh) = (Duration::ZERO, 0, 0);
    while fresh < SEEN {
        let begun = monotonic();
        let known = *written.borrow();
        let body = reader.ask(&Method::GET, path).await?;
        let Some((answered, new)) = known else {
            continue;
        };
        if version(&body)? < new {
            last = begun.duration_since(answered);
            count += 1;
            fresh = 0;
            if last > LONGEST {
                break;
            }
        } else {
            fresh += 1;
        }
    }
    Ok((last, count))
}

/// The version that the app wrote into the body.
fn version(body: &Bytes) -> anyhow::Result<u64> {
    let object: serde_json::Value = serde_json::from_slice(body)?;
    object["version"].as_u64().context("an object's body")
}
