//! Of the code that scripts share, what one of them needs. Redis makes all functions of a script anew with each call, and keeps
//! those of each script for as long as it knows it: what is left out costs neither time nor memory.

use std::collections::HashSet;

/// A statement that is not within another: a function, or some values.
#[derive(Debug)]
struct Part<'t> {
    names: Vec<&'t str>,
    lines: Vec<&'t str>,
}

/// The parts of `common` that `body` names, those that these name, and so on, in their order. Comments are left out.
pub(super) fn needed<'t>(common: &'t str, body: &'t str) -> String {
    let parts = parts_of(common);
    let mut named: HashSet<&str> = body.lines().flat_map(words_of).collect();
    let mut is_needed = vec![false; parts.len()];
    // What a part needs stands before it.
    for (part, is_needed) in parts.iter().zip(&mut is_needed).rev() {
        *is_needed = part.names.iter().any(|name| named.contains(name));
        if *is_needed {
            named.extend(part.lines.iter().copied().flat_map(words_of));
        }
    }
    let mut text = String::new();
    for (part, _) in parts
        .iter()
        .zip(&is_needed)
        .filter(|(_, is_needed)| **is_needed)
    {
        for line in &part.lines {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn parts_of(text: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let is_code = |line: &&str| !line.trim_start().starts_with("--") && !line.trim().is_empty();
    for line in text.lines().filter(is_code) {
        match (line.strip_prefix("local "), parts.last_mut()) {
            (Some(rest), _) => parts.push(Part {
                names: names_of(rest),
                lines: vec![line],
            }),
            (None, Some(part)) => part.lines.push(line),
            (None, None) => unreachable!("what scripts share is local"),
        }
    }
    parts
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
            assert_eq!(needed(SHARED, body), expected, "{body}");
        }
        let five = needed(SHARED, "return five()");
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
            for name in parts_of(COMMON).into_iter().flat_map(|part| part.names) {
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
