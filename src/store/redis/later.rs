//! The record of purges that are to be carried out again: what a sidecar leaves undone, others do.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fred::types::{ClusterHash, CustomCommand, Value};

use super::attached::AttachedTier;
use super::error::Error;
use super::record::PurgeText;
use crate::routes::Purge;

/// The longest record; a larger purge becomes one of everything.
const MAX_BYTES: usize = 8 << 10;

/// The most that are taken over at a time.
const AT_A_TIME: i64 = 64;

/// Records have times of this length, so that equal purges of one moment have one.
const SLOT_MS: u128 = 50;

impl AttachedTier {
    /// The record of a purge that is due at `due` (fleet time).
    pub(in crate::store) fn later_record(&self, purge: &Purge, due: SystemTime) -> Arc<str> {
        let since = due.duration_since(SystemTime::UNIX_EPOCH);
        let due = since.unwrap_or_default().as_millis().div_ceil(SLOT_MS) * SLOT_MS;
        let process = self.connection.tier.process();
        let json = |purge: &Purge| {
            serde_json::to_string(&PurgeText::new(purge)).expect("texts always have a form in JSON")
        };
        let mut text = json(purge);
        if text.len() > MAX_BYTES {
            text = json(&Purge::of_everything());
        }
        format!("{due} {process} {text}").into()
    }

    /// Has Redis keep these.
    pub(in crate::store) async fn keep_later(&self, records: &[Arc<str>]) {
        let scored = records
            .iter()
            .flat_map(|record| [due_of(record).to_string().into(), record.as_ref().into()]);
        self.send_later("ZADD", scored.collect()).await;
    }

    /// Has Redis forget these, which have been carried out.
    pub(in crate::store) async fn forget_later(&self, records: &[Arc<str>]) {
        let members = records.iter().map(|record| record.as_ref().into());
        self.send_later("ZREM", members.collect()).await;
    }

    /// What was due before `before` (fleet time), and nobody has carried out.
    pub(in crate::store) async fn overdue(&self, before: SystemTime) -> Vec<(Arc<str>, Purge)> {
        let since = before.duration_since(SystemTime::UNIX_EPOCH);
        let before = since.unwrap_or_default().as_millis().to_string();
        let args = vec![
            "-inf".into(),
            before.into(),
            "LIMIT".into(),
            "0".into(),
            AT_A_TIME.into(),
        ];
        let members = self.send_later("ZRANGEBYSCORE", args).await;
        let members = members.map(Value::into_array).unwrap_or_default();
        let texts = members.iter().filter_map(Value::as_string);
        texts
            .map(|text| {
                let purge = read(&text);
                (text.into(), purge)
            })
            .collect()
    }

    /// Sends a command about the record; what comes of it is nobody's trouble, since the record is a second hand.
    async fn send_later(&self, command: &'static str, mut args: Vec<Value>) -> Option<Value> {
        let name = self.connection.tier.keys.later_name();
        args.insert(0, name.as_str().into());
        match self.send(command, args).await {
            Ok(reply) => Some(reply),
            Err(error) => {
                tracing::debug!(%error, "the record of later purges");
                if matches!(error, Error::WrongType(_)) {
                    let _: Result<Value, Error> = self.send("UNLINK", vec![name.into()]).await;
                }
                None
            }
        }
    }

    /// Sends a command about a key that stands once.
    pub(super) async fn send(
        &self,
        command: &'static str,
        words: Vec<Value>,
    ) -> Result<Value, Error> {
        let connection = Arc::clone(&self.connection);
        let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
        let sent = self
            .runner
            .run(async move { connection.send(command, words).await });
        sent.await.unwrap_or(Err(Error::Down))
    }
}

/// What a record says; one that cannot be read says everything.
fn read(record: &str) -> Purge {
    let text = record.splitn(3, ' ').nth(2);
    let text = text.and_then(|text| serde_json::from_str::<PurgeText>(text).ok());
    text.map_or_else(Purge::of_everything, |text| text.read_purge())
}

/// When it is due, in milliseconds.
fn due_of(record: &str) -> u64 {
    let due = record.split(' ').next();
    due.and_then(|due| due.parse().ok()).unwrap_or_default()
}

/// The time after which a purge that its own sidecar has not carried out is done by another.
pub(in crate::store) const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Pattern;

    #[test]
    fn what_cannot_be_read_is_everything() {
        let purge = Purge {
            keys: vec![Pattern::parse("a b:*")],
            tags: vec![Pattern::parse("t")],
            ..Purge::default()
        };
        let text = serde_json::to_string(&PurgeText::new(&purge)).expect("JSON");
        let record = format!("1700000000050 00c0ffee {text}");
        assert_eq!(read(&record), purge);
        assert_eq!(due_of(&record), 1_700_000_000_050);
        for odd in ["", "x", "1 p", "1 p {}", "1 p {\"everything\":1}"] {
            assert_eq!(read(odd), Purge::of_everything(), "{odd}");
        }
    }
}
