//! A file changed as a whole: whoever reads it meanwhile has the old text or the new one.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

/// Puts `new` in place of `old`, which the file is to have still.
pub(super) fn replace(file: &Path, old: &str, new: &str) -> Result<()> {
    // The file, and not a link to it.
    let file = fs::canonicalize(file)?;
    if fs::read_to_string(&file)? != old {
        let why = "it has been changed meanwhile and is left as it is: run this again";
        return Err(Error::other(why));
    }
    match put_in_place(&file, new) {
        Ok(()) => Ok(()),
        // A folder that takes no file, or a file that is mounted by itself.
        Err(_) => fs::write(&file, new),
    }
}

fn put_in_place(file: &Path, text: &str) -> Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    let put = || {
        // Nothing that somebody else has there.
        let mut new = File::create_new(&beside)?;
        new.set_permissions(fs::metadata(file)?.permissions())?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, file)
    };
    let put = put();
    if put
        .as_ref()
        .is_err_and(|error| error.kind() != ErrorKind::AlreadyExists)
    {
        let _ = fs::remove_file(&beside);
    }
    put
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.toml");
        fs::write(&file, "old").expect("it is written");
        let read = || fs::read_to_string(&file).expect("it is read");
        assert!(replace(&file, "older", "new").is_err());
        assert_eq!(read(), "old", "changed by somebody else");
        replace(&file, "old", "new").expect("it is replaced");
        assert_eq!(read(), "new");
        // What stands beside it is somebody else's.
        let beside = folder.path().join("a.toml.new");
        fs::write(&beside, "theirs").expect("it is written");
        replace(&file, "new", "newer").expect("in place");
        assert_eq!(read(), "newer");
        let theirs = fs::read_to_string(&beside).expect("it is read");
        assert_eq!(theirs, "theirs");
        let files = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(files, 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one_and_the_file_as_private_as_it_was() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (
            folder.path().join("a.toml"),
            folder.path().join("link.toml"),
        );
        fs::write(&file, "old").expect("it is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("they are set");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        replace(&link, "old", "new").expect("it is replaced");
        let of_link = fs::symlink_metadata(&link).expect("it is there");
        assert!(of_link.is_symlink());
        let mode = fs::metadata(&file)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&file).expect("it is read"), "new");
    }
}
