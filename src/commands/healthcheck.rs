//! `pannier healthcheck`: asks a running sidecar's `/healthz`, for images that have no `curl`.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use super::admin_address;
use crate::config::{Config, Env};

/// For each of connecting, asking and reading.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the sidecar that runs with `file`, under the same environment.
pub fn healthcheck_by(file: &Path, env: &Env) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(file, env)?;
    healthcheck(loaded.config.listen.admin)
}

/// Asks the sidecar whose admin interface is at `admin`: `HOST:PORT` or `http://HOST:PORT`.
pub fn healthcheck_at(admin: &str) -> anyhow::Result<ExitCode> {
    let authority = admin_address::parse(admin)?;
    let found = authority.to_socket_addrs();
    let mut found = found
        .with_context(|| format!("--admin {admin}"))?
        .peekable();
    let mut last = None;
    while let Some(addr) = found.next() {
        match healthcheck(addr) {
            // A name may have an address of each kind, and the sidecar listen on one.
            Err(error) if found.peek().is_some() => last = Some(error),
            result => return result,
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("--admin {admin}: it has no address")))
}

/// Fails unless the admin interface at `addr` answers `/healthz` with 200. An unspecified address
/// (`0.0.0.0`, `[::]`), as servers listen on, means this machine.
pub fn healthcheck(addr: SocketAddr) -> anyhow::Result<ExitCode> {
    let addr = reachable(addr);
    let status = ask(addr).with_context(|| format!("no answer from http://{addr}/healthz"))?;
    if status != "200" {
        bail!("http://{addr}/healthz answers {status}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a server that listens on `addr` is reached from this machine.
pub(super) fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

/// The status of the answer, as text.
fn ask(addr: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(
        format!("GET /healthz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    // "HTTP/1.1 200" is all that is needed of it.
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let start = String::from_utf8_lossy(&start);
    match start.strip_prefix("HTTP/1.1 ") {
        Some(status) => Ok(status.to_owned()),
        None => bail!("not HTTP/1.1: {start:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

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
            assert_eq!(healthcheck(server(answer)).is_ok(), healthy, "{name}");
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
        let error = healthcheck(addr).unwrap_err().to_string();
        assert!(error.contains("no answer"), "{error}");
    }

    #[test]
    fn listening_everywhere_is_asked_here() {
        let cases = [
            ("0.0.0.0:9180", "127.0.0.1:9180"),
            ("[::]:9180", "[::1]:9180"),
            ("10.1.2.3:9180", "10.1.2.3:9180"),
        ];
        for (listen, asked) in cases {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
