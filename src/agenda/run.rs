//! One run of a job: what of it is to be fetched, and how far it has come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::backoff::pause;
use crate::entry::Priority;

/// A URL that was put off so often is given up.
const MOST_PUT_OFF: u32 = 50;

/// What kind of job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `[[warm]]`
    Warm,
    /// `[jobs] hot`
    Hot,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 2] = [Kind::Warm, Kind::Hot];

    /// The word in metrics and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Warm => "warm",
            Kind::Hot => "hot",
        }
    }
}

/// Why it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A sidecar has started.
    Start,
    /// It is time: the slot.
    Schedule(u64),
    /// Somebody has asked for it.
    Order,
    /// The jobs that it comes after have ended.
    After,
    /// Everything was purged.
    Flush,
}

impl Trigger {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Start => "start",
            Trigger::Schedule(_) => "schedule",
            Trigger::Order => "order",
            Trigger::After => "after",
            Trigger::Flush => "flush",
        }
    }

    /// Of the word; none of a schedule, which is nothing without its slot.
    pub fn parse(word: &str) -> Option<Trigger> {
        let all = [
            Trigger::Start,
            Trigger::Order,
            Trigger::After,
            Trigger::Flush,
        ];
        all.into_iter().find(|trigger| trigger.as_str() == word)
    }

    /// The time of its schedule that it is for.
    pub fn slot(self) -> Option<u64> {
        match self {
            Trigger::Schedule(slot) => Some(slot),
            _ => None,
        }
    }

    /// Whether what is stored and fresh is left as it is: it would be fetched for nothing.
    pub fn spares_fresh(self) -> bool {
        matches!(self, Trigger::Start | Trigger::Flush)
    }
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is to run as soon as there is a turn, and no other sidecar runs it.
    Queued,
    /// For runs of these jobs.
    Waiting(Vec<String>),
    /// Some of it was fetched.
    Running,
    /// All of it was fetched, or refused for a reason that will not pass.
    Done,
    /// Some of it could not be fetched, with so many tries each.
    Failed(u32),
    /// By an order.
    Cancelled,
    /// Another sidecar goes on with it, or its end has come before that of the run.
    Lost,
}

impl State {
    /// The word in metrics and in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Waiting(_) => "waiting",
            State::Running => "running",
            State::Done => "done",
            State::Failed(_) => "failed",
            State::Cancelled => "cancelled",
            State::Lost => "lost",
        }
    }

    /// Whether nothing comes of it any more.
    pub fn is_over(&self) -> bool {
        !matches!(self, State::Queued | State::Waiting(_) | State::Running)
    }
}

/// What is fetched of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An answer to store.
    Page,
    /// A list that names the URLs of the run.
    List,
}

/// One fetch of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// What for.
    pub what: What,
    /// The whole URL as a client would ask for it.
    pub url: String,
    /// Fields of the request.
    pub fields: Arc<Vec<(HeaderName, HeaderValue)>>,
    /// How often it has failed.
    pub tries: u32,
    /// How often the app has wanted to be left alone.
    pub put_off: u32,
}

/// What came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is stored anew.
    Stored,
    /// It was stored and fresh.
    Fresh,
    /// The list was read: these are its URLs, and so many elements came to none.
    Listed(Vec<Fetch>, u64),
    /// It is not stored, for this reason, and would not be the next time.
    Refused(&'static str),
    /// It may be stored the next time.
    Failed(String),
    /// Another sidecar fetches it, or has died while it did: that is no failure.
    Taken(&'static str),
    /// The app wants to be left alone for so many milliseconds.
    PutOff(u64),
}

/// How much of a run there is, and what has come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// URLs.
    pub total: u64,
    /// Stored anew.
    pub stored: u64,
    /// Left as they were.
    pub fresh: u64,
    /// Not stored, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Given up.
    pub failed: u64,
}

impl Counts {
    /// URLs that are settled.
    pub fn settled(&self) -> u64 {
        self.stored + self.fresh + self.failed + self.all_refused()
    }

    /// Not stored, for whichever reason.
    pub fn all_refused(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// What a run wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This fetched.
    Fetch(Fetch),
    /// Nothing before then, or before what is under way has ended.
    Wait(Option<u64>),
    /// Nothing any more.
    Nothing,
}

/// One run of a job.
#[derive(Clone, Debug)]
pub struct Run {
    /// Unique in the fleet.
    pub id: String,
    /// The job's name.
    pub job: String,
    /// Its kind.
    pub kind: Kind,
    /// Why it runs.
    pub trigger: Trigger,
    /// Who goes first.
    pub priority: Priority,
    /// How it stands.
    pub state: State,
    /// Since when it is to run.
    pub queued: u64,
    /// When its first URL was asked for.
    pub begun: Option<u64>,
    /// When it was over.
    pub ended: Option<u64>,
    /// How far it is.
    pub counts: Counts,
    /// What failed last.
    pub last_error: Option<String>,
    /// When it had its last turn.
    pub last_turn: u64,
    retries: u32,
    pending: VecDeque<Fetch>,
    /// By when it is due, and a number of its own.
    later: BTreeMap<(u64, u64), Fetch>,
    put_off: u64,
    under_way: usize,
}

impl Run {
    /// A run that is to begin, of a job whose URLs are tried again so often.
    pub fn new(id: String, job: &str, kind: Kind, trigger: Trigger, now: u64) -> Run {
        Run {
            id,
            job: job.to_owned(),
            kind,
            trigger,
            priority: Priority::default(),
            state: State::Queued,
            queued: now,
            begun: None,
            ended: None,
            counts: Counts::default(),
            last_error: None,
            last_turn: now,
            retries: 0,
            pending: VecDeque::new(),
            later: BTreeMap::new(),
            put_off: 0,
            under_way: 0,
        }
    }

    /// Of this priority, each URL tried again so often.
    pub fn with(self, priority: Priority, retries: u32) -> Run {
        Run {
            priority,
            retries,
            ..self
        }
    }

    /// Begins with these.
    pub fn begin(&mut self, fetches: Vec<Fetch>, now: u64) {
        self.state = State::Running;
        self.begun = Some(now);
        self.last_turn = now;
        self.add(fetches);
    }

    fn add(&mut self, fetches: Vec<Fetch>) {
        let pages = fetches.iter().filter(|fetch| fetch.what == What::Page);
        self.counts.total += pages.count() as u64;
        self.pending.extend(fetches);
    }

    /// What it wants at `now`; a fetch that it returns is under way until [`Run::note`].
    pub fn next(&mut self, now: u64) -> Next {
        if self.state != State::Running {
            return Next::Nothing;
        }
        let due = self
            .later
            .first_entry()
            .filter(|first| first.key().0 <= now);
        let due = due.map(|first| first.remove());
        if let Some(fetch) = due.or_else(|| self.pending.pop_front()) {
            self.under_way += 1;
            self.last_turn = now;
            return Next::Fetch(fetch);
        }
        match self.later.keys().next() {
            Some((due, _)) => Next::Wait(Some(*due)),
            None if self.under_way > 0 => Next::Wait(None),
            None => Next::Nothing,
        }
    }

    /// Whether it wants something at `now`.
    pub fn wants_turn(&self, now: u64) -> bool {
        let is_due = self.later.keys().next().is_some_and(|(due, _)| *due <= now);
        self.state == State::Running && (is_due || !self.pending.is_empty())
    }

    /// When it wants a turn at the latest, for what it has put off.
    pub fn due(&self) -> Option<u64> {
        let first = self.later.keys().next().map(|(due, _)| *due);
        first.filter(|_| self.state == State::Running)
    }

    /// Whether all of it is settled.
    pub fn is_settled(&self) -> bool {
        let is_empty = self.pending.is_empty() && self.later.is_empty() && self.under_way == 0;
        self.state == State::Running && is_empty
    }

    /// Takes in what came of a fetch; `share` (0 to 1) spreads what is tried again.
    pub fn note(&mut self, mut fetch: Fetch, fetched: Fetched, now: u64, share: f64) {
        self.under_way = self.under_way.saturating_sub(1);
        match fetched {
            Fetched::Stored => self.counts.stored += 1,
            Fetched::Fresh => self.counts.fresh += 1,
            Fetched::Listed(fetches, without) => {
                self.add(fetches);
                if without > 0 {
                    self.counts.total += without;
                    *self.counts.refused.entry("no-url").or_default() += without;
                }
            }
            Fetched::Refused(reason) => {
                self.last_error = Some(format!("{}: {reason}", fetch.url));
                // A list is no URL of the run: without it the run has failed.
                match fetch.what {
                    What::Page => *self.counts.refused.entry(reason).or_default() += 1,
                    What::List => self.counts.failed += 1,
                }
            }
            Fetched::PutOff(delay) if fetch.put_off < MOST_PUT_OFF => {
                fetch.put_off += 1;
                self.put_off_until(now + delay, fetch);
            }
            Fetched::PutOff(_) => {
                let why = "the app wants to be left alone each time";
                self.last_error = Some(format!("{}: {why}", fetch.url));
                self.counts.failed += 1;
            }
            Fetched::Taken(reason) if fetch.tries >= self.retries => {
                *self.counts.refused.entry(reason).or_default() += 1;
            }
            Fetched::Taken(_) => self.try_again(fetch, now, share),
            Fetched::Failed(why) => {
                self.last_error = Some(format!("{}: {why}", fetch.url));
                match fetch.tries >= self.retries {
                    true => self.counts.failed += 1,
                    false => self.try_again(fetch, now, share),
                }
            }
        }
    }

    fn try_again(&mut self, mut fetch: Fetch, now: u64, share: f64) {
        fetch.tries += 1;
        let due = now + pause(fetch.tries, share).as_millis() as u64;
        self.put_off_until(due, fetch);
    }

    fn put_off_until(&mut self, due: u64, fetch: Fetch) {
        self.put_off += 1;
        self.later.insert((due, self.put_off), fetch);
    }

    /// It is over, all of it being settled.
    pub fn settle(&mut self, now: u64) {
        let state = match self.counts.failed {
            0 => State::Done,
            _ => State::Failed(self.retries + 1),
        };
        self.end(state, now);
    }

    /// It is over.
    pub fn end(&mut self, state: State, now: u64) {
        self.state = state;
        self.ended = Some(now);
        // With their room: a run is remembered for long.
        self.pending = VecDeque::new();
        self.later = BTreeMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(url: &str) -> Fetch {
        Fetch {
            what: What::Page,
            url: url.to_owned(),
            fields: Arc::default(),
            tries: 0,
            put_off: 0,
        }
    }

    fn run(urls: &[&str]) -> Run {
        let mut run = Run::new("1".to_owned(), "board", Kind::Warm, Trigger::Order, 0);
        run = run.with(Priority::Medium, 2);
        run.begin(urls.iter().map(|url| page(url)).collect(), 0);
        run
    }

    fn take(run: &mut Run, now: u64) -> Fetch {
        match run.next(now) {
            Next::Fetch(fetch) => fetch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_done_when_all_is_settled() {
        let mut run = run(&["/a", "/b", "/c"]);
        let [a, b, c] = [0; 3].map(|_| take(&mut run, 0));
        assert_eq!(run.next(0), Next::Wait(None));
        run.note(a, Fetched::Stored, 1, 0.0);
        run.note(b, Fetched::Refused("too-large"), 1, 0.0);
        assert!(!run.is_settled());
        run.note(c, Fetched::Fresh, 1, 0.0);
        assert!(run.is_settled());
        run.settle(2);
        assert_eq!(
            (run.state.clone(), run.counts.settled(), run.ended),
            (State::Done, 3, Some(2))
        );
        assert_eq!(run.counts.refused["too-large"], 1);
        assert_eq!(run.last_error.as_deref(), Some("/b: too-large"));
    }

    #[test]
    fn what_fails_is_tried_again_later_and_given_up() {
        let mut run = run(&["/a"]);
        let mut now = 0;
        for wait in [250, 500] {
            let fetch = take(&mut run, now);
            run.note(fetch, Fetched::Failed("status".to_owned()), now, 0.0);
            assert_eq!(
                run.next(now),
                Next::Wait(Some(now + wait)),
                "with a pause that doubles"
            );
            assert!(!run.wants_turn(now) && run.wants_turn(now + wait));
            now += wait;
        }
        let fetch = take(&mut run, now);
        run.note(fetch, Fetched::Failed("status".to_owned()), now, 0.0);
        run.settle(now);
        assert_eq!(
            (run.state.clone(), run.counts.failed),
            (State::Failed(3), 1)
        );
    }

    #[test]
    fn what_another_fetches_is_tried_again_and_is_no_failure() {
        let mut run = run(&["/a"]);
        for now in [0, 1000, 2000] {
            let fetch = take(&mut run, now);
            run.note(fetch, Fetched::Taken("lease-lost"), now, 0.0);
        }
        assert!(run.is_settled());
        run.settle(2000);
        assert_eq!(
            (run.state.clone(), run.counts.refused["lease-lost"]),
            (State::Done, 1)
        );
    }

    #[test]
    fn what_is_put_off_is_no_failure() {
        let mut run = run(&["/a"]);
        for now in [0, 100, 200, 300] {
            let fetch = take(&mut run, now);
            run.note(fetch, Fetched::PutOff(100), now, 0.0);
        }
        assert_eq!(run.due(), Some(400));
        let fetch = take(&mut run, 400);
        assert_eq!(fetch.tries, 0);
        run.note(fetch, Fetched::Stored, 400, 0.0);
        run.settle(400);
        assert_eq!(run.state, State::Done);
    }

    #[test]
    fn one_url_stands_for_as_many_fetches_as_name_it() {
        let mut run = run(&["/a", "/a"]);
        for _ in 0..2 {
            let fetch = take(&mut run, 0);
            run.note(fetch, Fetched::PutOff(100), 0, 0.0);
        }
        for _ in 0..2 {
            let fetch = take(&mut run, 100);
            run.note(fetch, Fetched::Stored, 100, 0.0);
        }
        assert!(run.is_settled());
        assert_eq!(run.counts.settled(), 2);
    }

    #[test]
    fn a_list_brings_its_urls_and_without_it_the_run_fails() {
        let list = |url: &str| Fetch {
            what: What::List,
            ..page(url)
        };
        let mut first = Run::new("1".to_owned(), "board", Kind::Warm, Trigger::Order, 0);
        let mut second = first.clone();
        first.begin(vec![list("/all")], 0);
        assert_eq!(first.counts.total, 0, "the list is none of them");
        let fetch = take(&mut first, 0);
        first.note(fetch, Fetched::Listed(vec![page("/a")], 2), 0, 0.0);
        assert!(!first.is_settled() && first.counts.total == 3);
        let fetch = take(&mut first, 0);
        first.note(fetch, Fetched::Stored, 0, 0.0);
        first.settle(0);
        assert_eq!(
            (first.state.clone(), first.counts.settled()),
            (State::Done, 3)
        );
        second.begin(vec![list("/all")], 0);
        let fetch = take(&mut second, 0);
        second.note(fetch, Fetched::Refused("no-list"), 0, 0.0);
        assert!(second.is_settled());
        second.settle(0);
        assert_eq!(second.state, State::Failed(1));
    }

    #[test]
    fn after_its_end_it_wants_nothing() {
        let mut run = run(&["/a", "/b"]);
        let fetch = take(&mut run, 0);
        run.end(State::Cancelled, 5);
        assert_eq!(run.next(9), Next::Nothing);
        assert!(!run.wants_turn(9) && !run.is_settled());
        run.note(fetch, Fetched::Stored, 9, 0.0);
        assert_eq!((run.state.clone(), run.ended), (State::Cancelled, Some(5)));
    }
}
