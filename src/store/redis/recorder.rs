//! Keeps the file of `[redis] journal`: writes it on a thread of its own, so that no disk holds up a runtime.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::journal::Journal;
use super::journal_file::{Found, JournalError, JournalFile, Outlives};
use super::lineage::Lineage;
use super::record::Record;
use crate::clock;
use crate::routes::Purge;

/// The longest that a write's answer waits for a disk that hangs.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The longest that the end of the process waits for it.
const LONGEST_END: Duration = Duration::from_secs(5);

/// How often an operator is told that the file cannot be written.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What is recorded, as it is at the time.
pub(super) struct Knowledge {
    /// Which data it is about.
    pub(super) about: String,
    pub(super) process: Box<str>,
    /// Of each shard.
    pub(super) lineages: Vec<Arc<Lineage>>,
    pub(super) journals: Vec<Arc<Journal>>,
}

/// The thread that writes the file. It has ended when this was dropped, unless the disk hangs.
pub(super) struct Recorder {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    /// Whose other end goes with the thread.
    ended: Mutex<Receiver<()>>,
    longest_end: Duration,
}

/// Where those who ask and the thread meet.
struct Desk {
    asked: Mutex<Asked>,
    is_asked: Condvar,
    /// How many requests are done.
    done: watch::Sender<u64>,
    told_at: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Asked {
    /// How many requests were made.
    requests: u64,
    /// The most that any of them wants since the last write.
    outlives: Outlives,
    has_ended: bool,
}

impl Knowledge {
    /// Takes in what the file said before, with the process that had it: Redis knows its purges by that name.
    pub(super) fn take_in(&mut self, found: Found, file: &JournalFile) {
        let path = file.path().display();
        match found {
            Found::Nothing => {}
            Found::Record(record) if self.can_use(&record) => {
                self.process = record.process.into();
                for (lineage, known) in self.lineages.iter().zip(record.shards) {
                    lineage.restore(known);
                }
                self.restore(record.failed);
            }
            Found::Record(record) => {
                let (before, now) = (&record.about, &self.about);
                tracing::warn!(
                    "[redis] journal = \"{path}\" is about another store ({before}) than this one ({now}): all that \
                     is stored in this one is purged, once"
                );
                self.restore(vec![Arc::new(Purge::of_everything())]);
            }
            Found::Damaged => {
                tracing::warn!(
                    "[redis] journal = \"{path}\" is damaged, so purges may be missing in Redis: all that is stored \
                     there is purged, once"
                );
                self.restore(vec![Arc::new(Purge::of_everything())]);
            }
        }
    }

    /// The record does not say which shard lacks them, and purging again does no harm.
    fn restore(&self, failed: Vec<Arc<Purge>>) {
        for journal in &self.journals {
            journal.restore(failed.iter().cloned());
        }
    }

    fn can_use(&self, record: &Record) -> bool {
        record.about == self.about && record.shards.len() == self.lineages.len()
    }

    fn record(&self) -> Record {
        let known = self.lineages.iter().map(|lineage| lineage.known());
        Record {
            about: self.about.clone(),
            process: self.process.to_string(),
            shards: known.collect(),
            failed: self.failed(),
        }
    }

    /// Each once, however many shards lack it.
    fn failed(&self) -> Vec<Arc<Purge>> {
        let mut seen = HashSet::new();
        let failed = self.journals.iter().flat_map(|journal| journal.failed());
        let failed = failed.map(|(_, purge)| purge);
        failed
            .filter(|purge| seen.insert(Arc::as_ptr(purge)))
            .collect()
    }
}

impl Recorder {
    /// Writes the file, and goes on to whenever it is asked. An error: it cannot be written at all.
    pub(super) fn start(
        knowledge: Knowledge,
        mut file: JournalFile,
    ) -> Result<Recorder, JournalError> {
        let path = file.path().display().to_string();
        let unusable = |error| JournalError::Unusable(path, error);
        let text = knowledge.record().encode();
        if let Err(error) = file.write(&text, Outlives::Machine) {
            return Err(unusable(error));
        }
        let desk = Arc::new(Desk::new());
        let clerk = Clerk {
            desk: Arc::clone(&desk),
            knowledge,
            file,
            written: Some((text, Outlives::Machine)),
        };
        let thread = std::thread::Builder::new().name("pannier-journal".to_owned());
        let (held, ended) = mpsc::channel();
        let work = move || {
            clerk.run();
            drop(held);
        };
        Ok(Recorder {
            desk,
            thread: Some(thread.spawn(work).map_err(unusable)?),
            ended: Mutex::new(ended),
            longest_end: LONGEST_END,
        })
    }

    /// Asks for the file to be written, and waits for nothing.
    pub(super) fn record_soon(&self) {
        self.desk.ask(Outlives::Process);
    }

    /// Returns when the file has what is known now, or cannot have it.
    pub(super) async fn record(&self, outlives: Outlives) {
        let mut done = self.desk.done.subscribe();
        let request = self.desk.ask(outlives);
        let is_done = done.wait_for(|done| *done >= request);
        if tokio::time::timeout(LONGEST_WAIT, is_done).await.is_err() {
            self.desk
                .tell(&format!("it is not written within {LONGEST_WAIT:?}"));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.desk.asked.lock().has_ended = true;
        self.desk.is_asked.notify_one();
        let ended = self.ended.lock().recv_timeout(self.longest_end);
        if ended == Err(RecvTimeoutError::Timeout) {
            let longest = self.longest_end;
            return self
                .desk
                .tell(&format!("the last of it is not written within {longest:?}"));
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn new() -> Desk {
        Desk {
            asked: Mutex::new(Asked::default()),
            is_asked: Condvar::new(),
            done: watch::Sender::new(0),
            told_at: Mutex::new(None),
        }
    }

    /// The number of the request.
    fn ask(&self, outlives: Outlives) -> u64 {
        let mut asked = self.asked.lock();
        asked.requests += 1;
        asked.outlives = asked.outlives.max(outlives);
        self.is_asked.notify_one();
        asked.requests
    }

    /// Waits until there is more to do than `done`; the number of requests by then, and what they want. `None`: nobody
    /// will ask any more.
    fn wait(&self, done: u64) -> Option<(u64, Outlives)> {
        let mut asked = self.asked.lock();
        while asked.requests == done {
            if asked.has_ended {
                return None;
            }
            self.is_asked.wait(&mut asked);
        }
        Some((asked.requests, std::mem::take(&mut asked.outlives)))
    }

    /// Tells the operator that the journal closes nothing, unless that was told a moment ago.
    fn tell(&self, cause: &str) {
        let now = clock::monotonic();
        let mut told_at = self.told_at.lock();
        if told_at.is_some_and(|at| now.duration_since(at) < TELL_EVERY) {
            return;
        }
        *told_at = Some(now);
        tracing::warn!(
            "[redis] journal: {cause}. Should this process die now, and Redis lack a purge that it took or could \
             not take, old answers may be served. What helps: room on the disk, and the right to write"
        );
    }
}

/// What the thread has.
struct Clerk {
    desk: Arc<Desk>,
    knowledge: Knowledge,
    file: JournalFile,
    /// What the file says; `None`: not known.
    written: Option<(Vec<u8>, Outlives)>,
}

impl Clerk {
    fn run(mut self) {
        let mut done = 0;
        while let Some((requests, outlives)) = self.desk.wait(done) {
            self.write(outlives);
            done = requests;
            self.desk.done.send_replace(done);
        }
        self.write(Outlives::Machine);
    }

    fn write(&mut self, outlives: Outlives) {
        let text = self.knowledge.record().encode();
        let is_there =
            |(written, before): &(Vec<u8>, Outlives)| *written == text && *before >= outlives;
        if self.written.as_ref().is_some_and(is_there) {
            return;
        }
        match self.file.write(&text, outlives) {
            Ok(()) => self.written = Some((text, outlives)),
            Err(error) => {
                self.written = None;
                let path = self.file.path().display();
                self.desk
                    .tell(&format!("{path} cannot be written ({error})"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::routes::Pattern;
    use crate::store::redis::lineage::{Generation, Known};

    fn knowledge(about: &str) -> Knowledge {
        Knowledge {
            about: about.to_owned(),
            process: "this one".into(),
            lineages: vec![Arc::default(), Arc::default()],
            journals: vec![Arc::default(), Arc::default()],
        }
    }

    fn purge(key: &str) -> Arc<Purge> {
        Arc::new(Purge {
            keys: vec![Pattern::literal(key)],
            ..Purge::default()
        })
    }

    fn known(number: u64) -> Known {
        Known {
            generation: Generation::read(b"0006443a5f00c0de").expect("digits"),
            number,
            own: number,
            is_void: false,
        }
    }

    fn failed(knowledge: &Knowledge) -> Vec<Arc<Purge>> {
        knowledge.failed()
    }

    /// What a process that starts now would read.
    fn read(path: &Path) -> Record {
        let bytes = std::fs::read(path).expect("it is there");
        Record::decode(&bytes).expect("it is whole")
    }

    #[tokio::test]
    async fn what_was_asked_for_is_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (file, _) = JournalFile::open(&path).expect("it is made");
        let knowledge = knowledge("a test");
        let (journal, lineages) = (knowledge.journals[1].clone(), knowledge.lineages.clone());
        let recorder = Recorder::start(knowledge, file).expect("it is written");
        assert_eq!(read(&path).process, "this one");
        for outlives in [Outlives::Process, Outlives::Machine] {
            drop(journal.enter(purge("user:1")));
            recorder.record(outlives).await;
            assert_eq!(read(&path).failed.len(), journal.failed_count());
        }
        lineages[1].restore(known(7));
        recorder.record(Outlives::Process).await;
        assert_eq!(read(&path).shards, [Known::default(), known(7)]);
        journal.confirm(journal.failed().iter().map(|(id, _)| *id));
        drop(recorder);
        assert_eq!(read(&path).failed, [], "at the end");
        JournalFile::open(&path).expect("nobody has it any more");
    }

    /// A disk that hangs does not keep the process from its end.
    #[test]
    fn the_end_waits_for_a_disk_no_longer_than_it_may() {
        let (held, ended) = mpsc::channel::<()>();
        let (release, hangs) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = hangs.recv();
            drop(held);
        });
        drop(Recorder {
            desk: Arc::new(Desk::new()),
            thread: Some(thread),
            ended: Mutex::new(ended),
            longest_end: Duration::from_millis(10),
        });
        // Still there: it was left alone.
        release.send(()).expect("the thread waits");
    }

    #[test]
    fn what_the_file_said_is_known_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, _) = JournalFile::open(&folder.path().join("journal")).expect("it is made");
        let record = Record {
            about: "a test".to_owned(),
            process: "the one before".to_owned(),
            shards: vec![known(3), known(4)],
            failed: vec![purge("user:1"), purge("user:2")],
        };
        let mut taken = knowledge("a test");
        taken.take_in(Found::Record(record.clone()), &file);
        assert_eq!(taken.record(), record);
        assert_eq!(taken.lineages[1].generation(), known(4).generation);

        let everything = [Arc::new(Purge::of_everything())];
        for (case, about, found) in [
            ("damaged", "a test", Found::Damaged),
            ("another", "another", Found::Record(record.clone())),
            (
                "more shards",
                "a test",
                Found::Record(Record {
                    shards: vec![known(3); 16],
                    ..record
                }),
            ),
        ] {
            let mut taken = knowledge(about);
            taken.take_in(found, &file);
            assert_eq!(failed(&taken), everything, "{case}");
            assert_eq!(&*taken.process, "this one", "{case}");
            assert_eq!(taken.lineages[0].known(), Known::default(), "{case}");
        }
        let mut first = knowledge("a test");
        first.take_in(Found::Nothing, &file);
        assert_eq!(failed(&first), []);
    }

    #[test]
    fn what_cannot_be_written_is_told_once_and_is_no_end() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let desk = Arc::new(Desk::new());
        let mut clerk = Clerk {
            desk: Arc::clone(&desk),
            knowledge: knowledge("a test"),
            file: JournalFile::for_reading(file.path()),
            written: None,
        };
        clerk.write(Outlives::Process);
        let told = *desk.told_at.lock();
        assert!(told.is_some());
        clerk.write(Outlives::Machine);
        assert_eq!(*desk.told_at.lock(), told);
        let unwritable = JournalFile::for_reading(file.path());
        let refused = Recorder::start(knowledge("a test"), unwritable).err();
        let words = refused.expect("it cannot be written").to_string();
        assert!(words.contains("write the path of a file"), "{words}");
    }
}
