//! A key file that may be replaced, whose link may be swapped, or that is written in place.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::News;
use crate::config::jwt_key::MAX_KEY_TEXT;
use crate::config::{JwtKey, KeyForm};

/// What a file holds, or why it cannot be read.
type Reading = Result<Vec<u8>, String>;

/// The file, read again and again: notice of changes is not to be had on every file system.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    form: KeyForm,
    last: Option<Reading>,
    judged: Option<Reading>,
}

impl KeyFile {
    pub(super) fn new(path: PathBuf, form: KeyForm) -> KeyFile {
        KeyFile {
            path,
            form,
            last: None,
            judged: None,
        }
    }

    /// Reads it, and judges each of its states once: when it is found unchanged, so that it is not being
    /// written.
    pub(super) fn look(&mut self) -> Option<News> {
        let now = read(&self.path);
        let is_still = self.last.as_ref() == Some(&now);
        if !is_still || self.judged.as_ref() == Some(&now) {
            self.last = Some(now);
            return None;
        }
        self.judged = Some(now.clone());
        let key = now.and_then(|text| {
            JwtKey::parse_file(self.form, text).map_err(|fault| fault.to_string())
        });
        Some(match key {
            Ok(key) => News::Key(key),
            Err(why) => News::Refused(format!("{}: {why}", self.path.display())),
        })
    }

    /// Whether its state of now is one that was judged.
    pub(super) fn is_still(&self) -> bool {
        self.judged.is_some() && self.judged == self.last
    }
}

fn read(path: &Path) -> Reading {
    let mut text = Vec::new();
    // One byte over what is taken, so that it is seen to be too long.
    let most = MAX_KEY_TEXT as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut text))
        .map_err(|error| format!("it cannot be read ({error})"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old secret of thirty-two bytes or more";
    const NEW: &str = "a new secret of thirty-two bytes or more";

    fn secret(text: &str) -> Option<News> {
        Some(News::Key(JwtKey::Secret(text.as_bytes().to_vec())))
    }

    #[test]
    fn each_state_is_judged_once_and_when_it_is_still() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let write = |text: &str| std::fs::write(&path, text).expect("a file");
        write(OLD);
        let mut file = KeyFile::new(path.clone(), KeyForm::Secret);
        assert_eq!(file.look(), None, "seen first");
        assert_eq!(file.look(), secret(OLD), "it is still");
        assert_eq!(file.look(), None, "it was judged");

        write(&NEW[..35]);
        assert_eq!(file.look(), None, "half of it is written");
        write(&format!("{NEW}\n"));
        assert_eq!(file.look(), None, "and the rest");
        assert_eq!(file.look(), secret(NEW), "the line end is none of it");

        write("short");
        file.look();
        assert!(matches!(file.look(), Some(News::Refused(why)) if why.contains("5 bytes")));
        assert_eq!(file.look(), None, "it is told once");
        write(NEW);
        file.look();
        assert_eq!(file.look(), secret(NEW), "it is back");

        std::fs::remove_file(&path).expect("it is there");
        file.look();
        assert!(matches!(file.look(), Some(News::Refused(why)) if why.contains("cannot be read")));
        write(&"x".repeat(MAX_KEY_TEXT + 1));
        file.look();
        assert!(matches!(file.look(), Some(News::Refused(why)) if why.contains("256 KiB")));
    }
}
