//! TLS towards clients: what is agreed on, what the app is told, and certificates that change.

use std::time::Duration;

use http::Version;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::running::{Running, wait_for};
use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Offers};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;
use crate::support::tls::Certificate;

const LONG: Duration = Duration::from_secs(20);
const NAMED: &str = "[listen]\ntls_cert = \"${CERT}\"\ntls_key = \"${KEY}\"\n";

/// A sidecar with `certificate`, which is read once.
fn sidecar(app: &TestApp, certificate: &Certificate, toml: &str) -> Sidecar {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = certificate.write(folder.path());
    let variables = [
        ("CERT", cert.display().to_string()),
        ("KEY", key.display().to_string()),
        ("PANNIER_UPSTREAM_URL", app.url()),
    ];
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Sidecar::start_with_env(&format!("{NAMED}{toml}"), &variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn alpn_decides_and_the_app_is_told() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let certificate = Certificate::new();
    let sidecar = sidecar(&app, &certificate, "");
    for (offers, version) in [
        (Offers::Http1, Version::HTTP_11),
        (Offers::Http2, Version::HTTP_2),
        (Offers::Both, Version::HTTP_2),
    ] {
        for versions in [[&TLS13], [&TLS12]] {
            let client = Client::tls(sidecar.addr(), certificate.client(&versions), offers);
            let reply = client.get("/").await;
            assert_eq!((reply.version, reply.text()), (version, "ok"), "{offers:?}");
            let seen = app.last("/");
            assert_eq!(seen.header("x-forwarded-proto"), "https", "{offers:?}");
            let host = format!("localhost:{}", sidecar.addr().port());
            assert_eq!(seen.header("host"), host, "{offers:?}");
        }
    }
}

/// An app may answer differently under TLS: what the gateway in front says is kept apart from what the
/// connection says.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_by_scheme() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |seen| {
        Answer::text(seen.header("x-forwarded-proto")).cache_control("max-age=60")
    });
    let certificate = Certificate::new();
    let sidecar = sidecar(&app, &certificate, "[defaults]\nunmatched = \"rfc9111\"");
    let client = Client::tls(sidecar.addr(), certificate.client(&[&TLS13]), Offers::Both);
    let ask = |said: Option<&'static str>| {
        let mut request = client.request("GET", "/a");
        if let Some(said) = said {
            request = request.header("x-forwarded-proto", said);
        }
        request.send()
    };
    for (said, told) in [
        (None, "https"),
        (Some("http"), "http"),
        (Some("https"), "https"),
        (None, "https"),
    ] {
        assert_eq!(ask(said).await.text(), told, "{said:?}");
    }
    assert_eq!(app.count("/a"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_both_ways() {
    let large = "0123456789abcdef".repeat(200_000);
    let app = TestApp::start().await;
    app.on("POST", "/echo", |seen| {
        Answer::text(String::from_utf8_lossy(&seen.body))
    });
    let certificate = Certificate::new();
    let sidecar = sidecar(&app, &certificate, "");
    for offers in [Offers::Http1, Offers::Http2] {
        let client = Client::tls(sidecar.addr(), certificate.client(&[&TLS13]), offers);
        let reply = client.json("POST", "/echo", &large).await;
        assert!(reply.text() == large, "{offers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_is_ended() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let certificate = Certificate::new();
    let toml = "header_timeout = \"300ms\"\nidle_timeout = \"1h\"\ntls_min_version = \"1.3\"";
    let sidecar = sidecar(&app, &certificate, toml);

    let mut silent = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(LONG, silent.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a slow handshake is not waited for");

    let plain = Client::new(sidecar.addr())
        .request("GET", "/")
        .try_send()
        .await;
    assert!(plain.is_err(), "plain HTTP");
    let old = Client::tls(sidecar.addr(), certificate.client(&[&TLS12]), Offers::Both);
    assert!(old.request("GET", "/").try_send().await.is_err(), "TLS 1.2");
    let other = Certificate::new().client(&[&TLS13]);
    let other = Client::tls(sidecar.addr(), other, Offers::Both);
    assert!(
        other.request("GET", "/").try_send().await.is_err(),
        "another authority"
    );
    assert_eq!(app.seen().len(), 0);

    let good = Client::tls(sidecar.addr(), certificate.client(&[&TLS13]), Offers::Both);
    assert_eq!(good.get("/").await.text(), "ok");
}

/// A certificate that is renewed in place serves the next client; a broken one is reported, and the old
/// one stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_without_a_restart() {
    let app = TestApp::start().await;
    app.on("GET", "/", |_| Answer::text("ok"));
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (Certificate::new(), Certificate::new());
    // In a folder of its own: the config's is watched anyway.
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets).expect("a writable folder");
    let (cert, _) = old.write(&secrets);
    let file = folder.path().join("pannier.toml");
    let toml = "[listen]\ntls_cert = \"secrets/cert.pem\"\ntls_key = \"secrets/key.pem\"\n";
    std::fs::write(&file, toml).expect("a writable folder");
    let running = Running::start(
        &["run", "--config", &file.display().to_string()],
        &app.url(),
    );
    let asks = |trusted: &Certificate| {
        let config = trusted.client(&[&TLS13]);
        Client::tls(running.proxy, config, Offers::Both)
            .request("GET", "/")
            .try_send()
    };
    assert!(asks(&old).await.is_ok());
    assert!(asks(&new).await.is_err(), "the test can tell them apart");

    new.write(&secrets);
    eventually("the new certificate", LONG, || async {
        asks(&new).await.is_ok()
    })
    .await;
    assert!(asks(&old).await.is_err());

    std::fs::write(&cert, "no certificate").expect("a writable folder");
    let report = wait_for(&running.log, "not reloaded");
    for expected in [
        "pannier.toml:2",
        "listen.tls_cert",
        "secrets/cert.pem holds no certificate",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    assert!(asks(&new).await.is_ok(), "the certificate before stays");

    old.write(&secrets);
    eventually("the first again", LONG, || async {
        asks(&old).await.is_ok()
    })
    .await;
}
