//! How often the app is asked: rates, what is renewed ahead, what writes have asked for again.

use super::*;
use crate::politeness::RequestRate;

/// Lines of `[upstream]` stand right below the url.
fn upstream(text: &str) -> String {
    format!("[upstream]\nurl = \"http://127.0.0.1:3000\"\n{text}\n")
}

fn purge(text: &str) -> String {
    format!("{LEAST}[[purge]]\npath = \"/a\"\n{text}\n")
}

#[test]
fn what_is_written_counts() {
    let usual = config(LEAST, &[]).upstream;
    assert_eq!(usual.background.rate, RequestRate::per_second(20));
    assert_eq!((usual.background.concurrency, usual.limit), (4, None));
    let text =
        "background = { rate = \"600/m\" }\nrate = \"200/s\"\nqueue = 5\nqueue_timeout = \"1s\"";
    let given = config(&upstream(text), &[]).upstream;
    assert_eq!(given.background.rate.to_string(), "600/m");
    assert_eq!(given.background.concurrency, 4);
    let limit = given.limit.expect("a limit");
    assert_eq!(limit.rate, RequestRate::per_second(200));
    assert_eq!(
        (limit.queue, limit.queue_timeout),
        (5, Duration::from_secs(1))
    );
    let rules = format!(
        "{}[[route]]\npath = \"/b\"\nrefresh_ahead = \"20%\"\n",
        purge("keys = [\"a\"]\nthen = \"refetch\"\ndelay = \"500ms\"")
    );
    let config = config(&rules, &[]);
    let refetch = config.purges[0].refetch.expect("it is asked for again");
    assert_eq!(
        (refetch.delay, refetch.max),
        (Duration::from_millis(500), 50)
    );
    assert_eq!(config.routes[0].settings.refresh_ahead.to_string(), "20%");
}

#[test]
fn mistakes_are_told_with_line_key_and_remedy() {
    let rows = [
        (
            upstream("background = { rate = \"20\" }"),
            "pannier.toml:3: upstream.background: \"20\" is not a rate of requests; write a whole number of requests",
        ),
        (
            upstream("background = { rate = 20 }"),
            "pannier.toml:3: upstream.background: 20 has no time; write \"20/s\"",
        ),
        (
            upstream("background = { concurrency = 0 }"),
            "pannier.toml:3: upstream.background: 0 is not allowed",
        ),
        (
            upstream("background = { rates = \"20/s\" }"),
            "did you mean rate?",
        ),
        (
            upstream("rate = \"0/s\""),
            "pannier.toml:3: upstream.rate: \"0/s\" is not a rate of requests; write 1 to 1000000",
        ),
        (
            format!("{LEAST}[[route]]\npath = \"/a\"\nrefresh_ahead = \"100%\"\n"),
            "route.refresh_ahead: \"100%\" is no part of a life; write a whole percentage from 0% to 90%",
        ),
        (
            purge("keys = []\nthen = \"refetch\""),
            "purge.then: there is nothing to ask for again; name what it purges",
        ),
        (
            purge("keys = [\"a\"]\nthen = \"refetch\"\ndelay = \"2h\""),
            "purge.delay: 2h is too late; write 1h at most",
        ),
    ];
    for (text, expected) in rows {
        let shown = errors(&text);
        assert!(shown.contains(expected), "{text}: {shown}");
    }
}

#[test]
fn what_changes_nothing_is_told() {
    let rows = [
        (
            upstream("queue = 5"),
            "upstream.queue: nobody waits for a turn where there is no rate",
        ),
        (
            purge("keys = [\"a\"]\ndelay = \"1s\""),
            "purge.delay: nothing is asked for again; write then = \"refetch\" beside it",
        ),
    ];
    for (text, expected) in rows {
        let shown = warnings(&text, &[]);
        assert!(shown.contains(expected), "{text}: {shown}");
    }
}
