//! The file of `[redis] journal`: locked, since two processes would overwrite what the other one knows, and written
//! in place, since a text that was torn half-way is found by its checksum, and then everything is purged.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{MAX_BYTES, Record};

/// Why no journal can be kept in a file.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Two processes have the same path.
    #[error(
        "[redis] journal = \"{0}\": another process has it locked; end that one (another sidecar?), or give each \
         sidecar a file of its own"
    )]
    Locked(String),
    /// It cannot be opened, locked or written.
    #[error(
        "[redis] journal = \"{0}\": {1}; write the path of a file that this user may make, lock and write"
    )]
    Unusable(String, io::Error),
}

/// What a text outlives that has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Outlives {
    /// A process that is killed.
    #[default]
    Process,
    /// A machine that loses its power: the disk has it.
    Machine,
}

/// What the file said when it was opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There was none: a first start.
    Nothing,
    /// It has been damaged: purges may be missing.
    Damaged,
    Record(Record),
}

/// The open file, whose lock ends with it.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: File,
    path: PathBuf,
    length: usize,
}

impl JournalFile {
    /// Opens and locks the file, and makes it if there is none. A new one is for its owner alone: keys may hold
    /// what identifies a person.
    pub(super) fn open(path: &Path) -> Result<(JournalFile, Found), JournalError> {
        let shown = || path.display().to_string();
        let unusable = |error| JournalError::Unusable(shown(), error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let (file, is_new) = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = options.create_new(true).open(path).map_err(unusable)?;
                sync_folder(path);
                (file, true)
            }
            opened => (opened.map_err(unusable)?, false),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(shown())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let found = match is_new {
            true => Found::Nothing,
            false => read(&file),
        };
        let file = JournalFile {
            file,
            path: path.to_owned(),
            length: 0,
        };
        Ok((file, found))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what the file says.
    pub(super) fn write(&mut self, text: &[u8], outlives: Outlives) -> io::Result<()> {
        self.file.write_all_at(text, 0)?;
        if self.length != text.len() {
            self.file.set_len(text.len() as u64)?;
            self.length = text.len();
        }
        match outlives {
            Outlives::Process => Ok(()),
            Outlives::Machine => self.file.sync_data(),
        }
    }
}

/// Else a machine that loses its power could have no file afterwards, which is as on a first start. Not every file
/// system can do it.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = File::open(folder.unwrap_or(Path::new(".")));
    let _ = folder.and_then(|folder| folder.sync_all());
}

fn read(file: &File) -> Found {
    let mut bytes = Vec::new();
    match file.take(MAX_BYTES as u64).read_to_end(&mut bytes) {
        Ok(_) => Record::decode(&bytes).map_or(Found::Damaged, Found::Record),
        Err(_) => Found::Damaged,
    }
}

#[cfg(test)]
impl JournalFile {
    /// One that cannot be written.
    pub(super) fn for_reading(path: &Path) -> JournalFile {
        JournalFile {
            file: File::open(path).expect("it is there"),
            path: path.to_owned(),
            length: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(process: &str) -> Record {
        Record {
            about: "a test".to_owned(),
            process: process.to_owned(),
            shards: Vec::new(),
            failed: Vec::new(),
        }
    }

    #[test]
    fn it_says_what_was_written_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (mut file, found) = JournalFile::open(&path).expect("it is made");
        assert_eq!(found, Found::Nothing);
        for (process, outlives) in [
            ("the first one", Outlives::Machine),
            ("another", Outlives::Process),
        ] {
            let text = record(process).encode();
            file.write(&text, outlives).expect("it is written");
        }
        drop(file);
        let (_, found) = JournalFile::open(&path).expect("it is there");
        assert_eq!(found, Found::Record(record("another")));
    }

    #[test]
    fn it_is_locked_as_long_as_it_is_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (file, _) = JournalFile::open(&path).expect("it is made");
        let refused = JournalFile::open(&path).expect_err("it is in use");
        let words = refused.to_string();
        assert!(words.contains("another process has it locked; end that one"));
        assert!(words.contains(&path.display().to_string()), "{words}");
        drop(file);
        JournalFile::open(&path).expect("it is free again");
    }

    #[test]
    fn an_empty_one_was_damaged_and_no_folder_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        std::fs::write(&path, "").expect("a writable folder");
        let (_, found) = JournalFile::open(&path).expect("it is there");
        assert_eq!(found, Found::Damaged);
        let missing = folder.path().join("none").join("journal");
        let error = JournalFile::open(&missing).expect_err("there is no folder");
        assert!(error.to_string().contains("write the path of a file"));
    }
}
