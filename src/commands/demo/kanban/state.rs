//! The kanban app's database: tasks and projects in memory.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

/// The database.
#[derive(Debug)]
pub(super) struct State {
    pub(super) tasks: BTreeMap<u64, Value>,
    pub(super) projects: BTreeMap<String, Value>,
}

/// A status and a JSON body.
pub(super) type Reply = (StatusCode, Value);

impl State {
    /// Two tasks, two projects.
    pub(super) fn example() -> State {
        let project = |id: &str, name: &str| {
            let project = json!({ "id": id, "name": name, "members": ["ada", "grace"] });
            (id.to_owned(), project)
        };
        let task = |id: u64, title: &str, column: &str| {
            let task = json!({ "id": id, "projectId": "1", "title": title, "column": column });
            (id, task)
        };
        State {
            tasks: BTreeMap::from([
                task(1, "Measure the slow answers", "done"),
                task(2, "Put a cache in front", "doing"),
            ]),
            projects: BTreeMap::from([project("1", "Faster board"), project("2", "Paper work")]),
        }
    }

    pub(super) fn board(&self, project: &str, team: &str) -> Value {
        let tasks: Vec<_> = self.tasks_of(project).collect();
        json!({ "projectId": project, "teamId": team, "tasks": tasks })
    }

    pub(super) fn columns(&self, project: &str) -> Value {
        let mut columns = BTreeMap::<&str, u64>::new();
        for task in self.tasks_of(project) {
            *columns.entry(text(task, "column")).or_default() += 1;
        }
        json!({ "projectId": project, "columns": columns })
    }

    pub(super) fn tasks_of(&self, project: &str) -> impl Iterator<Item = &Value> {
        self.tasks
            .values()
            .filter(move |task| text(task, "projectId") == project)
    }

    pub(super) fn add_task(&mut self, mut task: Value) -> Reply {
        if text(&task, "projectId").is_empty() || text(&task, "title").is_empty() {
            return error(
                StatusCode::BAD_REQUEST,
                "a task has a projectId and a title",
            );
        }
        let id = self.tasks.keys().next_back().map_or(1, |last| last + 1);
        task["id"] = json!(id);
        if text(&task, "column").is_empty() {
            task["column"] = json!("todo");
        }
        self.tasks.insert(id, task.clone());
        (StatusCode::CREATED, task)
    }

    pub(super) fn change_task(&mut self, id: &str, change: Value) -> Reply {
        match id.parse().ok().and_then(|id: u64| self.tasks.get_mut(&id)) {
            Some(task) => changed(task, change),
            None => not_found(),
        }
    }

    pub(super) fn delete_task(&mut self, id: &str) -> Reply {
        match id.parse().ok().and_then(|id: u64| self.tasks.remove(&id)) {
            Some(task) => (StatusCode::OK, task),
            None => not_found(),
        }
    }

    pub(super) fn add_project(&mut self, mut project: Value) -> Reply {
        if text(&project, "name").is_empty() {
            return error(StatusCode::BAD_REQUEST, "a project has a name");
        }
        // Nothing is ever taken out, so the numbers up to here are in use and this one is free.
        let id = (self.projects.len() + 1).to_string();
        project["id"] = json!(id);
        self.projects.insert(id, project.clone());
        (StatusCode::CREATED, project)
    }

    pub(super) fn change_project(&mut self, id: &str, change: Value) -> Reply {
        match self.projects.get_mut(id) {
            Some(project) => changed(project, change),
            None => not_found(),
        }
    }
}

/// Takes over all fields of `change` but the id, which the path gives.
fn changed(object: &mut Value, change: Value) -> Reply {
    for (name, value) in change.as_object().into_iter().flatten() {
        if name != "id" {
            object[name] = value.clone();
        }
    }
    (StatusCode::OK, object.clone())
}

fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    object[name].as_str().unwrap_or_default()
}

pub(super) fn not_found() -> Reply {
    error(StatusCode::NOT_FOUND, "not found")
}

pub(super) fn error(status: StatusCode, message: &str) -> Reply {
    (status, json!({ "error": message }))
}
