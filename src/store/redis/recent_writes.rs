//! Writes that sidecars of a namespace have seen of late, as Redis keeps them for a while (`scripts/writes.lua`).

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;

use super::attached::AttachedTier;
use super::connection::RedisConnection;
use super::error::Error;
use super::scripts::{Call, Script};
use crate::rollout::RecentWrites;

/// For how long they are kept after the last.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// What is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewWrites {
    /// The number of the last write that Redis has.
    pub last: u64,
    /// The words of those after the one that was known, the oldest first.
    pub words: Vec<String>,
}

impl AttachedTier {
    /// Has Redis keep the words of writes; returns those after the one with the number `known`.
    pub(in crate::store) async fn exchange_writes(
        &self,
        words: Vec<String>,
        known: u64,
    ) -> Result<NewWrites, Error> {
        let connection = Arc::clone(&self.connection);
        let exchanged = self
            .runner
            .run(async move { connection.exchange_writes(&words, known).await });
        exchanged.await.unwrap_or(Err(Error::Down))
    }
}

impl RedisConnection {
    async fn exchange_writes(&self, words: &[String], known: u64) -> Result<NewWrites, Error> {
        let scope = self.for_requests();
        let name = self.tier.keys.writes_name();
        let call = || {
            let bounds: [Value; 3] = [
                (RecentWrites::MAX as i64).into(),
                (KEPT_FOR.as_millis() as i64).into(),
                known.to_string().into(),
            ];
            let words = words.iter().map(|word| Value::from(word.as_str()));
            Call {
                keys: vec![name.clone()],
                args: bounds.into_iter().chain(words).collect(),
            }
        };
        let reply = scope.run_plain(None, Script::Writes, call).await?;
        let mut parts = reply.into_array().into_iter();
        let last = parts.next().and_then(|last| last.as_u64());
        let words = parts.next().unwrap_or(Value::Null).into_array();
        Ok(NewWrites {
            last: last.unwrap_or_default(),
            words: words.into_iter().filter_map(Value::into_string).collect(),
        })
    }
}
