//! An example app for the demo and the tests: a kanban API whose reads are slow, as those of apps
//! that ask a database for every request are. It knows nothing of caching.

mod state;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use self::state::{Reply, State, error, not_found};

/// Bytes of a request body.
const MAX_BODY: usize = 64 * 1024;

/// How long answers take.
#[derive(Clone, Debug)]
pub struct Pace {
    /// A read takes a random time out of this range, in milliseconds.
    pub read_ms: Range<u64>,
    /// A write.
    pub write: Duration,
}

impl Pace {
    /// One to two seconds to read, 50 ms to write.
    pub const SLOW: Pace = Pace {
        read_ms: 1000..2000,
        write: Duration::from_millis(50),
    };

    /// No time at all, for tests.
    pub const INSTANT: Pace = Pace {
        read_ms: 0..1,
        write: Duration::ZERO,
    };
}

/// The running app; dropping it stops it.
#[derive(Debug)]
pub struct Kanban {
    addr: SocketAddr,
    app: Arc<App>,
    _stop: oneshot::Sender<()>,
}

impl Kanban {
    /// Serves on a free loopback port, in a thread of its own.
    pub fn start(pace: Pace) -> io::Result<Kanban> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let app = Arc::new(App::new(pace));
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let served = app.clone();
        std::thread::Builder::new()
            .name("kanban".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        result = serve(listener, served) => result,
                        // The sender is only ever dropped.
                        _ = stopped => Ok(()),
                    }
                })
            })?;
        Ok(Kanban {
            addr,
            app,
            _stop: stop,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests it has received.
    pub fn served(&self) -> u64 {
        self.app.served.load(Ordering::Relaxed)
    }
}

async fn serve(listener: std::net::TcpListener, app: Arc<App>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let app = app.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let app = app.clone();
                async move { Ok::<_, Infallible>(app.handle(request).await) }
            });
            // A client that goes away is no concern of an example.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[derive(Debug)]
struct App {
    pace: Pace,
    served: AtomicU64,
    state: Mutex<State>,
}

impl App {
    fn new(pace: Pace) -> App {
        App {
            pace,
            served: AtomicU64::new(0),
            state: Mutex::new(State::example()),
        }
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.served.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        tokio::time::sleep(self.think(&head.method)).await;
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        let query = head.uri.query().unwrap_or_default();
        let (status, answer) = match (head.method.as_str(), path.as_slice()) {
            ("GET", ["api", "kanban", rest @ ..]) => self.read(rest, query),
            (method, ["api", "kanban", rest @ ..]) => match json_body(body).await {
                Some(body) => self.write(method, rest, body),
                None => error(StatusCode::BAD_REQUEST, "the body is no JSON object"),
            },
            _ => not_found(),
        };
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        response
    }

    fn think(&self, method: &Method) -> Duration {
        if method == Method::GET {
            Duration::from_millis(fastrand::u64(self.pace.read_ms.clone()))
        } else {
            self.pace.write
        }
    }

    fn read(&self, path: &[&str], query: &str) -> Reply {
        let state = self.state.lock();
        let answer = match path {
            ["board"] => state.board(field(query, "projectId"), field(query, "teamId")),
            ["columns"] => state.columns(field(query, "projectId")),
            ["projects", id] => match state.projects.get(*id) {
                Some(project) => project.clone(),
                None => return not_found(),
            },
            ["user-projects"] => json!({
                "userId": field(query, "userId"),
                "projects": state.projects.values().collect::<Vec<_>>(),
            }),
            ["analytics"] => json!({
                "projectId": field(query, "projectId"),
                "tasks": state.tasks_of(field(query, "projectId")).count(),
            }),
            _ => return not_found(),
        };
        (StatusCode::OK, answer)
    }

    fn write(&self, method: &str, path: &[&str], body: Value) -> Reply {
        let mut state = self.state.lock();
        match (method, path) {
            ("POST", ["tasks"]) => state.add_task(body),
            ("PUT" | "PATCH", ["tasks", id]) => state.change_task(id, body),
            ("DELETE", ["tasks", id]) => state.delete_task(id),
            ("POST", ["projects"]) => state.add_project(body),
            ("PUT", ["projects", id]) => state.change_project(id, body),
            _ => not_found(),
        }
    }
}

/// The object in `body`; an empty body is an empty object.
async fn json_body(body: Incoming) -> Option<Value> {
    let body = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .ok()?
        .to_bytes();
    if body.is_empty() {
        return Some(json!({}));
    }
    serde_json::from_slice(&body).ok().filter(Value::is_object)
}

/// A query field; the demo's values need no decoding.
fn field<'q>(query: &'q str, name: &str) -> &'q str {
    query
        .split('&')
        .filter_map(|field| field.split_once('='))
        .find(|(key, _)| *key == name)
        .map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(app: &App) -> Value {
        app.read(&["board"], "projectId=1&teamId=7").1
    }

    #[test]
    fn a_task_is_added_changed_and_deleted() {
        let app = App::new(Pace::INSTANT);
        let before = board(&app);
        let (status, added) = app.write(
            "POST",
            &["tasks"],
            json!({ "projectId": "1", "title": "New" }),
        );
        assert_eq!((status, &added["id"]), (StatusCode::CREATED, &json!(3)));
        assert_eq!(board(&app)["tasks"][2]["title"], "New");
        let columns = app.read(&["columns"], "projectId=1").1;
        assert_eq!(
            columns["columns"],
            json!({ "todo": 1, "doing": 1, "done": 1 })
        );

        let change = json!({ "title": "Newer", "id": 99 });
        let (status, changed) = app.write("PATCH", &["tasks", "3"], change);
        assert_eq!((status, &changed["id"]), (StatusCode::OK, &json!(3)));
        assert_eq!(
            changed["projectId"], "1",
            "purge rules read it of the answer"
        );
        assert_eq!(board(&app)["tasks"][2]["title"], "Newer");

        let (status, _) = app.write("DELETE", &["tasks", "3"], json!({}));
        assert_eq!(status, StatusCode::OK);
        assert_eq!(board(&app), before);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let app = App::new(Pace::INSTANT);
        let cases: [(&str, &[&str], Value, u16); 8] = [
            ("POST", &["tasks"], json!({ "title": "No project" }), 400),
            ("POST", &["tasks"], json!([]), 400),
            ("PUT", &["tasks", "99"], json!({}), 404),
            ("DELETE", &["tasks", "x"], json!({}), 404),
            ("POST", &["nothing"], json!({}), 404),
            ("PUT", &["projects", "1"], json!({ "name": "N" }), 200),
            ("PUT", &["projects", "9"], json!({ "name": "N" }), 404),
            ("POST", &["projects"], json!({ "name": "Third" }), 201),
        ];
        for (method, path, body, expected) in cases {
            let (status, _) = app.write(method, path, body);
            assert_eq!(status.as_u16(), expected, "{method} {path:?}");
        }
        assert_eq!(app.read(&["projects", "3"], "").1["name"], "Third");
        assert_eq!(app.read(&["projects", "9"], "").0, StatusCode::NOT_FOUND);
        assert_eq!(app.read(&["projects", "1"], "").1["name"], "N");
    }
}
