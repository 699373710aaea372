//! Cache groups (RFC 9875).

use crate::conformance::case::{Case, fresh, ok, optimal, required};

pub(crate) fn cases() -> Vec<Case> {
    // The cases share an origin, so those whose group must stay have it to themselves.
    // Stored in these groups; then a write elsewhere invalidates those.
    let groups = |case: Case, stored: &str, invalidated: &str| {
        let case = case
            .get()
            .to("?a")
            .answers(fresh().f("cache-groups", stored));
        let case = case.ask("POST").to("?b");
        let case = case.answers(ok().f("cache-group-invalidation", invalidated));
        case.get().to("?a")
    };
    let gone = |name: &str, stored, invalidated| {
        groups(optimal("9875 §3", name), stored, invalidated).fetched()
    };
    let kept = |name: &str, stored, invalidated| {
        groups(required("9875 §3", name), stored, invalidated).hit_of(0)
    };
    vec![
        gone("a group is invalidated", "\"scripts\"", "\"scripts\""),
        gone("one group of two", "\"scripts\", \"styles\"", "\"styles\""),
        gone(
            "one of two invalidated",
            "\"scripts\"",
            "\"styles\", \"scripts\"",
        ),
        gone(
            "parameters do not matter",
            "\"scripts\";a=b",
            "\"scripts\";c",
        ),
        kept("another group stays", "\"one\"", "\"another\""),
        kept("another case is another group", "\"lower\"", "\"LOWER\""),
        kept(
            "a part of the name is another group",
            "\"wholes\"",
            "\"whole\"",
        ),
        kept(
            "an invalidation in no structured form",
            "\"broken\"",
            "\"broken\", &",
        ),
        kept("a group that is no string", "\"token\"", "token"),
        optimal("9875 §3", "two targets of a group")
            .get()
            .to("?a")
            .answers(fresh().f("cache-groups", "\"g\""))
            .get()
            .to("?c")
            .answers(fresh().f("cache-groups", "\"g\""))
            .ask("POST")
            .to("?b")
            .answers(ok().f("cache-group-invalidation", "\"g\""))
            .get()
            .to("?a")
            .fetched()
            .get()
            .to("?c")
            .fetched(),
        required("9875 §3", "an answer to GET invalidates no group")
            .get()
            .to("?a")
            .answers(fresh().f("cache-groups", "\"safe\""))
            .get()
            .to("?b")
            .answers(ok().f("cache-group-invalidation", "\"safe\""))
            .get()
            .to("?a")
            .hit_of(0),
        required("9875 §2.1", "another host's group stays")
            .get()
            .to("?a")
            .answers(fresh().f("cache-groups", "\"hosted\""))
            .ask("POST")
            .to("?b")
            .with("host", "other.example")
            .answers(ok().f("cache-group-invalidation", "\"hosted\""))
            .get()
            .to("?a")
            .hit_of(0),
        optimal("9875 §2", "32 groups of 32 characters")
            .get()
            .to("?a")
            .answers(fresh().f("cache-groups", &thirty_two()))
            .ask("POST")
            .to("?b")
            .answers(ok().f("cache-group-invalidation", &format!("\"{:032}\"", 31)))
            .get()
            .to("?a")
            .fetched(),
    ]
}

fn thirty_two() -> String {
    let groups: Vec<String> = (0..32).map(|number| format!("\"{number:032}\"")).collect();
    groups.join(", ")
}
