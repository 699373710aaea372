//! Three sidecars on one Redis are replaced one after the other, behind a balancer that looks at `/readyz`, while
//! clients go on: no request fails, and no write is lost or done twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::running::Running;
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, ClientError, Reply};
use crate::support::redis::RedisServer;
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(60);
const SIDECARS: usize = 3;
const READERS: usize = 6;
const WRITERS: usize = 2;
/// Requests that each state of the fleet answers before it changes.
const ENOUGH: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_request_and_loses_no_write() {
    let redis = RedisServer::start();
    let setting = Setting::new(redis.url()).await;
    let balancer = Arc::new(Balancer::default());
    let mut fleet = Vec::new();
    for _ in 0..SIDECARS {
        fleet.push(setting.start_sidecar());
        balancer.add(fleet.last().expect("just started")).await;
    }
    let clients = Clients::start(&balancer);
    for restarted in 0..SIDECARS {
        clients.ask_on().await;
        let old = fleet.remove(0);
        let slow = setting.ask_slowly(&old, restarted).await;
        // The first signal says that it will end; the second one that whoever sends clients has seen it.
        old.signal("-TERM");
        balancer.leaves(old.proxy).await;
        clients.ask_on().await;
        old.signal("-TERM");
        eventually("its port is closed", LONG, || async {
            tokio::net::TcpStream::connect(old.proxy).await.is_err()
        })
        .await;
        setting.gate.open();
        for answer in slow {
            let reply = answer.await.expect("no panic").expect("it is finished");
            assert!(reply.status.is_success(), "{}", reply.status);
        }
        assert!(old.ends_well().await);
        fleet.push(setting.start_sidecar());
        balancer.add(fleet.last().expect("just started")).await;
    }
    clients.ask_on().await;
    let Counts {
        answered,
        written,
        failed,
    } = clients.stop().await;
    println!(
        "{answered} answered, {written} of them writes; {} failed",
        failed.len()
    );
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(
        setting.app.count("/items/1/write"),
        written,
        "each write once"
    );
    for sidecar in &fleet {
        let client = Client::new(sidecar.proxy);
        eventually("the last write is seen", LONG, || async {
            client.get("/items/1").await.text() == written.to_string()
        })
        .await;
    }
}

/// The app and what all sidecars have in common.
struct Setting {
    app: TestApp,
    gate: Gate,
    _folder: tempfile::TempDir,
    file: String,
}

impl Setting {
    async fn new(redis: String) -> Setting {
        let app = TestApp::start().await;
        let (gate, version) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let read = version.clone();
        app.on("GET", "/items/1", move |_| {
            Answer::text(read.load(Ordering::SeqCst).to_string())
        });
        app.on("PUT", "/items/1/write", move |_| {
            version.fetch_add(1, Ordering::SeqCst);
            Answer::status(204).after(Duration::from_millis(5))
        });
        for method in ["GET", "PUT"] {
            let gate = gate.clone();
            app.on(method, "/slow", move |_| Answer::text("slow").behind(&gate));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pannier.toml");
        let config = format!(
            "[listen]\ndrain_delay = \"1h\"\n[redis]\nurl = \"{redis}\"\ntimeout = \"10s\"\n\
             [[route]]\npath = \"/items/{{id}}\"\nkey = \"item:{{path.id}}\"\nany_host = true\n\
             [[purge]]\npath = \"/items/{{id}}/write\"\nkeys = [\"item:{{path.id}}\"]\n"
        );
        std::fs::write(&file, config).expect("a writable folder");
        let file = file.display().to_string();
        Setting {
            app,
            gate,
            _folder: folder,
            file,
        }
    }

    fn start_sidecar(&self) -> Running {
        Running::start(&["run", "--config", &self.file], &self.app.url())
    }

    /// A GET and a write by way of `sidecar` that the app does not answer before the gate opens.
    async fn ask_slowly(
        &self,
        sidecar: &Running,
        before: usize,
    ) -> Vec<JoinHandle<Result<Reply, ClientError>>> {
        self.gate.shut();
        let client = Client::new(sidecar.proxy);
        let ask = |method| {
            let request = client.request(method, "/slow").body("x");
            tokio::spawn(request.try_send())
        };
        let asked = vec![ask("GET"), ask("PUT")];
        self.gate.reached(2 * (before + 1)).await;
        asked
    }
}

/// Sends each request to the next sidecar that says it is ready, and to another one if that refuses the connection.
#[derive(Default)]
struct Balancer {
    places: Mutex<Vec<Arc<Place>>>,
    turn: AtomicUsize,
}

struct Place {
    addr: SocketAddr,
    client: Client,
    is_ready: Arc<AtomicBool>,
    requests: AtomicUsize,
    checking: JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.checking.abort();
    }
}

impl Balancer {
    /// Returns when it has been seen to be ready.
    async fn add(&self, sidecar: &Running) {
        let is_ready = Arc::new(AtomicBool::new(false));
        let place = Arc::new(Place {
            addr: sidecar.proxy,
            client: Client::new(sidecar.proxy),
            is_ready: is_ready.clone(),
            requests: AtomicUsize::new(0),
            checking: tokio::spawn(check(Client::new(sidecar.admin), is_ready)),
        });
        self.places.lock().push(place.clone());
        eventually("ready", LONG, || async {
            place.is_ready.load(Ordering::SeqCst)
        })
        .await;
    }

    /// Returns when the one there has been seen to be ready no more, and has nothing under way.
    async fn leaves(&self, addr: SocketAddr) {
        let place = {
            let places = self.places.lock();
            let at = places.iter().position(|place| place.addr == addr);
            places[at.expect("it was added")].clone()
        };
        eventually("not ready", LONG, || async {
            !place.is_ready.load(Ordering::SeqCst) && place.requests.load(Ordering::SeqCst) == 0
        })
        .await;
        self.places.lock().retain(|place| place.addr != addr);
    }

    async fn send(&self, method: &str, path: &str) -> Result<Reply, ClientError> {
        loop {
            let place = self.next();
            place.requests.fetch_add(1, Ordering::SeqCst);
            // Looked at again, now that it counts.
            let answer = match place.is_ready.load(Ordering::SeqCst) {
                true => Some(place.client.request(method, path).try_send().await),
                false => None,
            };
            place.requests.fetch_sub(1, Ordering::SeqCst);
            match answer {
                None => tokio::task::yield_now().await,
                Some(Err(ClientError::NoAnswer(error))) if error.is_connect() => {}
                Some(answer) => return answer,
            }
        }
    }

    fn next(&self) -> Arc<Place> {
        let places = self.places.lock();
        places[self.turn.fetch_add(1, Ordering::Relaxed) % places.len()].clone()
    }
}

/// The health check.
async fn check(admin: Client, is_ready: Arc<AtomicBool>) {
    loop {
        let answer = admin.request("GET", "/readyz").try_send().await;
        let is_up = answer.is_ok_and(|answer| answer.status == 200);
        is_ready.store(is_up, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Those who read and write all the time.
struct Clients {
    counts: Arc<Mutex<Counts>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    answered: usize,
    written: usize,
    failed: Vec<String>,
}

impl Clients {
    fn start(balancer: &Arc<Balancer>) -> Clients {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let readers = [("GET", "/items/1"); READERS];
        let writers = [("PUT", "/items/1/write"); WRITERS];
        let all = readers.into_iter().chain(writers);
        let tasks = all.map(|(method, path)| {
            let (balancer, counts, stop) = (balancer.clone(), counts.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let answer = balancer.send(method, path).await;
                    counts.lock().note(method, answer);
                }
            })
        });
        let tasks = tasks.collect();
        Clients {
            counts,
            stop,
            tasks,
        }
    }

    /// Returns when enough further requests have been answered.
    async fn ask_on(&self) {
        let from = self.counts.lock().answered;
        eventually("clients go on", LONG, || async {
            let counts = self.counts.lock();
            counts.answered >= from + ENOUGH || !counts.failed.is_empty()
        })
        .await;
    }

    async fn stop(self) -> Counts {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        std::mem::take(&mut self.counts.lock())
    }
}

impl Counts {
    fn note(&mut self, method: &str, answer: Result<Reply, ClientError>) {
        match answer {
            Ok(reply) if reply.status.is_success() => {
                self.answered += 1;
                self.written += usize::from(method == "PUT");
            }
            Ok(reply) => self.failed.push(format!("{method}: {}", reply.status)),
            Err(error) => self.failed.push(format!("{method}: {error:?}")),
        }
    }
}
