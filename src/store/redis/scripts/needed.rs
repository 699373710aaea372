//! Of the code that scripts share, what one of them needs. Redis makes all functions of a script anew with each call, and keeps
//! those of each script for as long as it knows it: what is left out costs neither time nor memory.

use std::collections::HashMap;

/// What scripts share, part by part.
#[derive(Debug)]
pub(super) struct Shared<'t> {
    parts: Vec<Part<'t>>,
    /// Of each name the part that gives it.
    owners: HashMap<&'t str, usize>,
}

/// A statement that is not within another: a function, or some values.
#[derive(Debug)]
struct Part<'t> {
    lines: Vec<&'t str>,
    /// The parts before it that it names.
    needs: Vec<usize>,
}

impl<'t> Shared<'t> {
    /// Comments are left out.
    pub(super) fn read(common: &'t str) -> Shared<'t> {
        let mut shared = Shared {
            parts: Vec::new(),
            owners: HashMap::new(),
        };
        let is_code = |line: &&str| !line.trim_start().starts_with("--") && !line.trim().is_empty();
        for line in common.lines().filter(is_code) {
            if let Some(statement) = line.strip_prefix("local ") {
                let part = shared.parts.len();
                shared.parts.push(Part {
                    lines: Vec::new(),
                    needs: Vec::new(),
                });
                let names = names_of(statement).into_iter().map(|name| (name, part));
                shared.owners.extend(names);
            }
            let needs = shared.owners_of(line);
            let part = shared
                .parts
                .last_mut()
                .expect("what scripts share is local");
            part.lines.push(line);
            part.needs.extend(needs);
        }
        shared
    }

    /// The parts that `body` names, those that these name, and so on, in their order.
    pub(super) fn needed_by(&self, body: &str) -> String {
        let mut is_needed = vec![false; self.parts.len()];
        for owner in body.lines().flat_map(|line| self.owners_of(line)) {
            is_needed[owner] = true;
        }
        // What a part needs stands before it.
        for at in (0..self.parts.len()).rev() {
            if is_needed[at] {
                for need in &self.parts[at].needs {
                    is_needed[*need] = true;
                }
            }
        }
        let needed = self
            .parts
            .iter()
            .zip(is_needed)
            .filter(|(_, is_needed)| *is_needed);
        let mut text = String::new();
        for line in needed.flat_map(|(part, _)| &part.lines) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    fn owners_of(&self, line: &str) -> Vec<usize> {
        words_of(line)
            .filter_map(|word| self.owners.get(word).copied())
            .collect()
    }
}

/// What a statement behind `local` gives a name to.
fn names_of(statement: &str) -> Vec<&str> {
    match statement.strip_prefix("function ") {
        Some(function) => words_of(function).take(1).collect(),
        None => words_of(statement.split('=').next().unwrap_or_default()).collect(),
    }
}

/// All words of a line of code, whether or not they are names.
fn words_of(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("--").next().unwrap_or_default();
    code.split(|at: char| !at.is_ascii_alphanumeric() && at != '_')
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::{COMMON, Script, TEXTS};
    use super::*;

    const SHARED: &str = "\
-- Of all.
local one, two = 1, 2

local three = {
  'three',
}

local function four()
  -- Not: six.
  return one
end

local function five()
  return four() + seven
end
local six
";

    #[test]
    fn a_script_gets_what_it_names_and_what_that_names() {
        let four = "local function four()\n  return one\nend\n";
        let rows = [
            ("return 0", String::new()),
            ("return two", "local one, two = 1, 2\n".to_owned()),
            (
                "return three[1]",
                "local three = {\n  'three',\n}\n".to_owned(),
            ),
            (
                "six = four() -- five",
                format!("local one, two = 1, 2\n{four}local six\n"),
            ),
        ];
        for (body, expected) in rows {
            assert_eq!(Shared::read(SHARED).needed_by(body), expected, "{body}");
        }
        let five = Shared::read(SHARED).needed_by("return five()");
        assert!(
            five.contains(four) && !five.contains("three") && !five.contains("six"),
            "{five}"
        );
    }

    /// A name that is used and not defined would be an error when the script runs, and one that is defined behind its use too.
    #[test]
    fn whatever_a_script_names_of_the_shared_is_in_it_before() {
        for script in Script::ALL {
            let text = &TEXTS[script as usize];
            for name in Shared::read(COMMON).owners.into_keys() {
                let mut lines = text.lines();
                let first = lines.find(|line| words_of(line).any(|word| word == name));
                if let Some(line) = first {
                    let is_defined = line.starts_with("local ") && line.contains(name);
                    assert!(is_defined, "{script:?}: {name} in {line}");
                }
            }
        }
    }

    #[test]
    fn a_script_that_needs_little_has_little() {
        let length = |script: Script| TEXTS[script as usize].len();
        assert!(length(Script::Short) < 500, "{}", length(Script::Short));
        assert!(2 * length(Script::Release) < length(Script::Put));
        assert!(length(Script::Put) < COMMON.len());
    }
}
