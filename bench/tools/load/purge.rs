//! Purges at a constant rate, beside the load that `open` makes.

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use pannier::clock::monotonic;
use tokio::time::{MissedTickBehavior, interval};

use super::Target;
use super::client::{Client, HOST_NAME};
use super::histogram::Histogram;

/// Each of these begins the numbers of 1 + 10 + 100 objects below 20,000.
const NUMBERS: std::ops::Range<usize> = 20..100;

/// Purges at a constant rate.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// The admin interface, or where the server takes the method PURGE.
    #[arg(long)]
    to: Target,
    #[arg(long, value_enum)]
    kind: Kind,
    /// Purges per second.
    #[arg(long)]
    rate: f64,
    #[arg(long)]
    seconds: f64,
    /// Put before each object's number.
    #[arg(long)]
    prefix: String,
}

/// How a server is told.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// By pattern, at Pannier's admin interface: 111 objects at once.
    Pattern,
    /// One object, by the method PURGE on its path.
    Method,
}

impl Purge {
    pub(crate) async fn run(self) -> anyhow::Result<String> {
        let mut client = Client::new(self.to);
        let mut ticks = interval(Duration::from_secs_f64(1.0 / self.rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Histogram::default();
        let mut failed = 0;
        for number in NUMBERS.cycle().take((self.rate * self.seconds) as usize) {
            ticks.tick().await;
            let begun = monotonic();
            match client.send(self.request(number)?).await {
                Ok(_) => seen.add(monotonic().duration_since(begun)),
                Err(_) => failed += 1,
            }
        }
        let (purges, members) = (seen.total(), seen.members());
        Ok(format!(
            "{{\"purges\":{purges},\"failed\":{failed},{members}}}"
        ))
    }

    fn request(&self, number: usize) -> anyhow::Result<Request<Full<Bytes>>> {
        let prefix = &self.prefix;
        let request = Request::builder();
        Ok(match self.kind {
            Kind::Method => request
                .method(Method::from_bytes(b"PURGE")?)
                .uri(format!("/b/936/{prefix}{number}"))
                .header(HOST, HOST_NAME)
                .body(Full::default())?,
            Kind::Pattern => {
                let body = format!("{{\"patterns\":[\"object:936:{prefix}{number}*\"]}}");
                request
                    .method(Method::POST)
                    .uri("/purge")
                    // The admin interface answers to its own address only.
                    .header(HOST, self.to.to_string())
                    .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                    .header(AUTHORIZATION, "Bearer a-token-for-the-benchmark")
                    .body(Full::from(body))?
            }
        })
    }
}
