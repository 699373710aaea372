use super::*;
use crate::http_cache::tests::fixtures::*;

fn lifetime_of(status: u16, response: Lines<'_>, policy: &Policy) -> Option<u64> {
    let headers = headers(response);
    let directives = ResponseDirectives::of(&headers);
    lifetime(&exchange(status, &headers), &directives, policy).map(|lifetime| lifetime.as_secs())
}

const DATED: (&str, &str) = ("date", SENT);

/// §4.2.1.
#[test]
fn stated_lifetime() {
    let cc = "cache-control";
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Option<u64>)] = &[
        ("nothing", &[DATED], None),
        ("max-age", &[DATED, (cc, "max-age=60")], Some(60)),
        ("s-maxage wins", &[DATED, (cc, "max-age=60, s-maxage=5")], Some(5)),
        ("s-maxage wins upwards", &[DATED, (cc, "s-maxage=60, max-age=5")], Some(60)),
        ("invalid s-maxage is stale", &[DATED, (cc, "s-maxage=x, max-age=60")], Some(0)),
        ("max-age beats Expires", &[DATED, ("expires", SENT), (cc, "max-age=60")], Some(60)),
        ("max-age 0 beats Expires", &[DATED, ("expires", HOUR_LATER), (cc, "max-age=0")], Some(0)),
        ("s-maxage beats Expires", &[DATED, ("expires", HOUR_LATER), (cc, "s-maxage=60")], Some(60)),
        ("Expires", &[DATED, ("expires", HOUR_LATER)], Some(3600)),
        ("Expires in the past", &[DATED, ("expires", HOUR_EARLIER)], Some(0)),
        ("Expires at Date", &[DATED, ("expires", SENT)], Some(0)),
        ("Expires: 0", &[DATED, ("expires", "0")], Some(0)),
        ("Expires: -1", &[DATED, ("expires", "-1")], Some(0)),
        ("Expires: empty", &[DATED, ("expires", "")], Some(0)),
        ("Expires: words", &[DATED, ("expires", "tomorrow")], Some(0)),
        ("Expires in RFC 850 form", &[DATED, ("expires", "Sunday, 06-Nov-94 09:49:37 GMT")], Some(3600)),
        ("Expires in asctime form, another weekday", &[DATED, ("expires", "Thu Nov  6 09:49:37 1994")], Some(3600)),
        ("Expires in asctime form, no weekday", &[DATED, ("expires", "Xxx Nov  6 09:49:37 1994")], Some(0)),
        ("Expires in asctime form", &[DATED, ("expires", "Sun Nov  6 09:49:37 1994")], Some(3600)),
        ("Expires in capitals", &[DATED, ("expires", "SUN, 06 NOV 1994 09:49:37 GMT")], Some(3600)),
        ("Expires in small letters", &[DATED, ("expires", "sun, 06 nov 1994 09:49:37 gmt")], Some(3600)),
        ("Expires in RFC 850 form and odd case", &[DATED, ("expires", "sUNDAY, 06-nOV-94 09:49:37 gmT")], Some(3600)),
        ("Date in small letters", &[("date", "sun, 06 nov 1994 07:49:37 gmt"), ("expires", HOUR_LATER)], Some(7200)),
        ("Expires with a number for a zone", &[DATED, ("expires", "Sun, 06 Nov 1994 09:49:37 +0000")], Some(0)),
        ("Expires with no zone", &[DATED, ("expires", "Sun, 06 Nov 1994 09:49:37")], Some(0)),
        ("Expires with UTC for a zone", &[DATED, ("expires", "Sun, 06 Nov 1994 09:49:37 UTC")], Some(0)),
        ("Expires on a day that is not", &[DATED, ("expires", "Wed, 31 Feb 2999 09:49:37 GMT")], Some(0)),
        ("Expires on another weekday", &[DATED, ("expires", "Mon, 06 Nov 1994 09:49:37 GMT")], Some(0)),
        ("Expires with another zone", &[DATED, ("expires", "Sun, 06 Nov 1994 09:49:37 EST")], Some(0)),
        ("Expires as seconds", &[DATED, ("expires", "784115377")], Some(0)),
        ("Expires far away", &[DATED, ("expires", "Fri, 31 Dec 9999 23:59:59 GMT")], Some(1 << 31)),
        ("two Expires", &[DATED, ("expires", HOUR_LATER), ("expires", SENT)], Some(0)),
        ("Expires counts from Date", &[("date", HOUR_EARLIER), ("expires", HOUR_LATER)], Some(7200)),
        ("Expires without Date", &[("expires", HOUR_LATER)], Some(3600)),
        ("Expires with a bad Date", &[("date", "x"), ("expires", HOUR_LATER)], Some(3600)),
        ("targeted silences Expires", &[DATED, ("cdn-cache-control", "public"), ("expires", HOUR_LATER)], None),
    ];
    for (name, response, expected) in rows {
        assert_eq!(lifetime_of(200, response, &rfc()), *expected, "{name}");
    }
}

/// §4.2.2.
#[test]
fn heuristic_lifetime() {
    let cc = "cache-control";
    let modified = ("last-modified", HOUR_EARLIER);
    #[rustfmt::skip]
    let rows: &[(&str, u16, Lines<'_>, Option<u64>)] = &[
        ("a tenth of the time unchanged", 200, &[DATED, modified], Some(360)),
        ("at most a day", 200, &[DATED, ("last-modified", "Tue, 06 Nov 1984 08:49:37 GMT")], Some(86_400)),
        ("modified later than sent", 200, &[DATED, ("last-modified", HOUR_LATER)], Some(0)),
        ("no Date", 200, &[modified], Some(360)),
        ("unreadable", 200, &[DATED, ("last-modified", "x")], None),
        ("not beside stated freshness", 200, &[DATED, modified, (cc, "max-age=0")], Some(0)),
        ("203", 203, &[DATED, modified], Some(360)),
        ("204", 204, &[DATED, modified], Some(360)),
        ("300", 300, &[DATED, modified], Some(360)),
        ("301", 301, &[DATED, modified], Some(360)),
        ("302: not heuristically cacheable", 302, &[DATED, modified], None),
        ("302 marked public", 302, &[DATED, modified, (cc, "public")], Some(360)),
        ("307", 307, &[DATED, modified], None),
        ("308", 308, &[DATED, modified], Some(360)),
        ("403", 403, &[DATED, modified], None),
        ("404", 404, &[DATED, modified], Some(360)),
        ("405", 405, &[DATED, modified], Some(360)),
        ("410", 410, &[DATED, modified], Some(360)),
        ("414", 414, &[DATED, modified], Some(360)),
        ("500", 500, &[DATED, modified], None),
        ("501", 501, &[DATED, modified], Some(360)),
        ("599", 599, &[DATED, modified], None),
    ];
    for (name, status, response, expected) in rows {
        assert_eq!(lifetime_of(*status, response, &rfc()), *expected, "{name}");
    }
}

/// §4.2.1: the rule's `ttl` beside the response's word.
#[test]
fn ruled_lifetime() {
    let cc = "cache-control";
    let respect = ruled(300);
    let over = Policy {
        cache_control: CacheControlMode::Override,
        ..ruled(300)
    };
    let lists = Policy {
        statuses: Some(vec![StatusCode::NOT_FOUND]),
        ..ruled(300)
    };
    let bare = Policy {
        cache_control: CacheControlMode::Override,
        ..rfc()
    };
    #[rustfmt::skip]
    let rows: &[(&str, &Policy, u16, Lines<'_>, Option<u64>)] = &[
        ("respect: silent response", &respect, 200, &[], Some(300)),
        ("respect: max-age first", &respect, 200, &[(cc, "max-age=5")], Some(5)),
        ("respect: max-age=0 first", &respect, 200, &[(cc, "max-age=0")], Some(0)),
        ("respect: Expires first", &respect, 200, &[("expires", "0")], Some(0)),
        ("respect: no guess", &respect, 200, &[("last-modified", HOUR_EARLIER)], Some(300)),
        ("override: ttl first", &over, 200, &[(cc, "max-age=5")], Some(300)),
        ("override: over s-maxage", &over, 200, &[(cc, "s-maxage=5")], Some(300)),
        ("override: over Expires", &over, 200, &[("expires", "0")], Some(300)),
        ("override without ttl", &bare, 200, &[(cc, "max-age=5")], Some(5)),
        ("an error is not assigned ttl", &respect, 404, &[], None),
        ("nor is it guessed", &respect, 404, &[("last-modified", HOUR_EARLIER)], None),
        ("nor overridden", &over, 404, &[(cc, "max-age=5")], Some(5)),
        ("unless listed", &lists, 404, &[], Some(300)),
        ("and what is not listed is not", &lists, 200, &[], None),
        ("redirects: 301", &respect, 301, &[], Some(300)),
        ("redirects: 302", &respect, 302, &[], None),
    ];
    for (name, policy, status, response, expected) in rows {
        assert_eq!(lifetime_of(*status, response, policy), *expected, "{name}");
    }
}

/// §4.2.3, §5.1.
#[test]
fn corrected_initial_age() {
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, u64, u64)] = &[
        // name, response, delay, expected
        ("new", &[DATED], 0, 0),
        ("no Date", &[], 0, 0),
        ("Age", &[DATED, ("age", "60")], 0, 60),
        ("delay", &[DATED], 5, 5),
        ("Age and delay", &[DATED, ("age", "60")], 5, 65),
        ("Date in the past", &[("date", HOUR_EARLIER)], 0, 3600),
        ("Date in the future", &[("date", HOUR_LATER)], 0, 0),
        ("apparent age wins", &[("date", HOUR_EARLIER), ("age", "60")], 0, 3600),
        ("Age wins", &[("date", HOUR_EARLIER), ("age", "7200")], 0, 7200),
        ("first of a list", &[DATED, ("age", "60, 7200")], 0, 60),
        ("first of two lines", &[DATED, ("age", "60"), ("age", "7200")], 0, 60),
        ("spaces", &[DATED, ("age", "60 , x")], 0, 60),
        ("negative", &[DATED, ("age", "-60")], 0, 0),
        ("decimal", &[DATED, ("age", "60.5")], 0, 0),
        ("parameter", &[DATED, ("age", "60;x=1")], 0, 0),
        ("quoted", &[DATED, ("age", "\"60\"")], 0, 0),
        ("words", &[DATED, ("age", "old")], 0, 0),
        ("empty", &[DATED, ("age", "")], 0, 0),
        ("large", &[DATED, ("age", "99999999999999999999")], 0, 1 << 31),
    ];
    for (name, response, delay, expected) in rows {
        let headers = headers(response);
        let response = Exchange {
            request_time: now() - secs(*delay),
            ..exchange(200, &headers)
        };
        assert_eq!(age_by(&response, &rfc()), secs(*expected), "{name}");
    }
}

/// RFC 9111 §4.2.3: where the clock of Redis is ahead of this machine's, an app that goes by the latter makes nothing older.
#[test]
fn what_fleet_time_is_ahead_is_no_apparent_age() {
    for (case, lead, age, expected) in [
        ("no lead", 0, "0", 3600),
        ("some of it", 600, "0", 3000),
        ("all of it", 3600, "0", 0),
        ("more", 7200, "0", 0),
        ("its Age stands", 3600, "60", 60),
    ] {
        let headers = headers(&[("date", HOUR_EARLIER), ("age", age)]);
        let response = Exchange {
            clock_lead: secs(lead),
            ..exchange(200, &headers)
        };
        assert_eq!(age_by(&response, &rfc()), secs(expected), "{case}");
    }
}

#[test]
fn a_part_of_a_second_is_not_apparent_age() {
    let headers = headers(&[DATED]);
    let moment = now() + Duration::from_millis(900);
    let response = Exchange {
        request_time: moment,
        response_time: moment,
        ..exchange(200, &headers)
    };
    assert_eq!(age_by(&response, &rfc()), Duration::ZERO);
}

/// §4.2.3.
#[test]
fn age_and_what_is_left_of_it() {
    let stored = stored(&[DATED, ("cache-control", "max-age=60"), ("age", "10")]);
    let half = Duration::from_millis(500);
    #[rustfmt::skip]
    let rows = [
        ("on arrival", now(), secs(10), 50, true),
        ("later", later(20), secs(30), 30, true),
        ("just before the end", later(50) - half, secs(60) - half, 0, true),
        ("at the end", later(50), secs(60), 0, false),
        ("just after", later(50) + half, secs(60) + half, -1, false),
        ("long after", later(150), secs(160), -100, false),
        ("with the clock set back a little", now() - secs(5), secs(10), 50, true),
        ("with the clock set back", now() - secs(6), secs(1 << 31), 60 - (1 << 31), false),
    ];
    for (name, moment, age, ttl, fresh) in rows {
        let found = (
            stored.age(moment),
            stored.ttl(moment),
            stored.is_fresh(moment),
        );
        assert_eq!(found, (age, ttl, fresh), "{name}");
    }
}

/// §4.2.4, §5.2.1.2: how long a response is kept, of which some is for those who ask for a stale one.
#[test]
fn kept_past_freshness() {
    let cc = "cache-control";
    let etag = ("etag", "\"a\"");
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, u64)] = &[
        ("for max-stale", &[(cc, "max-age=10")], 70),
        ("no longer for a long life", &[(cc, "max-age=1000")], 1060),
        ("not if never served stale", &[(cc, "max-age=10, must-revalidate")], 10),
        ("nor for s-maxage", &[(cc, "s-maxage=10")], 10),
        ("to be validated, an hour at most", &[(cc, "max-age=9999"), etag], 9999 + 3600),
        ("as long again as it was fresh", &[(cc, "max-age=100"), etag], 200),
        ("a minute at least", &[(cc, "no-cache"), etag], 60),
        ("a window longer than that", &[(cc, "max-age=10, stale-if-error=100")], 110),
        ("the age it came with counts", &[(cc, "max-age=10"), ("age", "4")], 66),
    ];
    for (name, response, expected) in rows {
        assert_eq!(stored(response).keep_for(), secs(*expected), "{name}");
    }
    let ruled = store(200, &[], &ruled(10)).unwrap();
    assert_eq!(ruled.keep_for(), secs(10), "a rule's ttl is all");
}

fn age_by(response: &Exchange<'_>, policy: &Policy) -> Duration {
    let directives = ResponseDirectives::under(response.headers, policy);
    initial_age(response, date(response.headers), &directives, policy)
}

/// §4.2.3.
#[test]
fn a_lifetime_that_goes_first_counts_from_receipt() {
    let over = Policy {
        cache_control: CacheControlMode::Override,
        ..ruled(60)
    };
    let old = [
        ("date", HOUR_EARLIER),
        ("age", "7200"),
        ("cache-control", "max-age=9999"),
    ];
    #[rustfmt::skip]
    let rows = [
        ("the rule's", 200, &over, 0),
        ("its own, where the rule gives none", 404, &over, 7200),
        ("its own", 200, &ruled(60), 7200),
        ("its own, without a rule", 200, &Policy { cache_control: CacheControlMode::Override, ..rfc() }, 7200),
    ];
    for (name, status, policy, expected) in rows {
        let headers = headers(&old);
        let age = age_by(&exchange(status, &headers), policy);
        assert_eq!(age, secs(expected), "{name}");
    }
}
