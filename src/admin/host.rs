//! Which hosts the interface answers for.
//!
//! A web page whose name is made to lead here (DNS rebinding) is of its own origin to the browser, and may read
//! what it is answered; but its requests carry its name in `Host`.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderValue, Request, Version};

use super::refusal::Refusal;

/// In `[admin] hosts`: whatever the host.
const ANY: &str = "*";

/// Refuses a request for a host that is not known: neither a loopback name or address, nor the address that it
/// came to (`local`), as probes of Kubernetes have it, nor one of `hosts`.
pub(super) fn check<B>(head: &Request<B>, hosts: &[String], local: IpAddr) -> Result<(), Refusal> {
    if hosts.iter().any(|host| host == ANY) {
        return Ok(());
    }
    let is_known = |host: &str| is_known(host, hosts, local);
    let mut fields = head.headers().get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => is_known(text(field)),
        // No browser is so old.
        (None, _) => head.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    let target = head.uri().authority();
    match field && target.is_none_or(|authority| is_known(authority.as_str())) {
        true => Ok(()),
        false => Err(Refusal::Host),
    }
}

fn text(field: &HeaderValue) -> &str {
    field.to_str().unwrap_or_default()
}

fn is_known(host: &str, hosts: &[String], local: IpAddr) -> bool {
    let name = without_port(host).trim_end_matches('.');
    if hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return true;
    }
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address == local.to_canonical(),
        Err(_) => {
            let name = name.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// An address of IPv6 without its brackets.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(literal) => literal.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_answered(version: Version, target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let head = request.body(()).unwrap();
        let known = ["Pannier.internal".to_owned(), "fd00::1".to_owned()];
        check(&head, &known, [10, 1, 2, 3].into()).is_ok()
    }

    #[test]
    fn only_known_hosts_are_answered() {
        let rows = [
            ("localhost:9180", true),
            ("LOCALHOST", true),
            ("admin.localhost", true),
            ("127.0.0.1:9180", true),
            ("127.8.9.1", true),
            ("[::1]:9180", true),
            ("10.1.2.3:9180", true),
            ("pannier.internal", true),
            ("pannier.internal.:80", true),
            ("[fd00::1]:80", true),
            ("10.1.2.4:9180", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("evil.example:127", false),
            ("127.0.0.1.evil.example", false),
            ("[::1", false),
            ("", false),
        ];
        for (host, expected) in rows {
            let answered = is_answered(Version::HTTP_11, "/metrics", &[host]);
            assert_eq!(answered, expected, "{host:?}");
        }
    }

    #[test]
    fn there_is_one_host_and_the_target_agrees() {
        let (known, evil) = ("localhost", "evil.example");
        assert!(!is_answered(Version::HTTP_11, "/", &[]));
        assert!(is_answered(Version::HTTP_10, "/", &[]));
        assert!(!is_answered(Version::HTTP_10, "/", &[evil]));
        assert!(!is_answered(Version::HTTP_11, "/", &[known, evil]));
        assert!(!is_answered(
            Version::HTTP_11,
            "http://evil.example/",
            &[known]
        ));
        assert!(is_answered(Version::HTTP_11, "http://localhost/", &[known]));
    }

    #[test]
    fn a_star_stands_for_any() {
        let head = Request::builder().uri("/").body(()).unwrap();
        assert!(check(&head, &["*".to_owned()], [10, 1, 2, 3].into()).is_ok());
    }
}
