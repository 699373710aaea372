//! Lists in bodies: each member has a tag, and each is purged.

use serde_json::{Value, json};

use super::super::{MAX_VALUES, Template, Untagged, tags_of};
use super::*;
use crate::routes::{Key, json};

fn bound(text: &str, body: &Value) -> (String, usize) {
    bind(text, &Request::body(body.clone()))
}

fn tags(text: &str, response: Value) -> Result<Vec<Box<str>>, Untagged> {
    let template = template(text, Site::RouteTag);
    let request = Request::default();
    request.with(|scope| {
        let response = Some(&response);
        tags_of(&[template], &Scope { response, ..*scope })
    })
}

#[test]
fn each_member_of_a_list_is_purged() {
    let groups = json!({"groups": [{"tasks": [{"id": 1}, {"id": 2}]}, {"tasks": []}, {"tasks": [{"id": 1}]}]});
    let more = Value::from_iter(0..=MAX_VALUES);
    let many = Value::from_iter(0..600);
    #[rustfmt::skip]
    let rows = [
        ("members", "t:{body.ids[]}:*", json!({"ids": [3, "a", 3]}), "t:3:* t:a:*", 0),
        ("without the mark", "t:{body.ids}", json!({"ids": [3, 4]}), "t:3 t:4", 0),
        ("of the whole", "t:{body[]}", json!([3, 4]), "t:3 t:4", 0),
        ("a name of each", "t:{body[].p}", json!([{"p": 3}, {"p": 4}]), "t:3 t:4", 0),
        ("nested", "t:{body.groups[].tasks[].id}", groups, "t:1 t:2", 0),
        ("one that is no list", "t:{body.ids[]}", json!({"ids": 3}), "t:3", 0),
        ("empty", "t:{body.ids[]}", json!({"ids": []}), "", 0),
        ("empty, with a default", "t:{body.ids[]|x}", json!({"ids": []}), "", 0),
        ("a name that one lacks", "t:{body[].p}", json!([{"p": 3}, {}]), "t:*", 1),
        ("null in it", "t:{body[].p}", json!([{"p": 3}, {"p": null}]), "t:*", 1),
        ("a default for each", "t:{body[].p|x}", json!([{"p": 3}, {"p": null}]), "t:3 t:x", 0),
        ("an object in it", "t:{body.ids[]|x}", json!({"ids": [3, {}]}), "t:*", 1),
        ("doubled", "t:{body.ids[]|x}", json!({"ids": json::unknown()}), "t:*", 1),
        ("doubled in it", "t:{body[].p|x}", json!([{"p": 3}, {"p": json::unknown()}]), "t:*", 1),
        ("no body", "t:{body[].p}", Value::Null, "t:*", 1),
        ("two", "{body.a[]}:{body.b[]}", json!({"a": [1, 2], "b": [3, 4]}), "1:3 1:4 2:3 2:4", 0),
        ("an empty one beside", "{body.a[]}:{body.b[]}", json!({"a": [1, 2], "b": []}), "", 0),
        ("too many", "t:{body.a[]}:x", json!({"a": more}), "t:*:x", 1),
        ("too many together", "{body.b[]}:{body.a[]}", json!({"a": many, "b": [1, 2]}), "1:* 2:*", 1),
    ];
    for (name, text, body, patterns, absent) in rows {
        assert_eq!(bound(text, &body), (patterns.to_owned(), absent), "{name}");
    }
}

#[test]
fn what_is_longer_than_any_key_is_neither_purged_nor_kept() {
    let of = |first: usize, second: usize| json!({"a": "x".repeat(first), "b": ["y".repeat(second), "z"]});
    let count = |text: &str, body: Value| {
        let (patterns, absent) = bound(text, &body);
        assert_eq!(absent, 0);
        patterns.split_whitespace().count()
    };
    #[rustfmt::skip]
    let rows = [
        ("as long as a key may be", "{body.a}:{body.b[]}", Key::MAX - 3, 2, 2),
        ("one is too long", "{body.a}:{body.b[]}", Key::MAX - 2, 2, 1),
        ("before the list", "{body.a}:{body.b[]}", Key::MAX, 2, 0),
        ("in the list", "{body.b[]}:{body.a}", 1, Key::MAX, 1),
        ("by what stands behind it", "{body.a}:xyz", Key::MAX - 3, 2, 0),
        ("with a wildcard", "{body.a}:*", Key::MAX, 2, 0),
        ("with a wildcard that may stand for nothing", "{body.a}:*", Key::MAX - 1, 2, 1),
    ];
    for (name, text, first, second, expected) in rows {
        assert_eq!(count(text, of(first, second)), expected, "{name}");
    }
    for (length, expected) in [(Key::MAX, Ok(1)), (Key::MAX + 1, Err(Untagged::TooMany))] {
        let tags = tags("{response.a}", json!({"a": "x".repeat(length)}));
        assert_eq!(tags.map(|tags| tags.len()), expected);
    }
    let tags = tags("{response.a}:{response.b[]}", of(Key::MAX, 1));
    assert_eq!(tags, Err(Untagged::TooMany));
}

#[test]
fn each_member_of_a_list_is_a_tag() {
    let missing = |text: &str, response| match tags(text, response) {
        Err(Untagged::Missing(Missing(source))) => source.to_string(),
        other => panic!("{other:?}"),
    };
    let tagged = |text: &str, response| tags(text, response).expect(text).join(" ");
    let items = json!({"items": [{"id": 2}, {"id": 1}, {"id": "2"}], "ids": [7]});
    assert_eq!(tagged("t:{response.items[].id}", items.clone()), "t:1 t:2");
    assert_eq!(tagged("t:{response.items.id}", items.clone()), "t:1 t:2");
    assert_eq!(tagged("t:{response.ids}", items.clone()), "t:7");
    assert_eq!(
        tagged("t:{response.items[].id|x}", json!({"items": [{}]})),
        "t:x"
    );
    assert_eq!(tagged("t:{response.items[].id}", json!({"items": []})), "");
    for response in [
        json!({}),
        json!({"items": [{"id": 1}, {}]}),
        json!({"items": json::unknown()}),
    ] {
        assert_eq!(
            missing("t:{response.items[].id}", response),
            "{response.items[].id}"
        );
    }
    assert_eq!(
        missing("t:{response[].id}", json!([{"id": {}}])),
        "{response[].id}"
    );
    let at_the_cap = Value::from_iter(0..MAX_VALUES);
    assert_eq!(
        tags("t:{response[]}", at_the_cap).map(|tags| tags.len()),
        Ok(MAX_VALUES)
    );
    let past_it = Value::from_iter(0..=MAX_VALUES);
    assert_eq!(tags("t:{response[]}", past_it), Err(Untagged::TooMany));
}

#[test]
fn all_tags_together_have_the_cap() {
    let response = json!({"a": Value::from_iter(0..600), "b": Value::from_iter(600..1_200)});
    let read = ["{response.a}", "{response.b}"].map(|text| template(text, Site::RouteTag));
    Request::default().with(|scope| {
        let response = Some(&response);
        let scope = Scope { response, ..*scope };
        assert_eq!(tags_of(&read, &scope), Err(Untagged::TooMany));
    });
}

#[test]
fn a_key_has_no_list() {
    let claims = json!({"roles": ["a", "b"]});
    let request = Request {
        claims: Some(claims),
        ..Request::default()
    };
    assert_eq!(render("k:{jwt.roles}", &request), None);
    assert_eq!(
        render("k:{jwt.roles|x}", &request),
        None,
        "nor a default for one"
    );
}

#[test]
fn how_lists_are_written() {
    for text in [
        "{body.ids[]}",
        "{body[]}",
        "{body[].a}",
        "{response.a[].b.c[].d}",
    ] {
        let parsed = template(text, Site::Purge);
        let shown: Vec<String> = parsed.sources().map(ToString::to_string).collect();
        assert_eq!(shown, [text]);
    }
    for (text, site, words) in [
        ("{body.ids[0]}", Site::Purge, "write items[]"),
        ("{body.0.id}", Site::Purge, "write items[]"),
        ("{response.*}", Site::RouteTag, "write items[]"),
        ("{response.[].id}", Site::RouteTag, "is empty"),
        (
            "{before.id}",
            Site::RouteTag,
            "only a write has something before it",
        ),
        ("{response[]}", Site::RouteKey, "`response` is for tags"),
        (
            "{jwt.roles[]}",
            Site::RouteKey,
            "nothing is read out of a list",
        ),
        ("{query.ids[].a}", Site::Purge, ""),
    ] {
        let error = Template::parse(text, site, &[]).err();
        match words {
            "" => assert_eq!(error, None, "{text}"),
            words => assert!(error.expect(text).to_string().contains(words), "{text}"),
        }
    }
}
