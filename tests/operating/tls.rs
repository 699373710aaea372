//! The admin interface over TLS, and the commands that speak to it.

use std::path::Path;
use std::process::Output;

use rustls::version::{TLS12, TLS13};

use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Offers};
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::tls::Certificate;

/// The file that the sidecar at this address would run with.
fn write_config(folder: &Path, admin: &str, cert: &Path, key: &Path) -> String {
    let file = folder.join("pannier.toml");
    let text = format!(
        "[upstream]\nurl = \"http://app\"\n[listen]\nadmin = \"{admin}\"\n[admin]\ntoken = \"{TOKEN}\"\ntls_cert = \
         \"{}\"\ntls_key = \"{}\"\n",
        cert.display(),
        key.display()
    );
    std::fs::write(&file, text).expect("it is written");
    file.display().to_string()
}

async fn run(arguments: &[&str]) -> Output {
    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pannier"))
        .args(arguments)
        .output();
    command.await.expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_interface_speaks_tls_and_the_commands_know_its_certificate() {
    let app = TestApp::start().await;
    app.on("GET", "/a", |_| Answer::text("x"));
    let (certificate, folder) = (Certificate::new(), tempfile::tempdir().expect("a folder"));
    let (cert, key) = certificate.write(folder.path());
    let toml = format!(
        "[admin]\ntls_cert = \"{}\"\ntls_key = \"{}\"\n",
        cert.display(),
        key.display()
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    let admin = sidecar.admin_addr();
    for versions in [[&TLS13], [&TLS12]] {
        let client = Client::tls(admin, certificate.client(&versions), Offers::Both);
        let reply = client.get("/healthz").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.version, http::Version::HTTP_11);
        assert_eq!(client.get("/stats").await.value()["requests"], 0);
    }
    let plain = sidecar.admin().request("GET", "/healthz").try_send().await;
    assert!(plain.is_err(), "there is TLS alone");
    assert_eq!(
        sidecar.client().get("/a").await.status,
        200,
        "the proxy has none"
    );

    let file = write_config(folder.path(), &admin.to_string(), &cert, &key);
    assert!(
        run(&["healthcheck", "--config", &file])
            .await
            .status
            .success()
    );
    let status = run(&["status", "--config", &file]).await;
    let said = String::from_utf8_lossy(&status.stdout);
    assert!(
        status.status.success() && said.starts_with("healthy"),
        "{said}"
    );
    let purged = run(&["purge", "--key", "a", "--config", &file]).await;
    assert!(purged.status.success(), "{purged:?}");

    // Nobody has told that this certificate is to be trusted.
    let url = format!("https://{admin}");
    let refused = run(&["healthcheck", "--admin", &url]).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains(&url), "{said}");

    // Another one than the file names.
    let other = tempfile::tempdir().expect("a folder");
    let (cert, key) = Certificate::new().write(other.path());
    let file = write_config(other.path(), &admin.to_string(), &cert, &key);
    assert!(
        !run(&["healthcheck", "--config", &file])
            .await
            .status
            .success()
    );
}
