//! Writes that other sidecars have seen, so that each can name the one that changed what it has, whoever passed it on.
//!
//! While a rule is in shadow or audited, each tells Redis of its own twice a second, and hears of the others'. What has come
//! later than a finding does not count for it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::live::Live;
use crate::rollout::{Evidence, Mode, Rate, Write};
use crate::store::Store;

/// From one exchange to the next; half of what a finding waits for its purge.
const EVERY: Duration = Duration::from_millis(500);

/// What is exchanged, and with whom.
pub struct WriteExchange {
    live: Arc<ArcSwap<Live>>,
    evidence: Arc<Mutex<Evidence>>,
    /// Of this process alone.
    id: String,
}

impl WriteExchange {
    /// Nothing is exchanged yet.
    pub fn new(live: Arc<ArcSwap<Live>>, evidence: Arc<Mutex<Evidence>>) -> WriteExchange {
        WriteExchange {
            live,
            evidence,
            id: format!("{:016x}", fastrand::u64(..)),
        }
    }

    /// Exchanges writes again and again. Never returns: it is the work of one task of the process.
    pub async fn follow(&self, store: &Store) {
        let mut known = 0;
        loop {
            tokio::time::sleep(EVERY).await;
            let is_wanted = store.is_shared() && compares(&self.live.load());
            self.evidence.lock().writes.share(is_wanted);
            if is_wanted {
                known = self.exchange(store, known).await;
            }
        }
    }

    /// The number of the last write that is known then.
    async fn exchange(&self, store: &Store, known: u64) -> u64 {
        let own = self.evidence.lock().writes.take_unshared();
        let words = own.iter().map(|write| write.to_words(&self.id)).collect();
        let Some(found) = store.exchange_writes(words, known).await else {
            self.evidence.lock().writes.keep_unshared(own);
            return known;
        };
        let others = found.words.iter().filter_map(|words| {
            let (id, write) = Write::of_words(words)?;
            (id != self.id).then_some(write)
        });
        self.evidence.lock().writes.take_in(others);
        found.last
    }
}

/// Whether any rule is compared with the app.
fn compares(live: &Live) -> bool {
    let indexes = (0..live.config.routes.len()).map(Some).chain([None]);
    indexes
        .map(|index| live.rule(index))
        .any(|rule| rule.dial.read().mode == Mode::Shadow || rule.settings.audit != Rate::NONE)
}
