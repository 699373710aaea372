//! `config/desk.toml`: who am I, users, inquiries and workload.

mod api;

use pannier::entry::Priority::{High, Low, Medium};

use super::deployment::Deployment;
use super::table::{Read, Write, read, write};

const ANN: (&str, &str) = ("cookie", "theme=dark; session=secret-of-ann");
const BOB: (&str, &str) = ("cookie", "session=secret-of-bob");

const READS: [Read; 16] = [
    read("me, Ann", "/api/users/me", "user:me:*", 300, High).by(ANN),
    read("me, Bob", "/api/users/me", "user:me:*", 300, High).by(BOB),
    read("Ann", "/api/users/42", "user:42", 300, High).by(BOB),
    read("Bob", "/api/users/7", "user:7", 300, High).by(BOB),
    read(
        "Ann by address",
        "/api/users/by-email/ann@desk.example",
        "user:email:ann@desk.example",
        300,
        High,
    )
    .by(BOB),
    read(
        "Bob by address",
        "/api/users/by-email/bob@desk.example",
        "user:email:bob@desk.example",
        300,
        High,
    )
    .by(BOB),
    read(
        "agents",
        "/api/users/role/agent",
        "users:role:agent",
        300,
        Medium,
    )
    .by(BOB),
    read(
        "admins",
        "/api/users/role/admin",
        "users:role:admin",
        300,
        Medium,
    )
    .by(BOB),
    read("users", "/api/users", "users:all", 300, Medium).by(BOB),
    read(
        "Ann's inquiries",
        "/api/inquiries?role=agent&userId=42",
        "inquiries:agent:42::*",
        120,
        Medium,
    )
    .by(ANN),
    read(
        "Ann's open ones",
        "/api/inquiries?status=open&role=agent&userId=42",
        "inquiries:agent:42:status=open:*",
        120,
        Medium,
    )
    .by(ANN),
    read(
        "Ann's second page",
        "/api/inquiries?status=open&userId=42&role=agent&page=2",
        "inquiries:agent:42:page=2&status=open:*",
        120,
        Medium,
    )
    .by(ANN),
    // Bob writes Ann's id, and is not Ann.
    read(
        "Ann's, to Bob",
        "/api/inquiries?role=agent&userId=42",
        "inquiries:agent:42::*",
        120,
        Medium,
    )
    .by(BOB),
    read(
        "Bob's inquiries",
        "/api/inquiries?role=admin&userId=7",
        "inquiries:admin:7::*",
        120,
        Medium,
    )
    .by(BOB),
    read(
        "workload",
        "/api/analytics/workload",
        "analytics:workload:week",
        300,
        Low,
    )
    .by(BOB)
    .spare(300),
    read(
        "workload of a month",
        "/api/analytics/workload?timeRange=month",
        "analytics:workload:month",
        300,
        Low,
    )
    .by(BOB)
    .spare(300),
];

const SHOW_ANN: &[&str] = &[
    "me, Ann",
    "Ann",
    "Ann by address",
    "agents",
    "admins",
    "users",
];
const LIST_USERS: &[&str] = &["agents", "admins", "users"];
const SHOW_INQUIRIES: &[&str] = &[
    "Ann's inquiries",
    "Ann's open ones",
    "Ann's second page",
    "Ann's, to Bob",
    "Bob's inquiries",
    "workload",
    "workload of a month",
];

const WRITES: [Write; 9] = [
    write("a login, which no rule names", "POST", "/api/login", "{}"),
    write(
        "Ann, changed by Bob",
        "PUT",
        "/api/users/42",
        r#"{"name": "Anna"}"#,
    )
    .by(BOB)
    .stales(SHOW_ANN),
    write(
        "Ann, changed by address",
        "PATCH",
        "/api/users/by-email/ann@desk.example",
        r#"{"name": "Anne"}"#,
    )
    .by(BOB)
    .stales(SHOW_ANN),
    write(
        "Ann, changed by herself",
        "PATCH",
        "/api/users/me",
        r#"{"name": "Annie"}"#,
    )
    .by(ANN)
    .stales(SHOW_ANN),
    write(
        "a new user",
        "POST",
        "/api/users",
        r#"{"id": 10, "email": "eve@desk.example", "name": "Eve", "role": "agent"}"#,
    )
    .by(BOB)
    .stales(LIST_USERS),
    write("a deleted user", "DELETE", "/api/users/9", "")
        .by(BOB)
        .stales(LIST_USERS),
    write(
        "a new inquiry",
        "POST",
        "/api/inquiries",
        r#"{"id": 3, "subject": "c", "status": "open", "userId": 42}"#,
    )
    .by(ANN)
    .stales(SHOW_INQUIRIES),
    write(
        "a closed inquiry",
        "PATCH",
        "/api/inquiries/1",
        r#"{"status": "shut"}"#,
    )
    .by(ANN)
    .stales(SHOW_INQUIRIES),
    write("a deleted inquiry", "DELETE", "/api/inquiries/1", "")
        .by(ANN)
        .stales(SHOW_INQUIRIES),
];

async fn desk() -> Deployment {
    Deployment::start("desk", "DESK_URL", api::start().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_get_is_stored_under_its_key() {
    desk().await.stores(&READS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_purges_what_shows_it_and_nothing_else() {
    desk().await.purges(&READS, &WRITES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_purges_nothing() {
    desk().await.keeps_when_refused(&READS, &WRITES).await;
}

/// The tags name the address an answer showed when it was stored, so the old one goes with the user.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_purges_the_old_one() {
    let change = r#"{"email": "anna@desk.example"}"#;
    for (name, path, who) in [
        ("by id", "/api/users/42", BOB),
        ("by address", "/api/users/by-email/ann@desk.example", BOB),
        ("by herself", "/api/users/me", ANN),
    ] {
        let method = if path == "/api/users/42" {
            "PUT"
        } else {
            "PATCH"
        };
        let write = [write(name, method, path, change).by(who).stales(SHOW_ANN)];
        desk().await.purges(&READS, &write).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_anothers_is_passed() {
    let token = Some(("authorization", "Bearer token-of-ann"));
    let cases = [
        (
            "me, without a session",
            "/api/users/me",
            None,
            "missing-variable",
        ),
        (
            "me, with a token",
            "/api/users/me",
            token,
            "missing-variable",
        ),
        (
            "inquiries, without a session",
            "/api/inquiries?role=agent&userId=42",
            None,
            "missing-variable",
        ),
        (
            "inquiries, without a user",
            "/api/inquiries?role=agent",
            Some(ANN),
            "missing-variable",
        ),
        (
            "a further field",
            "/api/users?page=2",
            Some(BOB),
            "unkeyed-query",
        ),
    ];
    desk().await.passes(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_users_are_shared() {
    let desk = desk().await;
    for path in [
        "/api/users",
        "/api/users/role/agent",
        "/api/users/42",
        "/api/analytics/workload",
    ] {
        desk.shares(path, &[Some(ANN), Some(BOB), None]).await;
    }
}

/// Each write has the purge rules that it needs: shadow finds no answer that would have been stale.
#[tokio::test(flavor = "multi_thread")]
async fn shadow_finds_nothing() {
    let deployment = Deployment::start_in("shadow", "desk", "DESK_URL", api::start().await).await;
    deployment.finds_nothing_in_shadow(&READS, &WRITES).await;
}
