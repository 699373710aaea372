//! The keys of `[jwt]`, kept as they are in the world: a file that is replaced counts at once, and what is taken
//! out of it counts no more. Neither the config nor what is stored is touched.

mod file;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock;
use crate::config::{Jwt, JwtKey, KeyForm, KeyOrigin};
use crate::jwt::Verifier;
use crate::live::Live;
use crate::metrics::Metrics;
use file::KeyFile;

/// How often the keys are looked at. A change counts when it was seen twice.
const INTERVAL: Duration = Duration::from_millis(250);

/// What a look at the keys brought.
#[derive(Clone, Debug, PartialEq)]
enum News {
    /// They are these.
    Key(JwtKey),
    /// They are none that may be used; the old ones stay.
    Refused(String),
}

/// Follows the keys of one origin.
#[derive(Debug)]
struct Follower {
    origin: KeyOrigin,
    form: KeyForm,
    file: KeyFile,
    /// What it found last; `None`: nothing yet that is of use.
    key: Option<JwtKey>,
}

/// Keeps the keys of the config in force up to date, until it is dropped.
pub async fn keep_fresh(live: Arc<ArcSwap<Live>>, metrics: Arc<Metrics>) {
    let mut follower = None;
    loop {
        follow(&mut follower, live.load().config.jwt.as_ref());
        if let Some(follower) = &mut follower {
            let news = follower.look();
            // As it is now: a reload may have come between, with keys that it read before they changed.
            let live = live.load();
            let in_force = live.config.jwt.as_ref().zip(live.jwt.as_ref());
            if let Some((_, verifier)) = in_force.filter(|(jwt, _)| follower.follows(jwt)) {
                follower.take_in(news, verifier, &metrics);
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Another follower if the keys are of another origin now; none if they do not change.
fn follow(follower: &mut Option<Follower>, jwt: Option<&Jwt>) {
    let stays = follower.as_ref().zip(jwt);
    if !stays.is_some_and(|(follower, jwt)| follower.follows(jwt)) {
        *follower = jwt.and_then(Follower::new);
    }
}

impl Follower {
    fn new(jwt: &Jwt) -> Option<Follower> {
        let form = jwt.key.form();
        let file = match &jwt.origin {
            KeyOrigin::Config => return None,
            KeyOrigin::File(path) => KeyFile::new(path.clone(), form),
        };
        Some(Follower {
            origin: jwt.origin.clone(),
            form,
            file,
            key: None,
        })
    }

    fn follows(&self, jwt: &Jwt) -> bool {
        self.origin == jwt.origin && self.form == jwt.key.form()
    }

    fn look(&mut self) -> Option<News> {
        self.file.look()
    }

    /// Puts what was found in force.
    fn take_in(&mut self, news: Option<News>, verifier: &Verifier, metrics: &Metrics) {
        match news {
            Some(News::Key(key)) => {
                verifier.note_renewed(clock::wall());
                self.key = Some(key);
            }
            Some(News::Refused(why)) => refuse(verifier, metrics, why),
            None => {}
        }
        // What is just being written may be known to the verifier already, by a reload.
        let key = self.key.as_ref().filter(|_| self.file.is_still());
        let Some(key) = key.filter(|key| !verifier.has_keys_of(key)) else {
            return;
        };
        match verifier.replace_keys(key) {
            Ok(useful) => {
                count(metrics, "ok");
                tracing::info!(keys = useful, "[jwt]: the keys were replaced");
            }
            Err(error) => {
                refuse(verifier, metrics, error.to_string());
                self.key = None;
            }
        }
    }
}

/// Told once a change: `why` is news.
fn refuse(verifier: &Verifier, metrics: &Metrics, why: String) {
    count(metrics, "error");
    tracing::warn!("[jwt]: {why}; the old keys stay");
    verifier.note_refused(why);
}

fn count(metrics: &Metrics, result: &str) {
    metrics.jwks_refreshes.with_label_values(&[result]).inc();
}
