use http::HeaderMap;

use super::*;
use crate::http_cache::Identity;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::tests::fixtures::*;

const CC: &str = "cache-control";
const ETAG: (&str, &str) = ("etag", "\"a\"");

fn serve(age: u64, ttl: i64, reason: Reason) -> Reuse {
    Reuse::Serve {
        age: secs(age),
        ttl,
        reason,
    }
}

fn hit(age: u64) -> Reuse {
    serve(age, 60 - age as i64, Reason::Hit)
}

fn validate(reason: Reason, stale_on_error: bool) -> Reuse {
    Reuse::Validate {
        reason,
        stale_on_error,
    }
}

fn refresh(age: u64, ttl: i64) -> Reuse {
    Reuse::ServeAndRefresh {
        age: secs(age),
        ttl,
    }
}

/// §4, §4.2.4, §5.2.1, RFC 5861: by the response's directives, its age and the request's directives.
#[test]
fn decisions() {
    use Reason::{MaxStale, NoCache, RequestDirective, Stale};
    let age60 = "max-age=60";
    let swr = "max-age=60, stale-while-revalidate=10";
    let sie = "max-age=60, stale-if-error=10";
    let must = "max-age=60, must-revalidate";
    let pragma: Lines<'_> = &[("pragma", "no-cache")];
    // name, stored Cache-Control, age, request, decision
    #[rustfmt::skip]
    let rows: &[(&str, &str, u64, Lines<'_>, Reuse)] = &[
        // §4.2
        ("fresh", age60, 0, &[], hit(0)),
        ("last fresh second", age60, 59, &[], hit(59)),
        ("lifetime reached", age60, 60, &[], validate(Stale, false)),
        ("stale", age60, 99, &[], validate(Stale, false)),
        // §5.2.2.4
        ("no-cache", "no-cache, max-age=60", 0, &[], validate(NoCache, false)),
        ("no-cache, max-stale", "no-cache, max-age=60", 61, &[(CC, "max-stale")], validate(NoCache, false)),
        // §5.2.2.2
        ("must-revalidate while fresh", must, 59, &[], hit(59)),
        // §5.2.1.4
        ("request no-cache", age60, 0, &[(CC, "no-cache")], validate(RequestDirective, false)),
        // §5.4
        ("request Pragma", age60, 0, pragma, validate(RequestDirective, false)),
        // §5.2.1.5
        ("request no-store", age60, 0, &[(CC, "no-store")], hit(0)),
        // §5.2.1.1
        ("request max-age=0", age60, 0, &[(CC, "max-age=0")], validate(RequestDirective, false)),
        ("request max-age over age", age60, 5, &[(CC, "max-age=6")], hit(5)),
        ("request max-age at age", age60, 5, &[(CC, "max-age=5")], hit(5)),
        ("request max-age under age", age60, 6, &[(CC, "max-age=5")], validate(RequestDirective, false)),
        ("request max-age does not prolong", age60, 61, &[(CC, "max-age=99")], validate(Stale, false)),
        ("invalid request max-age", age60, 0, &[(CC, "max-age=x")], validate(RequestDirective, false)),
        // §5.2.1.3
        ("min-fresh met", age60, 50, &[(CC, "min-fresh=10")], hit(50)),
        ("min-fresh not met", age60, 51, &[(CC, "min-fresh=10")], validate(RequestDirective, false)),
        ("min-fresh beyond reason", age60, 0, &[(CC, "min-fresh=99999999999")], validate(RequestDirective, false)),
        // §5.2.1.2
        ("max-stale of any length", age60, 999, &[(CC, "max-stale")], serve(999, -939, MaxStale)),
        ("max-stale within", age60, 65, &[(CC, "max-stale=5")], serve(65, -5, MaxStale)),
        ("max-stale beyond", age60, 66, &[(CC, "max-stale=5")], validate(Stale, false)),
        ("max-stale invalid", age60, 61, &[(CC, "max-stale=x")], validate(Stale, false)),
        ("max-stale while fresh", age60, 5, &[(CC, "max-stale=5")], hit(5)),
        ("max-stale, must-revalidate", must, 61, &[(CC, "max-stale")], validate(Stale, false)),
        ("max-stale, s-maxage", "s-maxage=60", 61, &[(CC, "max-stale")], validate(Stale, false)),
        ("max-stale, proxy-revalidate", "max-age=60, proxy-revalidate", 61, &[(CC, "max-stale")], validate(Stale, false)),
        ("max-stale beyond max-age", age60, 65, &[(CC, "max-stale, max-age=62")], validate(RequestDirective, false)),
        ("max-stale within max-age", age60, 61, &[(CC, "max-stale, max-age=62")], serve(61, -1, MaxStale)),
        // RFC 5861 §3
        ("swr while fresh", swr, 59, &[], hit(59)),
        ("swr within", swr, 60, &[], refresh(60, 0)),
        ("swr at its end", swr, 70, &[], refresh(70, -10)),
        ("swr beyond", swr, 71, &[], validate(Stale, false)),
        ("swr, request no-cache", swr, 61, &[(CC, "no-cache")], validate(RequestDirective, false)),
        ("swr, request max-age", swr, 61, &[(CC, "max-age=99")], validate(Stale, false)),
        ("swr, request max-stale", swr, 61, &[(CC, "max-stale=1")], serve(61, -1, MaxStale)),
        ("swr, must-revalidate", "max-age=60, stale-while-revalidate=10, must-revalidate", 61, &[], validate(Stale, false)),
        // RFC 5861 §4
        ("sie within", sie, 70, &[], validate(Stale, true)),
        ("sie beyond", sie, 71, &[], validate(Stale, false)),
        ("sie, request max-age", sie, 9, &[(CC, "max-age=0")], validate(RequestDirective, true)),
        ("sie, request no-cache", sie, 9, &[(CC, "no-cache")], validate(RequestDirective, false)),
        ("sie of the request", age60, 70, &[(CC, "stale-if-error=10")], validate(Stale, true)),
        ("sie of the request exceeded", age60, 71, &[(CC, "stale-if-error=10")], validate(Stale, false)),
        ("sie of the request, longer than the response's", sie, 80, &[(CC, "stale-if-error=20")], validate(Stale, true)),
        ("sie of the request, shorter than the response's", sie, 70, &[(CC, "stale-if-error=0")], validate(Stale, true)),
        ("sie of the request, invalid", age60, 61, &[(CC, "stale-if-error=x")], validate(Stale, false)),
        ("sie of the request, must-revalidate", must, 61, &[(CC, "stale-if-error=10")], validate(Stale, false)),
        ("sie of the request, response no-cache", "no-cache, max-age=60", 61, &[(CC, "stale-if-error=10")], validate(NoCache, false)),
        // §5.2.1.7
        ("only-if-cached, fresh", age60, 5, &[(CC, "only-if-cached")], hit(5)),
        ("only-if-cached, stale", age60, 61, &[(CC, "only-if-cached")], Reuse::Unsatisfiable),
        ("only-if-cached, max-stale", age60, 61, &[(CC, "only-if-cached, max-stale")], serve(61, -1, MaxStale)),
        ("only-if-cached, swr", swr, 61, &[(CC, "only-if-cached")], refresh(61, -1)),
        ("only-if-cached, no-cache", age60, 5, &[(CC, "only-if-cached, no-cache")], Reuse::Unsatisfiable),
    ];
    for (name, response, age, request, expected) in rows {
        let stored = stored(&[(CC, response), ETAG]);
        let request = headers(request);
        let found = reuse(&get(&request), Some(&stored), false, &rfc(), later(*age));
        assert_eq!(found, *expected, "{name}");
    }
}

/// §4.3.1: without a validator there is nothing to ask with.
#[test]
fn without_a_validator() {
    let none = HeaderMap::new();
    let no_cache = headers(&[(CC, "no-cache")]);
    let plain = stored(&[(CC, "max-age=60")]);
    let excused = stored(&[(CC, "max-age=60, stale-if-error=10")]);
    #[rustfmt::skip]
    let rows = [
        ("stale", &plain, &none, 61, Reuse::Fetch(Reason::Stale)),
        ("request no-cache", &plain, &no_cache, 0, Reuse::Fetch(Reason::RequestDirective)),
        ("stale-if-error within", &excused, &none, 61, validate(Reason::Stale, true)),
        ("stale-if-error beyond", &excused, &none, 71, Reuse::Fetch(Reason::Stale)),
    ];
    for (name, stored, request, age, expected) in rows {
        let found = reuse(&get(request), Some(stored), false, &rfc(), later(age));
        assert_eq!(found, expected, "{name}");
    }
}

/// RFC 9111 §4.2: a soft purge ends freshness; windows, demands and `must-revalidate` count from there.
#[test]
fn after_a_soft_purge() {
    use Reason::{MaxStale, NoCache, SoftPurged, Stale};
    let (age60, swr) = ("max-age=60", "max-age=60, stale-while-revalidate=10");
    let sie = "max-age=60, stale-if-error=10";
    let no_words: Lines<'_> = &[];
    // What is stored, when it was purged softly, how old it is.
    #[rustfmt::skip]
    let rows: &[(&str, &str, u64, u64, Lines<'_>, Reuse)] = &[
        ("nothing allowed", age60, 5, 6, no_words, validate(SoftPurged, false)),
        ("at once", age60, 5, 5, no_words, validate(SoftPurged, false)),
        ("before it, by another's clock", age60, 6, 5, no_words, validate(SoftPurged, false)),
        ("stale by itself since", age60, 5, 61, no_words, validate(Stale, false)),
        ("swr", swr, 5, 15, no_words, refresh(15, -10)),
        ("swr at once", swr, 5, 5, no_words, refresh(5, -1)),
        ("swr exceeded", swr, 5, 16, no_words, validate(SoftPurged, false)),
        ("swr, purged when it was stale", swr, 65, 69, no_words, refresh(69, -9)),
        ("sie", sie, 5, 15, no_words, validate(SoftPurged, true)),
        ("sie exceeded", sie, 5, 16, no_words, validate(SoftPurged, false)),
        ("must-revalidate", "max-age=60, stale-while-revalidate=10, must-revalidate", 5, 6, no_words, validate(SoftPurged, false)),
        ("no-cache", "max-age=60, no-cache", 5, 6, no_words, validate(NoCache, false)),
        ("max-stale", age60, 5, 7, &[(CC, "max-stale=2")], serve(7, -2, MaxStale)),
        ("max-stale=0", age60, 5, 5, &[(CC, "max-stale=0")], validate(SoftPurged, false)),
        ("only-if-cached", age60, 5, 6, &[(CC, "only-if-cached")], Reuse::Unsatisfiable),
        ("min-fresh", age60, 5, 5, &[(CC, "min-fresh=1")], validate(Reason::RequestDirective, false)),
    ];
    for (name, response, softened, age, request, expected) in rows {
        let mut stored = stored(&[(CC, response), ETAG]);
        stored.soften(later(*softened));
        // One that is earlier stands.
        stored.soften(later(*softened + 1));
        let request = headers(request);
        let found = reuse(&get(&request), Some(&stored), false, &rfc(), later(*age));
        assert_eq!(found, *expected, "{name}");
    }
}

/// §4: nothing stored; methods; promise I8.
#[test]
fn before_the_stored_response_counts() {
    let shared = Policy {
        shared: true,
        ..rfc()
    };
    let rfc = rfc();
    let own = stored(&[(CC, "max-age=60")]);
    let public = stored(&[(CC, "max-age=60, public")]);
    let must = stored(&[(CC, "max-age=60, must-revalidate")]);
    let proxies_must = stored(&[(CC, "max-age=60, proxy-revalidate")]);
    let none = HeaderMap::new();
    let only = headers(&[(CC, "only-if-cached")]);
    let (get, head, post) = (Method::GET, Method::HEAD, Method::POST);
    let covered = request(&get, &none);
    let authorization = RequestHead {
        identity: Identity {
            unkeyed_authorization: true,
            unkeyed_cookie: false,
        },
        ..covered
    };
    let cookie = RequestHead {
        identity: Identity {
            unkeyed_authorization: false,
            unkeyed_cookie: true,
        },
        ..covered
    };
    let cached_only = RequestHead {
        headers: &only,
        directives: RequestDirectives::of(&only),
        ..covered
    };
    let nobody = RequestHead {
        headers: &only,
        directives: RequestDirectives::of(&only),
        ..cookie
    };
    let pass = Reuse::Pass(Reason::Identity);
    type Row<'a> = (
        &'a str,
        RequestHead<'a>,
        Option<&'a Stored>,
        bool,
        &'a Policy,
        Reuse,
    );
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("nothing", covered, None, false, &rfc, Reuse::Fetch(Reason::Miss)),
        ("others only", covered, None, true, &rfc, Reuse::Fetch(Reason::VaryMiss)),
        ("only-if-cached, nothing", cached_only, None, false, &rfc, Reuse::Unsatisfiable),
        ("only-if-cached, others", cached_only, None, true, &rfc, Reuse::Unsatisfiable),
        ("only-if-cached, identity", nobody, Some(&own), false, &rfc, Reuse::Unsatisfiable),
        ("HEAD", request(&head, &none), Some(&own), false, &rfc, hit(0)),
        ("HEAD, nothing", request(&head, &none), None, false, &rfc, Reuse::Fetch(Reason::Miss)),
        ("POST", request(&post, &none), Some(&own), false, &rfc, Reuse::Pass(Reason::Method)),
        ("Authorization, nothing", authorization, None, false, &rfc, pass),
        ("Authorization, stored", authorization, Some(&own), false, &rfc, pass),
        ("Authorization, public", authorization, Some(&public), false, &rfc, hit(0)),
        ("Authorization, must-revalidate", authorization, Some(&must), false, &rfc, pass),
        ("Authorization, proxy-revalidate", authorization, Some(&proxies_must), false, &rfc, pass),
        ("Cookie, must-revalidate", cookie, Some(&must), false, &rfc, pass),
        ("Authorization, shared rule", authorization, None, false, &shared, Reuse::Fetch(Reason::Miss)),
        ("Cookie, nothing", cookie, None, true, &rfc, pass),
        ("Cookie, stored", cookie, Some(&own), false, &rfc, pass),
        ("Cookie, public", cookie, Some(&public), false, &rfc, hit(0)),
        ("Cookie, shared rule", cookie, Some(&own), false, &shared, hit(0)),
    ];
    for (name, request, stored, occupied, policy, expected) in rows {
        assert_eq!(
            reuse(request, *stored, *occupied, policy, now()),
            *expected,
            "{name}"
        );
    }
}
