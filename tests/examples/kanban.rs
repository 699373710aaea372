//! `config/kanban.toml`: boards, columns, projects and analytics.

mod api;

use pannier::entry::Priority::{High, Low, Medium};

use super::deployment::Deployment;
use super::table::{Read, Write, read, write};

const READS: [Read; 13] = [
    read(
        "board 1/7",
        "/api/kanban/board?projectId=1&teamId=7",
        "kanban:board:1:7",
        300,
        High,
    ),
    read(
        "board 1/8",
        "/api/kanban/board?projectId=1&teamId=8",
        "kanban:board:1:8",
        300,
        High,
    ),
    read(
        "board 2/7",
        "/api/kanban/board?projectId=2&teamId=7",
        "kanban:board:2:7",
        300,
        High,
    ),
    // Its id begins like project 1's.
    read(
        "board 11/7",
        "/api/kanban/board?teamId=7&projectId=11",
        "kanban:board:11:7",
        300,
        High,
    ),
    read(
        "columns 1",
        "/api/kanban/columns?projectId=1",
        "kanban:columns:1",
        300,
        High,
    ),
    read(
        "columns 2",
        "/api/kanban/columns?projectId=2",
        "kanban:columns:2",
        300,
        High,
    ),
    read(
        "columns 11",
        "/api/kanban/columns?projectId=11",
        "kanban:columns:11",
        300,
        High,
    ),
    read(
        "project 1",
        "/api/kanban/projects/1",
        "kanban:project:1",
        600,
        Medium,
    ),
    read(
        "project 2",
        "/api/kanban/projects/2",
        "kanban:project:2",
        600,
        Medium,
    ),
    read(
        "projects of 5",
        "/api/kanban/user-projects?userId=5",
        "kanban:user-projects:5",
        1800,
        High,
    ),
    read(
        "projects of 6",
        "/api/kanban/user-projects?userId=6",
        "kanban:user-projects:6",
        1800,
        High,
    ),
    read(
        "analytics 1",
        "/api/kanban/analytics?projectId=1",
        "analytics:1",
        60,
        Low,
    )
    .spare(60),
    read(
        "analytics 2",
        "/api/kanban/analytics?projectId=2",
        "analytics:2",
        60,
        Low,
    )
    .spare(60),
];

const OF_PROJECT_1: &[&str] = &["board 1/7", "board 1/8", "columns 1", "analytics 1"];

const WRITES: [Write; 8] = [
    write(
        "a comment, which no rule names",
        "POST",
        "/api/kanban/comments",
        r#"{"taskId": 1}"#,
    ),
    write(
        "a new task",
        "POST",
        "/api/kanban/tasks",
        r#"{"projectId": 1, "teamId": 7, "column": "todo", "title": "c"}"#,
    )
    .stales(OF_PROJECT_1),
    write(
        "a moved task",
        "PATCH",
        "/api/kanban/tasks/1",
        r#"{"column": "done"}"#,
    )
    .stales(OF_PROJECT_1),
    // Neither side names the project, so every project's boards go: too much is safe.
    write("a deleted task", "DELETE", "/api/kanban/tasks/1", "").stales(&[
        "board 1/7",
        "board 1/8",
        "board 2/7",
        "board 11/7",
        "columns 1",
        "columns 2",
        "columns 11",
        "analytics 1",
        "analytics 2",
    ]),
    write(
        "a renamed project",
        "PUT",
        "/api/kanban/projects/1",
        r#"{"name": "Uno"}"#,
    )
    .stales(&[
        "board 1/7",
        "board 1/8",
        "columns 1",
        "project 1",
        "analytics 1",
        "projects of 5",
        "projects of 6",
    ]),
    write(
        "a changed project",
        "POST",
        "/api/kanban/projects/2",
        r#"{"columns": ["open", "shut"]}"#,
    )
    .stales(&[
        "board 2/7",
        "columns 2",
        "project 2",
        "analytics 2",
        "projects of 5",
        "projects of 6",
    ]),
    write(
        "a new project",
        "POST",
        "/api/kanban/projects",
        r#"{"id": 3, "name": "Three", "members": [6], "columns": []}"#,
    )
    .stales(&["projects of 5", "projects of 6"]),
    // The last row: its reads are 404 from here on.
    write("a deleted project", "DELETE", "/api/kanban/projects/2", "").stales(&[
        "board 2/7",
        "columns 2",
        "project 2",
        "analytics 2",
        "projects of 5",
        "projects of 6",
    ]),
];

async fn kanban() -> Deployment {
    Deployment::start("kanban", "KANBAN_URL", api::start().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_get_is_stored_under_its_key() {
    kanban().await.stores(&READS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_purges_what_shows_it_and_nothing_else() {
    kanban().await.purges(&READS, &WRITES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_purges_nothing() {
    kanban().await.keeps_when_refused(&READS, &WRITES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_key_does_not_tell_is_passed() {
    let cases = [
        (
            "no team",
            "/api/kanban/board?projectId=1",
            None,
            "missing-variable",
        ),
        (
            "a further field",
            "/api/kanban/columns?projectId=1&archived=1",
            None,
            "unkeyed-query",
        ),
        (
            "another path",
            "/api/kanban/projects/1/members",
            None,
            "no-rule",
        ),
    ];
    kanban().await.passes(&cases).await;
}

/// The config says so: a signed-in person gets the answer that was stored for another.
#[tokio::test(flavor = "multi_thread")]
async fn signed_in_people_share_an_answer() {
    let askers = [
        Some(("cookie", "session=ann")),
        Some(("cookie", "session=bob")),
        Some(("authorization", "Bearer cay")),
        None,
    ];
    let kanban = kanban().await;
    for path in [
        "/api/kanban/board?projectId=1&teamId=7",
        "/api/kanban/projects/1",
    ] {
        kanban.shares(path, &askers).await;
    }
}

/// Each write has the purge rules that it needs: shadow finds no answer that would have been stale.
#[tokio::test(flavor = "multi_thread")]
async fn shadow_finds_nothing() {
    let deployment =
        Deployment::start_in("shadow", "kanban", "KANBAN_URL", api::start().await).await;
    deployment.finds_nothing_in_shadow(&READS, &WRITES).await;
}
