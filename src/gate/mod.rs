//! What all requests to the app go through: the gate of background work, and the limit on all of them.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `turnstile` | the wait for a turn: in order, cancelled by dropping it |
//! | `limit` | all requests to the app, by `[upstream] rate` |
//! | `background` | what no client waits for: at a rate, a few at a time, stopped by `Retry-After`, slowed by trouble |

mod background;
mod limit;
mod turnstile;

use std::sync::Arc;

use prometheus::IntCounter;

pub use background::{Background, BackgroundState, Turn};
pub use limit::{Busy, Limit};

use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::politeness::FetchOrigin;
use crate::upstream::Places;

/// The gates of the process; all workers and all configs in force share them.
#[derive(Debug)]
pub struct Gates {
    /// Of what no client waits for.
    pub background: Arc<Background>,
    /// Of all requests to the app.
    pub limit: Limit,
    /// For connections to the app.
    pub places: Places,
    /// Requests to the app, by [`FetchOrigin::index`].
    requests: [IntCounter; FetchOrigin::ALL.len()],
}

impl Gates {
    /// As `config` has it.
    pub fn new(config: &Config, metrics: &Metrics) -> Gates {
        let settings = &config.upstream;
        Gates {
            places: Places::of(config),
            background: Arc::new(Background::new(settings.background, metrics)),
            limit: Limit::new(settings.limit, metrics),
            requests: FetchOrigin::ALL.map(|origin| {
                let requests = &metrics.requests_to_app;
                requests.with_label_values(&[origin.as_str()])
            }),
        }
    }

    /// Goes on as `settings` have it.
    pub fn tune(&self, settings: &config::Upstream) {
        self.background.tune(settings.background);
        self.limit.tune(settings.limit);
    }

    /// The app is asked.
    pub fn count(&self, origin: FetchOrigin) {
        self.requests[origin.index()].inc();
    }
}
