//! Requests that go on whatever becomes of Redis, and must not fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use crate::support::sidecar::Sidecar;

const CLIENTS: usize = 4;

/// Some clients that read and write in turn.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    pub(super) fn start(sidecar: &Sidecar) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS).map(|number| {
            let (client, stop) = (sidecar.client(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Beside those that the test itself reads.
                    let item = format!("/items/{}", 8 + (answered * CLIENTS + number) % 24);
                    let (method, path, expected) = match answered % 16 {
                        0 => ("PUT", &*item, 204),
                        // By patterns, in every shard.
                        8 => ("PUT", "/others", 204),
                        _ => ("GET", &*item, 200),
                    };
                    let answer = client.request(method, path).send().await;
                    assert_eq!(answer.status, expected, "{method} {path}");
                    answered += 1;
                    tokio::task::yield_now().await;
                }
                answered
            })
        });
        Load {
            clients: clients.collect(),
            stop,
        }
    }

    pub(super) async fn ends_without_a_failure(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let answered = client.await.expect("no request failed");
            assert!(answered > 0);
        }
    }
}
