//! Who is answered from the store, and with what.

use super::{CHECK, CONFIG, get, hit, says, session_app};
use crate::support::Gate;
use crate::support::app::Answer;
use crate::support::client::Fields;
use crate::support::sidecar::Sidecar;

#[tokio::test(flavor = "multi_thread")]
async fn each_person_has_what_is_theirs_and_is_asked_about_once() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for (sid, text) in [
        ("a", "for user 1, admin"),
        ("b", "for user 2, editor"),
        ("c", "for user 3, editor"),
    ] {
        assert_eq!(get(&client, "/inquiries", sid).await.text(), text);
        assert_eq!(hit(&client, "/inquiries", sid).await.text(), text);
    }
    assert_eq!(app.count("/inquiries"), 3);
    assert_eq!(app.count(CHECK), 6, "once for each, and for what is stored");
    let check = app.last(CHECK);
    assert_eq!(check.header("cookie"), "sid=c");
    assert_eq!(check.header("accept"), "application/json");
    assert_eq!(check.header("x-forwarded-host"), sidecar.addr().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_one_role_share() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    hit(&client, "/role", "b").await;
    let of_c = get(&client, "/role", "c").await;
    assert!(of_c.is_hit(), "{}", of_c.cache_status());
    assert_eq!(of_c.text(), "for role editor");
    assert_eq!(get(&client, "/role", "a").await.text(), "for role admin");
    assert_eq!(app.count("/role"), 2, "once for each role");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whoever_is_logged_in_gets_what_all_of_them_share() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    let anonymous: [Fields<'_>; 4] = [
        &[],
        &[("cookie", "theme=dark")],
        &[("cookie", "sid=unknown")],
        &[("authorization", "Bearer x")],
    ];
    for _ in 0..2 {
        for fields in anonymous {
            let reply = client.get_with("/board", fields).await;
            assert_eq!(reply.text(), "please log in", "{fields:?}");
            assert!(says(&reply, "unauthenticated"), "{}", reply.cache_status());
            sidecar.fills_have_ended().await;
        }
        assert_eq!(hit(&client, "/board", "a").await.text(), "the board");
        assert!(get(&client, "/board", "b").await.is_hit());
    }
    assert_eq!(
        app.count(CHECK),
        5,
        "a, b, the two who brought something, and for what is stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_cookies_gets_what_is_anothers() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for sid in ["a", "b", "c"] {
        hit(&client, "/inquiries", sid).await;
    }
    let spellings: [Fields<'_>; 9] = [
        &[("cookie", "sid=a; sid=b")],
        &[("cookie", "sid=b; sid=a")],
        &[("cookie", "sid=a"), ("cookie", "sid=b")],
        &[("cookie", "sid=b"), ("cookie", "sid=a")],
        &[("cookie", "sid=a;sid=b")],
        &[("cookie", "sid=ab")],
        &[("cookie", "sid=a"), ("authorization", "sid=b")],
        &[("cookie", "sid=b"), ("x-tenant", "sid=a")],
        &[("cookie", "sid=a; theme=sid=b")],
    ];
    for fields in spellings.iter().chain(spellings.iter().rev()) {
        let reply = client.get_with("/inquiries", fields).await;
        sidecar.fills_have_ended().await;
        // As the app itself would answer.
        let direct = client.request("GET", "/inquiries");
        let direct = fields
            .iter()
            .fold(direct, |request, (name, value)| request.header(name, value));
        let by_app = direct.header("cache-control", "no-cache").send().await;
        assert_eq!(reply.text(), by_app.text(), "{fields:?}");
        sidecar.fills_have_ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_the_check_is_not_sent_counts_as_ever() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    hit(&client, "/inquiries", "a").await;
    let german = [("cookie", "sid=a; lang=de")];
    let reply = client.get_with("/inquiries", &german).await;
    assert!(says(&reply, "identity"), "{}", reply.cache_status());
    let known = [("cookie", "_ga=1; sid=a; _gid=2")];
    assert!(client.get_with("/inquiries", &known).await.is_hit());
    assert_eq!(app.count(CHECK), 2, "the same session, and what is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_brings_nothing_may_share_a_default() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    let guest = client.get("/guest").await;
    assert_eq!(guest.text(), "please log in");
    sidecar.fills_have_ended().await;
    assert!(client.get("/guest").await.is_hit());
    assert_eq!(app.count(CHECK), 0);
    assert_eq!(
        get(&client, "/guest", "a").await.text(),
        "for user 1, admin"
    );
    let stranger = get(&client, "/guest", "unknown").await;
    assert!(
        says(&stranger, "unauthenticated"),
        "{}",
        stranger.cache_status()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_itself_is_an_ordinary_request_to_clients() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    hit(&client, "/board", "a").await;
    let reply = get(&client, CHECK, "a").await;
    assert_eq!(reply.value()["role"], "admin");
    assert!(says(&reply, "no-rule"), "{}", reply.cache_status());
    assert_eq!(app.count(CHECK), 3, "by the client, and for what is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_with_one_session_costs_one_check() {
    let (app, _) = session_app().await;
    let gate = crate::support::Gate::new();
    let held = gate.clone();
    app.on("GET", CHECK, move |_| {
        Answer::text(r#"{"user": {"id": 1}, "role": "admin"}"#).behind(&held)
    });
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { get(&client, "/inquiries", "a").await })
        })
        .collect();
    gate.reached(1).await;
    gate.open();
    for reply in asking {
        assert_eq!(reply.await.expect("it answers").text(), "for user 1, admin");
    }
    // Whoever comes late to the crowd may find the fill over, and what it brought not stored yet.
    let fills = app.count("/inquiries");
    assert!(fills < 10, "{fills}");
    assert_eq!(app.count(CHECK), 1 + fills, "and for what is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_token_may_be_required_too() {
    const TOKENS: &str = r#"
[jwt]
secret = "a secret of more than thirty-two bytes, for the tests"
[[route]]
path = "/board"
key = "board"
require = "jwt"
shared = true
"#;
    let (app, _) = session_app().await;
    app.on("GET", "/board", |_| Answer::text("the board"));
    let sidecar = Sidecar::start(&app.url(), TOKENS);
    let client = sidecar.client();
    let bearer = |exp: u64| {
        let key = jsonwebtoken::EncodingKey::from_secret(
            b"a secret of more than thirty-two bytes, for the tests",
        );
        let claims = serde_json::json!({ "sub": "ann", "exp": exp });
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
        format!("Bearer {}", token.expect("a token"))
    };
    let (valid, expired) = (bearer(4_000_000_000), bearer(1_000_000_000));
    client
        .get_with("/board", &[("authorization", &valid)])
        .await;
    sidecar.fills_have_ended().await;
    assert!(
        client
            .get_with("/board", &[("authorization", &valid)])
            .await
            .is_hit()
    );
    for fields in [&[][..], &[("authorization", expired.as_str())]] {
        let reply = client.get_with("/board", fields).await;
        assert!(says(&reply, "unauthenticated"), "{}", reply.cache_status());
    }
}

/// The app has made somebody an admin, or a session another's, and no purge says so: what it answers is of the new role,
/// while what is known of them is of the old one. Nobody of the old role may get it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_to_a_role_that_has_changed_is_nobodys() {
    let (app, sessions) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    get(&client, "/inquiries", "b").await;
    sidecar.fills_have_ended().await;
    let become_admin = || {
        let mut sessions = sessions.lock().expect("no test panics under it");
        sessions.insert("b".to_owned(), (2, "admin"));
    };
    become_admin();
    let of_b = get(&client, "/role", "b").await;
    assert_eq!(of_b.text(), "for role admin");
    sidecar.fills_have_ended().await;
    let of_c = get(&client, "/role", "c").await;
    assert_eq!(of_c.text(), "for role editor", "{}", of_c.cache_status());
    assert_eq!(hit(&client, "/role", "b").await.text(), "for role admin");
    assert_eq!(hit(&client, "/role", "a").await.text(), "for role admin");
}

/// As above, while another of the old role waits for that very answer.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_an_answer_to_a_role_that_has_changed_asks_again() {
    let (app, sessions) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for sid in ["b", "c"] {
        get(&client, "/inquiries", sid).await;
    }
    sidecar.fills_have_ended().await;
    let gate = Gate::new();
    let (held, of) = (gate.clone(), sessions.clone());
    app.on("GET", "/role", move |seen| {
        super::answer(&of, seen).behind(&held)
    });
    sessions
        .lock()
        .expect("no test panics under it")
        .insert("b".to_owned(), (2, "admin"));
    let ask = |sid: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { get(&client, "/role", sid).await })
    };
    let of_b = ask("b");
    gate.reached(1).await;
    let of_c = ask("c");
    let admin = sidecar.admin();
    crate::support::eventually("c waits", std::time::Duration::from_secs(30), || async {
        let metrics = admin.get("/metrics").await;
        let waits = "pannier_coalesced_waiters 1";
        metrics.text().lines().any(|line| line == waits)
    })
    .await;
    gate.open();
    assert_eq!(of_b.await.expect("it answers").text(), "for role admin");
    let of_c = of_c.await.expect("it answers");
    assert_eq!(of_c.text(), "for role editor", "{}", of_c.cache_status());
}

/// The check went by one of two credentials, and the route may go by the other: nobody else gets that.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_the_session_is_not_covered() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for path in ["/role", "/inquiries"] {
        let both = [("cookie", "sid=b"), ("authorization", "Bearer x")];
        let reply = client.get_with(path, &both).await;
        assert!(says(&reply, "identity"), "{}", reply.cache_status());
        sidecar.fills_have_ended().await;
        assert!(!get(&client, path, "b").await.is_hit(), "{path}");
    }
}
