//! What ends or changes a session, and writes that purge by who they are of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{CHECK, CONFIG, Sessions, get, hit, says, session_app};
use crate::support::Gate;
use crate::support::app::Answer;
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::sidecar::{Sidecar, TOKEN};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_is_seen_at_once_and_asks_about_nobody_else() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for sid in ["a", "b"] {
        hit(&client, "/board", sid).await;
    }
    let asked = app.count(CHECK);
    let logout = client.request("POST", "/logout").header("cookie", "sid=a");
    assert_eq!(logout.send().await.status, 204);
    let reply = get(&client, "/board", "a").await;
    assert!(says(&reply, "unauthenticated"), "{}", reply.cache_status());
    assert_eq!(reply.text(), "please log in");
    assert!(get(&client, "/board", "b").await.is_hit());
    assert_eq!(app.count(CHECK), asked + 1, "about a alone");
}

/// One person's browser has one session for several hosts of the app, and a tenant of each.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_one_host_is_one_at_all() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    let board = |host: &'static str, sid: &'static str| {
        let request = client.request("GET", "/board").header("host", host);
        let request = request.header("cookie", &format!("sid={sid}"));
        request.header("x-tenant", host).send()
    };
    let hosts = ["one.example", "two.example", "three.example:81"];
    let fill = || async {
        for (host, sid) in hosts.iter().flat_map(|host| [(*host, "a"), (*host, "b")]) {
            eventually(host, LONG, || async { board(host, sid).await.is_hit() }).await;
        }
    };
    fill().await;
    let asked = app.count(CHECK);
    fill().await;
    assert_eq!(app.count(CHECK), asked, "all are known");
    let logout = client.request("POST", "/logout").header("host", hosts[0]);
    logout.header("cookie", "sid=a").send().await;
    for host in hosts {
        let reply = board(host, "a").await;
        assert!(
            says(&reply, "unauthenticated"),
            "{host}: {}",
            reply.cache_status()
        );
        assert!(board(host, "b").await.is_hit(), "{host}");
    }
    assert_eq!(app.count(CHECK), asked + 3, "of a alone, by each host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_role_is_seen_at_once_by_whoever_it_is_about() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    assert_eq!(hit(&client, "/role", "a").await.text(), "for role admin");
    // Another person makes it.
    let change = client
        .request("PUT", "/users/1/role")
        .header("cookie", "sid=b");
    assert_eq!(change.send().await.status, 204);
    assert_eq!(get(&client, "/role", "a").await.text(), "for role viewer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_drops_what_is_known_of_anybody() {
    let (app, sessions) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for body in [r#"{"identity": true}"#, r#"{"everything": true}"#] {
        hit(&client, "/board", "a").await;
        let asked = app.count(CHECK);
        let purge = sidecar.admin().request("POST", "/purge");
        let purge = purge.header("authorization", &format!("Bearer {TOKEN}"));
        let purge = purge.header("content-type", "application/json").body(body);
        assert_eq!(purge.send().await.status, 200);
        assert_eq!(get(&client, "/board", "a").await.text(), "the board");
        // Once more for what is stored, where the board has gone as well.
        assert!(app.count(CHECK) > asked, "{body}");
        sidecar.fills_have_ended().await;
    }
    drop(sessions);
}

/// Nothing of another role is stored under theirs.
async fn another_admin_gets_what_is_for_admins(client: &Client, sessions: &Sessions) {
    sessions
        .lock()
        .expect("no test panics under it")
        .insert("d".to_owned(), (4, "admin"));
    let reply = get(client, "/role", "d").await;
    assert_eq!(reply.text(), "for role admin", "{}", reply.cache_status());
}

/// The check's answer is made before the purge, and comes after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_check_under_way_says_is_not_kept_behind_a_purge() {
    let (app, sessions) = session_app().await;
    let gate = Gate::new();
    let (held, first) = (gate.clone(), Arc::new(AtomicBool::new(true)));
    let of = sessions.clone();
    app.on("GET", CHECK, move |seen| {
        let role = super::who(&of, seen).map_or("none", |(_, role)| role);
        let answer = Answer::text(format!(r#"{{"user": {{"id": 1}}, "role": "{role}"}}"#));
        match first.swap(false, Ordering::SeqCst) {
            true => answer.behind(&held),
            false => answer,
        }
    });
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { get(&client, "/role", "a").await }
    });
    gate.reached(1).await;
    let change = client.request("PUT", "/users/1/role").send().await;
    assert_eq!(change.status, 204);
    // It does not wait for what was asked before, either.
    assert_eq!(get(&client, "/role", "a").await.text(), "for role viewer");
    gate.open();
    // The app knows better by now than what the check said.
    let overtaken = asking.await.expect("it answers");
    assert_eq!(overtaken.text(), "for role viewer");
    sidecar.fills_have_ended().await;
    another_admin_gets_what_is_for_admins(&client, &sessions).await;
}

/// A fill that began for a role leaves nothing under it once the role may have changed (promise I3).
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_way_is_not_stored_for_a_role_that_was_purged() {
    let (app, sessions) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    hit(&client, "/board", "a").await;
    let gate = Gate::new();
    let (held, of) = (gate.clone(), sessions.clone());
    app.on("GET", "/role", move |seen| {
        let role = super::who(&of, seen).map_or("none", |(_, role)| role);
        Answer::text(format!("for role {role}")).behind(&held)
    });
    // The app changes the role before it is asked, and says so afterwards.
    let changing = Gate::new();
    let (slow, of) = (changing.clone(), sessions.clone());
    app.on("PUT", "/users/1/role", move |_| {
        let mut sessions = of.lock().expect("no test panics under it");
        sessions.insert("a".to_owned(), (1, "viewer"));
        Answer::status(204).behind(&slow)
    });
    let write = tokio::spawn({
        let client = client.clone();
        async move { client.request("PUT", "/users/1/role").send().await }
    });
    changing.reached(1).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { get(&client, "/role", "a").await }
    });
    gate.reached(1).await;
    changing.open();
    assert_eq!(write.await.expect("it answers").status, 204);
    gate.open();
    assert_eq!(asking.await.expect("it answers").text(), "for role viewer");
    sidecar.fills_have_ended().await;
    another_admin_gets_what_is_for_admins(&client, &sessions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_purges_what_is_its_writers() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for sid in ["a", "b"] {
        hit(&client, "/inquiries", sid).await;
    }
    let asked = app.count(CHECK);
    let write = client
        .request("POST", "/inquiries/new")
        .header("cookie", "sid=a");
    write.send().await;
    assert!(!get(&client, "/inquiries", "a").await.is_hit());
    assert!(get(&client, "/inquiries", "b").await.is_hit());
    // Whom the check does not know purges for anybody.
    sidecar.fills_have_ended().await;
    assert_eq!(
        app.count(CHECK),
        asked + 1,
        "both were known; for what is stored"
    );
    client
        .request("POST", "/inquiries/new")
        .header("cookie", "sid=x")
        .send()
        .await;
    for sid in ["a", "b"] {
        assert!(!get(&client, "/inquiries", sid).await.is_hit(), "{sid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_who_is_not_known_yet_is_asked_about_before_the_write() {
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    hit(&client, "/inquiries", "b").await;
    let write = client
        .request("POST", "/inquiries/new")
        .header("cookie", "sid=a");
    write.send().await;
    let seen = app.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(paths[paths.len() - 2..], [CHECK, "/inquiries/new"]);
    assert!(get(&client, "/inquiries", "b").await.is_hit());
}

/// A link ends the session; so does a HEAD of it, in most apps.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_by_get_is_seen_at_once() {
    let by_get = CONFIG.replace(
        "path = \"/logout\"\n",
        "path = \"/logout\"\nmethods = [\"GET\", \"POST\"]\n",
    );
    for method in ["GET", "HEAD"] {
        let (app, sessions) = session_app().await;
        app.on(method, "/logout", move |seen| {
            let mut sessions = sessions.lock().expect("no test panics under it");
            super::sid(seen).map(|sid| sessions.remove(&sid));
            Answer::text("good bye").cache_control("max-age=60")
        });
        let sidecar = Sidecar::start(&app.url(), &by_get);
        let client = sidecar.client();
        for sid in ["a", "b"] {
            hit(&client, "/board", sid).await;
        }
        let logout = client.request(method, "/logout").header("cookie", "sid=a");
        assert_eq!(logout.send().await.status, 200);
        let reply = get(&client, "/board", "a").await;
        assert!(
            says(&reply, "unauthenticated"),
            "{method}: {}",
            reply.cache_status()
        );
        assert!(get(&client, "/board", "b").await.is_hit(), "{method}");
    }
}
