//! Which jobs wait for which: no circles, and only jobs that there are.

use std::collections::BTreeMap;

/// Why the jobs cannot wait for each other so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// No such job.
    #[error("there is no job \"{0}\"")]
    Unknown(String),
    /// It waits for itself, by way of these.
    #[error("it would wait for itself: {}", .0.join(" after "))]
    Circle(Vec<String>),
}

/// What is wrong with each job's `after`, by the job's place. `jobs`: names with the names that they wait for.
pub fn check_graph(jobs: &[(&str, &[String])]) -> Vec<(usize, GraphError)> {
    let after: BTreeMap<&str, &[String]> = jobs.iter().copied().collect();
    let mut errors = Vec::new();
    for (place, (name, waits_for)) in jobs.iter().enumerate() {
        let unknown = waits_for
            .iter()
            .find(|other| !after.contains_key(other.as_str()));
        if let Some(unknown) = unknown {
            errors.push((place, GraphError::Unknown(unknown.clone())));
        } else if let Some(circle) = circle_from(name, &after) {
            errors.push((place, GraphError::Circle(circle)));
        }
    }
    errors
}

/// A way from `name` back to it.
fn circle_from(name: &str, after: &BTreeMap<&str, &[String]>) -> Option<Vec<String>> {
    let mut ways = vec![vec![name.to_owned()]];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        for next in after.get(last.as_str()).copied().unwrap_or_default() {
            let mut longer = way.clone();
            longer.push(next.clone());
            if next == name {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_and_unknown_names_are_found() {
        let texts = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let [none, a, b, ab, x] = [&[][..], &["a"], &["b"], &["a", "b"], &["x"]].map(texts);
        assert_eq!(check_graph(&[("a", &none), ("b", &a), ("c", &ab)]), []);
        assert_eq!(
            check_graph(&[("a", &x)]),
            [(0, GraphError::Unknown("x".to_owned()))]
        );
        let own = GraphError::Circle(texts(&["a", "a"]));
        assert_eq!(check_graph(&[("a", &a)]), [(0, own)]);
        let found = check_graph(&[("a", &b), ("b", &a), ("c", &a)]);
        let circles = [texts(&["a", "b", "a"]), texts(&["b", "a", "b"])].map(GraphError::Circle);
        assert_eq!(
            found,
            [(0, circles[0].clone()), (1, circles[1].clone())],
            "c is in no circle"
        );
        assert_eq!(
            circles[0].to_string(),
            "it would wait for itself: a after b after a"
        );
    }
}
