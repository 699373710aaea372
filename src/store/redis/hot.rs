//! The hot keys of each sidecar, as Redis keeps them for those that start later: a hash of the process to the time and a
//! compressed list.

use fred::types::Value;

use super::attached::AttachedTier;
use super::error::Error;

/// Of further processes the oldest word goes (promise I7).
const MOST: usize = 16;

/// A word counts for so long: milliseconds.
const LIFETIME: u64 = 4 * 3_600_000;

/// Bytes of a word.
const MAX_BYTES: usize = 256 << 10;

/// Bytes of the list in it, behind the time.
pub const MAX_HOT_LIST: usize = MAX_BYTES - 32;

impl AttachedTier {
    /// Has Redis keep what this process says of hot keys, at `now`.
    pub(in crate::store) async fn tell_hot(&self, now: u64, list: Vec<u8>) -> Result<(), Error> {
        let tier = &self.connection.tier;
        let process = tier.process().to_owned();
        let mut word = format!("{now} ").into_bytes();
        word.extend(list);
        if word.len() > MAX_BYTES {
            return Ok(());
        }
        self.send_hot("HSET", vec![process.into(), Value::Bytes(word.into())])
            .await?;
        let words = self.hot_words().await?;
        let goes = to_forget(&words, now);
        if !goes.is_empty() {
            let names = goes.into_iter().map(Value::from).collect();
            self.send_hot("HDEL", names).await?;
        }
        Ok(())
    }

    /// What sidecars have said of late.
    pub(in crate::store) async fn hot_lists(&self, now: u64) -> Result<Vec<Vec<u8>>, Error> {
        let words = self.hot_words().await?.into_iter();
        let of_late = words.filter(|(_, at, _)| at.saturating_add(LIFETIME) > now);
        Ok(of_late.map(|(_, _, list)| list).collect())
    }

    async fn hot_words(&self) -> Result<Vec<(String, u64, Vec<u8>)>, Error> {
        let fields = self.send_hot("HGETALL", Vec::new()).await?.into_array();
        let pairs = fields.chunks_exact(2);
        let words = pairs.filter_map(|pair| {
            let (process, word) = (pair[0].as_string()?, pair[1].as_bytes()?);
            let at = word.iter().position(|byte| *byte == b' ')?;
            let time = std::str::from_utf8(&word[..at]).ok()?.parse().ok()?;
            Some((process, time, word[at + 1..].to_vec()))
        });
        Ok(words.collect())
    }

    async fn send_hot(&self, command: &'static str, mut words: Vec<Value>) -> Result<Value, Error> {
        let name = self.connection.tier.keys.hot_name();
        words.insert(0, name.as_str().into());
        let sent = self.send(command, words).await;
        if matches!(sent, Err(Error::WrongType(_))) {
            let _: Result<Value, Error> = self.send("UNLINK", vec![name.into()]).await;
        }
        sent
    }
}

/// The processes whose words go: those that are too old, and the oldest of too many.
fn to_forget(words: &[(String, u64, Vec<u8>)], now: u64) -> Vec<String> {
    let mut by_age: Vec<(u64, &String)> = words.iter().map(|(name, at, _)| (*at, name)).collect();
    by_age.sort_unstable_by(|one, other| other.cmp(one));
    let old = |(place, (at, _)): &(usize, (u64, &String))| {
        *place >= MOST || at.saturating_add(LIFETIME) <= now
    };
    let goes = by_age.into_iter().enumerate().filter(old);
    goes.map(|(_, (_, name))| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_and_the_many_go() {
        let word = |n: u64, at| (format!("p{n}"), at, Vec::new());
        let mut words = vec![word(0, 5), word(1, LIFETIME)];
        assert_eq!(to_forget(&words, LIFETIME + 5), ["p0"]);
        words.extend((2..20).map(|n| word(n, LIFETIME + n)));
        let goes = to_forget(&words, LIFETIME + 20);
        assert_eq!((goes.len(), &*goes[0]), (4, "p3"), "{goes:?}");
    }
}
