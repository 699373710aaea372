//! curl, nghttp and h2load over HTTP/2, by prior knowledge and by ALPN on TLS.
//!
//! To be switched on with HTTP/2 itself: strike the `ignore` lines.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::curl::BY_THE_RFC;
use super::process::{command, run};
use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::Sidecar;

const REQUESTS: usize = 2000;

async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.on("GET", "/text", |_| {
        Answer::text("hello").cache_control("max-age=3600")
    });
    app.on("PUT", "/upload", |seen| {
        Answer::text(format!("{} bytes", seen.body.len()))
    });
    app
}

/// A sidecar with a certificate of its own for 127.0.0.1.
fn with_tls(upstream: &str, folder: &tempfile::TempDir) -> Sidecar {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("plain names");
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, cert.pem()).expect("room");
    std::fs::write(&key, signing_key.serialize_pem()).expect("room");
    let listen = format!("[listen]\ntls_cert = {certificate:?}\ntls_key = {key:?}\n{BY_THE_RFC}");
    Sidecar::start(upstream, &listen)
}

/// Version, status and body as curl tells them.
async fn curl(options: &[&str], url: &str) -> String {
    let format = " %{http_version} %{http_code}";
    let command = &mut command("curl");
    let command = command.args(["--silent", "--show-error", "--insecure"]);
    let command = command.args(["--write-out", format]).args(options).arg(url);
    run(command).await.text().to_owned()
}

/// The line of h2load's report that counts.
async fn h2load(options: &[&str], url: &str) -> String {
    let count = REQUESTS.to_string();
    let command = &mut command("h2load");
    let command = command.args(["-n", &count, "-c", "8", "-m", "10"]);
    let ended = run(command.args(options).arg(url)).await;
    let report = ended
        .text()
        .lines()
        .find(|line| line.starts_with("requests:"));
    report.expect("it counts").to_owned()
}

fn all_succeeded(report: &str) -> bool {
    report.contains(&format!("{REQUESTS} succeeded, 0 failed, 0 errored"))
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_http2_by_prior_knowledge() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let url = format!("http://{}/text", sidecar.addr());
    for _ in 0..2 {
        let got = curl(&["--http2-prior-knowledge"], &url).await;
        assert_eq!(got, "hello 2 200");
    }
    assert_eq!(app.count("/text"), 1);
    let upload = format!("http://{}/upload", sidecar.addr());
    let body = "x".repeat(100_000);
    let options = [
        "--http2-prior-knowledge",
        "--request",
        "PUT",
        "--data",
        &body,
    ];
    assert_eq!(curl(&options, &upload).await, "100000 bytes 2 200");
}

/// An offer to upgrade cleartext is not taken up; the request is answered.
#[tokio::test(flavor = "multi_thread")]
async fn curl_that_offers_an_upgrade_is_answered() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let url = format!("http://{}/text", sidecar.addr());
    assert_eq!(curl(&["--http2"], &url).await, "hello 1.1 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_both_versions_over_tls() {
    let app = app().await;
    let folder = tempfile::tempdir().expect("a directory");
    let sidecar = with_tls(&app.url(), &folder);
    let url = format!("https://{}/text", sidecar.addr());
    assert_eq!(curl(&["--http2"], &url).await, "hello 2 200");
    assert_eq!(curl(&["--http1.1"], &url).await, "hello 1.1 200");
    assert_eq!(app.last("/text").header("x-forwarded-proto"), "https");
}

#[tokio::test(flavor = "multi_thread")]
async fn nghttp_gets_many_streams_of_one_connection() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let url = format!("http://{}/text", sidecar.addr());
    // The same target ten times (-m), each on its own stream.
    let ended = run(command("nghttp").args(["-m", "10", &url])).await;
    assert_eq!(ended.text(), "hello".repeat(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_loses_nothing() {
    let app = app().await;
    let folder = tempfile::tempdir().expect("a directory");
    let (plain, secure) = (
        Sidecar::start(&app.url(), BY_THE_RFC),
        with_tls(&app.url(), &folder),
    );
    let plain_url = format!("http://{}/text", plain.addr());
    let secure_url = format!("https://{}/text", secure.addr());
    for (name, options, url) in [
        ("h2c", &[][..], &plain_url),
        ("h2", &[][..], &secure_url),
        ("http/1.1", &["--h1"][..], &plain_url),
    ] {
        let report = h2load(options, url).await;
        assert!(all_succeeded(&report), "{name}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_over_http1_loses_nothing() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let url = format!("http://{}/text", sidecar.addr());
    let report = h2load(&["--h1"], &url).await;
    assert!(all_succeeded(&report), "{report}");
}
