//! Paths to rules: static segments win over parameters, parameters over catch-alls.

mod path;

#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use path::Path;
pub use path::PathError;
pub(super) use path::Rank;

use super::PathSpelling;

/// Path patterns with a value each, on matchit's radix tree.
#[derive(Clone, Debug)]
pub struct Matcher<T> {
    rules: Vec<Rule<T>>,
    /// Indexes into `rules`. matchit refuses some paths beside each other that are not ambiguous, such
    /// as `/{id}` and `/{*rest}`; each path is in the first tree that takes it.
    shared: Vec<matchit::Router<usize>>,
    /// One path each: those with text around a parameter, as in `/img-{id}.png`. In a tree with others
    /// they hide some from matchit's backtracking.
    single: Vec<matchit::Router<usize>>,
    /// Which spellings of a path are one.
    spelling: PathSpelling,
}

#[derive(Clone, Debug)]
struct Rule<T> {
    path: Path,
    value: T,
}

/// Parameter names and raw values, in the order of the path; few, and made for each request.
pub type Params<'m, 'p> = SmallVec<[(&'m str, &'p str); 4]>;

/// A path's rule and its parameters.
#[derive(Clone, Debug)]
pub struct Matched<'m, 'p, T> {
    /// The rule's value.
    pub value: &'m T,
    /// The path's parameters.
    pub params: Params<'m, 'p>,
}

/// The paths of a `[[group]]`.
#[derive(Clone, Debug)]
pub struct PathGroup(Path);

impl PathGroup {
    /// All that `path` matches.
    pub fn parse(path: &str) -> Result<PathGroup, PathError> {
        Path::parse(path).map(PathGroup)
    }

    /// Whether every request that the route of this path matches belongs to it.
    pub fn holds(&self, route: &str) -> bool {
        Path::parse(route).is_ok_and(|route| self.0.contains(&route))
    }

    /// Whether it is the narrower of two that hold one route.
    pub fn is_within(&self, other: &PathGroup) -> bool {
        other.0.contains(&self.0)
    }
}

impl<T> Default for Matcher<T> {
    fn default() -> Self {
        Matcher {
            rules: Vec::new(),
            shared: Vec::new(),
            single: Vec::new(),
            spelling: PathSpelling::default(),
        }
    }
}

impl<T> Matcher<T> {
    /// A matcher without paths to which these spellings are one.
    pub fn of(spelling: PathSpelling) -> Matcher<T> {
        Matcher {
            spelling,
            ..Matcher::default()
        }
    }

    /// Adds a path; an ambiguous one (it and an earlier one match the same paths) is an error.
    pub fn insert(&mut self, path: &str, value: T) -> Result<(), PathError> {
        // A rule for `/feed.json` is one for all spellings of that.
        let path = self.spelling.trimmed(path);
        let path = match self.spelling.ignore_case {
            true => Path::parse(&path::fold(path))?,
            false => Path::parse(path)?,
        };
        if let Some(earlier) = self
            .rules
            .iter()
            .find(|rule| path.is_ambiguous_with(&rule.path))
        {
            return Err(PathError::Ambiguous {
                path: path.text().to_owned(),
                earlier: earlier.path.text().to_owned(),
            });
        }
        self.add_to_tree(&path)?;
        self.rules.push(Rule { path, value });
        Ok(())
    }

    fn add_to_tree(&mut self, path: &Path) -> Result<(), PathError> {
        let index = self.rules.len();
        if !path.has_affixes() {
            for tree in &mut self.shared {
                if tree.insert(path.text(), index).is_ok() {
                    return Ok(());
                }
            }
        }
        let mut tree = matchit::Router::new();
        tree.insert(path.text(), index)
            .map_err(|error| PathError::Refused {
                path: path.text().to_owned(),
                reason: error.to_string(),
            })?;
        match path.has_affixes() {
            true => self.single.push(tree),
            false => self.shared.push(tree),
        }
        Ok(())
    }

    /// The most specific rule that matches a path as received, not percent-decoded; `None` if none does.
    /// Segment by segment, static text wins over a parameter and that over a catch-all.
    pub fn at<'m, 'p>(&'m self, path: &'p str) -> Option<Matched<'m, 'p, T>> {
        let trimmed = self.spelling.trimmed(path);
        let mut found = self.find(trimmed);
        if trimmed.len() < path.len()
            && let Some(exact) = self.find(path)
            && found.as_ref().is_none_or(|found| exact.is_above(found))
        {
            // A rule for `/feed.json` itself.
            found = Some(exact);
        }
        found.map(|found| Matched {
            value: &found.rule.value,
            params: found.params,
        })
    }

    fn find<'m, 'p>(&'m self, path: &'p str) -> Option<Found<'m, 'p, T>> {
        if !self.spelling.ignore_case || !path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find_as_it_is(path);
        }
        let folded = path.to_ascii_lowercase();
        let found = self.find_as_it_is(&folded)?;
        let as_received = |value: &str| {
            let start = value.as_ptr().addr() - folded.as_ptr().addr();
            &path[start..start + value.len()]
        };
        let params = found.params.iter();
        Some(Found {
            rule: found.rule,
            params: params
                .map(|(name, value)| (*name, as_received(value)))
                .collect(),
        })
    }

    fn find_as_it_is<'m, 'p>(&'m self, path: &'p str) -> Option<Found<'m, 'p, T>> {
        self.shared
            .iter()
            .chain(&self.single)
            .filter_map(|tree| tree.at(path).ok())
            .map(|found| (&self.rules[*found.value], found))
            .max_by(|(a, _), (b, _)| a.path.specificity().cmp(b.path.specificity()))
            .map(|(rule, found)| {
                let mut params = Params::new();
                for (name, (_, value)) in rule.path.params().iter().zip(found.params.iter()) {
                    params.push((name.as_str(), value));
                }
                Found { rule, params }
            })
    }
}

/// A rule that matches, with what its parameters do.
struct Found<'m, 'p, T> {
    rule: &'m Rule<T>,
    params: Params<'m, 'p>,
}

impl<T> Found<'_, '_, T> {
    fn is_above(&self, other: &Found<'_, '_, T>) -> bool {
        let (own, other) = (&self.rule.path, &other.rule.path);
        own.specificity().gt(other.specificity())
    }
}

/// The parameter names of a rule's path, in order; none if the path is not valid.
pub fn param_names(path: &str) -> Vec<String> {
    Path::parse(path).map_or_else(|_| Vec::new(), |path| path.params().to_vec())
}

/// How specific each segment of a rule's path is; none if the path is not valid.
pub(super) fn ranks_of(path: &str) -> Vec<Rank> {
    Path::parse(path).map_or_else(|_| Vec::new(), |path| path.specificity().collect())
}
