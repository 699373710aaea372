//! `pannier healthcheck`: asks a running sidecar's `/healthz`, for images that have no `curl`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use http::StatusCode;

use super::admin_address::AdminAddress;
use super::ask_sidecar;
use crate::config::{Config, Env};

/// The longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the sidecar that runs with `file`, under the same environment.
pub fn healthcheck_by(file: &Path, env: &Env) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(file, env)?;
    healthcheck(&AdminAddress::of(&loaded.config)?)
}

/// Asks the sidecar whose admin interface is at `admin`: `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`.
pub fn healthcheck_at(admin: &str) -> anyhow::Result<ExitCode> {
    healthcheck(&AdminAddress::parse(admin)?)
}

/// Fails unless it answers `/healthz` with 200.
fn healthcheck(admin: &AdminAddress) -> anyhow::Result<ExitCode> {
    let url = format!("{}/healthz", admin.url());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(ask_sidecar::ask_for_status(admin, "/healthz", TIMEOUT));
    match status.map_err(|error| anyhow!("no answer from {url}: {error}"))? {
        StatusCode::OK => Ok(ExitCode::SUCCESS),
        status => bail!("{url} answers {}", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    /// Answers one connection with `answer` and closes it.
    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        addr
    }

    #[test]
    fn only_200_is_healthy() {
        let cases = [
            ("ok", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("failing", "HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("cut", "HTTP/1.1", false),
            ("something else", "SSH-2.0-OpenSSH_9.2\r\n", false),
        ];
        for (name, answer, healthy) in cases {
            assert_eq!(
                healthcheck_at(&server(answer).to_string()).is_ok(),
                healthy,
                "{name}"
            );
        }
    }

    #[test]
    fn the_config_says_where() {
        let addr = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        let text = format!("[upstream]\nurl = \"http://app\"\n[listen]\nadmin = \"{addr}\"\n");
        std::fs::write(&file, text).unwrap();
        assert!(healthcheck_by(&file, &Env::default()).is_ok());
        let none = folder.path().join("none.toml");
        let error = healthcheck_by(&none, &Env::default()).unwrap_err();
        assert!(error.to_string().contains("none.toml"), "{error}");
    }

    #[test]
    fn nobody_there_is_unhealthy() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let error = healthcheck_at(&addr.to_string()).unwrap_err().to_string();
        assert!(error.contains("no answer"), "{error}");
    }
}
