//! Which route is for a path and a method: two routes of one path may answer different methods.

use http::Method;

use super::lenient::{self, Audience, Confusable, LenientMatcher};
use super::matcher::{Matched, Matcher, PathError};
use super::spelling::PathSpelling;

/// The routes of a config, as indexes, by method and path.
#[derive(Clone, Debug)]
pub struct RouteMatcher {
    /// GET and HEAD.
    get: OfMethod,
    post: OfMethod,
    query: OfMethod,
}

/// The routes that answer one method.
#[derive(Clone, Debug)]
struct OfMethod {
    strict: Matcher<usize>,
    /// What more lenient readings of a path fall under.
    lenient: LenientMatcher,
}

impl RouteMatcher {
    /// Without routes; these spellings of a path are one.
    pub fn of(spelling: &PathSpelling) -> RouteMatcher {
        let of_method = || OfMethod {
            strict: Matcher::of(spelling.clone()),
            lenient: LenientMatcher::default(),
        };
        RouteMatcher {
            get: of_method(),
            post: of_method(),
            query: of_method(),
        }
    }

    /// Adds a route for some of GET (HEAD with it), POST and QUERY; one of the same paths and method as an
    /// earlier one is an error.
    pub fn insert(
        &mut self,
        path: &str,
        methods: &[Method],
        index: usize,
    ) -> Result<(), PathError> {
        for method in methods {
            let of_method = match *method {
                Method::POST => &mut self.post,
                Method::QUERY => &mut self.query,
                _ => &mut self.get,
            };
            of_method.strict.insert(path, index)?;
            of_method.lenient.insert(path, index);
        }
        Ok(())
    }

    /// Says among whom the answers of route `index` are shared.
    pub fn set_audience(&mut self, index: usize, audience: Audience) {
        for of_method in [&mut self.get, &mut self.post, &mut self.query] {
            of_method.lenient.set_audience(index, audience);
        }
    }

    /// The route of a path that answers `method`, or else the one that answers GET.
    pub fn at<'m, 'p>(&'m self, method: &Method, path: &'p str) -> Option<Matched<'m, 'p, usize>> {
        let of_body = match *method {
            Method::POST => self.post.strict.at(path),
            Method::QUERY => self.query.strict.at(path),
            _ => None,
        };
        of_body.or_else(|| self.get.strict.at(path))
    }

    /// The routes of a path that answer POST or QUERY, each once.
    pub fn reading_bodies<'m, 'p>(
        &'m self,
        path: &'p str,
    ) -> impl Iterator<Item = Matched<'m, 'p, usize>> {
        let post = self.post.strict.at(path);
        let first = post.as_ref().map(|found| *found.value);
        let query = self.query.strict.at(path);
        let query = query.filter(|found| first != Some(*found.value));
        post.into_iter().chain(query)
    }

    /// A route of this method other than `strict`, the one of the path as received, that the path falls under in
    /// a more lenient reading, or one for a person that is for its beginning; `None`: there is no doubt.
    pub fn find_other(&self, method: &Method, path: &str, strict: Option<usize>) -> Option<usize> {
        let of_method = match *method {
            Method::POST => &self.post,
            Method::QUERY => &self.query,
            _ => &self.get,
        };
        of_method.lenient.find_other(path, strict)
    }

    /// Pairs of routes that answer GET and that [`RouteMatcher::find_other`] keeps apart; with the paths of those routes.
    pub fn find_confusable(&self, paths: &[(usize, &str)]) -> Vec<Confusable> {
        lenient::find_confusable(paths, &self.get.strict, &self.get.lenient)
    }

    /// The routes that answer GET.
    pub fn of_get(&self) -> &Matcher<usize> {
        &self.get.strict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_route_for_each_method() {
        let mut matcher = RouteMatcher::of(&PathSpelling::default());
        let routes: [(&str, &[Method]); 4] = [
            ("/search", &[Method::GET]),
            ("/search", &[Method::POST, Method::QUERY]),
            ("/graphql", &[Method::POST]),
            ("/{any}", &[Method::GET, Method::QUERY]),
        ];
        for (index, (path, methods)) in routes.iter().enumerate() {
            matcher.insert(path, methods, index).expect("a route");
        }
        let rows = [
            (Method::GET, "/search", Some(0)),
            (Method::HEAD, "/search", Some(0)),
            (Method::PUT, "/search", Some(0)),
            (Method::POST, "/search", Some(1)),
            (Method::QUERY, "/search", Some(1)),
            (Method::POST, "/graphql", Some(2)),
            (Method::GET, "/graphql", Some(3)),
            (Method::POST, "/other", Some(3)),
            (Method::QUERY, "/other", Some(3)),
            (Method::QUERY, "/a/b", None),
        ];
        for (method, path, expected) in rows {
            let found = matcher.at(&method, path).map(|found| *found.value);
            assert_eq!(found, expected, "{method} {path}");
        }
        let reading = |path| {
            let found = matcher.reading_bodies(path).map(|found| *found.value);
            found.collect::<Vec<_>>()
        };
        assert_eq!(reading("/search"), [1]);
        assert_eq!(reading("/graphql"), [2, 3]);
        assert!(matcher.insert("/search", &[Method::QUERY], 4).is_err());
        assert_eq!(matcher.find_other(&Method::POST, "/GRAPHQL", None), Some(2));
        assert_eq!(matcher.find_other(&Method::POST, "/graphql", Some(2)), None);
    }
}
