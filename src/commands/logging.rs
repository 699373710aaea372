//! The log: text or JSON, filtered as the config says, and limited where outsiders could flood it.

use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

use super::log_limit::LogLimit;
use crate::config::{Log, LogFormat};

/// Installs the log of the process; a second call changes nothing. Returns its limit, which is to report now
/// and then.
pub(super) fn install(log: &Log) -> anyhow::Result<LogLimit> {
    let limit = LogLimit::default();
    let filter = EnvFilter::try_new(&log.level)?;
    let base = tracing_subscriber::registry()
        .with(filter)
        .with(limit.clone());
    let lines = fmt::layer().with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            base.with(lines.with_ansi(ansi)).try_init()
        }
        LogFormat::Json => base.with(lines.json().flatten_event(true)).try_init(),
    };
    Ok(limit)
}
