//! Watching the config file and the files it names, to reload when the contents of one change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Editors and Kubernetes write a file in several steps; one reload is enough.
const SETTLE: Duration = Duration::from_millis(200);

/// The changes of some files.
pub(super) struct Changes {
    /// What each held last, to tell its changes from those of its neighbours; `None`: not there.
    seen: BTreeMap<PathBuf, Option<Vec<u8>>>,
    folders: BTreeSet<PathBuf>,
    events: mpsc::Receiver<()>,
    watcher: RecommendedWatcher,
}

impl Changes {
    /// Of no file yet.
    pub(super) fn new() -> anyhow::Result<Changes> {
        let (changed, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = changed.try_send(());
            }
        })?;
        Ok(Changes {
            seen: BTreeMap::new(),
            folders: BTreeSet::new(),
            events,
            watcher,
        })
    }

    /// Watches `files`, and none that it watched before and that is not among them. True: one is new,
    /// and what was read of it before this call may be out of date.
    pub(super) fn follow<'f>(&mut self, files: impl IntoIterator<Item = &'f Path>) -> bool {
        let mut before = std::mem::take(&mut self.seen);
        let mut new = false;
        for file in files {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            let contents = before.remove(&file).unwrap_or_else(|| {
                new = true;
                self.watch(&file);
                std::fs::read(&file).ok()
            });
            self.seen.insert(file, contents);
        }
        new
    }

    /// Watches the folder, since a file that is replaced is another file. Kubernetes swaps the link
    /// `..data` there; where the file is a link to elsewhere, that folder is watched as well.
    fn watch(&mut self, file: &Path) {
        let target = file.canonicalize().ok();
        let files = [Some(file), target.as_deref()];
        for folder in files.into_iter().flatten().filter_map(Path::parent) {
            if self.folders.insert(folder.to_owned()) {
                // A missing folder is reported when the file is loaded; that of a link may go at the next
                // swap, which shows as a change in the folder of the link.
                let _ = self.watcher.watch(folder, RecursiveMode::NonRecursive);
            }
        }
    }

    /// Returns when the contents of a file have changed.
    pub(super) async fn next(&mut self) {
        loop {
            if self.events.recv().await.is_none() {
                return std::future::pending().await;
            }
            tokio::time::sleep(SETTLE).await;
            while self.events.try_recv().is_ok() {}
            let mut changed = false;
            for (file, seen) in &mut self.seen {
                let now = std::fs::read(file).ok();
                changed |= now != *seen;
                *seen = now;
            }
            if changed {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let (config, cert) = (folder.path().join("a.toml"), folder.path().join("cert.pem"));
        std::fs::write(&config, "1").unwrap();
        std::fs::write(&cert, "1").unwrap();
        let mut changes = Changes::new().unwrap();
        assert!(changes.follow([config.as_path()]), "the config is new");
        assert!(!changes.follow([config.as_path()]), "nothing is new");
        assert!(
            changes.follow([config.as_path(), &cert]),
            "the certificate is new"
        );
        std::fs::write(&cert, "2").unwrap();
        changes.next().await;
        changes.follow([config.as_path()]);
        std::fs::write(&cert, "3").unwrap();
        let unheard = tokio::time::timeout(SETTLE * 3, changes.next()).await;
        assert!(unheard.is_err(), "a certificate that is not used any more");
    }
}
