//! The keys of `[jwt]`, kept as they are in the world: a file that is replaced counts at once, a URL is fetched, and
//! what is taken out of them counts no more. Neither the config nor what is stored is touched.

mod file;
mod schedule;
mod url;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use crate::clock;
use crate::config::{Jwt, JwtKey, KeyForm, KeyOrigin};
use crate::in_flight::InFlight;
use crate::jwt::Verifier;
use crate::live::Live;
use crate::metrics::Metrics;
use file::KeyFile;
use url::KeyUrl;

/// How often the keys are looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// What a look at the keys brought.
#[derive(Clone, Debug, PartialEq)]
enum News {
    /// They are these.
    Key(JwtKey),
    /// They are none that may be used; the old ones stay.
    Refused(String),
    /// The old ones count no more.
    Expired(String),
}

/// Follows the keys of one origin.
#[derive(Debug)]
struct Follower {
    origin: KeyOrigin,
    form: KeyForm,
    place: KeyPlace,
    /// What it found last; `None`: nothing yet that is of use.
    key: Option<JwtKey>,
}

/// Where it looks.
#[derive(Debug)]
enum KeyPlace {
    File(KeyFile),
    Url(Box<KeyUrl>),
}

/// Keeps the keys of the config in force up to date, until it is dropped. One is enough for a process.
pub async fn keep_fresh(live: Arc<ArcSwap<Live>>, in_flight: InFlight, metrics: Arc<Metrics>) {
    let mut follower = None;
    loop {
        follow(&mut follower, live.load().config.jwt.as_ref(), &in_flight);
        if let Some(follower) = &mut follower {
            let missed = follower
                .find_verifier(&live.load())
                .is_some_and(Verifier::take_missed_key);
            let news = follower.look(missed).await;
            // As it is now: a reload may have come between, with keys that it read before they changed.
            let live = live.load();
            if let Some(verifier) = follower.find_verifier(&live) {
                follower.take_in(news, verifier, &metrics);
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Another follower if the keys are of another origin now; none if they do not change.
fn follow(follower: &mut Option<Follower>, jwt: Option<&Jwt>, in_flight: &InFlight) {
    let stays = follower.as_ref().zip(jwt);
    if !stays.is_some_and(|(follower, jwt)| follower.follows(jwt)) {
        *follower = jwt.and_then(|jwt| Follower::new(jwt, in_flight));
    }
}

impl Follower {
    fn new(jwt: &Jwt, in_flight: &InFlight) -> Option<Follower> {
        let form = jwt.key.form();
        let place = match &jwt.origin {
            KeyOrigin::Config => return None,
            KeyOrigin::File(path) => KeyPlace::File(KeyFile::new(path.clone(), form)),
            KeyOrigin::Url(url) => {
                KeyPlace::Url(Box::new(KeyUrl::new(url.clone(), in_flight.clone())))
            }
        };
        Some(Follower {
            origin: jwt.origin.clone(),
            form,
            place,
            key: None,
        })
    }

    fn follows(&self, jwt: &Jwt) -> bool {
        self.origin == jwt.origin && self.form == jwt.key.form()
    }

    /// The verifier in force, if its keys are those that it follows.
    fn find_verifier<'l>(&self, live: &'l Live) -> Option<&'l Verifier> {
        let in_force = live.config.jwt.as_ref().zip(live.jwt.as_ref());
        let followed = in_force.filter(|(jwt, _)| self.follows(jwt));
        followed.map(|(_, verifier)| verifier)
    }

    /// `missed`: a token has named a key that is unknown.
    async fn look(&mut self, missed: bool) -> Option<News> {
        match &mut self.place {
            KeyPlace::File(file) => file.look(),
            KeyPlace::Url(url) => url.look(missed).await,
        }
    }

    /// What is just being written may be known to the verifier already, by a reload.
    fn is_still(&self) -> bool {
        match &self.place {
            KeyPlace::File(file) => file.is_still(),
            KeyPlace::Url(_) => true,
        }
    }

    /// Puts what was found in force.
    fn take_in(&mut self, news: Option<News>, verifier: &Verifier, metrics: &Metrics) {
        let mut was_found = false;
        match news {
            Some(News::Key(key)) => {
                was_found = true;
                self.key = Some(key);
            }
            Some(News::Refused(why)) => refuse(verifier, metrics, why),
            Some(News::Expired(why)) => {
                tracing::error!("[jwt]: {why}; no token is verified");
                verifier.note_refused(why);
                self.key = Some(JwtKey::none());
            }
            None => {}
        }
        let key = self.key.as_ref().filter(|_| self.is_still());
        if let Some(key) = key.filter(|key| !verifier.has_keys_of(key)) {
            match verifier.replace_keys(key) {
                Ok(useful) => {
                    tracing::info!(keys = useful, "[jwt]: other keys from {}", self.origin)
                }
                Err(error) => {
                    self.key = None;
                    return refuse(verifier, metrics, format!("{}: {error}", self.origin));
                }
            }
        }
        if was_found {
            note_renewed(verifier, metrics);
        }
    }
}

fn note_renewed(verifier: &Verifier, metrics: &Metrics) {
    let now = clock::wall();
    verifier.note_renewed(now);
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    metrics
        .jwks_last_success
        .set(since.unwrap_or_default().as_secs_f64());
    metrics.jwks_refreshes.with_label_values(&["ok"]).inc();
}

/// What was found is of no use. Told once for each state of a file and for each fetch.
fn refuse(verifier: &Verifier, metrics: &Metrics, why: String) {
    metrics.jwks_refreshes.with_label_values(&["error"]).inc();
    tracing::warn!("[jwt]: {why}; the old keys stay");
    verifier.note_refused(why);
}
