use super::*;

const PATHS: [&str; 7] = [
    "/api/users/me",
    "/api/users/{id}",
    "/api/users/by-email/{email}",
    "/API/Reports/Q1.json",
    "/api/reports/{name}",
    "/files/{*rest}",
    "/caf%C3%A9/{id}",
];

const PEOPLE: Audience = Audience::Nobody;

fn strict_of(rules: &[(&'static str, Audience)]) -> Matcher<usize> {
    let mut strict = Matcher::default();
    for (index, (path, _)) in rules.iter().enumerate() {
        strict.insert(path, index).expect("distinct paths");
    }
    strict
}

fn other_of(rules: &[(&'static str, Audience)], path: &str) -> Option<&'static str> {
    let strict = strict_of(rules);
    let rule = strict.at(path).map(|matched| *matched.value);
    let lenient = LenientMatcher::new(rules.iter().copied());
    lenient.find_other(path, rule).map(|index| rules[index].0)
}

fn other(path: &str) -> Option<&'static str> {
    other_of(&PATHS.map(|path| (path, PEOPLE)), path)
}

fn confusable_of(
    rules: &[(&'static str, Audience)],
) -> Vec<(&'static str, &'static str, ConfusablePaths)> {
    let lenient = LenientMatcher::new(rules.iter().copied());
    let paths: Vec<(usize, &str)> = rules.iter().map(|(path, _)| *path).enumerate().collect();
    let pairs = find_confusable(&paths, &strict_of(rules), &lenient);
    let of = |pair: &Confusable| (rules[pair.taken].0, rules[pair.meant].0, pair.paths);
    pairs.iter().map(of).collect()
}

#[test]
fn spellings_of_another_rule() {
    let me = Some("/api/users/me");
    for path in [
        "/api/users/m%65",
        "/api/users/m%2565",
        "/api/users/ME",
        "/api/users/Me.json",
        "/api/users/me.json",
        "/api/users/me.tar.gz",
        "/api/users/me.",
        "/api/users/me%2e",
        "/api/users/me%20",
        "/api/users/%20me",
        "/api/users/me%09",
        "/api/users/me+",
        "/api/users/me%EF%BB%BF",
        "/api/users/%EF%BB%BFme",
        "/api/users/me%E2%80%8B",
        "/api/users/me%00",
        "/api/users/me%00.css",
        "/api/users/me%3Bx",
        "/api/users/me;x",
        "/api/users/me%23x",
        "/api/users/me%3fx",
        "/api/users/me%0Ax",
        "/api/users/me%0Dx.css",
        "/api/users/me%0d%0ax",
        "/api/users/me%250Ax",
        "/api/users/me%7Fx",
        "/api/users/me%C2%85x",
        "/api/users/me%E2%80%A8x",
        "/api/users/me/",
        "/api/users%2fme",
        "/api/users%5Cme",
        "/api/users//me",
        "/API/users/m%45",
        "/api;v=1/users/x%3b/../me",
    ] {
        let expected = match path.contains("..") {
            // Dot segments are ambiguous by themselves.
            true => continue,
            false => me,
        };
        assert_eq!(other(path), expected, "{path}");
    }
    // Characters that upper-case to those of the name.
    assert_eq!(other("/api/u%C5%BFers/me"), me);
    let report = Some("/API/Reports/Q1.json");
    assert_eq!(other("/api/reports/q1.json"), report);
    assert_eq!(other("/api/reports/Q1.json"), report);
    assert_eq!(other("/caf%c3%a9/1"), Some("/caf%C3%A9/{id}"));
}

#[test]
fn spellings_of_the_same_rule() {
    for path in [
        "/api/users/42",
        "/api/users/ABC",
        "/api/users/a.b",
        "/api/users/me2",
        "/api/users/a%20b",
        "/api/users/by-email/ME@example.com",
        "/files/a/B.txt",
        "/caf%C3%A9/1",
        "/",
        "/nowhere.html",
    ] {
        assert_eq!(other(path), None, "{path}");
    }
}

/// Whatever edges a rule's path has that readings lack, it is found as it is without them.
#[test]
fn spellings_of_rules_with_odd_edges() {
    for (me, others) in [
        ("/api/users/me/", "/api/users/{id}/"),
        ("/api/users/me/", "/api/users/{id}"),
        ("/api/users/me", "/api/users/{id}/"),
        ("/api/users/me.", "/api/users/{id}"),
        ("/api/users/%2Eme", "/api/users/{id}"),
        ("/api/users/+me", "/api/users/{id}"),
        ("/api/users/me%20", "/api/users/{id}"),
        ("/api//users/me", "/api//users/{id}"),
        ("/.api/users/me", "/{any}/users/{id}"),
        ("/api%2Fusers/me", "/{any}/{id}"),
        ("/{{api}}/users/me", "/{any}/users/{id}"),
        ("/.api-{version}/users/me", "/{any}/users/{id}"),
    ] {
        let rules = [(others, Audience::Everyone), (me, Audience::Person)];
        let own = me.replace("{{", "{").replace("}}", "}");
        let own = own.replace("{version}", "1");
        assert_eq!(other_of(&rules, &own), None, "{own} of {me}");
        let upper = own.to_uppercase().replace("/API-1", "/api-1");
        let toggled = match own.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{own}/"),
        };
        for spelled in [
            upper,
            own.replace("me", "m%65"),
            own.replace("me", "%6d%65"),
            own.replace("me", "m%2565"),
            toggled,
        ] {
            // No rule may be for it as received: then it is doubtful by the other one, too.
            assert!(other_of(&rules, &spelled).is_some(), "{spelled} of {me}");
        }
    }
}

/// Of rules that are one to a lenient app each is found, and the one that was named keeps its requests unless another
/// shares among fewer.
#[test]
fn rules_that_are_one_when_folded() {
    use Audience::{Everyone, Nobody, Person};
    for (first, second, expected) in [
        (Everyone, Everyone, [None, None]),
        (Person, Person, [None, None]),
        (Person, Everyone, [None, Some("/me")]),
        (Everyone, Person, [Some("/me/"), None]),
        (Nobody, Everyone, [None, Some("/me")]),
        (Person, Nobody, [None, Some("/me")]),
    ] {
        let rules = [("/me", first), ("/me/", second), ("/{page}", Everyone)];
        let found = ["/me", "/me/"].map(|path| other_of(&rules, path));
        assert_eq!(found, expected, "{first:?} {second:?}");
        assert_eq!(other_of(&rules, "/ME"), Some("/me"));
    }
}

#[test]
fn what_is_below_the_path_of_one_person() {
    use Audience::{Everyone, Nobody, Person};
    let rules = [
        ("/api/users/me", Person),
        ("/api/users/{id}/{part}", Everyone),
        ("/api/users/me/avatar", Everyone),
        ("/api/users/me/{tab}/own", Person),
        ("/api/{*rest}", Nobody),
        ("/api/users/public", Everyone),
        ("/teams/{team}/", Person),
        ("/teams/{team}/logo", Everyone),
        ("/teams/{team}/{part}", Everyone),
        ("/teams/all/{part}", Everyone),
        ("/files/{*rest}", Person),
        ("/files/public/{*rest}", Everyone),
        ("/", Person),
    ];
    let me = Some("/api/users/me");
    for (path, expected) in [
        ("/api/users/me/x.css", me),
        ("/api/users/me/x", me),
        ("/api/users/ME/x", me),
        ("/api/users/m%65/x", me),
        ("/api/users/me%0A/x", me),
        ("/api/users/me/a/b.css", me),
        ("/api/users/me/own/x/y", me),
        ("/api/users/me/avatar", None),
        ("/api/users/me/x/own", None),
        ("/api/users/7/x.css", None),
        ("/api/users/public/x", None),
        ("/api/other", None),
        ("/teams/7/logo", None),
        ("/teams/7/x.css", Some("/teams/{team}/")),
        ("/teams/all/x.css", None),
        ("/teams/7/a/b", Some("/teams/{team}/")),
        ("/files/public/a/b", None),
        ("/elsewhere/x", None),
    ] {
        assert_eq!(other_of(&rules, path), expected, "{path}");
    }
}

#[test]
fn pairs_of_rules() {
    use Audience::{Everyone, Person};
    use ConfusablePaths::{Below, Spellings};
    assert_eq!(
        confusable_of(&PATHS.map(|path| (path, PEOPLE))),
        [("/api/users/{id}", "/api/users/me", Spellings)]
    );
    let rules = [
        ("/Users/me/", Person),
        ("/Users/{id}", Everyone),
        ("/Users/{id}/{part}", Everyone),
        ("/{*rest}", Everyone),
        ("/Users/{id}/posts/{post}", Everyone),
        ("/other/{part}", Everyone),
    ];
    let of_me = confusable_of(&rules).into_iter();
    let of_me = of_me.filter(|(_, meant, _)| *meant == "/Users/me/");
    let of_me: Vec<_> = of_me.map(|(taken, _, paths)| (taken, paths)).collect();
    assert_eq!(
        of_me,
        [
            ("/Users/{id}", Spellings),
            ("/Users/{id}/{part}", Below),
            ("/{*rest}", Spellings),
            ("/{*rest}", Below),
            ("/Users/{id}/posts/{post}", Below),
        ]
    );
}

#[test]
fn one_rule_is_never_mistaken() {
    let lenient = LenientMatcher::new([("/A", PEOPLE)].into_iter());
    assert_eq!(lenient.find_other("/a%41", None), None);
    assert_eq!(lenient.find_other("/A.json", Some(0)), None);
    // But by no rule it would be stored for everyone.
    assert_eq!(lenient.find_other("/%41", None), Some(0));
}
