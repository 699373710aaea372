//! Files with secrets that every user of this machine may read.

use std::path::Path;

use crate::config::read::Reader;

/// Warns if the file of `path`, which `key` names and which holds `what`, may be read by all.
pub(super) fn warn_of_readable(reader: &mut Reader<'_>, key: &str, path: &Path, what: &str) {
    if is_readable_by_all(path) {
        let what = format!(
            "{} holds {what} and may be read by every user of this machine",
            path.display()
        );
        let remedy = "take that from others (chmod o-r, or in Kubernetes defaultMode = 0440)";
        reader.warn(key, what, remedy);
    }
}

/// Warns if `key`, a secret, is written out in a config file that may be read by all.
pub(super) fn warn_of_readable_config(reader: &mut Reader<'_>, key: &str, file: &Path) {
    if reader.is_written_out(key) && is_readable_by_all(file) {
        let what = format!(
            "it is a secret, and {} may be read by every user of this machine",
            file.display()
        );
        let remedy =
            "write ${NAME} of an environment variable, or take that from others (chmod o-r)";
        reader.warn(key, what, remedy);
    }
}

/// Where there are no such permissions, or no such file, nothing is said.
fn is_readable_by_all(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        const READ_BY_OTHERS: u32 = 0o004;
        std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & READ_BY_OTHERS != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}
