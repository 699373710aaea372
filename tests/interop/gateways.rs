//! nginx and HAProxy in front, as the README has them ("Behind a gateway"): hits, the client's address, the scheme.

use std::net::SocketAddr;
use std::path::Path;

use rustls::version::{TLS12, TLS13};

use super::process::{Running, TIMEOUT, command, start};
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Offers, Reply};
use crate::support::eventually;
use crate::support::ports::free_port;
use crate::support::sidecar::Sidecar;
use crate::support::tls::Certificate;

const README: &str = include_str!("../../README.md");
const ROUTE: &str = "[[route]]\nname = \"page\"\npath = \"/page\"\nkey = \"page\"\n";

/// The block of the README that begins with this line, without its fence.
fn of_readme(first: &str) -> String {
    let from = README
        .find(first)
        .unwrap_or_else(|| panic!("README has {first}"));
    let block = &README[from..];
    block[..block.find("```").expect("it ends")].to_owned()
}

/// An app that says what it is told.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.on("GET", "/page", |seen| {
        Answer::text(format!(
            "for={} proto={} host={}",
            seen.header("x-forwarded-for"),
            seen.header("x-forwarded-proto"),
            seen.header("x-forwarded-host"),
        ))
    });
    app
}

struct Gateway {
    addr: SocketAddr,
    _folder: tempfile::TempDir,
    _process: Running,
}

impl Gateway {
    /// Runs `program` with what `config` makes of its folder and port.
    async fn start(
        certificate: &Certificate,
        program: &str,
        config: impl FnOnce(&Path, u16) -> String,
    ) -> Gateway {
        let folder = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let pem = certificate.cert_pem() + &certificate.key_pem();
        std::fs::write(folder.path().join("both.pem"), pem).expect("room");
        certificate.write(folder.path());
        let file = folder.path().join("gateway.conf");
        std::fs::write(&file, config(folder.path(), port)).expect("room");
        let mut command = command(program);
        match program {
            "nginx" => command.arg("-p").arg(folder.path()).arg("-c").arg(&file),
            _ => command.arg("-db").arg("-f").arg(&file),
        };
        let process = start(&mut command);
        eventually("the gateway listens", TIMEOUT, || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        Gateway {
            addr: ([127, 0, 0, 1], port).into(),
            _folder: folder,
            _process: process,
        }
    }

    /// Asks until the answer is a hit.
    async fn hit(&self, certificate: &Certificate) -> Reply {
        let client = Client::tls(
            self.addr,
            certificate.client(&[&TLS13, &TLS12]),
            Offers::Http1,
        );
        for _ in 0..100 {
            let reply = client.get("/page").await;
            if reply.is_hit() {
                return reply;
            }
        }
        panic!("no hit: {:?}", client.get("/page").await)
    }
}

fn nginx(folder: &Path, port: u16, server: &str) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {folder}/{name};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n\
         http {{\n    access_log off;\n{temporary}    server {{\n        listen 127.0.0.1:{port} ssl;\n        \
         ssl_certificate {folder}/cert.pem;\n        ssl_certificate_key {folder}/key.pem;\n{server}    }}\n}}\n"
    )
}

/// The README's config of Pannier, before the app.
fn pannier(app: &TestApp, listen: &str) -> Sidecar {
    Sidecar::start(&app.url(), &format!("{listen}{ROUTE}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_in_front() {
    let (app, certificate) = (app().await, Certificate::new());
    let sidecar = pannier(
        &app,
        &of_readme("[listen]\ntrusted_proxies = [\"127.0.0.1\"]"),
    );
    let location = of_readme("location / {\n    proxy_pass http://127.0.0.1:8080;");
    let location = location.replace("127.0.0.1:8080", &sidecar.addr().to_string());
    let config = |folder: &Path, port| nginx(folder, port, &location);
    let gateway = Gateway::start(&certificate, "nginx", config).await;
    let reply = gateway.hit(&certificate).await;
    let host = format!("localhost:{}", gateway.addr.port());
    let expected = format!("for=127.0.0.1, 127.0.0.1 proto=https host={host}");
    assert_eq!(reply.text(), expected);
    assert_eq!(app.count("/page"), 1);
}

/// What a stock `proxy_pass` says is enough: no field needs to be set.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_that_rewrites_the_host() {
    let (app, certificate) = (app().await, Certificate::new());
    let sidecar = pannier(
        &app,
        "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\nforwarded_host = true\n",
    );
    let location = format!(
        "location / {{\nproxy_pass http://{};\nproxy_set_header X-Forwarded-Host $host;\n\
         proxy_set_header X-Forwarded-Port 8443;\nproxy_set_header X-Forwarded-Prefix /shop;\n\
         proxy_set_header X-Forwarded-Proto \"https,http\";\n\
         proxy_set_header Forwarded \"for=$remote_addr;host=$host;proto=https\";\n}}\n",
        sidecar.addr()
    );
    let config = |folder: &Path, port| nginx(folder, port, &location);
    let gateway = Gateway::start(&certificate, "nginx", config).await;
    let reply = gateway.hit(&certificate).await;
    assert!(
        reply.text().ends_with("proto=https,http host=localhost"),
        "{}",
        reply.text()
    );
    assert_eq!(app.count("/page"), 1);
}

fn haproxy(port: u16, body: &str) -> String {
    format!(
        "defaults\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\n{}",
        body.replace("bind :443", &format!("bind 127.0.0.1:{port}"))
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_in_front_reading_http() {
    let (app, certificate) = (app().await, Certificate::new());
    let sidecar = pannier(&app, "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let body = of_readme("frontend web\n    mode http");
    let gateway = Gateway::start(&certificate, "haproxy", |folder, port| {
        let body = body.replace("127.0.0.1:8080", &sidecar.addr().to_string());
        let pem = folder.join("both.pem").display().to_string();
        haproxy(port, &body.replace("/etc/haproxy/site.pem", &pem))
    })
    .await;
    let reply = gateway.hit(&certificate).await;
    let host = format!("localhost:{}", gateway.addr.port());
    let expected = format!("for=127.0.0.1, 127.0.0.1 proto=https host={host}");
    assert_eq!(reply.text(), expected);
}

/// It passes TLS on unread, and says who the client is by the PROXY protocol.
#[tokio::test(flavor = "multi_thread")]
async fn haproxy_in_front_passing_tls_on() {
    let (app, certificate) = (app().await, Certificate::new());
    let folder = tempfile::tempdir().expect("a directory");
    let (cert, key) = certificate.write(folder.path());
    let listen = of_readme("[listen]\nproxy_protocol = true")
        .replace("\"cert.pem\"", &format!("\"{}\"", cert.display()))
        .replace("\"key.pem\"", &format!("\"{}\"", key.display()))
        .replace("10.0.0.7", "127.0.0.3");
    let sidecar = pannier(&app, &listen);
    for version in ["send-proxy-v2", "send-proxy"] {
        let body = of_readme("frontend web\n    mode tcp").replace("send-proxy-v2", version);
        // Another address of the loopback, so that the client's is not the balancer's.
        let body = body.replace("check", "source 127.0.0.3");
        let gateway = Gateway::start(&certificate, "haproxy", |_, port| {
            haproxy(
                port,
                &body.replace("127.0.0.1:8080", &sidecar.addr().to_string()),
            )
        })
        .await;
        for offers in [Offers::Http1, Offers::Http2] {
            let config = certificate.client(&[&TLS13, &TLS12]);
            let client = Client::tls(gateway.addr, config, offers);
            let reply = client
                .request("GET", "/page")
                .header("authorization", "x")
                .send()
                .await;
            assert!(
                reply.text().starts_with("for=127.0.0.1 proto=https"),
                "{}",
                reply.text()
            );
        }
        gateway.hit(&certificate).await;
    }
}
