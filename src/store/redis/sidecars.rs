//! What the sidecars of a namespace say of themselves, as Redis keeps it for a while (`scripts/sidecars.lua`).

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;

use super::attached::AttachedTier;
use super::connection::RedisConnection;
use super::error::Error;
use super::scripts::{Call, Script};

/// Of further ones the last to speak are known (promise I7).
const MOST: usize = 200;

/// What one sidecar says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarWord {
    /// Who: as it has named itself, once for its life.
    pub id: String,
    /// How long ago, by the clock of Redis.
    pub age: Duration,
    /// Its word.
    pub text: String,
}

impl SidecarWord {
    /// For how long a word counts: three times are missed before a sidecar is gone.
    pub const LIFETIME: Duration = Duration::from_secs(16);
}

impl AttachedTier {
    /// Has Redis keep `text` as the word of `id`, or forget it if there is none; returns the words of all, the latest
    /// first.
    pub(in crate::store) async fn meet_sidecars(
        &self,
        id: String,
        text: Option<String>,
    ) -> Result<Vec<SidecarWord>, Error> {
        let connection = Arc::clone(&self.connection);
        let met = self
            .runner
            .run(async move { connection.meet_sidecars(&id, text.as_deref()).await });
        met.await.unwrap_or(Err(Error::Down))
    }
}

impl RedisConnection {
    async fn meet_sidecars(&self, id: &str, text: Option<&str>) -> Result<Vec<SidecarWord>, Error> {
        let scope = self.for_requests();
        let name = self.tier.keys.sidecars_name();
        let call = || Call {
            keys: vec![name.clone()],
            args: vec![
                (SidecarWord::LIFETIME.as_millis() as i64).into(),
                (MOST as i64).into(),
                id.into(),
                text.unwrap_or_default().into(),
            ],
        };
        let reply = scope.run_plain(None, Script::Sidecars, call).await?;
        Ok(reply.into_array().into_iter().filter_map(read).collect())
    }
}

fn read(word: Value) -> Option<SidecarWord> {
    let mut parts = word.into_array().into_iter();
    Some(SidecarWord {
        id: parts.next()?.into_string()?,
        age: Duration::from_millis(parts.next()?.as_u64()?),
        text: parts.next()?.into_string()?,
    })
}
