//! What is legal, and nearly always a slip: it does nothing, or all.

use super::rules::Written;
use super::{Input, machine};
use crate::config::problem::{Position, Problems};
use crate::config::read::Reader;
use crate::config::{Memory, PurgeRule, show_size};

/// Warns of what probably was not meant.
pub(super) fn warn_of_mistakes(
    input: &Input<'_>,
    memory: &Memory,
    purges: &[Written<PurgeRule>],
    problems: &mut Problems,
) {
    warn_of_memory_beyond(&mut input.reader("memory", problems), memory);
    warn_of_idle_budget(input, problems);
    for purge in purges {
        warn_of_purging_all(purge, problems);
    }
}

/// What to write in place of a path with a `*`; `None`: it has none outside of braces.
pub(super) fn without_star(path: &str) -> Option<String> {
    let is_star = |segment: &str| !segment.contains('{') && segment.contains('*');
    let at = path.split('/').position(is_star)?;
    let last = path.split('/').count() - 1;
    let segments = path
        .split('/')
        .enumerate()
        .map(|(place, segment)| match segment {
            _ if place != at => segment.to_owned(),
            "*" | "**" if at == last => "{*rest}".to_owned(),
            "*" | "**" => "{name}".to_owned(),
            _ => segment.replacen('*', "{name}", 1),
        });
    let path: Vec<String> = segments.collect();
    let path = path.join("/");
    Some(match at == last && path.ends_with("{*rest}") {
        true => format!("write \"{path}\" for all below it, or a {{name}} for one segment"),
        false => format!("write \"{path}\", with a name of your own for the parameter"),
    })
}

fn warn_of_memory_beyond(reader: &mut Reader<'_>, memory: &Memory) {
    if let Some((there, whose)) = machine::memory().filter(|(there, _)| memory.max > *there) {
        let what = format!(
            "it is more than the {} of {whose}: the process will be ended for want of memory before it is full",
            show_size(there)
        );
        reader.warn("max", what, "write about half of that at most");
    }
}

fn warn_of_idle_budget(input: &Input<'_>, problems: &mut Problems) {
    let Some(table) = input.document.table("budget") else {
        return;
    };
    if input.document.table("redis").is_none() {
        problems.warning(
            table.position.clone(),
            "budget",
            "it changes nothing, as there is no [redis] table whose use it would bound",
            "add [redis], or leave [budget] out; memory.max bounds what this process keeps",
        );
    }
}

fn warn_of_purging_all(purge: &Written<PurgeRule>, problems: &mut Problems) {
    let warn = |position: &Position, key: &str, problems: &mut Problems| {
        let what = format!(
            "each write that {} matches purges all that is stored, for every sidecar of the namespace",
            purge.rule.name
        );
        let remedy =
            "name what the write makes stale, such as \"product:{path.id}\" or \"product:*\"";
        problems.warning(position.clone(), key, what, remedy);
    };
    let is_all = |text: &String| text.bytes().all(|byte| byte == b'*');
    for (position, text) in purge.keys.iter().zip(&purge.rule.keys_text) {
        if is_all(text) {
            warn(position, "purge.keys", problems);
        }
    }
    for (position, text) in purge.tags.iter().zip(&purge.rule.tags_text) {
        if is_all(text) {
            warn(position, "purge.tags", problems);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_in_paths() {
        let rows = [
            ("/a/*", Some("\"/a/{*rest}\"")),
            ("/a/**", Some("\"/a/{*rest}\"")),
            ("/a/*/b", Some("\"/a/{name}/b\"")),
            ("/img/*.png", Some("\"/img/{name}.png\"")),
            ("/*", Some("\"/{*rest}\"")),
            ("/a/{*rest}", None),
            ("/a/{id}", None),
        ];
        for (path, expected) in rows {
            let remedy = without_star(path);
            match expected {
                Some(expected) => {
                    let remedy = remedy.expect(path);
                    assert!(remedy.contains(expected), "{path}: {remedy}");
                }
                None => assert_eq!(remedy, None, "{path}"),
            }
        }
    }
}
