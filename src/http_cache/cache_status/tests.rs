use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::*;

fn of(reason: Reason) -> CacheStatus<'static> {
    CacheStatus::of(reason)
}

/// RFC 9211 §2.
#[test]
fn members() {
    let ok = Some(StatusCode::OK);
    let not_modified = Some(StatusCode::NOT_MODIFIED);
    let hit = of(Reason::Hit);
    let miss = of(Reason::Miss);
    #[rustfmt::skip]
    let rows = [
        ("hit", CacheStatus { ttl: Some(12), rule: Some("board"), ..hit }, "pannier; hit; ttl=12; rule=board; detail=hit"),
        ("miss, stored", CacheStatus { fwd_status: ok, stored: Some(Ok(())), ttl: Some(60), rule: Some("board"), ..miss }, "pannier; fwd=uri-miss; fwd-status=200; ttl=60; stored; rule=board; detail=miss"),
        ("miss, not stored", CacheStatus { fwd_status: ok, stored: Some(Err(Reason::Private)), ..miss }, "pannier; fwd=uri-miss; fwd-status=200; stored=?0; detail=miss; not-stored=private"),
        ("served stale", CacheStatus { ttl: Some(-3), ..of(Reason::StaleWhileRevalidate) }, "pannier; hit; ttl=-3; detail=stale-while-revalidate"),
        ("confirmed", CacheStatus { fwd_status: not_modified, ttl: Some(60), ..of(Reason::Revalidated) }, "pannier; fwd=stale; fwd-status=304; ttl=60; detail=revalidated"),
        ("confirmed at the client's wish", CacheStatus { because: Some(Reason::RequestDirective), fwd_status: not_modified, ..of(Reason::Revalidated) }, "pannier; fwd=request; fwd-status=304; detail=revalidated"),
        ("collapsed", of(Reason::Collapsed), "pannier; fwd=uri-miss; collapsed; detail=collapsed"),
        ("collapsed on what was stale", CacheStatus { because: Some(Reason::Stale), ..of(Reason::Collapsed) }, "pannier; fwd=stale; collapsed; detail=collapsed"),
        ("renewed before it expires", CacheStatus { renewed: true, ttl: Some(3), ..of(Reason::Hit) }, "pannier; hit; ttl=3; detail=hit; refresh-ahead"),
        ("waited in vain", CacheStatus { collapsed: true, ..of(Reason::CoalesceTimeout) }, "pannier; fwd=uri-miss; collapsed; detail=coalesce-timeout"),
        ("waited and asked", CacheStatus { collapsed: true, ..miss }, "pannier; fwd=uri-miss; collapsed; detail=miss"),
        ("the app failed", of(Reason::UpstreamError), "pannier; fwd=miss; detail=upstream-error"),
        ("the app failed a first time", CacheStatus { because: Some(Reason::VaryMiss), ..of(Reason::UpstreamTimeout) }, "pannier; fwd=vary-miss; detail=upstream-timeout"),
        ("served as the app failed", CacheStatus { because: Some(Reason::RequestDirective), ttl: Some(-3), ..of(Reason::StaleIfError) }, "pannier; fwd=request; ttl=-3; detail=stale-if-error"),
        ("own answer", of(Reason::OnlyIfCached), "pannier; detail=only-if-cached"),
        ("own answer says no more", CacheStatus { because: Some(Reason::Miss), collapsed: true, stored: Some(Ok(())), ..of(Reason::MaxForwards) }, "pannier; detail=max-forwards"),
        ("a hit is not forwarded", CacheStatus { because: Some(Reason::Miss), fwd_status: ok, collapsed: true, ..hit }, "pannier; hit; detail=hit"),
        ("no rule", of(Reason::NoRule), "pannier; fwd=bypass; detail=no-rule"),
        ("method", of(Reason::Method), "pannier; fwd=method; detail=method"),
        ("key", CacheStatus { key: Some("user:1"), ..hit }, "pannier; hit; key=\"user:1\"; detail=hit"),
        ("key with quotes", CacheStatus { key: Some("a\"\\é"), ..hit }, "pannier; hit; key=\"a\\\"\\\\%c3%a9\"; detail=hit"),
        ("rule with spaces", CacheStatus { rule: Some("a b"), ..hit }, "pannier; hit; rule=\"a b\"; detail=hit"),
        ("rule with a digit first", CacheStatus { rule: Some("1a"), ..hit }, "pannier; hit; rule=\"1a\"; detail=hit"),
        ("rule with quotes", CacheStatus { rule: Some("a\"b"), ..hit }, "pannier; hit; rule=\"a\\\"b\"; detail=hit"),
        ("rule beyond ASCII", CacheStatus { rule: Some("é\n"), ..hit }, "pannier; hit; rule=\"%c3%a9%0a\"; detail=hit"),
        ("rule of no letters", CacheStatus { rule: Some(""), ..hit }, "pannier; hit; rule=\"\"; detail=hit"),
        ("huge ttl", CacheStatus { ttl: Some(i64::MIN), ..hit }, "pannier; hit; ttl=-999999999999999; detail=hit"),
    ];
    for (name, status, expected) in rows {
        assert_eq!(status.to_header(), expected, "{name}");
        parsed(expected);
    }
}

/// RFC 9211 §2.1 and §2.2, for every reason there is.
#[test]
fn every_reason() {
    #[rustfmt::skip]
    let rows: [(Reason, &str); Reason::COUNT] = [
        (Reason::Hit, "hit"),
        (Reason::StaleWhileRevalidate, "hit"),
        (Reason::StaleIfError, "stale"),
        (Reason::MaxStale, "hit"),
        (Reason::Revalidated, "stale"),
        (Reason::Collapsed, "uri-miss"),
        (Reason::Miss, "uri-miss"),
        (Reason::VaryMiss, "vary-miss"),
        (Reason::Stale, "stale"),
        (Reason::SoftPurged, "stale"),
        (Reason::NoCache, "stale"),
        (Reason::RequestDirective, "request"),
        (Reason::Refresh, "request"),
        (Reason::OnlyIfCached, ""),
        (Reason::NoRule, "bypass"),
        (Reason::Disabled, "bypass"),
        (Reason::NotInShare, "bypass"),
        (Reason::Shadow, "bypass"),
        (Reason::Method, "method"),
        (Reason::RequestBody, "bypass"),
        (Reason::AmbiguousPath, "bypass"),
        (Reason::AmbiguousRule, "bypass"),
        (Reason::UnkeyedQuery, "bypass"),
        (Reason::UnkeyedHeader, "bypass"),
        (Reason::MissingVariable, "bypass"),
        (Reason::Identity, "bypass"),
        (Reason::Unauthenticated, "bypass"),
        (Reason::AuthFailed, "bypass"),
        (Reason::Upgrade, "bypass"),
        (Reason::Range, "miss"),
        (Reason::RequestNoStore, "request"),
        (Reason::KeyTooLong, "bypass"),
        (Reason::Status, "miss"),
        (Reason::NoStore, "miss"),
        (Reason::Private, "miss"),
        (Reason::SetCookie, "miss"),
        (Reason::Token, "miss"),
        (Reason::VaryAny, "miss"),
        (Reason::Authorization, "miss"),
        (Reason::Cookie, "miss"),
        (Reason::UnacceptedCoding, "miss"),
        (Reason::NoFreshness, "miss"),
        (Reason::Partial, "partial"),
        (Reason::EventStream, "miss"),
        (Reason::TooLarge, "miss"),
        (Reason::InFlightFull, "miss"),
        (Reason::FillsFull, "miss"),
        (Reason::Unwanted, "miss"),
        (Reason::Incomplete, "miss"),
        (Reason::CloseDelimited, "miss"),
        (Reason::Fenced, "miss"),
        (Reason::LeaseLost, "miss"),
        (Reason::BudgetFull, "miss"),
        (Reason::CannotFit, "miss"),
        (Reason::MissingTag, "miss"),
        (Reason::TooManyTags, "miss"),
        (Reason::StoreWhen, "miss"),
        (Reason::TooManyVariants, "miss"),
        (Reason::TooManyGroups, "miss"),
        (Reason::UpstreamError, "miss"),
        (Reason::UpstreamTimeout, "miss"),
        (Reason::UpstreamBusy, "miss"),
        (Reason::BadRequest, ""),
        (Reason::MaxForwards, ""),
        (Reason::PurgeMethod, ""),
        (Reason::ReadyPath, ""),
        (Reason::CoalesceTimeout, "uri-miss"),
    ];
    let reasons = rows.map(|(reason, _)| reason);
    for (at, (reason, expected)) in rows.into_iter().enumerate() {
        assert_eq!(reason.index(), at, "{reason:?} is out of order or doubled");
        check(of(reason), expected);
        for because in reasons {
            let status = CacheStatus {
                because: Some(because),
                stored: Some(Err(because)),
                fwd_status: Some(StatusCode::OK),
                collapsed: true,
                ..of(reason)
            };
            let forwarded = !matches!(expected, "hit" | "");
            let why = rows[because.index()].1;
            let told = if forwarded && !matches!(why, "hit" | "") {
                why
            } else {
                expected
            };
            check(status, told);
        }
    }
}

/// The table at the head of the file and the README's each name every reason, in the row of what it says,
/// and no other word there is.
#[test]
fn the_tables_name_every_reason() {
    let source = include_str!("../cache_status.rs");
    let own: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .collect();
    let readme = include_str!("../../../README.md").lines().collect();
    for (name, lines) in [("cache_status.rs", own), ("README.md", readme)] {
        let table = table_of_handling(&lines);
        let words = table
            .iter()
            .flat_map(|(_, text)| text.split('`').skip(1).step_by(2));
        let is_reason = |word: &&str| Reason::ALL.iter().any(|reason| reason.as_str() == *word);
        let others: Vec<&str> = words.filter(|word| !is_reason(word)).collect();
        assert!(others.is_empty(), "no reasons in {name}: {others:?}");
        for reason in Reason::ALL {
            let expected = match handling(reason) {
                Handling::Hit => "`hit`".to_owned(),
                Handling::Forward(why) => format!("`fwd={why}`"),
                Handling::Neither => "neither".to_owned(),
            };
            let word = format!("`{}`", reason.as_str());
            let named = table.iter().filter(|(_, text)| text.contains(&word));
            let rows: Vec<&str> = named.map(|(row, _)| *row).collect();
            assert_eq!(rows, [expected], "{word} in {name}");
        }
    }
}

/// What `hit` and `fwd` may be, and the text beside each.
fn table_of_handling<'t>(lines: &[&'t str]) -> Vec<(&'t str, &'t str)> {
    let rows = lines.iter().filter_map(|line| {
        let (first, text) = line.strip_prefix("| ")?.split_once(" | ")?;
        let row = first.split(" (§").next().unwrap_or(first);
        (row == "neither" || row == "`hit`" || row.starts_with("`fwd=")).then_some((row, text))
    });
    // The table of parameters has a row for `hit` as well.
    let rows: Vec<_> = rows.collect();
    let first = rows.iter().rposition(|(row, _)| *row == "`hit`");
    rows[first.expect("a row of hits")..].to_vec()
}

/// The types of §2.1 to §2.8, `hit` and `fwd` never together, and nothing that needs `fwd` without it.
fn check(status: CacheStatus<'_>, expected: &str) {
    let text = status.to_header();
    let member = parsed(text.to_str().unwrap());
    let get = |name: &str| member.params.get(name);
    let hit = get("hit") == Some(&BareItem::Boolean(true));
    let fwd = get("fwd").map(|fwd| fwd.as_token().expect("a Token").as_str());
    assert_eq!(hit, expected == "hit", "{text:?}");
    let forwarded = Some(expected).filter(|why| !matches!(*why, "hit" | ""));
    assert_eq!(fwd, forwarded, "{text:?}");
    for name in ["fwd-status", "stored", "collapsed"] {
        assert!(get(name).is_none() || fwd.is_some(), "{name} in {text:?}");
    }
    let detail = get("detail").and_then(|detail| detail.as_token());
    assert_eq!(detail.unwrap().as_str(), status.reason.as_str());
}

/// The one member, whose name is a Token.
fn parsed(text: &str) -> Item {
    let list: List = Parser::new(text).parse().unwrap();
    let [ListEntry::Item(item)] = list.as_slice() else {
        panic!("not one Item: {text}");
    };
    assert!(item.bare_item.as_token().is_some(), "{text}");
    item.clone()
}
