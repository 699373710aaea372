//! The app: items whose versions rise with each write, and answers that state the versions of all they contain.
//!
//! | path | contains | is purged by |
//! | --- | --- | --- |
//! | `/items/{list}/{item}` | the item | key |
//! | `/lists/{list}/{page}` | the list's items | pattern |
//! | `/views/{view}` | one item of each list | tag |
//!
//! Each is there under `/strict`, too. A write to any of the first two is there under `/softly`: what it makes stale is
//! purged softly. A body is the checksum of the rest, the path, the versions, and padding.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pannier::clock;
use parking_lot::Mutex;

use super::checker::{Item, Version};
use crate::support::app::{Answer, Seen, TestApp};

/// Each has a view's worth of items.
pub(crate) const LISTS: u8 = 4;
pub(crate) const VIEWS: u8 = 8;
pub(crate) const PAGES: u8 = 2;
pub(crate) const ITEMS: u8 = LISTS * VIEWS;

/// The longest that it takes for an answer: so long that writes and their purges begin and end within.
pub(crate) const SLOWEST: Duration = Duration::from_millis(24);

/// How much later than another answer one leaves that is to leave beside it.
const BESIDE: Duration = Duration::from_millis(2);

/// A field of the answers that it fails with.
pub(crate) const FAILED: &str = "x-app-failed";

/// The running app.
pub(crate) struct VersionedApp {
    app: TestApp,
    state: Arc<State>,
}

struct State {
    versions: Mutex<[Version; ITEMS as usize]>,
    random: Mutex<fastrand::Rng>,
    /// Answers that are on their way, and when they leave.
    leaving: Mutex<Vec<(Target, Instant)>>,
    fails: AtomicBool,
    failed: Mutex<Option<Instant>>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Item(Item),
    List { list: u8, page: u8 },
    View(u8),
}

pub(crate) fn list_of(item: Item) -> u8 {
    item / VIEWS
}

pub(crate) fn view_of(item: Item) -> u8 {
    item % VIEWS
}

impl Target {
    pub(crate) fn all() -> Vec<Target> {
        let items = (0..ITEMS).map(Target::Item);
        let lists =
            (0..LISTS).flat_map(|list| (0..PAGES).map(move |page| Target::List { list, page }));
        items
            .chain(lists)
            .chain((0..VIEWS).map(Target::View))
            .collect()
    }

    /// Any of those that contain `item`; most often one that a purge finds by nothing but its tag.
    pub(crate) fn with(item: Item, random: &mut fastrand::Rng) -> Target {
        match random.u8(0..4) {
            0 => Target::Item(item),
            1 => Target::List {
                list: list_of(item),
                page: random.u8(0..PAGES),
            },
            _ => Target::View(view_of(item)),
        }
    }

    pub(crate) fn path(self, strict: bool) -> String {
        let prefix = if strict { "/strict" } else { "" };
        match self {
            Target::Item(item) => format!("{prefix}/items/{}/{item}", list_of(item)),
            Target::List { list, page } => format!("{prefix}/lists/{list}/{page}"),
            Target::View(view) => format!("{prefix}/views/{view}"),
        }
    }

    fn items(self) -> Vec<Item> {
        let contains = |item: &Item| match self {
            Target::Item(this) => this == *item,
            Target::List { list, .. } => list_of(*item) == list,
            Target::View(view) => view_of(*item) == view,
        };
        (0..ITEMS).filter(contains).collect()
    }
}

/// What an answer's body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Versions(Vec<(Item, Version)>),
    /// Whole, and for another path.
    Wrong(String),
    Torn,
}

impl VersionedApp {
    pub(crate) async fn start(seed: u64) -> VersionedApp {
        let app = TestApp::start().await;
        let state = Arc::new(State {
            versions: Mutex::new([0; ITEMS as usize]),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            leaving: Mutex::default(),
            fails: AtomicBool::new(false),
            failed: Mutex::new(None),
        });
        for target in Target::all() {
            for strict in [false, true] {
                let state = state.clone();
                let path = target.path(strict);
                app.on("GET", &path, move |seen| state.answer(target, seen));
            }
        }
        for item in 0..ITEMS {
            let state = state.clone();
            let path = Target::Item(item).path(false);
            for path in [path.clone(), format!("/softly{path}")] {
                let state = state.clone();
                app.on("PUT", &path, move |_| state.write(&[item]));
            }
        }
        for list in 0..LISTS {
            let state = state.clone();
            let items = Target::List { list, page: 0 }.items();
            for path in [format!("/lists/{list}"), format!("/softly/lists/{list}")] {
                let (state, items) = (state.clone(), items.clone());
                app.on("PUT", &path, move |_| state.write(&items));
            }
        }
        VersionedApp { app, state }
    }

    pub(crate) fn url(&self) -> String {
        self.app.url()
    }

    /// A write that no sidecar sees.
    pub(crate) fn write_directly(&self, item: Item) -> Vec<(Item, Version)> {
        self.state.raise(&[item])
    }

    /// Whether one answer of twenty fails from now on.
    pub(crate) fn set_failing(&self, fails: bool) {
        self.state.fails.store(fails, Ordering::SeqCst);
    }

    /// Whether an answer has failed since then.
    pub(crate) fn has_failed_since(&self, then: Instant) -> bool {
        self.state
            .failed
            .lock()
            .is_some_and(|failed| failed >= then)
    }
}

impl State {
    fn raise(&self, items: &[Item]) -> Vec<(Item, Version)> {
        let mut versions = self.versions.lock();
        let raised = items.iter().map(|&item| {
            let version = &mut versions[usize::from(item)];
            *version += 1;
            (item, *version)
        });
        raised.collect()
    }

    /// As things are when the request comes, however long it takes to say so.
    fn answer(&self, target: Target, seen: &Seen) -> Answer {
        let versions = {
            let versions = self.versions.lock();
            let of = |item: Item| (item, versions[usize::from(item)]);
            target.items().into_iter().map(of).collect::<Vec<_>>()
        };
        if let Some(failure) = self.failure() {
            return failure;
        }
        let (after, padding) = {
            let mut random = self.random.lock();
            (self.delay(&mut random), random.usize(0..3000))
        };
        let leaves = clock::monotonic() + after;
        self.leaving.lock().push((target, leaves));
        Answer::text(body(&seen.path, &versions, padding)).after(after)
    }

    /// It happens at once: what is being answered meanwhile is as things were before. Its own answer leaves, half of
    /// the time, beside one of these, so that the purge and the store of what it makes stale meet in Redis.
    fn write(&self, items: &[Item]) -> Answer {
        if self.fails.load(Ordering::SeqCst) && self.random.lock().u8(0..20) == 0 {
            return self.unavailable();
        }
        let raised = self.raise(items);
        let after = self.until_one_leaves(items).unwrap_or_default();
        Answer::text(pairs(&raised)).after(after)
    }

    fn until_one_leaves(&self, items: &[Item]) -> Option<Duration> {
        let now = clock::monotonic();
        let mut leaving = self.leaving.lock();
        leaving.retain(|(_, leaves)| *leaves > now);
        let is_made_stale = |(target, _): &&(Target, Instant)| {
            let contained = target.items();
            items.iter().any(|item| contained.contains(item))
        };
        let made_stale: Vec<_> = leaving.iter().filter(is_made_stale).collect();
        let mut random = self.random.lock();
        let leaves = random.choice(made_stale)?.1;
        random
            .bool()
            .then(|| leaves - now + BESIDE.mul_f64(random.f64()))
    }

    fn delay(&self, random: &mut fastrand::Rng) -> Duration {
        SLOWEST.mul_f64(random.f64())
    }

    fn failure(&self) -> Option<Answer> {
        if !self.fails.load(Ordering::SeqCst) {
            return None;
        }
        match self.random.lock().u8(0..40) {
            0 => Some(self.unavailable()),
            1 => {
                *self.failed.lock() = Some(clock::monotonic());
                let (answer, pieces) = Answer::piecewise();
                for piece in [Ok(Bytes::from_static(b"00000000 ")), Err("reset".into())] {
                    pieces.send(piece).expect("the receiver is in the answer");
                }
                Some(answer.header("content-length", "1000"))
            }
            _ => None,
        }
    }

    fn unavailable(&self) -> Answer {
        *self.failed.lock() = Some(clock::monotonic());
        Answer::status(503).header(FAILED, "yes")
    }
}

fn pairs(versions: &[(Item, Version)]) -> String {
    let pairs = versions
        .iter()
        .map(|(item, version)| format!("{item}={version}"));
    pairs.collect::<Vec<_>>().join(",")
}

fn parse_pairs(text: &str) -> Option<Vec<(Item, Version)>> {
    let pairs = text.split(',').map(|pair| {
        let (item, version) = pair.split_once('=')?;
        Some((item.parse().ok()?, version.parse().ok()?))
    });
    pairs.collect()
}

fn body(path: &str, versions: &[(Item, Version)], padding: usize) -> String {
    let text = format!("{path} {} {}", pairs(versions), "x".repeat(padding));
    format!("{:08x} {text}", crc32fast::hash(text.as_bytes()))
}

/// What the body of an answer for `path` says.
pub(crate) fn read_body(path: &str, body: &[u8]) -> Content {
    let parsed = std::str::from_utf8(body).ok().and_then(|body| {
        let (checksum, text) = body.split_once(' ')?;
        let expected = format!("{:08x}", crc32fast::hash(text.as_bytes()));
        let mut words = text.split(' ');
        let (of, versions) = (words.next()?, parse_pairs(words.next()?)?);
        (checksum == expected).then(|| (of.to_owned(), versions))
    });
    match parsed {
        None => Content::Torn,
        Some((of, _)) if of != path => Content::Wrong(of),
        Some((_, versions)) => Content::Versions(versions),
    }
}

/// What the answer to a write says: the versions that it made.
pub(crate) fn read_write(body: &[u8]) -> Option<Vec<(Item, Version)>> {
    parse_pairs(std::str::from_utf8(body).ok()?)
}

#[test]
fn bodies_say_when_they_are_torn_or_wrong() {
    let whole = body("/views/1", &[(1, 5), (4, 9)], 10);
    let read = |body: &str| read_body("/views/1", body.as_bytes());
    assert_eq!(read(&whole), Content::Versions(vec![(1, 5), (4, 9)]));
    for cut in 0..whole.len() {
        assert_eq!(read(&whole[..cut]), Content::Torn, "{cut}");
    }
    assert_eq!(read(&whole.replace("4=9", "4=8")), Content::Torn);
    let other = body("/views/2", &[(2, 5)], 0);
    assert_eq!(read(&other), Content::Wrong("/views/2".to_owned()));
}
