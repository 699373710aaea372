use super::*;
use proptest::prelude::*;

fn matcher(paths: &[&'static str]) -> Matcher<&'static str> {
    let mut matcher = Matcher::default();
    for path in paths {
        matcher.insert(path, *path).expect(path);
    }
    matcher
}

/// Text in any case; parameters as received; a suffix or a closing slash where they may be.
#[test]
fn spellings() {
    let mut matcher = Matcher::of(PathSpelling {
        ignore_case: true,
        suffixes: vec![".json".into()],
        trailing_slash: true,
    });
    for path in [
        "/Users/me",
        "/users/{Id}",
        "/users/{Id}/p-{n}.png",
        "/feed.json",
        "/{{A}}/{x}",
    ] {
        matcher.insert(path, path).expect(path);
    }
    assert!(matcher.insert("/USERS/{other}", "").is_err(), "the same");
    for (request, rule, params) in [
        ("/USERS/ME", "/Users/me", &[][..]),
        ("/users/me.json/", "/Users/me", &[]),
        ("/Users/Éa", "/users/{Id}", &[("Id", "Éa")]),
        ("/users/aB.JSON", "/users/{Id}", &[("Id", "aB")]),
        (
            "/users/aB/P-xY.PNG",
            "/users/{Id}/p-{n}.png",
            &[("Id", "aB"), ("n", "xY")],
        ),
        ("/Feed.json", "/feed.json", &[]),
        ("/feed/", "/feed.json", &[]),
        ("/{a}/B", "/{{A}}/{x}", &[("x", "B")]),
    ] {
        let found = matcher.at(request).expect(request);
        assert_eq!((*found.value, &*found.params), (rule, params), "{request}");
    }
    assert!(matcher.insert("/feed/", "").is_err(), "the same");
}

#[test]
fn the_more_specific_path_wins() {
    let paths = [
        "/",
        "/users/me",
        "/users/{id}",
        "/users/{*rest}",
        "/users/{user}/posts",
        "/users/{id}/posts/{post}",
        "/{tenant}/files/{*path}",
        "/{tenant}/files/index",
        "/{*everything}",
        "/img/img-{id}.png",
        "/img/{name}",
        "/docs/{{a}}",
        "/static/{x}/b",
        "/static/{*rest}",
    ];
    for (request, rule, params) in [
        ("/", "/", &[][..]),
        ("/users/me", "/users/me", &[]),
        ("/users/mel", "/users/{id}", &[("id", "mel")]),
        ("/users/7/posts", "/users/{user}/posts", &[("user", "7")]),
        (
            "/users/7/posts/8",
            "/users/{id}/posts/{post}",
            &[("id", "7"), ("post", "8")],
        ),
        ("/users/7/likes", "/users/{*rest}", &[("rest", "7/likes")]),
        ("/users/me/posts", "/users/{user}/posts", &[("user", "me")]),
        ("/users/", "/{*everything}", &[("everything", "users/")]),
        (
            "/acme/files/a/b",
            "/{tenant}/files/{*path}",
            &[("tenant", "acme"), ("path", "a/b")],
        ),
        (
            "/acme/files/index",
            "/{tenant}/files/index",
            &[("tenant", "acme")],
        ),
        (
            "/acme/other",
            "/{*everything}",
            &[("everything", "acme/other")],
        ),
        ("/img/img-5.png", "/img/img-{id}.png", &[("id", "5")]),
        ("/img/img-5.gif", "/img/{name}", &[("name", "img-5.gif")]),
        ("/docs/{a}", "/docs/{{a}}", &[]),
        ("/static/q/b", "/static/{x}/b", &[("x", "q")]),
        ("/static/q/c", "/static/{*rest}", &[("rest", "q/c")]),
        // A static segment goes before a parameter, whatever stands behind.
        (
            "/static/files/index",
            "/static/{*rest}",
            &[("rest", "files/index")],
        ),
        ("/users/%6De", "/users/{id}", &[("id", "%6De")]),
        (
            "/caf\u{e9}",
            "/{*everything}",
            &[("everything", "caf\u{e9}")],
        ),
    ] {
        for order in [paths.to_vec(), paths.iter().rev().copied().collect()] {
            let matcher = matcher(&order);
            let matched = matcher.at(request).expect(request);
            assert_eq!(*matched.value, rule, "{request}");
            assert_eq!(*matched.params, *params, "{request}");
        }
    }
}

#[test]
fn unmatched_paths() {
    let matcher = matcher(&["/a/{id}", "/b/{*rest}", "/c/"]);
    for request in [
        "", "/", "/a", "/a/", "/a/1/", "/A/1", "/b", "/b/", "/c", "a/1", "*",
    ] {
        assert!(matcher.at(request).is_none(), "{request}");
    }
    assert!(Matcher::<()>::default().at("/").is_none());
}

#[test]
fn ambiguous_paths_name_the_earlier() {
    for (first, second) in [
        ("/a", "/a"),
        ("/a/{id}", "/a/{name}"),
        ("/a/{id}/b", "/a/{name}/b"),
        ("/{*rest}", "/{*all}"),
        ("/x/{id}/{*rest}", "/x/{name}/{*all}"),
        ("/i/a{x}", "/i/{y}b"),
    ] {
        let mut matcher = matcher(&["/unrelated/{id}", "/z/{*rest}"]);
        matcher.insert(first, "first").expect(first);
        let error = matcher.insert(second, "second").expect_err(second);
        let expected = PathError::Ambiguous {
            path: second.to_owned(),
            earlier: first.to_owned(),
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn parameter_names_may_differ_where_paths_go_on() {
    let matcher = matcher(&["/a/{id}", "/a/{name}/x", "/a/{other}/{*rest}"]);
    for (request, params) in [
        ("/a/1", &[("id", "1")][..]),
        ("/a/1/x", &[("name", "1")]),
        ("/a/1/y", &[("other", "1"), ("rest", "y")]),
    ] {
        assert_eq!(*matcher.at(request).expect(request).params, *params);
    }
}

#[test]
fn refused_paths_say_why() {
    for (path, expected) in [
        ("", "must begin with `/`"),
        ("a", "must begin with `/`"),
        ("/caf\u{e9}", "percent-encoded"),
        ("/a b", "percent-encoded"),
        ("/a?b=1", "without a query"),
        ("/{id", "unmatched braces"),
        ("/id}", "unmatched braces"),
        ("/{{id}", "unmatched braces"),
        ("/{id}}", "unmatched braces"),
        ("/{{{id}}}", "unmatched braces"),
        ("/{}", "no parameter name"),
        ("/{*}", "no parameter name"),
        ("/{a.b}", "no parameter name"),
        ("/{a|b}", "no parameter name"),
        ("/{id}/x/{id}", "two parameters `id`"),
        ("/{a}-{b}", "more than one parameter"),
        ("/{*rest}/x", "whole last segment"),
        ("/{*rest}/", "whole last segment"),
        ("/x{*rest}", "whole last segment"),
    ] {
        let error = Matcher::default().insert(path, ()).expect_err(path);
        assert!(error.to_string().contains(expected), "{path}: {error}");
        assert_eq!(param_names(path), Vec::<String>::new());
    }
    let many: String = (0..30).map(|n| format!("/{{p{n}}}")).collect();
    let error = Matcher::default().insert(&many, ()).expect_err("too many");
    assert!(error.to_string().contains("more than 16"), "{error}");
}

#[test]
fn names_of_parameters() {
    assert_eq!(param_names("/a"), Vec::<String>::new());
    assert_eq!(
        param_names("/{id}/x-{b_1}/{{c}}/{*rest}"),
        ["id", "b_1", "rest"]
    );
}

/// One segment at a time, with no tree.
fn naive<'r>(rules: &'r [String], request: &str) -> Option<&'r str> {
    rules
        .iter()
        .map(|rule| Path::parse(rule).expect("a valid path"))
        .enumerate()
        .filter(|(_, path)| path.matches_naively(request))
        .max_by(|(_, a), (_, b)| a.specificity().cmp(b.specificity()))
        .map(|(index, _)| rules[index].as_str())
}

fn any_path() -> impl Strategy<Value = String> {
    let segment = prop_oneof!["[ab]{1,2}", "[ab]?\\{p\\}[ab]?", Just("{p}".to_owned())];
    let last = prop_oneof![
        segment.clone(),
        Just("{*p}".to_owned()),
        Just(String::new())
    ];
    (proptest::collection::vec(segment, 0..3), last).prop_map(|(segments, last)| {
        let all = segments.into_iter().chain([last]).enumerate();
        all.map(|(index, segment)| format!("/{}", segment.replace('p', &format!("p{index}"))))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_the_naive_matcher(
        paths in proptest::collection::vec(any_path(), 1..8),
        requests in proptest::collection::vec("(/[ab]{0,3}){1,4}", 1..8),
    ) {
        let mut matcher = Matcher::default();
        let paths: Vec<String> = paths
            .into_iter()
            .filter(|path| matcher.insert(path, path.clone()).is_ok())
            .collect();
        for request in &requests {
            let found = matcher.at(request).map(|matched| matched.value.as_str());
            prop_assert_eq!(found, naive(&paths, request), "{} in {:?}", request, &paths);
        }
    }
}

#[test]
fn groups_hold_whole_routes() {
    #[rustfmt::skip]
    let rows = [
        ("/api/{*rest}", "/api/users/{id}", true),
        ("/api/{*rest}", "/api/{*all}", true),
        ("/api/{*rest}", "/api", false),
        ("/api/{*rest}", "/api/", false),
        ("/api/{*rest}", "/apis/1", false),
        ("/api/{*rest}", "/{any}/users", false),
        ("/{*rest}", "/api", true),
        ("/api/{a}/b", "/api/{id}/b", true),
        ("/api/{a}/b", "/api/x/b", true),
        ("/api/{a}/b", "/api/{id}/c", false),
        ("/api/{a}/b", "/api/{id}", false),
        ("/api/{a}", "/api/{*rest}", false),
        ("/img-{id}.png", "/img-1.png", true),
        ("/img-{id}.png", "/img-.png", false),
        ("/img-{id}.png", "/img-a{id}.png", true),
        ("/img-{id}.png", "/{id}", false),
    ];
    for (group, route, expected) in rows {
        let paths = PathGroup::parse(group).unwrap();
        assert_eq!(paths.holds(route), expected, "{group} holds {route}");
    }
}
