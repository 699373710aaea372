//! The report, for a terminal or as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::stored::StoredReport;
use crate::admin::explain::{HeldAccount, Tier, VariantAccount};
use crate::http_cache::explain::Statement;
use crate::proxy::obstacles::{Edit, Told};

/// Columns before the text of a line about the plan.
const PLAN: usize = 9;

/// Indent and columns of one about what is stored.
const INDENTED: (&str, usize) = ("  ", 11);

/// All that is said of a request.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// What the file alone says.
    pub(super) plan: Vec<Line>,
    /// All that is in the way of a hit.
    pub(super) in_the_way: Vec<Told>,
    /// The fewest lines of the config that lift what can be lifted.
    pub(super) edits: Vec<Edit>,
    /// What is stored; absent where nobody was to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<StoredReport>,
    /// What would become of the answer described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Vec<Statement>>,
}

/// One thing the file says.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    label: String,
    text: String,
}

impl Line {
    pub(super) fn new(label: &str, text: impl Into<String>) -> Line {
        Line {
            label: label.to_owned(),
            text: text.into(),
        }
    }
}

impl Report {
    /// Writes it all.
    pub(super) fn write(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            serde_json::to_writer_pretty(&mut *out, self)?;
            return writeln!(out);
        }
        for line in &self.plan {
            write_line(out, ("", PLAN), &line.label, &line.text)?;
        }
        self.write_obstacles(out)?;
        if let Some(found) = &self.stored {
            write_stored(found, out)?;
        }
        if let Some(statements) = self.response.as_ref().filter(|all| !all.is_empty()) {
            writeln!(out, "\nan answer with that head")?;
            write_statements(statements, out)?;
        }
        Ok(())
    }

    /// Each obstacle with all that would lift it, then the lines to paste.
    fn write_obstacles(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.in_the_way.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nin the way of a hit")?;
        for obstacle in &self.in_the_way {
            let line = format!("  {}: {}", obstacle.reason, obstacle.what);
            writeln!(out, "{}", strip_controls(&line))?;
            for (number, edit) in obstacle.lifts.iter().enumerate() {
                let label = if number == 0 { "lift" } else { "or" };
                let text = format!("{}   # {}: {}", edit.line, edit.table, edit.means);
                write_line(out, ("    ", 5), label, &text)?;
            }
        }
        if self.edits.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nto lift all that the config can, if it means what is said beside it"
        )?;
        let mut table = "";
        for edit in &self.edits {
            if edit.table != table {
                table = &edit.table;
                writeln!(out, "  in {}", strip_controls(table))?;
            }
            let line = format!("    {}   # {}", edit.line, edit.means);
            writeln!(out, "{}", strip_controls(&line))?;
        }
        Ok(())
    }
}

fn write_stored(found: &StoredReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nwhat is stored")?;
    for note in &found.notes {
        write_line(out, INDENTED, "note", note)?;
    }
    if let Some(teller) = &found.told_by {
        write_line(out, INDENTED, "told by", teller)?;
    }
    match &found.held {
        Some(held) => write_held(held, out),
        None => Ok(()),
    }
}

fn write_held(held: &HeldAccount, out: &mut dyn Write) -> io::Result<()> {
    write_line(out, INDENTED, "memory", &show_tier(held.memory))?;
    write_line(out, INDENTED, "redis", &show_tier(held.redis))?;
    write_statements(&held.decision, out)?;
    write_line(out, INDENTED, "reason", &held.reason)?;
    let count = held.variants.len();
    for (number, variant) in (1..).zip(&held.variants) {
        let heading = format!("answer {number} of {count}: {}", show_heading(variant));
        writeln!(out, "\n{}", strip_controls(&heading))?;
        write_statements(&variant.statements, out)?;
    }
    Ok(())
}

fn show_heading(variant: &VariantAccount) -> String {
    let place = match (variant.in_memory, variant.in_redis) {
        (true, true) => "in memory and Redis",
        (true, false) => "in memory",
        (false, _) => "in Redis",
    };
    let rule = match variant.rule.as_str() {
        "" => String::new(),
        rule => format!(", by rule {rule}"),
    };
    format!(
        "{} (status {}, {} bytes, {place}{rule})",
        variant.state.as_str(),
        variant.status,
        variant.bytes
    )
}

fn show_tier(tier: Tier) -> String {
    match tier {
        Tier::Absent => "there is none".to_owned(),
        Tier::Unused => "not looked into: coherence = \"strict\"".to_owned(),
        Tier::Unheard => "left alone: it has not heard of Redis for redis.staleness".to_owned(),
        Tier::Unconfirmed(count) => format!(
            "holds {count}, for the app to confirm: it has not heard of Redis for redis.staleness"
        ),
        Tier::Unreachable => "does not answer".to_owned(),
        Tier::Purged => "covered by a purge that has not landed there yet".to_owned(),
        Tier::Nothing => "holds nothing".to_owned(),
        Tier::Holds(1) => "holds 1 answer".to_owned(),
        Tier::Holds(count) => format!("holds {count} answers"),
    }
}

/// Texts in one column, the clause after each.
fn write_statements(statements: &[Statement], out: &mut dyn Write) -> io::Result<()> {
    for statement in statements {
        let text = format!("{} [{}]", statement.text, statement.clause);
        write_line(out, INDENTED, &statement.topic, &text)?;
    }
    Ok(())
}

fn write_line(
    out: &mut dyn Write,
    (indent, width): (&str, usize),
    label: &str,
    text: &str,
) -> io::Result<()> {
    let label = format!("{label}:");
    let line = format!("{indent}{label:width$} {text}");
    writeln!(out, "{}", strip_controls(&line))
}

/// What came from elsewhere must not steer the terminal.
fn strip_controls(line: &str) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    line.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let report = Report {
            plan: vec![Line::new("rule", "a\u{1b}[2Jb\u{9b}c\nd")],
            ..Report::default()
        };
        let mut out = Vec::new();
        report.write(false, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "rule:     a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\n"
        );
    }
}
