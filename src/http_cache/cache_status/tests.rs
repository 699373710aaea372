use sfv::{List, Parser};

use super::*;

const NONE: CacheStatus<'static> = CacheStatus {
    reason: Reason::Hit,
    rule: None,
    ttl: None,
    fwd_status: None,
    stored: None,
    collapsed: false,
};

/// RFC 9211 §2.
#[test]
fn members() {
    let ok = Some(StatusCode::OK);
    #[rustfmt::skip]
    let rows = [
        ("hit", CacheStatus { ttl: Some(12), rule: Some("board"), ..NONE }, "pannier; hit; ttl=12; rule=board; detail=hit"),
        ("miss, stored", CacheStatus { reason: Reason::Miss, fwd_status: ok, stored: Some(Ok(())), rule: Some("board"), ..NONE }, "pannier; fwd=uri-miss; fwd-status=200; stored; rule=board; detail=miss"),
        ("miss, not stored", CacheStatus { reason: Reason::Miss, fwd_status: ok, stored: Some(Err(Reason::Private)), ..NONE }, "pannier; fwd=uri-miss; fwd-status=200; stored=?0; detail=miss; not-stored=private"),
        ("served stale", CacheStatus { reason: Reason::StaleWhileRevalidate, ttl: Some(-3), ..NONE }, "pannier; hit; ttl=-3; detail=stale-while-revalidate"),
        ("confirmed", CacheStatus { reason: Reason::Revalidated, fwd_status: Some(StatusCode::NOT_MODIFIED), ..NONE }, "pannier; fwd=stale; fwd-status=304; detail=revalidated"),
        ("collapsed", CacheStatus { reason: Reason::Collapsed, ..NONE }, "pannier; fwd=uri-miss; collapsed; detail=collapsed"),
        ("waited and asked", CacheStatus { reason: Reason::Miss, collapsed: true, ..NONE }, "pannier; fwd=uri-miss; collapsed; detail=miss"),
        ("own answer", CacheStatus { reason: Reason::OnlyIfCached, ..NONE }, "pannier; detail=only-if-cached"),
        ("no rule", CacheStatus { reason: Reason::NoRule, ..NONE }, "pannier; fwd=bypass; detail=no-rule"),
        ("method", CacheStatus { reason: Reason::Method, ..NONE }, "pannier; fwd=method; detail=method"),
        ("rule with spaces", CacheStatus { rule: Some("a b"), ..NONE }, "pannier; hit; rule=\"a b\"; detail=hit"),
        ("rule with a digit first", CacheStatus { rule: Some("1a"), ..NONE }, "pannier; hit; rule=\"1a\"; detail=hit"),
        ("rule with quotes", CacheStatus { rule: Some("a\"b"), ..NONE }, "pannier; hit; rule=\"a\\\"b\"; detail=hit"),
        ("rule beyond ASCII", CacheStatus { rule: Some("é\n"), ..NONE }, "pannier; hit; rule=\"%c3%a9%0a\"; detail=hit"),
        ("huge ttl", CacheStatus { ttl: Some(i64::MIN), ..NONE }, "pannier; hit; ttl=-999999999999999; detail=hit"),
    ];
    for (name, status, expected) in rows {
        assert_eq!(status.to_header(), expected, "{name}");
        let parsed: List = Parser::new(expected).parse().unwrap();
        assert_eq!(parsed.len(), 1, "{name}");
    }
}
