//! The walls within a room: no circle of files, and rooms within it in order.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, tokens};

/// The rooms of `proxy`, lowest first; `""` is `proxy` itself.
const PROXY: &[&str] = &[
    "access_log",
    "hop_by_hop",
    "interim",
    "request",
    "obstacles",
    "outcome",
    "forward",
    "wants",
    "cache",
    "refresh",
    "unsent",
    "write",
    "worker",
    "",
];

/// Which files each file uses, by module.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Rooms whose files go in no circle.
const TIDY: &[&str] = &["proxy", "store"];

#[test]
fn no_files_go_in_a_circle() {
    let arrows = arrows(&Source::all());
    for room in TIDY {
        let within = within(room, &arrows);
        assert!(within.len() > 15, "{room}: only {} files", within.len());
        let circle = circle(&within);
        assert!(
            circle.is_none(),
            "in a circle: {}",
            circle.unwrap_or_default().join(" → ")
        );
    }
}

#[test]
fn rooms_of_the_proxy_use_only_those_below() {
    let mut faults = Vec::new();
    for (user, used) in within("proxy", &arrows(&Source::all())) {
        for used in used {
            if height(&used) > height(&user) {
                faults.push(format!("src/{user}.rs uses {used}, which is above it"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn height(module: &str) -> usize {
    let room = module.split('/').nth(1).unwrap_or_default();
    let place = PROXY.iter().position(|name| *name == room);
    place.unwrap_or_else(|| panic!("{module} is in no room of the proxy: add it to the list"))
}

fn within(room: &str, arrows: &Arrows) -> Arrows {
    let is_within = |module: &String| {
        let rest = module.strip_prefix(room);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let files = arrows.iter().filter(|(user, _)| is_within(user));
    files
        .map(|(user, used)| {
            let used = used.iter().filter(|used| is_within(used)).cloned();
            (user.clone(), used.collect())
        })
        .collect()
}

fn arrows(sources: &[Source]) -> Arrows {
    let modules: BTreeSet<&str> = sources
        .iter()
        .map(|source| source.module.as_str())
        .collect();
    let used = |source: &Source| (source.module.clone(), files_used(source, &modules));
    sources.iter().map(used).collect()
}

/// The files that a source names by a path from `crate`, `super`, `self` or a module of its own.
fn files_used(source: &Source, modules: &BTreeSet<&str>) -> BTreeSet<String> {
    let tokens = tokens(&source.text);
    let mut used = BTreeSet::new();
    for at in 0..tokens.len() {
        let begins = tokens.get(at + 1) == Some(&"::") && (at == 0 || tokens[at - 1] != "::");
        // `pub(in crate::room)` uses nothing.
        let is_visibility = tokens[..at].ends_with(&["(", "in"]);
        if !begins || is_visibility {
            continue;
        }
        let mut base: Vec<&str> = source.module.split('/').collect();
        match tokens[at] {
            "crate" => base.clear(),
            "super" => _ = base.pop(),
            "self" => {}
            child if modules.contains(format!("{}/{child}", source.module).as_str()) => {
                base.push(child);
            }
            _ => continue,
        }
        collect(&tokens[at + 2..], &base, modules, &mut used);
    }
    used.remove(&source.module);
    used
}

/// Adds the files of the paths that go on with `tokens` behind `base`; returns how many tokens they are.
fn collect(
    tokens: &[&str],
    base: &[&str],
    modules: &BTreeSet<&str>,
    used: &mut BTreeSet<String>,
) -> usize {
    match tokens.first() {
        Some(&"{") => {
            let mut at = 1;
            while at < tokens.len() && tokens[at] != "}" {
                match tokens[at] {
                    "," => at += 1,
                    _ => at += collect(&tokens[at..], base, modules, used),
                }
            }
            at + 1
        }
        Some(name) => {
            let mut path = base.to_vec();
            match *name {
                "super" => _ = path.pop(),
                "self" => {}
                name => path.push(name),
            }
            if tokens.get(1) == Some(&"::") {
                return 2 + collect(&tokens[2..], &path, modules, used);
            }
            used.extend(file_of(&path, modules));
            // A renamed item stands behind `as`.
            if tokens.get(1) == Some(&"as") { 3 } else { 1 }
        }
        None => 0,
    }
}

/// The file that a path leads into: its longest beginning that is one.
fn file_of(path: &[&str], modules: &BTreeSet<&str>) -> Option<String> {
    let beginnings = (1..=path.len())
        .rev()
        .map(|length| path[..length].join("/"));
    beginnings
        .into_iter()
        .find(|path| modules.contains(path.as_str()))
}

/// The files of a circle, if there is one, the first again at its end.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    arrows
        .keys()
        .find_map(|start| visit(start, arrows, &mut Vec::new(), &mut done))
}

fn visit(
    file: &str,
    arrows: &Arrows,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(first) = path.iter().position(|on_path| on_path == file) {
        let mut circle = path[first..].to_vec();
        circle.push(file.to_owned());
        return Some(circle);
    }
    if !done.insert(file.to_owned()) {
        return None;
    }
    path.push(file.to_owned());
    let used = arrows.get(file).into_iter().flatten();
    let found = used
        .into_iter()
        .find_map(|used| visit(used, arrows, path, done));
    path.pop();
    found
}

#[test]
fn the_checks_can_fail() {
    let source = |module: &str, text: &str| Source {
        module: module.to_owned(),
        text: text.to_owned(),
    };
    let sources = [
        source(
            "room",
            "mod a; mod b; pub use a::{A, deep::D}; fn f() { b::g() }",
        ),
        source("room/a", "use super::b::B; use crate::other::O as P;"),
        source(
            "room/a/deep",
            "use crate::room::{self, a}; // super::super::b",
        ),
        source(
            "room/b",
            "use super::{a::{A, deep}, c}; pub(in crate::other::x) fn f() {}",
        ),
        source("other", "#[cfg(test)] mod tests { use crate::room::a; }"),
    ];
    let arrows = arrows(&sources);
    let used = |module: &str| {
        arrows[module]
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(used("room"), ["room/a", "room/a/deep", "room/b"]);
    assert_eq!(used("room/a"), ["other", "room/b"]);
    assert_eq!(used("room/a/deep"), ["room", "room/a"]);
    assert_eq!(used("room/b"), ["room", "room/a", "room/a/deep"]);
    assert_eq!(used("other"), [""; 0]);
    let circle = circle(&within("room", &arrows)).expect("a circle");
    assert_eq!(circle.first(), circle.last(), "{circle:?}");
    assert!(height("proxy/cache/look") > height("proxy/request/plan"));
    assert!(height("proxy") > height("proxy/worker"));
}
