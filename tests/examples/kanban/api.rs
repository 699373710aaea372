//! The example app of the kanban rules.

use serde_json::{Value, json};

use super::super::app::{ExampleApp, add, body, change, query_id, remove, row, rows};

/// Everything shows the name of its project, as a real board does.
pub(super) async fn start() -> ExampleApp {
    let app = ExampleApp::start(json!({
        "projects": [
            {"id": 1, "name": "One", "members": [5, 6], "columns": ["todo", "done"]},
            {"id": 2, "name": "Two", "members": [5], "columns": ["todo", "done"]},
            {"id": 11, "name": "Eleven", "members": [6], "columns": ["todo", "done"]},
        ],
        "tasks": [
            {"id": 1, "projectId": 1, "teamId": 7, "column": "todo", "title": "a"},
            {"id": 2, "projectId": 1, "teamId": 8, "column": "todo", "title": "b"},
        ],
    }))
    .await;
    show_projects(&app);
    accept_tasks(&app);
    accept_projects(&app);
    app
}

fn show_projects(app: &ExampleApp) {
    app.read("/api/kanban/board", |data, seen| {
        let (project, team) = (query_id(seen, "projectId"), query_id(seen, "teamId"));
        let tasks = rows(
            data,
            "tasks",
            &json!({"projectId": project, "teamId": team}),
        );
        about(data, project, json!({"teamId": team, "tasks": tasks}))
    });
    app.read("/api/kanban/columns", |data, seen| {
        let project = query_id(seen, "projectId");
        let columns = row(data, "projects", &json!({"id": project}))["columns"].clone();
        let names = columns.as_array().into_iter().flatten();
        let sizes = names.map(|name| {
            let tasks = rows(
                data,
                "tasks",
                &json!({"projectId": project, "column": name}),
            );
            json!({"name": name, "tasks": tasks.len()})
        });
        let sizes: Vec<_> = sizes.collect();
        about(data, project, json!({"columns": sizes}))
    });
    app.read("/api/kanban/analytics", |data, seen| {
        let project = query_id(seen, "projectId");
        let all = rows(data, "tasks", &json!({"projectId": project}));
        let done = rows(
            data,
            "tasks",
            &json!({"projectId": project, "column": "done"}),
        );
        about(data, project, json!({"done": done.len(), "of": all.len()}))
    });
    app.read("/api/kanban/user-projects", |data, seen| {
        let user = json!(query_id(seen, "userId"));
        let mut projects = rows(data, "projects", &json!({}));
        projects.retain(|project| {
            let members = project["members"].as_array();
            members.is_some_and(|members| members.contains(&user))
        });
        json!({"userId": user, "projects": projects})
    });
    for (path, id) in [("/api/kanban/projects/1", 1), ("/api/kanban/projects/2", 2)] {
        app.read(path, move |data, _| {
            row(data, "projects", &json!({"id": id}))
        });
    }
}

fn about(data: &Value, project: u64, mut shown: Value) -> Value {
    let project = row(data, "projects", &json!({"id": project}));
    if project.is_null() {
        return project;
    }
    shown["project"] = project["name"].clone();
    shown
}

fn accept_tasks(app: &ExampleApp) {
    app.write("POST", "/api/kanban/tasks", |data, seen| {
        add(data, "tasks", body(seen))
    });
    app.write("PATCH", "/api/kanban/tasks/1", |data, seen| {
        change(data, "tasks", &json!({"id": 1}), &body(seen))
    });
    app.write("DELETE", "/api/kanban/tasks/1", |data, _| {
        remove(data, "tasks", &json!({"id": 1}))
    });
    app.write("POST", "/api/kanban/comments", |_, seen| body(seen));
}

fn accept_projects(app: &ExampleApp) {
    app.write("POST", "/api/kanban/projects", |data, seen| {
        add(data, "projects", body(seen))
    });
    for (method, path, id) in [
        ("PUT", "/api/kanban/projects/1", 1),
        ("POST", "/api/kanban/projects/2", 2),
    ] {
        app.write(method, path, move |data, seen| {
            change(data, "projects", &json!({"id": id}), &body(seen))
        });
    }
    app.write("DELETE", "/api/kanban/projects/2", |data, _| {
        remove(data, "projects", &json!({"id": 2}))
    });
}
