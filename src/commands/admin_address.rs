//! Where the admin interface of a sidecar is, and how it is spoken to: one form for every command that asks one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail};
use http::uri::Authority;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::pinned_certificate;
use crate::config::Config;

/// An admin interface.
#[derive(Clone, Debug)]
pub(super) struct AdminAddress {
    /// Host and port.
    authority: String,
    security: Security,
}

/// By what it is trusted.
#[derive(Clone, Debug)]
enum Security {
    /// There is no TLS.
    Plain,
    /// The certificate authorities of the system.
    Authorities,
    /// This is its certificate.
    Certificate(CertificateDer<'static>),
}

impl AdminAddress {
    /// Of `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`, as `--admin` takes it.
    pub(super) fn parse(text: &str) -> anyhow::Result<AdminAddress> {
        let (security, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Security::Plain, rest),
            Some(("https", rest)) => (Security::Authorities, rest),
            Some((scheme, _)) => {
                bail!("--admin {text}: the admin interface has no {scheme}, only http and https")
            }
            None => (Security::Plain, text),
        };
        let authority = rest.trim_end_matches('/');
        match authority.parse::<Authority>() {
            Ok(parsed) if parsed.port_u16().is_some() && !authority.contains('@') => {
                Ok(AdminAddress {
                    authority: authority.to_owned(),
                    security,
                })
            }
            _ => bail!("--admin {text}: write it as HOST:PORT or http://HOST:PORT"),
        }
    }

    /// Of the sidecar that runs with `config` on this machine.
    pub(super) fn of(config: &Config) -> anyhow::Result<AdminAddress> {
        let security = match &config.admin.tls {
            None => Security::Plain,
            Some(tls) => {
                let certificate = CertificateDer::from_pem_file(&tls.cert);
                let certificate = certificate
                    .with_context(|| format!("[admin] tls_cert {}", tls.cert.display()))?;
                Security::Certificate(certificate)
            }
        };
        Ok(AdminAddress {
            authority: make_reachable(config.listen.admin).to_string(),
            security,
        })
    }

    /// With its scheme, for people and requests.
    pub(super) fn url(&self) -> String {
        let scheme = match self.security {
            Security::Plain => "http",
            Security::Authorities | Security::Certificate(_) => "https",
        };
        format!("{scheme}://{}", self.authority)
    }

    /// What it is trusted by; of plain HTTP nothing is asked.
    pub(super) fn tls(&self) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .context("ring serves TLS 1.2 and 1.3")?;
        Ok(match &self.security {
            Security::Plain => builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
            Security::Authorities => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    bail!(
                        "no certificate authorities on this system: name a file of them in SSL_CERT_FILE"
                    );
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Security::Certificate(certificate) => {
                let pinned = pinned_certificate::Pinned::new(certificate.clone(), provider);
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(pinned))
                    .with_no_client_auth()
            }
        })
    }
}

/// Where a server that listens on `addr` is reached from this machine: an unspecified address (`0.0.0.0`, `[::]`) means all
/// of its own.
fn make_reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("http://127.0.0.1:9180", Some("http://127.0.0.1:9180")),
            ("http://127.0.0.1:9180/", Some("http://127.0.0.1:9180")),
            ("127.0.0.1:9180", Some("http://127.0.0.1:9180")),
            (
                "pannier.internal:9180",
                Some("http://pannier.internal:9180"),
            ),
            ("http://[::1]:9180", Some("http://[::1]:9180")),
            ("https://127.0.0.1:9180", Some("https://127.0.0.1:9180")),
            ("redis://127.0.0.1:9180", None),
            ("127.0.0.1", None),
            ("127.0.0.1:70000", None),
            ("http://a:b@c:1", None),
            ("http://a:1/path", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let url = AdminAddress::parse(text).ok().map(|admin| admin.url());
            assert_eq!(url.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn listening_everywhere_is_asked_here() {
        let cases = [
            ("0.0.0.0:9180", "127.0.0.1:9180"),
            ("[::]:9180", "[::1]:9180"),
            ("10.1.2.3:9180", "10.1.2.3:9180"),
        ];
        for (listen, asked) in cases {
            let reachable = make_reachable(listen.parse().unwrap());
            assert_eq!(reachable.to_string(), asked);
        }
    }
}
