//! `[upstream]`: the app's address and how long to wait for it.

use std::path::PathBuf;

use http::Uri;
use http::uri::Authority;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Input;
use crate::config::problem::Problems;
use crate::config::read::Reader;
use crate::config::value::Parsed;
use crate::config::{AppLimit, BackgroundLimits, Listen, Target, Upstream};
use crate::routes::PathSpelling;

/// The kernel's `sun_path` holds 108 bytes, the last of them NUL.
const LONGEST_SOCKET_PATH: usize = 107;

pub(super) fn read_upstream(
    input: &Input<'_>,
    listen: &Listen,
    problems: &mut Problems,
) -> Option<Upstream> {
    let mut reader = input.reader("upstream", problems);
    let target = read_target(&mut reader, listen);
    let ca_file = read_ca_file(&mut reader, input, "ca_file");
    if ca_file.is_some() && matches!(target, Some(Target::Http(_) | Target::Unix(_))) {
        reader.reject(
            "ca_file",
            "url does not use TLS",
            "write https:// in url, or leave ca_file out",
        );
    }
    Some(Upstream {
        timeout: reader.duration("timeout"),
        connect_timeout: reader.duration("connect_timeout"),
        body_timeout: reader.duration("body_timeout"),
        idle_timeout: reader.duration("idle_timeout"),
        max_idle: reader
            .count("max_idle")
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or_default(),
        max_fills: reader
            .count("max_fills")
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(1),
        preserve_host: reader.flag("preserve_host"),
        http2: reader.flag("http2"),
        paths: read_paths(&mut reader),
        background: read_background(&mut reader),
        limit: read_limit(&mut reader),
        ca_file,
        target: target?,
    })
}

fn read_paths(reader: &mut Reader<'_>) -> PathSpelling {
    let mut paths = PathSpelling::default();
    for (key, value) in reader.table("paths") {
        match (key, value) {
            ("ignore_case", Parsed::Flag(flag)) => paths.ignore_case = flag,
            ("trailing_slash", Parsed::Flag(flag)) => paths.trailing_slash = flag,
            ("suffixes", Parsed::Texts(suffixes)) => {
                for (position, suffix) in suffixes {
                    if !is_suffix(&suffix) {
                        let what = format!("\"{suffix}\" is no suffix");
                        let remedy = "write a dot and a name, such as \".json\"";
                        reader.reject_at(position, "paths", what, remedy);
                    }
                    paths.suffixes.push(suffix.into());
                }
            }
            _ => {}
        }
    }
    paths
}

fn read_limit(reader: &mut Reader<'_>) -> Option<AppLimit> {
    let (rate, queue) = (reader.requests("rate"), reader.count("queue"));
    let queue_timeout = reader.duration("queue_timeout");
    if !reader.gives("rate") {
        for key in ["queue", "queue_timeout"] {
            if reader.gives(key) {
                let remedy = "write rate = \"200/s\" beside it, or leave it out";
                reader.warn(
                    key,
                    "nobody waits for a turn where there is no rate",
                    remedy,
                );
            }
        }
    }
    let queue = queue.and_then(|count| usize::try_from(count).ok());
    Some(AppLimit {
        rate: rate?,
        queue: queue.unwrap_or_default(),
        queue_timeout,
    })
}

fn read_background(reader: &mut Reader<'_>) -> BackgroundLimits {
    let mut limits = BackgroundLimits::default();
    for (key, value) in reader.table("background") {
        match (key, value) {
            ("rate", Parsed::Requests(rate)) => limits.rate = rate,
            ("concurrency", Parsed::Count(count)) => {
                limits.concurrency = usize::try_from(count).unwrap_or(limits.concurrency);
            }
            _ => {}
        }
    }
    limits
}

fn is_suffix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.len() > 1 && text.starts_with('.') && text.bytes().all(plain)
}

/// The PEM file that `key` names, if it holds certificates.
pub(super) fn read_ca_file(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
    key: &str,
) -> Option<PathBuf> {
    let path = input.path(&reader.text(key)?);
    let shown = path.display();
    match std::fs::read(&path) {
        Err(error) => {
            let what = format!("{shown} cannot be read ({error})");
            reader.reject(key, what, "write the path of a PEM file");
        }
        Ok(pem) => {
            let mut certificates = CertificateDer::pem_slice_iter(&pem);
            if !matches!(certificates.next(), Some(Ok(_))) {
                let what = format!("{shown} holds no certificate");
                reader.reject(
                    key,
                    what,
                    "write the path of a PEM file with BEGIN CERTIFICATE",
                );
            }
        }
    }
    Some(path)
}

fn read_target(reader: &mut Reader<'_>, listen: &Listen) -> Option<Target> {
    let url = reader.required(
        "url",
        "write where the app is, such as url = \"http://127.0.0.1:3000\"",
    )?;
    let target = match parse_target(&url) {
        Ok(target) => target,
        Err((what, remedy)) => {
            reader.reject("url", what, remedy);
            return None;
        }
    };
    if let Target::Http(authority) = &target
        && leads_back(authority, listen)
    {
        let what = format!(
            "{url} is Pannier's own address (listen.proxy {})",
            listen.proxy
        );
        reader.reject(
            "url",
            what,
            "write the app's port here, or another one in listen.proxy",
        );
    }
    Some(target)
}

/// The address, or what is wrong and what to write.
fn parse_target(url: &str) -> Result<Target, (String, String)> {
    if let Some(path) = url.strip_prefix("unix:") {
        return parse_socket(path);
    }
    let example = || "write http://host:port, https://host:port or unix:/path/to.sock".to_owned();
    let uri: Uri = url
        .parse()
        .map_err(|_| ("it is not a URL".to_owned(), example()))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(("it has no scheme".to_owned(), format!("write http://{url}")));
    };
    if authority.as_str().contains('@') {
        let what = "a user or password in it would not be sent".to_owned();
        return Err((what, "leave out what stands before the @".to_owned()));
    }
    // A lone `/` is how many people end a URL.
    if uri.path() != "/" || uri.query().is_some() {
        let what = "paths go to the app as the client sent them".to_owned();
        return Err((what, format!("write {scheme}://{authority}")));
    }
    match scheme {
        "http" => with_port(authority, 80).map(Target::Http),
        "https" => with_port(authority, 443).map(Target::Https),
        _ => Err((format!("{scheme}:// is not supported"), example())),
    }
}

fn parse_socket(path: &str) -> Result<Target, (String, String)> {
    // `unix:///run/app.sock` names the same file as `unix:/run/app.sock`.
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.len() > LONGEST_SOCKET_PATH || path.contains('\0') {
        let remedy =
            format!("write unix: and an absolute path of at most {LONGEST_SOCKET_PATH} bytes");
        return Err(("it does not name a socket".to_owned(), remedy));
    }
    Ok(Target::Unix(PathBuf::from(path)))
}

pub(super) fn with_port(
    authority: &Authority,
    default: u16,
) -> Result<Authority, (String, String)> {
    let host = authority.host();
    // Not `port()`, which takes one that is out of range for none.
    let port = match authority.as_str().strip_prefix(host) {
        Some("") => default,
        Some(rest) => rest.trim_start_matches(':').parse().unwrap_or(0),
        None => 0,
    };
    let whole = format!("{host}:{port}").parse();
    match whole {
        Ok(authority) if port != 0 && !host.is_empty() => Ok(authority),
        _ => Err((
            format!("{authority} is not a host and port"),
            "write host:port, the port from 1 to 65535".to_owned(),
        )),
    }
}

/// Whether requests to the app would come back to this proxy.
fn leads_back(authority: &Authority, listen: &Listen) -> bool {
    let host = authority.host().trim_matches(['[', ']']);
    let here = match host.parse::<std::net::IpAddr>() {
        Ok(ip) if listen.proxy.ip().is_unspecified() => ip.is_loopback() || ip.is_unspecified(),
        Ok(ip) => ip == listen.proxy.ip(),
        Err(_) => {
            let loopback = listen.proxy.ip().is_loopback() || listen.proxy.ip().is_unspecified();
            host.eq_ignore_ascii_case("localhost") && loopback
        }
    };
    here && authority.port_u16() == Some(listen.proxy.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let http = |text: &str| Some(Target::Http(text.parse().expect("an authority")));
        let https = |text: &str| Some(Target::Https(text.parse().expect("an authority")));
        let unix = |text: &str| Some(Target::Unix(text.into()));
        let cases = [
            ("plain", "http://127.0.0.1:3000", http("127.0.0.1:3000")),
            ("default port", "http://app", http("app:80")),
            ("closing slash", "http://app:3000/", http("app:3000")),
            ("TLS", "https://app.example", https("app.example:443")),
            ("IPv6", "http://[::1]:3000", http("[::1]:3000")),
            ("socket", "unix:/run/app.sock", unix("/run/app.sock")),
            (
                "socket as URL",
                "unix:///run/app.sock",
                unix("/run/app.sock"),
            ),
            ("relative socket", "unix:app.sock", None),
            ("no scheme", "app:3000", None),
            ("port alone", ":3000", None),
            ("other scheme", "ftp://app", None),
            ("path", "http://app/api", None),
            ("query", "http://app/?a", None),
            ("user", "http://me:pw@app", None),
            ("port zero", "http://app:0", None),
            ("empty port", "http://app:", None),
            ("port too high", "http://app:70000", None),
            ("empty", "", None),
        ];
        for (name, url, expected) in cases {
            assert_eq!(parse_target(url).ok(), expected, "{name}: {url}");
        }
    }
}
