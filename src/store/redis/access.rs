//! What lets Pannier in, as it was when a client was made: where it has changed since, a lost connection is made by a new one.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{RedisAccess, RedisPassword};

/// The settings, and the files that they name, as far as a change of them shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    access: Arc<RedisAccess>,
    files: Vec<(PathBuf, Option<FileState>)>,
}

/// Device, inode, length, and the time of the last change in ns. A mount that is replaced has another inode.
type FileState = (u64, u64, u64, i128);

impl Stamp {
    /// As it is now. To be taken before the files are read.
    pub(super) fn of(access: Arc<RedisAccess>) -> Stamp {
        let files = files(&access).map(|path| (path.to_owned(), state(path)));
        Stamp {
            files: files.collect(),
            access,
        }
    }
}

fn files(access: &RedisAccess) -> impl Iterator<Item = &Path> {
    let logins = [&access.login, &access.sentinel_login].into_iter();
    let passwords = logins.filter_map(|login| match &login.password {
        Some(RedisPassword::File(path)) => Some(path),
        _ => None,
    });
    let tls = access.tls.iter();
    let certificates = tls.flat_map(|tls| {
        let own = tls.client.iter();
        let own = own.flat_map(|client| [&client.cert_file, &client.key_file]);
        tls.ca_file.iter().chain(own)
    });
    passwords.chain(certificates).map(PathBuf::as_path)
}

fn state(path: &Path) -> Option<FileState> {
    let found: Metadata = path.metadata().ok()?;
    let changed = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    Some((found.dev(), found.ino(), found.len(), changed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientCertificate, RedisLogin, RedisTls};

    fn access(folder: &Path) -> Arc<RedisAccess> {
        Arc::new(RedisAccess {
            login: RedisLogin {
                user: None,
                password: Some(RedisPassword::File(folder.join("password"))),
            },
            sentinel_login: RedisLogin::default(),
            tls: Some(RedisTls {
                ca_file: Some(folder.join("ca")),
                client: Some(ClientCertificate {
                    cert_file: folder.join("cert"),
                    key_file: folder.join("key"),
                    ends: None,
                }),
            }),
        })
    }

    #[test]
    fn each_change_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = access(folder.path());
        let stamp = || Stamp::of(Arc::clone(&access));
        let empty = stamp();
        for name in ["password", "ca", "cert", "key"] {
            let before = stamp();
            assert_eq!(before, stamp(), "{name}");
            std::fs::write(folder.path().join(name), "a").expect("a writable folder");
            let first = stamp();
            assert_ne!(before, first, "{name} is there");
            // As a mount is: a new file takes the old one's name.
            std::fs::write(folder.path().join("new"), "b").expect("a writable folder");
            std::fs::rename(folder.path().join("new"), folder.path().join(name)).expect("one disk");
            assert_ne!(first, stamp(), "{name} is another one");
        }
        assert_ne!(empty, stamp());
        let other = Arc::new(RedisAccess::default());
        assert_ne!(Stamp::of(other), stamp(), "other settings");
    }
}
