//! `tests/topology KIND`: what it prints is a `[redis]` that works, and nothing is left of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::{RULES, app, redis_is, serves_from_redis};
use crate::support::sidecar::Sidecar;

/// The running command; dropping it ends it, and waits until it has.
struct Topology {
    process: Child,
    /// What it has printed.
    printed: String,
    folder: tempfile::TempDir,
}

impl Topology {
    fn start(kind: &str) -> Topology {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topology"))
            .arg(kind)
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is executable");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut printed = String::new();
        loop {
            let line = lines.next().expect("it goes on").expect("a text");
            if line.starts_with("# It runs") {
                break;
            }
            printed += &line;
            printed.push('\n');
        }
        Topology {
            process,
            printed,
            folder,
        }
    }

    fn end(&mut self) {
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.process.wait();
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        self.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_topology_is_one_command() {
    let app = app().await;
    for kind in ["single", "cluster", "sentinel", "tls", "managed"] {
        let mut topology = tokio::task::block_in_place(|| Topology::start(kind));
        let redis = topology
            .printed
            .replace("[redis]\n", "[redis]\ntimeout = \"10s\"\n");
        let sidecar = Sidecar::start(&app.url(), &format!("{redis}{RULES}"));
        redis_is(&sidecar.admin(), kind, |told| told["state"] == "up").await;
        serves_from_redis(&sidecar.client()).await;
        sidecar.stop();
        topology.end();
        let mut left = topology.folder.path().read_dir().expect("a folder");
        assert!(left.next().is_none(), "{kind}: nothing is left");
    }
}

#[test]
fn what_it_does_not_know_it_says() {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topology"))
        .arg("ring")
        .output();
    let output = output.expect("it is executable");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && words.contains("single|cluster"),
        "{words}"
    );
}
