//! What is wrong, or unwise, in a config: where, which key, and what to write instead.

use std::fmt;

use super::Advice;

/// Where a value came from: a file and line, an environment variable or a command-line option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file, the variable or the option.
    pub source: String,
    /// The line in a file, from 1.
    pub line: Option<usize>,
}

impl Position {
    /// A line of a file.
    pub(super) fn line(file: &str, line: usize) -> Position {
        Position {
            source: file.to_owned(),
            line: Some(line),
        }
    }

    /// A variable, an option, or a file as a whole.
    pub(super) fn whole(source: &str) -> Position {
        Position {
            source: source.to_owned(),
            line: None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

/// One finding; displays as `file:line: key: what is wrong; what to write instead`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub position: Position,
    /// The key, such as `upstream.url`; empty when it concerns the file.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
    /// Of a warning that may be acknowledged: by which word.
    pub advice: Option<Advice>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)?;
        match self.advice {
            Some(advice) => write!(f, " [{}]", advice.as_str()),
            None => Ok(()),
        }
    }
}

/// Something legal but unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Problem);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Every error of a config, in file order; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// The errors, in file order.
    pub fn all(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    /// One error a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects findings while a config is read, so that one error does not hide the next.
#[derive(Debug, Default)]
pub(super) struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    acknowledged: usize,
}

impl Problems {
    /// Adds an error.
    pub(super) fn error(
        &mut self,
        position: Position,
        key: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        add(&mut self.errors, problem(position, key, what, remedy));
    }

    /// Adds a warning.
    pub(super) fn warning(
        &mut self,
        position: Position,
        key: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        add(&mut self.warnings, problem(position, key, what, remedy));
    }

    /// Adds a warning that may be acknowledged.
    pub(super) fn advice(
        &mut self,
        advice: Advice,
        position: Position,
        key: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = Problem {
            advice: Some(advice),
            ..problem(position, key, what, remedy)
        };
        add(&mut self.warnings, problem);
    }

    /// Counts advice that is not told, since it is acknowledged.
    pub(super) fn count_acknowledged(&mut self, count: usize) {
        self.acknowledged += count;
    }

    /// How much advice is acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// How many errors there are so far.
    pub(super) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// The warnings, or all errors, each in file order.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, ConfigErrors> {
        self.errors.sort_by(|a, b| a.position.cmp(&b.position));
        self.warnings.sort_by(|a, b| a.position.cmp(&b.position));
        if self.errors.is_empty() {
            Ok(self.warnings.into_iter().map(Warning).collect())
        } else {
            Err(ConfigErrors(self.errors))
        }
    }
}

/// Once, though what many routes inherit is read for each of them.
fn add(problems: &mut Vec<Problem>, problem: Problem) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

fn problem(
    position: Position,
    key: impl Into<String>,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Problem {
    Problem {
        position,
        key: key.into(),
        what: what.into(),
        remedy: remedy.into(),
        advice: None,
    }
}

/// The one of `known` that `word` was probably meant to be.
pub(super) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const CLOSE_ENOUGH: f64 = 0.8;
    let lower = word.to_lowercase().replace('-', "_");
    // Jaro-Winkler thinks little of a slip in a short word, such as `tll`.
    let is_slip = |candidate: &str| lower.len() > 2 && strsim::osa_distance(&lower, candidate) == 1;
    known
        .into_iter()
        .map(|candidate| {
            let name = candidate.to_lowercase();
            let score = if is_slip(&name) {
                1.0
            } else {
                strsim::jaro_winkler(&lower, &name)
            };
            (score, candidate)
        })
        .filter(|(score, _)| *score >= CLOSE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
