//! The state in one word, and why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alerts::Alert;
use super::history::Counts;
use super::stats::{Redis, RedisState, Tokens};

/// What is looked at for whether requests fail.
pub(super) const RECENT: Duration = Duration::from_secs(60);

/// Fewer say nothing.
const ENOUGH_REQUESTS: u64 = 10;

/// How the sidecar is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// All is as it should be.
    #[default]
    Healthy,
    /// It serves, and something wants a look.
    Warning,
    /// Most of what it is asked fails, or it is about to end.
    Down,
}

/// The word and its reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// The worst of all.
    pub word: Word,
    /// The gravest first.
    pub reasons: Vec<String>,
}

/// What the state is judged by.
pub(super) struct Facts<'f> {
    pub(super) draining: bool,
    /// In the time of [`RECENT`].
    pub(super) recent: Counts,
    pub(super) redis: &'f Redis,
    pub(super) jwt: Option<&'f Tokens>,
    pub(super) alerts: &'f [Alert],
    /// What is not as it should be between sidecars.
    pub(super) fleet: &'f [String],
    /// Jobs whose last run has failed, in words.
    pub(super) failed_jobs: &'f [String],
}

pub(super) fn judge(facts: &Facts<'_>) -> State {
    let mut state = State::default();
    if facts.draining {
        state.add(Word::Down, "the sidecar is about to end (draining)");
    }
    if let Some(word) = judge_failures(facts.recent) {
        let (failures, requests) = (facts.recent.failures, count_sound(facts.recent));
        let words = format!("{failures} of {requests} requests failed in the last minute");
        state.add(word, words);
    }
    if facts.redis.state == RedisState::Down {
        let cause = facts
            .redis
            .cause
            .as_deref()
            .unwrap_or("the reason is not known yet");
        state.add(Word::Warning, format!("Redis cannot be used: {cause}"));
    }
    if facts.redis.taken_by_others {
        state.add(
            Word::Warning,
            "others have filled the memory of the Redis server: hardly anything is stored there, and answers are kept in \
             memory alone",
        );
    }
    if facts.redis.pending_purges > 0 {
        let count = facts.redis.pending_purges;
        state.add(Word::Warning, format!("{count} purges wait for Redis"));
    }
    if let Some(error) = facts.jwt.and_then(|jwt| jwt.last_error.as_deref()) {
        state.add(
            Word::Warning,
            format!("the keys of [jwt] were not renewed: {error}"),
        );
    }
    for words in facts.fleet.iter().chain(facts.failed_jobs) {
        state.add(Word::Warning, words);
    }
    for words in facts
        .alerts
        .iter()
        .filter_map(|alert| alert.words.as_deref())
    {
        state.add(Word::Warning, words);
    }
    state
}

/// Half of them or five in a hundred, if there were enough to tell.
fn judge_failures(recent: Counts) -> Option<Word> {
    let (failures, requests) = (recent.failures, count_sound(recent));
    match requests {
        ..ENOUGH_REQUESTS => None,
        _ if failures * 2 >= requests => Some(Word::Down),
        _ if failures * 100 >= requests * 5 => Some(Word::Warning),
        _ => None,
    }
}

/// Requests but for malformed ones, which anybody may send.
fn count_sound(recent: Counts) -> u64 {
    recent.requests.saturating_sub(recent.malformed)
}

impl State {
    fn add(&mut self, word: Word, reason: impl Into<String>) {
        let is_graver = matches!(
            (self.word, word),
            (Word::Healthy, _) | (Word::Warning, Word::Down)
        );
        if is_graver {
            self.word = word;
        }
        self.reasons.push(reason.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_judged_by_enough_requests_that_are_sound() {
        for (name, requests, failures, malformed, expected) in [
            ("none fail", 100, 0, 0, None),
            ("four in a hundred", 100, 4, 0, None),
            ("five in a hundred", 100, 5, 0, Some(Word::Warning)),
            ("half", 100, 50, 0, Some(Word::Down)),
            ("too few to tell", 9, 9, 0, None),
            ("just enough", 10, 1, 0, Some(Word::Warning)),
            ("an outsider sends rubbish", 1000, 0, 990, None),
            ("and hides no failure", 1000, 5, 900, Some(Word::Warning)),
            ("rubbish alone", 1000, 0, 1000, None),
        ] {
            let recent = Counts {
                requests,
                failures,
                malformed,
                ..Counts::default()
            };
            assert_eq!(judge_failures(recent), expected, "{name}");
        }
    }
}
