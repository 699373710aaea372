//! Of the code that scripts share, what one of them needs. Redis makes all functions of a script anew with each call, and keeps
//! those of each script for as long as it knows it: what is left out costs neither time nor memory. What only a rare function
//! needs stands within that, and so is made when it is called.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
    /// The parts before it that it names, and itself.
    needs: HashSet<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A function that few calls come to.
    Rare,
    /// A function, or what never changes: it may stand within a rare function.
    Movable,
    /// What may change from one function to the next.
    State,
}

impl Kind {
    fn of(statement: &str, names: &[&str], rare: &[&str]) -> Kind {
        let is_constant =
            |name: &&str| name.bytes().all(|at| at.is_ascii_uppercase() || at == b'_');
        match statement.starts_with("function ") {
            true if rare.contains(&names[0]) => Kind::Rare,
            true => Kind::Movable,
            false if names.iter().all(is_constant) => Kind::Movable,
            false => Kind::State,
        }
    }
}

impl<'t> Shared<'t> {
    /// Comments are left out. `rare`: functions that few calls come to.
    pub(super) fn read(common: &'t str, rare: &[&str]) -> Shared<'t> {
        let mut shared = Shared {
            parts: Vec::new(),
            owners: HashMap::new(),
        };
        let is_code = |line: &&str| !line.trim_start().starts_with("--") && !line.trim().is_empty();
        for line in common.lines().filter(is_code) {
            if let Some(statement) = line.strip_prefix("local ") {
                let (part, names) = (shared.parts.len(), names_of(statement));
                shared.parts.push(Part {
                    lines: Vec::new(),
                    needs: HashSet::new(),
                    kind: Kind::of(statement, &names, rare),
                });
                shared
                    .owners
                    .extend(names.into_iter().map(|name| (name, part)));
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
        let by_body: HashSet<usize> = body.lines().flat_map(|line| self.owners_of(line)).collect();
        let mut is_needed = vec![false; self.parts.len()];
        // What a part needs stands before it.
        for at in (0..self.parts.len()).rev() {
            if is_needed[at] || by_body.contains(&at) {
                is_needed[at] = true;
                for need in &self.parts[at].needs {
                    is_needed[*need] = true;
                }
            }
        }
        let needed = (0..self.parts.len()).filter(|at| is_needed[*at]).collect();
        let homes = self.homes(&needed, &by_body);
        let mut text = String::new();
        self.write(&mut text, &homes, None, 0);
        text
    }

    /// Of each part that is needed the rare function that it stands in, if it does.
    fn homes(&self, needed: &BTreeSet<usize>, by_body: &HashSet<usize>) -> Homes {
        let mut homes = Homes::new();
        // Whatever needs a part stands behind it.
        for at in needed.iter().rev() {
            let users = needed.range(at + 1..);
            let users = users.filter(|user| self.parts[**user].needs.contains(at));
            let scopes = users.map(|user| match self.parts[*user].kind {
                Kind::Rare => Some(*user),
                _ => homes[user],
            });
            let stays = by_body.contains(at) || self.parts[*at].kind == Kind::State;
            let home = match stays {
                true => None,
                false => scopes
                    .reduce(|one, other| common(&homes, one, other))
                    .flatten(),
            };
            homes.insert(*at, home);
        }
        homes
    }

    /// Writes the parts that stand in `home`, and those in them.
    fn write(&self, text: &mut String, homes: &Homes, home: Option<usize>, depth: usize) {
        let push = |text: &mut String, line: &str| {
            text.extend(std::iter::repeat_n("  ", depth));
            text.push_str(line);
            text.push('\n');
        };
        for (at, _) in homes.iter().filter(|(_, its_home)| **its_home == home) {
            let part = &self.parts[*at];
            for (nth, line) in part.lines.iter().enumerate() {
                push(text, line);
                if nth == 0 && part.kind == Kind::Rare {
                    self.write(text, homes, Some(*at), depth + 1);
                }
            }
        }
    }

    fn owners_of(&self, line: &str) -> Vec<usize> {
        words_of(line)
            .filter_map(|word| self.owners.get(word).copied())
            .collect()
    }
}

/// The rare function that each part stands in.
type Homes = BTreeMap<usize, Option<usize>>;

/// The innermost function that both are, or stand in.
fn common(homes: &Homes, one: Option<usize>, other: Option<usize>) -> Option<usize> {
    let around = |home: Option<usize>| std::iter::successors(home, |home| homes[home]);
    around(one).find(|home| around(other).any(|around| around == *home))
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
    use super::super::{COMMON, RARE, Script, TEXTS};
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
            assert_eq!(
                Shared::read(SHARED, &[]).needed_by(body),
                expected,
                "{body}"
            );
        }
        let five = Shared::read(SHARED, &[]).needed_by("return five()");
        assert!(
            five.contains(four) && !five.contains("three") && !five.contains("six"),
            "{five}"
        );
    }

    #[test]
    fn what_a_rare_function_alone_needs_stands_in_it() {
        const COMMON: &str = "\
local state
local MOST = 3
local function of_both()
  return state
end
local function of_inner()
  return MOST
end
local function inner()
  return of_inner() + of_both()
end
local function of_outer()
  return MOST
end
local function outer()
  return inner() + of_outer()
end
local function usual()
  return of_both()
end
";
        let shared = Shared::read(COMMON, &["outer", "inner"]);
        let nested = "\
local state
local function of_both()
  return state
end
local function outer()
  local MOST = 3
  local function inner()
    local function of_inner()
      return MOST
    end
    return of_inner() + of_both()
  end
  local function of_outer()
    return MOST
  end
  return inner() + of_outer()
end
local function usual()
  return of_both()
end
";
        assert_eq!(shared.needed_by("return usual() + outer()"), nested);
        // Whatever the script names itself does not.
        let flat = shared.needed_by("return of_inner() + inner()");
        assert!(flat.contains("\nlocal function of_inner()\n"), "{flat}");
    }

    #[test]
    fn what_is_rare_is_there() {
        let owners = Shared::read(COMMON, &[]).owners;
        for rare in RARE {
            assert!(owners.contains_key(rare), "{rare}");
        }
    }

    fn indentation(line: &str) -> usize {
        line.len() - line.trim_start().len()
    }

    /// A name that is used and not defined would be an error when the script runs, and one that is defined behind its use or
    /// within another function too.
    #[test]
    fn whatever_a_script_names_of_the_shared_is_in_it_before() {
        for script in Script::ALL {
            let lines: Vec<&str> = TEXTS[script as usize].lines().collect();
            for name in Shared::read(COMMON, RARE).owners.into_keys() {
                let names = |line: &&str| words_of(line).any(|word| word == name);
                let Some(first) = lines.iter().position(names) else {
                    continue;
                };
                let line = lines[first];
                let is_defined = line.trim_start().starts_with("local ") && line.contains(name);
                assert!(is_defined, "{script:?}: {name} in {line}");
                let behind = &lines[first + 1..];
                let ends = |line: &&str| indentation(line) < indentation(lines[first]);
                let end = behind.iter().position(ends).unwrap_or(behind.len());
                let outside = behind[end..].iter().find(|line| names(line));
                assert_eq!(outside, None, "{script:?}: {name}");
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
