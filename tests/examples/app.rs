//! An app with data: reads show the data, writes change it unless the app is told to refuse them.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::Client;

/// The running app; clones of its data live in its handlers.
pub(super) struct ExampleApp {
    app: TestApp,
    data: Arc<Mutex<Value>>,
    refusal: Arc<AtomicU16>,
}

impl ExampleApp {
    /// With this data and no paths.
    pub(super) async fn start(data: Value) -> ExampleApp {
        ExampleApp {
            app: TestApp::start().await,
            data: Arc::new(Mutex::new(data)),
            refusal: Arc::default(),
        }
    }

    /// `GET path` shows this of the data; null is 404.
    pub(super) fn read(
        &self,
        path: &str,
        show: impl Fn(&Value, &Seen) -> Value + Send + Sync + 'static,
    ) {
        let data = self.data.clone();
        self.app.on("GET", path, move |seen| {
            let data = data.lock().expect("no handler panics under it");
            match show(&data, seen) {
                Value::Null => Answer::status(404),
                shown => Answer::json(&shown),
            }
        });
    }

    /// `method path` changes the data and answers this; null is 204.
    pub(super) fn write(
        &self,
        method: &str,
        path: &str,
        change: impl Fn(&mut Value, &Seen) -> Value + Send + Sync + 'static,
    ) {
        let (data, refusal) = (self.data.clone(), self.refusal.clone());
        self.app.on(method, path, move |seen| {
            let refusal = refusal.load(Ordering::SeqCst);
            if refusal != 0 {
                return Answer::status(refusal);
            }
            let mut data = data.lock().expect("no handler panics under it");
            match change(&mut data, seen) {
                Value::Null => Answer::status(204),
                shown => Answer::json(&shown),
            }
        });
    }

    /// Every write fails with `status` from now on; 0: none does.
    pub(super) fn refuse_writes(&self, status: u16) {
        self.refusal.store(status, Ordering::SeqCst);
    }

    /// `http://host:port`
    pub(super) fn url(&self) -> String {
        self.app.url()
    }

    /// How many requests came, of any kind.
    pub(super) fn requests(&self) -> usize {
        self.app.seen().len()
    }

    /// A client that asks the app itself, past every sidecar.
    pub(super) fn client(&self) -> Client {
        Client::new(self.app.addr())
    }
}

/// A query field, not decoded; empty if absent.
pub(super) fn query<'s>(seen: &'s Seen, name: &str) -> &'s str {
    let mut fields = seen.query.as_deref().unwrap_or("").split('&');
    let field = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    field.unwrap_or("")
}

/// A query field as a number; 0 if it is none.
pub(super) fn query_id(seen: &Seen, name: &str) -> u64 {
    query(seen, name).parse().unwrap_or_default()
}

/// The JSON body; null if it is none.
pub(super) fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap_or_default()
}

/// The rows of `table` whose fields are these.
pub(super) fn rows(data: &Value, table: &str, fields: &Value) -> Vec<Value> {
    let wanted = |row: &&Value| is_like(row, fields);
    let all = data[table].as_array().into_iter().flatten();
    all.filter(wanted).cloned().collect()
}

/// The first row of `table` whose fields are these; null if there is none.
pub(super) fn row(data: &Value, table: &str, fields: &Value) -> Value {
    let first = rows(data, table, fields).into_iter().next();
    first.unwrap_or_default()
}

/// Adds a row.
pub(super) fn add(data: &mut Value, table: &str, row: Value) -> Value {
    let rows = data[table].as_array_mut().expect("a table");
    rows.push(row.clone());
    row
}

/// Lays `news` over the rows of `table` whose fields are these, and shows the first of them.
pub(super) fn change(data: &mut Value, table: &str, fields: &Value, news: &Value) -> Value {
    let mut changed = Value::Null;
    for row in data[table].as_array_mut().expect("a table") {
        if !is_like(row, fields) {
            continue;
        }
        for (name, value) in news.as_object().into_iter().flatten() {
            row[name] = value.clone();
        }
        if changed.is_null() {
            changed = row.clone();
        }
    }
    changed
}

/// Removes the rows of `table` whose fields are these, and shows nothing.
pub(super) fn remove(data: &mut Value, table: &str, fields: &Value) -> Value {
    let rows = data[table].as_array_mut().expect("a table");
    rows.retain(|row| !is_like(row, fields));
    json!(null)
}

fn is_like(row: &Value, fields: &Value) -> bool {
    let mut fields = fields.as_object().into_iter().flatten();
    fields.all(|(name, value)| row[name] == *value)
}
