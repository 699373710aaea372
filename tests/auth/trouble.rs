//! The check fails, says nothing, or is asked about too many.

use std::time::Duration;

use super::{CHECK, CONFIG, get, hit, says, session_app};
use crate::support::app::Answer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn where_the_check_fails_the_app_answers_each_and_nothing_is_stored() {
    type Handler = fn() -> Answer;
    let ways: [(&str, Handler); 5] = [
        ("an error", || Answer::status(500)),
        ("too many", || Answer::status(429)),
        ("no JSON", || Answer::text("<html>")),
        ("a list", || Answer::text("[1]")),
        ("too long", || {
            Answer::text(format!("{{\"role\": \"{}\"}}", "x".repeat(70_000)))
        }),
    ];
    for (name, answer) in ways {
        let (app, _) = session_app().await;
        app.on("GET", CHECK, move |_| answer());
        let sidecar = Sidecar::start(&app.url(), CONFIG);
        let client = sidecar.client();
        for _ in 0..3 {
            let reply = get(&client, "/inquiries", "a").await;
            assert_eq!(reply.text(), "for user 1, admin", "{name}");
            assert!(
                says(&reply, "auth-failed"),
                "{name}: {}",
                reply.cache_status()
            );
        }
        assert_eq!(app.count("/inquiries"), 3, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_everyone_that_names_nobody_is_no() {
    for text in ["{}", "null", "false"] {
        let (app, _) = session_app().await;
        app.on("GET", CHECK, move |_| Answer::text(text));
        let sidecar = Sidecar::start(&app.url(), CONFIG);
        let reply = get(&sidecar.client(), "/board", "a").await;
        assert!(
            says(&reply, "unauthenticated"),
            "{text}: {}",
            reply.cache_status()
        );
    }
}

/// A check that hangs costs one timeout, and not one a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_is_waited_for_once() {
    let (app, _) = session_app().await;
    let gate = Gate::new();
    let held = gate.clone();
    app.on("GET", CHECK, move |_| Answer::status(200).behind(&held));
    let config = CONFIG.replace("cookies =", "timeout = \"50ms\"\ncookies =");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    // In the same second, unless the machine is very slow; then there are as many checks as seconds.
    let started = pannier::clock::monotonic();
    for _ in 0..20 {
        let reply = get(&client, "/board", "a").await;
        assert_eq!(reply.text(), "the board");
        assert!(says(&reply, "auth-failed"), "{}", reply.cache_status());
    }
    let seconds = (pannier::clock::monotonic() - started).as_secs() as usize;
    assert!(
        app.count(CHECK) <= seconds + 1,
        "{} checks",
        app.count(CHECK)
    );
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_holds_while_the_check_is_down() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    hit(&client, "/board", "a").await;
    app.on("GET", CHECK, |_| Answer::status(503));
    assert!(get(&client, "/board", "a").await.is_hit());
    let reply = get(&client, "/board", "b").await;
    assert_eq!(reply.text(), "the board");
    assert!(says(&reply, "auth-failed"), "{}", reply.cache_status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_ends_with_its_ttl() {
    let (app, sessions) = session_app().await;
    let config = CONFIG.replace("cookies =", "ttl = \"200ms\"\ncookies =");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    hit(&client, "/board", "a").await;
    sessions.lock().expect("no test panics under it").clear();
    eventually("it is asked again", Duration::from_secs(30), || async {
        let reply = get(&client, "/board", "a").await;
        reply.text() == "please log in"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_checks_at_a_time_pass() {
    let (app, _) = session_app().await;
    let gate = Gate::new();
    let held = gate.clone();
    app.on("GET", CHECK, move |_| Answer::status(401).behind(&held));
    let config = CONFIG.replace("cookies =", "max_checks = 1\ncookies =");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { get(&client, "/board", "a").await }
    });
    gate.reached(1).await;
    let reply = get(&client, "/board", "b").await;
    assert_eq!(reply.text(), "the board");
    assert!(says(&reply, "auth-failed"), "{}", reply.cache_status());
    gate.open();
    assert!(says(&waiting.await.expect("it answers"), "unauthenticated"));
}

/// One client with ever new cookies takes no more than there is room for, and turns out nobody who is there.
#[tokio::test(flavor = "multi_thread")]
async fn one_client_with_very_many_cookies() {
    const MAX: usize = 100;
    let (app, sessions) = session_app().await;
    let config = CONFIG.replace("cookies =", &format!("max = {MAX}\ncookies ="));
    let config = config.replace("[auth]", "[listen]\nworkers = 1\n[auth]");
    let sidecar = Sidecar::start(&app.url(), &config);
    let client = sidecar.client();
    hit(&client, "/board", "a").await;
    let mut sids = Vec::new();
    for number in 0..5 * MAX {
        let sid = format!("x{number}");
        if number % 2 == 0 {
            let mut sessions = sessions.lock().expect("no test panics under it");
            sessions.insert(sid.clone(), (9, "editor"));
        }
        sids.push(sid);
    }
    for (number, sid) in sids.iter().enumerate() {
        get(&client, "/board", sid).await;
        if number % 20 == 0 {
            let asked = app.count(CHECK);
            assert!(get(&client, "/board", "a").await.is_hit());
            assert_eq!(app.count(CHECK), asked, "{number}: a is known");
        }
    }
    let metrics = sidecar.admin().get("/metrics").await;
    let kept = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("pannier_auth_decisions "));
    let kept: usize = kept.expect("a gauge").parse().expect("a number");
    assert!(kept <= MAX && kept > MAX / 2, "{kept}");
}
