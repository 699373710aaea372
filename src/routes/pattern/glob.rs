//! Matching without backtracking over what was already decided.
//!
//! `*` cuts a pattern into stretches of literals with open values between. A stretch may be placed as
//! early as it fits: an earlier end never leaves less room for the rest. Inside a stretch the same
//! holds for each literal, because an open value never crosses a `:`.

use super::Part;

pub(super) fn matches(parts: &[Part], key: &str) -> bool {
    let mut stretches = parts.split(|part| *part == Part::AnyRun);
    let first = stretches.next().unwrap_or_default();
    let Some(last) = stretches.next_back() else {
        return matches_whole(first, key);
    };
    let Some(rest) = strip_front(first, key) else {
        return false;
    };
    let Some(mut rest) = strip_back(last, rest) else {
        return false;
    };
    for stretch in stretches {
        match find(stretch, rest) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    true
}

/// A pattern without `*`.
fn matches_whole(stretch: &[Part], key: &str) -> bool {
    match stretch {
        [.., Part::Literal(last)] if stretch.len() > 1 => key
            .strip_suffix(last.as_str())
            .is_some_and(|key| matches_whole(&stretch[..stretch.len() - 1], key)),
        [before @ .., Part::AnyValue] => {
            strip_front(before, key).is_some_and(|rest| !rest.contains(':'))
        }
        _ => strip_front(stretch, key) == Some(""),
    }
}

/// What is left of `key` behind the earliest end of `stretch` at its front.
fn strip_front<'k>(stretch: &[Part], key: &'k str) -> Option<&'k str> {
    let mut rest = key;
    let mut open = false;
    for part in stretch {
        match part {
            Part::Literal(literal) if open => {
                let at = find_in_value(literal, rest)?;
                rest = &rest[at + literal.len()..];
                open = false;
            }
            Part::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Part::AnyValue | Part::AnyRun => open = true,
        }
    }
    Some(rest)
}

/// The first place of `literal` with no `:` before it.
fn find_in_value(literal: &str, text: &str) -> Option<usize> {
    let colon = text.find(':').unwrap_or(text.len());
    let mut end = (colon + literal.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].find(literal)
}

/// What is left of `key` before the latest start of `stretch` at its back.
fn strip_back<'k>(stretch: &[Part], key: &'k str) -> Option<&'k str> {
    let mut rest = key;
    let mut open = false;
    for part in stretch.iter().rev() {
        match part {
            Part::Literal(literal) if open => {
                let at = rfind_in_value(literal, rest)?;
                rest = &rest[..at];
                open = false;
            }
            Part::Literal(literal) => rest = rest.strip_suffix(literal.as_str())?,
            Part::AnyValue | Part::AnyRun => open = true,
        }
    }
    Some(rest)
}

/// The last place of `literal` with no `:` behind it.
fn rfind_in_value(literal: &str, text: &str) -> Option<usize> {
    let value = text.rfind(':').map_or(0, |colon| colon + 1);
    let mut start = value.saturating_sub(literal.len());
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].rfind(literal).map(|at| start + at)
}

/// What is left of `text` behind the first place of `stretch`, which begins with a literal (`*`
/// swallows the open values beside it).
fn find<'k>(stretch: &[Part], text: &'k str) -> Option<&'k str> {
    let Some(Part::Literal(first)) = stretch.first() else {
        return Some(text);
    };
    let mut rest = text;
    loop {
        rest = &rest[rest.find(first.as_str())?..];
        if let Some(behind) = strip_front(stretch, rest) {
            return Some(behind);
        }
        // An open value ran into a `:`. It will again, unless the stretch takes in one `:` fewer at
        // its start; so each `:` is met at most once per `:` in the pattern.
        rest = &rest[rest.find(':')? + 1..];
    }
}
