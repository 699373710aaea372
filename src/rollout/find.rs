//! What the evidence shows, in words, with the rule to paste.

use serde::Serialize;

use super::evidence::{Kind, RuleEvidence, Tally, Verdict};

/// The rule that reads, as its findings name it.
#[derive(Clone, Debug)]
pub struct Read {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its key, as written; `None`: the whole target, as where none is written.
    pub key: Option<String>,
}

impl Read {
    /// Of a rule with this key, as written or as the default is.
    pub fn new(name: &str, path: &str, key: &str) -> Read {
        Read {
            name: name.to_owned(),
            path: path.to_owned(),
            key: (!key.starts_with("{host}")).then(|| key.to_owned()),
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In words.
    pub what: String,
    /// What to add to the file, or what else helps.
    pub rule: String,
}

/// All that is found of a rule.
fn findings(read: &Read, evidence: &RuleEvidence) -> Vec<Finding> {
    let suspects = evidence.suspects(3).into_iter();
    let mut found: Vec<Finding> = suspects
        .map(|(kind, tally)| missing_purge(read, kind, tally))
        .collect();
    if evidence.unexplained > 0 {
        found.push(unexplained(read, evidence));
    }
    found
}

/// After this kind of writes what is read has changed, and nothing was purged.
pub fn missing_purge(read: &Read, kind: &Kind, tally: Tally) -> Finding {
    let (changed, looks) = (tally.changed, tally.changed + tally.unchanged);
    let what = format!(
        "`GET {}` changed after `{} {}`, {changed} times of {looks}: no purge rule covers it",
        read.path, kind.method, kind.shape
    );
    Finding {
        what,
        rule: purge_rule(read, kind),
    }
}

fn purge_rule(read: &Read, kind: &Kind) -> String {
    let (path, covers) = match &read.key {
        Some(key) => {
            let variable = shared_variable(key, kind);
            let path = match &variable {
                Some(name) => kind.shape.replacen("{id}", &format!("{{{name}}}"), 1),
                None => number_ids(&kind.shape),
            };
            let key = to_pattern(key, variable.as_deref());
            (path, format!("keys = [\"{key}\"]"))
        }
        None => (
            number_ids(&kind.shape),
            format!(
                "tags = [\"{0}\"]   # with tags = [\"{0}\"] in the [[route]]",
                read.name
            ),
        ),
    };
    format!(
        "[[purge]]\npath = \"{path}\"\nmethods = [\"{}\"]\n{covers}\n",
        kind.method
    )
}

/// The one variable of the read's path in its key that the write's path has too.
fn shared_variable(key: &str, kind: &Kind) -> Option<String> {
    if !kind.shares_id || kind.shape.matches("{id}").count() != 1 {
        return None;
    }
    let mut variables = variables(key).filter_map(|name| name.strip_prefix("path."));
    match (variables.next(), variables.next()) {
        (Some(name), None) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            Some(name.to_owned())
        }
        _ => None,
    }
}

/// The key with `*` for each variable but this one.
fn to_pattern(key: &str, kept: Option<&str>) -> String {
    let mut pattern = String::new();
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        pattern.push_str(before);
        match kept {
            Some(kept) if name.strip_prefix("path.") == Some(kept) => {
                pattern.push_str(&format!("{{{name}}}"));
            }
            _ if pattern.ends_with('*') => {}
            _ => pattern.push('*'),
        }
        rest = behind;
    }
    pattern + rest
}

fn variables(key: &str) -> impl Iterator<Item = &str> {
    let parts = key.split('{').skip(1);
    parts.filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

/// A path names each of its parts once.
fn number_ids(shape: &str) -> String {
    let mut parts = shape.split("{id}");
    let mut path = parts.next().unwrap_or_default().to_owned();
    for (n, part) in parts.enumerate() {
        match n {
            0 => path.push_str("{id}"),
            _ => path.push_str(&format!("{{id{}}}", n + 1)),
        }
        path.push_str(part);
    }
    path
}

fn unexplained(read: &Read, evidence: &RuleEvidence) -> Finding {
    let mut pointers: Vec<(&String, &u64)> = evidence.pointers.iter().collect();
    pointers.sort_by(|(_, one), (_, other)| other.cmp(one));
    let names = pointers.iter().take(5).map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.collect();
    let ignorable: Vec<String> = names
        .iter()
        .filter(|name| name.starts_with('/'))
        .map(|name| format!("\"{name}\""))
        .collect();
    let longest = evidence.longest_ms.div_ceil(1000);
    let what = format!(
        "`GET {}` changed {} times of {} with no write in between that this sidecar saw, in {}",
        read.path,
        evidence.unexplained,
        evidence.changes,
        names.join(", ")
    );
    let ignore = match ignorable.is_empty() {
        true => String::new(),
        false => format!(
            "; or, if that may differ, ignore_fields = [{}]",
            ignorable.join(", ")
        ),
    };
    Finding {
        what,
        rule: format!(
            "the app changes it by itself, or is written to by another way: a ttl for which that may be old ({longest} s were \
             seen), a purge from where it changes (POST /purge){ignore}"
        ),
    }
}

/// What `GET /shadow` says of a rule.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// Requests that the cache could have answered, or hits that were compared.
    pub hits: u64,
    /// Of those, answered as the app does.
    pub same: u64,
    /// And otherwise.
    pub stale: u64,
    /// Requests for which nothing was stored.
    pub misses: u64,
    /// Requests that could not be compared.
    pub uncompared: u64,
    /// `hits` of `hits` and `misses`; null before the first.
    pub hit_rate: Option<f64>,
    /// How long stale answers may have been so: the mean.
    pub mean_stale_seconds: Option<f64>,
    /// The longest.
    pub longest_stale_seconds: f64,
    /// What differed, how often.
    pub differs_in: std::collections::BTreeMap<String, u64>,
    /// What it means.
    pub findings: Vec<Finding>,
}

/// All that is to be said of a rule.
pub fn account(read: &Read, evidence: &RuleEvidence) -> Account {
    let count = |verdict| evidence.count(verdict);
    let (same, stale) = (count(Verdict::Same), count(Verdict::Stale));
    let (hits, misses) = (same + stale, count(Verdict::Miss));
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let seconds = |millis: u64| millis as f64 / 1e3;
    Account {
        hits,
        same,
        stale,
        misses,
        uncompared: count(Verdict::Uncompared),
        hit_rate: share(hits, hits + misses).map(|rate| (rate * 1e3).round() / 1e3),
        mean_stale_seconds: share(evidence.stale_ms, stale).map(|mean| mean.round() / 1e3),
        longest_stale_seconds: seconds(evidence.longest_ms),
        differs_in: evidence.pointers.clone(),
        findings: findings(read, evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_for(key: Option<&str>, shape: &str, shares_id: bool) -> String {
        let read = Read {
            name: "user".to_owned(),
            path: "/api/users/{id}".to_owned(),
            key: key.map(str::to_owned),
        };
        let kind = Kind {
            method: "PUT".to_owned(),
            shape: shape.to_owned(),
            shares_id,
        };
        let tally = Tally {
            changed: 14,
            unchanged: 0,
        };
        let finding = missing_purge(&read, &kind, tally);
        let words = format!(
            "`GET /api/users/{{id}}` changed after `PUT {shape}`, 14 times of 14: no purge rule covers it"
        );
        assert_eq!(finding.what, words);
        finding.rule
    }

    #[test]
    fn rules_to_paste() {
        #[rustfmt::skip]
        let rows = [
            (Some("user:{path.id}"), "/api/profile", false, "/api/profile", "keys = [\"user:*\"]"),
            (Some("user:{path.id}"), "/api/profiles/{id}", true, "/api/profiles/{id}", "keys = [\"user:{path.id}\"]"),
            (Some("user:{path.user}"), "/api/profiles/{id}", true, "/api/profiles/{user}", "keys = [\"user:{path.user}\"]"),
            (Some("user:{path.id}"), "/api/profiles/{id}", false, "/api/profiles/{id}", "keys = [\"user:*\"]"),
            (Some("b:{path.id}:{query.team}"), "/api/t/{id}", true, "/api/t/{id}", "keys = [\"b:{path.id}:*\"]"),
            (Some("b:{path.a}:{path.b}"), "/api/t/{id}", true, "/api/t/{id}", "keys = [\"b:*:*\"]"),
            (Some("b:{path.id}"), "/api/{id}/t/{id}", true, "/api/{id}/t/{id2}", "keys = [\"b:*\"]"),
            (None, "/api/t", false, "/api/t", "tags = [\"user\"]   # with tags = [\"user\"] in the [[route]]"),
        ];
        for (key, shape, shares_id, path, covers) in rows {
            let expected = format!("[[purge]]\npath = \"{path}\"\nmethods = [\"PUT\"]\n{covers}\n");
            assert_eq!(rule_for(key, shape, shares_id), expected, "{key:?} {shape}");
        }
    }
}
