//! The log: text or JSON, filtered as the config says, and limited where outsiders could flood it.

use tracing_subscriber::prelude::*;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::log_limit::LogLimit;
use crate::config::{Log, LogFormat};

/// The log of the process.
pub(super) struct Logging {
    /// It is to report now and then.
    pub(super) limit: LogLimit,
    filter: Handle<EnvFilter, Registry>,
}

impl Logging {
    /// Puts another filter in force.
    pub(super) fn set_level(&self, level: &str) -> anyhow::Result<()> {
        Ok(self.filter.reload(EnvFilter::try_new(level)?)?)
    }
}

/// Installs the log of the process; a second call changes nothing.
pub(super) fn install(log: &Log) -> anyhow::Result<Logging> {
    let limit = LogLimit::default();
    let (layer, filter) = reload::Layer::new(EnvFilter::try_new(&log.level)?);
    let base = tracing_subscriber::registry()
        .with(layer)
        .with(limit.clone());
    let lines = fmt::layer().with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            base.with(lines.with_ansi(ansi)).try_init()
        }
        LogFormat::Json => base.with(lines.json().flatten_event(true)).try_init(),
    };
    Ok(Logging { limit, filter })
}
