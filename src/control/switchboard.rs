//! The switches of the fleet, and the dials of the config in force that they turn.
//!
//! What is switched here holds here at once. Redis keeps it for the others and for later starts: each sidecar reads it
//! when Redis says that it has changed, and once a second in case that was missed. While Redis cannot be asked each goes
//! on by what it has; then they put together what they have, and the latest of each subject holds (`rollout::Switches`).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::Clock;
use crate::config::{Settings, parse_duration};
use crate::live::{Live, UNMATCHED};
use crate::rollout::{Mode, Order, OrderError, Rollout, Subject, Switch, Switches};
use crate::store::{Store, SwitchToKeep};

/// How often Redis is asked, should news of a change be lost.
const LOOK: Duration = Duration::from_secs(1);

/// For how long a config that was taken back is not put in force: a file takes a while until it has reached all.
const TAKEN_BACK_FOR: Duration = Duration::from_secs(600);

/// All that is switched.
pub struct Switchboard {
    live: Arc<ArcSwap<Live>>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    switches: Switches,
    /// Whether Redis had all of it when it was asked last.
    is_shared: bool,
}

/// Why nothing was switched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// The order is none.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// No such rule.
    #[error("there is no rule {name}: {rules}")]
    UnknownRule {
        /// As asked for.
        name: String,
        /// Those there are.
        rules: String,
    },
    /// There are as many as may be.
    #[error("{} switches are in force: take some back first", Switches::MAX)]
    Full,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// Whether Redis has it, and with that the fleet within a second.
    pub by_fleet: bool,
    /// Whether there is a Redis to have it.
    pub has_fleet: bool,
}

/// What differs from the file now.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// `PANNIER_MODE`, if it says anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Mode>,
    /// The switches in force.
    pub switches: Vec<Listed>,
    /// Whether Redis had them all when it was asked last.
    pub fleet: bool,
    /// The rules that are not as the file says.
    pub rules: Vec<ListedRule>,
}

/// A switch in force.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Of everything: the most that any rule is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub everything: Option<Mode>,
    /// Of a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Of a config: its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What the rule, or the config, is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The share of its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Seconds since it was thrown.
    pub since_seconds: u64,
    /// Seconds until the file holds again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_seconds: Option<u64>,
    /// As whoever threw it said.
    pub reason: String,
}

/// A rule that is not as the file says.
#[derive(Clone, Debug, Serialize)]
pub struct ListedRule {
    /// Its name; `-`: what no rule matches.
    pub rule: String,
    /// What it is.
    pub mode: Mode,
    /// For which share of its keys.
    pub percent: u8,
    /// What the file says.
    pub file: ListedSetting,
}

/// What the file says of a rule.
#[derive(Clone, Debug, Serialize)]
pub struct ListedSetting {
    /// What it is.
    pub mode: Mode,
    /// For which share of its keys.
    pub percent: u8,
}

impl Switchboard {
    /// With nothing switched yet.
    pub fn new(live: Arc<ArcSwap<Live>>, clock: Clock) -> Switchboard {
        Switchboard {
            live,
            clock,
            state: Mutex::default(),
        }
    }

    /// Switches by `order`: here at once, and over the fleet where Redis can be told.
    pub async fn throw(&self, order: &Order, store: &Store) -> Result<Thrown, SwitchError> {
        let (subject, switch) = {
            let mut state = self.state.lock();
            let now = self.now();
            let held = |subject: &Subject| state.switches.get(subject);
            let (subject, switch) = order.to_switch(now, held, parse_duration)?;
            self.check_rule(&subject)?;
            if !state.switches.take(subject.clone(), switch.clone(), now) {
                return Err(SwitchError::Full);
            }
            self.turn_dials(&state.switches, &self.live.load());
            (subject, switch)
        };
        tell(&subject, &switch);
        Ok(self.pass_on(subject, switch, store).await)
    }

    async fn pass_on(&self, subject: Subject, switch: Switch, store: &Store) -> Thrown {
        let kept = SwitchToKeep {
            subject,
            switch,
            is_new: true,
        };
        Thrown {
            by_fleet: self.put_together(store, &[kept]).await,
            has_fleet: store.is_shared(),
        }
    }

    /// Has the fleet go back from the config of this hash, which a rollback has just taken back here; whoever loads it soon
    /// goes back, too.
    pub async fn take_back(&self, hash: u64, store: &Store) -> Thrown {
        let subject = subject_of(hash);
        let switch = {
            let mut state = self.state.lock();
            let now = self.now();
            let held = state.switches.get(&subject);
            let switch = Switch {
                at: held.map_or(now, |held| now.max(held.at.saturating_add(1))),
                mode: Some(Mode::Off),
                until: Some(now.saturating_add(TAKEN_BACK_FOR.as_millis() as u64)),
                reason: "a rollback".to_owned(),
                ..Switch::default()
            };
            // Where there is no room for it, it is taken back here alone.
            if !state.switches.take(subject.clone(), switch.clone(), now) {
                return Thrown {
                    by_fleet: false,
                    has_fleet: store.is_shared(),
                };
            }
            switch
        };
        tell(&subject, &switch);
        self.pass_on(subject, switch, store).await
    }

    /// Whether somebody has taken this config back lately.
    pub fn is_taken_back(&self, hash: u64) -> bool {
        let (state, now) = (self.state.lock(), self.now());
        let switch = state.switches.get(&subject_of(hash));
        switch.is_some_and(|switch| switch.is_in_force(now))
    }

    /// What differs from the file.
    pub fn list(&self) -> Listing {
        let live = self.live.load();
        let (state, now) = (self.state.lock(), self.now());
        let switches = state.switches.in_force(now);
        let listed = |(subject, switch): (&Subject, &Switch)| {
            let (everything, rule, config) = match subject {
                Subject::Everything => (switch.mode, None, None),
                Subject::Rule(name) => (None, Some(name.clone()), None),
                Subject::Config(hash) => (None, None, Some(hash.clone())),
            };
            Listed {
                mode: switch.mode.filter(|_| everything.is_none()),
                everything,
                rule,
                config,
                percent: switch.percent,
                since_seconds: now.saturating_sub(switch.at) / 1000,
                left_seconds: switch.until.map(|until| until.saturating_sub(now) / 1000),
                reason: switch.reason.clone(),
            }
        };
        Listing {
            environment: Some(live.config.ceiling).filter(|mode| *mode != Mode::On),
            switches: switches.map(listed).collect(),
            fleet: state.is_shared,
            rules: rules(&live).filter_map(list_rule).collect(),
        }
    }

    /// Takes in what Redis has, and has it keep what it lacks. Returns whether it could be asked.
    pub async fn agree(&self, store: &Store) -> bool {
        self.put_together(store, &[]).await
    }

    /// Turns the dials of `live`, which is about to be the config in force.
    pub fn prepare(&self, live: &Live) {
        self.turn_dials(&self.state.lock().switches, live);
    }

    /// Goes on with what others switch and what ends by itself; `heed` is called after each look. Never returns: it is the
    /// work of one task of the process.
    pub async fn follow(&self, store: &Store, heed: impl Fn()) {
        loop {
            self.agree(store).await;
            heed();
            let ends = {
                let state = self.state.lock();
                let now = self.now();
                self.turn_dials(&state.switches, &self.live.load());
                let end = state.switches.next_end(now);
                end.map(|end| Duration::from_millis(end.saturating_sub(now) + 1))
            };
            let pause = ends.map_or(LOOK, |ends| ends.min(LOOK));
            let _ = tokio::time::timeout(pause, store.switch_news()).await;
        }
    }

    /// Puts together what Redis has and what this process has. `thrown`: now, by this process.
    async fn put_together(&self, store: &Store, thrown: &[SwitchToKeep]) -> bool {
        let Some(mut found) = store.keep_switches(thrown).await else {
            self.state.lock().is_shared = false;
            return false;
        };
        // It may have had no room for one.
        let has = |kept: &SwitchToKeep| {
            let held = found.get(&kept.subject);
            held.is_some_and(|held| held.body() == kept.switch.body())
        };
        let has_all_thrown = thrown.iter().all(has);
        let lacking = self.state.lock().switches.newer_than(&found);
        let lacking: Vec<SwitchToKeep> = lacking
            .into_iter()
            .filter(|(subject, _)| !thrown.iter().any(|kept| kept.subject == *subject))
            .map(|(subject, switch)| SwitchToKeep {
                subject,
                switch,
                is_new: false,
            })
            .collect();
        let subjects = |kept: &[SwitchToKeep]| -> Vec<Subject> {
            kept.iter().map(|kept| kept.subject.clone()).collect()
        };
        let mut told = subjects(thrown);
        // What it has not heard of this time it lacks, and hears of the next.
        if !lacking.is_empty()
            && let Some(all) = store.keep_switches(&lacking).await
        {
            found = all;
            told.extend(subjects(&lacking));
        }
        self.take_in(found, &told);
        has_all_thrown
    }

    /// Takes in what Redis has. Of the subjects that it was `told` of its word counts, since it has judged by its own
    /// clock, unless something was switched here meanwhile.
    fn take_in(&self, found: Switches, told: &[Subject]) {
        let mut state = self.state.lock();
        let now = self.now();
        for subject in told {
            let held = state.switches.get(subject).cloned();
            if let (Some(held), Some(kept)) = (held, found.get(subject))
                && held.body() == kept.body()
            {
                state.switches.put(subject.clone(), kept.clone());
            }
        }
        let before = state.switches.clone();
        if state.switches.merge(&found, now) {
            for (subject, switch) in state.switches.newer_than(&before) {
                tell(&subject, &switch);
            }
        }
        let missing = state.switches.newer_than(&found);
        state.is_shared = !missing.iter().any(|(_, switch)| switch.is_in_force(now));
        self.turn_dials(&state.switches, &self.live.load());
    }

    /// To be called with the state locked, so that the latest word is the last.
    fn turn_dials(&self, switches: &Switches, live: &Live) {
        let now = self.now();
        for (name, settings, dial) in rules(live) {
            dial.turn(switches.apply(name, settings.rollout, live.config.ceiling, now));
        }
    }

    fn check_rule(&self, subject: &Subject) -> Result<(), SwitchError> {
        let live = self.live.load();
        match subject {
            Subject::Rule(name) if !rules(&live).any(|(rule, ..)| rule == name) => {
                let names: Vec<&str> = rules(&live).map(|(rule, ..)| rule).take(50).collect();
                Err(SwitchError::UnknownRule {
                    name: name.clone(),
                    rules: format!("there are {}", names.join(", ")),
                })
            }
            _ => Ok(()),
        }
    }

    /// Milliseconds of fleet time.
    fn now(&self) -> u64 {
        let since = self.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().as_millis() as u64
    }
}

fn subject_of(hash: u64) -> Subject {
    Subject::Config(format!("{hash:012x}"))
}

/// Each rule with what the file says and what holds, and what no rule matches.
fn rules(live: &Live) -> impl Iterator<Item = (&str, &Settings, &crate::rollout::Dial)> {
    let routes = live.config.routes.iter().zip(&live.dials);
    let routes = routes.map(|(route, dial)| (route.name.as_str(), &route.settings, dial));
    let unmatched = (
        UNMATCHED,
        &live.config.defaults.settings,
        &live.unmatched_dial,
    );
    routes.chain(std::iter::once(unmatched))
}

fn list_rule(
    (name, settings, dial): (&str, &Settings, &crate::rollout::Dial),
) -> Option<ListedRule> {
    let (now, file) = (dial.read(), settings.rollout);
    (now != file).then(|| ListedRule {
        rule: name.to_owned(),
        mode: now.mode,
        percent: now.percent,
        file: setting(file),
    })
}

fn setting(rollout: Rollout) -> ListedSetting {
    ListedSetting {
        mode: rollout.mode,
        percent: rollout.percent,
    }
}

/// The log says of each switch what it is and why.
fn tell(subject: &Subject, switch: &Switch) {
    let what = match subject {
        Subject::Everything => "everything",
        Subject::Rule(name) => name,
        Subject::Config(hash) => &format!("config {hash}"),
    };
    tracing::warn!(
        what,
        mode = switch.mode.map_or("as the file says", Mode::as_str),
        percent = switch.percent,
        until_ms = switch.until,
        reason = switch.reason,
        "switched"
    );
}
