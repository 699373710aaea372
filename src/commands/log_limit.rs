//! Warnings and errors that outsiders can cause, and what is told of single writes: so many lines of a kind in a while, then how many more there
//! were, so that nobody floods the log from outside.
//!
//! A kind is a place in the code. What the operator causes (all of [`commands`](super)) is never left out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of a kind in each [`WHILE`].
const LINES: u64 = 10;
const WHILE: Duration = Duration::from_secs(10);
/// What only the operator causes.
const OWN: &str = "pannier::commands";
/// The target of what is told of single writes, at any level.
const OF_WRITES: &str = "pannier::writes";

/// Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct LogLimit(Arc<Mutex<HashMap<Identifier, Kind>>>);

/// The lines of one place in the code since the last report.
#[derive(Debug, Default)]
struct Kind {
    lines: u64,
    /// What the first line that was left out said.
    left_out: String,
}

impl LogLimit {
    /// Says every while what was left out, for ever.
    pub(super) async fn report_regularly(self) {
        loop {
            tokio::time::sleep(WHILE).await;
            self.report();
        }
    }

    /// Says what was left out since the last report; each kind may have its lines again.
    pub(super) fn report(&self) {
        // Not held while it logs, which comes back here.
        let kinds = std::mem::take(&mut *self.0.lock());
        for kind in kinds.into_values().filter(|kind| kind.lines > LINES) {
            let more = kind.lines - LINES;
            tracing::warn!(
                more,
                kind = kind.left_out,
                "more lines of this kind were left out"
            );
        }
    }

    fn admits(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if !is_limited(metadata) {
            return true;
        }
        let mut kinds = self.0.lock();
        let kind = kinds.entry(metadata.callsite()).or_default();
        kind.lines += 1;
        if kind.lines == LINES + 1 {
            event.record(&mut Message(&mut kind.left_out));
        }
        kind.lines <= LINES
    }
}

fn is_limited(metadata: &Metadata<'_>) -> bool {
    // Levels are greater the more they tell.
    let is_grave = *metadata.level() <= Level::WARN && !metadata.target().starts_with(OWN);
    is_grave || metadata.target() == OF_WRITES && *metadata.level() == Level::INFO
}

impl<S: Subscriber> Layer<S> for LogLimit {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        self.admits(event)
    }
}

/// Takes an event's message.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    impl Lines {
        fn count(&self, text: &str) -> usize {
            let lines = self.0.lock();
            String::from_utf8_lossy(&lines).matches(text).count()
        }
    }

    #[test]
    fn each_kind_has_its_lines_and_then_a_sum() {
        let (limit, lines) = (LogLimit::default(), Lines::default());
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(lines.clone());
        let log = tracing_subscriber::registry()
            .with(limit.clone())
            .with(layer);
        tracing::subscriber::with_default(log, || {
            for nth in 0..1_000 {
                tracing::warn!(target: "pannier::proxy", nth, "flood");
                tracing::info!(target: "pannier::proxy", "told");
                tracing::info!(target: "pannier::writes", "of a write");
                tracing::error!("of the operator");
            }
            tracing::error!(target: "pannier::proxy", "another kind");
            assert_eq!(lines.count("flood"), 10);
            assert_eq!(lines.count("told"), 1_000);
            assert_eq!(lines.count("of a write"), 10);
            assert_eq!(lines.count("of the operator"), 1_000);
            assert_eq!(lines.count("another kind"), 1);
            limit.report();
            assert_eq!(lines.count("left out more=990 kind=\"flood\""), 1);
            assert_eq!(lines.count("left out"), 2);
            tracing::warn!(target: "pannier::proxy", "anew");
            limit.report();
            assert_eq!((lines.count("anew"), lines.count("left out")), (1, 2));
        });
    }
}
