//! How fred is to connect: nothing in it waits for ever but the attempts to reconnect.
//!
//! The supervisor notices a connection that no longer answers; fred's own watch for that would set a timer
//! for each piece that it reads or writes.

use std::path::Path;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::RespVersion;
use fred::types::config::{
    Config as Fred, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TlsConnector,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::diagnosis::{Address, Diagnosis};
use crate::config::Redis;

/// For connecting and for the supervisor's commands; requests have the shorter `[redis] timeout`.
const MAINTENANCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Invalidations that may wait for their task; one more and memory is emptied instead.
const INVALIDATIONS: usize = 1024;

/// Why no connection can be configured.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misconfigured {
    #[error("url: {0}")]
    Url(fred::error::Error),
    #[error("ca_file: {0}")]
    Authorities(String),
}

impl Misconfigured {
    pub(super) fn diagnose(&self) -> Diagnosis {
        Diagnosis {
            cause: self.to_string(),
            remedy: "mend [redis], and start anew".to_owned(),
        }
    }
}

/// How `settings` address Redis, in words.
pub(super) fn address(settings: &Fred, namespace: &str) -> Address {
    let hosts = settings.server.hosts();
    let hosts: Vec<String> = hosts
        .iter()
        .map(|server| format!("{}:{}", server.host, server.port))
        .collect();
    let is_cluster = settings.server.is_clustered();
    Address {
        hosts: hosts.join(","),
        is_tls: settings.tls.is_some(),
        is_cluster,
        user: settings
            .username
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        names: match is_cluster {
            true => format!("~{{{namespace}.*"),
            false => format!("~{{{namespace}}}*"),
        },
    }
}

/// fred's settings for `config`.
pub(super) fn parse_settings(config: &Redis) -> Result<Fred, Misconfigured> {
    let mut settings = match &config.ca_file {
        // Parsed without TLS first: fred would insist on the system's authorities.
        Some(file) if config.url.starts_with("rediss") => {
            let url = config.url.replacen("rediss", "redis", 1);
            let mut settings = Fred::from_url(&url).map_err(Misconfigured::Url)?;
            settings.tls = Some(load_authorities(file)?.into());
            settings
        }
        _ => Fred::from_url(&config.url).map_err(Misconfigured::Url)?,
    };
    // Only RESP3 carries invalidations beside replies.
    settings.version = RespVersion::RESP3;
    // The first connection is tried for ever like any other.
    settings.fail_fast = false;
    Ok(settings)
}

/// fred's client, as each kind of command uses it.
pub(super) struct Clients {
    /// For what takes no options.
    pub(super) plain: Client,
    /// For requests; their scope bounds the time.
    pub(super) for_requests: WithOptions<Client>,
    /// For the supervisor, bounded by [`MAINTENANCE_TIMEOUT`].
    pub(super) for_maintenance: WithOptions<Client>,
}

impl Clients {
    /// Not connected yet.
    pub(super) fn new(settings: &Fred, config: &Redis) -> Result<Clients, fred::error::Error> {
        let plain = build_client(settings, config)?;
        let options = |timeout| Options {
            max_attempts: Some(attempts(settings)),
            timeout: Some(timeout),
            fail_fast: true,
            ..Options::default()
        };
        Ok(Clients {
            for_requests: plain.with_options(&options(Duration::ZERO)),
            for_maintenance: plain.with_options(&options(MAINTENANCE_TIMEOUT.max(config.timeout))),
            plain,
        })
    }
}

/// How often a command is sent: once, but where a node of a cluster may name another one, which fred counts as well.
fn attempts(settings: &Fred) -> u32 {
    match settings.server.is_clustered() {
        true => 3,
        false => 1,
    }
}

fn build_client(settings: &Fred, config: &Redis) -> Result<Client, fred::error::Error> {
    Builder::from_config(settings.clone())
        .set_policy(reconnect_policy(config))
        .set_connection_config(ConnectionConfig {
            connection_timeout: MAINTENANCE_TIMEOUT,
            internal_command_timeout: MAINTENANCE_TIMEOUT,
            max_command_attempts: attempts(settings),
            reconnect_on_auth_error: false,
            ..ConnectionConfig::default()
        })
        .set_performance_config(PerformanceConfig {
            default_command_timeout: MAINTENANCE_TIMEOUT,
            broadcast_channel_capacity: INVALIDATIONS,
            ..PerformanceConfig::default()
        })
        .build()
}

/// For ever, with exponential backoff and jitter, up to `reconnect_max`.
fn reconnect_policy(config: &Redis) -> ReconnectPolicy {
    let max = u32::try_from(config.reconnect_max.as_millis())
        .unwrap_or(u32::MAX)
        .max(1);
    // The first attempt is made at once: a purge may wait for it.
    let mut policy = ReconnectPolicy::new_exponential(0, 2.min(max), max, 2);
    policy.set_jitter((max / 10).clamp(1, 10));
    policy
}

fn load_authorities(file: &Path) -> Result<TlsConnector, Misconfigured> {
    let wrong = |error: &dyn std::fmt::Display| {
        Misconfigured::Authorities(format!("{}: {error}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))? {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tls.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Outage;

    fn config(url: &str) -> Redis {
        Redis {
            url: url.to_owned(),
            namespace: "pannier".to_owned(),
            timeout: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(2),
            breaker_failures: 5,
            breaker_probe: Duration::from_millis(250),
            staleness: Duration::from_secs(1),
            outage: Outage::Serve,
            outage_ttl: Duration::from_secs(30),
            ca_file: None,
            journal: None,
            layout: None,
        }
    }

    #[test]
    fn urls() {
        for (case, url, clustered, sentinel, tls) in [
            ("plain", "redis://127.0.0.1:6379/1", false, false, false),
            (
                "tls",
                "rediss://user:secret@cache.example:6380",
                false,
                false,
                true,
            ),
            (
                "cluster",
                "redis-cluster://a:1?node=b:2",
                true,
                false,
                false,
            ),
            (
                "sentinel",
                "redis-sentinel://s:26379?sentinelServiceName=main",
                false,
                true,
                false,
            ),
        ] {
            let settings = parse_settings(&config(url)).expect(case);
            assert_eq!(settings.server.is_clustered(), clustered, "{case}");
            assert_eq!(settings.server.is_sentinel(), sentinel, "{case}");
            assert_eq!(settings.tls.is_some(), tls, "{case}");
        }
        assert!(matches!(
            parse_settings(&config("nonsense")),
            Err(Misconfigured::Url(_))
        ));
    }

    #[test]
    fn an_unreadable_ca_file_is_an_error() {
        let mut config = config("rediss://cache.example:6380");
        config.ca_file = Some("/nonexistent/ca.pem".into());
        assert!(matches!(
            parse_settings(&config),
            Err(Misconfigured::Authorities(_))
        ));
    }

    #[test]
    fn reconnection_never_ends_nor_exceeds_the_maximum() {
        let mut policy = reconnect_policy(&config("redis://127.0.0.1"));
        for _ in 0..100 {
            assert!(policy.next_delay().is_some_and(|delay| delay <= 2000));
        }
    }
}
