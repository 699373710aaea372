//! A URL that Pannier itself asks, and which is not the app: where keys are, or where alerts go.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Target, Upstream};

/// Where it leads.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    /// `https://…` or `http://…`; never a unix socket.
    pub target: Target,
    /// Host and port as written.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// A PEM file of further certificate authorities.
    pub ca_file: Option<PathBuf>,
}

impl RemoteUrl {
    /// Scheme, host and port: a path may be a secret.
    pub fn origin(&self) -> String {
        let scheme = match self.target {
            Target::Https(_) => "https",
            Target::Http(_) | Target::Unix(_) => "http",
        };
        format!("{scheme}://{}", self.host)
    }

    /// How it is asked: seldom, and by one connection.
    pub fn as_upstream(&self, timeout: Duration) -> Upstream {
        Upstream {
            target: self.target.clone(),
            timeout,
            connect_timeout: timeout,
            body_timeout: timeout,
            idle_timeout: timeout,
            max_idle: 1,
            max_fills: 1,
            background: super::BackgroundLimits::default(),
            limit: None,
            ca_file: self.ca_file.clone(),
            preserve_host: true,
            http2: false,
            paths: Default::default(),
        }
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteUrl").field(&self.origin()).finish()
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}
