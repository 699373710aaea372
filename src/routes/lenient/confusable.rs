//! Rules that apps may take for each other, for whoever reads a config.

use super::LenientMatcher;
use super::readings::segments;
use crate::routes::matcher::Matcher;

/// Two rules that an app may take for one where Pannier does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Confusable {
    /// The rule that paths fall under as they are received, as an index.
    pub taken: usize,
    /// The one that they may be meant for.
    pub meant: usize,
    /// Which paths.
    pub paths: ConfusablePaths,
}

/// Paths that may be meant for another rule than the one that they fall under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfusablePaths {
    /// Other spellings of that rule's path.
    Spellings,
    /// What is below that rule's path.
    Below,
}

/// The pairs of rules that `lenient` and `strict` are of; with the paths as the config has them.
pub(in crate::routes) fn find_confusable(
    paths: &[(usize, &str)],
    strict: &Matcher<usize>,
    lenient: &LenientMatcher,
) -> Vec<Confusable> {
    let mut pairs = Vec::new();
    let mut add = |spelled: &str, meant: usize, paths| {
        let taken = strict.at(spelled).map(|matched| *matched.value);
        let taken = taken.filter(|_| lenient.find_other(spelled, taken) == Some(meant));
        let pair = taken.map(|taken| Confusable {
            taken,
            meant,
            paths,
        });
        pairs.extend(pair);
    };
    for (meant, path) in paths {
        let fixed: Vec<String> = segments(path).map(fix).collect();
        let texts = segments(path).enumerate();
        let odd = texts.filter(|(_, text)| !text.is_empty() && !text.contains('{'));
        for (at, text) in odd {
            let mut spelled = fixed.clone();
            spelled[at] = format!("{}.", text.to_uppercase());
            let spelled = format!("/{}", spelled.join("/"));
            add(&spelled, *meant, ConfusablePaths::Spellings);
        }
        let path = format!("/{}", fixed.join("/"));
        let toggled = path.strip_suffix('/').map(str::to_owned);
        let toggled = toggled.unwrap_or_else(|| format!("{path}/"));
        add(&toggled, *meant, ConfusablePaths::Spellings);
    }
    let path_of = |index| paths.iter().find(|(of, _)| *of == index);
    for (lower, upper) in lenient.below_persons() {
        if let (Some((_, lower)), Some((meant, upper))) = (path_of(lower), path_of(upper)) {
            let below = path_below(lower, upper.trim_end_matches('/'));
            // Rules of longer paths may be for the first of these.
            let longer = std::iter::successors(Some(below), |path| Some(format!("{path}/x")));
            longer
                .take(4)
                .for_each(|path| add(&path, *meant, ConfusablePaths::Below));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// A text that the segment of a rule is for.
fn fix(segment: &str) -> String {
    match segment.contains('{') {
        true => "x".to_owned(),
        false => segment.to_owned(),
    }
}

/// A path of the rule `lower` that begins as those of `upper` do.
fn path_below(lower: &str, upper: &str) -> String {
    let mut lower = segments(lower);
    let begin = segments(upper).map(|upper| match (lower.next(), upper.contains('{')) {
        (Some(lower), true) => fix(lower),
        _ => fix(upper),
    });
    let mut path: Vec<String> = begin.collect();
    path.extend(lower.map(fix));
    if path.len() == segments(upper).count() {
        path.push("x".to_owned());
    }
    format!("/{}", path.join("/"))
}
