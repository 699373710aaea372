//! The example app of the desk rules.

use serde_json::{Value, json};

use super::super::app::{ExampleApp, add, body, change, query, query_id, remove, row, rows};
use super::{ANN, BOB};
use crate::support::app::Seen;

pub(super) async fn start() -> ExampleApp {
    let app = ExampleApp::start(json!({
        "users": [
            {"id": 42, "email": "ann@desk.example", "name": "Ann", "role": "agent"},
            {"id": 7, "email": "bob@desk.example", "name": "Bob", "role": "admin"},
            {"id": 9, "email": "cay@desk.example", "name": "Cay", "role": "agent"},
        ],
        "inquiries": [
            {"id": 1, "subject": "a", "status": "open", "userId": 42},
            {"id": 2, "subject": "b", "status": "open", "userId": 7},
        ],
    }))
    .await;
    show_users(&app);
    show_inquiries(&app);
    accept_users(&app);
    accept_inquiries(&app);
    app
}

/// Of the session; 0: nobody.
fn asker(seen: &Seen) -> u64 {
    match seen.header("cookie") {
        cookie if cookie == ANN.1 => 42,
        cookie if cookie == BOB.1 => 7,
        _ => 0,
    }
}

fn show_users(app: &ExampleApp) {
    app.read("/api/users/me", |data, seen| {
        let user = row(data, "users", &json!({"id": asker(seen)}));
        match user {
            Value::Null => json!({"anonymous": true}),
            user => json!({"id": user["id"], "email": user["email"], "me": user}),
        }
    });
    for (path, id) in [("/api/users/42", 42), ("/api/users/7", 7)] {
        app.read(path, move |data, _| row(data, "users", &json!({"id": id})));
    }
    for email in ["ann@desk.example", "anna@desk.example", "bob@desk.example"] {
        app.read(&format!("/api/users/by-email/{email}"), move |data, _| {
            let mut user = row(data, "users", &json!({"email": email}));
            if !user.is_null() {
                user["by"] = json!("email");
            }
            user
        });
    }
    for role in ["agent", "admin"] {
        app.read(
            &format!("/api/users/role/{role}"),
            move |data, _| json!({"users": rows(data, "users", &json!({"role": role}))}),
        );
    }
    app.read("/api/users", |data, _| json!({"users": data["users"]}));
}

/// One sees one's own, whatever the query says; an admin sees all.
fn show_inquiries(app: &ExampleApp) {
    app.read("/api/inquiries", |data, seen| {
        let user = row(data, "users", &json!({"id": asker(seen)}));
        let mut wanted = json!({});
        if user["role"] != "admin" || query(seen, "role") != "admin" {
            wanted["userId"] = user["id"].clone();
        }
        if !query(seen, "status").is_empty() {
            wanted["status"] = json!(query(seen, "status"));
        }
        let page = query_id(seen, "page").max(1) as usize;
        let inquiries = rows(data, "inquiries", &wanted);
        let shown: Vec<_> = inquiries.into_iter().skip((page - 1) * 10).collect();
        json!({"inquiries": shown, "page": page, "filter": wanted})
    });
    app.read("/api/analytics/workload", |data, seen| {
        let open = rows(data, "inquiries", &json!({"status": "open"}));
        json!({"open": open.len(), "all": data["inquiries"], "in": query(seen, "timeRange")})
    });
}

fn accept_users(app: &ExampleApp) {
    let by_email = "/api/users/by-email/ann@desk.example";
    for (method, path, fields) in [
        ("PUT", "/api/users/42", json!({"id": 42})),
        ("PATCH", by_email, json!({"email": "ann@desk.example"})),
    ] {
        app.write(method, path, move |data, seen| {
            change(data, "users", &fields, &body(seen))
        });
    }
    app.write("PATCH", "/api/users/me", |data, seen| {
        change(data, "users", &json!({"id": asker(seen)}), &body(seen))
    });
    app.write("POST", "/api/users", |data, seen| {
        add(data, "users", body(seen))
    });
    app.write("DELETE", "/api/users/9", |data, _| {
        remove(data, "users", &json!({"id": 9}))
    });
    app.write("POST", "/api/login", |_, _| json!({}));
}

fn accept_inquiries(app: &ExampleApp) {
    app.write("POST", "/api/inquiries", |data, seen| {
        add(data, "inquiries", body(seen))
    });
    app.write("PATCH", "/api/inquiries/1", |data, seen| {
        change(data, "inquiries", &json!({"id": 1}), &body(seen))
    });
    app.write("DELETE", "/api/inquiries/1", |data, _| {
        remove(data, "inquiries", &json!({"id": 1}))
    });
}
