//! nginx with static files as the app: its validators, its gzip, its ranges, its errors.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::curl::{BY_THE_RFC, Got, curl};
use super::process::{Running, TIMEOUT, command, start};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

/// The running server with its folder.
struct Nginx {
    folder: tempfile::TempDir,
    port: u16,
    _process: Running,
}

impl Nginx {
    async fn start() -> Nginx {
        let folder = tempfile::tempdir().expect("a directory");
        let port = {
            let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            listener.local_addr().expect("it is bound").port()
        };
        std::fs::create_dir(folder.path().join("files")).expect("an empty directory");
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, settings(folder.path(), port)).expect("room");
        let process = start(
            command("nginx")
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(config),
        );
        let up = || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        };
        eventually("nginx listens", TIMEOUT, up).await;
        Nginx {
            folder,
            port,
            _process: process,
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let file = self.file(name);
        let folder = file.parent().expect("it is inside one");
        std::fs::create_dir_all(folder).expect("room");
        std::fs::write(file, content).expect("room");
    }
}

/// In the foreground, in one process, writing nowhere but below `folder`.
fn settings(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        r#"
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/plain txt; application/octet-stream bin; }}
    gzip on;
    gzip_vary on;
    gzip_proxied any;
    gzip_types text/plain;
    gzip_min_length 100;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
        location /fresh/ {{ expires 1h; }}
        location /checked/ {{ expires -1; }}
    }}
}}
"#
    )
}

/// Asks until the answer is a hit.
async fn until_hit(options: &[&str], sidecar: &Sidecar, path: &str) -> Got {
    let mut got = curl(options, sidecar.addr(), path).await;
    for _ in 0..100 {
        if got.is_hit() {
            return got;
        }
        got = curl(options, sidecar.addr(), path).await;
    }
    panic!("no hit: {}", got.cache_status);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_files_are_stored_and_replayed() {
    let nginx = Nginx::start().await;
    let large: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    nginx.write("fresh/a.txt", b"small");
    nginx.write("fresh/b.bin", &large);
    let sidecar = Sidecar::start(&nginx.url(), BY_THE_RFC);
    assert!(!curl(&[], sidecar.addr(), "/fresh/a.txt").await.is_hit());
    assert_eq!(
        until_hit(&[], &sidecar, "/fresh/a.txt").await.text(),
        "small"
    );
    for _ in 0..2 {
        let got = curl(&[], sidecar.addr(), "/fresh/b.bin").await;
        assert_eq!(got.status, 200);
        assert!(got.body == large, "{} bytes", got.body.len());
    }
    let part = curl(&["--range", "4-7"], sidecar.addr(), "/fresh/c.bin").await;
    assert_eq!(part.status, 404, "a part of nothing");
    nginx.write("fresh/d.bin", &large);
    let part = curl(&["--range", "4-11"], sidecar.addr(), "/fresh/d.bin").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &large[4..12]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_confirms_what_is_stored() {
    let nginx = Nginx::start().await;
    nginx.write("checked/a.txt", b"first");
    let sidecar = Sidecar::start(&nginx.url(), BY_THE_RFC);
    assert_eq!(
        curl(&[], sidecar.addr(), "/checked/a.txt").await.text(),
        "first"
    );
    eventually("nginx confirms by 304", TIMEOUT, || async {
        let got = curl(&[], sidecar.addr(), "/checked/a.txt").await;
        assert_eq!((got.status, got.text()), (200, "first"));
        got.cache_status.contains("detail=revalidated")
    })
    .await;
    // Another length makes another tag, whatever the clock of the file system says.
    nginx.write("checked/a.txt", b"second, longer");
    assert_eq!(
        curl(&[], sidecar.addr(), "/checked/a.txt").await.text(),
        "second, longer"
    );
    std::fs::remove_file(nginx.file("checked/a.txt")).expect("it is there");
    assert_eq!(
        curl(&[], sidecar.addr(), "/checked/a.txt").await.status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_compresses_for_those_who_ask() {
    let nginx = Nginx::start().await;
    let text = "a line of text\n".repeat(1000);
    nginx.write("fresh/a.txt", text.as_bytes());
    let sidecar = Sidecar::start(&nginx.url(), BY_THE_RFC);
    let path = "/fresh/a.txt";
    for _ in 0..2 {
        assert!(curl(&[], sidecar.addr(), path).await.text() == text);
        assert!(curl(&["--compressed"], sidecar.addr(), path).await.text() == text);
    }
    // The stored gzip is what travels.
    let gzip = ["--header", "Accept-Encoding: deflate, gzip, br, zstd"];
    let packed = until_hit(&gzip, &sidecar, path).await;
    assert!(packed.body.len() < text.len() / 10);
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    assert!(until_hit(&[], &sidecar, path).await.text() == text);
}
