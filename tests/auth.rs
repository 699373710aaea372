//! An app with server-side sessions: who asks is known by a check of its own (`[auth]`).

mod fleet;
mod sessions;
mod trouble;
mod writes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Client, Reply};

/// Keys by role, by person and by neither, and what ends a session or changes it.
pub(crate) const CONFIG: &str = r#"
[auth]
url = "/api/auth/session"
cookies = ["sid"]
forward = ["x-tenant"]
[[route]]
name = "inquiries"
path = "/inquiries"
key = "inquiries:{auth.role}:{auth.user.id}"
[[route]]
name = "role"
path = "/role"
key = "role:{auth.role}"
shared_by = ["auth.role"]
[[route]]
name = "board"
path = "/board"
key = "board"
require = "auth"
shared = true
[[route]]
name = "guest"
path = "/guest"
key = "guest:{auth.user.id|guest}"
[[purge]]
name = "logout"
path = "/logout"
identity = "own"
[[purge]]
name = "role-changed"
path = "/users/{id}/role"
identity = true
[[purge]]
name = "own-inquiries"
path = "/inquiries/new"
keys = ["inquiries:*:{auth.user.id}"]
"#;

pub(crate) const CHECK: &str = "/api/auth/session";

/// The sessions of the app: what is behind a `sid`, as user and role.
type Sessions = Arc<Mutex<HashMap<String, (u64, &'static str)>>>;

/// An app that knows its users by the cookie `sid`, and answers each with who they are to it.
pub(crate) async fn session_app() -> (TestApp, Sessions) {
    let app = TestApp::start().await;
    let sessions = Sessions::default();
    let known = [
        ("a", (1, "admin")),
        ("b", (2, "editor")),
        ("c", (3, "editor")),
    ];
    let known = known.map(|(sid, who)| (sid.to_owned(), who));
    sessions
        .lock()
        .expect("no test panics under it")
        .extend(known);
    let of = sessions.clone();
    app.on("GET", CHECK, move |seen| match who(&of, seen) {
        Some((id, role)) => {
            Answer::json(&json!({ "user": { "id": id }, "role": role, "secret": "x" }))
        }
        None => Answer::status(401),
    });
    for path in ["/inquiries", "/role", "/board", "/guest"] {
        let of = sessions.clone();
        app.on("GET", path, move |seen| answer(&of, seen));
    }
    let of = sessions.clone();
    app.on("POST", "/logout", move |seen| {
        let mut sessions = of.lock().expect("no test panics under it");
        sid(seen).map(|sid| sessions.remove(&sid));
        Answer::status(204)
    });
    let of = sessions.clone();
    app.on("PUT", "/users/1/role", move |seen| {
        let role = if seen.body.is_empty() {
            "viewer"
        } else {
            "admin"
        };
        let mut sessions = of.lock().expect("no test panics under it");
        sessions
            .values_mut()
            .filter(|(id, _)| *id == 1)
            .for_each(|who| who.1 = role);
        Answer::status(204)
    });
    app.on("POST", "/inquiries/new", |_| Answer::status(201));
    (app, sessions)
}

/// What only the asker, or their role, may see.
fn answer(sessions: &Sessions, seen: &Seen) -> Answer {
    let who = who(sessions, seen);
    let shown = match (seen.path.as_str(), who) {
        ("/board", Some(_)) => "the board".to_owned(),
        ("/role", Some((_, role))) => format!("for role {role}"),
        (_, Some((id, role))) => format!("for user {id}, {role}"),
        (_, None) => "please log in".to_owned(),
    };
    Answer::text(shown)
}

/// The session of the last cookie that has one, as many apps read it.
fn who(sessions: &Sessions, seen: &Seen) -> Option<(u64, &'static str)> {
    let sessions = sessions.lock().expect("no test panics under it");
    sessions.get(&sid(seen)?).copied()
}

fn sid(seen: &Seen) -> Option<String> {
    let lines = seen.headers.get_all("cookie").into_iter();
    let pairs = lines.flat_map(|line| line.to_str().unwrap_or_default().split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix("sid="));
    values.next_back().map(str::to_owned)
}

/// As whoever has this session.
pub(crate) async fn get(client: &Client, path: &str, sid: &str) -> Reply {
    let cookie = format!("sid={sid}");
    client.get_with(path, &[("cookie", &cookie)]).await
}

/// Asks until the answer is a hit: a fill may still be on its way into the store.
async fn hit(client: &Client, path: &str, sid: &str) -> Reply {
    let reply = Mutex::new(None);
    crate::support::eventually(path, std::time::Duration::from_secs(30), || async {
        let found = get(client, path, sid).await;
        let is_hit = found.is_hit();
        *reply.lock().expect("no test panics under it") = Some(found);
        is_hit
    })
    .await;
    let mut reply = reply.lock().expect("no test panics under it");
    reply.take().expect("it was asked")
}

fn says(reply: &Reply, reason: &str) -> bool {
    reply.cache_status().contains(&format!("detail={reason}"))
}
