//! The rows of a test's tables: what is read, and what is written.

use pannier::entry::Priority;

/// Who asks: a header field that tells.
pub(super) type Asker = Option<(&'static str, &'static str)>;

/// A GET that the config caches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) asker: Asker,
    /// The key; a `*` at its end stands for the digest of a cookie.
    pub(super) key: &'static str,
    /// Seconds of freshness.
    pub(super) ttl: u64,
    /// Seconds more that Redis keeps it: stale windows, or time to validate it.
    pub(super) spare: u64,
    pub(super) priority: Priority,
}

/// A row for anybody, of no use once stale.
pub(super) const fn read(
    name: &'static str,
    path: &'static str,
    key: &'static str,
    ttl: u64,
    priority: Priority,
) -> Read {
    Read {
        name,
        path,
        asker: None,
        key,
        ttl,
        spare: 0,
        priority,
    }
}

impl Read {
    /// The same, asked for by somebody.
    pub(super) const fn by(self, asker: (&'static str, &'static str)) -> Read {
        Read {
            asker: Some(asker),
            ..self
        }
    }

    /// The same, of use `spare` seconds longer than it is fresh.
    pub(super) const fn spare(self, spare: u64) -> Read {
        Read { spare, ..self }
    }
}

/// A write that the app accepts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) body: &'static str,
    pub(super) asker: Asker,
    /// The names of the reads it makes stale: these, and no others.
    pub(super) stale: &'static [&'static str],
}

/// A row for anybody, that makes nothing stale.
pub(super) const fn write(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
) -> Write {
    Write {
        name,
        method,
        path,
        body,
        asker: None,
        stale: &[],
    }
}

impl Write {
    /// The same, asked for by somebody.
    pub(super) const fn by(self, asker: (&'static str, &'static str)) -> Write {
        Write {
            asker: Some(asker),
            ..self
        }
    }

    /// The same, which makes these reads stale.
    pub(super) const fn stales(self, stale: &'static [&'static str]) -> Write {
        Write { stale, ..self }
    }
}
