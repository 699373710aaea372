//! Targeted cache control (RFC 9213).

use crate::conformance::case::{Case, ok, optimal, required};

type Fields = &'static [(&'static str, &'static str)];

pub(crate) fn cases() -> Vec<Case> {
    let served = SERVED.iter().map(|(name, fields)| {
        let case = optimal("9213 §2", *name).stored(ok().fs(fields));
        case.get().hit()
    });
    let refused = REFUSED.iter().map(|(name, fields)| {
        let case = required("9213 §2", *name).stored(ok().fs(fields));
        case.get().fetched()
    });
    served.chain(refused).collect()
}

const CC: &str = "cache-control";
const CDN: &str = "cdn-cache-control";
const OWN: &str = "pannier-cache-control";

const SERVED: &[(&str, Fields)] = &[
    ("CDN max-age alone", &[(CDN, "max-age=3600")]),
    (
        "CDN max-age over no-store",
        &[(CDN, "max-age=3600"), (CC, "no-store")],
    ),
    (
        "CDN max-age over private",
        &[(CDN, "max-age=3600"), (CC, "private")],
    ),
    (
        "CDN max-age over no-cache",
        &[(CDN, "max-age=3600"), (CC, "no-cache")],
    ),
    (
        "CDN max-age over s-maxage=0",
        &[(CDN, "max-age=3600"), (CC, "s-maxage=0")],
    ),
    (
        "CDN max-age over Expires",
        &[(CDN, "max-age=3600"), ("expires", "{now-60}")],
    ),
    (
        "CDN max-age over Pragma",
        &[(CDN, "max-age=3600"), ("pragma", "no-cache")],
    ),
    ("CDN s-maxage", &[(CDN, "s-maxage=3600, max-age=0")]),
    (
        "CDN with a parameter on its directive",
        &[(CDN, "max-age=3600;foo=bar")],
    ),
    (
        "CDN with an unknown directive",
        &[(CDN, "foo, max-age=3600"), (CC, "no-store")],
    ),
    (
        "CDN on two lines",
        &[(CDN, "foo"), (CDN, "max-age=3600"), (CC, "no-store")],
    ),
    (
        "CDN in no structured form is absent",
        &[(CDN, "no-store, &"), (CC, "max-age=3600")],
    ),
    (
        "CDN with a name in capitals is absent",
        &[(CDN, "NO-STORE"), (CC, "max-age=3600")],
    ),
    ("CDN empty is absent", &[(CDN, ""), (CC, "max-age=3600")]),
    (
        "CDN with a false no-store",
        &[(CDN, "no-store=?0, max-age=3600")],
    ),
    (
        "own field over CDN",
        &[(OWN, "max-age=3600"), (CDN, "no-store")],
    ),
    (
        "own field over Cache-Control",
        &[(OWN, "max-age=3600"), (CC, "no-store")],
    ),
    (
        "own field broken, CDN next",
        &[(OWN, "&"), (CDN, "max-age=3600"), (CC, "no-store")],
    ),
    (
        "another cache's field is not ours",
        &[("other-cache-control", "no-store"), (CC, "max-age=3600")],
    ),
];

const REFUSED: &[(&str, Fields)] = &[
    (
        "CDN no-store over max-age",
        &[(CDN, "no-store"), (CC, "max-age=3600")],
    ),
    (
        "CDN private over max-age",
        &[(CDN, "private"), (CC, "max-age=3600")],
    ),
    (
        "CDN no-cache over max-age",
        &[(CDN, "no-cache"), (CC, "max-age=3600")],
    ),
    (
        "CDN max-age=0 over max-age",
        &[(CDN, "max-age=0"), (CC, "max-age=3600")],
    ),
    (
        "older than CDN max-age",
        &[
            (CDN, "max-age=60"),
            (CC, "max-age=3600"),
            ("date", "{now-100}"),
        ],
    ),
    (
        "CDN without freshness leaves Expires out",
        &[(CDN, "public"), ("expires", "{now+3600}")],
    ),
    (
        "CDN without freshness leaves Cache-Control out",
        &[(CDN, "public"), (CC, "max-age=3600")],
    ),
    (
        "CDN no-store on a second line",
        &[(CDN, "max-age=3600"), (CDN, "no-store")],
    ),
    (
        "CDN broken leaves Cache-Control's no-store",
        &[(CDN, "max-age=3600, &"), (CC, "no-store")],
    ),
    (
        "CDN in capitals leaves Cache-Control's no-store",
        &[(CDN, "MAX-AGE=3600"), (CC, "no-store")],
    ),
    (
        "CDN empty leaves Cache-Control's no-store",
        &[(CDN, ""), (CC, "no-store, max-age=3600")],
    ),
    (
        "own no-store over CDN",
        &[
            (OWN, "no-store"),
            (CDN, "max-age=3600"),
            (CC, "max-age=3600"),
        ],
    ),
    (
        "another cache's field gives us nothing",
        &[("other-cache-control", "max-age=3600")],
    ),
];
